//! Streams with uneven keys: the throttle signal shows what usage alone does not.

use std::iter::repeat_n;

use autoscaler_sandbox::{Load, Pair, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::commands::{
    check::{self, Finding, Scope},
    status::{Row, gather},
};

use crate::world::{World, tick};

const ORIGINAL: &str = "[[streams]]\nname = \"orders\"\n";
const ADAPTIVE: &str = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"\n";
const HOT: &str = "rejects records at so low a usage that a shard is hot";
/// The pairs that see what is rejected.
const SEEING: [(Pair, &str); 2] = [(Pair::ThrottleSignal, ORIGINAL), (Pair::Adaptive, ADAPTIVE)];

/// A stream of 10 shards, and how its traffic comes.
#[derive(Debug)]
struct Case {
    pair: Pair,
    config: &'static str,
    skew: f64,
    hot_key: f64,
    /// In shards, after twenty minutes of half the load that it can take.
    demand: f64,
}

/// A stream some time after its traffic rose.
struct Run {
    world: World,
    config: &'static str,
    /// The shard count after each scale-up.
    scale_ups: Vec<u32>,
}

/// A fifth more than the busiest shard takes.
fn skewed((pair, config): (Pair, &'static str), skew: f64) -> Case {
    Case {
        pair,
        config,
        skew,
        hot_key: 0.0,
        demand: 10.0 / skew * 1.2,
    }
}

impl Case {
    /// Lets the daemon work from twenty minutes before the rise until `minutes` after it.
    async fn run(&self, minutes: i64) -> Run {
        let world = World::new();
        world.place.create_stream("orders", 10);
        world.place.put_pair(self.pair, "orders", 10);
        let start = world.clock.now();
        let demand = [(0, 5.0 / self.skew), (20, self.demand)];
        let demand = demand.map(|(at, shards)| {
            let at = start + SignedDuration::from_mins(at);
            (at, Load::of_shards(shards))
        });
        let traffic = Traffic::steps(demand).skew(self.skew);
        world
            .place
            .set_traffic("orders", traffic.hot_key(self.hot_key));
        let mut autoscaler = world.start(self.config).await;
        let mut scale_ups = Vec::new();
        // With a tick every 10 s, as the default schedule has it, while it matters.
        let slow = usize::try_from(minutes - 20).expect("more than twenty");
        for seconds in repeat_n(10, 40 * 6).chain(repeat_n(60, slow)) {
            world.pass(SignedDuration::from_secs(seconds)).await;
            let report = tick(&mut autoscaler).await;
            let ups = report.streams.iter();
            let ups = ups.filter(|it| it.action.code() == "scale_up");
            scale_ups.extend(ups.filter_map(|it| it.shards_after));
        }
        Run {
            world,
            config: self.config,
            scale_ups,
        }
    }
}

impl Run {
    /// Its row of `status`, and the whole text.
    async fn status(&self) -> (Row, String) {
        let context = self.world.context(self.world.config(self.config), false);
        let status = gather(&context.await).await;
        let text = status.to_text(None);
        (status.streams.into_iter().next().expect("one row"), text)
    }

    async fn findings(&self) -> Vec<Finding> {
        let context = self.world.context(self.world.config(self.config), false);
        check::examine(&context.await, Scope::Chosen).await.all
    }

    /// Records rejected in the last hour and in 24 h.
    async fn rejected(&self) -> (u64, u64) {
        let (row, text) = self.status().await;
        let read = row.rejected_1h.zip(row.rejected_24h);
        read.unwrap_or_else(|| panic!("it is read: {text}"))
    }
}

#[tokio::test(start_paused = true)]
async fn usage_alone_leaves_a_stream_with_uneven_keys_throttling_for_ever() {
    for skew in [1.4, 1.8] {
        let case = skewed((Pair::Usual, ORIGINAL), skew);
        let run = case.run(25 * 60).await;
        assert_eq!(run.scale_ups, [0; 0], "{case:?}");
        let (hour, day) = run.rejected().await;
        assert!(hour > 0, "{case:?}");
        assert_eq!(day / hour, 24, "as much in every hour: {case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_throttle_signal_ends_throttling_within_15_minutes() {
    for seeing in SEEING {
        for skew in [1.4, 1.8] {
            let case = skewed(seeing, skew);
            // Metrics come a minute late.
            let run = case.run(15 + 60 + 2).await;
            let (hour, day) = run.rejected().await;
            assert!(day > 0, "it rejects records at first: {case:?}");
            assert_eq!(hour, 0, "{case:?}, scaled to {:?}", run.scale_ups);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn max_shards_bounds_what_the_throttle_signal_asks_for() {
    let config = "[[streams]]\nname = \"orders\"\nmax_shards = 11\n";
    let run = skewed((Pair::ThrottleSignal, config), 1.8).run(120).await;
    assert_eq!(run.scale_ups, [11]);
    let (hour, _) = run.rejected().await;
    assert!(hour > 0, "11 shards are not enough");
    let (row, text) = run.status().await;
    assert_eq!(row.reason, "at_max_shards", "{text}");
}

/// More shards would not help: a few of them are sent what is rejected.
#[tokio::test(start_paused = true)]
async fn a_hot_shard_is_reported_and_not_scaled_after() {
    for (pair, config) in SEEING {
        for (skew, hot_key, demand) in [
            (3.0, 0.0, 4.0),
            (3.0, 0.0, 9.0),
            (1.0, 0.3, 4.0),
            (1.0, 0.3, 7.0),
        ] {
            let case = Case {
                pair,
                config,
                skew,
                hot_key,
                demand,
            };
            let run = case.run(5 * 60).await;
            assert!(
                run.scale_ups.len() <= 2,
                "{case:?} scaled to {:?}",
                run.scale_ups
            );
            let (hour, _) = run.rejected().await;
            assert!(hour > 0, "it still rejects records: {case:?}");
            let (_, text) = run.status().await;
            for told in [HOT, "aws kinesis split-shard"] {
                assert!(text.contains(told), "{case:?}: {text}");
            }
            let found = run.findings().await;
            let hot = found.iter().find(|it| it.rule == "hot_shard");
            let hot = hot.unwrap_or_else(|| panic!("{case:?}: {found:#?}"));
            assert!(hot.message.contains(HOT), "{hot:#?}");
            assert!(hot.fix.contains("aws kinesis split-shard"), "{hot:#?}");
        }
    }
}

/// Its policy reads what is rejected, so that only streams that usage alone misses are missed.
#[tokio::test(start_paused = true)]
async fn an_adaptive_stream_with_the_usual_pair_grows_by_usage_and_check_recommends_the_signal() {
    let case = skewed((Pair::Usual, ADAPTIVE), 1.2);
    let run = case.run(15 + 60 + 2).await;
    assert_eq!(run.scale_ups, [20], "records are rejected, so it doubles");
    let (hour, day) = run.rejected().await;
    assert!(
        day > 0 && hour == 0,
        "{day} rejected, {hour} in the last hour"
    );
    let found = run.findings().await;
    let recommends = |it: &&Finding| it.rule == "no_throttle_signal";
    assert!(found.iter().any(|it| recommends(&it)), "{found:#?}");
}
