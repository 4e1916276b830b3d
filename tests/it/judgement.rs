//! The metrics that policies decide on: all that count, each read as seldom as possible.

use std::time::Duration;

use autoscaler_sandbox::{Load, Pair, Traffic};
use jiff::SignedDuration;

use kinesis_autoscaler::reconcile::tick::Autoscaler;

use crate::world::{World, acted, held, of, tick};

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

/// Adaptive streams with daily waves of several heights, and a steady one that cannot shrink.
fn waves(world: &World, count: u32) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|i| format!("stream-{i}")).collect();
    for (i, name) in (0_u32..).zip(&names) {
        let peak = 2.0 + f64::from(i) * 0.7;
        let load = |used: f64| Load::of_shards(used);
        let traffic = match i {
            0 => Traffic::constant(load(2.3)),
            _ => Traffic::daily(load(peak / 4.0), load(peak), 14.0),
        };
        // 7 shards for the steady stream, of which it needs 5.
        let shards = if i == 0 { 7 } else { (2.0 * peak) as u32 };
        world.place.create_stream(name, shards);
        world
            .place
            .set_traffic(name, traffic.noise(0.1, u64::from(i)));
        world.place.put_pair(Pair::Adaptive, name, shards);
    }
    names
}

#[tokio::test(start_paused = true)]
async fn a_week_of_adaptive_streams_costs_a_few_shared_calls_a_day() {
    const STREAMS: u32 = 10;
    const DAYS: u64 = 7;
    let world = World::new();
    let names = waves(&world, STREAMS);
    world.pass(SignedDuration::from_hours(8 * 24)).await;
    let entry = |name: &String| format!("[[streams]]\nname = \"{name}\"\npolicy = \"adaptive\"\n");
    let entries: String = names.iter().map(entry).collect();
    let config = format!("audit_interval = \"15m\"\n{entries}");
    let mut autoscaler = world.start(&config).await;
    world.sandbox.reset_calls();
    // Fewer ticks take less time.
    for _ in 0..DAYS * 24 * 12 {
        world.pass(MINUTE * 5).await;
        tick(&mut autoscaler).await;
    }
    let log = world.sandbox.request_log();
    let reads: Vec<usize> = log
        .iter()
        .map(|call| call.metrics)
        .filter(|it| *it > 0)
        .collect();
    let a_day = |n: usize| n as f64 / DAYS as f64;
    let calls = a_day(reads.len());
    let metrics = a_day(reads.iter().sum()) / f64::from(STREAMS);
    let scalings = log
        .iter()
        .filter(|call| call.operation == "UpdateShardCount");
    let scalings = a_day(scalings.count()) / f64::from(STREAMS);
    let cents = metrics * 0.01 / 1000.0 * 100.0;
    println!(
        "a day: {calls:.1} GetMetricData calls for {STREAMS} streams; of a stream {metrics:.1} metrics, \
         {cents:.3} cents, {scalings:.2} scalings"
    );
    assert!(
        scalings > 0.5,
        "the waves have the streams scaled: {scalings}"
    );
    assert!(calls / f64::from(STREAMS) <= 12.0, "{calls} calls a day");
    assert!(cents < 1.0, "{cents} cents a day for a stream");
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_due_together_share_a_call_and_a_second_look_reads_what_is_new() {
    let world = World::new();
    let names: Vec<String> = (0..100).map(|i| format!("stream-{i}")).collect();
    for name in &names {
        world.place.create_stream(name, 7);
        let traffic = Traffic::constant(Load::of_shards(2.3));
        world.place.set_traffic(name, traffic);
        world.place.put_pair(Pair::Adaptive, name, 7);
    }
    world.pass(SignedDuration::from_hours(8 * 24)).await;
    let entry = |name: &String| format!("[[streams]]\nname = \"{name}\"\npolicy = \"adaptive\"\n");
    let config: String = names.iter().map(entry).collect();
    let mut autoscaler = world.start(&config).await;
    let reads = |world: &World| {
        let log = world.sandbox.request_log().into_iter();
        let reads = log.map(|call| call.metrics).filter(|it| *it > 0);
        reads.collect::<Vec<_>>()
    };
    names.iter().for_each(|name| world.fire(name, "scale-down"));
    world.sandbox.reset_calls();
    let report = tick(&mut autoscaler).await;
    let detail = &of(&report, "stream-0").detail;
    println!("{detail}");
    // A week of three metrics of 100 streams: 604,800 points are 6 pages.
    assert_eq!(reads(&world), [300; 6]);
    for _ in 0..3 {
        // The hold stands until the peak has faded, also for an audit.
        autoscaler.inspect_all();
        world.sandbox.reset_calls();
        tick(&mut autoscaler).await;
        assert_eq!(reads(&world), [0; 0], "nothing is read again");
        world.pass(MINUTE * 5).await;
    }
    world.pass(SignedDuration::from_hours(24)).await;
    names.iter().for_each(|name| world.fire(name, "scale-down"));
    world.sandbox.reset_calls();
    tick(&mut autoscaler).await;
    // Only points from three hours before the last read on.
    assert_eq!(reads(&world), [300]);
}

#[tokio::test(start_paused = true)]
async fn no_stream_shrinks_by_a_clock_that_is_a_day_off_and_it_still_grows() {
    for policy in ["original", "adaptive"] {
        for hours in [24, -24] {
            let world = constant(1.0).await;
            world.pass(SignedDuration::from_hours(48)).await;
            let keys = orders(&format!("policy = \"{policy}\"\n"));
            let context = world.context(world.config(&keys), false).await;
            context.clock.jump(SignedDuration::from_hours(hours));
            let mut autoscaler = Autoscaler::new(context, true);
            world.fire("orders", "scale-down");
            let report = tick(&mut autoscaler).await;
            held(&report, "orders", "no_data");
            let detail = &of(&report, "orders").detail;
            println!("{policy} {hours} h: {detail}");
            let side = if hours > 0 { "fast" } else { "slow" };
            let says = format!("clock of this host is 1440 min {side}");
            assert!(detail.contains(&says), "{detail}");
            world.fire("orders", "scale-up");
            acted(&tick(&mut autoscaler).await, "orders", "scale_up", 8, 12);
        }
    }
}
