//! The released program against third-party emulators of AWS: moto, kinesis-local and MiniStack.
//!
//! They are installed on the first run by `tests/emulators/setup.sh`, which needs Python 3.11 and
//! npm.

mod backtest;
mod cases;
pub mod daemon;
pub mod harness;
mod ministack;
pub mod play;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use cases::{Case, Expected, reason};
use harness::{Emulator, Kinesis, Tick};

/// What a reset changes in addition to the state.
const STATE_FIELDS: [&str; 5] = [
    "AlarmConfigurationUpdatedTimestamp",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
];
const RETENTION: SignedDuration = SignedDuration::from_hours(14 * 24);

#[test]
fn every_kind_of_stream_is_scaled_synced_or_held_as_its_alarms_say() {
    let Some(emulator) = Emulator::start(Kinesis::Moto) else {
        return;
    };
    let cases = cases::all();
    let now = Timestamp::now();
    emulator.seed_table(cases.iter().flat_map(|case| case.past_rows(now)).collect());
    emulator.seed_streams(cases.iter().map(Case::seed).collect());
    let config: String = cases.iter().map(Case::config).collect();
    let before = emulator.dump();
    let mut problems = Vec::new();

    let dry = emulator.tick(&config, &["--dry-run"]);
    for case in &cases {
        check_report("dry run", case, &dry, &mut problems);
    }
    problems.extend(differences("dry run", &before, &emulator.dump()));

    let tick = emulator.tick(&config, &[]);
    let after = emulator.dump();
    for case in &cases {
        check_report("tick", case, &tick, &mut problems);
        check_stream(case, &before, &after, &mut problems);
        check_alarms(case, &before, &after, &mut problems);
        check_rows(case, &before, &after, &mut problems);
    }
    let scalings = cases
        .iter()
        .filter(|case| matches!(case.expected, Expected::Scaled(..)))
        .count();
    if tick.calls("UpdateShardCount") != scalings as u64 {
        problems.push(format!(
            "{scalings} scalings, but api_calls are {}",
            tick.report["api_calls"]
        ));
    }
    if tick.exit != Some(1) {
        problems.push(format!(
            "streams failed, but the exit code is {:?}",
            tick.exit
        ));
    }

    // All is done: the alarms that were acted on are reset, and held streams stay held.
    let again = emulator.tick(&config, &[]);
    for case in &cases {
        match again.of(case.name) {
            Some(entry) if entry["action"] == "hold" => {}
            entry => problems.push(format!("second tick: {}: {entry:?}", case.name)),
        }
    }
    problems.extend(differences("second tick", &after, &emulator.dump()));

    assert!(
        problems.is_empty(),
        "{} problems:\n{}\n\n{}",
        problems.len(),
        problems.join("\n"),
        tick.log
    );
}

#[test]
fn the_audit_finds_what_no_alarm_tells() {
    let Some(emulator) = Emulator::start(Kinesis::Moto) else {
        return;
    };
    let cases = cases::audited();
    emulator.seed_table(vec![]);
    emulator.seed_streams(cases.iter().map(Case::seed).collect());
    let config: String = cases.iter().map(Case::config).collect();
    let before = emulator.dump();

    // The first run has no earlier one since which an audit could be due.
    let ticks = [emulator.tick(&config, &[]), emulator.tick(&config, &[])];
    let after = emulator.dump();
    let mut problems = Vec::new();
    for case in &cases {
        let reports = ticks.each_ref().map(|tick| {
            let mut problems = Vec::new();
            check_report("audit", case, tick, &mut problems);
            problems
        });
        if reports.iter().all(|problems| !problems.is_empty()) {
            problems.extend(reports.concat());
        }
        check_stream(case, &before, &after, &mut problems);
        check_alarms(case, &before, &after, &mut problems);
        check_rows(case, &before, &after, &mut problems);
    }
    let log = ticks.map(|tick| tick.log).concat();
    assert!(problems.is_empty(), "{}\n\n{log}", problems.join("\n"));
}

