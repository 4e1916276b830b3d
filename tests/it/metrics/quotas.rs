//! The shard quotas of accounts, as far as AWS has told them.

use jiff::SignedDuration;

use super::{Process, has, lacks};
use crate::world::{World, named};

const KNOWN: [&str; 2] = [
    "account_shard_limit{region=\"eu-west-1\"} 5",
    "account_open_shards{region=\"eu-west-1\"} 4",
];

#[tokio::test(start_paused = true)]
async fn the_shard_limit_is_told_after_a_refusal_and_over_reloads() {
    let world = World::new();
    world.stream("orders", 4);
    world.place.set_shard_limit(5);
    world.pass(SignedDuration::from_mins(10)).await;
    let mut process = Process::new(&world, &named(&["orders"])).await;
    process.tick().await;
    lacks(&process.text(), "account_shard_limit{");
    lacks(&process.text(), "account_open_shards{");
    assert!(!world.sandbox.calls().contains_key("DescribeLimits"));

    world.fire("orders", "scale-up");
    process.tick().await;
    has(&process.text(), &KNOWN);
    assert_eq!(world.sandbox.calls()["DescribeLimits"], 1);
    // The clients of a new configuration know of no refusal, and those of a second one neither.
    for _ in 0..2 {
        let next = world
            .context(world.config(&named(&["orders"])), false)
            .await;
        process.metrics.adopt(next);
        has(&process.text(), &KNOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn the_quotas_of_two_accounts_are_two_series_and_the_newest_counts() {
    let world = World::new();
    let other = world.sandbox.place("210987654321", "eu-west-1");
    world.stream("orders", 4);
    other.create_stream("orders", 8);
    other.pair("orders", 8);
    world.place.set_shard_limit(5);
    other.set_shard_limit(9);
    world.pass(SignedDuration::from_mins(10)).await;
    let config = "[[streams]]\nname = \"orders\"\n[[streams]]\nname = \"orders\"\n\
                  role_arn = \"arn:aws:iam::210987654321:role/kinesis-autoscaler\"\n";
    let mut process = Process::new(&world, config).await;
    world.fire("orders", "scale-up");
    other.set_alarm_state("orders-scale-up-alarm", "ALARM", "the test says so");
    process.tick().await;
    let labels = "region=\"eu-west-1\",account=\"210987654321\"";
    let theirs = format!("account_shard_limit{{{labels}}} 9");
    has(&process.text(), &[KNOWN[0], KNOWN[1], &theirs]);

    // A new process of the configuration learns a new limit, which replaces what was known.
    world.place.set_shard_limit(6);
    world.pass(SignedDuration::from_mins(10)).await;
    let next = Process::new(&world, config).await;
    process.metrics.adopt(next.context.clone());
    has(&process.text(), &[KNOWN[0], &theirs]);
    process.autoscaler = next.autoscaler;
    world.fire("orders", "scale-up");
    process.tick().await;
    let ours = "account_shard_limit{region=\"eu-west-1\"} 6";
    has(&process.text(), &[ours, &theirs]);
}
