//! The log in DynamoDB when it does not take every row at once.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kinesis_autoscaler::sandbox::{Fault, Load, Traffic};
use serde_json::Value;

use crate::world::{World, acted, held, named, tick};

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_meets_another_is_tried_again_and_not_spooled() {
    // As often as two transactions meet, and oftener than it is tried.
    for (conflicts, outcome, spooled) in [(1, "done", false), (3, "done", false), (4, "done", true)]
    {
        let world = World::new();
        world.stream("orders", 2);
        world.pass(minutes(10)).await;
        world.fire("orders", "scale-up");
        let mut met = 0;
        world.sandbox.set_faults(move |call| {
            if call.operation != "TransactWriteItems" || met == conflicts {
                return Fault::None;
            }
            met += 1;
            Fault::Refuse {
                status: 400,
                code: "TransactionCanceledException".to_owned(),
                message: "Transaction cancelled, please refer cancellation reasons for specific reasons [None, None, TransactionConflict]".to_owned(),
            }
        });
        let mut autoscaler = world.start(&named(&["orders"])).await;
        acted(&tick(&mut autoscaler).await, "orders", "scale_up", 2, 4);
        let spool = world.state.path().join("spool.jsonl");
        assert_eq!(spool.exists(), spooled, "after {conflicts} conflicts");
        tick(&mut autoscaler).await;
        let outcomes: Vec<Value> = world
            .rows()
            .iter()
            .map(|row| row["outcome"]["S"].clone())
            .collect();
        assert_eq!(outcomes, [outcome], "after {conflicts} conflicts");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_log_scale_ups_go_on_and_scale_downs_wait() {
    let world = World::new();
    world.stream("grows", 2);
    world.stream("shrinks", 10);
    world
        .place
        .set_traffic("shrinks", Traffic::constant(Load::of_shards(0.1)));
    world.pass(minutes(10)).await;
    world.fire("grows", "scale-up");
    world.fire("shrinks", "scale-down");
    let down = ["Query", "TransactWriteItems"];
    world.sandbox.set_faults(move |call| {
        if down.contains(&call.operation.as_str()) {
            Fault::HangBefore
        } else {
            Fault::None
        }
    });
    let mut autoscaler = world.start(&named(&["grows", "shrinks"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "grows", "scale_up", 2, 4);
    held(&report, "shrinks", "log_unavailable");
    assert_eq!(world.rows().len(), 0, "DynamoDB has nothing yet");

    world.sandbox.set_faults(|_| Fault::None);
    world.pass(minutes(1)).await;
    // Another process, which finds the spool on the disk.
    drop(autoscaler);
    let mut autoscaler = world.start(&named(&["grows", "shrinks"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "shrinks", "scale_down", 10, 5);
    let rows = world.rows();
    let outcomes: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            (
                row["stream_name"]["S"].as_str(),
                row["outcome"]["S"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        BTreeMap::from([
            (Some("grows"), Some("done")),
            (Some("shrinks"), Some("done"))
        ]),
        "each once"
    );
    assert_eq!(rows.len(), 2);
}
