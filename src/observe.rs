//! The world as one value: what has been read of a stream, and how to read what is still missing.
//!
//! The poll costs one DescribeAlarms call; everything else is read for one stream at a time, when the decision needs it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    alarm::{Alarm, Direction, State},
    aws::{self, ALARMS_PER_CALL, Aws, Kind, Place},
    config::Subscription,
    decide::{Fact, PERIOD_SECONDS},
    journal::{Journal, Scaling},
    pace::Priority,
};

/// A fact that may not have been asked for, or may turn out not to exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen<T> {
    #[default]
    NotYet,
    Missing,
    Found(T),
}

impl<T> Seen<T> {
    /// The value, if it was asked for and is there.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }
}

/// All that has been read of one stream in one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    pub up: Seen<Alarm>,
    pub down: Seen<Alarm>,
    pub stream: Seen<StreamSummary>,
    /// The scalings of the last day, oldest first, or why they cannot be read.
    pub log: Option<Result<Vec<Scaling>, String>>,
    pub traffic: Option<Traffic>,
    /// The stream is looked at although no alarm may be in ALARM: its audit is due, or something was left undone.
    pub must_look: bool,
    /// A scaling was left open.
    pub must_settle: bool,
}

/// What DescribeStreamSummary tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    pub arn: String,
    pub status: StreamStatus,
    pub on_demand: bool,
    /// Transient unless the stream is ACTIVE.
    pub open_shards: u32,
}

/// A stream's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    Active,
    Updating,
    Creating,
    Deleting,
}

impl StreamStatus {
    /// The status as AWS writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Creating => "CREATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// A metric's sums, one for each period in which there was any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The start of the period, and the sum; in no order.
    pub points: Vec<(Timestamp, f64)>,
    /// False when CloudWatch said that the answer is not whole.
    pub complete: bool,
}

/// A stream's incoming traffic of the last 24 h.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    pub bytes: Series,
    pub records: Series,
}

/// The subscriptions of one account and Region, by alarm name.
#[derive(Debug, Default)]
pub struct AlarmIndex(HashMap<String, (usize, Direction)>);

impl AlarmIndex {
    /// Adds a subscription under its number.
    pub fn add(&mut self, number: usize, subscription: &Subscription) {
        for direction in [Direction::Up, Direction::Down] {
            self.0.insert(
                subscription.alarms.of(direction).to_owned(),
                (number, direction),
            );
        }
    }

    /// The subscription that an alarm belongs to.
    pub fn find(&self, alarm: &str) -> Option<usize> {
        self.0.get(alarm).map(|(number, _)| *number)
    }

    /// How many DescribeAlarms calls it takes to ask for all of them by name.
    fn calls_by_name(&self) -> usize {
        self.0.len().div_ceil(ALARMS_PER_CALL)
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

/// Reads which subscribed alarms are in ALARM: all of them with one filtered call, or by name where that is cheaper.
pub async fn poll(
    place: &Place,
    index: &AlarmIndex,
    mode: &mut PollMode,
) -> Result<Vec<(usize, Direction, Alarm)>, aws::Error> {
    let by_name = index.calls_by_name();
    if let PollMode::ByName { polls_left } = mode {
        match polls_left.checked_sub(1) {
            Some(left) => *polls_left = left,
            None => *mode = PollMode::Filtered,
        }
    }
    let filtered = match mode {
        PollMode::Filtered => place.cloudwatch.alarms_in_alarm(by_name.max(1)).await?,
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
            poll_by_name(place, index).await?
        }
    };
    let ours = |alarm: Alarm| {
        let (number, direction) = *index.0.get(&alarm.name)?;
        (alarm.state == State::Alarm).then_some((number, direction, alarm))
    };
    Ok(alarms.into_iter().filter_map(ours).collect())
}

async fn poll_by_name(place: &Place, index: &AlarmIndex) -> Result<Vec<Alarm>, aws::Error> {
    let mut names: Vec<&str> = index.0.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut alarms = Vec::new();
    for names in names.chunks(ALARMS_PER_CALL) {
        let found = place.cloudwatch.alarms(names, true, Priority::POLL).await?;
        alarms.extend(found.into_iter().map(|definition| definition.alarm));
    }
    Ok(alarms)
}

/// Reads both alarms of up to 50 streams with one call.
pub async fn pairs(
    place: &Place,
    names: &[&str],
    priority: Priority,
) -> Result<HashMap<String, Alarm>, aws::Error> {
    let found = place.cloudwatch.alarms(names, false, priority).await?;
    Ok(found
        .into_iter()
        .map(|definition| (definition.alarm.name.clone(), definition.alarm))
        .collect())
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
    pub journal: &'a Journal,
    pub subscription: &'a Subscription,
    pub now: Timestamp,
}

impl Reader<'_> {
    /// Reads one fact into `seen`.
    pub async fn read(&self, fact: Fact, seen: &mut Observation) -> Result<(), aws::Error> {
        let place = self.aws.place(&self.subscription.account);
        let priority = seen.priority();
        match fact {
            Fact::Pair => {
                let mut pair = pairs(place, &self.subscription.alarms.both(), priority).await?;
                seen.take_pair(self.subscription, &mut pair);
            }
            Fact::Stream => {
                seen.stream = match place
                    .kinesis
                    .summary(seen.stream_name(self.subscription), priority)
                    .await
                {
                    Ok(summary) => Seen::Found(summary),
                    Err(error) if error.kind == Kind::NotFound => Seen::Missing,
                    Err(error) => return Err(error),
                }
            }
            Fact::Log => {
                let arn = seen.stream.found().map_or("", |stream| &stream.arn);
                let stream = seen.stream_name(self.subscription);
                let scalings = self.journal.recent(stream, arn, self.now).await;
                seen.log = Some(scalings.map_err(|error| error.to_string()));
            }
            Fact::Traffic => {
                let start = traffic_start(self.now);
                let stream = seen.stream_name(self.subscription);
                seen.traffic = Some(
                    place
                        .cloudwatch
                        .traffic(stream, start, self.now, PERIOD_SECONDS)
                        .await?,
                );
            }
        }
        Ok(())
    }
}

impl Observation {
    /// The stream's name, from the subscription or from an alarm that was read.
    pub fn stream_name<'a>(&'a self, subscription: &'a Subscription) -> &'a str {
        let from_alarm = || {
            [&self.up, &self.down]
                .into_iter()
                .filter_map(Seen::found)
                .find_map(|alarm| alarm.streams.first())
        };
        subscription
            .stream
            .as_deref()
            .or_else(|| from_alarm().map(String::as_str))
            .unwrap_or_default()
    }

    /// The alarms that are in ALARM, scale-up first.
    pub fn alarms_in_alarm(&self) -> Vec<Alarm> {
        let found = [&self.up, &self.down].into_iter().filter_map(Seen::found);
        found
            .filter(|alarm| alarm.state == State::Alarm)
            .cloned()
            .collect()
    }

    /// Takes the subscription's alarms out of `found`; what is not there is missing.
    pub fn take_pair(&mut self, subscription: &Subscription, found: &mut HashMap<String, Alarm>) {
        let mut take = |name: &str| found.remove(name).map_or(Seen::Missing, Seen::Found);
        self.up = take(&subscription.alarms.scale_up);
        self.down = take(&subscription.alarms.scale_down);
    }

    /// How urgent this stream is among the others.
    pub fn priority(&self) -> Priority {
        match self.firing() {
            Some((direction, alarm)) => Priority::scaling(direction, alarm.usage),
            None => Priority::AUDIT,
        }
    }
}
