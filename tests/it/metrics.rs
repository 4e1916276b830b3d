//! What Prometheus and health checks are told, and over which wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use autoscaler_core::{
    constraints::Hold,
    pause::{Pause, Paused},
};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    config,
    daemon::metrics::{Change, Endpoint, Format, Metrics},
    reconcile::{
        context::{Context, Role},
        report::{NO_KNOWN_HOST, Report, StreamReport},
        tick::Autoscaler,
    },
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    systemd::Service,
    world::{World, named, tick},
};

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

/// The families of a page with their types, whose layout is as its format has it: help and type
/// before the samples, which stand together and are named after their family.
#[track_caller]
fn families(text: &str, format: Format) -> BTreeMap<String, String> {
    let mut families = BTreeMap::new();
    let (mut help, mut family) = (String::new(), (String::new(), String::new()));
    let openmetrics = format == Format::OpenMetrics;
    let text = match openmetrics {
        true => text
            .strip_suffix("# EOF\n")
            .expect("OpenMetrics has an end"),
        false => text,
    };
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect("a name and its help");
            assert!(words.len() > 3, "{line}");
            help = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and its type");
            assert_eq!(name, help, "the help is before the type");
            let is_total = name.ends_with("_total");
            assert_eq!(is_total, kind == "counter" && !openmetrics, "{line}");
            let known = families.insert(name.to_owned(), kind.to_owned());
            assert_eq!(known, None, "{name} is there twice");
            family = (name.to_owned(), kind.to_owned());
        } else {
            let name = line.split(['{', ' ']).next().expect("a name");
            let suffix = name.strip_prefix(&family.0);
            let suffixes: &[&str] = match family.1.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "counter" if openmetrics => &["_total"],
                _ => &[""],
            };
            assert!(
                suffix.is_some_and(|suffix| suffixes.contains(&suffix)),
                "{line:?} is not of the family {family:?}"
            );
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    families
}

/// Has `promtool` read a text on its standard input, where it is installed.
fn promtool(arguments: &[&str], text: &str) {
    let command = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = command else {
        eprintln!("promtool is not installed, so `promtool {arguments:?}` is not run");
        return;
    };
    let mut input = child.stdin.take().expect("a pipe");
    // A promtool that reads files has no use for it.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(
        output.status.success(),
        "promtool {arguments:?}: {said:?}\n{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn both_formats_are_as_their_readers_want_them() {
    let world = World::new();
    for name in ["orders", "paused"] {
        world.stream(name, 2);
        world.fire(name, "scale-up");
    }
    world.place.edit_alarm("paused-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), Value::Bool(false));
    });
    let mut process = Process::new(&world, &named(&["orders", "paused"])).await;
    process.tick().await;
    let text = process.metrics.exposition(Format::Text);
    let known = families(&text, Format::Text);
    promtool(&["check", "metrics"], &text);
    let openmetrics = families(&process.text(), Format::OpenMetrics);
    let in_text = |(name, kind): (String, String)| match kind.as_str() {
        "counter" => (format!("{name}_total"), kind),
        _ => (name, kind),
    };
    let openmetrics: BTreeMap<_, _> = openmetrics.into_iter().map(in_text).collect();
    assert_eq!(known, openmetrics, "both have the same families");
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|value| value.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{name} {line:?}");
    }
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

    // What cannot be read now is watched as before.
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
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
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

