//! What was read of one stream, and nothing else: a decision is a function of these values.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    alarm::{Alarm, Direction, State},
    constraints::Constraint,
    decision::Decision,
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
    /// What people have switched off; read only when the stream is about to be scaled.
    pub switches: Option<Switches>,
    /// How far this host's clock is ahead of AWS's, by the answer with the metrics.
    pub clock_ahead: SignedDuration,
    /// What earlier ticks saw of a resharding.
    pub sightings: Sightings,
    /// A hold of an earlier tick that still stands for the same alarms: what it was based on need not
    /// be read again.
    pub standing: Option<Decision>,
}

/// What people have switched off for one direction, outside of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switches {
    pub in_force: Vec<Constraint>,
    /// Why CloudWatch could not say which mute rules are active; they then count as none.
    pub mute_rules_unread: Option<Unread>,
    /// Why the pauses could not be read, which keeps the stream from shrinking.
    pub pauses_unread: Option<String>,
}

/// Why something that a decision can do without could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub error: String,
    pub hint: Option<String>,
}

/// When the stream was seen while it was resharded, and after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// The last time that its status was not ACTIVE.
    pub busy_at: Option<Timestamp>,
    /// The first time after that at which it was ACTIVE.
    pub active_at: Option<Timestamp>,
}

impl Sightings {
    /// Adds what a look at `now` has shown.
    pub fn add(&mut self, status: StreamStatus, now: Timestamp) {
        match status {
            StreamStatus::Active => {
                self.active_at.get_or_insert(now);
            }
            StreamStatus::Updating | StreamStatus::Creating | StreamStatus::Deleting => {
                *self = Self {
                    busy_at: Some(now),
                    active_at: None,
                };
            }
        }
    }

    /// Adds that a resharding was begun at `now`.
    pub fn reshards(&mut self, now: Timestamp) {
        self.add(StreamStatus::Updating, now);
    }
}

/// The answer of DescribeStreamSummary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    pub arn: String,
    pub status: StreamStatus,
    pub on_demand: bool,
    /// Transient unless the stream is ACTIVE.
    pub open_shards: u32,
    pub created_at: Option<Timestamp>,
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
    /// Records that the stream rejected because its throughput was exceeded.
    pub rejected: Series,
    /// Bytes that consumers read, where these count as usage.
    pub outgoing: Option<Series>,
}

impl Traffic {
    /// Records that the stream rejected since then; `None` where that is not known.
    pub fn rejected_since(&self, since: Timestamp) -> Option<u64> {
        let points = self.rejected.points.iter();
        let sum: f64 = points
            .filter(|(at, _)| *at >= since)
            .map(|(_, sum)| sum)
            .sum();
        // The cast saturates.
        self.rejected.complete.then_some(sum as u64)
    }
}

/// A clock that is further off shows another time's traffic.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

impl Facts {
    /// How far the clock is ahead, if metrics cannot be judged by it.
    pub fn clock_off(&self) -> Option<SignedDuration> {
        Some(self.clock_ahead).filter(|ahead| ahead.abs() > CLOCK_TOLERANCE)
    }

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

    /// Whether an alarm of the pair was looked for, and does not exist.
    pub fn lacks_alarm(&self) -> bool {
        [&self.up, &self.down]
            .into_iter()
            .any(|it| matches!(it, Fetched::Missing))
    }

    /// Whether the stream and both of its alarms were found.
    pub fn is_whole(&self) -> bool {
        let pair = [&self.up, &self.down];
        self.stream.found().is_some() && pair.into_iter().all(|it| it.found().is_some())
    }

