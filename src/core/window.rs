//! Windows of the configuration: times in which other bounds hold, or nothing is scaled.
//!
//! What is open is a function of the window and the time. A local time that daylight saving skips
//! opens at the next one that exists; a repeated one opens once, the first time.

use std::{fmt, sync::Arc};

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::{
    constraints::{Constraint, Hold, Source},
    datetime::{after, at},
};

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Start,
    pub length: SignedDuration,
    /// The bounds hold this much before the start, so that the floor is reached by then.
    pub ahead: SignedDuration,
    pub floor: Option<u32>,
    pub cap: Option<u32>,
    pub hold: Option<Hold>,
}

/// When a window opens.
#[derive(Clone, Debug)]
pub enum Start {
    Once(Timestamp),
    Recurring {
        times: Arc<dyn Recurrence>,
        zone: TimeZone,
    },
}

/// Local times that recur, to the second. The cron library is outside of this crate.
pub trait Recurrence: fmt::Debug + Send + Sync {
    /// The first one after `time`.
    fn next(&self, time: DateTime) -> Option<DateTime>;
    /// The last one at or before `time`.
    fn last(&self, time: DateTime) -> Option<DateTime>;
    /// As the configuration has it.
    fn text(&self) -> &str;
}

impl Window {
    /// What the window means at `now`, if it is open or the stream is made ready for it.
    pub fn constraint(&self, now: Timestamp) -> Option<Constraint> {
        let last = self.start.last(now);
        let open = last.map(|start| after(start, self.length));
        let open = open.filter(|end| now < *end);
        let coming = self.next(now);
        let coming = coming.filter(|start| self.opens(*start) <= now);
        let end = coming.map(|start| after(start, self.length)).or(open)?;
        Some(Constraint {
            source: Source::Window,
            floor: self.floor,
            cap: self.cap,
            hold: self.hold.filter(|_| open.is_some()),
            until: Some(end),
            by: self.to_string(),
        })
    }

    /// When its floor came into force, where it is in force.
    pub fn floor_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.floor?;
        let last = self.start.last(now);
        let open = last.filter(|start| now < after(*start, self.length));
        let coming = self.next(now).filter(|start| self.opens(*start) <= now);
        coming.or(open).map(|start| self.opens(start))
    }

    /// The next start after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.start.next(now)
    }

    /// When anything about it changes next.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.start.last(now).map(|it| after(it, self.length));
        let next = self.next(now);
        let times = [end, next, next.map(|start| self.opens(start))];
        times.into_iter().flatten().filter(|it| *it > now).min()
    }

    fn opens(&self, start: Timestamp) -> Timestamp {
        after(start, -self.ahead)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Once(start) => write!(f, "the window at {}", at(*start)),
            Start::Recurring { times, zone } => {
                let zone = zone.iana_name().unwrap_or("UTC");
                write!(f, "the window {:?} ({zone})", times.text())
            }
        }
    }
}

impl Start {
    /// The last start at or before `now`.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(start) => Some(*start).filter(|start| *start <= now),
            Self::Recurring { times, zone } => {
                let last = times.last(latest_local(zone, now))?;
                Some(instant(zone, last))
            }
        }
    }

    /// The first start after `now`.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(start) => Some(*start).filter(|start| *start > now),
            Self::Recurring { times, zone } => {
                let next = times.next(latest_local(zone, now))?;
                Some(instant(zone, next))
            }
        }
    }
}

impl PartialEq for Start {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Once(one), Self::Once(other)) => one == other,
            (
                Self::Recurring { times, zone },
                Self::Recurring {
                    times: others,
                    zone: other,
                },
            ) => times.text() == others.text() && zone == other,
            _ => false,
        }
    }
}

impl Eq for Start {}

/// The instant of a local time: of a skipped one, the instant of the skip; of a repeated one, the
/// first.
fn instant(zone: &TimeZone, local: DateTime) -> Timestamp {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).unwrap_or(Timestamp::MAX);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        AmbiguousOffset::Fold { before, .. } => at(before),
        // By the old offset it comes after the skip, whose instant is then the transition before.
        AmbiguousOffset::Gap { before, .. } => transition(zone, at(before)),
    }
}

/// The latest local time whose [`instant`] is not after `now`. In an hour that is repeated that is
/// its end, for each of its times was reached the first time.
fn latest_local(zone: &TimeZone, now: Timestamp) -> DateTime {
    let offset = zone.to_offset(now);
    let local = offset.to_datetime(now);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Fold { before, after } if offset == after => {
            let end = before.to_datetime(transition(zone, now));
            end.saturating_sub(SignedDuration::from_secs(1))
        }
        _ => local,
    }
}

