//! What becomes of scalings that were left open.

use super::concluded;
use crate::{
    alarm::State,
    decision::Action,
    facts::{Fetched, StreamSummary},
    reason::Reason,
    scaling::{Outcome, RecentScalings},
    scene::{ago, down, row, scene, subscription, up},
    trigger::Trigger,
};

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
