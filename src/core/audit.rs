//! The rolling audit: each stream once per interval, spread evenly, found from the time of day
//! alone.

use std::{ops::Range, time::Duration};

use jiff::Timestamp;

/// The subscriptions whose turn falls between the last tick and this one.
///
/// Subscription `i` of `all` has its turn at `i / all` of every interval since the epoch, so that
/// neither a restart nor a run from cron depends on what an earlier process remembered. A gap of an
/// interval or more makes every stream due.
pub fn due(last: Timestamp, now: Timestamp, interval: Duration, all: usize) -> Vec<usize> {
    let interval = i128::try_from(interval.as_nanos())
        .unwrap_or(i128::MAX)
        .max(1);
    let all_wide = i128::try_from(all).unwrap_or(0);
    // Turns are numbered through from the epoch: turn t is subscription t mod all.
    let turn = |at: Timestamp| (at.as_nanosecond() * all_wide).div_euclid(interval);
    let (first, end) = (turn(last) + 1, turn(now) + 1);
    let first = first.max(end - all_wide);
    (first..end)
        .filter_map(|turn| usize::try_from(turn.rem_euclid(all_wide)).ok())
        .collect()
}

/// The subscriptions, of those that there were `before`, whose turn in the present interval has
/// passed because there are `all` now, though it had not come.
pub fn skipped(now: Timestamp, interval: Duration, before: usize, all: usize) -> Range<usize> {
    let interval = i128::try_from(interval.as_nanos())
        .unwrap_or(i128::MAX)
        .max(1);
    let since = now.as_nanosecond().rem_euclid(interval);
    let passed = |count: usize| {
        let turn = since * i128::try_from(count).unwrap_or(0) / interval;
        usize::try_from(turn).map_or(count, |turn| turn + 1)
    };
    passed(before).min(before)..passed(all).min(before)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn every_stream_is_audited_once_per_interval_and_no_tick_takes_more_than_its_share() {
        let interval = Duration::from_secs(900);
        for all in [1, 7, 100, 10_000] {
            let start = Timestamp::from_second(1_800_000_017).expect("a time");
            let (mut seen, mut most) = (BTreeMap::new(), 0);
            for minute in 0..15 {
                let last = start + SignedDuration::from_mins(minute);
                let due = due(last, last + SignedDuration::from_mins(1), interval, all);
                most = most.max(due.len());
                due.into_iter()
                    .for_each(|number| *seen.entry(number).or_insert(0) += 1);
            }
            assert_eq!(
                seen.len(),
                all,
                "of {all} streams all are audited in an interval"
            );
            assert!(
                seen.values().all(|times| *times == 1),
                "of {all} streams each is audited once: {seen:?}"
            );
            assert!(
                most <= all.div_ceil(15) + 1,
                "of {all} streams {most} are audited in one tick"
            );
        }
    }

    #[test]
    fn no_turn_is_skipped_when_there_are_more_streams() {
        let (interval, minute) = (Duration::from_secs(900), SignedDuration::from_mins(1));
        for (before, all) in [(1, 2), (7, 8), (100, 150), (100, 1_000), (5, 5)] {
            for grows_at in 0..15 {
                let mut now = Timestamp::from_second(1_800_000_017).expect("a time");
                let mut seen = vec![0; all];
                for passed in 0..15 {
                    let count = if passed < grows_at { before } else { all };
                    if passed == grows_at {
                        skipped(now, interval, before, all).for_each(|it| seen[it] += 1);
                    }
                    let last = now;
                    now += minute;
                    due(last, now, interval, count)
                        .into_iter()
                        .for_each(|it| seen[it] += 1);
                }
                let missed = seen[..before].iter().filter(|it| **it == 0).count();
                assert_eq!(missed, 0, "{before} to {all} after {grows_at} minutes");
            }
        }
    }

    #[test]
    fn a_long_gap_makes_every_stream_due_once_and_a_clock_set_back_none() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let (interval, hour) = (Duration::from_secs(900), SignedDuration::from_hours(1));
        assert_eq!(due(now - hour, now, interval, 5).len(), 5, "after an hour");
        assert_eq!(
            due(now, now, interval, 5),
            Vec::<usize>::new(),
            "at the first tick"
        );
        assert_eq!(
            due(now + hour, now, interval, 5),
            Vec::<usize>::new(),
            "after the clock went back"
        );
    }
}
