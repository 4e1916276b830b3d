//! How many shards a followed alarm asks for, and the bounds that limit it.

use proptest::prelude::*;

use super::{check, check_with, concluded, decided};
use crate::{
    alarm::State,
    decision::Action,
    facts::{Fetched, Series, StreamStatus, StreamSummary},
    policy::original::step_up,
    reason::Reason,
    scaling::{Outcome, RecentScalings},
    scene::{ARN, ago, down, row, scene, subscription, up},
    subscription::Subscription,
    trigger::Trigger,
};

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
        assert_eq!(step_up(n), target, "from {n}");
        check(&up(n), Some(Action::ScaleUp { to: target }), Reason::Alarm);
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
            Some(to) => check(
                &down(n, used),
                Some(Action::ScaleDown { to }),
                Reason::Alarm,
            ),
            None => check(&down(n, used), None, Reason::AtTarget),
        }
    }
    check(&down(1, 0.0), None, Reason::AtMinShards);
}

#[test]
fn records_count_as_bytes_do() {
    let mut seen = down(10, 0.1);
    let points = vec![(ago(600), 2.6 * 1000.0 * 300.0)];
    seen.traffic.as_mut().expect("traffic").records = Series {
        points,
        complete: true,
    };
    check(&seen, Some(Action::ScaleDown { to: 6 }), Reason::Alarm);
}

