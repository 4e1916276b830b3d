//! Both formats of the metrics page, as their specifications require.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use kinesis_autoscaler::{
    daemon::metrics::Format,
    reconcile::report::{Report, StreamReport},
};
use serde_json::Value;

use super::Process;
use crate::world::{World, named};

/// The families of a page with their types, whose layout is as its format has it: help and type
/// before the samples, which stand together and are named after their family.
#[track_caller]
pub fn families(text: &str, format: Format) -> BTreeMap<String, String> {
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
pub fn promtool(arguments: &[&str], text: &str) {
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
    // promtool may ignore its standard input.
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
