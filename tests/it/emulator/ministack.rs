//! STS and SNS, as MiniStack emulates them: assumed roles, and topics that are published to.

use serde_json::{Value, json};

use super::{
    cases::{Case, Expected, case, up},
    harness::{Emulator, Kinesis, REGION, Tick},
};

const ROLE: &str = "arn:aws:iam::123456789012:role/kinesis-autoscaler";
/// The key id that the program starts with.
const OWN: &str = "test";
const RECORDED: Kinesis = Kinesis::Recorded {
    moto_latency_ms: 0,
    cloudwatch_latency_ms: 0,
};

/// Two streams that ask for more shards, and a log table.
fn two_streams(emulator: &Emulator) -> [Case; 2] {
    let cases =
        ["orders", "clicks"].map(|name| case(name, 2, up(), Expected::Scaled("scale_up", 4)));
    emulator.seed_table(vec![]);
    emulator.seed_streams(cases.iter().map(Case::seed).collect());
    cases
}

fn notify(topic: &str) -> String {
    format!("[notify]\nsns_topic = \"{topic}\"\n\n")
}

fn assert_scaled(tick: &Tick, stream: &str) {
    let entry = tick.of(stream).unwrap_or(&Value::Null);
    let scaled = (&entry["action"], &entry["shards_after"], &entry["error"]);
    let expected = (&json!("scale_up"), &json!(4), &Value::Null);
    assert_eq!(scaled, expected, "{stream}: {entry}\n{}", tick.log);
}

/// The key ids that calls of an operation were signed with.
fn keys<'a>(calls: &'a [Value], operation: &str) -> Vec<&'a str> {
    let of_operation = calls.iter().filter(|call| call["operation"] == operation);
    of_operation
        .filter_map(|call| call["key"].as_str())
        .collect()
}

/// The key ids that AssumeRole has given out.
fn assumed(calls: &[Value]) -> Vec<&str> {
    let of_role = calls.iter().filter(|call| call["role"] == ROLE);
    of_role
        .filter_map(|call| call["assumed"].as_str())
        .collect()
}

/// The names of the members that README's example of a notification has.
fn documented() -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme
        .split_once("\n## Notifications\n")
        .expect("a section");
    let (_, example) = section.split_once("```json\n").expect("an example");
    let example = example.split("```").next().unwrap_or_default();
    names(&serde_json::from_str(example).expect("JSON"))
}

fn names(message: &Value) -> Vec<String> {
    let members = message.as_object().expect("an object");
    members.keys().cloned().collect()
}

#[test]
fn a_stream_with_a_role_is_scaled_as_that_role_and_the_topic_gets_every_scaling() {
    let Some(emulator) = Emulator::start_with_ministack(RECORDED) else {
        return;
    };
    let [orders, clicks] = two_streams(&emulator);
    let topic = emulator.topic("kinesis-scaling");
    let clicks = clicks
        .config()
        .replace("\n\n", &format!("\nrole_arn = \"{ROLE}\"\n"));
    let config = notify(&topic.arn) + &orders.config() + &clicks;
    let before = emulator.calls().len();

    let tick = emulator.tick(&config, &[]);
    assert_scaled(&tick, "orders");
    assert_scaled(&tick, "clicks");
    assert_eq!(tick.exit, Some(0), "{}", tick.log);

    let calls = emulator.calls().split_off(before);
    let roles = assumed(&calls);
    let [role] = roles[..] else {
        panic!("the role is assumed once: {roles:?}\n{}", tick.log);
    };
    assert_eq!(keys(&calls, "AssumeRole"), [OWN]);
    for call in calls.iter() {
        let resource = call["stream"].as_str().or(call["alarm"].as_str());
        let expected = match resource {
            Some(name) if name.starts_with("clicks") => role,
            Some(_) => OWN,
            None => continue,
        };
        assert_eq!(call["key"], expected, "{call}");
    }
    assert!(
        keys(&calls, "UpdateShardCount").contains(&role),
        "{calls:#?}"
    );
    // The table and the topic belong to the account that the program runs in.
    for operation in ["TransactWriteItems", "Publish"] {
        let keys = keys(&calls, operation);
        assert!(
            !keys.is_empty() && keys.iter().all(|key| *key == OWN),
            "{operation}: {keys:?}"
        );
    }

    let mut messages = emulator.messages(&topic);
    messages.sort_by_key(|message| message["Subject"].to_string());
    let [of_clicks, of_orders] = &messages[..] else {
        panic!("a message for each stream: {messages:#?}\n{}", tick.log);
    };
    check_message(of_orders, &topic.arn, "orders", None);
    check_message(of_clicks, &topic.arn, "clicks", Some("123456789012"));
}

