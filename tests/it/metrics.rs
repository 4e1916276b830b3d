//! Metrics for Prometheus, health checks, and the endpoint that serves both.

mod daemon;
mod endpoint;
mod formats;
mod health;
mod quotas;
mod shipped;
mod sizing;

use std::sync::Arc;

use autoscaler_core::{
    constraints::Hold,
    pause::{Pause, Paused},
};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    daemon::metrics::{Format, Metrics},
    reconcile::{
        context::{Context, Role},
        report::Report,
        tick::Autoscaler,
    },
};
use serde_json::Value;

use crate::world::{Log, World, named, tick};

/// A process with its metrics.
struct Process {
    context: Arc<Context>,
    autoscaler: Autoscaler,
    metrics: Metrics,
}

impl Process {
    async fn new(world: &World, config: &str) -> Self {
        let config = world.config(config);
        let context = world.process(config, Role::Daemon, false).await;
        Self {
            autoscaler: Autoscaler::new(context.clone(), false),
            metrics: Metrics::new(context.clone()),
            context,
        }
    }

    async fn tick(&mut self) -> Report {
        let report = tick(&mut self.autoscaler).await;
        self.metrics.ticked(&report);
        report
    }

    fn text(&self) -> String {
        self.metrics.exposition(Format::OpenMetrics)
    }
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        let name = format!("kinesis_autoscaler_{line}");
        assert!(
            text.lines().any(|it| it == name),
            "no line {name:?} in\n{text}"
        );
    }
}

