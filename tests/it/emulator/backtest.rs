//! A backtest of what another CloudWatch has of a stream.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    differences,
    harness::{Emulator, Kinesis},
};

/// Periods of 5 min in a day and a week.
const DAY: usize = 288;
const WEEK: usize = 7 * DAY;
const SHARD_BYTES: f64 = 1_048_576.0 * 300.0;
const RECORD: f64 = 4_096.0;

/// What a period had, in shards: a daily wave from 1 to 2, a burst of 6 on the fifth day, and an
/// hour of the third day without data.
fn used(period: usize) -> Option<f64> {
    let phase = period as f64 / DAY as f64 * std::f64::consts::TAU;
    match period {
        1_300..1_312 => Some(6.0),
        700..712 => None,
        _ => Some(1.5 - 0.5 * phase.cos()),
    }
}

fn sums(period: usize) -> Option<[u64; 2]> {
    let bytes = used(period)? * SHARD_BYTES;
    Some([bytes, bytes / RECORD].map(|sum| sum.round() as u64))
}

#[test]
fn a_week_of_metrics_is_replayed_and_nothing_is_written() {
    let Some(emulator) = Emulator::start(Kinesis::Moto) else {
        return;
    };
    let traffic: Vec<Option<[u64; 2]>> = (0..WEEK).map(sums).collect();
    emulator.seed_table(vec![]);
    emulator.seed_streams(vec![json!({
        "name": "orders",
        "shards": 4,
        "up": {},
        "down": {},
        "traffic": traffic,
    })]);
    let before = emulator.dump();
    // More than 15 days are read by 5 min, as moto has them.
    let config = "[[streams]]\nname = \"orders\"\n";
    let patience = ["--set", "call_timeout=60s"];
    let args = [
        &["backtest", "--days", "16", "--output", "json"],
        &patience[..],
    ]
    .concat();
    let output = emulator.run(config, &args);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(differences("backtest", &before, &emulator.dump()), [""; 0]);
    let told = "Reading 3 metrics of 1 stream over 16 days by 300 s: 1 request to GetMetricData";
    assert!(log.starts_with(told), "{log}");

    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stream = &result["streams"][0];
    assert_eq!(
        (&stream["stream"], &stream["start_shards"]),
        (&"orders".into(), &4.into())
    );
    let time = |field: &str| stream[field].as_str().map(str::parse::<Timestamp>);
    let time = |field: &str| time(field).and_then(Result::ok).expect("a time");
    assert_eq!(
        time("to").duration_since(time("from")),
        SignedDuration::from_hours(7 * 24)
    );
    let notes = stream["assumptions"].to_string();
    for says in [
        "60 minutes without data",
        "not 16 days ago",
        "periods of 5 min only",
    ] {
        assert!(notes.contains(says), "{says:?} is not in {notes}");
    }

    let row = |name: &str| {
        let rows = stream["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no row {name}: {result}"))
    };
    // On-demand is paid by the byte: those of six days, as they were put.
    let bytes: u64 = (DAY..WEEK).filter_map(sums).map(|it| it[0]).sum();
    let cost = 0.04 * 168.0 + bytes as f64 / 1e9 / 6.0 * 7.0 * (0.08 + 0.04);
    let told = row("on_demand_standard")["cost_week_usd"]
        .as_f64()
        .expect("a cost");
    assert!((told - cost).abs() < 0.001, "{told}, not {cost}");
    assert_eq!(row("held_at_peak")["peak_shards"], 6);
    // The pair in CloudWatch is the usual one, so that both rows scale for the burst, in one way.
    let configured = row("configured");
    assert_eq!(configured["scalings"], row("original")["scalings"]);
    assert!(
        configured["peak_shards"].as_u64() >= Some(6),
        "{configured}"
    );
}