/// What SNS has delivered has the documented members, and tells of the scaling of a stream.
fn check_message(message: &Value, topic: &str, stream: &str, account: Option<&str>) {
    let text = message["Message"].as_str().expect("a text");
    let event: Value = serde_json::from_str(text).expect("JSON");
    let (mut found, mut expected) = (names(&event), documented());
    expected.extend(account.map(|_| "account".to_owned()));
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{event}");
    let place = account.map_or(REGION.to_owned(), |account| format!("{account}, {REGION}"));
    let summary = format!("{stream} ({place}): scaled up from 2 to 4 shards");
    let scaling = json!({
        "kind": "scaled", "state": null, "summary": summary, "stream": stream, "region": REGION,
        "shards_before": 2, "shards_after": 4, "reason": "alarm", "hint": null, "since": null,
    });
    for (name, value) in scaling.as_object().into_iter().flatten() {
        assert_eq!(event[name], *value, "{name} of {event}");
    }
    assert_eq!(event["account"].as_str(), account, "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("has been in ALARM since"), "{event}");
    assert_eq!(message["Subject"], format!("kinesis-autoscaler: {summary}"));
    assert_eq!(message["TopicArn"], topic);
}

#[test]
fn a_role_of_the_whole_configuration_signs_also_for_the_table_and_the_topic() {
    let Some(emulator) = Emulator::start_with_ministack(RECORDED) else {
        return;
    };
    let streams = two_streams(&emulator).map(|case| case.config()).concat();
    let topic = emulator.topic("kinesis-scaling");
    let role = format!("aws.role_arn={ROLE}");
    let before = emulator.calls().len();

    let tick = emulator.tick(&(notify(&topic.arn) + &streams), &["--set", &role]);
    assert_scaled(&tick, "orders");
    assert_scaled(&tick, "clicks");
    let calls = emulator.calls().split_off(before);
    let own: Vec<&Value> = calls.iter().filter(|call| call["key"] == OWN).collect();
    assert!(
        own.iter().all(|call| call["operation"] == "AssumeRole"),
        "{own:#?}"
    );
    let roles = assumed(&calls);
    for operation in [
        "DescribeAlarms",
        "UpdateShardCount",
        "TransactWriteItems",
        "Publish",
    ] {
        let keys = keys(&calls, operation);
        let as_role = keys.iter().filter(|key| roles.contains(key)).count();
        assert!(as_role > 0, "{operation}: {keys:?}, not one of {roles:?}");
    }
    assert_eq!(emulator.messages(&topic).len(), 2, "{}", tick.log);
}

#[test]
fn a_topic_that_does_not_exist_is_told_by_its_key_and_scaling_goes_on() {
    let Some(emulator) = Emulator::start_with_ministack(RECORDED) else {
        return;
    };
    let streams = two_streams(&emulator).map(|case| case.config()).concat();
    let arn = format!("arn:aws:sns:{REGION}:123456789012:nowhere");
    let config = notify(&arn) + &streams;

    let check = emulator.run(&config, &["check"]);
    let found = String::from_utf8_lossy(&check.stdout);
    assert!(
        found.contains("the topic does not exist") && found.contains(&arn),
        "{found}"
    );
    assert!(found.contains("`sns_topic` under [notify]"), "{found}");

    let tick = emulator.tick(&config, &[]);
    assert_scaled(&tick, "orders");
    assert_scaled(&tick, "clicks");
    assert_eq!(tick.exit, Some(0), "{}", tick.log);
    let warning = tick
        .log
        .lines()
        .find(|line| line.contains("could not be delivered"));
    let warning = warning.unwrap_or_else(|| panic!("no warning:\n{}", tick.log));
    for part in [
        "WARN",
        "Publish: NotFound",
        "Topic does not exist",
        "`sns_topic` under [notify]",
    ] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
    assert!(
        tick.log.contains("notifications wait for the next start"),
        "{}",
        tick.log
    );

    // What waits is delivered once the topic is there.
    let topic = emulator.topic("nowhere");
    assert_eq!(topic.arn, arn);
    let again = emulator.tick(&config, &[]);
    assert_eq!(emulator.messages(&topic).len(), 2, "{}", again.log);
}
