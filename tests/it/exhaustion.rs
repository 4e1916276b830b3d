//! One scaling, with a death at every single point, and with every single call failing in every single way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use kinesis_autoscaler::{
    sandbox::{Fault, Load, Traffic},
    tick::Autoscaler,
};

use crate::world::{TABLE, World, named, tick};

/// After so many ticks without faults everything has to be as it would be without them.
const TICKS_TO_SETTLE: usize = 12;

/// A stream of 2 shards whose load of 1.8 shards its scale-up alarm really sees.
async fn busy() -> World {
    let world = World::new();
    world.stream("orders", 2);
    world
        .place
        .set_traffic("orders", Traffic::constant(Load::of_shards(1.8)));
    world.pass(SignedDuration::from_mins(3)).await;
    assert_eq!(
        world.state_of("orders-scale-up-alarm"),
        "ALARM",
        "the load sets the alarm"
    );
    world
}

/// Lets the `at`-th call from now on go wrong, and tells afterwards whether there was one.
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

/// The world after the faults, whatever they were: scaled once, alarms right, logged once, nothing left open.
async fn settles(world: &World, mut autoscaler: Autoscaler, what: &str) {
    world.sandbox.clear_faults();
    for _ in 0..TICKS_TO_SETTLE {
        world.pass(SignedDuration::from_mins(1)).await;
        tick(&mut autoscaler).await;
    }
    assert_eq!(
        world.shards("orders"),
        4,
        "{what}: scaled once, and not twice"
    );
    assert_eq!(
        world
            .place
            .stream("orders")
            .expect("there")
            .update_calls_24h,
        1,
        "{what}: one call took effect"
    );
    for alarm in ["orders-scale-up-alarm", "orders-scale-down-alarm"] {
        assert_eq!(world.recorded(alarm), "4", "{what}: {alarm}");
    }
    let outcome =
        |row: &serde_json::Value| row["outcome"]["S"].as_str().unwrap_or("none").to_owned();
    let outcomes: Vec<String> = world.rows().iter().map(outcome).collect();
    let done = outcomes.iter().filter(|outcome| *outcome == "done").count();
    assert_eq!(done, 1, "{what}: the scaling is logged once: {outcomes:?}");
    assert!(
        !outcomes.contains(&"open".to_owned()),
        "{what}: {outcomes:?}"
    );
    assert_eq!(
        world.place.items(TABLE).len(),
        outcomes.len(),
        "{what}: no marker is left"
    );
    let spool = std::fs::read_to_string(world.state.path().join("spool.jsonl")).unwrap_or_default();
    assert_eq!(spool.trim(), "", "{what}: nothing waits in the spool");
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_call_before_or_after_its_effect_is_recovered_from() {
    let mut deaths = 0;
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        for at in 0.. {
            let world = busy().await;
            let calls = fault_at(&world, at, fault.clone());
            let mut autoscaler = world.start(&named(&["orders"])).await;
            // The call hangs; the process dies before any deadline of its own.
            let ended = tokio::time::timeout(Duration::from_secs(1), tick(&mut autoscaler)).await;
            drop(autoscaler);
            if calls.load(Ordering::Relaxed) <= at {
                assert!(ended.is_ok(), "without a fault the tick ends");
                break;
            }
            deaths += 1;
            let next = world.start(&named(&["orders"])).await;
            settles(&world, next, &format!("death at call {at}, {fault:?}")).await;
        }
    }
    assert!(
        deaths >= 20,
        "a scaling has ten calls or more, and each was died at twice: {deaths}"
    );
}

#[tokio::test(start_paused = true)]
async fn any_call_failing_in_any_way_is_recovered_from() {
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
    for fault in faults {
        for at in 0.. {
            let world = busy().await;
            let calls = fault_at(&world, at, fault.clone());
            let mut autoscaler = world.start(&named(&["orders"])).await;
            for _ in 0..3 {
                tick(&mut autoscaler).await;
                world.pass(SignedDuration::from_mins(1)).await;
            }
            if calls.load(Ordering::Relaxed) <= at {
                break;
            }
            settles(&world, autoscaler, &format!("call {at}, {fault:?}")).await;
        }
    }
}