/// The last change of the zone's offset at or before `time`.
fn transition(zone: &TimeZone, time: Timestamp) -> Timestamp {
    let soon = after(time, SignedDuration::from_secs(1));
    let last = zone.preceding(soon).next();
    last.map_or(time, |transition| transition.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Time, date, time};

    use super::*;

    /// Every day at one time.
    #[derive(Debug)]
    struct Daily(Time);

    impl Recurrence for Daily {
        fn next(&self, time: DateTime) -> Option<DateTime> {
            let today = time.date().to_datetime(self.0);
            match today > time {
                true => Some(today),
                false => Some(time.date().tomorrow().ok()?.to_datetime(self.0)),
            }
        }

        fn last(&self, time: DateTime) -> Option<DateTime> {
            let today = time.date().to_datetime(self.0);
            match today <= time {
                true => Some(today),
                false => Some(time.date().yesterday().ok()?.to_datetime(self.0)),
            }
        }

        fn text(&self) -> &str {
            "daily"
        }
    }

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";

    fn window(zone: &str, hour: i8, minute: i8) -> Window {
        Window {
            start: Start::Recurring {
                times: Arc::new(Daily(time(hour, minute, 0, 0))),
                zone: TimeZone::posix(zone).expect("a zone"),
            },
            length: SignedDuration::from_mins(15),
            ahead: SignedDuration::ZERO,
            floor: Some(8),
            cap: None,
            hold: Some(Hold::Down),
        }
    }

    fn at_utc(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// How many times a window opens in some days.
    fn count(window: &Window, from: &str, days: i64) -> usize {
        let from = at_utc(from);
        let end = from + SignedDuration::from_hours(24 * days);
        let starts = std::iter::successors(window.next(from), |start| window.next(*start));
        starts.take_while(|start| *start < end).count()
    }

    /// The starts of a window, found minute by minute as a tick sees them.
    fn starts(window: &Window, from: &str, days: i64) -> Vec<String> {
        let from = at_utc(from);
        let mut starts = Vec::new();
        let mut was_open = window.constraint(from).is_some();
        for minute in 1..days * 24 * 60 {
            let now = from + SignedDuration::from_mins(minute);
            let open = window.constraint(now).is_some();
            if open && !was_open {
                starts.push(at(now));
            }
            was_open = open;
        }
        starts
    }

    #[test]
    fn a_fortnight_with_daylight_saving_in_spring_opens_once_a_day() {
        // Berlin skips 02:00 to 03:00 on March 29, 2026: 01:00 UTC.
        let seen = starts(&window(BERLIN, 2, 30), "2026-03-27T12:00:00Z", 3);
        let expected = [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z",
        ];
        assert_eq!(seen, expected);
        // New York skips 02:00 to 03:00 on March 8, 2026: 07:00 UTC.
        let seen = starts(&window(NEW_YORK, 2, 0), "2026-03-06T12:00:00Z", 3);
        let expected = [
            "2026-03-07T07:00:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-09T06:00:00Z",
        ];
        assert_eq!(seen, expected);
        for zone in [BERLIN, NEW_YORK] {
            for (hour, minute) in [(0, 0), (2, 0), (2, 30), (3, 0), (7, 30)] {
                let seen = count(&window(zone, hour, minute), "2026-03-01T16:00:00Z", 31);
                assert_eq!(seen, 31, "{zone} {hour}:{minute}");
            }
        }
    }

    #[test]
    fn a_fortnight_with_daylight_saving_in_autumn_opens_once_a_day() {
        // Berlin repeats 02:00 to 03:00 on October 25, 2026: from 00:00 and from 01:00 UTC.
        let seen = starts(&window(BERLIN, 2, 30), "2026-10-23T12:00:00Z", 3);
        let expected = [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ];
        assert_eq!(seen, expected);
        // New York repeats 01:00 to 02:00 on November 1, 2026: from 05:00 and from 06:00 UTC.
        let seen = starts(&window(NEW_YORK, 1, 30), "2026-10-30T12:00:00Z", 3);
        let expected = [
            "2026-10-31T05:30:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z",
        ];
        assert_eq!(seen, expected);
        for zone in [BERLIN, NEW_YORK] {
            for (hour, minute) in [(0, 0), (1, 0), (1, 30), (2, 0), (2, 30), (3, 0), (7, 30)] {
                let seen = count(&window(zone, hour, minute), "2026-10-14T16:00:00Z", 28);
                assert_eq!(seen, 28, "{zone} {hour}:{minute}");
            }
        }
    }

    #[test]
    fn a_window_across_a_change_is_as_long_as_any_other() {
        for (hour, from) in [(23, "2026-03-28T12:00:00Z"), (23, "2026-10-24T12:00:00Z")] {
            let window = Window {
                length: SignedDuration::from_hours(6),
                ..window(BERLIN, hour, 0)
            };
            let from = at_utc(from);
            let open = |minute: &i64| {
                let now = from + SignedDuration::from_mins(*minute);
                window.constraint(now).is_some()
            };
            let minutes = (0..24 * 60).filter(open).count();
            assert_eq!(minutes, 360, "{from}");
        }
    }

    #[test]
    fn the_bounds_hold_ahead_of_the_start_and_the_hold_from_the_start() {
        let window = Window {
            start: Start::Once(at_utc("2026-11-27T06:00:00Z")),
            ahead: SignedDuration::from_mins(20),
            cap: Some(12),
            ..window(BERLIN, 0, 0)
        };
        let check = |time: &str, expected: Option<(Option<u32>, Option<Hold>)>| {
            let now = at_utc(&format!("2026-11-27T{time}Z"));
            let constraint = window.constraint(now);
            let until = constraint.as_ref().map(|it| it.until);
            let seen = constraint.map(|it| (it.floor, it.hold));
            assert_eq!(seen, expected, "{time}");
            let end = at_utc("2026-11-27T06:15:00Z");
            assert!(until.is_none_or(|it| it == Some(end)), "{time}");
        };
        check("05:39:59", None);
        check("05:40:00", Some((Some(8), None)));
        check("05:59:59", Some((Some(8), None)));
        check("06:00:00", Some((Some(8), Some(Hold::Down))));
        check("06:14:59", Some((Some(8), Some(Hold::Down))));
        check("06:15:00", None);
        let change = |time: &str| {
            let now = at_utc(&format!("2026-11-27T{time}Z"));
            window.next_change(now).map(at)
        };
        let next = |time: &str| Some(format!("2026-11-27T{time}Z"));
        assert_eq!(change("00:00:00"), next("05:40:00"));
        assert_eq!(change("05:40:00"), next("06:00:00"));
        assert_eq!(change("06:00:00"), next("06:15:00"));
        assert_eq!(change("06:15:00"), None);
        let since = |time: &str| {
            window
                .floor_since(at_utc(&format!("2026-11-27T{time}Z")))
                .map(at)
        };
        assert_eq!(since("05:39:59"), None);
        assert_eq!(since("05:50:00"), next("05:40:00"));
        assert_eq!(since("05:40:00"), next("05:40:00"));
        assert_eq!(since("06:10:00"), next("05:40:00"));
        assert_eq!(since("06:15:00"), None);
        assert_eq!(window.next(at_utc("2026-11-27T06:00:00Z")), None);
        let without_floor = Window {
            floor: None,
            ..window.clone()
        };
        assert_eq!(
            without_floor.floor_since(at_utc("2026-11-27T06:10:00Z")),
            None
        );
    }

    #[test]
    fn a_recurring_window_is_ahead_of_its_next_start_while_the_last_one_is_still_open() {
        let window = Window {
            length: SignedDuration::from_hours(23),
            ahead: SignedDuration::from_hours(2),
            ..window("UTC0", 6, 0)
        };
        for (time, floor_since, next_change) in [
            // The last one is open, and the next one's floor is not yet in force.
            (
                "2026-11-27T03:59:59Z",
                "2026-11-26T04:00:00Z",
                "2026-11-27T04:00:00Z",
            ),
            (
                "2026-11-27T04:00:00Z",
                "2026-11-27T04:00:00Z",
                "2026-11-27T05:00:00Z",
            ),
            (
                "2026-11-27T05:00:00Z",
                "2026-11-27T04:00:00Z",
                "2026-11-27T06:00:00Z",
            ),
            (
                "2026-11-27T06:00:00Z",
                "2026-11-27T04:00:00Z",
                "2026-11-28T04:00:00Z",
            ),
        ] {
            let now = at_utc(time);
            assert_eq!(window.floor_since(now), Some(at_utc(floor_since)), "{time}");
            assert_eq!(window.next_change(now), Some(at_utc(next_change)), "{time}");
        }
    }

    #[test]
    fn windows_are_equal_if_they_open_at_the_same_times() {
        let one = window("UTC0", 6, 0);
        let at = |text: &str| Window {
            start: Start::Once(at_utc(text)),
            ..one.clone()
        };
        let (once, later) = (at("2026-11-27T06:00:00Z"), at("2026-11-27T07:00:00Z"));
        assert_eq!(one, window("UTC0", 6, 0));
        assert_eq!(once, once.clone());
        assert_ne!(one, window(BERLIN, 6, 0));
        assert_ne!(once, later);
        assert_ne!(one, once);
        assert_eq!(once.to_string(), "the window at 2026-11-27T06:00:00Z");
        assert_eq!(one.to_string(), "the window \"daily\" (UTC)");
    }

    #[test]
    fn every_instant_of_a_year_lies_between_the_last_start_and_the_next() {
        for zone in [BERLIN, NEW_YORK] {
            for hour in 0..24 {
                let window = window(zone, hour, 30);
                let mut now = date(2026, 1, 1).at(0, 7, 0, 0).to_zoned(TimeZone::UTC);
                for _ in 0..365 * 4 {
                    let at = now.as_ref().expect("a time").timestamp();
                    let (last, next) = (window.start.last(at), window.start.next(at));
                    let (last, next) = (last.expect("a start"), next.expect("a start"));
                    assert!(last <= at && at < next, "{zone} {hour}: {last} {at} {next}");
                    let day = next.duration_since(last);
                    let hours = 23..=25;
                    assert!(hours.contains(&day.as_hours()), "{zone} {hour}: {day:#}");
                    now = now.and_then(|now| now.checked_add(SignedDuration::from_hours(6)));
                }
            }
        }
    }
}