/// What was logged meanwhile.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("unpoisoned")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_scrape_of_ten_thousand_streams_is_cheap() {
    let world = World::new();
    let names: Vec<String> = (0..10_000).map(|n| format!("stream-{n:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let process = Process::new(&world, &named(&names)).await;
    let series = |text: &str| {
        let of_one = text
            .lines()
            .filter(|line| line.contains("stream=\"stream-00007\""));
        of_one.count()
    };
    assert_eq!(
        series(&process.text()),
        7,
        "of a stream that was not read yet"
    );
    let mut report = Report::of_nothing(world.clock.now(), false);
    for subscription in &process.context.config.subscriptions {
        let mut stream = StreamReport::at_rest(subscription, "eu-west-1");
        stream.shards_before = Some(4);
        stream.calls = Some(Vec::new());
        report.streams.push(stream);
    }
    process.metrics.ticked(&report);
    let started = std::time::Instant::now();
    let text = process.metrics.exposition(Format::Text);
    let took = started.elapsed();
    let (bytes, lines) = (text.len(), text.lines().count());
    eprintln!("10,000 streams: {bytes} bytes, {lines} lines, {took:?}");
    assert_eq!(series(&text), 11, "of a stream that was read");
    assert!(bytes < 11_000_000, "{bytes}");
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

#[tokio::test(start_paused = true)]
async fn health_tells_the_truth() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!(
        "schedule = \"0 * * * * *\"\ntick_timeout = \"50s\"\n{}",
        named(&["orders"])
    );
    let mut process = Process::new(&world, &config).await;
    let health = |process: &Process| {
        let health = process.metrics.health();
        (health.healthy, health.reason.unwrap_or_default())
    };
    assert_eq!(
        health(&process),
        (false, "no tick has ended yet".to_owned())
    );

    process.tick().await;
    assert_eq!(health(&process), (true, String::new()), "after a tick");
    assert_eq!(process.metrics.health().limit_seconds, 170.0);
    world.pass(SignedDuration::from_secs(170)).await;
    assert_eq!(health(&process), (true, String::new()), "at the limit");
    world.pass(SignedDuration::from_secs(1)).await;
    let (healthy, reason) = health(&process);
    assert!(!healthy && reason.contains("171 s ago"), "{reason}");

    process.tick().await;
    assert_eq!(
        health(&process),
        (true, String::new()),
        "after the next tick"
    );

    // A failing stream is no fault of the daemon's; AWS out of reach is one that a check has to
    // see.
    world.place.delete_alarm("orders-scale-down-alarm");
    world.fire("orders", "scale-up");
    let report = process.tick().await;
    assert!(report.failed(), "{report:#?}");
    assert_eq!(
        health(&process),
        (true, String::new()),
        "with a failing stream"
    );
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    process.tick().await;
    let (healthy, reason) = health(&process);
    assert!(
        !healthy && reason.contains("eu-west-1") && reason.contains("AccessDenied"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_holder_or_a_scaling_log_the_daemon_is_unhealthy() {
    let world = World::new();
    world.stream("orders", 2);
    let mut process = Process::new(&world, &named(&["orders"])).await;
    let good = process.tick().await;
    let reason = |change: &dyn Fn(&mut Report)| {
        let mut report = good.clone();
        change(&mut report);
        process.metrics.ticked(&report);
        process.metrics.health().reason.unwrap_or_default()
    };
    assert_eq!(reason(&|_| {}), "");
    let another = reason(&|report| report.standby = Some("another".to_owned()));
    assert_eq!(another, "", "another host acts");
    let nobody = reason(&|report| report.standby = Some(NO_KNOWN_HOST.to_owned()));
    assert!(nobody.contains("lease"), "{nobody}");
    let log = reason(&|report| report.scaling_log_error = Some("no table".to_owned()));
    assert!(log.contains("no table"), "{log}");
}

/// Sends one request and reads the whole answer: status line and headers, body.
async fn request(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"),
    )
    .await
}

fn listen(address: &str) -> config::Metrics {
    let listen = address.parse().expect("an address");
    config::Metrics { listen }
}

async fn endpoint(context: &Arc<Context>, address: &str) -> Endpoint {
    let change = Change::to(Some(&listen(address)), None)
        .await
        .expect("bound");
    change.make(None, context).expect("an endpoint")
}

#[tokio::test]
async fn the_endpoint_serves_metrics_and_health() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let endpoint = endpoint(&process.context, "127.0.0.1:0").await;
    let address = endpoint.server().address;

    let (head, body) = get(address, "/healthz").await;
    assert!(
        head.starts_with("HTTP/1.1 503"),
        "before the first tick: {head}"
    );
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["healthy"], false, "{body}");

    let mut autoscaler = Autoscaler::new(process.context.clone(), false);
    endpoint.metrics().ticked(&tick(&mut autoscaler).await);
    let (head, body) = get(address, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["healthy"], true, "{body}");
    assert_eq!(
        json["last_tick"]["unpolled"],
        serde_json::json!([]),
        "{body}"
    );

    let (head, body) = get(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    has(&body, &["ticks_total{result=\"ok\"} 1"]);
    lacks(&body, "# EOF");
    let scrape = "GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.1\r\n\r\n";
    let (head, body) = request(address, scrape).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");

    for (wire, status) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n", "200"),
        ("GET /favicon.ico HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let (head, _) = request(address, wire).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{wire:?}: {head}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_moves_only_when_its_address_changes() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let context = &process.context;
    let mut first = endpoint(context, "127.0.0.1:0").await;
    let address = first.server().address;

    let change = Change::to(Some(&listen("127.0.0.1:0")), Some(&mut first)).await;
    let mut kept = change
        .expect("kept")
        .make(Some(first), context)
        .expect("an endpoint");
    assert_eq!(
        kept.server().address,
        address,
        "the same address is not bound anew"
    );

    // What is taken is an error, and the old endpoint goes on.
    let taken = Change::to(Some(&listen(&address.to_string())), None).await;
    let error = taken.expect_err("the address is in use");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.hint().contains("another process"), "{}", error.hint());
    assert!(get(address, "/").await.0.contains("200"));

    let change = Change::to(None, Some(&mut kept))
        .await
        .expect("nothing to bind");
    assert!(
        change.make(Some(kept), context).is_none(),
        "the section is gone"
    );
    // The server's task ends at its next turn.
    tokio::task::yield_now().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_reload_moves_the_endpoint_to_another_address_with_the_same_port() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let context = &process.context;
    let mut first = endpoint(context, &free().to_string()).await;
    let port = first.server().address.port();
    let everywhere = listen(&format!("0.0.0.0:{port}"));

    // Somebody else holds the port of another address of this machine.
    let other = std::net::TcpListener::bind(("127.0.0.2", port)).expect("bound");
    let refused = Change::to(Some(&everywhere), Some(&mut first)).await;
    let error = refused.expect_err("127.0.0.2 is taken").to_string();
    assert_eq!(
        error,
        format!(
            "the metrics endpoint cannot listen on 0.0.0.0:{port}, and stays on 127.0.0.1:{port}"
        )
    );
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(get(here, "/metrics").await.0.contains("200"), "restored");
    drop(other);

    let change = Change::to(Some(&everywhere), Some(&mut first)).await;
    let moved = change.expect("bound").make(Some(first), context);
    let moved = moved.expect("an endpoint");
    assert_eq!(
        moved.server().address,
        SocketAddr::from(([0, 0, 0, 0], port))
    );
    let there = SocketAddr::from(([127, 0, 0, 2], port));
    assert!(get(there, "/metrics").await.0.contains("200"), "moved");
}

#[tokio::test]
async fn a_client_that_never_asks_keeps_no_other_from_its_answer() {
    let world = World::new();
    world.stream("orders", 2);
    let process = Process::new(&world, &named(&["orders"])).await;
    let endpoint = endpoint(&process.context, "127.0.0.1:0").await;
    let address = endpoint.server().address;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let answer = tokio::time::timeout(Duration::from_secs(5), get(address, "/metrics")).await;
    assert!(answer.expect("in time").0.contains("200"));
}

/// An address that nobody listens on at this time.
fn free() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

fn with_metrics(address: SocketAddr) -> String {
    format!(
        "call_timeout = \"500ms\"\nlog.table = \"logs\"\nmetrics.listen = \"{address}\"\n[[streams]]\nname = \"orders\"\n"
    )
}

/// The answer's first line and the rest of it; an error where nobody answers.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let halves = answer.split_once("\r\n");
    let (status, rest) = halves.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((status.to_owned(), rest.to_owned()))
}

#[test]
fn the_daemon_serves_them_and_a_reload_moves_them() {
    let (first, second) = (free(), free());
    let listen = [("KINESIS_AUTOSCALER_METRICS__LISTEN", first.to_string())];
    let listen = listen
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    // The variable lies over the file, so the file alone moves nothing.
    let mut service = Service::start(&[], &listen);
    service.hears_line("READY=1");
    let (status, _) = ask(first, "/metrics").expect("served");
    assert!(status.contains("200"), "{status}");
    // AWS is out of reach.
    let (status, body) = ask(first, "/healthz").expect("served");
    assert!(status.contains("503"), "{status}\n{body}");
    std::fs::write(
        service.folder.path().join("config.toml"),
        with_metrics(second),
    )
    .expect("written");
    service.takes_a_reload();
    assert!(ask(first, "/metrics").is_ok(), "the address is the same");
    service.stops("TERM");

    let mut service = Service::start(&[], &[]);
    let file = service.folder.path().join("config.toml");
    service.hears_line("READY=1");
    std::fs::write(&file, with_metrics(first)).expect("written");
    service.takes_a_reload();
    assert!(ask(first, "/metrics").is_ok(), "the section is new");
    std::fs::write(&file, with_metrics(second)).expect("written");
    service.takes_a_reload();
    let (_, body) = ask(second, "/metrics").expect("it has moved");
    assert!(
        body.contains("kinesis_autoscaler_subscriptions 1"),
        "{body}"
    );
    assert!(ask(first, "/metrics").is_err(), "nobody is there any more");
    let everywhere = SocketAddr::from(([0, 0, 0, 0], second.port()));
    std::fs::write(&file, with_metrics(everywhere)).expect("written");
    service.takes_a_reload();
    assert!(ask(second, "/metrics").is_ok(), "the port is the same");

    let taken = std::net::TcpListener::bind(first).expect("it is free again");
    std::fs::write(&file, with_metrics(first)).expect("written");
    service.refuses_a_reload();
    assert!(ask(second, "/metrics").is_ok(), "the old one goes on");
    let log = service.log();
    assert!(
        log.contains("cannot listen on") && log.contains("another process"),
        "{log}"
    );
    drop(taken);
    service.stops("TERM");
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, with_metrics(address)).expect("written");
    let run = |once: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
        command
            .env_clear()
            .envs([
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
                ("AWS_REGION", "eu-west-1"),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
            .env("KINESIS_AUTOSCALER_CONFIG", &file)
            .env("STATE_DIRECTORY", folder.path());
        command
            .args(once.then_some("--once"))
            .output()
            .expect("it runs")
    };
    let output = run(false);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let error = format!("error: the metrics endpoint cannot listen on {address}");
    for part in [
        error.as_str(),
        "caused by: ",
        "hint: another process listens there",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
    }
    let stderr = String::from_utf8_lossy(&run(true).stderr).into_owned();
    assert!(
        !stderr.contains("cannot listen"),
        "a single run serves nothing: {stderr}"
    );
}

/// Every name that an expression speaks of.
fn names(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part(c))
        .filter(|word| word.starts_with("kinesis_autoscaler_"))
        .map(ToOwned::to_owned)
        .collect()
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

/// What rules and dashboards can speak of, by type.
async fn exposed() -> BTreeMap<String, String> {
    let world = World::new();
    world.stream("orders", 2);
    let window = "[[windows]]\nat = \"2026-11-22T12:00:00Z\"\nfor = \"1h\"\nmin_shards = 2\n";
    let mut process = Process::new(&world, &format!("{window}{}", named(&["orders"]))).await;
    pause_all(&process, &world).await;
    process.tick().await;
    families(&process.metrics.exposition(Format::Text), Format::Text)
}

#[tokio::test(start_paused = true)]
async fn the_alert_rules_speak_of_metrics_that_there_are_and_fire_when_they_should() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/alerts.yml");
    let rules = std::fs::read_to_string(path).expect("the rules");
    let (exposed, named) = (exposed().await, names(&rules));
    let known = |name: &&String| exposed.contains_key(*name);
    let unknown: Vec<&String> = named.iter().filter(|name| !known(name)).collect();
    assert!(
        unknown.is_empty() && named.len() > 5,
        "{unknown:?} of {named:?}"
    );
    // Series of two accounts are told apart.
    assert!(!rules.contains("by (stream, region)"), "{rules}");
    promtool(&["check", "rules", path], "");
    // When each of them fires.
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/alert_rules.yml");
    promtool(&["test", "rules", cases], "");
}

