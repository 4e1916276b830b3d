//! Axes: times and counts at round values.

use jiff::Timestamp;

use crate::output::times::Times;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between ticks that people read easily, in seconds.
const STEPS: &[i64] = &[
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
    3650 * DAY,
];

/// At most `most` round times of the zone with their labels: the time of day, and the date where a
/// day begins.
pub(super) fn times(
    since: Timestamp,
    until: Timestamp,
    most: usize,
    zone: &Times,
) -> Vec<(Timestamp, String)> {
    // Seconds of a clock on the wall; where it is set, later times are less round.
    let ahead = zone.offset_seconds(since);
    let (first, last) = (since.as_second() + ahead, until.as_second() + ahead);
    let most = i64::try_from(most).unwrap_or(i64::MAX).max(1);
    let step = STEPS.iter().find(|step| (last - first) / **step < most);
    let step = *step.unwrap_or(&i64::MAX);
    let mut ticks = Vec::new();
    // From the first multiple of the step; only a span of more than all of history has none.
    let mut at = first
        .div_euclid(step)
        .saturating_add(1)
        .saturating_mul(step);
    while at <= last {
        if let Ok(tick) = Timestamp::from_second(at.saturating_sub(ahead)) {
            ticks.push((tick, label(tick, step, zone)));
        }
        at = at.saturating_add(step);
    }
    ticks
}

fn label(at: Timestamp, step: i64, zone: &Times) -> String {
    let ahead = zone.offset_seconds(at);
    let wall = Timestamp::from_second(at.as_second().saturating_add(ahead)).unwrap_or(at);
    let format = match step {
        _ if step >= 90 * DAY => "%Y-%m-%d",
        _ if wall.as_second() % DAY == 0 => "%m-%d",
        _ => "%H:%M",
    };
    wall.strftime(format).to_string()
}

/// Round counts from 0 up to at least `highest`, about `about` of them.
pub(super) fn counts(highest: u32, about: u32) -> Vec<u32> {
    let highest = highest.max(1);
    let rough = highest.div_ceil(about.max(1));
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|n| n * 10_u32.pow(power)));
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(highest);
    (0..=highest.div_ceil(step)).map(|n| n * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_round_and_reach_the_highest() {
        for (highest, expected) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (4, vec![0, 1, 2, 3, 4]),
            (7, vec![0, 2, 4, 6, 8]),
            (64, vec![0, 20, 40, 60, 80]),
            (10_000, vec![0, 5_000, 10_000]),
        ] {
            assert_eq!(counts(highest, 4), expected, "up to {highest}");
        }
    }

    #[test]
    fn times_are_round_and_few() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let check = |since: &str, until: &str, expected: &[&str]| {
            let ticks = times(at(since), at(until), 6, &Times::utc());
            let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
            assert_eq!(labels, expected, "{since} to {until}");
        };
        check(
            "2026-11-20T22:10:00Z",
            "2026-11-21T03:10:00Z",
            &["23:00", "11-21", "01:00", "02:00", "03:00"],
        );
        check(
            "2026-11-15T12:00:00Z",
            "2026-11-22T12:00:00Z",
            &["11-17", "11-19", "11-21"],
        );
        check("2026-11-15T12:00:00Z", "2026-11-15T12:00:10Z", &[]);
        let zone = jiff::tz::TimeZone::get("Asia/Kolkata").expect("a zone");
        let (since, until) = (at("2026-11-20T16:00:00Z"), at("2026-11-20T21:00:00Z"));
        let ticks = times(since, until, 6, &Times::of(zone));
        let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["22:00", "23:00", "11-21", "01:00", "02:00"]);
        for (since, until) in [
            ("1970-01-01T00:00:00Z", "2026-11-22T12:00:00Z"),
            ("2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
            ("1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        ] {
            let ticks = times(at(since), at(until), 6, &Times::utc());
            assert!(ticks.len() <= 6, "{since} to {until}: {ticks:?}");
        }
    }
}