#[track_caller]
fn lacks(text: &str, part: &str) {
    assert!(!text.contains(part), "{part:?} is in\n{text}");
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_told_with_its_calls_holds_scalings_and_budget() {
    let world = World::new();
    for (name, shards) in [("orders", 2), ("paused", 4), ("quiet", 1)] {
        world.stream(name, shards);
    }
    world.fire("orders", "scale-up");
    world.place.edit_alarm("paused-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), Value::Bool(false));
    });
    world.fire("paused", "scale-up");
    let mut process = Process::new(&world, &named(&["orders", "paused", "quiet"])).await;
    has(
        &process.text(),
        &[
            "ticks_total{result=\"ok\"} 0",
            "subscriptions 3",
            "spool_rows 0",
        ],
    );
    process.tick().await;
    let text = process.text();
    let orders = "stream=\"orders\",region=\"eu-west-1\"";
    has(
        &text,
        &[
            "ticks_total{result=\"ok\"} 1",
            "ticks_total{result=\"failed\"} 0",
            "late_ticks_total 0",
            "tick_duration_seconds_count 1",
            "standby 0",
            &format!("build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
            "api_calls_total{operation=\"DescribeAlarms\"} 3",
            "api_calls_total{operation=\"UpdateShardCount\"} 1",
            &format!("stream_shards{{{orders}}} 4"),
            &format!("stream_target_shards{{{orders}}} 4"),
            &format!("stream_daily_budget_left{{{orders}}} 9"),
            &format!("scalings_total{{{orders},direction=\"up\"}} 1"),
            "holds_total{stream=\"paused\",region=\"eu-west-1\",reason=\"paused\"} 1",
        ],
    );
    // The counters of a stream at rest are there, so that its first scaling is an increase.
    has(
        &text,
        &["scalings_total{stream=\"quiet\",region=\"eu-west-1\",direction=\"up\"} 0"],
    );
    lacks(&text, "_stream_shards{stream=\"quiet\"");
    assert!(text.ends_with("# EOF\n"), "{text}");

    // The call of now frees its slot in a day, and a minute for its way to AWS.
    world.pass(SignedDuration::from_mins(24 * 60 + 1)).await;
    has(
        &process.text(),
        &[&format!("stream_daily_budget_left{{{orders}}} 10")],
    );
}

#[tokio::test(start_paused = true)]
async fn failures_and_errors_are_counted() {
    let world = World::new();
    world.stream("orders", 2);
    world.fire("orders", "scale-up");
    world.sandbox.deny("kinesis:DescribeStreamSummary");
    let mut process = Process::new(&world, &named(&["orders"])).await;
    process.tick().await;
    has(
        &process.text(),
        &[
            "ticks_total{result=\"failed\"} 1",
            "api_errors_total{operation=\"DescribeStreamSummary\"} 1",
            "stream_failures_total{stream=\"orders\",region=\"eu-west-1\"} 1",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_no_scaling_and_shows_the_target() {
    let world = World::new();
    world.stream("orders", 2);
    world.fire("orders", "scale-up");
    let context = world.context(world.config(&named(&["orders"])), true).await;
    let metrics = Metrics::new(context.clone());
    metrics.ticked(&tick(&mut Autoscaler::new(context, true)).await);
    let text = metrics.exposition(Format::OpenMetrics);
    let orders = "stream=\"orders\",region=\"eu-west-1\"";
    has(
        &text,
        &[
            &format!("stream_shards{{{orders}}} 2"),
            &format!("stream_target_shards{{{orders}}} 4"),
            &format!("stream_daily_budget_left{{{orders}}} 10"),
        ],
    );
    has(
        &text,
        &[&format!("scalings_total{{{orders},direction=\"up\"}} 0")],
    );
}

#[tokio::test(start_paused = true)]
async fn counts_go_on_over_a_reload_and_streams_that_are_gone_go() {
    let world = World::new();
    for name in ["orders", "clicks"] {
        world.stream(name, 2);
        world.fire(name, "scale-up");
    }
    let mut process = Process::new(&world, &named(&["orders", "clicks"])).await;
    process.tick().await;
    let calls = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.contains("_calls_total{operation=\"DescribeAlarms\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let before = calls(&process.text());
    assert!(before > Some(0), "{before:?}");
    let next = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    process.metrics.adopt(next);
    let text = process.text();
    assert_eq!(calls(&text), before, "{text}");
    has(&text, &["subscriptions 1", "ticks_total{result=\"ok\"} 1"]);
    has(
        &text,
        &["stream_shards{stream=\"orders\",region=\"eu-west-1\"} 4"],
    );
    lacks(&text, "clicks");

    let reloaded = |taken| {
        process.metrics.reloaded(taken);
        process.text()
    };
    has(&text, &["config_last_reload_successful 1"]);
    has(&reloaded(false), &["config_last_reload_successful 0"]);
    has(&reloaded(true), &["config_last_reload_successful 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_watched_once_its_pair_was_read_and_fits() {
    let world = World::new();
    for name in ["orders", "broken"] {
        world.stream(name, 2);
    }
    world.place.pair("gone", 2);
    world.place.delete_alarm("broken-scale-down-alarm");
    let config = format!(
        "{}[[streams]]\nalarm = \"late-scale-up-alarm\"\n",
        named(&["orders", "broken", "gone"])
    );
    let mut process = Process::new(&world, &config).await;
    let watched = |process: &Process, expected: [(&str, u8); 4]| {
        for (stream, watched) in expected {
            let labels = format!("stream=\"{stream}\",region=\"eu-west-1\"");
            let line = format!("stream_watched{{{labels}}} {watched}");
            has(&process.text(), &[&line]);
        }
    };
    let late = "late-scale-up-alarm";
    let unread = [("orders", 0), ("broken", 0), ("gone", 0), (late, 0)];
    watched(&process, unread);
    process.autoscaler.inspect_all();
    process.tick().await;
    let broken = [("orders", 1), ("broken", 0), ("gone", 0), (late, 0)];
    watched(&process, broken);
    process.tick().await;
    watched(&process, broken);

    world.place.create_stream("gone", 2);
    world.place.delete_alarm("broken-scale-up-alarm");
    world.place.pair("broken", 2);
    world.stream("late", 2);
    world.pass(SignedDuration::from_mins(10)).await;
    process.autoscaler.inspect_all();
    process.tick().await;
    watched(
        &process,
        [("orders", 1), ("broken", 1), ("gone", 1), ("late", 1)],
    );
    lacks(&process.text(), late);

    // An off switch is a hold that is decided before anything else is read, but not by an audit.
    let mut restarted = Process::new(&world, &named(&["orders"])).await;
    world.place.edit_alarm("orders-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), Value::Bool(false));
    });
    world.fire("orders", "scale-up");
    restarted.autoscaler.inspect_all();
    let held = restarted.tick().await;
    assert_eq!(held.streams[0].reason.code(), "paused", "{held:?}");
    let line = "stream_watched{stream=\"orders\",region=\"eu-west-1\"} 1";
    has(&restarted.text(), &[line]);
    world
        .place
        .set_alarm_state("orders-scale-up-alarm", "OK", "the test says so");

    // A pair that cannot be read now counts as watched as before.
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    process.tick().await;
    has(
        &process.text(),
        &["stream_watched{stream=\"orders\",region=\"eu-west-1\"} 1"],
    );
    // A reload may have named other alarms.
    process.metrics.adopt(process.context.clone());
    has(
        &process.text(),
        &["stream_watched{stream=\"orders\",region=\"eu-west-1\"} 0"],
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_capped_stream_wants_is_told_with_its_bounds() {
    let world = World::new();
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    let config = format!("{}max_shards = 4\nmin_shards = 2\n", named(&["orders"]));
    let mut process = Process::new(&world, &config).await;
    let mut report = process.tick().await;
    let labels = "stream=\"orders\",region=\"eu-west-1\"";
    let line = |name: &str, value: &str| format!("stream_{name}{{{labels}}} {value}");
    let capped = [
        line("wanted_shards", "6"),
        line("shards", "4"),
        line("min_shards", "2"),
        line("max_shards", "4"),
    ];
    let capped = capped.each_ref().map(String::as_str);
    has(&process.text(), &capped);
    lacks(&process.text(), "stream_usage{");
    // The hold stands, and what it was decided on does too.
    process.tick().await;
    has(&process.text(), &capped);
    report.streams[0].seen.usage = Some(0.875);
    report.streams[0].seen.rejected = Some(70);
    process.metrics.ticked(&report);
    has(
        &process.text(),
        &[&line("usage", "0.875"), &line("rejected_records", "70")],
    );
    // At rest it asks for nothing.
    world
        .place
        .set_alarm_state("orders-scale-up-alarm", "OK", "the test says so");
    process.tick().await;
    has(&process.text(), &[&line("wanted_shards", "4")]);
    lacks(&process.text(), "stream_usage{");
    lacks(&process.text(), "stream_rejected_records{");
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_two_accounts_is_two_series() {
    let world = World::new();
    world.stream("orders", 2);
    let other = world.sandbox.place("210987654321", "eu-west-1");
    other.create_stream("orders", 8);
    other.pair("orders", 8);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    other.set_alarm_state("orders-scale-up-alarm", "ALARM", "the test says so");
    let config = "[[streams]]\nname = \"orders\"\n[[streams]]\nname = \"orders\"\n\
                  role_arn = \"arn:aws:iam::210987654321:role/kinesis-autoscaler\"\n";
    let mut process = Process::new(&world, config).await;
    let (log, guard) = Log::capture();
    let report = process.tick().await;
    drop(guard);
    let labels = "stream=\"orders\",region=\"eu-west-1\"";
    let known = [
        format!("stream_shards{{{labels}}} 4"),
        format!("stream_shards{{{labels},account=\"210987654321\"}} 12"),
        format!("scalings_total{{{labels},account=\"210987654321\",direction=\"up\"}} 1"),
    ];
    has(&process.text(), &known.each_ref().map(String::as_str));
    let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
    assert_eq!(json["streams"][0]["account"], Value::Null);
    assert_eq!(json["streams"][1]["account"], "210987654321");
    let table = report.to_text(None);
    assert!(table.contains("orders (210987654321)"), "{table}");
    let log = log.text();
    assert!(log.contains("account=\"210987654321\""), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stands_by_tells_no_counts_of_streams() {
    let world = World::new();
    world.stream("orders", 2);
    world.fire("orders", "scale-up");
    let mut process = Process::new(&world, &named(&["orders"])).await;
    let mut report = process.tick().await;
    has(
        &process.text(),
        &["stream_shards{stream=\"orders\",region=\"eu-west-1\"} 4"],
    );
    report.streams.clear();
    report.standby = Some("another".to_owned());
    process.metrics.ticked(&report);
    let text = process.text();
    has(&text, &["standby 1"]);
    has(
        &text,
        &["stream_watched{stream=\"orders\",region=\"eu-west-1\"} 0"],
    );
    for gauge in ["stream_shards{", "stream_target_shards{", "budget_left{"] {
        lacks(&text, gauge);
    }
}

/// Pauses every stream for ten minutes.
async fn pause_all(process: &Process, world: &World) {
    let now = world.clock.now();
    let pause = Pause {
        of: Paused::All,
        hold: Hold::Both,
        owner: "ann".to_owned(),
        reason: "test".to_owned(),
        since: now,
        until: now + SignedDuration::from_mins(10),
    };
    let written = process.context.scaling_log.pause(&pause).await;
    written.expect("the table takes it");
    let read = process.context.scaling_log.pauses(now).await;
    assert_eq!(read.expect("the table is there"), [pause]);
}

#[tokio::test(start_paused = true)]
async fn the_floor_of_an_open_window_and_the_rest_of_a_pause_are_told() {
    let world = World::new();
    world.stream("orders", 2);
    let window = "[[windows]]\nat = \"2026-11-22T12:10:00Z\"\nfor = \"1h\"\nmin_shards = 2\n\
        [metrics]\n";
    let mut process = Process::new(&world, &format!("{window}{}", named(&["orders"]))).await;
    process.tick().await;
    let text = process.text();
    lacks(&text, "kinesis_autoscaler_window_floor{");
    lacks(&text, "kinesis_autoscaler_paused{");
    pause_all(&process, &world).await;
    world.pass(SignedDuration::from_mins(4)).await;
    process.tick().await;
    let labels = "{stream=\"orders\",region=\"eu-west-1\"} ";
    let text = process.text();
    let paused = format!("kinesis_autoscaler_paused{labels}");
    let seconds = text.lines().find_map(|line| line.strip_prefix(&paused));
    let seconds: f64 = seconds.expect("a line").parse().expect("a number");
    assert!((350.0..=360.0).contains(&seconds), "{seconds}");
    world.pass(SignedDuration::from_mins(8)).await;
    process.tick().await;
    let text = process.text();
    has(&text, &[&format!("window_floor{labels}2")]);
    lacks(&text, "kinesis_autoscaler_paused{");
}
