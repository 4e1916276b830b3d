//! Streams that are subscribed by pattern: creating the two alarms is subscribing.

use std::{collections::BTreeMap, time::Duration};

use autoscaler_sandbox::{Fault, Sandbox};
use jiff::SignedDuration;
use kinesis_autoscaler::reconcile::{report::Report, tick::Autoscaler};

use crate::world::{Log, REGION, World, acted, failed, held, named, of, tick};

mod commands;
mod lasting;

const PROD: &str = "[[streams]]\nmatch = \"prod-*\"\n";

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// The streams in the report, in its order.
fn streams(report: &Report) -> Vec<&str> {
    report.streams.iter().map(|it| it.name()).collect()
}

/// How many listings have begun: calls of DescribeAlarms, but for one poll in each tick.
fn describe_alarms(sandbox: &Sandbox) -> u64 {
    *sandbox.calls().get("DescribeAlarms").unwrap_or(&0)
}

fn one_poll(report: &Report) {
    let poll = BTreeMap::from([("DescribeAlarms".to_owned(), 1)]);
    assert_eq!(report.api_calls, poll);
}

fn refuse_alarms(sandbox: &Sandbox, refused: impl Fn(usize) -> bool + Send + 'static) {
    let mut calls = 0;
    sandbox.set_faults(move |call| {
        if call.operation != "DescribeAlarms" {
            return Fault::None;
        }
        calls += 1;
        match refused(calls) {
            true => Fault::Refuse {
                status: 400,
                code: "AccessDenied".to_owned(),
                message: "not authorized".to_owned(),
            },
            false => Fault::None,
        }
    });
}

