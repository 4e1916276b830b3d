//! A thousand streams at once, and ten thousand in three Regions, with AWS's quotas enforced, in
//! virtual time.

use std::collections::BTreeMap;

use autoscaler_sandbox::{Call, Fault, Load, Traffic};
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::reconcile::tick::Autoscaler;

use crate::world::{World, named, tick};

/// The quotas as AWS publishes them, without head-room.
const ALL_OF_THE_QUOTAS: &str = "[quotas]\ndescribe_alarms = 9.0\nput_metric_alarm = 3.0\nset_alarm_state = 3.0\n\
                                 describe_stream_summary = 20.0\nupdate_shard_count = 10.0\n";

/// Streams of 2 shards, with AWS's quotas enforced.
struct Storm {
    world: World,
    names: Vec<String>,
}

impl Storm {
    async fn of(streams: usize) -> Self {
        let world = World::new();
        let names: Vec<String> = (0..streams).map(|i| format!("stream-{i}")).collect();
        names.iter().for_each(|name| world.stream(name, 2));
        world.pass(SignedDuration::from_mins(10)).await;
        world.sandbox.enforce_quotas(true);
        Self { world, names }
    }

    fn fire(&self, numbers: std::ops::Range<usize>, direction: &str) {
        let names = &self.names[numbers];
        names
            .iter()
            .for_each(|name| self.world.fire(name, direction));
    }

    async fn start(&self, quotas: &str) -> Autoscaler {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let config = format!("{quotas}{}", named(&names));
        let autoscaler = self.world.start(&config).await;
        self.world.sandbox.reset_calls();
        autoscaler
    }

    /// A long wait of some streams must not make all later ones wait as long, and be
    /// read again.
    fn few_are_read_again(&self) {
        let reads = self.world.sandbox.calls()["DescribeStreamSummary"];
        let again = reads - self.names.len() as u64;
        assert!(again <= 100, "{again} streams were read again");
    }

