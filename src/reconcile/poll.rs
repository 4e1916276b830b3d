//! The poll: which subscribed alarms are in ALARM, with one DescribeAlarms call for each account
//! and Region.

use std::collections::HashMap;

use autoscaler_core::{
    alarm::{Alarm, Direction, State},
    limits::ALARMS_PER_CALL,
    priority::Priority,
    scaling::Scaling,
    subscription::SubscriptionId,
};

use crate::{
    aws::{self, RegionClients},
    reconcile::context::Context,
};

/// The subscriptions of one account and Region, by alarm name and, if known, by stream name.
#[derive(Debug, Default)]
pub struct Index {
    alarms: HashMap<String, (SubscriptionId, Direction)>,
    streams: HashMap<String, SubscriptionId>,
}

impl Index {
    /// The index of the subscriptions with these ids.
    pub fn new(context: &Context, ids: &[SubscriptionId]) -> Self {
        // With room from the start, because growing would hash thousands of names again.
        let mut alarms = HashMap::with_capacity(2 * ids.len());
        let mut streams = HashMap::with_capacity(ids.len());
        for id in ids.iter().copied() {
            let subscription = context.subscription(id);
            for direction in [Direction::Up, Direction::Down] {
                let alarm = subscription.alarms.of(direction);
                alarms.insert(alarm.to_owned(), (id, direction));
            }
            streams.extend(subscription.stream.clone().map(|stream| (stream, id)));
        }
        Self { alarms, streams }
    }

    /// The subscription that a scaling was made for, whose alarms may have been renamed since.
    pub fn find(&self, scaling: &Scaling) -> Option<SubscriptionId> {
        let by_alarm = scaling.alarm.as_ref().and_then(|it| self.alarms.get(it));
        let id = by_alarm.map(|(id, _)| id);
        id.or_else(|| self.streams.get(&scaling.stream_name))
            .copied()
    }

    /// Whether an alarm of this name is subscribed.
    pub fn has(&self, alarm: &str) -> bool {
        self.alarms.contains_key(alarm)
    }

    /// The subscribed alarms among these.
    pub fn firing(&self, alarms: Vec<Alarm>) -> Vec<Firing> {
        let ours = |alarm: Alarm| {
            let (id, direction) = *self.alarms.get(&alarm.name)?;
            Some((id, direction, alarm))
        };
        alarms.into_iter().filter_map(ours).collect()
    }

    /// How many DescribeAlarms calls it takes to ask for all of them by name.
    fn calls_by_name(&self) -> usize {
        self.alarms.len().div_ceil(ALARMS_PER_CALL)
    }
}

/// How the next poll asks. Where many unrelated alarms are in ALARM, asking by name can take fewer
/// calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    #[default]
    Filtered,
    /// By name; after this many more polls the filter is tried again.
    ByName { polls_left: u32 },
}

const POLLS_BY_NAME: u32 = 15;

/// An alarm in ALARM: its subscription, and its direction within the pair.
pub type Firing = (SubscriptionId, Direction, Alarm);

/// Reads which alarms are in ALARM: all of the account with one filtered call, or the subscribed
/// ones by name where that is cheaper.
pub async fn poll(
    clients: &RegionClients,
    index: &Index,
    mode: &mut PollMode,
) -> Result<Vec<Alarm>, aws::Error> {
    let by_name = index.calls_by_name();
    if let PollMode::ByName { polls_left } = mode {
        match polls_left.checked_sub(1) {
            Some(left) => *polls_left = left,
            None => *mode = PollMode::Filtered,
        }
    }
    let filtered = match mode {
        PollMode::Filtered => clients.cloudwatch.alarms_in_alarm(by_name.max(1)).await?,
        PollMode::ByName { .. } => None,
    };
    let mut alarms = match filtered {
        Some(alarms) => alarms,
        None => {
            if *mode == PollMode::Filtered {
                *mode = PollMode::ByName {
                    polls_left: POLLS_BY_NAME,
                };
            }
            poll_by_name(clients, index).await?
        }
    };
    alarms.retain(|alarm| alarm.state == State::Alarm);
    Ok(alarms)
}

async fn poll_by_name(clients: &RegionClients, index: &Index) -> Result<Vec<Alarm>, aws::Error> {
    let mut names: Vec<&str> = index.alarms.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut alarms = Vec::new();
    for names in names.chunks(ALARMS_PER_CALL) {
        let found = clients
            .cloudwatch
            .alarms(names, true, Priority::FIRST)
            .await?;
        alarms.extend(found.into_iter().map(|definition| definition.alarm));
    }
    Ok(alarms)
}