    /// How urgent this stream is among the others.
    pub fn priority(&self) -> Priority {
        match self.firing() {
            Some((direction, alarm)) => Priority::scaling(direction, alarm.usage),
            None => Priority::AUDIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{ago, alarm, scene, subscription};

    const UP: &str = "orders-scale-up-alarm";
    const DOWN: &str = "orders-scale-down-alarm";

    #[test]
    fn a_stream_is_active_since_the_first_look_after_the_last_at_which_it_was_not() {
        use StreamStatus::{Active, Creating, Deleting, Updating};
        let mut seen = Sightings::default();
        for (status, at, busy, active) in [
            (Active, 90, None, Some(90)),
            (Active, 80, None, Some(90)),
            (Updating, 70, Some(70), None),
            (Creating, 60, Some(60), None),
            (Active, 50, Some(60), Some(50)),
            (Active, 40, Some(60), Some(50)),
            (Deleting, 30, Some(30), None),
        ] {
            seen.add(status, ago(at));
            let expected = Sightings {
                busy_at: busy.map(ago),
                active_at: active.map(ago),
            };
            assert_eq!(seen, expected, "{status:?} {at} s ago");
        }
        seen.add(Active, ago(20));
        seen.reshards(ago(10));
        assert_eq!((seen.busy_at, seen.active_at), (Some(ago(10)), None));
    }

    #[test]
    fn a_clock_is_off_from_five_minutes_on_in_either_direction() {
        for (seconds, off) in [
            (0, false),
            (300, false),
            (301, true),
            (-300, false),
            (-301, true),
        ] {
            let ahead = SignedDuration::from_secs(seconds);
            let facts = Facts {
                clock_ahead: ahead,
                ..Facts::default()
            };
            assert_eq!(facts.clock_off(), off.then_some(ahead), "{seconds} s ahead");
        }
    }

    #[test]
    fn rejected_records_are_counted_since_a_time_where_all_were_read() {
        for (complete, since, expected) in [
            (true, 900, Some(7)),
            (true, 600, Some(7)),
            (true, 599, Some(4)),
            (true, 0, Some(0)),
            (false, 900, None),
        ] {
            let points = vec![(ago(300), 4.0), (ago(600), 3.0)];
            let traffic = Traffic {
                rejected: Series { points, complete },
                ..Traffic::default()
            };
            assert_eq!(
                traffic.rejected_since(ago(since)),
                expected,
                "{since} s ago"
            );
        }
    }

    #[test]
    fn statuses_are_called_as_aws_does() {
        use StreamStatus::{Active, Creating, Deleting, Updating};
        let statuses = [Active, Updating, Creating, Deleting];
        assert_eq!(
            statuses.map(StreamStatus::name),
            ["ACTIVE", "UPDATING", "CREATING", "DELETING"]
        );
    }

    #[test]
    fn the_stream_is_named_by_the_subscription_or_else_by_an_alarm() {
        let mut facts = scene(4, State::Ok, State::Ok, 0.0);
        let by_alarm = Subscription {
            stream: None,
            ..subscription()
        };
        assert_eq!(facts.stream_name(&by_alarm), "orders");
        facts.up = Fetched::Missing;
        assert_eq!(
            facts.stream_name(&by_alarm),
            "orders",
            "from the other alarm"
        );
        facts.down = Fetched::Unread;
        assert_eq!(facts.stream_name(&by_alarm), "");
        assert_eq!(facts.stream_name(&subscription()), "orders");
    }

    #[test]
    fn the_pair_is_taken_out_of_what_was_found() {
        let all = [UP, "other-scale-up"].map(|name| (name.to_owned(), alarm(name, State::Ok, 4)));
        let mut all = HashMap::from(all);
        let mut facts = Facts::default();
        facts.take_pair(&subscription(), &mut all);
        assert_eq!(facts.up.found().map(|it| it.name.as_str()), Some(UP));
        assert_eq!(facts.down, Fetched::Missing);
        assert_eq!(all.into_keys().collect::<Vec<_>>(), ["other-scale-up"]);
    }

    #[test]
    fn a_stream_is_whole_with_both_alarms_and_lacks_only_what_was_looked_for() {
        let whole = scene(4, State::Ok, State::Ok, 0.0);
        let without = |change: fn(&mut Facts)| {
            let mut facts = whole.clone();
            change(&mut facts);
            facts
        };
        for (name, facts, is_whole, lacks_alarm) in [
            ("all of it", whole.clone(), true, false),
            ("nothing", Facts::default(), false, false),
            (
                "no stream",
                without(|it| it.stream = Fetched::Missing),
                false,
                false,
            ),
            (
                "no scale-up alarm",
                without(|it| it.up = Fetched::Missing),
                false,
                true,
            ),
            (
                "no scale-down alarm",
                without(|it| it.down = Fetched::Missing),
                false,
                true,
            ),
            (
                "an unread alarm",
                without(|it| it.down = Fetched::Unread),
                false,
                false,
            ),
        ] {
            let found = (facts.is_whole(), facts.lacks_alarm());
            assert_eq!(found, (is_whole, lacks_alarm), "{name}");
        }
    }

    #[test]
    fn the_alarm_in_alarm_tells_usage_and_priority_and_up_goes_first() {
        use State::{Alarm, InsufficientData, Ok};
        for (up, down, in_alarm, usage, priority) in [
            (Ok, InsufficientData, &[][..], 0.8, Priority::AUDIT),
            (
                Alarm,
                Ok,
                &[UP],
                0.8,
                Priority::scaling(Direction::Up, Some(0.8)),
            ),
            (
                Ok,
                Alarm,
                &[DOWN],
                0.1,
                Priority::scaling(Direction::Down, Some(0.1)),
            ),
            (
                Alarm,
                Alarm,
                &[UP, DOWN],
                0.8,
                Priority::scaling(Direction::Up, Some(0.8)),
            ),
        ] {
            let mut facts = scene(4, up, down, 0.0);
            for (alarm, usage) in [(&mut facts.up, 0.8), (&mut facts.down, 0.1)] {
                if let Fetched::Found(alarm) = alarm {
                    alarm.usage = Some(usage);
                }
            }
            let names: Vec<_> = facts
                .alarms_in_alarm()
                .into_iter()
                .map(|it| it.name)
                .collect();
            assert_eq!(names, in_alarm, "{up:?} {down:?}");
            assert_eq!(
                facts.firing().map(|(_, alarm)| alarm.name.as_str()),
                in_alarm.first().copied()
            );
            assert_eq!(facts.usage(), Some(usage), "{up:?} {down:?}");
            assert_eq!(facts.priority(), priority, "{up:?} {down:?}");
        }
        assert_eq!(Facts::default().usage(), None);
    }
}