#[test]
fn a_stream_that_is_updating_is_left_alone_until_it_is_active() {
    let Some(emulator) = Emulator::start(Kinesis::Local { update_seconds: 30 }) else {
        return;
    };
    let config = "[[streams]]\nname = \"orders\"\n";
    let (up, alarm) = ("orders-scale-up-alarm", json!({ "state": "ALARM" }));
    emulator.seed_table(vec![]);
    emulator.seed_streams(vec![
        json!({ "name": "orders", "shards": 3, "up": alarm, "down": {} }),
    ]);
    let tick = |what: &str, expected: Option<&str>, calls: u64| {
        let tick = emulator.tick(config, &[]);
        let entry = tick
            .of("orders")
            .unwrap_or_else(|| panic!("{what}: {}", tick.report));
        let wanted = if expected.is_none() {
            "scale_up"
        } else {
            "hold"
        };
        assert_eq!(entry["action"], wanted, "{what}: {entry}\n{}", tick.log);
        assert!(
            expected.is_none_or(|reasons| reasons.split('|').any(|code| entry["reason"] == code)),
            "{what}: {entry}"
        );
        assert_eq!(
            tick.calls("UpdateShardCount"),
            calls,
            "{what}: {}",
            tick.report
        );
        assert_eq!(tick.exit, Some(0), "{what}: {}", tick.log);
    };

    tick("the alarm scales it up", None, 1);
    let scaled = emulator.dump();
    assert_eq!(scaled["streams"]["orders"]["StreamStatus"], "UPDATING");
    assert_eq!(shard_count(&scaled["alarms"][up]), "6");

    tick("quiet while UPDATING", Some("no_alarm|updating"), 0);
    assert_eq!(
        differences("quiet while UPDATING", &scaled, &emulator.dump()),
        [""; 0]
    );

    emulator.set_alarm_state(up, "ALARM");
    let alarmed = emulator.dump();
    tick("in ALARM while UPDATING", Some(reason::UPDATING), 0);
    let still = emulator.dump();
    assert_eq!(
        differences("in ALARM while UPDATING", &alarmed, &still),
        [""; 0]
    );
    assert_eq!(
        still["streams"]["orders"]["StreamStatus"], "UPDATING",
        "the window was too short to prove anything"
    );

    emulator.set_alarm_state(up, "INSUFFICIENT_DATA");
    emulator.until_active("orders");
    let settled = emulator.dump();
    tick("ACTIVE again", Some(reason::NO_ALARM), 0);
    assert_eq!(
        differences("ACTIVE again", &settled, &emulator.dump()),
        [""; 0]
    );
    assert_eq!(settled["streams"]["orders"]["OpenShardCount"], 6);
    assert_eq!(
        settled["items"].as_array().map(Vec::len),
        Some(1),
        "{}",
        settled["items"]
    );
}

#[test]
fn a_missing_log_table_stops_scale_downs_alone_and_loses_no_row() {
    let Some(emulator) = Emulator::start(Kinesis::Moto) else {
        return;
    };
    let up = cases::case("up", 2, cases::up(), Expected::Scaled("scale_up", 4));
    let down = cases::case(
        "down",
        10,
        cases::down(26),
        Expected::Held(reason::LOG_UNAVAILABLE),
    );
    emulator.seed_streams(vec![up.seed(), down.seed()]);
    let config = up.config() + &down.config();
    let before = emulator.dump_without_table();
    let mut problems = Vec::new();

    let tick = emulator.tick(&config, &[]);
    let after = emulator.dump_without_table();
    for case in [&up, &down] {
        check_report("without a table", case, &tick, &mut problems);
        check_stream(case, &before, &after, &mut problems);
        check_alarms(case, &before, &after, &mut problems);
    }

    emulator.seed_table(vec![]);
    let down = cases::case(
        "down",
        10,
        cases::down(26),
        Expected::Scaled("scale_down", 6),
    );
    let tick = emulator.tick(&config, &[]);
    check_report("with a table", &down, &tick, &mut problems);
    let after = emulator.dump();
    check_rows(&up, &before, &after, &mut problems);
    check_rows(&down, &before, &after, &mut problems);
    emulator.tick(&config, &[]);
    problems.extend(differences(
        "rows are delivered once",
        &after,
        &emulator.dump(),
    ));
    assert!(
        problems.is_empty(),
        "{}\n\n{}",
        problems.join("\n"),
        tick.log
    );
}

