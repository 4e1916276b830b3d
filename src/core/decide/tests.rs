//! The decision, over its whole small domain and case by case.

use crate::{
    alarm::{Alarm, Direction, State},
    decide::{Inquiry, ReadTwice, calls_left, decide, may_reshard},
    decision::{Action, Conclusion, Decision, Fact, Verdict},
    facts::{Facts, Fetched, Series, StreamStatus, StreamSummary},
    policy::original::step_up,
    reason::Reason,
    scaling::{Outcome, RecentScalings, Scaling},
    subscription::Subscription,
    trigger::Trigger,
};
use jiff::SignedDuration;
use proptest::prelude::*;

mod adaptive;
mod constraints;
mod holds;

use crate::scene::{ARN, ago, down, now, row, scene, subscription, up};

/// The log cannot be read, and this process knows of nothing.
fn away() -> RecentScalings {
    known(Vec::new())
}

/// The log cannot be read, and this process knows of these.
fn known(scalings: Vec<Scaling>) -> RecentScalings {
    RecentScalings {
        scalings,
        unread: Some("away".to_owned()),
        ..RecentScalings::default()
    }
}

fn concluded(subscription: &Subscription, trigger: &Trigger, facts: &Facts) -> Conclusion {
    match decide(subscription, trigger, facts, now()) {
        Verdict::Concluded(conclusion) => *conclusion,
        Verdict::Need(fact) => panic!("nothing is missing, and still {fact:?} is asked for"),
    }
}

fn decided(subscription: &Subscription, facts: &Facts) -> Decision {
    concluded(subscription, &Trigger::Alarm, facts).decision
}

#[track_caller]
fn check(facts: &Facts, action: Option<Action>, reason: Reason) {
    check_with(&subscription(), facts, action, reason);
}