#[test]
fn every_count_that_a_stream_can_have_scales_within_the_limits_of_aws() {
    for n in 1..=10_000 {
        match decided(&subscription(), &up(n)).action() {
            Some(Action::ScaleUp { to }) => {
                assert!(to > n && to <= 2 * n && to <= 10_000, "{n} up to {to}")
            }
            None => assert_eq!(n, 10_000, "only a stream at the limit cannot grow"),
            other => panic!("{n}: {other:?}"),
        }
        match decided(&subscription(), &down(n, 0.0)).action() {
            Some(Action::ScaleDown { to }) => {
                assert!(to < n && to >= n.div_ceil(2), "{n} down to {to}")
            }
            None => assert_eq!(n, 1, "only a stream of one shard cannot shrink"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn bounds_clamp_and_a_clamp_to_the_present_count_holds() {
    for (n, min, max, action, reason) in [
        (4, 1, 5, Some(Action::ScaleUp { to: 5 }), Reason::Alarm),
        (4, 1, 4, None, Reason::AtMaxShards),
        (4, 1, 3, None, Reason::AtMaxShards),
        (10_000, 1, 10_000, None, Reason::AtMaxShards),
        (
            9_000,
            1,
            10_000,
            Some(Action::ScaleUp { to: 10_000 }),
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
        (10, 7, Some(Action::ScaleDown { to: 7 }), Reason::Alarm),
        (10, 10, None, Reason::AtMinShards),
        (10, 12, None, Reason::AtMinShards),
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
        Some(Action::ScaleUp { to: 8 }),
        Reason::Alarm,
    );
    check_with(
        &bounded(20, 100),
        &up(10),
        Some(Action::ScaleUp { to: 20 }),
        Reason::Alarm,
    );
    check_with(
        &bounded(30, 100),
        &up(10),
        Some(Action::ScaleUp { to: 20 }),
        Reason::Alarm,
    );
    check_with(
        &bounded(1, 60),
        &down(100, 45.0),
        Some(Action::ScaleDown { to: 60 }),
        Reason::Alarm,
    );
    check_with(
        &bounded(1, 40),
        &down(100, 10.0),
        Some(Action::ScaleDown { to: 50 }),
        Reason::Alarm,
    );
}

#[test]
fn a_stream_below_its_minimum_is_scaled_up_to_it_in_steps_that_aws_allows() {
    let at_least = |min_shards| Subscription {
        min_shards,
        ..subscription()
    };
    let resting = |n| scene(n, State::Ok, State::Ok, 0.0);
    for (n, min, to) in [
        (4, 6, Some(6)),
        (4, 20, Some(8)),
        (4, 4, None),
        (5, 4, None),
    ] {
        let conclusion = concluded(&at_least(min), &Trigger::Audit, &resting(n));
        let action = conclusion.decision.action();
        let expected = to.map(|to| Action::ScaleUp { to });
        assert_eq!(action, expected, "{n} shards, min_shards = {min}");
        if to.is_some() {
            assert_eq!(conclusion.decision.reason(), Reason::BelowMin);
        }
    }
    // A scale-down alarm does not keep it from growing; a paused scale-up alarm does.
    let low = scene(4, State::Ok, State::Alarm, 0.0);
    let conclusion = concluded(&at_least(6), &Trigger::Audit, &low);
    assert_eq!(
        conclusion.decision.action(),
        Some(Action::ScaleUp { to: 6 })
    );
    let mut paused = resting(4);
    if let Fetched::Found(alarm) = &mut paused.up {
        alarm.actions_enabled = false;
    }
    let conclusion = concluded(&at_least(6), &Trigger::Audit, &paused);
    assert_eq!(conclusion.decision.reason(), Reason::Paused);
}

#[test]
fn what_the_policy_asks_for_is_told_whatever_keeps_the_stream_from_it() {
    let with = |min_shards, max_shards, cooldown| Subscription {
        min_shards,
        max_shards,
        cooldown_up: std::time::Duration::from_secs(cooldown),
        ..subscription()
    };
    let scaled = |outcome| {
        let mut seen = up(4);
        let scaling = row(ago(600), 4, 6, outcome);
        seen.scalings = Some(RecentScalings::complete(vec![scaling]));
        seen
    };
    let cases = [
        (with(1, 5, 0), up(4), Reason::Alarm, Some(6)),
        (with(1, 4, 0), up(4), Reason::AtMaxShards, Some(6)),
        (with(8, 8, 0), up(4), Reason::Alarm, Some(8)),
        (
            with(1, 9, 900),
            scaled(Outcome::Done),
            Reason::Cooldown,
            Some(6),
        ),
        (
            with(1, 9, 0),
            scaled(Outcome::Refused),
            Reason::DailyLimit,
            Some(6),
        ),
        (with(9, 9, 0), down(4, 0.0), Reason::BelowMin, Some(9)),
        (with(1, 9, 0), down(10, 2.6), Reason::Alarm, Some(6)),
        (with(1, 99, 0), down(10, 5.0), Reason::AtTarget, None),
    ];
    for (subscription, seen, reason, wanted) in cases {
        let concluded = concluded(&subscription, &Trigger::Audit, &seen);
        let detail = concluded.decision.detail();
        let told = (concluded.decision.reason(), concluded.wanted);
        assert_eq!(told, (reason, wanted), "{detail}");
    }
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
        seen.stream = Fetched::Found(StreamSummary { arn: ARN.to_owned(), status: StreamStatus::Active, on_demand: false, open_shards: n, created_at: None });
        seen.scalings = Some(RecentScalings::complete((0..calls).map(|i| row(ago(90_000 - 7_000 * i as i64), 2, 4, Outcome::Done)).collect()));
        let decision = decided(&bounded, &seen);
        match decision.action() {
            Some(Action::ScaleUp { to }) => prop_assert!(up == State::Alarm && to > n && to <= 2 * n && to <= bounded.max_shards),
            Some(Action::ScaleDown { to }) => prop_assert!(
                up != State::Alarm && down == State::Alarm && to < n && 2 * to >= n && to >= bounded.min_shards
                    && (f64::from(to) + 1e-6 >= used * 2.0 || to >= bounded.max_shards)
            ),
            Some(Action::SyncAlarms { to }) => prop_assert!(to == n && !same),
            None => prop_assert!(!decision.detail().is_empty()),
        }
    }
}
