//! The adaptive policy through the whole decision: what it promises, and what odd input comes to.

use std::{ops::Range, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::{concluded, decided, known};
use crate::{
    alarm::{Alarm, GapFill, State},
    decide::decide,
    decision::{Action, Fact, Verdict},
    facts::{Facts, Fetched, Series, Switches, Traffic},
    reason::Reason,
    scaling::{Outcome, RecentScalings},
    scene::{SHARD_BYTES, ago, row, scene, subscription},
    subscription::{Permille, Policy, Subscription},
    trigger::Trigger,
};

const DAY: i64 = 86_400;

fn adaptive() -> Subscription {
    Subscription {
        policy: Policy::Adaptive,
        ..subscription()
    }
}

/// `sum` in each of the periods that begin this many seconds ago.
fn series(ago_seconds: Range<i64>, period: i64, sum: f64) -> Series {
    let starts =
        (ago_seconds.start..ago_seconds.end).step_by(usize::try_from(period).expect("positive"));
    Series {
        points: starts.map(|seconds| (ago(seconds), sum)).collect(),
        complete: true,
    }
}

/// A week of `shards` used in bytes.
fn week(shards: f64) -> Traffic {
    let all = 300..7 * DAY + 300;
    Traffic {
        from: ago(7 * DAY),
        period_seconds: 300,
        bytes: series(all.clone(), 300, shards * SHARD_BYTES),
        records: series(all, 300, 0.0),
        ..scene(1, State::Ok, State::Ok, 0.0)
            .traffic
            .expect("the scene has traffic")
    }
}

/// Ten minutes of `shards` used in bytes, and `rejected` of 1,000 records a minute.
fn minutes(shards: f64, rejected: f64) -> Traffic {
    let all = 60..660;
    let mut traffic = week(0.0);
    (traffic.from, traffic.period_seconds) = (ago(600), 60);
    traffic.bytes = series(all.clone(), 60, shards * SHARD_BYTES / 5.0);
    traffic.records = series(all.clone(), 60, 1_000.0);
    traffic.rejected = series(all, 60, rejected);
    traffic
}

fn up(n: u32, traffic: Traffic) -> Facts {
    Facts {
        traffic: Some(traffic),
        ..scene(n, State::Alarm, State::Ok, 0.0)
    }
}

fn down(n: u32, traffic: Traffic) -> Facts {
    Facts {
        traffic: Some(traffic),
        ..scene(n, State::Ok, State::Alarm, 0.0)
    }
}

/// Both alarms take gaps for what they are: unknown.
fn without_fill(mut facts: Facts) -> Facts {
    for alarm in [&mut facts.up, &mut facts.down] {
        if let Fetched::Found(alarm) = alarm {
            alarm.fills_gaps = GapFill::default();
        }
    }
    facts
}

#[track_caller]
fn check(what: &str, facts: &Facts, action: Option<Action>, reason: Reason) {
    let decision = decided(&adaptive(), facts);
    let found = (decision.action(), decision.reason());
    assert_eq!(found, (action, reason), "{what}: {}", decision.detail());
}

#[test]
fn a_week_of_traffic_says_how_far_to_shrink() {
    for (n, used, expected) in [
        (10, 1.0, Some(5)),
        (10, 3.86, Some(7)),
        // 8 would save less than 30 %.
        (10, 3.88, None),
        (4, 0.0, Some(2)),
        (3, 0.0, Some(2)),
        // Of 2 shards, 1 saves a half.
        (2, 0.0, Some(1)),
    ] {
        let (action, reason) = match expected {
            Some(to) => (Some(Action::ScaleDown { to }), Reason::Alarm),
            None => (None, Reason::AtTarget),
        };
        check(
            &format!("{n} shards, {used} used"),
            &down(n, week(used)),
            action,
            reason,
        );
    }
}

#[test]
fn the_last_minutes_say_how_far_to_grow() {
    for (n, used, rejected, to) in [
        (10, 8.0, 0.0, 16),
        (10, 9.9, 0.0, 20),
        (10, 12.0, 0.0, 20),
        // The alarm asks for more, so there is one more at least.
        (10, 3.0, 0.0, 11),
        // More than 0.5 % rejected at half usage or more.
        (10, 5.0, 6.0, 20),
        (10, 5.0, 5.0, 11),
        // A hot shard: more shards would not help.
        (10, 4.9, 500.0, 11),
    ] {
        let what = format!("{n} shards, {used} used, {rejected} rejected");
        check(
            &what,
            &up(n, minutes(used, rejected)),
            Some(Action::ScaleUp { to }),
            Reason::Alarm,
        );
    }
}

#[test]
fn a_scale_up_does_not_need_traffic() {
    let step = Some(Action::ScaleUp { to: 15 });
    let mut partial = minutes(8.0, 0.0);
    partial.bytes.complete = false;
    let mut nan = minutes(8.0, 0.0);
    nan.records.points[3].1 = f64::NAN;
    let mut huge = minutes(8.0, 0.0);
    huge.bytes.points[3].1 = f64::MAX;
    let mut old = minutes(8.0, 0.0);
    old.from = ago(1800);
    old.bytes = series(660..1800, 60, 8.0 * SHARD_BYTES / 5.0);
    old.records.points.clear();
    let mut none = minutes(8.0, 0.0);
    (none.bytes.points, none.records.points) = (Vec::new(), Vec::new());
    let mut from_tomorrow = minutes(8.0, 0.0);
    from_tomorrow.bytes = series(-DAY..-DAY + 600, 60, 8.0 * SHARD_BYTES / 5.0);
    for (what, traffic) in [
        ("a partial answer", partial),
        ("not a number", nan),
        ("a sum beyond all traffic", huge),
        ("nothing from the last 10 minutes", old),
        ("no data", none),
        ("a clock that is slow by a day", from_tomorrow),
    ] {
        check(what, &up(10, traffic), step, Reason::Alarm);
    }
}

#[test]
fn one_metric_is_enough_to_grow_and_to_shrink_where_gaps_are_filled() {
    let mut bytes_only = minutes(8.0, 0.0);
    bytes_only.records.points.clear();
    check(
        "up",
        &up(10, bytes_only),
        Some(Action::ScaleUp { to: 16 }),
        Reason::Alarm,
    );
    let mut bytes_only = week(1.0);
    bytes_only.records.points.clear();
    let facts = down(10, bytes_only);
    check(
        "down, filled",
        &facts,
        Some(Action::ScaleDown { to: 5 }),
        Reason::Alarm,
    );
    check(
        "down, not filled",
        &without_fill(facts),
        None,
        Reason::NoData,
    );
}

#[test]
fn missing_history_never_shrinks_a_stream_unless_the_alarm_fills_it() {
    let keep = |traffic: &mut Traffic, keep: &dyn Fn(i64) -> bool| {
        for series in [&mut traffic.bytes, &mut traffic.records] {
            series
                .points
                .retain(|(at, _)| keep(ago(0).duration_since(*at).as_secs()));
        }
    };
    let shrinks = Some(Action::ScaleDown { to: 5 });
    type Kept = fn(i64) -> bool;
    let cases: [(&str, Kept, f64, Option<Action>); 5] = [
        ("2 hours of history", |age| age <= 7200, 1.0, shrinks),
        ("2 hours of high traffic", |age| age <= 7200, 7.0, None),
        ("a stream created yesterday", |age| age <= DAY, 1.0, shrinks),
        (
            "a hole of a day",
            |age| !(DAY..2 * DAY).contains(&age),
            1.0,
            shrinks,
        ),
        (
            "a hole of a day after high traffic",
            |age| age >= DAY,
            40.0,
            None,
        ),
    ];
    for (what, kept, used, action) in cases {
        let mut traffic = week(used);
        keep(&mut traffic, &kept);
        let facts = down(10, traffic);
        let reason = action.map_or(Reason::AtTarget, |_| Reason::Alarm);
        check(what, &facts, action, reason);
        check(what, &without_fill(facts), None, Reason::NoData);
    }
}

#[test]
fn a_week_of_100_times_the_traffic_grows_and_never_shrinks() {
    check(
        "up",
        &up(10, minutes(1_000.0, 0.0)),
        Some(Action::ScaleUp { to: 20 }),
        Reason::Alarm,
    );
    check("down", &down(10, week(1_000.0)), None, Reason::AtTarget);
    let mut over = week(1.0);
    for (at, sum) in &mut over.bytes.points {
        if ago(0).duration_since(*at).as_secs() > DAY {
            *sum *= 100.0;
        }
    }
    // The 100 shards have faded to 25, but the next 6 hours needed them yesterday.
    let after = |n| down(n, over.clone());
    check("down, a day after it", &after(10), None, Reason::AtTarget);
    check("down from 100", &after(100), None, Reason::AtTarget);
    check(
        "down from 250",
        &after(250),
        Some(Action::ScaleDown { to: 125 }),
        Reason::Alarm,
    );
}

#[test]
fn a_scale_up_says_what_is_needed_and_what_limits_it() {
    let used = |used: &str| format!("the last 3 minutes used {used} of 10 shards, which calls for");
    for (what, traffic, max_shards, (to, wanted), says) in [
        (
            "twice the demand",
            minutes(8.0, 0.0),
            100,
            (Some(16), 16),
            format!("{} 16 at 50 % usage", used("8.00")),
        ),
        (
            "exactly double",
            minutes(10.0, 0.0),
            100,
            (Some(20), 20),
            format!("{} 20 at 50 % usage", used("10.00")),
        ),
        (
            "more than double",
            minutes(15.0, 0.0),
            100,
            (Some(20), 30),
            format!(
                "{} 30 at 50 % usage; one call at most doubles the stream, to 20",
                used("15.00")
            ),
        ),
        (
            "the cap below double",
            minutes(15.0, 0.0),
            12,
            (Some(12), 30),
            format!("{} 30 at 50 % usage; max_shards is 12", used("15.00")),
        ),
        (
            "the cap below twice the demand",
            minutes(8.0, 0.0),
            12,
            (Some(12), 16),
            format!("{} 16 at 50 % usage; max_shards is 12", used("8.00")),
        ),
        (
            "at the cap",
            minutes(15.0, 0.0),
            10,
            (None, 30),
            "asks for 30 shards; the stream has 10 and max_shards is 10; raise max_shards to let \
             the stream grow"
                .to_owned(),
        ),
        (
            "less than it has",
            minutes(3.0, 0.0),
            100,
            (Some(11), 11),
            format!(
                "{} 6 at 50 % usage; a scale-up adds at least one shard, to 11",
                used("3.00")
            ),
        ),
        (
            "rejected records",
            minutes(8.0, 10.0),
            100,
            (Some(20), 20),
            format!(
                "{} 16 at 50 % usage; 30 rejected records call for 20",
                used("8.00")
            ),
        ),
        (
            "rejected records and the cap",
            minutes(8.0, 10.0),
            18,
            (Some(18), 20),
            format!(
                "{} 16 at 50 % usage; 30 rejected records call for 20; max_shards is 18",
                used("8.00")
            ),
        ),
        (
            "rejected records and more than double",
            minutes(15.0, 10.0),
            100,
            (Some(20), 30),
            format!(
                "{} 30 at 50 % usage; one call at most doubles the stream, to 20",
                used("15.00")
            ),
        ),
    ] {
        let bounded = Subscription {
            max_shards,
            ..adaptive()
        };
        let found = concluded(&bounded, &Trigger::Alarm, &up(10, traffic));
        let detail = found.decision.detail();
        let action = to.map(|to| Action::ScaleUp { to });
        assert_eq!(found.decision.action(), action, "{what}: {detail}");
        assert_eq!(found.wanted, Some(wanted), "{what}: {detail}");
        assert!(detail.ends_with(&says), "{what}: {says:?} in {detail:?}");
    }
}

/// The faded peak, and the shards that the traffic calls for.
type Sized = Option<(Option<&'static str>, u32)>;

#[track_caller]
fn sizes(what: &str, subscription: &Subscription, facts: &Facts, reason: Reason, expected: Sized) {
    let found = concluded(subscription, &Trigger::Alarm, facts);
    let sizing = found.sizing.map(|it| {
        let peak = it.peak.map(|peak| peak.to_string());
        (peak, it.needed)
    });
    let expected = expected.map(|(peak, needed)| (peak.map(str::to_owned), needed));
    let detail = found.decision.detail();
    assert_eq!(
        (found.decision.reason(), sizing),
        (reason, expected),
        "{what}: {detail}"
    );
}

/// A week without traffic but for `shards` used in the period that began `at` seconds ago.
fn single(at: i64, shards: f64) -> Traffic {
    let mut traffic = week(0.0);
    traffic.bytes.points.retain(|(start, _)| *start != ago(at));
    traffic.bytes.points.push((ago(at), shards * SHARD_BYTES));
    traffic
}

#[test]
fn a_scale_down_tells_the_faded_peak_and_what_the_traffic_calls_for_also_where_it_is_held() {
    let one = Some((Some("0.99"), 2));
    let mut rejecting = week(1.0);
    rejecting.rejected.points = vec![(ago(600), 1.0)];
    for (what, facts, reason, expected) in [
        ("scaled", down(10, week(1.0)), Reason::Alarm, one),
        (
            "half faded",
            down(10, single(DAY / 2, 7.0)),
            Reason::Alarm,
            Some((Some("3.50"), 7)),
        ),
        (
            "3 hours from now, 6 days ago",
            down(10, single(7 * DAY - 10_800, 3.2)),
            Reason::Alarm,
            Some((Some("0.00"), 4)),
        ),
        (
            "nothing saved",
            down(10, week(5.0)),
            Reason::AtTarget,
            Some((Some("4.97"), 10)),
        ),
        ("rejecting", down(10, rejecting), Reason::Cooldown, one),
    ] {
        sizes(what, &adaptive(), &facts, reason, expected);
    }
    let mut paused = down(10, week(1.0));
    paused.switches = Some(Switches {
        pauses_unread: Some("it is throttled".to_owned()),
        ..Switches::default()
    });
    sizes("paused", &adaptive(), &paused, Reason::LogUnavailable, one);
    let mut partial = down(10, week(1.0));
    if let Some(traffic) = &mut partial.traffic {
        traffic.bytes.complete = false;
    }
    sizes("partial", &adaptive(), &partial, Reason::NoData, None);
    let rows = (1..=7).rev();
    let rows = rows.map(|i| row(ago(4000 * i), 5, 10, Outcome::Done));
    let mut spent = down(10, week(1.0));
    spent.scalings = Some(RecentScalings::complete(rows.collect()));
    let unreserved = Subscription {
        reserved_scale_ups: 0,
        ..adaptive()
    };
    sizes("spent", &unreserved, &spent, Reason::DailyLimit, one);
    let bounded = Subscription {
        min_shards: 8,
        ..adaptive()
    };
    let facts = down(10, week(1.0));
    sizes("bounded", &bounded, &facts, Reason::Alarm, one);
}

#[test]
fn a_scale_up_tells_what_the_traffic_calls_for_and_the_original_tells_nothing() {
    let capped = Subscription {
        max_shards: 10,
        ..adaptive()
    };
    let mut partial = minutes(8.0, 0.0);
    partial.bytes.complete = false;
    let (asks, rests) = (State::Alarm, State::Ok);
    for (what, subscription, facts, reason, needed) in [
        (
            "scaled",
            adaptive(),
            up(10, minutes(8.0, 0.0)),
            Reason::Alarm,
            Some(16),
        ),
        (
            "by one",
            adaptive(),
            up(10, minutes(3.0, 0.0)),
            Reason::Alarm,
            Some(6),
        ),
        (
            "rejecting",
            adaptive(),
            up(10, minutes(8.0, 10.0)),
            Reason::Alarm,
            Some(16),
        ),
        (
            "capped",
            capped,
            up(10, minutes(8.0, 0.0)),
            Reason::AtMaxShards,
            Some(16),
        ),
        ("blind", adaptive(), up(10, partial), Reason::Alarm, None),
        (
            "original, up",
            subscription(),
            scene(10, asks, rests, 8.0),
            Reason::Alarm,
            None,
        ),
        (
            "original, down",
            subscription(),
            scene(10, rests, asks, 2.6),
            Reason::Alarm,
            None,
        ),
    ] {
        let expected = needed.map(|needed| (None, needed));
        sizes(what, &subscription, &facts, reason, expected);
    }
}

#[test]
fn a_scale_down_says_what_is_needed_also_where_one_call_leaves_more() {
    for (used, to, says) in [
        (
            3.0,
            6,
            ": 6 of 10 shards are needed, at most 7 save enough; ",
        ),
        (
            1.0,
            5,
            ": 2 of 10 shards are needed (one call leaves at least 5), at most 7 save enough; ",
        ),
    ] {
        let decision = decided(&adaptive(), &down(10, week(used)));
        let detail = decision.detail();
        assert_eq!(
            decision.action(),
            Some(Action::ScaleDown { to }),
            "{detail}"
        );
        assert!(detail.contains(says), "{says:?} in {detail:?}");
    }
}

#[test]
fn the_settings_of_the_subscription_reach_the_policy() {
    let mut traffic = week(0.0);
    // 7 shards half a day ago have faded to 3.5.
    traffic.bytes.points.push((ago(DAY / 2), 7.0 * SHARD_BYTES));
    let facts = down(10, traffic);
    for (what, subscription, to) in [
        ("default", adaptive(), Some(7)),
        (
            "fill",
            Subscription {
                fill: Permille::new(700),
                ..adaptive()
            },
            Some(5),
        ),
        (
            "saving",
            Subscription {
                saving: Permille::new(400),
                ..adaptive()
            },
            None,
        ),
        (
            "memory",
            Subscription {
                memory: Duration::from_secs(6 * 3600),
                ..adaptive()
            },
            Some(5),
        ),
    ] {
        let decision = decided(&subscription, &facts);
        let action = to.map(|to| Action::ScaleDown { to });
        assert_eq!(decision.action(), action, "{what}: {}", decision.detail());
    }
}

#[test]
fn traffic_of_another_window_is_read_anew() {
    let needs = |facts: &Facts| decide(&adaptive(), &Trigger::Alarm, facts, ago(0));
    let read = Verdict::Need(Fact::Traffic);
    let mut a_day = week(0.0);
    a_day.from = ago(DAY);
    assert_eq!(needs(&down(10, a_day)), read, "a day in place of a week");
    assert_eq!(
        needs(&down(10, minutes(0.0, 0.0))),
        read,
        "minutes in place of a week"
    );
    assert_eq!(
        needs(&up(10, week(0.0))),
        read,
        "a week in place of minutes"
    );
    let mut a_period_late = week(1.0);
    a_period_late.from = ago(7 * DAY - 300);
    let facts = down(10, a_period_late);
    check(
        "a period less",
        &facts,
        Some(Action::ScaleDown { to: 5 }),
        Reason::Alarm,
    );
}

#[test]
fn a_clock_that_is_a_day_off_keeps_every_shard_and_does_not_keep_a_stream_from_growing() {
    for seconds in [-DAY, -301, 301, DAY] {
        let off = |facts: Facts| Facts {
            clock_ahead: jiff::SignedDuration::from_secs(seconds),
            ..facts
        };
        let what = format!("{seconds} s ahead");
        let step = Some(Action::ScaleUp { to: 15 });
        check(&what, &off(up(10, minutes(8.0, 0.0))), step, Reason::Alarm);
        check(&what, &off(down(10, week(0.1))), None, Reason::NoData);
    }
}

#[test]
fn points_from_the_future_hold_a_scale_down() {
    let mut slow_clock = week(0.1);
    for (at, _) in slow_clock
        .bytes
        .points
        .iter_mut()
        .chain(&mut slow_clock.records.points)
    {
        *at += jiff::SignedDuration::from_secs(DAY);
    }
    check(
        "a clock that is slow by a day",
        &down(10, slow_clock),
        None,
        Reason::NoData,
    );
}

#[test]
fn a_partial_or_impossible_answer_holds_a_scale_down() {
    type Spoil = fn(&mut Traffic);
    let cases: [(&str, Spoil); 6] = [
        ("partial bytes", |it| it.bytes.complete = false),
        ("partial records", |it| it.records.complete = false),
        ("partial rejections", |it| it.rejected.complete = false),
        ("not a number", |it| it.bytes.points[9].1 = f64::NAN),
        ("negative", |it| it.records.points[9].1 = -1.0),
        ("infinite", |it| it.rejected.points[0].1 = f64::INFINITY),
    ];
    for (what, spoil) in cases {
        let mut traffic = week(0.1);
        spoil(&mut traffic);
        check(what, &down(10, traffic), None, Reason::NoData);
    }
}

#[test]
fn no_scale_down_within_an_hour_of_a_scaling_or_a_rejected_record_or_for_one_of_the_last_calls() {
    let shrinks = (Some(Action::ScaleDown { to: 5 }), Reason::Alarm);
    let with_rows = |ages: &[i64]| {
        let rows = ages
            .iter()
            .rev()
            .map(|age| row(ago(*age), 5, 10, Outcome::Done));
        let mut facts = down(10, week(1.0));
        facts.scalings = Some(RecentScalings::complete(rows.collect()));
        if let Fetched::Found(alarm) = &mut facts.down {
            alarm.state_updated_at = Some(ago(1));
        }
        facts
    };
    for (ages, (action, reason)) in [
        (&[3599][..], (None, Reason::Cooldown)),
        (&[3600][..], shrinks),
        (&[4000, 5000, 6000, 7000, 8000, 9000][..], shrinks),
        (
            &[4000, 5000, 6000, 7000, 8000, 9000, 10_000][..],
            (None, Reason::DailyLimit),
        ),
    ] {
        check(
            &format!("scaled {ages:?} s ago"),
            &with_rows(ages),
            action,
            reason,
        );
    }
    for (age, (action, reason)) in [(3600, (None, Reason::Cooldown)), (3900, shrinks)] {
        let mut traffic = week(1.0);
        traffic.rejected.points = vec![(ago(age), 1.0)];
        check(
            &format!("rejected {age} s ago"),
            &down(10, traffic),
            action,
            reason,
        );
    }
    // Rows that only this process knows of, while the log cannot be read.
    let mut facts = down(10, week(1.0));
    facts.scalings = Some(known(Vec::new()));
    check("without the log", &facts, None, Reason::LogUnavailable);
}

fn some_series() -> impl Strategy<Value = Series> {
    let sum = prop_oneof![
        4 => 0.0..60.0 * SHARD_BYTES,
        1 => any::<f64>(),
    ];
    let point = (-2 * DAY..9 * DAY, sum).prop_map(|(age, sum)| (ago(age), sum));
    (vec(point, 0..60), any::<bool>()).prop_map(|(points, complete)| Series { points, complete })
}

proptest! {
    /// Whatever CloudWatch says, nothing panics, and the target keeps to the bounds of AWS.
    #[test]
    fn any_traffic_comes_to_a_bounded_target(
        n in 1_u32..=10_000, direction in any::<bool>(), bytes in some_series(), records in some_series(), rejected in some_series(),
        fills in any::<(bool, bool)>(), scaled in vec(0_i64..2 * DAY, 0..11), min in 1_u32..50,
    ) {
        let (empty, make): (Traffic, fn(u32, Traffic) -> Facts) = match direction {
            true => (minutes(0.0, 0.0), up),
            false => (week(0.0), down),
        };
        let mut facts = make(n, Traffic { bytes, records, rejected, ..empty });
        let set = |alarm: &mut Fetched<Alarm>| if let Fetched::Found(alarm) = alarm {
            (alarm.fills_gaps.bytes, alarm.fills_gaps.records) = fills;
            alarm.state_updated_at = Some(ago(0));
        };
        set(&mut facts.up);
        set(&mut facts.down);
        let mut ages = scaled.clone();
        ages.sort_unstable();
        facts.scalings = Some(RecentScalings::complete(ages.iter().rev().map(|age| row(ago(*age), n, n + 1, Outcome::Done)).collect()));
        let bounded = Subscription { min_shards: min, ..adaptive() };
        let decision = decided(&bounded, &facts);
        match decision.action() {
            Some(Action::ScaleUp { to }) => prop_assert!(to > n && to <= 2 * n && to <= 10_000 && (direction || n < min)),
            Some(Action::ScaleDown { to }) => {
                prop_assert!(!direction && to < n && to >= n.div_ceil(2) && to >= min);
                prop_assert!(ages.iter().all(|age| *age >= 3600), "scaled {ages:?} s ago");
                prop_assert!(ages.iter().filter(|age| **age < DAY).count() < 7, "scaled {ages:?} s ago");
            }
            Some(Action::SyncAlarms { to }) => prop_assert!(false, "in sync, and still set to {to}"),
            None => prop_assert!(!decision.detail().is_empty()),
        }
    }
}
