//! `backtest` as a process: rows, determinism, and what needs no demand.

mod bounds;
mod configured;
mod ends;
mod history;
mod input;

use std::{fmt::Write as _, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

const SHARD_BYTES: f64 = 62_914_560.0;

/// Three days of a daily wave from 2 to 6 shards, with a burst on the second evening.
fn wave() -> String {
    let mut text = "time,bytes,records\n".to_owned();
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    for minute in 0..3 * 24 * 60 {
        let phase = f64::from(minute) / 1440.0 * std::f64::consts::TAU;
        let burst = if (2_500..2_540).contains(&minute) {
            9.0
        } else {
            0.0
        };
        let shards = 4.0 - 2.0 * phase.cos() + burst;
        let at = start + jiff::SignedDuration::from_mins(minute.into());
        let bytes = (shards * SHARD_BYTES).round();
        writeln!(text, "{at},{bytes},{}", (bytes / 4096.0).round()).expect("a string takes it");
    }
    text
}

struct Run {
    exit: i32,
    stdout: String,
    stderr: String,
}

fn backtest(folder: &Path, demand: &str, flags: &[&str]) -> Run {
    let file = folder.join("orders.csv");
    std::fs::write(&file, demand).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args(["backtest", "--demand"])
        .arg(&file)
        .args(flags)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("the program runs");
    Run {
        exit: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn row<'a>(result: &'a Value, name: &str) -> &'a Value {
    let rows = result["streams"][0]["rows"].as_array().expect("rows");
    let found = rows.iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("no row {name}: {result}"))
}

#[test]
fn rows_keep_their_bounds_and_the_same_input_gives_the_same_bytes() {
    let folder = TempDir::new().expect("a folder");
    let svg = folder.path().join("wave.svg");
    let flags = [
        "--shards",
        "8",
        "--variant",
        "min_shards=12",
        "--output",
        "json",
        "--svg",
        svg.to_str().expect("UTF-8"),
    ];
    let first = backtest(folder.path(), &wave(), &flags);
    assert_eq!((first.exit, first.stderr.as_str()), (0, ""));
    let drawn = std::fs::read_to_string(&svg).expect("the picture");
    let again = backtest(folder.path(), &wave(), &flags);
    assert_eq!(first.stdout, again.stdout);
    assert_eq!(drawn, std::fs::read_to_string(&svg).expect("the picture"));

    let result: Value = serde_json::from_str(&first.stdout).expect("JSON");
    let stream = &result["streams"][0];
    assert_eq!(
        (&stream["stream"], &stream["start_shards"]),
        (&"orders".into(), &8.into())
    );
    assert_eq!(stream["from"], "2026-01-01T00:00:00Z");
    assert_eq!(stream["to"], "2026-01-04T00:00:00Z");
    let rows = stream["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    let variant = "min_shards=12";
    let bounds = [
        "held_at_peak",
        "foresight",
        "on_demand_standard",
        "on_demand_advantage",
    ];
    assert_eq!(names[..3], ["original", "adaptive", variant]);
    assert_eq!(names[names.len() - 4..], bounds);

    let held = row(&result, "held_at_peak");
    assert_eq!(
        (&held["rejected_minutes_week"], &held["rejected_share"]),
        (&0.0.into(), &0.0.into())
    );
    let cheapest = row(&result, "foresight")["cost_week_usd"]
        .as_f64()
        .expect("a cost");
    for row in rows.iter().filter(|row| !row["peak_shards"].is_null()) {
        let cost = row["cost_week_usd"].as_f64().expect("a cost");
        let rejects = row["rejected_minutes_week"].as_f64().expect("minutes") > 0.0;
        assert!(
            rejects || cost >= cheapest,
            "{row} is cheaper than foresight"
        );
    }
    // Its own pair of alarms wakes the adaptive policy after each day's peak.
    let adaptive = row(&result, "adaptive");
    assert!(adaptive["scalings_day"].as_f64() > Some(1.0), "{adaptive}");
    assert!(
        adaptive["cost_week_usd"].as_f64() < row(&result, "original")["cost_week_usd"].as_f64()
    );
    // The burst of 15 shards is more than the 8 of the start: the policy has to scale up for it.
    assert!(row(&result, "original")["peak_shards"].as_u64() > Some(8));
    assert!(row(&result, "original")["rejected_minutes_week"].as_f64() > Some(0.0));
    let scalings = row(&result, "adaptive")["scalings"]
        .as_array()
        .map(Vec::len);
    assert!(scalings >= Some(2), "{adaptive}");
    assert!(stream["advice"].as_str().expect("text").ends_with('.'));
    for text in [
        "time (UTC)",
        ">shards<",
        "original, $",
        "prefers-color-scheme: dark",
    ] {
        assert!(drawn.contains(text), "the picture has no {text}");
    }
}

#[test]
fn the_table_fits_80_columns_and_csv_has_the_same_rows() {
    let folder = TempDir::new().expect("a folder");
    let text = backtest(folder.path(), &wave(), &["--shards", "8"]);
    assert_eq!(text.exit, 0, "{}", text.stderr);
    let longest = text.stdout.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{}", text.stdout);
    let csv = backtest(
        folder.path(),
        &wave(),
        &["--shards", "8", "--output", "csv"],
    );
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert!(lines[0].starts_with("stream,name,cost_week_usd,"));
    assert!(lines[1].starts_with("orders,original,"), "{}", lines[1]);
    for line in &lines[1..] {
        let name = line.split(',').nth(1).expect("a name");
        assert!(text.stdout.contains(name), "{name} is not in the table");
        assert_eq!(line.matches(',').count(), 8, "{line}");
    }
}

#[test]
fn without_a_demand_it_says_that_a_file_is_needed() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .arg("backtest")
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--demand FILE.csv"), "{error}");
}

#[test]
fn the_demo_streams_can_be_replayed_without_anything() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args([
            "--sandbox",
            "backtest",
            "--stream",
            "orders",
            "--stream",
            "sens*",
        ])
        .args(["--days", "3", "--output", "json"])
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(
        error.contains("2 requests to GetMetricData for 6 metrics"),
        "{error}"
    );
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    row(&result, "configured");
    // Full shards reject, too: only the keys of `sensors` are uneven.
    for (number, stream, shards, keys) in [
        (0, "orders", 3, "Keys are taken to fill all shards evenly"),
        (
            1,
            "sensors",
            4,
            "The busiest shard has 1.5 times the mean load",
        ),
    ] {
        let result = &result["streams"][number];
        assert_eq!(
            (&result["stream"], &result["start_shards"]),
            (&stream.into(), &shards.into())
        );
        let told = result["assumptions"][0].as_str().expect("text");
        assert!(told.starts_with(keys), "{told}");
    }
}
