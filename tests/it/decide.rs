//! The decision, over its whole small domain and case by case.

use autoscaler_core::{
    alarm::{Alarm, State},
    decide::{Action, Decision, Fact, Verdict, decide, scale_up_target},
    facts::{Fetched, Observation, Series, StreamStatus, StreamSummary},
    reason::Reason,
    scaling::{Log, Outcome, Scaling},
    subscription::Subscription,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

mod holds;

use crate::scene::{ARN, ago, down, now, scene, subscription, up};

fn row(at: Timestamp, from: u32, to: u32, outcome: Outcome) -> Scaling {
    Scaling {
        stream_name: "orders".to_owned(),
        at,
        from,
        to,
        expires_at: now(),
        outcome,
        stream_arn: ARN.to_owned(),
        reason: None,
        alarm: None,
        usage: None,
        note: None,
        host: None,
        version: None,
        intent_id: None,
    }
}

/// The log cannot be read, and this process knows of nothing.
fn away() -> Log {
    known(Vec::new())
}

/// The log cannot be read, and this process knows of these.
fn known(scalings: Vec<Scaling>) -> Log {
    Log {
        scalings,
        unread: Some("away".to_owned()),
        ..Log::default()
    }
}

fn decided(subscription: &Subscription, seen: &Observation) -> Decision {
    match decide(subscription, seen, now()) {
        Verdict::Decided(decision) => decision,
        Verdict::Need(fact) => panic!("nothing is missing, and still {fact:?} is asked for"),
    }
}

#[track_caller]
fn check(seen: &Observation, action: Action, reason: Reason) {
    check_with(&subscription(), seen, action, reason);
}

#[track_caller]
fn check_with(subscription: &Subscription, seen: &Observation, action: Action, reason: Reason) {
    let decision = decided(subscription, seen);
    assert_eq!(
        (decision.action, decision.reason),
        (action, reason),
        "{}",
        decision.detail
    );
}

#[test]
fn scale_up_targets_are_the_originals() {
    for (n, target) in [
        (1, 2),
        (2, 4),
        (3, 6),
        (4, 6),
        (7, 11),
        (50, 75),
        (51, 64),
        (100, 125),
        (1000, 1250),
    ] {
        assert_eq!(scale_up_target(n), target, "from {n}");
        check(&up(n), Action::ScaleUp { to: target }, Reason::Alarm);
    }
}

#[test]
fn scale_down_aims_for_half_usage_and_never_more_than_halves() {
    for (n, used, expected) in [
        (10, 4.0, Some(8)),
        (10, 2.6, Some(6)),
        (10, 0.1, Some(5)),
        (10, 5.0, None),
        (10, 7.5, None),
        (3, 0.0, Some(2)),
        (2, 0.0, Some(1)),
        (9, 0.0, Some(5)),
    ] {
        match expected {
            Some(to) => check(&down(n, used), Action::ScaleDown { to }, Reason::Alarm),
            None => check(&down(n, used), Action::Hold, Reason::AtTarget),
        }
    }
    check(&down(1, 0.0), Action::Hold, Reason::AtMinShards);
}

#[test]
fn records_count_as_bytes_do() {
    let mut seen = down(10, 0.1);
    let points = vec![(ago(600), 2.6 * 1000.0 * 300.0)];
    seen.traffic.as_mut().expect("traffic").records = Series {
        points,
        complete: true,
    };
    check(&seen, Action::ScaleDown { to: 6 }, Reason::Alarm);
}

#[test]
fn every_count_that_a_stream_can_have_scales_within_the_limits_of_aws() {
    for n in 1..=10_000 {
        match decided(&subscription(), &up(n)).action {
            Action::ScaleUp { to } => {
                assert!(to > n && to <= 2 * n && to <= 10_000, "{n} up to {to}")
            }
            Action::Hold => assert_eq!(n, 10_000, "only a stream at the limit cannot grow"),
            other => panic!("{n}: {other:?}"),
        }
        match decided(&subscription(), &down(n, 0.0)).action {
            Action::ScaleDown { to } => assert!(to < n && to >= n.div_ceil(2), "{n} down to {to}"),
            Action::Hold => assert_eq!(n, 1, "only a stream of one shard cannot shrink"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn states_of_the_pair() {
    use State::{Alarm, InsufficientData, Ok};
    for (up, down, action, reason) in [
        (Ok, Ok, Action::Hold, Reason::NoAlarm),
        (
            InsufficientData,
            InsufficientData,
            Action::Hold,
            Reason::NoAlarm,
        ),
        (Alarm, Ok, Action::ScaleUp { to: 15 }, Reason::Alarm),
        (Ok, Alarm, Action::ScaleDown { to: 5 }, Reason::Alarm),
        (
            InsufficientData,
            Alarm,
            Action::ScaleDown { to: 5 },
            Reason::Alarm,
        ),
        (Alarm, Alarm, Action::ScaleUp { to: 15 }, Reason::Alarm),
    ] {
        check(&scene(10, up, down, 0.0), action, reason);
    }
}

#[test]
fn bounds_clamp_and_a_clamp_to_the_present_count_holds() {
    for (n, min, max, action, reason) in [
        (4, 1, 5, Action::ScaleUp { to: 5 }, Reason::Alarm),
        (4, 1, 4, Action::Hold, Reason::AtMaxShards),
        (4, 1, 3, Action::Hold, Reason::AtMaxShards),
        (10_000, 1, 10_000, Action::Hold, Reason::AtMaxShards),
        (
            9_000,
            1,
            10_000,
            Action::ScaleUp { to: 10_000 },
            Reason::Alarm,
        ),
    ] {
        let bounded = Subscription {
            min_shards: min,
            max_shards: max,
            ..subscription()
        };
        check_with(&bounded, &up(n), action, reason);
    }
    for (n, min, action, reason) in [
        (10, 7, Action::ScaleDown { to: 7 }, Reason::Alarm),
        (10, 10, Action::Hold, Reason::AtMinShards),
        (10, 12, Action::Hold, Reason::AtMinShards),
    ] {
        let bounded = Subscription {
            min_shards: min,
            ..subscription()
        };
        check_with(&bounded, &down(n, 0.0), action, reason);
    }
}

#[test]
fn both_bounds_count_for_both_directions() {
    let bounded = |min_shards, max_shards| Subscription {
        min_shards,
        max_shards,
        ..subscription()
    };
    check_with(
        &bounded(8, 100),
        &up(4),
        Action::ScaleUp { to: 8 },
        Reason::Alarm,
    );
    check_with(
        &bounded(20, 100),
        &up(10),
        Action::ScaleUp { to: 20 },
        Reason::Alarm,
    );
    check_with(
        &bounded(30, 100),
        &up(10),
        Action::ScaleUp { to: 20 },
        Reason::Alarm,
    );
    check_with(
        &bounded(1, 60),
        &down(100, 45.0),
        Action::ScaleDown { to: 60 },
        Reason::Alarm,
    );
    check_with(
        &bounded(1, 40),
        &down(100, 10.0),
        Action::ScaleDown { to: 50 },
        Reason::Alarm,
    );
}

#[test]
fn cooldowns_hold_their_own_direction() {
    let with = |up: u64, down: u64| Subscription {
        cooldown_up: std::time::Duration::from_secs(up),
        cooldown_down: std::time::Duration::from_secs(down),
        ..subscription()
    };
    let scaled = |mut seen: Observation| {
        seen.log = Some(Log::whole(vec![row(ago(600), 2, 4, Outcome::Done)]));
        seen
    };
    check_with(
        &with(900, 0),
        &scaled(up(4)),
        Action::Hold,
        Reason::Cooldown,
    );
    check_with(
        &with(600, 0),
        &scaled(up(4)),
        Action::ScaleUp { to: 6 },
        Reason::Alarm,
    );
    check_with(
        &with(0, 900),
        &scaled(up(4)),
        Action::ScaleUp { to: 6 },
        Reason::Alarm,
    );
    check_with(
        &with(0, 900),
        &scaled(down(4, 0.0)),
        Action::Hold,
        Reason::Cooldown,
    );
    check_with(
        &with(900, 0),
        &scaled(down(4, 0.0)),
        Action::ScaleDown { to: 2 },
        Reason::Alarm,
    );
}

#[test]
fn the_days_calls_are_counted_and_some_kept_for_scale_ups() {
    let after = |calls: i64, outcome: Outcome, mut seen: Observation| {
        let rows = (0..calls)
            .map(|i| row(ago(80_000 - i * 3600), 2, 4, outcome))
            .collect();
        seen.log = Some(Log::whole(rows));
        seen
    };
    for (calls, ups, downs) in [
        (0, true, true),
        (6, true, true),
        (7, true, false),
        (9, true, false),
        (10, false, false),
    ] {
        let up = decided(&subscription(), &after(calls, Outcome::Done, up(4)));
        let down = decided(&subscription(), &after(calls, Outcome::Done, down(4, 0.0)));
        assert_eq!(
            up.action != Action::Hold,
            ups,
            "scale up after {calls}: {}",
            up.detail
        );
        assert_eq!(
            down.action != Action::Hold,
            downs,
            "scale down after {calls}: {}",
            down.detail
        );
    }
    let spent = decided(&subscription(), &after(10, Outcome::Done, up(4)));
    assert_eq!(spent.reason, Reason::DailyLimit);
    assert_eq!(
        spent.recheck_at,
        Some(ago(80_000) + SignedDuration::from_mins(24 * 60 + 1)),
        "the next slot: {}",
        spent.detail
    );
    check(
        &after(10, Outcome::NotApplied, up(4)),
        Action::ScaleUp { to: 6 },
        Reason::Alarm,
    );
    let none_left = Subscription {
        reserved_scale_ups: 10,
        ..subscription()
    };
    check_with(&none_left, &down(4, 0.0), Action::Hold, Reason::DailyLimit);
    let mut refused = up(4);
    refused.log = Some(Log::whole(vec![row(ago(600), 4, 6, Outcome::Refused)]));
    check(&refused, Action::Hold, Reason::DailyLimit);
    refused.log = Some(Log::whole(vec![row(ago(900), 4, 6, Outcome::Refused)]));
    check(&refused, Action::ScaleUp { to: 6 }, Reason::Alarm);
}

#[test]
fn what_was_left_open_is_settled_by_the_count_that_aws_tells() {
    for (n, begun, settled) in [
        (4, ago(5), Some(Outcome::Done)),
        (5, ago(5), Some(Outcome::Superseded)),
        (2, ago(59), None),
        (2, ago(60), Some(Outcome::NotApplied)),
    ] {
        let mut seen = scene(n, State::Ok, State::Ok, 0.0);
        (seen.needs_inspection, seen.must_settle) = (true, true);
        seen.log = Some(Log::whole(vec![row(begun, 2, 4, Outcome::Open)]));
        let decision = decided(&subscription(), &seen);
        match settled {
            None => assert_eq!(
                decision.reason,
                Reason::Settling,
                "{n}: {}",
                decision.detail
            ),
            Some(outcome) => {
                // What never took effect leaves nothing to mend.
                let action = match outcome {
                    Outcome::NotApplied => Action::Hold,
                    _ => Action::SyncAlarms { to: n },
                };
                assert_eq!(decision.action, action, "{n}: {}", decision.detail);
                let outcomes: Vec<Outcome> = decision
                    .settles
                    .iter()
                    .map(|(_, outcome)| *outcome)
                    .collect();
                assert_eq!(outcomes, [outcome], "with {n} shards");
            }
        }
    }
}

#[test]
fn a_scaling_left_open_ends_when_its_stream_is_gone_or_on_demand() {
    let on_demand = StreamSummary {
        on_demand: true,
        ..up(4).stream.found().expect("it is there").clone()
    };
    for (stream, reason) in [
        (Fetched::Missing, Reason::StreamMissing),
        (Fetched::Found(on_demand), Reason::OnDemand),
    ] {
        for (age, ended) in [(59, 0), (60, 1)] {
            let mut seen = up(4);
            (seen.needs_inspection, seen.must_settle) = (true, true);
            seen.stream = stream.clone();
            seen.open = Some(row(ago(age), 2, 4, Outcome::Open));
            let decision = decided(&subscription(), &seen);
            assert_eq!(decision.reason, reason);
            let superseded = |(_, outcome): &&_| *outcome == Outcome::Superseded;
            let settled = decision.settles.iter().filter(superseded).count();
            assert_eq!(settled, ended, "{reason:?}, {age} s after it began");
        }
    }
}

#[test]
fn a_scaling_that_never_took_effect_does_not_keep_the_alarm_waiting() {
    let mut seen = up(4);
    seen.log = Some(Log::whole(vec![row(ago(59), 4, 6, Outcome::Open)]));
    check(&seen, Action::Hold, Reason::Settling);
    seen.log = Some(Log::whole(vec![row(ago(61), 4, 6, Outcome::Open)]));
    check(&seen, Action::ScaleUp { to: 6 }, Reason::Alarm);
    assert_eq!(
        decided(&subscription(), &seen).settles.len(),
        1,
        "it is logged as well"
    );
}

#[test]
fn nothing_is_read_that_an_earlier_rule_makes_needless() {
    let of_poll = |direction: fn(u32) -> Observation, n: u32| {
        let whole = direction(n);
        let in_alarm = |seen: Fetched<Alarm>| {
            if seen.found().is_some_and(|a| a.state == State::Alarm) {
                seen
            } else {
                Fetched::Unread
            }
        };
        Observation {
            up: in_alarm(whole.up),
            down: in_alarm(whole.down),
            ..Observation::default()
        }
    };
    let reads = |mut seen: Observation, whole: Observation| {
        let mut reads = Vec::new();
        while let Verdict::Need(fact) = decide(&subscription(), &seen, now()) {
            match fact {
                Fact::Pair => (seen.up, seen.down) = (whole.up.clone(), whole.down.clone()),
                Fact::Stream => seen.stream = whole.stream.clone(),
                Fact::Log => seen.log = whole.log.clone(),
                Fact::Traffic => seen.traffic = whole.traffic.clone(),
            }
            reads.push(fact);
        }
        reads
    };
    let low = |n| down(n, 0.0);
    assert_eq!(reads(Observation::default(), up(4)), [], "a stream at rest");
    assert_eq!(
        reads(of_poll(low, 1), low(1)),
        [],
        "a stream of one shard whose scale-down alarm is stuck"
    );
    assert_eq!(
        reads(of_poll(up, 4), up(4)),
        [Fact::Pair, Fact::Stream, Fact::Log],
        "a scale-up"
    );
    assert_eq!(
        reads(of_poll(low, 4), low(4)),
        [Fact::Pair, Fact::Stream, Fact::Log, Fact::Traffic],
        "a scale-down"
    );
    let audit = Observation {
        needs_inspection: true,
        ..Observation::default()
    };
    assert_eq!(
        reads(audit, scene(4, State::Ok, State::Ok, 0.0)),
        [Fact::Pair, Fact::Stream],
        "an audit"
    );
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Ok),
        Just(State::Alarm),
        Just(State::InsufficientData)
    ]
}

proptest! {
    /// Whatever is seen, the target is inside every bound, and nothing changes direction.
    #[test]
    fn targets_respect_every_bound(
        n in 1u32..=10_000, recorded in 1u32..=10_000, same in any::<bool>(), up in states(), down in states(),
        used in 0.0..20_000.0f64, min in 1u32..=100, span in 0u32..=10_000, calls in 0usize..12,
    ) {
        let bounded = Subscription { min_shards: min, max_shards: (min + span).min(10_000), ..subscription() };
        let mut seen = scene(if same { n } else { recorded }, up, down, used);
        seen.stream = Fetched::Found(StreamSummary { arn: ARN.to_owned(), status: StreamStatus::Active, on_demand: false, open_shards: n });
        seen.log = Some(Log::whole((0..calls).map(|i| row(ago(90_000 - 7_000 * i as i64), 2, 4, Outcome::Done)).collect()));
        let decision = decided(&bounded, &seen);
        match decision.action {
            Action::ScaleUp { to } => prop_assert!(up == State::Alarm && to > n && to <= 2 * n && to <= bounded.max_shards),
            Action::ScaleDown { to } => prop_assert!(
                up != State::Alarm && down == State::Alarm && to < n && 2 * to >= n && to >= bounded.min_shards
                    && (f64::from(to) + 1e-6 >= used * 2.0 || to >= bounded.max_shards)
            ),
            Action::SyncAlarms { to } => prop_assert!(to == n && !same),
            Action::Hold => prop_assert!(!decision.detail.is_empty()),
        }
    }
}
