//! What a policy judges a stream by: all the metrics that count, each read as seldom as possible.

use std::time::Duration;

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;

use crate::world::{World, acted, of, tick};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// One stream of 8 shards with constant traffic, 20 minutes later.
async fn constant(used: f64) -> World {
    let world = World::new();
    world.stream("orders", 8);
    let traffic = Traffic::constant(Load::of_shards(used));
    world.place.set_traffic("orders", traffic);
    world.pass(MINUTE * 20).await;
    world
}

fn orders(keys: &str) -> String {
    format!("[[streams]]\nname = \"orders\"\n{keys}")
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_counts_what_consumers_read_where_reads_count() {
    // Five applications read 1.2 shards' worth: 6 MiB/s, which 3 shards hand out.
    for (keys, expected) in [
        ("", 4),
        ("reads = true\n", 6),
        ("policy = \"adaptive\"\n", 4),
        ("policy = \"adaptive\"\nreads = true\nsaving = 0.1\n", 6),
    ] {
        let world = constant(1.2).await;
        world.place.set_consumers("orders", 5.0);
        let mut autoscaler = world.start(&orders(keys)).await;
        world.fire("orders", "scale-down");
        acted(
            &tick(&mut autoscaler).await,
            "orders",
            "scale_down",
            8,
            expected,
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_scale_up_counts_what_consumers_read_where_reads_count() {
    let world = constant(2.0).await;
    world.place.set_consumers("orders", 7.0);
    let keys = "policy = \"adaptive\"\nreads = true\n";
    let mut autoscaler = world.start(&orders(keys)).await;
    world.fire("orders", "scale-up");
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 8, 14);
}

#[tokio::test(start_paused = true)]
async fn the_configured_share_of_rejected_records_doubles_an_adaptive_stream() {
    // Uneven keys leave a third of the shards unused: 5.33 of 8 shards' worth is accepted.
    for (share, expected) in [("0.005", 16), ("0", 11), ("0.9", 11)] {
        let world = constant(6.0).await;
        let traffic = Traffic::constant(Load::of_shards(6.0)).skew(1.5);
        world.place.set_traffic("orders", traffic);
        let alarms = format!("[alarms]\nthrottle_share = {share}\n");
        let keys = orders("policy = \"adaptive\"\n");
        let mut autoscaler = world.start(&format!("{alarms}{keys}")).await;
        world.fire("orders", "scale-up");
        let report = tick(&mut autoscaler).await;
        acted(&report, "orders", "scale_up", 8, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_from_before_the_stream_was_active_again_are_not_answered_twice() {
    let world = constant(12.0).await;
    world.place.set_update_window(Duration::from_secs(240));
    world.place.set_shard_limit(1000);
    let mut autoscaler = world.start(&orders("policy = \"adaptive\"\n")).await;
    world.fire("orders", "scale-up");
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 8, 16);
    // A tick every 10 s sees the end of the resharding, while the alarm asks again.
    let mut next = None;
    for _ in 0..60 {
        world.pass(SignedDuration::from_secs(10)).await;
        if !world.place.in_alarm("orders-scale-up-alarm") {
            world.fire("orders", "scale-up");
        }
        let report = tick(&mut autoscaler).await;
        if of(&report, "orders").acts() {
            next = Some((of(&report, "orders").detail.clone(), report));
            break;
        }
    }
    let (detail, report) = next.expect("it scales again");
    assert!(!detail.contains("rejected"), "{detail}");
    assert!(of(&report, "orders").shards_after < Some(32), "{detail}");
}
