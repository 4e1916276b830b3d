//! Windows, pauses and mute rules: floors that are reached, and directions that are held.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{concluded, decided};
use crate::{
    alarm::{Direction, State},
    constraints::{Constraint, Hold, Source},
    decide::{decide, may_reshard},
    decision::{Action, Decision, Fact, Verdict},
    facts::{Facts, Switches},
    reason::Reason,
    scaling::{Outcome, RecentScalings},
    scene::{ago, down, now, row, scene, subscription, up},
    subscription::Subscription,
    trigger::Trigger,
    window::{Start, Window},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Open for the hour around now.
fn window(floor: Option<u32>, cap: Option<u32>, hold: Option<Hold>) -> Window {
    Window {
        start: Start::Once(now() - HOUR / 2),
        length: HOUR,
        ahead: SignedDuration::ZERO,
        floor,
        cap,
        hold,
    }
}

fn with(windows: &[Window]) -> Subscription {
    Subscription {
        windows: Arc::from(windows),
        ..subscription()
    }
}

/// Both alarms are OK.
fn quiet(n: u32) -> Facts {
    scene(n, State::Ok, State::Ok, 0.0)
}

fn scheduled(subscription: &Subscription, facts: &Facts) -> Decision {
    concluded(subscription, &Trigger::Schedule, facts).decision
}

#[track_caller]
fn check(decision: &Decision, action: Option<Action>, reason: Reason, says: &str) {
    let detail = decision.detail();
    assert_eq!(
        (decision.action(), decision.reason()),
        (action, reason),
        "{detail}"
    );
    assert!(detail.contains(says), "{says:?} in {detail:?}");
}

const UNTIL: &str = "the window at 2026-11-22T11:30:00Z";

#[test]
fn a_stream_climbs_to_the_floor_of_a_window_by_at_most_twice_its_count() {
    let floor = with(&[window(Some(20), None, None)]);
    for (n, to) in [(4, 8), (8, 16), (16, 20), (19, 20)] {
        let decision = scheduled(&floor, &quiet(n));
        let says = format!("{UNTIL} asks for at least 20 until 2026-11-22T12:30:00Z");
        check(
            &decision,
            Some(Action::ScaleUp { to }),
            Reason::Scheduled,
            &says,
        );
    }
    let reached = scheduled(&floor, &quiet(20));
    check(&reached, None, Reason::NoAlarm, "");
    // Of two windows the highest floor counts, and it is that one which is named.
    let two = with(&[window(Some(20), None, None), window(Some(6), None, None)]);
    let decision = scheduled(&two, &quiet(18));
    check(
        &decision,
        Some(Action::ScaleUp { to: 20 }),
        Reason::Scheduled,
        "at least 20",
    );
}

#[test]
fn a_firing_alarm_may_ask_for_more_than_the_floor_and_its_holds_do_not_keep_the_floor_back() {
    let floor = with(&[window(Some(8), None, None)]);
    let more = decided(&floor, &up(7));
    check(&more, Some(Action::ScaleUp { to: 11 }), Reason::Alarm, "");
    let cooling = Subscription {
        cooldown_up: std::time::Duration::from_secs(3600),
        ..floor
    };
    let mut facts = up(7);
    let before = row(ago(600), 6, 7, Outcome::Done);
    facts.scalings = Some(RecentScalings::complete(vec![before]));
    let decision = decided(&cooling, &facts);
    check(
        &decision,
        Some(Action::ScaleUp { to: 8 }),
        Reason::Scheduled,
        "",
    );
}

#[test]
fn a_window_replaces_the_bounds_of_the_stream_while_it_is_open() {
    let bounded = Subscription {
        min_shards: 6,
        max_shards: 12,
        ..with(&[window(Some(2), Some(40), None)])
    };
    let decision = decided(&bounded, &up(10));
    check(
        &decision,
        Some(Action::ScaleUp { to: 15 }),
        Reason::Alarm,
        "",
    );
    let decision = decided(&bounded, &down(6, 0.0));
    check(
        &decision,
        Some(Action::ScaleDown { to: 3 }),
        Reason::Alarm,
        "",
    );
    let capped = with(&[window(None, Some(10), None)]);
    let says = format!("max_shards of {UNTIL} until 2026-11-22T12:30:00Z is 10");
    check(&decided(&capped, &up(10)), None, Reason::AtMaxShards, &says);
    let decision = decided(&capped, &down(40, 19.0));
    check(
        &decision,
        Some(Action::ScaleDown { to: 20 }),
        Reason::Alarm,
        "",
    );
    let floor = with(&[window(Some(10), None, None)]);
    let says = format!("min_shards of {UNTIL}");
    check(
        &decided(&floor, &down(10, 0.0)),
        None,
        Reason::AtMinShards,
        &says,
    );
    // Shards that the alarms do not know of yet.
    let decision = decided(&floor, &down(12, 0.0));
    check(
        &decision,
        Some(Action::ScaleDown { to: 10 }),
        Reason::Alarm,
        "",
    );
}

#[test]
fn a_target_that_a_bound_or_one_call_has_changed_says_so() {
    let until = "until 2026-11-22T12:30:00Z";
    let bounds = |min_shards, max_shards| Subscription {
        min_shards,
        max_shards,
        ..subscription()
    };
    let (low, high) = (Some(8), Some(20));
    for (subscription, facts, action, says) in [
        (
            with(&[window(high, None, None)]),
            up(4),
            Action::ScaleUp { to: 8 },
            format!(
                "the next step is 6; min_shards of {UNTIL} {until} is 20; one call at most \
                 doubles the stream, to 8"
            ),
        ),
        (
            with(&[window(None, low, None)]),
            up(7),
            Action::ScaleUp { to: 8 },
            format!("the next step is 11; max_shards of {UNTIL} {until} is 8"),
        ),
        (
            bounds(1, 8),
            up(7),
            Action::ScaleUp { to: 8 },
            "the next step is 11; max_shards is 8".to_owned(),
        ),
        (
            with(&[window(low, None, None)]),
            down(12, 0.0),
            Action::ScaleDown { to: 8 },
            format!("the stream has 12; min_shards of {UNTIL} {until} is 8"),
        ),
        (
            bounds(8, 20),
            down(12, 0.0),
            Action::ScaleDown { to: 8 },
            "the stream has 12; min_shards is 8".to_owned(),
        ),
        (
            bounds(1, 30),
            down(40, 19.0),
            Action::ScaleDown { to: 30 },
            "the stream has 40; max_shards is 30".to_owned(),
        ),
        (
            bounds(1, 10),
            down(40, 19.0),
            Action::ScaleDown { to: 20 },
            "the stream has 40; one call at most halves the stream, to 20".to_owned(),
        ),
    ] {
        let decision = decided(&subscription, &facts);
        check(&decision, Some(action), Reason::Alarm, &says);
        assert!(decision.detail().ends_with(&says), "{decision:?}");
    }
    for facts in [up(7), down(12, 0.0)] {
        let free = decided(&with(&[window(Some(2), high, None)]), &facts);
        let free = free.detail();
        assert!(
            !free.contains("_shards") && !free.contains("call at"),
            "{free}"
        );
    }
}

#[test]
fn what_to_raise_is_the_bound_that_is_in_force() {
    for (subscription, says) in [
        (
            with(&[window(None, Some(7), None)]),
            "raise max_shards of the window to let the stream grow before it closes",
        ),
        (
            Subscription {
                max_shards: 7,
                ..subscription()
            },
            "raise max_shards to let the stream grow",
        ),
    ] {
        let decision = decided(&subscription, &up(7));
        check(&decision, None, Reason::AtMaxShards, says);
        assert!(decision.detail().ends_with(says), "{decision:?}");
    }
}

#[test]
fn a_hold_stops_its_direction_without_a_read_and_not_the_way_to_a_floor() {
    for (hold, direction, held) in [
        (Hold::Up, Direction::Up, true),
        (Hold::Up, Direction::Down, false),
        (Hold::Down, Direction::Up, false),
        (Hold::Down, Direction::Down, true),
        (Hold::Both, Direction::Up, true),
        (Hold::Both, Direction::Down, true),
    ] {
        let subscription = with(&[window(None, None, Some(hold))]);
        let facts = match direction {
            Direction::Up => up(10),
            Direction::Down => down(10, 0.0),
        };
        let decision = decided(&subscription, &facts);
        let reason = match held {
            true => Reason::Window,
            false => Reason::Alarm,
        };
        assert_eq!(decision.reason(), reason, "{hold:?} {direction:?}");
        assert_eq!(may_reshard(&subscription, &facts, now()), !held);
        let says = format!("{UNTIL} holds it until 2026-11-22T12:30:00Z");
        assert_eq!(decision.detail().contains(&says), held, "{decision:?}");
    }
    let both = with(&[window(Some(20), None, Some(Hold::Both))]);
    for facts in [quiet(10), up(10), down(10, 0.0)] {
        let decision = scheduled(&both, &facts);
        check(
            &decision,
            Some(Action::ScaleUp { to: 20 }),
            Reason::Scheduled,
            "",
        );
    }
}

/// A pause or mute rule that holds both directions.
fn switch(source: Source, until: i64) -> Constraint {
    Constraint {
        source,
        floor: None,
        cap: None,
        hold: Some(Hold::Both),
        until: Some(ago(-until)),
        by: "someone says so".to_owned(),
    }
}

#[test]
fn a_pause_or_mute_rule_stops_alarms_and_floors_and_is_judged_again_in_time() {
    let floor = with(&[window(Some(20), None, Some(Hold::Both))]);
    for (source, reason) in [
        (Source::Pause, Reason::Paused),
        (Source::MuteRule, Reason::Muted),
    ] {
        for (until, up_again, down_again) in [(30, 30, 30), (200, 60, 200), (900, 60, 300)] {
            let check = |subscription: &Subscription, mut facts: Facts, what: &str, again: i64| {
                let switches = facts.switches.as_mut().expect("switches");
                switches.in_force.push(switch(source, until));
                let decision = scheduled(subscription, &facts);
                let says = format!("no {what}: someone says so");
                check(&decision, None, reason, &says);
                assert_eq!(decision.recheck_at(), Some(ago(-again)), "{what} {until}");
            };
            check(&subscription(), up(10), "scale-up", up_again);
            check(&subscription(), down(10, 0.0), "scale-down", down_again);
            check(&floor, quiet(10), "scale-up", up_again);
        }
    }
}

#[test]
fn pauses_that_cannot_be_read_keep_a_stream_from_shrinking_alone() {
    let unread = |mut facts: Facts| {
        facts.switches = Some(Switches {
            pauses_unread: Some("away".to_owned()),
            ..Switches::default()
        });
        decided(&subscription(), &facts)
    };
    check(
        &unread(up(4)),
        Some(Action::ScaleUp { to: 6 }),
        Reason::Alarm,
        "",
    );
    let says = "no scale-down while pauses cannot be read: away";
    check(&unread(down(4, 0.0)), None, Reason::LogUnavailable, says);
}

#[test]
fn switches_are_read_for_a_floor_too_and_only_for_a_stream_below_it() {
    let floor = with(&[window(Some(20), None, None)]);
    let mut facts = quiet(10);
    facts.switches = None;
    let verdict = decide(&floor, &Trigger::Schedule, &facts, now());
    assert_eq!(verdict, Verdict::Need(Fact::Switches(Direction::Up)));
    let mut facts = quiet(20);
    (facts.switches, facts.scalings) = (None, None);
    let verdict = decide(&floor, &Trigger::Schedule, &facts, now());
    assert!(matches!(verdict, Verdict::Concluded(_)), "{verdict:?}");
}
