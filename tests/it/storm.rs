//! A thousand streams at once, and ten thousand in three Regions, with AWS's quotas enforced, in virtual time.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kinesis_autoscaler::sandbox::{Call, Load, Traffic};

use crate::world::{World, named, tick};

/// The quotas as AWS publishes them, without head-room.
const ALL_OF_THE_QUOTAS: &str = "[quotas]\ndescribe_alarms = 9.0\nput_metric_alarm = 3.0\nset_alarm_state = 3.0\n\
                                 describe_stream_summary = 20.0\nupdate_shard_count = 10.0\n";

#[tokio::test(start_paused = true)]
async fn a_storm_goes_at_the_pace_of_the_quotas_and_is_never_throttled() {
    let world = World::new();
    let names: Vec<String> = (0..1000).map(|i| format!("stream-{i}")).collect();
    names.iter().for_each(|name| world.stream(name, 2));
    world.pass(SignedDuration::from_mins(10)).await;
    names.iter().for_each(|name| world.fire(name, "scale-up"));
    world.sandbox.enforce_quotas(true);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut autoscaler = world
        .start(&format!("{ALL_OF_THE_QUOTAS}{}", named(&names)))
        .await;
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
    let mut last = BTreeMap::new();
    for call in world.sandbox.journal() {
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
        .journal()
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
