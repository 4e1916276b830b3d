//! What a demand may look like, and what is told about one that cannot be replayed.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{backtest, wave};

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
        (
            wave(),
            &["--variant", "min_shard=3"],
            2,
            "error: --variant min_shard=3: min_shard: unknown key\nhint: did you mean `min_shards`?",
        ),
        (
            wave(),
            &["--variant", "memory=1y"],
            2,
            "error: --variant memory=1y: memory: ",
        ),
        (
            wave(),
            &["--variant", "min_shards=9,max_shards=8"],
            2,
            "max_shards=8: min_shards: min_shards is 9, above max_shards, which is 8",
        ),
        (wave(), &["--variant", "fast"], 2, "--variant fast"),
        (wave(), &["--skew", "0.5"], 2, "--skew"),
        (wave(), &["--days", "3"], 2, "--days"),
        (
            wave(),
            &["--stream", "a", "--stream", "b"],
            2,
            "names several",
        ),
        (
            wave(),
            &["--stream", "or*"],
            2,
            "error: --demand has the demand of one stream, and --stream or* is a pattern\nhint: ",
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

/// Thirty hours, and what `change` makes of the lines below the header.
fn hours(change: impl FnOnce(&mut Vec<String>)) -> String {
    let hour = |it: i32| {
        format!(
            "2026-01-{:02}T{:02}:00:00Z,3600000,900",
            1 + it / 24,
            it % 24
        )
    };
    let mut lines: Vec<String> = (0..30).map(hour).collect();
    change(&mut lines);
    lines.insert(0, "time,bytes,records".to_owned());
    lines.join("\n") + "\n"
}

#[test]
fn each_kind_of_wrong_line_is_told_with_its_number() {
    let folder = TempDir::new().expect("a folder");
    type Change = fn(&mut Vec<String>);
    let cases: [(Change, &str); 12] = [
        (
            |it| it.insert(7, it[6].clone()),
            ":9: the time 2026-01-01T06:00:00Z occurs twice",
        ),
        (
            |it| it.swap(3, 4),
            ":6: 2026-01-01T03:00:00Z is earlier than the line above",
        ),
        (
            |it| it[0] = "2026-01-01 00:00:00,1,1".to_owned(),
            ":2: \"2026-01-01 00:00:00\" has no UTC offset",
        ),
        (
            |it| it[0] = "1767225600,1,1".to_owned(),
            ":2: \"1767225600\" is not a time",
        ),
        (
            |it| it[0] = "2026-01-01T00:00:30Z,1,1".to_owned(),
            ":2: 2026-01-01T00:00:30Z is not a whole minute",
        ),
        (
            |it| it[1] = it[1].replace("900", "-900"),
            ":3: records \"-900\" is negative",
        ),
        (
            |it| it[1] = it[1].replace("3600000", "1e300"),
            ":3: bytes \"1e300\" is more than 10,000 shards accept",
        ),
        (
            |it| it[1] = it[1].replace("3600000", "inf"),
            ":3: bytes \"inf\" is not a number",
        ),
        (
            |it| it[1] = it[1].replace("3600000", "3.600.000"),
            ":3: bytes \"3.600.000\" is not a number",
        ),
        (
            |it| it[1].push_str(",5"),
            ":3: 4 cells where the header has 3",
        ),
        (|it| it.truncate(24), ": the demand covers 24.0 h"),
        (
            |it| it[29] = it[29].replace("2026", "2028"),
            ": the demand covers 731 days, more than 366",
        ),
    ];
    for (change, says) in cases {
        let run = backtest(folder.path(), &hours(change), &[]);
        assert_eq!(
            (run.exit, run.stdout.as_str()),
            (1, ""),
            "{says}: {}",
            run.stderr
        );
        let says = format!("orders.csv{says}");
        assert!(
            run.stderr.contains(&says),
            "{says:?} is not in {}",
            run.stderr
        );
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
}

#[test]
fn a_file_that_is_no_text_is_told() {
    let folder = TempDir::new().expect("a folder");
    let binary = folder.path().join("binary.csv");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("a file");
    for path in [binary.as_path(), folder.path()] {
        let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
            .args(["backtest", "--demand"])
            .arg(path)
            .env_remove("KINESIS_AUTOSCALER_CONFIG")
            .output()
            .expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        let path = path.display().to_string();
        assert!(error.contains(&path) && error.contains("hint: "), "{error}");
    }
}

/// The result of a demand that is unusual but right.
fn replayed(demand: &str) -> Value {
    let folder = TempDir::new().expect("a folder");
    let run = backtest(folder.path(), demand, &["--output", "json"]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let result: Value = serde_json::from_str(&run.stdout).expect("JSON");
    result["streams"][0].clone()
}

#[test]
fn the_form_of_a_file_is_taken_as_spreadsheets_write_it() {
    let plain = replayed(&hours(|_| ()));
    // Another order of columns and one more, offsets, a byte order mark, Windows' line ends.
    let other = hours(|lines| {
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let time = cells[0].replace('Z', "+00:00");
            *line = format!("orders, {},{}.0,{time}", cells[2], cells[1]);
        }
    });
    let other = other.replace("time,bytes,records", "stream,records,bytes,time");
    let other = format!("\u{feff}{}\r\n", other.replace('\n', "\r\n"));
    assert_eq!(replayed(&other), plain);
}

#[test]
fn gaps_idle_streams_and_huge_sums_can_be_replayed() {
    let gap = replayed(&hours(|lines| drop(lines.drain(26..29))));
    let notes = gap["assumptions"].to_string();
    assert!(
        notes.contains("180 minutes without data count as no demand"),
        "{notes}"
    );

    let idle = replayed(&hours(|lines| {
        lines
            .iter_mut()
            .for_each(|it| *it = it.replace("3600000,900", "0,0"));
    }));
    let rows = idle["rows"].as_array().expect("rows");
    let quiet = rows.iter().all(|row| row["rejected_minutes_week"] == 0.0);
    assert!(quiet && idle["start_shards"] == 1, "{idle}");

    // More than any stream can take: no row but the constant one has room for it.
    let huge = replayed(&hours(|lines| {
        lines[27] = lines[27].replace("3600000", "1e14")
    }));
    let row = |name: &str| {
        let rows = huge["rows"].as_array().expect("rows");
        let found = rows.iter().find(|row| row["name"] == name);
        found.expect("a row").clone()
    };
    assert_eq!(row("held_at_peak")["rejected_minutes_week"], 0.0);
    assert!(row("adaptive")["rejected_minutes_week"].as_f64() > Some(0.0));
}
