//! Ctrl-C ends a backtest early, which prints what is ready.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write as _},
    process::{Command, Stdio},
    thread::available_parallelism,
};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");
const DAYS: i64 = 2;

/// Sums of five minutes, which fill two shards for half of each day.
fn demand() -> String {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut text = "time,bytes,records\n".to_owned();
    for period in 0..DAYS * 288 {
        let at = start + jiff::SignedDuration::from_mins(5 * period);
        let bytes = if period % 288 < 144 { 1 } else { 2 } * 314_572_800_u64;
        writeln!(text, "{at},{bytes},{}", bytes / 4096).expect("a string takes it");
    }
    text
}

/// The last percentage that a progress bar shows.
fn percent(seen: &str) -> Option<u32> {
    let (before, _) = seen.rsplit_once(" % replayed")?;
    before.rsplit([' ', '-', '>', '=']).next()?.parse().ok()
}

#[test]
fn ctrl_c_prints_the_rows_that_are_ready_and_fails() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (folder.path().join("orders.csv"), folder.path().join("out"));
    fs::write(&file, demand()).expect("a file");
    // Each thread has one row under way: when half of the work is done, some rows are ready.
    let variants = 2 + 2 * available_parallelism().map_or(1, usize::from);
    let variants: Vec<String> = (0..variants)
        .map(|number| format!("min_shards={}", 10 + number))
        .collect();
    // A terminal, which has a progress bar and knows Ctrl-C.
    let command = format!(
        "exec {BINARY} backtest --output json --demand {} --variant {} > {}",
        file.display(),
        variants.join(" --variant "),
        out.display()
    );
    let mut terminal = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (of util-linux) runs");
    let mut shown = terminal.stdout.take().expect("piped");
    let (mut seen, mut chunk) = (String::new(), [0; 4096]);
    while percent(&seen) < Some(50) {
        let length = shown.read(&mut chunk).expect("the terminal is read");
        assert!(length > 0, "it ended before it was interrupted: {seen}");
        seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    let mut keys = terminal.stdin.take().expect("piped");
    keys.write_all(b"\x03").expect("a key is pressed");
    let mut rest = String::new();
    shown.read_to_string(&mut rest).expect("UTF-8");
    let exit = terminal.wait().expect("it ends");
    assert_eq!(exit.code(), Some(1), "{rest}");

    let result = fs::read(&out).expect("it has printed");
    let result: Value = serde_json::from_slice(&result).expect("JSON");
    let stream = &result["streams"][0];
    assert_eq!(stream["complete"], false, "{stream}");
    let rows = stream["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"held_at_peak"), "{names:?}");
    let ready = names.len() - 4;
    assert!(0 < ready && ready < 2 + variants.len(), "{names:?}");
    let missing = 2 + variants.len() - ready;
    let told = format!("interrupted before {missing} row");
    assert!(rest.contains(&told), "{told:?} is not in {rest}");
}
