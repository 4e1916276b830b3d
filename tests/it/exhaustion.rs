//! Every kind of scaling, with a crash at every point, and with every call failing in
//! every way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::reconcile::tick::Autoscaler;
use serde_json::{Value, json};

use crate::world::{TABLE, World, named, tick};

/// How many ticks without faults restore everything to what it would be without them.
const TICKS_TO_SETTLE: usize = 12;
const UP: &str = "orders-scale-up-alarm";
const DOWN: &str = "orders-scale-down-alarm";

/// A stream whose load sets an alarm, or that a person has resharded.
#[derive(Clone, Copy, Debug)]
struct Case {
    from: u32,
    shards_used: f64,
    to: u32,
    is_manual: bool,
}

const CASES: [Case; 5] = [
    case(2, 1.8, 4),
    // At 1 shard the contract has switched the scale-down alarm off.
    case(1, 0.9, 2),
    case(2, 0.4, 1),
    case(10, 2.4, 5),
    Case {
        is_manual: true,
        ..case(4, 2.0, 6)
    },
];

const fn case(from: u32, shards_used: f64, to: u32) -> Case {
    Case {
        from,
        shards_used,
        to,
        is_manual: false,
    }
}

impl Case {
    async fn world(&self) -> World {
        let world = World::new();
        world.stream("orders", self.from);
        world.place.edit_alarm(DOWN, |alarm| {
            alarm.insert("ActionsEnabled".to_owned(), json!(self.from > 1));
            // Ten minutes instead of a day, to keep the test short.
            alarm.insert("EvaluationPeriods".to_owned(), json!(2));
            alarm.remove("DatapointsToAlarm");
        });
        world.place.set_traffic(
            "orders",
            Traffic::constant(Load::of_shards(self.shards_used)),
        );
        world.pass(SignedDuration::from_mins(3)).await;
        let alarm = match (self.is_manual, self.to > self.from) {
            (true, _) => {
                world.place.set_update_window(Duration::from_secs(1));
                let done = world.place.reshard_externally("orders", self.to);
                done.expect("it is ACTIVE");
                world.pass(SignedDuration::from_secs(2)).await;
                return world;
            }
            (false, true) => UP,
            (false, false) => DOWN,
        };
        assert_eq!(world.state_of(alarm), "ALARM", "{self:?}: the load sets it");
        world
    }

    /// The audit is due at every tick.
    async fn start(&self, world: &World) -> Autoscaler {
        let audit = "audit_interval = \"1m\"\n";
        world.start(&format!("{audit}{}", named(&["orders"]))).await
    }

    /// The world after the faults, whatever they were: scaled once, alarms right, logged once,
    /// nothing left open.
    async fn settles(&self, world: &World, mut autoscaler: Autoscaler, what: &str) {
        let what = format!("{self:?}, {what}");
        world.sandbox.clear_faults();
        for _ in 0..TICKS_TO_SETTLE {
            world.pass(SignedDuration::from_mins(1)).await;
            tick(&mut autoscaler).await;
        }
        let to = self.to;
        assert_eq!(world.shards("orders"), to, "{what}: the target is reached");
        let stream = world.place.stream("orders").expect("it is there");
        assert_eq!(stream.update_calls_24h, 1, "{what}: one call took effect");
        for alarm in [UP, DOWN] {
            assert_eq!(world.recorded(alarm), to.to_string(), "{what}: {alarm}");
            let actions = &world.place.alarm(alarm).expect("there")["ActionsEnabled"];
            let enabled = alarm == UP || to > 1;
            assert_eq!(*actions, json!(enabled), "{what}: actions of {alarm}");
        }
        let rows = world.rows();
        let outcomes: Vec<&str> = rows
            .iter()
            .map(|row| row["outcome"]["S"].as_str().unwrap_or("none"))
            .collect();
        let done = outcomes
            .iter()
            .filter(|outcome| **outcome == "done")
            .count();
        let wanted = usize::from(!self.is_manual);
        assert_eq!(done, wanted, "{what}: logged once: {outcomes:?}");
        assert!(!outcomes.contains(&"open"), "{what}: {outcomes:?}");
        let items = world.place.items(TABLE).len();
        assert_eq!(items, outcomes.len(), "{what}: no marker is left");
        let spool = std::fs::read_to_string(world.state.path().join("spool.jsonl"));
        let spool = spool.unwrap_or_default();
        assert_eq!(spool.trim(), "", "{what}: nothing waits in the spool");
    }
}

