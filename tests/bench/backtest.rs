//! Backtests of synthetic demand, in the time that a person waits for them: files that the real
//! process replays, and the history of many streams in the sandbox's CloudWatch.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use autoscaler_sandbox::{Load, Traffic};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::commands::{
    backtest::{Backtest, replay_history},
    consent::Consent,
};

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../it/world.rs"]
mod world;

use world::World;

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");
const RUNS: usize = 3;
const SHARD_BYTES: f64 = 62_914_560.0;

fn main() {
    let cores = available_parallelism().map_or(1, usize::from);
    let folder = tempfile::tempdir().expect("a directory");
    let (minutes, periods) = (
        folder.path().join("minutes.csv"),
        folder.path().join("periods.csv"),
    );
    fs::write(&minutes, demand(14, 1)).expect("it is written");
    fs::write(&periods, demand(63, 5)).expect("it is written");
    let four = ["--variant", "memory=24h", "--variant", "min_shards=4"];
    for (what, file, flags) in [
        ("14 days by 60 s, 4 candidates", &minutes, &four[..]),
        ("63 days by 300 s, 2 candidates", &periods, &[]),
        ("63 days by 300 s, 4 candidates", &periods, &four),
    ] {
        let before = cpu();
        let mut times: Vec<Duration> = (0..RUNS).map(|_| replay(file, flags)).collect();
        let cpu = (cpu() - before) / RUNS as f64;
        times.sort();
        let (median, least) = (times[RUNS / 2], times[0]);
        println!(
            "{what}: {cpu:.1} s of CPU, {median:.2?} on {cores} cores (the median of {RUNS}; the least {least:.2?})"
        );
    }
    for streams in [1, 10, 100] {
        let before = cpu();
        let took = fleet(streams);
        let cpu = cpu() - before;
        let each = cpu / streams as f64;
        println!(
            "2 days of {streams:>3} streams, 3 candidates: {cpu:.1} s of CPU, {each:.2} s a stream, {took:.2?} on {cores} cores"
        );
    }
}

/// Seconds of CPU that this process and its children have had, which other work on the machine
/// changes less than the time that passes.
fn cpu() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name of the program, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(4);
    let ticks = ticks.map(|it| it.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// So many days of a daily wave from 2 to 6 shards, with ten minutes of 20 each evening.
fn demand(days: i64, period_minutes: i64) -> String {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut text = "time,bytes,records\n".to_owned();
    for period in 0..days * 1_440 / period_minutes {
        let minute = period * period_minutes;
        let phase = minute as f64 / 1_440.0 * std::f64::consts::TAU;
        let used = match minute % 1_440 {
            1_200..1_210 => 20.0,
            _ => 4.0 - 2.0 * phase.cos(),
        };
        let bytes = (used * SHARD_BYTES * period_minutes as f64).round();
        let at = start + SignedDuration::from_mins(minute);
        let records = (bytes / 4096.0).round();
        writeln!(text, "{at},{bytes},{records}").expect("a string takes it");
    }
    text
}

/// The process from its start to its end.
fn replay(file: &Path, flags: &[&str]) -> Duration {
    let started = Instant::now();
    let status = Command::new(BINARY)
        .args(["backtest", "--shards", "8", "--demand"])
        .arg(file)
        .args(flags)
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .stdout(Stdio::null())
        .status();
    let took = started.elapsed();
    assert!(status.expect("it runs").success());
    took
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    backtest: Backtest,
}

/// Reads and replays two days of each stream.
fn fleet(streams: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let world = World::new();
        let names: Vec<String> = (0..streams).map(|i| format!("stream-{i}")).collect();
        for (seed, name) in (0..).zip(&names) {
            world.stream(name, 8);
            let wave = Traffic::daily(Load::of_shards(2.0), Load::of_shards(6.0), 12.0);
            world.place.set_traffic(name, wave.noise(0.1, seed));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let context = world.context(world.config(&world::named(&names)), false);
        let context = context.await;
        let Words { backtest } = Words::parse_from(["backtest", "--days", "2"]);
        let started = Instant::now();
        let replayed = replay_history(&context, &backtest, Consent::Impossible).await;
        let took = started.elapsed();
        let (finished, failed) = replayed.expect("nothing is to be agreed to");
        assert!(finished.len() == streams && failed.is_empty());
        took
    })
}