    /// When streams were resharded, in seconds after `since`.
    fn resharded(&self, since: Timestamp) -> Vec<f64> {
        let calls = self.world.sandbox.request_log().into_iter();
        calls
            .filter(|call| call.operation == "UpdateShardCount")
            .map(|call| call.at.duration_since(since).as_secs_f64())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_goes_at_the_pace_of_the_quotas_and_is_never_throttled() {
    let storm = Storm::of(1000).await;
    storm.fire(0..1000, "scale-up");
    let mut autoscaler = storm.start(ALL_OF_THE_QUOTAS).await;
    let Storm { world, names } = storm;
    let started = world.clock.now();
    let report = tick(&mut autoscaler).await;
    assert!(
        !report.failed(),
        "{:#?}",
        report.streams.iter().find(|stream| stream.error.is_some())
    );
    assert_eq!(
        world.sandbox.throttled(),
        BTreeMap::new(),
        "no call is throttled"
    );

    let calls = world.sandbox.calls();
    assert_eq!(
        calls["DescribeStreamSummary"], 1000,
        "each stream is read once, however long it waits: {calls:?}"
    );
    let queries = calls["Query"];
    assert!(
        queries < 1000 + 110,
        "each stream's rows are read once, and the pauses once a second: {queries}"
    );
    let mut last = BTreeMap::new();
    for call in world.sandbox.request_log() {
        let seconds = call.at.duration_since(started).as_secs_f64();
        last.entry(call.operation)
            .and_modify(|at: &mut f64| *at = at.max(seconds))
            .or_insert(seconds);
    }
    println!("last call of each operation, in seconds after the start: {last:#?}");
    // 1,000 at 10 a second; 2,000 each at 3 a second.
    assert!(
        last["UpdateShardCount"] <= 105.0,
        "the last resharding is after {} s",
        last["UpdateShardCount"]
    );
    assert!(
        last["PutMetricAlarm"] <= 1.1 * 667.0,
        "the last alarm is rewritten after {} s",
        last["PutMetricAlarm"]
    );
    assert!(
        last["SetAlarmState"] <= 1.1 * 667.0,
        "the last alarm is reset after {} s",
        last["SetAlarmState"]
    );
    for name in names {
        assert_eq!(
            world.recorded(&format!("{name}-scale-down-alarm")),
            "4",
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_in_a_storm_leaves_no_line_of_streams_that_are_read_again() {
    let storm = Storm::of(400).await;
    storm.fire(0..400, "scale-up");
    let mut autoscaler = storm.start("").await;
    let mut reshardings = 0;
    storm.world.sandbox.set_faults(move |call| {
        reshardings += u32::from(call.operation == "UpdateShardCount");
        match call.operation == "UpdateShardCount" && (50..53).contains(&reshardings) {
            true => Fault::Throttle,
            false => Fault::None,
        }
    });
    let report = tick(&mut autoscaler).await;
    assert!(!report.failed(), "a throttled call is tried again");
    storm.few_are_read_again();
}

#[tokio::test(start_paused = true)]
async fn a_more_urgent_wave_in_a_storm_goes_first_and_leaves_no_line() {
    let storm = Storm::of(400).await;
    for name in &storm.names[..300] {
        let idle = Traffic::constant(Load::of_shards(0.1));
        storm.world.place.set_traffic(name, idle);
    }
    storm.fire(0..300, "scale-down");
    let mut autoscaler = storm.start("").await;
    let started = storm.world.clock.now();
    let short = std::time::Duration::from_secs(10);
    autoscaler.tick(short).await;
    storm.fire(300..400, "scale-up");
    tick(&mut autoscaler).await;
    assert_eq!(storm.resharded(started).len(), 400, "all are resharded");
    let calls = storm.world.sandbox.request_log();
    let soon = |call: &&Call| call.at.duration_since(started).as_secs() < 30;
    let urgent = calls.iter().filter(soon).filter(|call| {
        let stream = call
            .resource
            .as_deref()
            .and_then(|it| it.rsplit('-').next());
        let number = stream.and_then(|it| it.parse::<usize>().ok());
        call.operation == "UpdateShardCount" && number.is_some_and(|it| it >= 300)
    });
    // 100 of them at 8 a second, after those that were let in before.
    assert!(urgent.count() >= 95, "the urgent ones go first");
    storm.few_are_read_again();
}

#[tokio::test(start_paused = true)]
async fn slow_reads_and_a_log_that_hangs_do_not_slow_a_storm_down() {
    let storm = Storm::of(400).await;
    storm.fire(0..400, "scale-up");
    let mut autoscaler = storm.start("").await;
    let started = storm.world.clock.now();
    let slow = std::time::Duration::from_secs(4);
    let sandbox = &storm.world.sandbox;
    // Only our rate limits matter here: calls that the log has delayed meet others, and AWS would
    // throttle some.
    sandbox.enforce_quotas(false);
    sandbox.set_faults(move |call| match &*call.operation {
        "DescribeStreamSummary" => Fault::Slow(slow),
        "Query" | "TransactWriteItems" | "GetItem" => Fault::HangBefore,
        _ => Fault::None,
    });
    tick(&mut autoscaler).await;
    let resharded = storm.resharded(started);
    for name in &storm.names {
        assert_eq!(storm.world.shards(name), 4, "{name}");
    }
    let first = resharded.iter().copied().fold(f64::MAX, f64::min);
    let last = resharded.into_iter().fold(0.0, f64::max);
    // 50 s at 8 a second.
    assert!(
        last - first <= 52.0,
        "from {first} to {last} s, which is slower than the quota"
    );
}

#[tokio::test(start_paused = true)]
async fn scale_ups_go_before_scale_downs_and_the_highest_usage_first() {
    let world = World::new();
    world.sandbox.enforce_quotas(true);
    for (name, used) in [("down", 1.0), ("low", 8.0), ("high", 9.9), ("middle", 9.0)] {
        world.stream(name, 10);
        world
            .place
            .set_traffic(name, Traffic::constant(Load::of_shards(used)));
    }
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("down", "scale-down");
    let quotas = "[quotas]\nupdate_shard_count = 0.5\n";
    let mut autoscaler = world
        .start(&format!(
            "{quotas}{}",
            named(&["down", "low", "high", "middle"])
        ))
        .await;
    tick(&mut autoscaler).await;
    let resharded = |call: &Call| {
        let name = call.resource.as_deref()?.rsplit('/').next()?.to_owned();
        (call.operation == "UpdateShardCount").then_some(name)
    };
    let order: Vec<String> = world
        .sandbox
        .request_log()
        .iter()
        .filter_map(resharded)
        .collect();
    assert_eq!(order, ["high", "middle", "low", "down"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_in_three_regions_cost_three_calls_a_minute_plus_the_audit() {
    let world = World::new();
    let regions = ["eu-west-1", "us-east-1", "ap-southeast-2"];
    let mut config = format!("audit_interval = \"15m\"\n{ALL_OF_THE_QUOTAS}");
    for i in 0..10_000 {
        let region = regions[i % 3];
        let place = world.sandbox.region(region);
        let name = format!("stream-{i}");
        place.create_stream(&name, 2);
        place.pair(&name, 2);
        config += &format!("[[streams]]\nname = \"{name}\"\nregion = \"{region}\"\n");
    }
    world.sandbox.enforce_quotas(true);
    let mut autoscaler = world.start(&config).await;
    let mut next = tokio::time::Instant::now();
    tick(&mut autoscaler).await;
    let mut audited = 0;
    for minute in 0..15 {
        next += std::time::Duration::from_secs(60);
        tokio::time::sleep_until(next).await;
        let report = tick(&mut autoscaler).await;
        assert!(
            !report.failed(),
            "{:#?}",
            report.streams.iter().find(|stream| stream.error.is_some())
        );
        assert!(
            next.elapsed().as_secs() < 60,
            "minute {minute}: the audit's share is done within the minute"
        );
        let of_minute = report.api_calls["DescribeStreamSummary"];
        audited += of_minute;
        // One poll per Region, and the pairs of the audited streams, 50 a call.
        let polls = report.api_calls["DescribeAlarms"];
        assert!(
            polls <= 3 + of_minute / 50 + 3,
            "minute {minute}: {polls} DescribeAlarms for {of_minute} audited streams"
        );
    }
    assert_eq!(audited, 10_000, "each stream once per interval");
    assert_eq!(world.sandbox.throttled(), BTreeMap::new());
}
