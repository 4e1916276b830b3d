//! The decision, over its whole small domain and case by case.

mod adaptive;
mod calls;
mod constraints;
mod holds;
mod inquiry;
mod settle;
mod targets;

use crate::{
    alarm::State,
    decide::{decide, may_reshard},
    decision::{Action, Conclusion, Decision, Fact, Verdict},
    facts::{Facts, Fetched, Series},
    reason::Reason,
    scaling::{RecentScalings, Scaling},
    scene::{ago, down, now, scene, subscription, up},
    subscription::Subscription,
    trigger::Trigger,
};

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
