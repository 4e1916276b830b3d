//! Reads the world: the poll, and then of each stream what its decision still needs.
//!
//! The poll costs one DescribeAlarms call; everything else is read for one stream at a time, when the decision needs it.

use autoscaler_core::priority::Priority;
use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    aws::{self, Aws, Kind, RegionClients},
    reconcile::scaling_log::ScalingLog,
};
use autoscaler_core::{
    alarm::{Alarm, Direction, State},
    decide::{Fact, Verdict, decide},
    facts::{Fetched, Observation},
    limits::{ALARMS_PER_CALL, BUDGET_DAY, PERIOD_SECONDS},
    scaling::Scaling,
    subscription::Subscription,
};

/// The subscriptions of one account and Region, by alarm name, and by stream name where they have one.
#[derive(Debug, Default)]
pub struct Index {
    alarms: HashMap<String, (usize, Direction)>,
    streams: HashMap<String, usize>,
}

impl Index {
    /// Adds a subscription under its number.
    pub fn add(&mut self, number: usize, subscription: &Subscription) {
        for direction in [Direction::Up, Direction::Down] {
            self.alarms.insert(
                subscription.alarms.of(direction).to_owned(),
                (number, direction),
            );
        }
        if let Some(stream) = &subscription.stream {
            self.streams.insert(stream.clone(), number);
        }
    }

    /// The subscription that a scaling was made for; its alarms may have been renamed since.
    pub fn find(&self, scaling: &Scaling) -> Option<usize> {
        let by_alarm = scaling.alarm.as_ref().and_then(|it| self.alarms.get(it));
        let number = by_alarm.map(|(number, _)| number);
        number
            .or_else(|| self.streams.get(&scaling.stream_name))
            .copied()
    }

    /// How many DescribeAlarms calls it takes to ask for all of them by name.
    fn calls_by_name(&self) -> usize {
        self.alarms.len().div_ceil(ALARMS_PER_CALL)
    }
}

/// How the next poll asks: where many unrelated alarms are in ALARM, names can be fewer calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    #[default]
    Filtered,
    /// By name; after so many more polls the filter is tried again.
    ByName { polls_left: u32 },
}

const POLLS_BY_NAME: u32 = 15;

/// An alarm in ALARM: the subscription that it belongs to, and its half of the pair.
pub type Firing = (usize, Direction, Alarm);

/// Reads which subscribed alarms are in ALARM: all of them with one filtered call, or by name where that is cheaper.
pub async fn poll(
    clients: &RegionClients,
    index: &Index,
    mode: &mut PollMode,
) -> Result<Vec<Firing>, aws::Error> {
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
    let alarms = match filtered {
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
    let ours = |alarm: Alarm| {
        let (number, direction) = *index.alarms.get(&alarm.name)?;
        (alarm.state == State::Alarm).then_some((number, direction, alarm))
    };
    Ok(alarms.into_iter().filter_map(ours).collect())
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

/// Reads both alarms of up to 50 streams with one call.
pub async fn pairs(
    clients: &RegionClients,
    names: &[&str],
    priority: Priority,
) -> Result<HashMap<String, Alarm>, aws::Error> {
    let found = clients.cloudwatch.alarms(names, false, priority).await?;
    Ok(found
        .into_iter()
        .map(|definition| (definition.alarm.name.clone(), definition.alarm))
        .collect())
}

/// Whether the decision on a stream needs both of its alarms first.
pub fn needs_pair(subscription: &Subscription, seen: &Observation, now: Timestamp) -> bool {
    decide(subscription, seen, now) == Verdict::Need(Fact::Pair)
}

/// Where the last 24 h of traffic begin: at the start of a period, so that the first sum is whole.
pub fn traffic_start(now: Timestamp) -> Timestamp {
    let period = i64::from(PERIOD_SECONDS);
    let day_before = now - SignedDuration::from_hours(24);
    let start = day_before.as_second().div_euclid(period) * period;
    Timestamp::from_second(start).unwrap_or(now)
}

/// Where the missing facts of one stream are read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub aws: &'a Aws,
    pub scaling_log: &'a ScalingLog,
    pub subscription: &'a Subscription,
    pub now: Timestamp,
}

impl Reader<'_> {
    /// From when on the log's rows matter: a day for the budget, or the longest cooldown.
    pub fn log_since(&self) -> Timestamp {
        let cooldown = self
            .subscription
            .cooldown_up
            .max(self.subscription.cooldown_down);
        self.now
            .saturating_sub(cooldown.max(BUDGET_DAY.unsigned_abs()))
            .unwrap_or(Timestamp::MIN)
    }

    /// Reads one fact into `seen`.
    pub async fn read(&self, fact: Fact, seen: &mut Observation) -> Result<(), aws::Error> {
        let clients = self.aws.clients(&self.subscription.account);
        let priority = seen.priority();
        match fact {
            Fact::Pair => {
                let mut pair = pairs(clients, &self.subscription.alarms.both(), priority).await?;
                seen.take_pair(self.subscription, &mut pair);
            }
            Fact::Stream => {
                seen.stream = match clients
                    .kinesis
                    .summary(seen.stream_name(self.subscription), priority)
                    .await
                {
                    Ok(summary) => Fetched::Found(summary),
                    Err(error) if error.kind == Kind::NotFound => Fetched::Missing,
                    Err(error) => return Err(error),
                }
            }
            Fact::Log => {
                let arn = seen.stream.found().map_or("", |stream| &stream.arn);
                let stream = seen.stream_name(self.subscription);
                let recent = self.scaling_log.recent(stream, arn, self.log_since());
                let (log, _) = recent.await;
                seen.log = Some(log);
            }
            Fact::Traffic => {
                let start = traffic_start(self.now);
                let stream = seen.stream_name(self.subscription);
                seen.traffic = Some(
                    clients
                        .cloudwatch
                        .traffic(stream, start, self.now, PERIOD_SECONDS)
                        .await?,
                );
            }
        }
        Ok(())
    }
}
