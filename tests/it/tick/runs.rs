//! Dry runs, runs from cron, and work that outlasts a tick.

use std::time::Duration;

use autoscaler_sandbox::Fault;
use kinesis_autoscaler::reconcile::tick::Autoscaler;

use super::minutes;
use crate::world::{World, acted, held, named, tick};

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    world.place.create_stream("payments", 3);
    world.place.pair("payments", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    world.fire("payments", "scale-up");
    let context = world
        .context(world.config(&named(&["orders", "payments"])), true)
        .await;
    let report = tick(&mut Autoscaler::new(context, true)).await;
    acted(&report, "orders", "scale_up", 2, 4);
    acted(&report, "payments", "sync_alarms", 3, 3);
    let reads = [
        "DescribeAlarms",
        "DescribeStreamSummary",
        "GetMetricData",
        "ListAlarmMuteRules",
        "Query",
        "GetItem",
    ];
    assert!(
        report
            .api_calls
            .keys()
            .all(|call| reads.contains(&call.as_str())),
        "{:?}",
        report.api_calls
    );
    assert_eq!((world.shards("orders"), world.rows().len()), (2, 0));
}

/// A stream whose scaling goes on after the tick that began it.
async fn outlasting_a_tick() -> (World, Autoscaler) {
    let world = World::new();
    world.stream("slow", 2);
    world.pass(minutes(10)).await;
    world.fire("slow", "scale-up");
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "PutMetricAlarm" => Fault::Slow(Duration::from_secs(4)),
            _ => Fault::None,
        });
    let mut autoscaler = world.start(&named(&["slow"])).await;
    let report = autoscaler.tick(Duration::from_secs(2)).await;
    held(&report, "slow", "in_progress");
    (world, autoscaler)
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_a_tick_is_told_and_goes_on() {
    let (world, mut autoscaler) = outlasting_a_tick().await;
    world.pass(minutes(1)).await;
    acted(&tick(&mut autoscaler).await, "slow", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn work_that_ended_between_two_ticks_is_not_in_progress_at_the_second() {
    let (world, mut autoscaler) = outlasting_a_tick().await;
    for _ in 0..5 {
        world.pass(minutes(1)).await;
    }
    world.fire("slow", "scale-up");
    let second = tick(&mut autoscaler).await;
    assert_eq!(world.shards("slow"), 6, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_from_cron_sees_new_alarms_while_it_waits_for_the_quota() {
    let world = World::new();
    for name in ["early", "late"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    world.fire("early", "scale-up");
    let slow = "[quotas]\nput_metric_alarm = 0.005\n";
    let mut autoscaler = world
        .start(&format!("{slow}{}", named(&["early", "late"])))
        .await;
    let started = world.clock.now();
    let (wait, within) = (Duration::from_secs(50), Duration::from_secs(3600));
    let run = autoscaler.run_once(wait, within);
    let alarm = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.fire("late", "scale-up");
    };
    let (report, ()) = tokio::join!(run, alarm);
    acted(&report, "early", "scale_up", 2, 4);
    acted(&report, "late", "scale_up", 2, 4);
    let scaling_log = world.sandbox.request_log();
    let reshardings = scaling_log
        .iter()
        .filter(|call| call.operation == "UpdateShardCount")
        .map(|call| call.at.duration_since(started).as_secs());
    assert_eq!(
        reshardings.collect::<Vec<_>>(),
        [0, 50],
        "seconds into the run, whose alarm rewriting takes 600 s"
    );
    assert_eq!(autoscaler.under_way(), 0, "it has waited for its work");
    let polls = report.api_calls["DescribeAlarms"];
    assert!(
        polls > 10,
        "one report of all its ticks, with {polls} polls"
    );
}
