//! The rows that put the others into proportion, on demands of many shapes: `held_at_peak` and
//! `foresight` reject nothing, and what rejects nothing costs at least what `foresight` costs.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use super::{SHARD_BYTES, backtest};

/// Shards in use in each minute; `None` is a minute without data.
type Demand = Vec<Option<f64>>;

fn csv(demand: &Demand) -> String {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut text = "time,bytes,records\n".to_owned();
    for (minute, used) in (0..).zip(demand) {
        let at = start + jiff::SignedDuration::from_mins(minute);
        if let Some(used) = used {
            let bytes = (used * SHARD_BYTES).round();
            writeln!(text, "{at},{bytes},{}", (bytes / 4096.0).round()).expect("a string takes it");
        }
    }
    text
}

/// Checks all rows of a backtest of the demand.
fn check(name: &str, demand: &Demand, flags: &[&str]) {
    let folder = TempDir::new().expect("a folder");
    let flags = [&["--output", "json"], flags].concat();
    let run = backtest(folder.path(), &csv(demand), &flags);
    assert_eq!(run.exit, 0, "{name}: {}", run.stderr);
    let result: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let rows = result["streams"][0]["rows"].as_array().expect("rows");
    let number = |row: &Value, field: &str| row[field].as_f64().expect("a number");
    let rejects = |row: &Value| {
        number(row, "rejected_share") > 0.0 || number(row, "rejected_minutes_week") > 0.0
    };
    let find = |name: &str| rows.iter().find(|row| row["name"] == name).expect("a row");
    let (held, foresight) = (find("held_at_peak"), find("foresight"));
    for row in [held, foresight] {
        assert!(!rejects(row), "{name}: {row}");
    }
    assert!(number(held, "unused_share") >= 0.0, "{name}: {held}");
    let least = number(foresight, "cost_week_usd");
    for row in rows.iter().filter(|row| !row["peak_shards"].is_null()) {
        let cost = number(row, "cost_week_usd");
        assert!(
            rejects(row) || cost >= least,
            "{name}: {row} is cheaper than {foresight}"
        );
        assert!(number(row, "most_in_24h") <= 10.0 || row["name"] == "foresight");
    }
}

/// So many minutes of a demand that varies by up to 30 %.
fn noisy(minutes: u32, rng: &mut Rng, used: impl Fn(u32) -> f64) -> Demand {
    let vary = |minute| used(minute) * (0.7 + 0.6 * rng.f64());
    (0..minutes).map(vary).map(Some).collect()
}

const DAY: u32 = 24 * 60;

#[test]
fn a_busy_day_rare_spikes_and_work_in_batches_keep_the_bounds() {
    let mut rng = Rng::with_seed(1);
    let busy = noisy(30 * 60, &mut rng, |minute| {
        let phase = f64::from(minute) / f64::from(DAY) * std::f64::consts::TAU;
        6.0 - 4.0 * phase.cos()
    });
    check("a busy day", &busy, &["--shards", "20"]);
    let spikes = noisy(30 * 60, &mut rng, |minute| match minute % 500 {
        450..462 => 30.0,
        _ => 2.0,
    });
    check(
        "rare spikes",
        &spikes,
        &["--shards", "20", "--skew", "1.25"],
    );
    let mut batches = noisy(30 * 60, &mut rng, |minute| match minute % 400 {
        350.. => 12.0,
        _ => 0.0,
    });
    batches[1_600..1_664].fill(None);
    check("batches", &batches, &["--shards", "1"]);
}

#[test]
fn random_demands_keep_the_bounds() {
    for seed in 1..=4 {
        let mut rng = Rng::with_seed(seed);
        // A walk in factors, with jumps, from less than a shard to some dozens.
        let mut level = 8.0 * rng.f64();
        let demand = (0..DAY + 240).map(|_| {
            let factor = match rng.u32(0..400) {
                0 => 4.0,
                1 => 0.25,
                _ => 0.95 + 0.1 * rng.f64(),
            };
            level = (level * factor).clamp(0.02, 40.0);
            (rng.u32(0..200) > 0).then_some(level)
        });
        let demand = demand.collect();
        let skew = format!("{:.2}", 1.0 + 0.6 * rng.f64());
        check(&format!("seed {seed}"), &demand, &["--skew", &skew]);
    }
}
