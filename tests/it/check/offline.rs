//! `check --offline`: what the windows of a configuration show without AWS.

use std::fmt::Write as _;

use jiff::Timestamp;
use kinesis_autoscaler::{
    cli::Output,
    commands::check::{self, Findings},
    config::Config,
    output::error::Exit,
};
use serde_json::Value;

fn offline(streams: &str) -> Findings {
    let text = format!("[aws]\nregion = \"eu-west-1\"\n[log]\ntable = \"log\"\n{streams}");
    let config = Config::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
    check::offline(&config, now)
}

fn text(found: &Findings) -> String {
    found.render(Output::Text, None, false, None)
}

const PASSED: &str = "[[windows]]\nat = \"2020-01-01T00:00:00Z\"\nfor = \"1h\"\nhold = \"up\"\n";
const ABOVE: &str = "[[windows]]\nat = \"2027-01-01T00:00:00Z\"\nfor = \"1h\"\nmin_shards = 20\n";
const OFTEN: &str = "[[windows]]\nwhen = \"0 0 */2 * * *\"\nfor = \"1h\"\nmin_shards = 8\n";
const GOOD: &str = "[[windows]]\nwhen = \"0 0 7 * * *\"\nfor = \"9h\"\nmin_shards = 8\n";
const REMOVE: &str = "has passed and never opens again; remove it from the configuration";

#[test]
fn each_rule_for_windows_is_applied() {
    for (windows, says) in [
        (GOOD, "the configuration is good\n".to_owned()),
        (
            PASSED,
            format!("warning: orders: the window at 2020-01-01T00:00:00Z {REMOVE}\n"),
        ),
        (
            ABOVE,
            "warning: orders: the window at 2027-01-01T00:00:00Z asks for 20 shards at \
             2027-01-01T00:00:00Z, and max_shards is 8: the stream stays at that; "
                .to_owned(),
        ),
        (
            OFTEN,
            "asks for 8 shards, which from min_shards = 2 take 24 UpdateShardCount calls in a day; \
             AWS allows 10; "
                .to_owned(),
        ),
    ] {
        let found = offline(&format!(
            "{windows}[[streams]]\nname = \"orders\"\nmin_shards = 2\nmax_shards = 8\n"
        ));
        let text = text(&found);
        assert!(text.contains(&says), "{says}: {text}");
        assert_eq!(found.exit(false), Exit::Done, "{text}");
        match windows {
            GOOD => assert_eq!(found.exit(true), Exit::Done, "{text}"),
            _ => {
                let end = "\nthe configuration is good, with 1 warning\n";
                assert!(text.ends_with(end), "{text}");
                assert_eq!(found.exit(true), Exit::Failed, "{text}");
            }
        }
    }
}

#[test]
fn windows_of_a_stream_and_of_a_pattern_are_named_by_it() {
    let own = "windows = [{ at = \"2020-01-01T00:00:00Z\", for = \"1h\", hold = \"up\" }]\n";
    let found = offline(&format!(
        "[[streams]]\nname = \"orders\"\n[[streams]]\nmatch = \"prod-*\"\n{own}\
         [[streams]]\nalarm = \"clicks-scale-up-alarm\"\nregion = \"us-east-1\"\n{own}"
    ));
    let subjects = "clicks-scale-up-alarm (us-east-1), streams[1] (match = \"prod-*\") (eu-west-1)";
    let says = format!("warning: {subjects}: the window at 2020-01-01T00:00:00Z {REMOVE}\n");
    assert!(text(&found).starts_with(&says), "{}", text(&found));
    let json = found.render(Output::Json, None, false, None);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let told = |i: usize| {
        let finding = &json["findings"][i];
        let keys = ["rule", "severity", "stream", "region"];
        keys.map(|key| finding[key].as_str().unwrap_or("null"))
    };
    assert_eq!((&json["warnings"], &json["errors"]), (&2.into(), &0.into()));
    let clicks = "clicks-scale-up-alarm";
    assert_eq!(told(0), ["window", "warning", clicks, "us-east-1"]);
    assert_eq!(told(1), ["window", "warning", "null", "eu-west-1"]);
}

#[test]
fn thousands_of_streams_with_the_same_windows_and_bounds_are_one_line() {
    let mut streams = format!("{PASSED}{OFTEN}");
    for i in 0..3_000 {
        let max = if i % 2 == 0 { 64 } else { 4 };
        write!(
            streams,
            "[[streams]]\nname = \"s{i}\"\nmax_shards = {max}\n"
        )
        .expect("a string");
    }
    let found = offline(&streams);
    let text = text(&found);
    let lines: Vec<&str> = text.lines().collect();
    // The window that has passed, the calls from 1 to 8, what is above 4, and the summary.
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].contains(", s19 and 2980 more: the window"),
        "{text}"
    );
    assert!(lines[3].ends_with("is good, with 3 warnings"), "{text}");
}
