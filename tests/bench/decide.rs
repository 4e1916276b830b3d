//! The decision alone: of the original's rule, and of the adaptive policy on a week of traffic.

use std::{hint::black_box, time::Duration};

use autoscaler_core::{
    decide::decide,
    decision::Verdict,
    facts::{Facts, Series, Traffic},
    policy::original::step_up,
    subscription::{Policy, Subscription},
    trigger::Trigger,
};
use criterion::{Criterion, criterion_group, criterion_main};

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../src/core/scene.rs"]
mod scene;

const DAY: i64 = 86_400;
const MIB: f64 = 1_048_576.0;

fn decisions(c: &mut Criterion) {
    let original = scene::subscription();
    let adaptive = Subscription {
        policy: Policy::Adaptive,
        ..scene::subscription()
    };
    let with = |facts: Facts, traffic| Facts {
        traffic: Some(traffic),
        ..facts
    };
    // The original's rule does not read rejected records.
    let accepted = |mut traffic: Traffic| {
        traffic.rejected.points.clear();
        traffic
    };
    let minutes = traffic(600, 60);
    let cases = [
        ("original, up", &original, scene::up(4)),
        ("original, down", &original, scene::down(10, 2.6)),
        (
            "original, down by a day of traffic",
            &original,
            with(scene::down(10, 0.0), accepted(traffic(DAY, 300))),
        ),
        ("adaptive, up", &adaptive, with(scene::up(4), minutes)),
        (
            "adaptive, down by a week of traffic",
            &adaptive,
            with(scene::down(10, 0.0), traffic(7 * DAY, 300)),
        ),
        (
            "adaptive, hold by a week of traffic",
            &adaptive,
            with(scene::down(5, 0.0), traffic(7 * DAY, 300)),
        ),
    ];
    let mut group = c.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(3));
    for (name, subscription, facts) in cases {
        let decided = || {
            decide(
                black_box(subscription),
                &Trigger::Alarm,
                black_box(&facts),
                scene::now(),
            )
        };
        let Verdict::Concluded(conclusion) = decided() else {
            panic!("{name}: everything is read");
        };
        let holds = conclusion.decision.action().is_none();
        assert_eq!(holds, name.contains("hold"), "{name}: {conclusion:?}");
        group.bench_function(name, |b| b.iter(decided));
    }
    group.finish();
    c.bench_function("step up", |b| b.iter(|| step_up(black_box(50))));
}

/// A point of every metric for each period; a shard to 2.7 shards in bytes, up and down.
fn traffic(seconds: i64, period: i64) -> Traffic {
    let series = |sum: &dyn Fn(i64) -> f64| Series {
        points: (1..=seconds / period)
            .map(|i| (scene::ago(period * i), sum(i)))
            .collect(),
        complete: true,
    };
    let second = |i: i64| MIB * (1.0 + (i % 18) as f64 / 10.0);
    Traffic {
        from: scene::ago(seconds),
        period_seconds: period,
        bytes: series(&|i| second(i) * period as f64),
        records: series(&|i| second(i) * period as f64 / 2_000.0),
        rejected: series(&|_| 0.0),
        outgoing: None,
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