/// Makes the `at`-th call from now on fail, and reports afterwards whether there was one.
fn fault_at(world: &World, at: usize, fault: Fault) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    world.sandbox.set_faults(move |_| {
        if counter.fetch_add(1, Ordering::Relaxed) == at {
            fault.clone()
        } else {
            Fault::None
        }
    });
    calls
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_call_before_or_after_its_effect_is_recovered_from() {
    let mut deaths = 0;
    for (case, fault) in CASES
        .iter()
        .flat_map(|case| [Fault::HangBefore, Fault::HangAfter].map(|fault| (case, fault)))
    {
        for at in 0.. {
            let world = case.world().await;
            let calls = fault_at(&world, at, fault.clone());
            let mut autoscaler = case.start(&world).await;
            // The call hangs; the process dies before any deadline of its own.
            let ended = tokio::time::timeout(Duration::from_secs(1), tick(&mut autoscaler)).await;
            drop(autoscaler);
            if calls.load(Ordering::Relaxed) <= at {
                assert!(ended.is_ok(), "without a fault the tick ends");
                break;
            }
            deaths += 1;
            let next = case.start(&world).await;
            let what = format!("death at call {at}, {fault:?}");
            case.settles(&world, next, &what).await;
        }
    }
    println!("{deaths} deaths");
    assert!(
        deaths >= 100,
        "a scaling has ten calls or more, and each was died at twice: {deaths}"
    );
}