/// The report's entry: action, reason, counts, and an error where there has to be one.
fn check_report(when: &str, case: &Case, tick: &Tick, problems: &mut Vec<String>) {
    let Some(entry) = tick.of(case.name) else {
        problems.push(format!("{when}: {}: not in the report", case.name));
        return;
    };
    let n = case.shards.map_or(Value::Null, Value::from);
    let unread_or_n = |count: &Value| count.is_null() || *count == n;
    let (before, after) = (&entry["shards_before"], &entry["shards_after"]);
    let (action, code, counts) = match case.expected {
        Expected::Scaled(action, to) => (action, reason::ALARM, *before == n && *after == to),
        Expected::Synced => (
            "sync_alarms",
            reason::OUT_OF_SYNC,
            *before == n && unread_or_n(after),
        ),
        Expected::Held(code) | Expected::Failed(code) => {
            ("hold", code, unread_or_n(before) && unread_or_n(after))
        }
    };
    let failed = matches!(case.expected, Expected::Failed(_));
    let right = entry["action"] == action
        && entry["reason"] == code
        && counts
        && entry["region"] == harness::REGION
        && entry["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
        && entry["error"].is_string() == failed;
    if !right {
        problems.push(format!(
            "{when}: {}: expected {:?}, got {entry}",
            case.name, case.expected
        ));
    }
}

/// The stream has the expected count, and is otherwise unchanged.
fn check_stream(case: &Case, before: &Value, after: &Value, problems: &mut Vec<String>) {
    let mut expected = before["streams"][case.name].clone();
    assert_eq!(
        expected.is_object(),
        case.shards.is_some(),
        "{} was seeded otherwise",
        case.name
    );
    if let Expected::Scaled(_, to) = case.expected {
        expected["OpenShardCount"] = to.into();
    }
    problems.extend(differences(
        case.name,
        &expected,
        &after["streams"][case.name],
    ));
}

/// Both alarms: untouched, or rewritten in the shard count alone and reset.
fn check_alarms(case: &Case, before: &Value, after: &Value, problems: &mut Vec<String>) {
    for (direction, name) in case.alarms() {
        let (before, after) = (&before["alarms"][&name], &after["alarms"][&name]);
        let mut expected = before.clone();
        assert!(before.is_object(), "{name} was not seeded");
        if let Some(to) = case.rewritten_to() {
            let recorded_one = shard_count(before) == "1";
            let enabled = before["ActionsEnabled"] == true || recorded_one;
            if direction == "scale-down" {
                expected["ActionsEnabled"] = (to != 1 && enabled).into();
            }
            *query(&mut expected, "shardCount") = to.to_string().into();
            expected["StateValue"] = "INSUFFICIENT_DATA".into();
            for field in STATE_FIELDS {
                expected[field] = after[field].clone();
            }
            if after["AlarmConfigurationUpdatedTimestamp"].as_str()
                <= before["AlarmConfigurationUpdatedTimestamp"].as_str()
            {
                problems.push(format!("{name}: was not rewritten"));
            }
            if !after["StateReason"]
                .as_str()
                .is_some_and(|reason| reason != before["StateReason"] && !reason.is_empty())
            {
                problems.push(format!(
                    "{name}: was reset for the reason {}",
                    after["StateReason"]
                ));
            }
        }
        // A field that is gone reads as null on the one side.
        drop_nulls(&mut expected);
        problems.extend(differences(&name, &expected, after));
    }
}

/// One new row of the original's form for each scaling, and none for anything else.
fn check_rows(case: &Case, before: &Value, after: &Value, problems: &mut Vec<String>) {
    let old: BTreeSet<String> = items(before, case.name).map(Value::to_string).collect();
    let new: Vec<&Value> = items(after, case.name)
        .filter(|item| !old.contains(&item.to_string()))
        .collect();
    match (case.expected, new.as_slice()) {
        (Expected::Scaled(action, to), [row]) => {
            let n = case.shards.unwrap_or_default();
            if let Err(problem) = check_row(row, action, n, to) {
                problems.push(format!("{}: {problem}: {row}", case.name));
            }
        }
        (Expected::Scaled(..), rows) => {
            problems.push(format!("{}: {} new rows: {rows:?}", case.name, rows.len()))
        }
        (_, []) => {}
        (_, rows) => problems.push(format!("{}: rows without a scaling: {rows:?}", case.name)),
    }
}

fn check_row(row: &Value, action: &str, from: u32, to: u32) -> Result<(), String> {
    let expected = json!({
        "shard_count": { "N": from.to_string() },
        "target_shard_count": { "N": to.to_string() },
        "scaling_type": { "S": action.to_uppercase() },
    });
    for (attribute, value) in expected.as_object().into_iter().flatten() {
        if row[attribute] != *value {
            return Err(format!("{attribute} is {}, not {value}", row[attribute]));
        }
    }
    let written = row["scaling_datetime"]["S"]
        .as_str()
        .ok_or("scaling_datetime is no string")?;
    // 2021-11-16T01:02:03.000456+0000
    let shape: String = written
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape != "0000-00-00T00:00:00.000000+0000" {
        return Err(format!("scaling_datetime is {written}"));
    }
    let scaled_at = Timestamp::strptime("%Y-%m-%dT%H:%M:%S.%f%z", written)
        .map_err(|error| error.to_string())?;
    let expires = row["expiration_datetime"]["N"]
        .as_str()
        .and_then(|seconds| seconds.parse::<i64>().ok());
    let expires = expires.ok_or("expiration_datetime is no whole number of seconds")?;
    let off = expires - (scaled_at + RETENTION).as_second();
    if off.abs() > 60 {
        return Err(format!("expiration_datetime is {off} s away from 14 days"));
    }
    Ok(())
}

/// The rows of one stream in the log table.
fn items<'a>(dump: &'a Value, stream: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = dump["items"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .filter(move |item| item["stream_name"]["S"] == stream)
}

fn shard_count(alarm: &Value) -> &str {
    let queries = alarm["Metrics"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    queries
        .iter()
        .find(|query| query["Id"] == "shardCount")
        .and_then(|query| query["Expression"].as_str())
        .unwrap_or("")
}

/// The expression of one query of an alarm.
fn query<'a>(alarm: &'a mut Value, id: &str) -> &'a mut Value {
    let queries = alarm["Metrics"]
        .as_array_mut()
        .expect("the alarm has queries");
    let query = queries
        .iter_mut()
        .find(|query| query["Id"] == id)
        .expect("the alarm has the query");
    &mut query["Expression"]
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
    }
}

/// Every path at which the two differ, one on each line.
fn differences(at: &str, expected: &Value, actual: &Value) -> Vec<String> {
    let keys = |value: &Value| -> BTreeSet<String> {
        match value {
            Value::Object(fields) => fields.keys().cloned().collect(),
            Value::Array(elements) => (0..elements.len()).map(|index| index.to_string()).collect(),
            _ => BTreeSet::new(),
        }
    };
    let get = |value: &Value, key: &str| match value {
        Value::Array(elements) => key
            .parse::<usize>()
            .ok()
            .and_then(|index| elements.get(index))
            .cloned(),
        value => value.get(key).cloned(),
    };
    match (expected, actual) {
        (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_)) => keys(expected)
            .union(&keys(actual))
            .flat_map(|key| {
                let part = |value| get(value, key).unwrap_or(Value::Null);
                differences(&format!("{at}.{key}"), &part(expected), &part(actual))
            })
            .collect(),
        _ if expected == actual => vec![],
        _ => vec![format!("{at}: expected {expected}, got {actual}")],
    }
}