#[track_caller]
fn check_with(subscription: &Subscription, facts: &Facts, action: Option<Action>, reason: Reason) {
    let decision = decided(subscription, facts);
    assert_eq!(
        (decision.action(), decision.reason()),
        (action, reason),
        "{}",
        decision.detail()
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
fn states_of_the_pair() {
    use State::{Alarm, InsufficientData, Ok};
    for (up, down, action, reason) in [
        (Ok, Ok, None, Reason::NoAlarm),
        (InsufficientData, InsufficientData, None, Reason::NoAlarm),
        (Alarm, Ok, Some(Action::ScaleUp { to: 15 }), Reason::Alarm),
        (Ok, Alarm, Some(Action::ScaleDown { to: 5 }), Reason::Alarm),
        (
            InsufficientData,
            Alarm,
            Some(Action::ScaleDown { to: 5 }),
            Reason::Alarm,
        ),
        (
            Alarm,
            Alarm,
            Some(Action::ScaleUp { to: 15 }),
            Reason::Alarm,
        ),
    ] {
        check(&scene(10, up, down, 0.0), action, reason);
    }
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
fn cooldowns_hold_their_own_direction() {
    let with = |up: u64, down: u64| Subscription {
        cooldown_up: std::time::Duration::from_secs(up),
        cooldown_down: std::time::Duration::from_secs(down),
        ..subscription()
    };
    let scaled = |mut seen: Facts| {
        seen.scalings = Some(RecentScalings::complete(vec![row(
            ago(600),
            2,
            4,
            Outcome::Done,
        )]));
        seen
    };
    check_with(&with(900, 0), &scaled(up(4)), None, Reason::Cooldown);
    check_with(
        &with(600, 0),
        &scaled(up(4)),
        Some(Action::ScaleUp { to: 6 }),
        Reason::Alarm,
    );
    check_with(
        &with(0, 900),
        &scaled(up(4)),
        Some(Action::ScaleUp { to: 6 }),
        Reason::Alarm,
    );
    check_with(&with(0, 900), &scaled(down(4, 0.0)), None, Reason::Cooldown);
    check_with(
        &with(900, 0),
        &scaled(down(4, 0.0)),
        Some(Action::ScaleDown { to: 2 }),
        Reason::Alarm,
    );
}

#[test]
fn the_days_calls_are_counted_and_some_kept_for_scale_ups() {
    let after = |calls: i64, outcome: Outcome, mut seen: Facts| {
        let rows = (0..calls)
            .map(|i| row(ago(80_000 - i * 3600), 2, 4, outcome))
            .collect();
        seen.scalings = Some(RecentScalings::complete(rows));
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
            up.action().is_some(),
            ups,
            "scale up after {calls}: {}",
            up.detail()
        );
        assert_eq!(
            down.action().is_some(),
            downs,
            "scale down after {calls}: {}",
            down.detail()
        );
    }
    let spent = decided(&subscription(), &after(10, Outcome::Done, up(4)));
    assert_eq!(spent.reason(), Reason::DailyLimit);
    assert_eq!(
        spent.recheck_at(),
        Some(ago(80_000) + SignedDuration::from_mins(24 * 60 + 1)),
        "the next slot: {}",
        spent.detail()
    );
    check(
        &after(10, Outcome::NotApplied, up(4)),
        Some(Action::ScaleUp { to: 6 }),
        Reason::Alarm,
    );
    let none_left = Subscription {
        reserved_scale_ups: 10,
        ..subscription()
    };
    check_with(&none_left, &down(4, 0.0), None, Reason::DailyLimit);
    let mut refused = up(4);
    refused.scalings = Some(RecentScalings::complete(vec![row(
        ago(600),
        4,
        6,
        Outcome::Refused,
    )]));
    check(&refused, None, Reason::DailyLimit);
    refused.scalings = Some(RecentScalings::complete(vec![row(
        ago(900),
        4,
        6,
        Outcome::Refused,
    )]));
    check(&refused, Some(Action::ScaleUp { to: 6 }), Reason::Alarm);
}

#[test]
fn an_open_scaling_is_settled_by_the_count_of_an_active_stream() {
    for (n, begun, settled) in [
        (4, ago(5), Outcome::Done),
        (5, ago(5), Outcome::Superseded),
        (2, ago(60), Outcome::NotApplied),
    ] {
        let mut facts = scene(n, State::Ok, State::Ok, 0.0);
        facts.scalings = Some(RecentScalings::complete(vec![row(
            begun,
            2,
            4,
            Outcome::Open,
        )]));
        let conclusion = concluded(&subscription(), &Trigger::Recovery(None), &facts);
        // What never took effect needs no repair.
        let action = match settled {
            Outcome::NotApplied => None,
            _ => Some(Action::SyncAlarms { to: n }),
        };
        let decision = &conclusion.decision;
        assert_eq!(decision.action(), action, "{n}: {}", decision.detail());
        let outcomes = conclusion.settlements.iter().map(|it| it.outcome);
        assert_eq!(outcomes.collect::<Vec<_>>(), [settled], "with {n} shards");
    }
}

#[test]
fn a_lost_call_is_repeated_for_the_same_target_and_given_up_after_a_minute() {
    let open = |age: i64, from: u32, to: u32| {
        let mut facts = up(from);
        let open = row(ago(age), from, to, Outcome::Open);
        facts.scalings = Some(RecentScalings::complete(vec![open]));
        concluded(&subscription(), &Trigger::Alarm, &facts)
    };
    for (age, from, to, action) in [
        (0, 4, 6, Some(Action::ScaleUp { to: 6 })),
        (29, 4, 8, Some(Action::ScaleUp { to: 8 })),
        (29, 4, 2, Some(Action::ScaleDown { to: 2 })),
        // Another process may give it up soon: too late to send it.
        (30, 4, 8, None),
        (59, 4, 8, None),
    ] {
        let conclusion = open(age, from, to);
        let decision = &conclusion.decision;
        assert_eq!(decision.action(), action, "{age} s: {}", decision.detail());
        let resumed = conclusion.resumes.map(|row| row.to);
        assert_eq!(
            resumed,
            action.map(Action::target),
            "the same intent, {age} s"
        );
        assert_eq!(conclusion.settlements, [], "{age} s: it is still open");
    }
    let given_up = open(60, 4, 8);
    assert_eq!(given_up.decision.action(), Some(Action::ScaleUp { to: 6 }));
    assert_eq!(given_up.resumes, None, "decided anew, under a new intent");
    let outcomes = given_up.settlements.iter().map(|it| it.outcome);
    assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::NotApplied]);
}

