//! `backtest` as a process: rows, bounds, determinism, and wrong input.

use std::{fmt::Write as _, path::Path, process::Command};

use autoscaler_core::datetime::parse_datetime;
use autoscaler_sandbox::{Load, Pair, Traffic};
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    cli::{self, Cli},
    commands::{
        backtest::{Finished, Row, replay_history},
        consent::Consent,
    },
    output::error::{Failure, Report},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{World, tick};

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
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
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
fn wrong_input_is_told_with_its_place_and_a_hint() {
    let folder = TempDir::new().expect("a folder");
    let header = "time,bytes,records\n";
    for (demand, flags, exit, says) in [
        (
            "time,bytes\n".to_owned(),
            &[][..],
            1,
            "orders.csv:1: the column \"records\" is missing",
        ),
        (
            format!("{header}2026-01-01T00:00:00,1,1\n"),
            &[],
            1,
            "orders.csv:2: ",
        ),
        (
            format!("{header}2026-01-01T00:00:00Z,1,1\n"),
            &[],
            1,
            "fewer than two periods",
        ),
        (wave(), &["--variant", "min_shard=3"], 2, "min_shard"),
        (wave(), &["--variant", "fast"], 2, "--variant fast"),
        (wave(), &["--skew", "0.5"], 2, "--skew"),
        (wave(), &["--days", "3"], 2, "--days"),
        (
            wave(),
            &["--stream", "a", "--stream", "b"],
            2,
            "names several",
        ),
    ] {
        let run = backtest(folder.path(), &demand, flags);
        assert_eq!(
            (run.exit, run.stdout.as_str()),
            (exit, ""),
            "{flags:?}: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains(says),
            "{says:?} is not in {}",
            run.stderr
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args(["backtest", "--demand", "/nowhere/orders.csv"])
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("/nowhere/orders.csv") && error.contains("hint:"),
        "{error}"
    );
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

/// The result of a run over the history of the world's streams.
async fn history(
    world: &World,
    config: &str,
    flags: &[&str],
    consent: Consent,
) -> Result<(Vec<Finished>, Vec<Report>), Failure> {
    let words = ["kinesis-autoscaler", "backtest"];
    let cli = Cli::try_from_args(words.iter().chain(flags)).expect("the flags are right");
    let Some(cli::Command::Backtest(args)) = cli.command else {
        panic!("it is a backtest");
    };
    let context = world.context(world.config(config), false).await;
    replay_history(&context, &args, consent).await
}

fn told(report: &Report) -> String {
    let mut text = Vec::new();
    report.write(&mut text, false).expect("memory takes it");
    String::from_utf8(text).expect("UTF-8")
}

const FLEET: &str = "[[streams]]\nname = \"uneven\"\n[[streams]]\nname = \"managed\"\n\
    [[streams]]\nname = \"silent\"\n[[streams]]\nname = \"gone\"\n[[streams]]\nname = \"new\"\n";

#[tokio::test(start_paused = true)]
async fn each_stream_of_a_fleet_is_replayed_or_its_trouble_is_told() {
    let world = World::new();
    let now = world.clock.now();
    for stream in ["uneven", "silent", "new"] {
        world.stream(stream, 4);
    }
    world.place.create_on_demand_stream("managed");
    let constant = |used| Traffic::constant(Load::of_shards(used));
    // 1.5 times the mean on the busiest shard: 4 shards take 2.67, and reject the rest for ever.
    world.place.set_traffic("uneven", constant(2.8).skew(1.5));
    world.place.set_traffic("managed", constant(1.0));
    let young = now - SignedDuration::from_hours(3);
    let before = now - SignedDuration::from_hours(24 * 16);
    world
        .place
        .set_traffic("new", constant(1.0).gap(before, young));

    let (finished, failed) = history(&world, FLEET, &["--days", "2"], Consent::Impossible)
        .await
        .expect("some can be replayed");
    let names: Vec<&str> = finished.iter().map(|it| it.stream.as_str()).collect();
    assert_eq!(names, ["uneven", "managed"]);
    let notes = |number: usize| finished[number].notes.join("\n");
    assert!(notes(0).contains("1.5 times the mean load"), "{}", notes(0));
    assert!(notes(0).contains("without a pause"), "{}", notes(0));
    assert!(notes(1).contains("on-demand mode"), "{}", notes(1));
    for one in &finished {
        let rows: Vec<&str> = one.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            rows[..3],
            ["configured", "original", "adaptive"],
            "{}",
            one.stream
        );
    }
    // Its own pair has no throttle signal, and never fires below 75 % usage.
    assert!(finished[0].rows[0].rejected_minutes_week > 9_000.0);
    assert!(finished[0].rows[2].rejected_minutes_week < 100.0);

    let failed: String = failed.iter().map(told).collect();
    for says in [
        "silent (eu-west-1)\ncaused by: CloudWatch has no data of the last 2 days",
        "gone (eu-west-1)",
        "new (eu-west-1)\ncaused by: the demand covers 3.0 h",
    ] {
        assert!(failed.contains(says), "{says:?} is not in {failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_reading_and_costs_that_nobody_agreed_to_are_errors() {
    let world = World::new();
    world.stream("orders", 2);
    let traffic = Traffic::constant(Load::of_shards(1.0));
    world.place.set_traffic("orders", traffic);
    let config = "[[streams]]\nname = \"orders\"\n";
    world.sandbox.deny("cloudwatch:GetMetricData");
    let (finished, failed) = history(&world, config, &["--days", "2"], Consent::Impossible)
        .await
        .expect("the denial is this stream's");
    assert!(finished.is_empty());
    let failed = told(&failed[0]);
    assert!(failed.contains("cloudwatch:GetMetricData"), "{failed}");

    let dear = format!("[prices]\nmetrics_thousand = 500\n{config}");
    let refused = history(&world, &dear, &["--days", "63"], Consent::Impossible).await;
    let refused = refused.expect_err("nobody has agreed");
    assert_eq!(refused.exit as u8, 2);
    let refused = told(&refused.reports[0]);
    assert!(
        refused.contains("about $1.50") && refused.contains("--yes"),
        "{refused}"
    );
}

#[test]
fn the_demo_streams_can_be_replayed_without_anything() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args(["--sandbox", "backtest", "--stream", "sens*", "--days", "2"])
        .args(["--output", "json"])
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(
        error.contains("1 request to GetMetricData for 3 metrics"),
        "{error}"
    );
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["streams"][0]["stream"], "sensors");
    assert_eq!(result["streams"][0]["start_shards"], 4);
    row(&result, "configured");
}

/// Two days of a daemon that ticks every minute, and then the backtest of the same days.
#[tokio::test(start_paused = true)]
async fn a_backtest_scales_as_the_daemon_did_on_the_same_days() {
    let world = World::new();
    for (stream, pair, high) in [("orders", Pair::Usual, 5.5), ("carts", Pair::Adaptive, 4.0)] {
        world.place.create_stream(stream, 4);
        world.place.put_pair(pair, stream, 4);
        let traffic = Traffic::daily(Load::of_shards(0.5), Load::of_shards(high), 9.0);
        world.place.set_traffic(stream, traffic);
    }
    let config = "[[streams]]\nname = \"carts\"\npolicy = \"adaptive\"\n\
                  [[streams]]\nname = \"orders\"\n";
    let started = world.clock.now();
    let mut daemon = world.start(config).await;
    for _ in 0..2 * 24 * 60 + 3 {
        tick(&mut daemon).await;
        world.pass(SignedDuration::from_mins(1)).await;
    }
    let flags = ["--days", "2", "--metric-delay", "1m", "--resharding", "2m"];
    let (finished, failed) = history(&world, config, &flags, Consent::Impossible)
        .await
        .expect("both can be replayed");
    assert!(failed.is_empty(), "{}", told(&failed[0]));

    let scored = started + SignedDuration::from_hours(25);
    let until = started + SignedDuration::from_hours(48);
    for one in &finished {
        let row: &Row = &one.rows[0];
        assert_eq!(row.name, "configured");
        let replayed = row.scalings.iter().map(|it| (it.at, it.shards));
        let replayed: Vec<_> = replayed
            .filter(|it| it.0 >= scored && it.0 < until)
            .collect();
        let logged = world
            .rows()
            .into_iter()
            .filter(|row| row["stream_name"]["S"] == *one.stream);
        let logged = logged.map(|row| {
            let at = row["scaling_datetime"]["S"]
                .as_str()
                .and_then(parse_datetime);
            let to = row["target_shard_count"]["N"].as_str();
            // The daemon's calls wait for the quotas, which takes it some seconds.
            let minute = at.expect("a time").as_second().div_euclid(60) * 60;
            let at = Timestamp::from_second(minute).expect("a time");
            (at, to.and_then(|to| to.parse().ok()).expect("a count"))
        });
        let logged: Vec<(Timestamp, u32)> =
            logged.filter(|it| it.0 >= scored && it.0 < until).collect();
        assert_eq!(replayed, logged, "{}", one.stream);
        assert_eq!(
            logged.is_empty(),
            one.stream == "orders",
            "{}: {logged:?}",
            one.stream
        );
    }
}
