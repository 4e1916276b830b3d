//! `config init`: the configuration that it writes for the alarms of an account.

use std::fs;

use kinesis_autoscaler::{
    cli::Output,
    commands::config::init::{self, Pairs},
    config::Config,
    output::error::Exit,
};
use serde_json::{Value, json};

use crate::world::{World, named};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:kinesis-scale-up";

const EXPECTED: &str = r#"# kinesis-autoscaler, for the pairs of alarms that exist; `check` says what is
# wrong with them. The package's config.toml has every key with its default.

[aws]
region = "eu-west-1"

# The scaling log. Name the table of epsagon/kinesis-autoscaler to keep its
# rows, or create one: kinesis-autoscaler table create
[log]
table = "kinesis-autoscaler-logs-test"

[defaults]
# min_shards = 1
# max_shards = 64

# Its alarms notify arn:aws:sns:eu-west-1:123456789012:kinesis-scale-up: if that
# starts the Lambda of epsagon/kinesis-autoscaler, stop the Lambda or remove the
# action, or each alarm scales the stream twice
[[streams]]
name = "orders"

# Its alarms notify arn:aws:sns:eu-west-1:123456789012:page-down,
# arn:aws:sns:eu-west-1:123456789012:page-up: if one of these starts the Lambda
# of epsagon/kinesis-autoscaler, stop the Lambda or remove the action, or each
# alarm scales the stream twice
[[streams]]
alarm = "prod-scale-up-of-clicks"  # of the stream clicks

# These alarms are no complete pairs:
# broken-scale-up-alarm: an alarm has no query with the id shardCount
# half-scale-up-alarm: there is no half-scale-down-alarm
# mixed-scale-up-alarm: its two alarms are of different streams
"#;

/// Pairs of all kinds, whole and broken.
fn alarms(world: &World) {
    for stream in ["orders", "clicks", "broken", "half", "mixed"] {
        world.stream(stream, 2);
    }
    for direction in ["up", "down"] {
        let name = format!("orders-scale-{direction}-alarm");
        world.place.edit_alarm(&name, |alarm| {
            alarm.insert("AlarmActions".to_owned(), json!([TOPIC]));
        });
        // The pair of clicks is named in another way.
        let old = format!("clicks-scale-{direction}-alarm");
        let mut alarm = world.place.alarm(&old).expect("it is there");
        alarm["AlarmName"] = json!(format!("prod-scale-{direction}-of-clicks"));
        let page = format!("arn:aws:sns:eu-west-1:123456789012:page-{direction}");
        alarm["AlarmActions"] = json!([page]);
        world.place.delete_alarm(&old);
        world.place.put_alarm(alarm);
    }
    world.place.delete_alarm("half-scale-down-alarm");
    world.place.edit_alarm("broken-scale-up-alarm", |alarm| {
        for query in alarm["Metrics"].as_array_mut().into_iter().flatten() {
            if query["Id"] == "shardCount" {
                query["Id"] = json!("count");
            }
        }
    });
    world.place.edit_alarm("mixed-scale-down-alarm", |alarm| {
        for query in alarm["Metrics"].as_array_mut().into_iter().flatten() {
            for dimension in query["MetricStat"]["Metric"]["Dimensions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                dimension["Value"] = json!("other");
            }
        }
    });
    let mut other = world
        .place
        .alarm("orders-scale-up-alarm")
        .expect("it is there");
    other["AlarmName"] = json!("unrelated");
    world.place.put_alarm(other);
}

#[tokio::test(start_paused = true)]
async fn every_pair_is_an_entry_and_what_is_no_pair_a_comment() {
    let world = World::new();
    alarms(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    let context = world
        .context(world.config(&named(&["unnamed"])), false)
        .await;
    let exit = init::run(&context, Some(&path), Output::Text).await;
    assert!(matches!(exit, Ok(Exit::Done)), "{exit:?}");
    let text = fs::read_to_string(&path).expect("it is written");
    assert_eq!(text, EXPECTED, "\n{text}");
    for line in text.lines() {
        assert!(
            line.chars().count() <= 80 || line.contains("arn:"),
            "{line}"
        );
    }
    let config = Config::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    let streams: Vec<_> = config.subscriptions.iter().map(|it| it.label()).collect();
    assert_eq!(streams, ["orders", "prod-scale-up-of-clicks"]);
    // What is there stays.
    let failure = init::run(&context, Some(&path), Output::Text).await;
    let failure = failure.expect_err("it is there").to_string();
    for words in [
        "cannot be written",
        "caused by: ",
        "hint: it is not overwritten",
    ] {
        assert!(failure.contains(words), "{words:?} in {failure}");
    }
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing_and_an_error_of_aws_has_its_hint() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    let context = world
        .context(world.config(&named(&["unnamed"])), true)
        .await;
    let exit = init::run(&context, Some(&path), Output::Json).await;
    assert!(matches!(exit, Ok(Exit::Done)), "{exit:?}");
    assert!(!path.exists());
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    let failure = init::run(&context, None, Output::Text).await;
    let failure = failure.expect_err("it is denied").to_string();
    assert!(
        failure.contains("hint: allow the action `cloudwatch:DescribeAlarms`"),
        "{failure}"
    );
}

#[test]
fn without_a_pair_the_file_says_what_to_do() {
    let text = Pairs::default().config("eu-west-1", "logs");
    for line in [
        "# No pair of alarms was found. Name the streams, then create their alarms:",
        "# [[streams]]",
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} in\n{text}");
    }
    let error = Config::from_toml(&text).expect_err("no stream is subscribed");
    assert_eq!(error.problems().len(), 1, "{error}");
    let json: Value = serde_json::from_str(&Pairs::default().to_json("text", None)).expect("JSON");
    let expected = json!({"pairs": [], "incomplete": [], "written": null, "config": "text"});
    assert_eq!(json, expected);
}