#[test]
fn an_open_scaling_ends_when_its_stream_is_gone_or_on_demand() {
    let on_demand = StreamSummary {
        on_demand: true,
        ..up(4).stream.found().expect("it is there").clone()
    };
    for (stream, reason) in [
        (Fetched::Missing, Reason::StreamMissing),
        (Fetched::Found(on_demand), Reason::OnDemand),
    ] {
        for (age, ended) in [(59, 0), (60, 1)] {
            let mut facts = up(4);
            facts.stream = stream.clone();
            let open = Box::new(row(ago(age), 2, 4, Outcome::Open));
            let trigger = Trigger::Recovery(Some(open));
            let conclusion = concluded(&subscription(), &trigger, &facts);
            assert_eq!(conclusion.decision.reason(), reason);
            let outcomes = conclusion.settlements.iter().map(|it| it.outcome);
            let superseded = outcomes.filter(|it| *it == Outcome::Superseded).count();
            assert_eq!(superseded, ended, "{reason:?}, {age} s after it began");
        }
    }
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
fn no_fact_is_asked_for_twice() {
    let (subscription, facts) = (subscription(), Facts::default());
    let mut inquiry = Inquiry::new(&subscription, &Trigger::Audit);
    let first = inquiry.next(&facts, now());
    assert_eq!(first, Ok(Verdict::Need(Fact::Pair)));
    // Nothing was read into the facts.
    let second = inquiry.next(&facts, now());
    assert_eq!(second, Err(ReadTwice(Fact::Pair)));
}

#[test]
fn nothing_is_read_that_an_earlier_rule_makes_unnecessary() {
    let of_poll = |direction: fn(u32) -> Facts, n: u32| {
        let whole = direction(n);
        let in_alarm = |seen: Fetched<Alarm>| {
            if seen.found().is_some_and(|a| a.state == State::Alarm) {
                seen
            } else {
                Fetched::Unread
            }
        };
        Facts {
            up: in_alarm(whole.up),
            down: in_alarm(whole.down),
            ..Facts::default()
        }
    };
    let reads = |trigger: &Trigger, min_shards: u32, mut seen: Facts, whole: &Facts| {
        let subscription = Subscription {
            min_shards,
            ..subscription()
        };
        let mut reads = Vec::new();
        while let Verdict::Need(fact) = decide(&subscription, trigger, &seen, now()) {
            match fact {
                Fact::Pair => (seen.up, seen.down) = (whole.up.clone(), whole.down.clone()),
                Fact::Stream => seen.stream = whole.stream.clone(),
                Fact::Scalings => seen.scalings = whole.scalings.clone(),
                Fact::Traffic => seen.traffic = whole.traffic.clone(),
                Fact::Consumers => seen.iterator_ages = whole.iterator_ages.clone(),
                Fact::Switches(_) => seen.switches = whole.switches.clone(),
            }
            reads.push(fact);
        }
        reads
    };
    let low = |n| down(n, 0.0);
    let resting = scene(4, State::Ok, State::Ok, 0.0);
    let mut resharded = resting.clone();
    if let Fetched::Found(stream) = &mut resharded.stream {
        stream.open_shards = 5;
    }
    let mut broken = of_poll(up, 4);
    if let Fetched::Found(alarm) = &mut broken.up {
        alarm.shard_count = None;
    }
    let nothing = Facts::default();
    let to_the_log = &[Fact::Pair, Fact::Stream, Fact::Scalings][..];
    let to_the_stream = &to_the_log[..2];
    let switches = Fact::Switches;
    let all_up = &[
        Fact::Pair,
        Fact::Stream,
        Fact::Scalings,
        switches(Direction::Up),
    ];
    let all_down = &[
        Fact::Pair,
        Fact::Stream,
        Fact::Scalings,
        Fact::Traffic,
        switches(Direction::Down),
    ];
    let (alarm, audit, recovery) = (Trigger::Alarm, Trigger::Audit, Trigger::Recovery(None));
    for (what, trigger, min_shards, seen, whole, expected) in [
        (
            "a stream at rest",
            &alarm,
            1,
            nothing.clone(),
            &up(4),
            &[][..],
        ),
        (
            "a scale-down alarm stuck at 1 shard",
            &alarm,
            1,
            of_poll(low, 1),
            &low(1),
            &[],
        ),
        (
            "a scale-down alarm stuck at the minimum",
            &alarm,
            4,
            of_poll(low, 4),
            &low(4),
            &[],
        ),
        ("a broken alarm", &alarm, 1, broken, &up(4), &[]),
        ("a scale-up", &alarm, 1, of_poll(up, 4), &up(4), all_up),
        (
            "a scale-down",
            &alarm,
            1,
            of_poll(low, 4),
            &low(4),
            all_down,
        ),
        (
            "an audit",
            &audit,
            1,
            nothing.clone(),
            &resting,
            to_the_stream,
        ),
        (
            "an audit at the minimum",
            &audit,
            4,
            nothing.clone(),
            &resting,
            to_the_stream,
        ),
        (
            "an audit below the minimum",
            &audit,
            5,
            nothing.clone(),
            &resting,
            all_up,
        ),
        (
            "an audit out of sync",
            &audit,
            1,
            nothing.clone(),
            &resharded,
            to_the_log,
        ),
        (
            "a recovery",
            &recovery,
            1,
            nothing.clone(),
            &resting,
            to_the_log,
        ),
    ] {
        assert_eq!(reads(trigger, min_shards, seen, whole), expected, "{what}");
    }
}

#[test]
fn a_missing_alarm_is_told_apart_from_a_missing_stream() {
    let unread = Facts {
        down: Fetched::Missing,
        stream: Fetched::Unread,
        ..up(4)
    };
    let verdict = decide(&subscription(), &Trigger::Alarm, &unread, now());
    assert_eq!(verdict, Verdict::Need(Fact::Stream));
    let missing = Facts {
        stream: Fetched::Missing,
        ..unread.clone()
    };
    let decision = decided(&subscription(), &missing);
    assert_eq!(decision.reason(), Reason::StreamMissing);
    let detail = decision.detail();
    assert!(detail.contains("and then its alarms"), "{detail}");
    let found = Facts {
        stream: up(4).stream,
        ..unread
    };
    let decision = decided(&subscription(), &found);
    assert_eq!(decision.reason(), Reason::Contract);
}

#[test]
fn a_scale_down_waits_for_consumers_and_a_scale_up_does_not() {
    let bounded = Subscription {
        max_iterator_age: Some(std::time::Duration::from_secs(600)),
        ..subscription()
    };
    let behind = |facts: Facts, seconds: f64| Facts {
        iterator_ages: Some(Series {
            points: vec![(ago(60), seconds * 1000.0)],
            complete: true,
        }),
        ..facts
    };
    let shrinks = Some(Action::ScaleDown { to: 2 });
    for (seconds, action, reason) in [
        (0.0, shrinks, Reason::Alarm),
        (600.0, shrinks, Reason::Alarm),
        (601.0, None, Reason::ConsumersBehind),
    ] {
        check_with(&bounded, &behind(down(4, 0.0), seconds), action, reason);
        check(&behind(down(4, 0.0), seconds), shrinks, Reason::Alarm);
    }
    for (seconds, complete) in [(0.0, false), (f64::NAN, true)] {
        let mut partial = behind(down(4, 0.0), seconds);
        partial.iterator_ages.as_mut().expect("it is set").complete = complete;
        check_with(&bounded, &partial, None, Reason::NoData);
    }
    let grows = Some(Action::ScaleUp { to: 6 });
    check_with(&bounded, &behind(up(4), 9_999.0), grows, Reason::Alarm);
    let verdict = decide(&bounded, &Trigger::Alarm, &down(4, 0.0), now());
    assert_eq!(verdict, Verdict::Need(Fact::Consumers));
}

#[test]
fn a_call_is_free_again_a_day_and_a_minute_after_its_row() {
    for (age, action, reason) in [
        (86_459, None, Reason::DailyLimit),
        (86_460, Some(Action::ScaleUp { to: 6 }), Reason::Alarm),
    ] {
        let mut facts = up(4);
        let rows = vec![row(ago(age), 2, 4, Outcome::Done); 10];
        facts.scalings = Some(RecentScalings::complete(rows));
        check(&facts, action, reason);
    }
}

#[test]
fn the_detail_of_a_decision_names_what_it_rests_on() {
    let mut without_a_time = up(4);
    if let Fetched::Found(alarm) = &mut without_a_time.up {
        alarm.state_updated_at = None;
    }
    let mut below = up(4);
    below.up = scene(4, State::Ok, State::Ok, 0.0).up;
    let at_least_6 = Subscription {
        min_shards: 6,
        ..subscription()
    };
    for (subscription, facts, told) in [
        (
            subscription(),
            up(4),
            "orders-scale-up-alarm has been in ALARM since 2026-11-22T11:59:00Z; ",
        ),
        (
            subscription(),
            without_a_time,
            "orders-scale-up-alarm is in ALARM; ",
        ),
        (
            subscription(),
            down(1, 0.0),
            "the minimum is 1 (min_shards)",
        ),
        (at_least_6, below, "fewer than min_shards = 6"),
    ] {
        let conclusion = concluded(&subscription, &Trigger::Audit, &facts);
        let detail = conclusion.decision.detail();
        assert!(detail.contains(told), "{told:?}: {detail}");
        let stream = facts.stream.found();
        assert_eq!(
            conclusion.shards,
            stream.map(|it| it.open_shards),
            "{detail}"
        );
    }
}

#[test]
fn an_alarm_may_reshard_unless_it_is_switched_off() {
    let may = |facts: &Facts| may_reshard(&subscription(), facts, now());
    assert!(may(&up(4)) && may(&down(4, 0.0)));
    assert!(
        !may(&scene(4, State::Ok, State::Ok, 0.0)),
        "none is in ALARM"
    );
    assert!(!may(&down(1, 0.0)), "1 shard is the minimum");
    let mut paused = up(4);
    if let Fetched::Found(alarm) = &mut paused.up {
        alarm.actions_enabled = false;
    }
    assert!(!may(&paused), "a person disabled its actions");
}

#[test]
fn calls_left_counts_the_rolling_day_and_the_minute_that_a_row_is_early() {
    const DAY: i64 = 24 * 3600;
    for (ages, left) in [
        (vec![], 10),
        (vec![0, 3600, DAY], 7),
        (vec![DAY + 59, DAY + 60, 30 * DAY], 9),
        // By another host's clock.
        (vec![-3600], 9),
        (vec![-DAY - 60], 10),
        (vec![60; 10], 0),
        (vec![60; 12], 0),
    ] {
        let calls = ages.iter().map(|age| ago(*age));
        assert_eq!(calls_left(calls, now()), left, "{ages:?} s ago");
    }
}

#[test]
fn what_never_took_effect_is_settled_and_does_not_count_toward_the_daily_limit() {
    for (done, action) in [(6, Some(Action::ScaleDown { to: 2 })), (7, None)] {
        let mut rows: Vec<_> = (0..done)
            .map(|i| row(ago(80_000 - i * 3600), 2, 4, Outcome::Done))
            .collect();
        rows.push(row(ago(90), 4, 6, Outcome::Open));
        let mut facts = down(4, 0.0);
        facts.scalings = Some(RecentScalings::complete(rows));
        let conclusion = concluded(&subscription(), &Trigger::Alarm, &facts);
        let decision = &conclusion.decision;
        assert_eq!(
            decision.action(),
            action,
            "after {done}: {}",
            decision.detail()
        );
        let outcomes = conclusion.settlements.iter().map(|it| it.outcome);
        assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::NotApplied]);
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
        seen.stream = Fetched::Found(StreamSummary { arn: ARN.to_owned(), status: StreamStatus::Active, on_demand: false, open_shards: n });
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