#[tokio::test(start_paused = true)]
async fn any_call_failing_in_any_way_is_recovered_from_when_a_stream_grows() {
    any_call_fails(&CASES[..2]).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_failing_in_any_way_is_recovered_from_when_a_stream_shrinks() {
    any_call_fails(&CASES[2..4]).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_failing_in_any_way_is_recovered_from_when_a_person_reshards() {
    any_call_fails(&CASES[4..]).await;
}

async fn any_call_fails(cases: &[Case]) {
    let refuse = |status, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "by the test".to_owned(),
    };
    let faults = [
        Fault::HangBefore,
        Fault::HangAfter,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Throttle,
        Fault::Twice,
        Fault::PartialPage,
        Fault::Slow(Duration::from_secs(4)),
        Fault::Slow(Duration::from_secs(30)),
        refuse(500, "InternalFailure"),
        refuse(503, "ServiceUnavailable"),
        refuse(400, "ValidationException"),
        refuse(400, "AccessDeniedException"),
    ];
    let mut failures = 0;
    for (case, fault) in cases
        .iter()
        .flat_map(|case| faults.iter().map(move |fault| (case, fault)))
    {
        for at in 0.. {
            let world = case.world().await;
            let calls = fault_at(&world, at, fault.clone());
            let mut autoscaler = case.start(&world).await;
            for _ in 0..2 {
                tick(&mut autoscaler).await;
                world.pass(SignedDuration::from_mins(1)).await;
            }
            if calls.load(Ordering::Relaxed) <= at {
                break;
            }
            failures += 1;
            let what = format!("call {at}, {fault:?}");
            case.settles(&world, autoscaler, &what).await;
        }
    }
    println!("{failures} failures");
    assert!(failures >= 100 * cases.len(), "{failures}");
}

/// Ticks by the default schedule until the scaling's call has taken effect, or until the limit.
async fn tick_until_resharded(world: &World, autoscaler: &mut Autoscaler) {
    const EVERY: Duration = Duration::from_secs(10);
    for _ in 0..30 {
        let started = tokio::time::Instant::now();
        tick(autoscaler).await;
        let stream = world.place.stream("orders").expect("it is there");
        if stream.update_calls_24h > 0 {
            return;
        }
        let into_period =
            Duration::from_micros((world.clock.now().as_microsecond() % 10_000_000).unsigned_abs());
        if started.elapsed() < EVERY {
            tokio::time::sleep(EVERY.saturating_sub(into_period)).await;
        }
    }
    panic!("the call was never repeated");
}

/// From the first UpdateShardCount, which was lost, to the one that had an effect.
fn from_lost_to_repeated(world: &World, died_at: Option<Timestamp>) -> Option<SignedDuration> {
    let calls = world.sandbox.request_log();
    let mut calls = calls
        .iter()
        .filter(|call| call.operation == "UpdateShardCount");
    let first = calls.next()?;
    if first.outcome == "ok" {
        // The process died with an intent in the scaling log, and before its call.
        return Some(first.at.duration_since(died_at?));
    }
    let repeated = calls.find(|call| call.outcome == "ok")?;
    Some(repeated.at.duration_since(first.at))
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_is_repeated_within_15_seconds_at_the_default_schedule() {
    /// The restart delay of the unit.
    const RESTART_AFTER: SignedDuration = SignedDuration::from_secs(5);
    let server_error = Fault::Refuse {
        status: 500,
        code: "InternalFailure".to_owned(),
        message: "by the test".to_owned(),
    };
    let mut took = Vec::new();
    for case in &CASES[..4] {
        for fault in [Fault::HangBefore, Fault::ResetBefore, server_error.clone()] {
            for dies in [false, true] {
                let world = case.world().await;
                let mut lost = 0;
                let fault_once = fault.clone();
                world.sandbox.set_faults(move |call| {
                    lost += usize::from(call.operation == "UpdateShardCount");
                    match lost == 1 && call.operation == "UpdateShardCount" {
                        true => fault_once.clone(),
                        false => Fault::None,
                    }
                });
                let mut autoscaler = case.start(&world).await;
                if dies {
                    // It dies a second after the call was lost, or at the end of its tick.
                    let _ =
                        tokio::time::timeout(Duration::from_secs(1), tick(&mut autoscaler)).await;
                    drop(autoscaler);
                    world.pass(RESTART_AFTER).await;
                    autoscaler = case.start(&world).await;
                }
                tick_until_resharded(&world, &mut autoscaler).await;
                took.extend(from_lost_to_repeated(&world, None));
                let what = format!("a lost call, {fault:?}, dies: {dies}");
                case.settles(&world, autoscaler, &what).await;
            }
        }
        for at in 0.. {
            let world = case.world().await;
            let calls = fault_at(&world, at, Fault::HangBefore);
            let mut autoscaler = case.start(&world).await;
            let ended = tokio::time::timeout(Duration::from_secs(1), tick(&mut autoscaler)).await;
            drop(autoscaler);
            if calls.load(Ordering::Relaxed) <= at {
                assert!(ended.is_ok(), "without a fault the tick ends");
                break;
            }
            let is_open = |row: &Value| row["outcome"]["S"] == "open";
            let stream = world.place.stream("orders").expect("it is there");
            if stream.update_calls_24h > 0 || !world.rows().iter().any(is_open) {
                continue;
            }
            let died_at = world.clock.now();
            world.pass(RESTART_AFTER).await;
            let mut next = case.start(&world).await;
            tick_until_resharded(&world, &mut next).await;
            took.extend(from_lost_to_repeated(&world, Some(died_at)));
            case.settles(&world, next, &format!("death at call {at}"))
                .await;
        }
    }
    took.sort_unstable();
    let (count, median) = (took.len(), took[took.len() / 2]);
    let worst = took[count - 1];
    println!("{count} lost calls; until the repeated one: median {median:#}, worst {worst:#}");
    assert!(count >= 24, "{took:?}");
    assert!(worst < SignedDuration::from_secs(15), "{took:?}");
}
