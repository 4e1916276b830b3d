//! A scale-up for which the account's quota of shards has too little room.

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;

use crate::world::{World, acted, failed, named, of, tick};

/// A stream of four shards whose alarm asks for six, in an account with a quota of `quota` shards.
fn growing(quota: u32) -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.place.set_shard_limit(quota);
    world
}

/// Target and outcome of the rows, in order.
fn rows(world: &World) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let rows = world.rows();
    let pair = |row: &serde_json::Value| {
        (
            text(&row["target_shard_count"]["N"]),
            text(&row["outcome"]["S"]),
        )
    };
    rows.iter().map(pair).collect()
}

fn pair(to: &str, outcome: &str) -> (String, String) {
    (to.to_owned(), outcome.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_beyond_the_shard_quota_is_reduced_to_what_fits() {
    let world = growing(5);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "orders", "scale_up", 4, 5);
    assert_eq!(of(&report, "orders").reason.code(), "account_limit");
    assert_eq!(world.shards("orders"), 5);
    assert_eq!(world.recorded("orders-scale-up-alarm"), "5");
    assert_eq!(rows(&world), [pair("6", "not_applied"), pair("5", "done")]);
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_without_room_in_the_shard_quota_fails_and_waits_five_minutes() {
    let world = growing(4);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    failed(
        &report,
        "orders",
        "account_limit",
        "shard limit for the account",
    );
    let hint = &of(&report, "orders").detail;
    assert!(
        hint.contains("this needs 6 shards, and the quota is 4"),
        "{hint}"
    );
    world.place.set_shard_limit(8);
    world.pass(SignedDuration::from_mins(4)).await;
    tick(&mut autoscaler).await;
    assert_eq!(rows(&world), [pair("6", "not_applied")]);
    world.pass(SignedDuration::from_mins(1)).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_shard_quota_stands_without_the_right_to_ask_for_it() {
    let world = growing(5);
    world.sandbox.deny("kinesis:DescribeLimits");
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    failed(
        &report,
        "orders",
        "account_limit",
        "shard limit for the account",
    );
    assert_eq!(rows(&world), [pair("6", "not_applied")]);
}

#[tokio::test(start_paused = true)]
async fn streams_that_meet_the_shard_quota_at_once_share_what_is_left_by_priority() {
    let world = World::new();
    let names: Vec<String> = (0..200).map(|i| format!("stream-{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        world.stream(name, 2);
        // Every tenth is the most urgent.
        let used = if i % 10 == 0 { 1.9 } else { 1.6 };
        let traffic = Traffic::constant(Load::of_shards(used));
        world.place.set_traffic(name, traffic);
    }
    world.place.set_shard_limit(431);
    world.pass(SignedDuration::from_mins(10)).await;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut autoscaler = world.start(&named(&all)).await;
    world.sandbox.enforce_quotas(true);
    world.sandbox.reset_calls();
    let report = tick(&mut autoscaler).await;

    let refused = |report: &kinesis_autoscaler::reconcile::report::Report| {
        let lines = report.streams.iter();
        lines.filter(|it| it.error.is_some()).count()
    };
    let grown: u32 = names.iter().map(|name| world.shards(name) - 2).sum();
    assert_eq!(grown, 31, "the quota leaves 31 shards, and all are used");
    let sent = |world: &World| world.sandbox.calls()["UpdateShardCount"];
    // 15 streams double, and one gets the last shard.
    let calls = sent(&world);
    println!("{calls} calls, {} streams refused", refused(&report));
    assert!((16..=18).contains(&calls), "{calls} calls for 16 scalings");
    assert_eq!(world.sandbox.calls()["DescribeLimits"], 1);
    assert_eq!(refused(&report), 184);
    let urgent = (0..200)
        .step_by(10)
        .filter(|i| world.shards(&names[*i]) > 2);
    assert_eq!(urgent.count(), 16, "only the most urgent ones grow");
    let last = report.streams.iter().find(|it| it.error.is_some());
    let last = last.expect("most are refused");
    println!(
        "error: {}\nhint: {}",
        last.error.as_deref().unwrap_or_default(),
        last.detail
    );

    // Five minutes later the quota still has no room: one more refusal in all.
    world.pass(SignedDuration::from_mins(6)).await;
    world.sandbox.reset_calls();
    tick(&mut autoscaler).await;
    assert_eq!(sent(&world), 1);
}
