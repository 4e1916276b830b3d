//! The scaling log while DynamoDB does not accept every row.

use std::{collections::BTreeMap, time::Duration};

use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::reconcile::tick::Autoscaler;
use serde_json::{Value, json};

use crate::world::{TABLE, World, acted, held, named, of, tick};

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
async fn a_slot_of_the_day_is_free_a_minute_after_a_day() {
    for (seconds_over, reason) in [(10, "daily_limit"), (61, "alarm")] {
        let world = World::new();
        world.stream("orders", 2);
        world.pass(minutes(10)).await;
        // Ten rows as the original writes them; the oldest is that much older than a day.
        let oldest = SignedDuration::from_secs(86_400 + seconds_over);
        for row in 0..10 {
            let at = world.clock.now() - oldest + SignedDuration::from_hours(row * 2);
            let at = at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string();
            let item = json!({
                "stream_name": {"S": "orders"}, "scaling_datetime": {"S": at},
                "shard_count": {"N": "2"}, "target_shard_count": {"N": "4"},
                "scaling_type": {"S": "SCALE_UP"}, "expiration_datetime": {"N": "2000000000"},
            });
            world.place.put_item(TABLE, item).expect("it is a row");
        }
        world.fire("orders", "scale-up");
        let report = tick(&mut world.start(&named(&["orders"])).await).await;
        assert_eq!(of(&report, "orders").reason.code(), reason, "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_other_programs_wrote_count_by_key_and_time_alone() {
    // The format of the key, and whether the row has a target.
    for (format, target) in [
        ("%Y-%m-%dT%H:%M:%S.%6f+0000", false),
        ("%Y-%m-%dT%H:%M:%S+00:00", true),
        ("%Y-%m-%dT%H:%M:%SZ", true),
        ("%Y-%m-%dT%H:%M:%S", false),
    ] {
        let world = World::new();
        world.stream("orders", 2);
        world.pass(minutes(10)).await;
        for row in 1..=10 {
            let at = world.clock.now() - SignedDuration::from_hours(row * 2);
            let mut item = json!({
                "stream_name": {"S": "orders"},
                "scaling_datetime": {"S": at.strftime(format).to_string()},
                "shard_count": {"N": "2"},
            });
            if target {
                item["target_shard_count"] = json!({"N": "4"});
            }
            world.place.put_item(TABLE, item).expect("it is a row");
        }
        world.fire("orders", "scale-up");
        let mut autoscaler = world.start(&named(&["orders"])).await;
        held(&tick(&mut autoscaler).await, "orders", "daily_limit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_in_another_time_zone_is_found_however_its_key_sorts() {
    let world = World::new();
    world.stream("orders", 2);
    world.pass(minutes(10)).await;
    // 23 h ago, but five hours earlier by its text.
    let at = world.clock.now() - SignedDuration::from_hours(23 + 5);
    for second in 10..20 {
        let at = at
            .strftime(&format!("%Y-%m-%dT%H:%M:{second}-05:00"))
            .to_string();
        let item = json!({"stream_name": {"S": "orders"}, "scaling_datetime": {"S": at}});
        world.place.put_item(TABLE, item).expect("it is a row");
    }
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    held(&tick(&mut autoscaler).await, "orders", "daily_limit");
}

/// A stream of 2 shards whose scaling to 4 was begun by a host that has died since; AWS may have
/// carried it out.
async fn left_open(fault: Fault) -> World {
    let world = World::new();
    world.place.set_update_window(Duration::from_secs(1));
    world.stream("orders", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    world
        .sandbox
        .set_faults(move |call| match call.operation.as_str() {
            "UpdateShardCount" => fault.clone(),
            _ => Fault::None,
        });
    let mut dead = world.start(&named(&["orders"])).await;
    let second = Duration::from_secs(1);
    let ended = tokio::time::timeout(second, tick(&mut dead)).await;
    assert!(ended.is_err(), "it dies in the call");
    world.sandbox.clear_faults();
    world.pass(minutes(5)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_scaling_left_open_does_not_block_scale_ups_when_the_log_cannot_be_searched() {
    for (fault, shards) in [(Fault::HangBefore, 4), (Fault::HangAfter, 6)] {
        let world = left_open(fault.clone()).await;
        world.sandbox.deny("dynamodb:Query");
        let mut autoscaler = world.start(&named(&["orders"])).await;
        for _ in 0..4 {
            tick(&mut autoscaler).await;
            world.pass(minutes(1)).await;
            if world.state_of("orders-scale-up-alarm") != "ALARM" && world.shards("orders") < shards
            {
                world.fire("orders", "scale-up");
            }
        }
        assert_eq!(world.shards("orders"), shards, "after {fault:?}");
        let rows = world.rows();
        let open = rows.iter().filter(|row| row["outcome"]["S"] == "open");
        assert_eq!(open.count(), 0, "after {fault:?}: {rows:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scaling_left_open_ends_with_its_stream_and_costs_nothing_more() {
    let world = left_open(Fault::HangBefore).await;
    world.place.delete_stream("orders");
    world
        .place
        .set_alarm_state("orders-scale-up-alarm", "OK", "no data");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    tick(&mut autoscaler).await;
    let rows = world.rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["outcome"]["S"], "superseded");
    world.pass(minutes(1)).await;
    let calls = tick(&mut autoscaler).await.api_calls;
    assert_eq!(calls.keys().collect::<Vec<_>>(), ["DescribeAlarms"]);
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

#[tokio::test(start_paused = true)]
async fn a_table_whose_keys_have_another_type_fails_the_tick_with_a_hint() {
    for kind in ["N", "B"] {
        let world = World::new();
        world.place.create_table_of_kind("other", kind);
        world.stream("orders", 2);
        world.pass(SignedDuration::from_mins(10)).await;
        world.fire("orders", "scale-up");
        let mut config = world.config(&named(&["orders"]));
        config.log.table = "other".to_owned();
        let context = world.context(config, false).await;
        for run in 0..2 {
            let mut autoscaler = Autoscaler::new(context.clone(), true);
            let report = tick(&mut autoscaler).await;
            assert!(report.failed(), "{kind}, run {run}: {report:#?}");
            let text = report.to_text(None);
            for words in [
                "error: the scaling log cannot be used: ",
                "both of the type S (string): `kinesis-autoscaler check` says which one is wrong",
            ] {
                assert!(
                    text.contains(words),
                    "{kind}, run {run}: {words:?} in {text}"
                );
            }
        }
        assert_eq!(
            world.shards("orders"),
            4,
            "a scale-up does not need the log"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dynamodb_that_hangs_delays_no_poll_and_a_scale_up_by_its_deadlines_only() {
    const TICK: Duration = Duration::from_secs(4);
    let world = World::new();
    world.stream("orders", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    world.sandbox.set_faults(|call| match call.service {
        "dynamodb" => Fault::HangBefore,
        _ => Fault::None,
    });
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let started = world.clock.now();
    let mut wakes = Vec::new();
    for number in 0..4 {
        wakes.push(world.clock.now());
        let began = tokio::time::Instant::now();
        autoscaler.tick(TICK).await;
        assert!(began.elapsed() <= TICK, "tick {number} overlaps the next");
        tokio::time::sleep_until(began + TICK).await;
    }
    let log = world.sandbox.request_log();
    let of = |operation: &str| {
        let calls = log.iter().filter(|call| call.operation == operation);
        calls.map(|call| call.at).collect::<Vec<_>>()
    };
    let polls = of("DescribeAlarms");
    for wake in wakes {
        assert!(polls.contains(&wake), "no poll at {wake}: {polls:?}");
    }
    // 5 s each for the rows of the last day and for the intent.
    let scaled = of("UpdateShardCount")[0].duration_since(started);
    assert!(scaled <= SignedDuration::from_secs(10), "{scaled:#}");
    assert_eq!(world.shards("orders"), 4);
}
