//! Changes between a decision and its slot in a quota, and what a tick has missed.

use std::time::Duration;

use autoscaler_sandbox::{Load, Pair, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::{Cli, Command},
    commands::pause,
    reconcile::tick::Autoscaler,
};
use serde_json::{Value, json};

use crate::world::{World, acted, held, named, of, tick};

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Streams of 2 shards in scale-up ALARM, whose reshardings take a second.
async fn firing(names: &[&str]) -> World {
    let world = World::new();
    world.place.set_update_window(seconds(1));
    names.iter().for_each(|name| world.stream(name, 2));
    world.pass(minutes(10)).await;
    names.iter().for_each(|name| world.fire(name, "scale-up"));
    world
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_changes_while_it_waits_for_the_quota_is_decided_on_anew() {
    let world = firing(&["first", "second"]).await;
    let slow = "[quotas]\nupdate_shard_count = 0.05\n";
    let config = format!("{slow}{}", named(&["first", "second"]));
    let mut autoscaler = world.start(&config).await;
    let operator = async {
        tokio::time::sleep(seconds(10)).await;
        world
            .place
            .reshard_externally("second", 3)
            .expect("it is ACTIVE");
    };
    let (report, ()) = tokio::join!(tick(&mut autoscaler), operator);
    acted(&report, "first", "scale_up", 2, 4);
    held(&report, "second", "in_progress");
    assert_eq!(world.shards("second"), 3, "a person's count stands");
    assert_eq!(world.rows().len(), 1, "no intent was logged for it");
    acted(&tick(&mut autoscaler).await, "second", "sync_alarms", 3, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_writes_while_an_alarm_waits_for_the_quota_is_kept() {
    let world = firing(&["orders"]).await;
    let slow = "[quotas]\nput_metric_alarm = 0.05\n";
    let mut autoscaler = world.start(&format!("{slow}{}", named(&["orders"]))).await;
    let up = "orders-scale-up-alarm";
    let edit = async {
        tokio::time::sleep(seconds(10)).await;
        world.place.edit_alarm(up, |alarm| {
            alarm.insert("AlarmDescription".to_owned(), json!("edited meanwhile"));
        });
    };
    let (report, ()) = tokio::join!(tick(&mut autoscaler), edit);
    acted(&report, "orders", "scale_up", 2, 4);
    assert_eq!(world.recorded(up), "4");
    let alarm = world.place.alarm(up).expect("it is there");
    assert_eq!(alarm["AlarmDescription"], json!("edited meanwhile"));
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_the_stream_has_overtaken_is_made_anew_at_the_next_tick() {
    let world = World::new();
    world.place.set_update_window(seconds(1));
    world.stream("orders", 2);
    let config = "audit_interval = \"10m\"\n[quotas]\nput_metric_alarm = 0.05\n";
    let config = format!("{config}{}", named(&["orders"]));
    let mut autoscaler = world.start(&config).await;
    let reshard = |to| {
        world
            .place
            .reshard_externally("orders", to)
            .expect("ACTIVE")
    };
    reshard(3);
    world.pass(minutes(10)).await;
    let operator = async {
        tokio::time::sleep(seconds(10)).await;
        reshard(4);
    };
    let (report, ()) = tokio::join!(tick(&mut autoscaler), operator);
    held(&report, "orders", "in_progress");
    world.pass(minutes(1)).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "orders", "sync_alarms", 4, 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_tells_what_it_has_done() {
    let world = firing(&["done", "waits"]).await;
    let slow = "[quotas]\nput_metric_alarm = 0.01\n";
    let config = format!("{slow}{}", named(&["done", "waits"]));
    let mut autoscaler = world.start(&config).await;
    // The third turn of 100 s is under way: two were the first stream's.
    let run = autoscaler.run_once(seconds(50), seconds(3600));
    let stopped = tokio::time::timeout(seconds(250), run).await;
    assert!(stopped.is_err(), "it still waits for the quota");
    let (cut, report) = autoscaler.stop(tokio::time::Instant::now()).await;
    assert_eq!(cut, 1, "the second is cut");
    acted(&report, "done", "scale_up", 2, 4);
    held(&report, "waits", "in_progress");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_scaling_another_one_has_ended_leaves_the_alarms_alone() {
    for (quota, other_looks_after) in [(0.01, 70), (0.1, 3)] {
        let rows = another_host_goes_on(quota, other_looks_after, |_| ()).await;
        let outcomes: Vec<_> = rows.iter().map(|row| &row["outcome"]["S"]).collect();
        assert_eq!(outcomes, ["done", "done"], "each scaling is logged once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_ask_the_log_goes_by_what_the_alarms_record() {
    another_host_goes_on(0.1, 3, |world| {
        for action in ["Query", "GetItem", "PutItem", "DeleteItem"] {
            world.sandbox.deny(&format!("dynamodb:{action}"));
        }
    })
    .await;
}

/// A slow host gets to the alarms of its scaling at `quota` writes a second; by then another one
/// has scaled the stream again. `change` is made before that. Returns the log.
async fn another_host_goes_on(quota: f64, after: u64, change: fn(&World)) -> Vec<Value> {
    let world = firing(&["orders"]).await;
    let quotas = format!("[quotas]\nput_metric_alarm = {quota}\n");
    let slow = format!("{quotas}{}", named(&["orders"]));
    let slow = world.start_on("slow", &slow).await;
    let fast = world.start_on("fast", &named(&["orders"])).await;
    let (mut slow, mut fast) = (Autoscaler::new(slow, true), Autoscaler::new(fast, true));
    let other = async {
        tokio::time::sleep(seconds(after)).await;
        change(&world);
        acted(&tick(&mut fast).await, "orders", "sync_alarms", 4, 4);
        tokio::time::sleep(seconds(2)).await;
        world.fire("orders", "scale-up");
        acted(&tick(&mut fast).await, "orders", "scale_up", 4, 6);
    };
    let (report, ()) = tokio::join!(tick(&mut slow), other);
    acted(&report, "orders", "scale_up", 2, 4);
    for alarm in ["orders-scale-up-alarm", "orders-scale-down-alarm"] {
        assert_eq!(world.recorded(alarm), "6", "{alarm}: the later scaling's");
    }
    world.rows()
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_a_tick_has_missed_comes_with_the_next() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!("audit_interval = \"10m\"\n{}", named(&["orders"]));
    let mut autoscaler = world.start(&config).await;
    tick(&mut autoscaler).await;
    world.place.reshard_externally("orders", 3).expect("ACTIVE");
    // Its turn is at every tenth minute; at 12:10:30 CloudWatch does not answer.
    world
        .pass(minutes(10) + SignedDuration::from_secs(30))
        .await;
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    assert!(tick(&mut autoscaler).await.failed());
    world.sandbox.allow("cloudwatch:DescribeAlarms");
    world.pass(minutes(1)).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "orders", "sync_alarms", 3, 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_from_cron_goes_by_what_the_last_one_left_and_audits_all_without_it() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!("audit_interval = \"1h\"\n{}", named(&["orders"]));
    let run = async || {
        let mut autoscaler = world.start(&config).await;
        autoscaler.resume(world.state.path());
        let report = autoscaler.run_once(seconds(50), seconds(3600)).await;
        autoscaler.save_state(world.state.path());
        report
    };
    world.place.reshard_externally("orders", 3).expect("ACTIVE");
    world.pass(minutes(5)).await;
    acted(&run().await, "orders", "sync_alarms", 3, 3);
    world.pass(minutes(1)).await;
    let calls = run().await.api_calls;
    assert_eq!(
        calls.into_iter().collect::<Vec<_>>(),
        [("DescribeAlarms".to_owned(), 1)],
        "nothing is open, and no audit is due"
    );
    std::fs::remove_file(world.state.path().join("last-run.json")).expect("it was left");
    world.pass(minutes(1)).await;
    let calls = run().await.api_calls;
    assert_eq!(calls["DescribeStreamSummary"], 1, "it audits: {calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_from_cron_keeps_the_holds_of_the_last_one_while_alarms_and_settings_stay() {
    let world = World::new();
    world.place.create_stream("orders", 7);
    let traffic = Traffic::constant(Load::of_shards(2.3));
    world.place.set_traffic("orders", traffic);
    world.place.put_pair(Pair::Adaptive, "orders", 7);
    world.pass(SignedDuration::from_hours(8 * 24)).await;
    world.fire("orders", "scale-down");
    let run = async |settings: &str| {
        let entry = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"";
        let mut autoscaler = world.start(&format!("{entry}\n{settings}")).await;
        autoscaler.resume(world.state.path());
        let report = autoscaler.run_once(seconds(50), seconds(3600)).await;
        autoscaler.save_state(world.state.path());
        let reads = report.api_calls.get("GetMetricData").copied();
        (of(&report, "orders").clone(), reads.unwrap_or(0))
    };
    let (first, _) = run("").await;
    assert_eq!(first.reason.code(), "at_target", "{first:?}");
    world.pass(minutes(1)).await;
    let (second, reads) = run("").await;
    assert_eq!(reads, 0, "the hold stands until the peak has faded");
    assert_eq!(second.detail, first.detail);
    world.pass(minutes(1)).await;
    let (_, reads) = run("fill = 0.5").await;
    assert!(reads > 0, "another setting is another decision");
    world.pass(minutes(1)).await;
    let down = "orders-scale-down-alarm";
    world.place.set_alarm_state(down, "OK", "the test says so");
    world.fire("orders", "scale-down");
    let (third, reads) = run("fill = 0.5").await;
    assert!(reads > 0, "the alarm went off anew: {third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_alarm_fails_every_tick_and_every_run_until_it_is_there() {
    let world = World::new();
    world.stream("orders", 2);
    world.place.delete_alarm("orders-scale-down-alarm");
    let mut daemon = world.start(&named(&["orders"])).await;
    daemon.inspect_all();
    for number in 0..2 {
        let report = tick(&mut daemon).await;
        assert_eq!(
            of(&report, "orders").reason.code(),
            "contract",
            "tick {number}"
        );
        world.pass(minutes(1)).await;
    }
    let config = format!("audit_interval = \"1h\"\n{}", named(&["orders"]));
    let run = async || {
        let mut autoscaler = world.start(&config).await;
        autoscaler.resume(world.state.path());
        let report = autoscaler.run_once(seconds(50), seconds(3600)).await;
        autoscaler.save_state(world.state.path());
        world.pass(minutes(1)).await;
        report
    };
    assert!(run().await.failed(), "the first run reads the pair");
    let second = run().await;
    assert!(second.failed(), "the second run knows of it: {second:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_next_single_run_on_the_host_knows_of_a_pause_and_of_its_end() {
    const FLOOR: &str =
        "windows = [{ at = \"2026-11-22T12:00:00Z\", for = \"2h\", min_shards = 6 }]\n";
    for (direction, settings, action, to) in [
        ("scale-up", "", "scale_up", 6),
        ("scale-down", "", "scale_down", 2),
        ("none", FLOOR, "scale_up", 6),
    ] {
        let world = World::new();
        world.stream("orders", 4);
        world.pass(minutes(10)).await;
        if direction != "none" {
            world.fire("orders", direction);
        }
        let config = format!("{}{settings}", named(&["orders"]));
        let run = async || {
            let mut once = world.start(&config).await;
            once.resume(world.state.path());
            let report = once.run_once(seconds(50), seconds(3600)).await;
            once.save_state(world.state.path());
            world.pass(SignedDuration::from_secs(2)).await;
            report
        };
        let person = async |line: &str| {
            let words = std::iter::once("kinesis-autoscaler").chain(line.split(' '));
            let cli = Cli::try_from_args(words).expect("the flags are right");
            let context = world.context(world.config(&config), false).await;
            let done = match &cli.command {
                Some(Command::Pause(args)) => pause::pause(&context, args, cli.output).await,
                Some(Command::Resume(args)) => pause::resume(&context, args, cli.output).await,
                other => panic!("{other:?}"),
            };
            done.expect("the table takes it");
        };
        person("pause orders --for 1h --reason test").await;
        held(&run().await, "orders", "paused");
        person("pause orders --for 2h --reason longer").await;
        let report = run().await;
        held(&report, "orders", "paused");
        let detail = &of(&report, "orders").detail;
        assert!(detail.ends_with(": longer"), "{direction}: {detail}");
        let report = run().await;
        held(&report, "orders", "paused");
        let calls: u64 = report.api_calls.values().sum();
        assert_eq!(calls, 1, "{direction}: the hold stands: {report:#?}");
        person("resume orders").await;
        acted(&run().await, "orders", action, 4, to);
    }
}
