//! Several accounts and Regions side by side.

use std::time::Duration;

use autoscaler_sandbox::Fault;
use jiff::SignedDuration;
use kinesis_autoscaler::reconcile::report::Report;

use crate::world::{World, acted, failed, named, tick};

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// The stream `near`, and `far` in another Region, both in scale-up ALARM, with their
/// configuration.
async fn two_regions() -> (World, String) {
    let world = World::new();
    world.stream("near", 2);
    let there = world.sandbox.region("us-east-1");
    there.create_stream("far", 2);
    there.pair("far", 2);
    world.pass(minutes(10)).await;
    world.fire("near", "scale-up");
    there.set_alarm_state("far-scale-up-alarm", "ALARM", "the test says so");
    let far = "[[streams]]\nname = \"far\"\nregion = \"us-east-1\"\n";
    (world, named(&["near"]) + far)
}

#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_answer_delays_no_other() {
    // The poll, and then the reading of the pairs by their names.
    for calls_that_answer in [0, 1] {
        let (world, config) = two_regions().await;
        let mut answered = 0;
        world.sandbox.set_faults(move |call| {
            let far = call.region == "us-east-1" && call.operation == "DescribeAlarms";
            answered += u32::from(far);
            match far && answered > calls_that_answer {
                true => Fault::HangBefore,
                false => Fault::None,
            }
        });
        let started = world.clock.now();
        let report = tick(&mut world.start(&config).await).await;
        acted(&report, "near", "scale_up", 2, 4);
        failed(&report, "far", "aws_error", "no answer within the deadline");
        let scaling_log = world.sandbox.request_log();
        let near: Vec<_> = scaling_log
            .iter()
            .filter(|call| call.region == "eu-west-1")
            .map(|call| (call.operation.as_str(), call.at.duration_since(started)))
            .collect();
        assert!(
            near.iter()
                .all(|(_, after)| *after < SignedDuration::from_secs(1)),
            "after {calls_that_answer} calls the other Region hangs, and this one waits: {near:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pairs_are_read_fifty_at_a_time_and_none_waits_for_the_others() {
    let world = World::new();
    let names: Vec<String> = (0..120).map(|n| format!("s{n:03}")).collect();
    names.iter().for_each(|name| world.stream(name, 2));
    world.pass(minutes(10)).await;
    names.iter().for_each(|name| world.fire(name, "scale-up"));
    // Two pages of the poll, then a call for each fifty: the third of those never answers.
    let mut calls = 0;
    world.sandbox.set_faults(move |call| {
        calls += u32::from(call.operation == "DescribeAlarms");
        match call.operation == "DescribeAlarms" && calls == 5 {
            true => Fault::HangBefore,
            false => Fault::None,
        }
    });
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let quotas = "[quotas]\ndescribe_alarms = 1\nput_metric_alarm = 100\nset_alarm_state = 100\nupdate_shard_count = 100\n";
    let started = world.clock.now();
    let report = tick(&mut world.start(&format!("{quotas}{}", named(&names))).await).await;
    let first = world
        .sandbox
        .request_log()
        .iter()
        .find(|call| call.operation == "UpdateShardCount")
        .map(|call| call.at.duration_since(started).as_secs());
    assert_eq!(first, Some(2), "when the first fifty pairs were read");
    let scaled = |report: &Report| {
        let streams = report.streams.iter();
        streams.filter(|it| it.action.code() == "scale_up").count()
    };
    assert!(scaled(&report) >= 100, "{}", scaled(&report));
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_not_read_before_the_tick_ends_is_told() {
    let (world, config) = two_regions().await;
    world.sandbox.set_faults(|call| match call.region.as_str() {
        "us-east-1" => Fault::Slow(Duration::from_secs(4)),
        _ => Fault::None,
    });
    let mut autoscaler = world.start(&config).await;
    let report = autoscaler.tick(Duration::from_secs(2)).await;
    acted(&report, "near", "scale_up", 2, 4);
    failed(&report, "far", "aws_error", "within tick_timeout");
    world.sandbox.clear_faults();
    acted(&tick(&mut autoscaler).await, "far", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn accounts_and_regions_are_polled_apart_and_roles_assumed() {
    let world = World::new();
    world.stream("orders", 2);
    let far = world.sandbox.place("210987654321", "us-east-1");
    far.create_stream("orders", 8);
    far.pair("orders", 8);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    far.set_alarm_state("orders-scale-up-alarm", "ALARM", "the test says so");
    let config = "[[streams]]\nname = \"orders\"\n[[streams]]\nname = \"orders\"\nregion = \"us-east-1\"\n\
                  role_arn = \"arn:aws:iam::210987654321:role/kinesis-autoscaler\"\n";
    let mut autoscaler = world.start(config).await;
    let report = tick(&mut autoscaler).await;
    let seen: Vec<_> = report
        .streams
        .iter()
        .map(|entry| {
            (
                entry.region.as_str(),
                entry.shards_before,
                entry.shards_after,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("eu-west-1", Some(2), Some(4)),
            ("us-east-1", Some(8), Some(12))
        ],
        "{report:#?}"
    );
    assert_eq!(world.rows().len(), 2, "both are logged, under one name");
    world
        .sandbox
        .refuse_role("arn:aws:iam::210987654321:role/kinesis-autoscaler");
    let report = tick(&mut world.start(config).await).await;
    let entry = report
        .streams
        .iter()
        .find(|entry| entry.region == "us-east-1")
        .expect("it is reported");
    assert!(
        entry
            .error
            .as_deref()
            .unwrap_or_default()
            .contains("AssumeRole"),
        "{entry:#?}"
    );
}