/// What each configuration subscribes of the same alarms.
#[tokio::test(start_paused = true)]
async fn a_pair_that_fits_subscribes_its_stream() {
    let world = World::new();
    for name in ["prod-a", "prod-b", "prod-b-test", "stage-a", "orders"] {
        world.stream(name, 2);
    }
    world.stream("prod-half", 2);
    world.place.delete_alarm("prod-half-scale-down-alarm");
    world.place.create_stream("prod-without-alarms", 2);
    world.stream("b-scale-up", 2);
    for (config, expected) in [
        (PROD, &["prod-a", "prod-b", "prod-b-test"][..]),
        (
            "[[streams]]\nmatch = \"prod-*\"\nexcept = [\"*-test\"]\n",
            &["prod-a", "prod-b"],
        ),
        ("[[streams]]\nmatch = \"?????-a\"\n", &["stage-a"]),
        (
            "[[streams]]\nmatch = \"*\"\nexcept = [\"prod-*\", \"b-*\"]\n",
            &["orders", "stage-a"],
        ),
        ("[[streams]]\nmatch = \"none-*\"\n", &[]),
        (
            "[[streams]]\nmatch = \"*\"\nalarm_name = \"x-{stream}-{direction}\"\n",
            &[],
        ),
        (
            "[[streams]]\nname = \"orders\"\n[[streams]]\nmatch = \"prod-?\"\n",
            &["orders", "prod-a", "prod-b"],
        ),
    ] {
        let report = tick(&mut world.start(config).await).await;
        assert_eq!(streams(&report), expected, "{config}");
        assert!(!report.failed(), "{config}: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_the_entry_hold_for_every_stream() {
    let world = World::new();
    for name in ["prod-a", "prod-b"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    world.fire("prod-a", "scale-up");
    let config = format!("{PROD}max_shards = 3\n");
    let report = tick(&mut world.start(&config).await).await;
    acted(&report, "prod-a", "scale_up", 2, 3);
    assert_eq!(of(&report, "prod-a").subscription, "prod-a");
    held(&report, "prod-b", "no_alarm");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_in_alarm_subscribes_its_stream_at_once_and_without_a_call() {
    let world = World::new();
    world.stream("prod-a", 2);
    let mut autoscaler = world.start(PROD).await;
    assert_eq!(streams(&tick(&mut autoscaler).await), ["prod-a"]);
    world.stream("prod-new", 2);
    world.pass(minutes(10)).await;
    let report = tick(&mut autoscaler).await;
    assert_eq!(streams(&report), ["prod-a"], "nothing tells of the other");
    one_poll(&report);
    world.fire("prod-new", "scale-up");
    acted(&tick(&mut autoscaler).await, "prod-new", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn the_audit_finds_streams_that_appear_and_loses_those_that_go() {
    let world = World::new();
    for name in ["prod-a", "prod-b"] {
        world.stream(name, 2);
    }
    let config = format!("audit_interval = \"15m\"\n{PROD}");
    let mut autoscaler = world.start(&config).await;
    assert_eq!(streams(&tick(&mut autoscaler).await), ["prod-a", "prod-b"]);
    world.stream("prod-c", 2);
    for alarm in ["prod-a-scale-up-alarm", "prod-a-scale-down-alarm"] {
        world.place.delete_alarm(alarm);
    }
    world.place.delete_stream("prod-a");
    world.pass(minutes(15)).await;
    let report = tick(&mut autoscaler).await;
    assert!(!report.failed(), "going is no failure: {report:#?}");
    world.pass(minutes(1)).await;
    assert_eq!(streams(&tick(&mut autoscaler).await), ["prod-b", "prod-c"]);
    // It comes back.
    world.stream("prod-a", 2);
    world.pass(minutes(15)).await;
    tick(&mut autoscaler).await;
    world.pass(minutes(1)).await;
    let report = tick(&mut autoscaler).await;
    assert_eq!(streams(&report), ["prod-a", "prod-b", "prod-c"]);
}

#[tokio::test(start_paused = true)]
async fn one_alarm_is_no_pair_and_is_not_asked_for_again_and_again() {
    let world = World::new();
    world.stream("prod-a", 2);
    world.stream("prod-half", 2);
    world.place.delete_alarm("prod-half-scale-down-alarm");
    let mut autoscaler = world.start(PROD).await;
    tick(&mut autoscaler).await;
    world.pass(minutes(1)).await;
    // The same with a half that no listing has seen.
    world.stream("prod-late", 2);
    world.place.delete_alarm("prod-late-scale-up-alarm");
    world.fire("prod-half", "scale-up");
    world.fire("prod-late", "scale-down");
    let report = tick(&mut autoscaler).await;
    assert!(!report.failed(), "{report:#?}");
    world.pass(minutes(1)).await;
    let report = tick(&mut autoscaler).await;
    assert_eq!(streams(&report), ["prod-a"]);
    one_poll(&report);
    // After a while it may have become a pair.
    world.place.pair("prod-late", 2);
    world.pass(minutes(20)).await;
    world.fire("prod-late", "scale-up");
    acted(&tick(&mut autoscaler).await, "prod-late", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_alarm_is_deleted_is_unsubscribed_by_the_audit_of_it() {
    let world = World::new();
    for name in ["prod-a", "prod-b"] {
        world.stream(name, 2);
    }
    let mut autoscaler = world.start(PROD).await;
    tick(&mut autoscaler).await;
    world.place.delete_alarm("prod-a-scale-down-alarm");
    autoscaler.inspect_all();
    let report = tick(&mut autoscaler).await;
    assert!(!report.failed(), "{report:#?}");
    assert_eq!(streams(&tick(&mut autoscaler).await), ["prod-b"]);
}

#[tokio::test(start_paused = true)]
async fn a_named_entry_wins_over_a_pattern() {
    for entry in [
        "name = \"prod-a\"",
        "name = \"prod-a\"\nregion = \"eu-west-1\"",
        "alarm = \"prod-a-scale-down-alarm\"",
        // Another pair of the same stream.
        "name = \"prod-a\"\nalarm_name = \"mine-{stream}-{direction}\"",
        "alarm = \"mine-prod-a-scale-up\"",
    ] {
        let world = World::new();
        world.stream("prod-a", 4);
        for direction in ["scale-up", "scale-down"] {
            let mut alarm = world
                .place
                .alarm(&format!("prod-a-{direction}-alarm"))
                .expect("the alarm is there");
            alarm["AlarmName"] = format!("mine-prod-a-{direction}").into();
            world.place.put_alarm(alarm);
        }
        let config = format!("[[streams]]\n{entry}\nmax_shards = 4\n{PROD}max_shards = 64\n");
        let mut autoscaler = world.start(&config).await;
        autoscaler.inspect_all();
        tick(&mut autoscaler).await;
        world.pass(minutes(10)).await;
        for name in ["prod-a-scale-up-alarm", "mine-prod-a-scale-up"] {
            world
                .place
                .set_alarm_state(name, "ALARM", "the test says so");
        }
        let report = tick(&mut autoscaler).await;
        held(&report, "prod-a", "at_max_shards");
        assert_eq!(report.streams.len(), 1, "{entry}: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_patterns_for_one_stream_are_an_error_of_that_stream() {
    let world = World::new();
    for name in ["prod-a", "prod-a-eu", "b-eu"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    for name in ["prod-a", "prod-a-eu", "b-eu"] {
        world.fire(name, "scale-up");
    }
    let config = format!("{PROD}[[streams]]\nmatch = \"*-eu\"\n");
    let mut autoscaler = world.start(&config).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "prod-a", "scale_up", 2, 4);
    acted(&report, "b-eu", "scale_up", 2, 4);
    let patterns = "streams[0] (match = \"prod-*\") and streams[1] (match = \"*-eu\")";
    failed(&report, "prod-a-eu", "contract", patterns);
    let hint = &of(&report, "prod-a-eu").detail;
    assert!(hint.contains("except = [\"prod-a-eu\"]"), "{hint}");
    assert_eq!(world.shards("prod-a-eu"), 2, "it is not scaled");
    world.pass(minutes(10)).await;
    let report = tick(&mut autoscaler).await;
    failed(&report, "prod-a-eu", "contract", patterns);
    one_poll(&report);
}

#[tokio::test(start_paused = true)]
async fn regions_and_accounts_are_discovered_apart() {
    let world = World::new();
    let there = world.sandbox.region("us-east-1");
    let theirs = world.sandbox.place("210987654321", "us-east-1");
    for (place, name) in [
        (&world.place, "prod-a"),
        (&there, "prod-b"),
        (&there, "prod-a"),
        (&theirs, "prod-c"),
    ] {
        place.create_stream(name, 2);
        place.pair(name, 2);
    }
    let config = format!(
        "{PROD}[[streams]]\nmatch = \"*-?\"\nregion = \"us-east-1\"\n\
         [[streams]]\nmatch = \"*\"\nregion = \"us-east-1\"\n\
         role_arn = \"arn:aws:iam::210987654321:role/kinesis-autoscaler\"\n"
    );
    let mut autoscaler = world.start(&config).await;
    let report = tick(&mut autoscaler).await;
    let mut seen: Vec<_> = report
        .streams
        .iter()
        .map(|it| (it.region.as_str(), it.account.as_deref(), it.name()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            (REGION, None, "prod-a"),
            ("us-east-1", None, "prod-a"),
            ("us-east-1", None, "prod-b"),
            ("us-east-1", Some("210987654321"), "prod-c"),
        ]
    );
    world.pass(minutes(10)).await;
    there.set_alarm_state("prod-a-scale-up-alarm", "ALARM", "the test says so");
    let report = tick(&mut autoscaler).await;
    let scaled = report.streams.iter().filter(|it| it.acts());
    let scaled: Vec<_> = scaled.map(|it| (it.region.as_str(), it.name())).collect();
    assert_eq!(scaled, [("us-east-1", "prod-a")]);
}

/// A tick of a daemon with a short schedule, which does not wait for what it does not need.
async fn short_tick(autoscaler: &mut Autoscaler) -> Report {
    autoscaler.tick(Duration::from_secs(50)).await
}

#[tokio::test(start_paused = true)]
async fn an_idle_tick_is_one_call_in_each_region_with_ten_thousand_streams() {
    let world = World::new();
    let regions = [REGION, "us-east-1", "us-west-2"];
    for (number, region) in regions.iter().enumerate() {
        let place = world.sandbox.region(region);
        for i in 0..10_000 / 3 + usize::from(number == 0) {
            place.pair(&format!("prod-{i}"), 2);
        }
    }
    let entry = |region: &&str| format!("{PROD}region = {region:?}\n");
    let config: String = regions.iter().map(entry).collect();
    let mut autoscaler = world.start(&config).await;
    // At 8 calls a second the pages take a while; polls go on meanwhile.
    let mut report = short_tick(&mut autoscaler).await;
    assert_eq!(
        report.listing, regions,
        "the listings go on beside the ticks"
    );
    assert!(!report.failed(), "that is no failure");
    for _ in 0..10 {
        world.pass(SignedDuration::from_secs(10)).await;
        report = short_tick(&mut autoscaler).await;
    }
    assert_eq!(report.listing, [""; 0]);
    assert_eq!(report.streams.len(), 10_000);
    for _ in 0..3 {
        world.pass(minutes(1)).await;
        let report = short_tick(&mut autoscaler).await;
        let polls = BTreeMap::from([("DescribeAlarms".to_owned(), 3)]);
        assert_eq!(report.api_calls, polls);
    }
}

#[tokio::test(start_paused = true)]
async fn alarms_are_listed_once_in_each_audit_interval() {
    let world = World::new();
    world.stream("prod-a", 2);
    for (interval, listings) in [("15m", 5), ("30m", 3), ("0s", 1)] {
        let config = format!("audit_interval = \"{interval}\"\n{PROD}");
        let mut autoscaler = world.start(&config).await;
        world.sandbox.reset_calls();
        let (mut ticks, mut audits) = (0, 0);
        for _ in 0..=60 {
            let report = tick(&mut autoscaler).await;
            ticks += 1;
            audits += report.api_calls.get("DescribeStreamSummary").unwrap_or(&0);
            world.pass(minutes(1)).await;
        }
        let calls = describe_alarms(&world.sandbox);
        // An audit reads the pair, too.
        assert_eq!(
            calls - ticks - audits,
            listings,
            "{interval}: {audits} audits"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_alarms_of_one_prefix_are_listed() {
    let world = World::new();
    for i in 0..200 {
        world.place.pair(&format!("stage-{i}"), 2);
    }
    world.stream("prod-a", 2);
    for (config, listed) in [
        (PROD, 1),
        ("[[streams]]\nmatch = \"*-a\"\n", 5),
        // The wider of two prefixes has the alarms of both.
        (
            "[[streams]]\nmatch = \"prod-*\"\nexcept = [\"*\"]\n[[streams]]\nmatch = \"prod*\"\n",
            1,
        ),
    ] {
        let mut autoscaler = world.start(config).await;
        let report = tick(&mut autoscaler).await;
        assert_eq!(report.api_calls["DescribeAlarms"], 1 + listed, "{config}");
        assert_eq!(streams(&report), ["prod-a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_appears_or_goes_is_logged_once() {
    let world = World::new();
    world.stream("prod-a", 2);
    let mut autoscaler = world
        .start(&format!("audit_interval = \"15m\"\n{PROD}"))
        .await;
    let lines = async |autoscaler: &mut Autoscaler| {
        let (log, guard) = Log::capture();
        for _ in 0..3 {
            tick(autoscaler).await;
            world.pass(minutes(6)).await;
        }
        drop(guard);
        let text = log.text();
        let lines = text.lines().filter(|line| line.contains("pair of alarms"));
        let lines = lines.map(|line| {
            let named = |name: &&&str| line.contains(&format!("stream=\"{name}\""));
            let name = ["prod-a", "prod-b", "prod-half"].iter().find(named);
            let goes = line.contains("no longer subscribed");
            (name.copied().unwrap_or_default(), goes)
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(lines(&mut autoscaler).await, [("prod-a", false)]);
    assert_eq!(lines(&mut autoscaler).await, []);
    world.stream("prod-b", 2);
    world.stream("prod-half", 2);
    world.place.delete_alarm("prod-half-scale-up-alarm");
    world.place.delete_alarm("prod-a-scale-up-alarm");
    let mut news = lines(&mut autoscaler).await;
    news.sort_unstable();
    assert_eq!(news, [("prod-a", true), ("prod-b", false)]);
    assert_eq!(lines(&mut autoscaler).await, []);
}

#[tokio::test(start_paused = true)]
async fn many_unrelated_alarms_in_alarm_hide_no_stream_and_cost_one_call() {
    let world = World::new();
    world.stream("prod-a", 2);
    for i in 0..350 {
        world.place.pair(&format!("unrelated-{i}"), 2);
        world.fire(&format!("unrelated-{i}"), "scale-up");
    }
    let mut autoscaler = world.start(PROD).await;
    tick(&mut autoscaler).await;
    world.pass(minutes(10)).await;
    one_poll(&tick(&mut autoscaler).await);
    for name in ["prod-a", "prod-new"] {
        if name == "prod-new" {
            world.stream(name, 2);
        }
        world.fire(name, "scale-up");
        acted(&tick(&mut autoscaler).await, name, "scale_up", 2, 4);
    }
    // Named streams beside it are asked for by name.
    world.stream("orders", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    let config = format!("{PROD}{}", named(&["orders"]));
    let mut autoscaler = world.start(&config).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_fails_the_tick_and_loses_nothing() {
    let world = World::new();
    world.stream("prod-a", 2);
    let config = format!("audit_interval = \"15m\"\n{PROD}{}", named(&["prod-b"]));
    world.stream("prod-b", 2);
    let mut autoscaler = world.start(&config).await;
    // The listing is the first call, the poll the second.
    refuse_alarms(&world.sandbox, |call| call == 1);
    let report = tick(&mut autoscaler).await;
    assert!(report.failed(), "nobody watches prod-a");
    assert_eq!(streams(&report), ["prod-b"]);
    let told = report.to_json();
    assert!(
        told.contains("\"unlisted\":[\"eu-west-1: ") && told.contains("not authorized"),
        "{told}"
    );
    assert!(
        report
            .to_text(None)
            .contains("alarms could not be listed: eu-west-1")
    );
    assert!(report.summary().contains("alarms not listed: eu-west-1"));
    // An alarm in ALARM is seen all the same.
    world.pass(SignedDuration::from_secs(10)).await;
    world.fire("prod-a", "scale-up");
    let report = tick(&mut autoscaler).await;
    acted(&report, "prod-a", "scale_up", 2, 4);
    assert!(report.failed(), "it is not tried again yet");
    world.pass(SignedDuration::from_secs(30)).await;
    assert!(!tick(&mut autoscaler).await.failed());
    // A later one keeps what is known.
    refuse_alarms(&world.sandbox, |_| true);
    world.pass(minutes(15)).await;
    let report = tick(&mut autoscaler).await;
    assert!(report.failed());
    assert_eq!(streams(&report), ["prod-b", "prod-a"]);
}