#[tokio::test(start_paused = true)]
async fn the_dashboard_speaks_of_all_metrics_and_of_no_other() {
    let exposed = exposed().await;
    let exposed = exposed.into_iter().map(|(name, kind)| match kind.as_str() {
        "histogram" => format!("{name}_bucket"),
        _ => name,
    });
    // Other dashboards show what every process has.
    let ours = |name: &String| name.starts_with("kinesis_autoscaler_");
    let exposed: BTreeSet<String> = exposed.filter(ours).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/grafana-dashboard.json");
    let dashboard = std::fs::read_to_string(path).expect("the dashboard");
    let json: Value = serde_json::from_str(&dashboard).expect("JSON");
    assert_eq!(names(&dashboard), exposed);

    let panels = json["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_i64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(
            panel["description"].is_string(),
            "{title} says what it shows"
        );
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            let balanced = |open: char, close: char| {
                expression.matches(open).count() == expression.matches(close).count()
            };
            assert!(
                balanced('(', ')') && balanced('{', '}'),
                "{title}: {expression}"
            );
            // A counter is read by its rate.
            for counter in names(expression)
                .iter()
                .filter(|name| name.ends_with("_total"))
            {
                let rated = [format!("rate({counter}"), format!("increase({counter}")];
                assert!(
                    rated.iter().any(|it| expression.contains(it)),
                    "{title}: {expression}"
                );
            }
        }
    }
}
