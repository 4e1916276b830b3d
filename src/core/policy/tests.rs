use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    adaptive::Adaptive,
    demand::Demand,
    original::{Original, step_up},
    peak::{Fade, Peak},
    traffic::{Answer, Period, Sums},
    *,
};
use crate::datetime::after;

mod edges;
mod promises;

const WEEK: usize = 7 * 288;
const SHARD_BYTES: u64 = 1_048_576 * 300;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

/// A week in which every period used `hundredths` of a shard in bytes; gaps are filled with zero.
fn input(n: u32, hundredths: u64) -> Input {
    let sums = |sum: Option<u64>| Sums {
        sums: vec![sum; WEEK],
        answer: Answer::Whole,
        gaps_are_zero: true,
    };
    let history = Traffic {
        start: after(now(), -SignedDuration::from_hours(7 * 24)),
        period: Period::FiveMinutes,
        bytes: sums(Some(SHARD_BYTES * hundredths / 100)),
        records: sums(Some(0)),
        rejected: sums(None),
        outgoing: None,
    };
    Input {
        now: now(),
        shards: n,
        history,
        recent: Traffic::default(),
        scaled_at: None,
        active_since: None,
        calls_left: 10,
    }
}

fn target(verdict: Verdict) -> Result<u32, Reason> {
    match verdict {
        Verdict::Scale { to, .. } => Ok(to),
        Verdict::Hold { reason, .. } => Err(reason),
    }
}

#[test]
fn the_original_grows_by_its_table() {
    let counts = [1, 2, 3, 4, 7, 50, 51, 100, 1000];
    assert_eq!(counts.map(step_up), [2, 4, 6, 6, 11, 75, 64, 125, 1250]);
}

#[test]
fn the_original_shrinks_to_half_usage_and_at_most_by_half() {
    let cases = [
        (10, 400, Ok(8)),
        (10, 260, Ok(6)),
        (10, 10, Ok(5)),
        (10, 500, Err(Reason::AtTarget)),
        (3, 0, Ok(2)),
        (2, 0, Ok(1)),
        (1, 0, Err(Reason::AtTarget)),
    ];
    for (n, used, expected) in cases {
        assert_eq!(
            target(Original.scale_down(&input(n, used))),
            expected,
            "{n} {used}"
        );
    }
}

#[test]
fn a_gap_is_zero_only_where_the_alarm_fills_it() {
    for policy in [&Original as &dyn Policy, &Adaptive::default()] {
        let mut idle = input(10, 0);
        idle.history.bytes.sums = Vec::new();
        idle.history.records.sums = Vec::new();
        assert_eq!(target(policy.scale_down(&idle)), Ok(5));
        idle.history.bytes.gaps_are_zero = false;
        assert_eq!(target(policy.scale_down(&idle)), Err(Reason::NoData));
        let mut hole = input(10, 0);
        hole.history.bytes.gaps_are_zero = false;
        assert_eq!(target(policy.scale_down(&hole)), Ok(5));
        hole.history.bytes.sums[WEEK - 200] = None;
        assert_eq!(target(policy.scale_down(&hole)), Err(Reason::NoData));
        let mut partial = input(10, 0);
        partial.history.bytes.answer = Answer::Partial;
        assert_eq!(target(policy.scale_down(&partial)), Err(Reason::NoData));
    }
}

#[test]
fn a_peak_holds_until_it_has_faded() {
    let mut busy = input(10, 0);
    busy.history.bytes.sums[WEEK - 12] = Some(SHARD_BYTES * 77 / 10);
    // 7.7 shards fade to 3.85, which 7 shards carry at 55 %, 12 hours after their period.
    let Verdict::Hold { recheck_at, .. } = Adaptive::default().scale_down(&busy) else {
        panic!("7.7 shards call for more than 7");
    };
    assert_eq!(recheck_at, Some(now() + SignedDuration::from_hours(11)));
}

#[test]
fn the_adaptive_policy_grows_to_twice_the_demand_or_doubles_when_throttled() {
    let minutes = |sum: u64| Sums {
        sums: vec![Some(sum); 7],
        ..Sums::default()
    };
    let mut busy = input(10, 0);
    let policy = Adaptive::default();
    assert_eq!(target(policy.scale_up(&busy)), Ok(15));
    busy.recent = Traffic {
        start: after(now(), -SignedDuration::from_mins(10)),
        period: Period::Minute,
        bytes: minutes(8 * SHARD_BYTES / 5),
        records: minutes(1000),
        rejected: minutes(0),
        outgoing: None,
    };
    assert_eq!(target(policy.scale_up(&busy)), Ok(16));
    busy.recent.rejected = minutes(10);
    assert_eq!(target(policy.scale_up(&busy)), Ok(20));
    busy.active_since = Some(now());
    assert_eq!(target(policy.scale_up(&busy)), Ok(16));
}

#[test]
fn the_fading_peak_is_exact_to_a_millionth_over_14_days() {
    let fade = Fade::new(300, 12 * 3600);
    let mut peak = Peak::default().max(Demand(7 * Demand::ONE_SHARD), 0);
    for i in 1..=14 * 288 {
        peak = peak.faded(fade);
        let exact = 7.0 * Demand::ONE_SHARD as f64 * (-f64::from(i) / 144.0).exp2();
        // The demand is rounded up to one unit, which is 2 parts in 10^12 of a shard.
        let error = (peak.demand().0 as f64 - exact).abs();
        assert!(error <= exact / 1e6 + 1.0, "period {i}: {error}");
    }
}

proptest! {
    #[test]
    fn a_scale_down_keeps_its_promises(
        n in 1_u32..2000, used in 0_u64..100_000, more in 0_u64..10_000,
        scaled in 0_i64..120, rejected in 0_usize..24, calls in 0_usize..=10,
    ) {
        let case = |used| {
            let mut case = input(n, used);
            case.scaled_at = Some(after(now(), -SignedDuration::from_mins(scaled)));
            case.history.rejected.sums[WEEK - 1 - rejected] = Some(1);
            case.calls_left = calls;
            target(Adaptive::default().scale_down(&case))
        };
        if let Ok(to) = case(used) {
            prop_assert!(to >= n.div_ceil(2) && to < n);
            prop_assert!(scaled >= 60 && rejected >= 12 && calls > 3);
            prop_assert!(case(used + more).unwrap_or(n) >= to);
        }
    }
}
