//! Whole ticks with 10,000 subscriptions, against the sandbox with time paused: the work, without
//! the waiting.

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kinesis_autoscaler::reconcile::{context::Role, tick::Autoscaler};
use tokio::runtime::Runtime;

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../it/world.rs"]
mod world;

use world::World;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// `streams` streams of 2 shards, the first `firing` of them in scale-up ALARM.
async fn prepare(streams: usize, firing: usize) -> (World, Autoscaler) {
    let world = World::new();
    world.place.set_shard_limit(1_000_000);
    let names: Vec<String> = (0..streams).map(|i| format!("stream-{i}")).collect();
    for name in &names {
        world.stream(name, 2);
    }
    world.pass(jiff::SignedDuration::from_mins(10)).await;
    names
        .iter()
        .take(firing)
        .for_each(|name| world.fire(name, "scale-up"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let config = world.config(&world::named(&names));
    let context = world.process(config, Role::Daemon, false).await;
    let mut autoscaler = Autoscaler::new(context, false);
    if firing == 0 {
        world::tick(&mut autoscaler).await;
    }
    (world, autoscaler)
}

fn ticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for streams in [100, 1_000, 10_000] {
        let runtime = runtime();
        let (_world, mut autoscaler) = runtime.block_on(prepare(streams, 0));
        group.bench_function(format!("idle, {streams} subscriptions"), |b| {
            b.iter(|| runtime.block_on(world::tick(&mut autoscaler)));
        });
    }
    for (streams, firing) in [(100, 100), (1_000, 1_000), (10_000, 100)] {
        let runtime = runtime();
        group.bench_function(format!("{firing} of {streams} scale up"), |b| {
            b.iter_batched(
                || runtime.block_on(prepare(streams, firing)),
                |(_world, mut autoscaler)| {
                    let report = runtime.block_on(world::tick(&mut autoscaler));
                    let scaled = report
                        .streams
                        .iter()
                        .filter(|it| it.action.code() == "scale_up");
                    assert_eq!(scaled.count(), firing, "what is measured is done");
                    assert!(!report.failed());
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, ticks);
criterion_main!(benches);
