//! What was read of one stream, and nothing else: a decision is a function of these values.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    alarm::{Alarm, Direction, State},
    priority::Priority,
    scaling::RecentScalings,
    subscription::Subscription,
};

/// A fact that may not have been read yet, or may turn out not to exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Fetched<T> {
    #[default]
    Unread,
    Missing,
    Found(T),
}

impl<T> Fetched<T> {
    /// The value, if it was read and exists.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }
}

/// What was read of one stream in one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub up: Fetched<Alarm>,
    pub down: Fetched<Alarm>,
    /// When the alarms were read, where that was before the rest.
    pub alarms_read_at: Option<Timestamp>,
    pub stream: Fetched<StreamSummary>,
    /// The stream's scalings of the last day, or of the longest cooldown.
    pub scalings: Option<RecentScalings>,
    pub traffic: Option<Traffic>,
    /// How far consumers were behind, in milliseconds, in each minute of the last 15.
    pub iterator_ages: Option<Series>,
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

/// A stream's traffic over a window that ends now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Where the window begins.
    pub from: Timestamp,
    /// The length of the periods that are summed.
    pub period_seconds: i64,
    pub bytes: Series,
    pub records: Series,
    /// Records that the stream rejected for want of throughput.
    pub rejected: Series,
}

impl Facts {
    /// The stream's name, from the subscription or from an alarm that was read.
    pub fn stream_name<'a>(&'a self, subscription: &'a Subscription) -> &'a str {
        let from_alarm = || {
            [&self.up, &self.down]
                .into_iter()
                .filter_map(Fetched::found)
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
        let found = [&self.up, &self.down]
            .into_iter()
            .filter_map(Fetched::found);
        found
            .filter(|alarm| alarm.state == State::Alarm)
            .cloned()
            .collect()
    }

    /// Takes the subscription's alarms out of `found`; what is not there is missing.
    pub fn take_pair(&mut self, subscription: &Subscription, found: &mut HashMap<String, Alarm>) {
        let mut take = |name: &str| found.remove(name).map_or(Fetched::Missing, Fetched::Found);
        self.up = take(&subscription.alarms.scale_up);
        self.down = take(&subscription.alarms.scale_down);
    }

    /// Usage as the alarm in ALARM computed it last, or else as the scale-up alarm did.
    pub fn usage(&self) -> Option<f64> {
        let firing = self.firing().map(|(_, alarm)| alarm);
        firing.or(self.up.found()).and_then(|alarm| alarm.usage)
    }

    /// The alarm that asks for something; when both do, scaling up goes first.
    pub fn firing(&self) -> Option<(Direction, &Alarm)> {
        let in_alarm = |alarm: &&Alarm| alarm.state == State::Alarm;
        let up = self
            .up
            .found()
            .filter(in_alarm)
            .map(|alarm| (Direction::Up, alarm));
        up.or_else(|| {
            self.down
                .found()
                .filter(in_alarm)
                .map(|alarm| (Direction::Down, alarm))
        })
    }

    /// How urgent this stream is among the others.
    pub fn priority(&self) -> Priority {
        match self.firing() {
            Some((direction, alarm)) => Priority::scaling(direction, alarm.usage),
            None => Priority::AUDIT,
        }
    }
}
