//! The poll: which subscribed alarms are in ALARM, with one DescribeAlarms call for each account
//! and Region.

use std::collections::{BTreeSet, HashMap};

use autoscaler_core::{
    alarm::{Alarm, Direction, State},
    limits::ALARMS_PER_CALL,
    priority::Priority,
    scaling::Scaling,
    subscription::{Account, SubscriptionId},
};

use crate::{
    aws::{self, RegionClients},
    reconcile::{context::Context, discovery},
};

/// The subscriptions of one account and Region, by alarm name and, if known, by stream name.
#[derive(Debug, Default)]
pub struct Index {
    alarms: HashMap<String, (SubscriptionId, Direction)>,
    streams: HashMap<String, SubscriptionId>,
    /// What the alarm names of patterns begin with, and how many names begin with none of that.
    prefixes: BTreeSet<String>,
    uncovered: usize,
}

impl Index {
    /// The index of the subscriptions with these ids, which are those of an account and Region.
    pub fn new(context: &Context, account: &Account, ids: &[SubscriptionId]) -> Self {
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
        let mut index = Self {
            alarms,
            streams,
            prefixes: discovery::prefixes(context, account),
            uncovered: 0,
        };
        index.uncovered = index.names().count();
        index
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

    /// The alarms that no prefix covers.
    fn names(&self) -> impl Iterator<Item = &str> {
        let is_covered = |name: &str| self.prefixes.iter().any(|it| name.starts_with(it.as_str()));
        let names = self.alarms.keys().map(String::as_str);
        names.filter(move |name| !is_covered(name))
    }

    /// How many DescribeAlarms calls it takes to ask for all of them by name or prefix, if the
    /// prefixes have no more than a page.
    fn calls_by_name(&self) -> usize {
        self.uncovered.div_ceil(ALARMS_PER_CALL) + self.prefixes.len()
    }
}

/// How the next poll asks. Where many unrelated alarms are in ALARM, asking by name can take fewer
/// calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    #[default]
    Filtered,
    /// By name, and by the prefixes of patterns; after this many more polls the filter is tried again.
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
        PollMode::Filtered => {
            clients
                .cloudwatch
                .alarms_in_alarm("", by_name.max(1))
                .await?
        }
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
    let mut names: Vec<&str> = index.names().collect();
    names.sort_unstable();
    let mut alarms = Vec::new();
    for prefix in &index.prefixes {
        let found = clients.cloudwatch.alarms_in_alarm(prefix, usize::MAX);
        alarms.extend(found.await?.into_iter().flatten());
    }
    for names in names.chunks(ALARMS_PER_CALL) {
        let found = clients
            .cloudwatch
            .alarms(names, true, Priority::FIRST)
            .await?;
        alarms.extend(found.into_iter().map(|definition| definition.alarm));
    }
    Ok(alarms)
}
