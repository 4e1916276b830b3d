//! How often a stream is scaled: cooldowns and the calls of a day.

use jiff::SignedDuration;

use super::{check, check_with, decided};
use crate::{
    decide::calls_left,
    decision::Action,
    facts::Facts,
    reason::Reason,
    scaling::{Outcome, RecentScalings},
    scene::{ago, down, now, row, subscription, up},
    subscription::Subscription,
};

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
