//! `alarms print|create` and `table print|create`.

use std::collections::BTreeMap;

use autoscaler_core::{alarm::Direction, metric_math, subscription::Policy};
use autoscaler_sandbox::Fault;
use kinesis_autoscaler::{
    cli::{self, Format, Output},
    commands::{
        check,
        provision::{self, alarms, pair, table},
    },
    config::PairDesign,
    output::error::{Exit, Failure},
    reconcile::context::Context,
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, named};

const DESIGN: PairDesign = PairDesign {
    up_threshold: 0.75,
    down_threshold: 0.25,
    up_periods: 1,
    down_periods: 288,
    period_seconds: 300,
    throttle_share: 0.0,
};

async fn printed(
    context: &std::sync::Arc<Context>,
    shards: Option<u32>,
    format: Format,
    output: Output,
) -> String {
    let answer = alarms::print(
        context,
        &[],
        shards,
        format,
        &cli::Design::default(),
        output,
    )
    .await
    .expect("it can be printed");
    assert!(answer.failures.is_empty(), "{:#?}", answer.failures);
    answer.text
}

async fn created(
    context: &std::sync::Arc<Context>,
    streams: &[&str],
    replace: bool,
) -> (Value, Vec<String>) {
    let streams: Vec<String> = streams.iter().map(|it| (*it).to_owned()).collect();
    let given = cli::Design::default();
    let answer = alarms::create(context, &streams, replace, &given, Output::Json, None)
        .await
        .expect("it runs");
    let text = |report: &kinesis_autoscaler::output::error::Report| {
        let mut text = Vec::new();
        report.write(&mut text, false).expect("into memory");
        String::from_utf8(text).expect("text")
    };
    let json = serde_json::from_str(&answer.text).expect("JSON");
    (json, answer.failures.iter().map(text).collect())
}

/// Alarm and result of each.
fn results(made: &Value) -> Vec<(&str, &str)> {
    let alarms = made["alarms"].as_array().expect("a list").iter();
    alarms
        .map(|it| {
            (
                it["alarm"].as_str().expect("text"),
                it["result"].as_str().expect("text"),
            )
        })
        .collect()
}

fn orders(shards: u32) -> pair::Stream<'static> {
    pair::Stream {
        name: "orders",
        shards,
        policy: Policy::Original,
        reads: false,
    }
}

#[test]
fn the_pair_is_the_originals() {
    let names =
        autoscaler_core::alarm::AlarmNames::from_either("orders-scale-up-alarm").expect("a pair");
    let up = json!(pair::settings(&DESIGN, &names, Direction::Up, &orders(4)));
    let stat = |metric: &str| json!({"Metric": {"Namespace": "AWS/Kinesis", "MetricName": metric, "Dimensions": [{"Name": "StreamName", "Value": "orders"}]}, "Period": 300, "Stat": "Sum"});
    let usage = "MAX([FILL(incomingBytes,0)/(1024*1024*60*5*shardCount), FILL(incomingRecords,0)/(1000*60*5*shardCount)])";
    let expected = json!({
        "AlarmName": "orders-scale-up-alarm",
        "AlarmDescription": "Scales the stream orders up. kinesis-autoscaler keeps shardCount as the stream has it.",
        "ActionsEnabled": true, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "Threshold": 0.75,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "ignore",
        "Metrics": [
            {"Id": "usage", "Label": "Usage", "Expression": usage, "ReturnData": true},
            {"Id": "shardCount", "Label": "Shards", "Expression": "4", "ReturnData": false},
            {"Id": "incomingBytes", "Label": "IncomingBytes", "MetricStat": stat("IncomingBytes"), "ReturnData": false},
            {"Id": "incomingRecords", "Label": "IncomingRecords", "MetricStat": stat("IncomingRecords"), "ReturnData": false},
        ],
    });
    assert_eq!(up, expected);
    let down = json!(pair::settings(&DESIGN, &names, Direction::Down, &orders(4)));
    let told = |key: &str| down[key].clone();
    assert_eq!(
        [
            told("AlarmName"),
            told("Threshold"),
            told("EvaluationPeriods"),
            told("ComparisonOperator"),
            told("ActionsEnabled")
        ],
        [
            json!("orders-scale-down-alarm"),
            json!(0.25),
            json!(288),
            json!("LessThanOrEqualToThreshold"),
            json!(true)
        ],
    );
    for (direction, enabled) in [(Direction::Up, true), (Direction::Down, false)] {
        let alone = pair::settings(&DESIGN, &names, direction, &orders(1));
        assert_eq!(alone.actions_enabled, enabled, "{direction:?} at 1 shard");
    }
    let minute = PairDesign {
        period_seconds: 60,
        ..DESIGN
    };
    let minute = pair::settings(&minute, &names, Direction::Up, &orders(1));
    assert!(
        minute.metrics[0]
            .expression
            .as_deref()
            .expect("usage")
            .contains("1000*60*1*shardCount")
    );
}

#[tokio::test(start_paused = true)]
async fn printing_asks_for_the_shard_count_unless_it_is_given() {
    let world = World::new();
    world.place.create_stream("orders", 4);
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let text = printed(&context, None, Format::Json, Output::Text).await;
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "one alarm a line, for the AWS CLI");
    assert_eq!(lines[1]["Metrics"][1]["Expression"], "4");
    assert_eq!(
        world.sandbox.calls().keys().collect::<Vec<_>>(),
        ["DescribeStreamSummary"]
    );
    world.sandbox.reset_calls();
    world.sandbox.deny("kinesis:DescribeStreamSummary");
    let text = printed(&context, Some(7), Format::Json, Output::Json).await;
    let both: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(both[0]["Metrics"][1]["Expression"], "7");
    assert!(world.sandbox.calls().is_empty(), "AWS is not asked");
}

#[tokio::test(start_paused = true)]
async fn what_is_printed_is_what_is_created() {
    let world = World::new();
    world.place.create_stream("orders", 4);
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let text = printed(&context, None, Format::Json, Output::Json).await;
    created(&context, &[], false).await;
    for printed in serde_json::from_str::<Vec<Value>>(&text).expect("JSON") {
        let alarm = world
            .place
            .alarm(printed["AlarmName"].as_str().expect("text"))
            .expect("created");
        for (key, value) in printed.as_object().expect("an object") {
            assert_eq!(&alarm[key], value, "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloudformation_template_has_both_alarms_of_every_stream() {
    let world = World::new();
    let context = world
        .context(world.config(&named(&["or.ders", "or-ders"])), false)
        .await;
    let text = printed(&context, Some(2), Format::Cloudformation, Output::Text).await;
    let template: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(template["AWSTemplateFormatVersion"], "2010-09-09");
    let resources = template["Resources"].as_object().expect("resources");
    assert_eq!(resources.len(), 4, "{text}");
    for (id, resource) in resources {
        assert!(
            id.bytes().all(|letter| letter.is_ascii_alphanumeric()) && id.len() < 255,
            "{id}"
        );
        assert_eq!(resource["Type"], "AWS::CloudWatch::Alarm");
        assert!(
            resource["Properties"]["AlarmName"]
                .as_str()
                .expect("a name")
                .contains("ders-scale-")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn alarms_are_created_once_and_replaced_only_when_asked() {
    let world = World::new();
    world.place.create_stream("orders", 4);
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let (made, failures) = created(&context, &[], false).await;
    assert_eq!(
        results(&made),
        [
            ("orders-scale-up-alarm", "created"),
            ("orders-scale-down-alarm", "created")
        ]
    );
    assert!(failures.is_empty());
    let found = check::examine(&context, check::Scope::Chosen).await;
    assert_eq!(found.all, [], "what is created is good");
    let edited = |alarm: &str| {
        world.place.edit_alarm(alarm, |it| {
            it.insert("Threshold".into(), json!(0.6));
            it.insert("ActionsEnabled".into(), json!(false));
        })
    };
    edited("orders-scale-up-alarm");
    world.place.delete_alarm("orders-scale-down-alarm");
    let (made, _) = created(&context, &[], false).await;
    assert_eq!(
        results(&made),
        [
            ("orders-scale-up-alarm", "exists"),
            ("orders-scale-down-alarm", "created")
        ]
    );
    let up = || world.place.alarm("orders-scale-up-alarm").expect("there");
    assert_eq!(
        up()["Threshold"],
        json!(0.6),
        "it is as the operator left it"
    );
    let (made, _) = created(&context, &["orders"], true).await;
    assert_eq!(
        results(&made),
        [
            ("orders-scale-up-alarm", "replaced"),
            ("orders-scale-down-alarm", "replaced")
        ]
    );
    assert_eq!(
        (&up()["Threshold"], &up()["ActionsEnabled"]),
        (&json!(0.6), &json!(false)),
        "an operator's threshold and off switch stay"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_creates_nothing() {
    let world = World::new();
    world.place.create_stream("orders", 4);
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    let context = world.context(config, true).await;
    let (made, _) = created(&context, &[], false).await;
    assert_eq!(results(&made)[0].1, "would_create");
    let text = table::create(&context, Output::Text)
        .await
        .expect("it runs");
    assert_eq!(text, "table new-table would be created, with its TTL\n");
    let calls = world.sandbox.calls();
    assert!(
        !calls.contains_key("PutMetricAlarm") && !calls.contains_key("CreateTable"),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn streams_that_can_have_no_pair_are_told_and_the_others_go_on() {
    let world = World::new();
    world.place.create_stream("orders", 4);
    world.place.create_on_demand_stream("audit");
    world.place.create_stream("busy", 2);
    world.place.reshard_externally("busy", 4).expect("it may");
    let streams =
        named(&["orders", "audit", "busy", "gone"]) + "[[streams]]\nalarm = \"who-scale-up\"\n";
    let context = world.context(world.config(&streams), false).await;
    let (made, failures) = created(&context, &[], false).await;
    assert_eq!(results(&made).len(), 2);
    let expected = [
        "nothing names the stream",
        "on-demand mode",
        "UPDATING",
        "gone does not exist",
    ];
    assert_eq!(failures.len(), expected.len(), "{failures:#?}");
    for words in expected {
        let told = failures.iter().find(|text| text.contains(words));
        assert!(
            told.is_some_and(|text| text.contains("hint: ")),
            "{words} in {failures:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_missing_are_named() {
    let cases = [
        "cloudwatch:DescribeAlarms",
        "kinesis:DescribeStreamSummary",
        "cloudwatch:PutMetricAlarm",
    ];
    for action in cases {
        let world = World::new();
        world.place.create_stream("orders", 4);
        world.sandbox.deny(action);
        let context = world
            .context(world.config(&named(&["orders"])), false)
            .await;
        let (_, failures) = created(&context, &[], false).await;
        assert!(
            !failures.is_empty()
                && failures
                    .iter()
                    .all(|text| text.contains(&format!("allow the action `{action}`"))),
            "{failures:#?}"
        );
    }
    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    for action in [
        "dynamodb:DescribeTable",
        "dynamodb:CreateTable",
        "dynamodb:UpdateTimeToLive",
    ] {
        world.sandbox.deny(action);
        let context = world.context(config.clone(), false).await;
        let failure = table::create(&context, Output::Text)
            .await
            .expect_err("it is denied")
            .to_string();
        assert!(
            failure.contains("table new-table")
                && failure.contains(&format!("allow the action `{action}`")),
            "{failure}"
        );
        world.sandbox.allow(action);
    }
}

#[tokio::test(start_paused = true)]
async fn one_cause_is_told_once_and_no_further_stream_is_asked_for() {
    let world = World::new();
    let names: Vec<String> = (0..60).map(|n| format!("s{n:02}")).collect();
    names.iter().for_each(|name| world.stream(name, 2));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let context = world.context(world.config(&named(&names)), false).await;
    let actions = ["cloudwatch:DescribeAlarms", "kinesis:DescribeStreamSummary"];
    for (action, most) in actions.into_iter().zip([1, 20]) {
        world.sandbox.deny(action);
        world.sandbox.reset_calls();
        let given = cli::Design::default();
        let answer = alarms::create(&context, &[], false, &given, Output::Json, None).await;
        let failure = Failure {
            exit: Exit::Failed,
            reports: answer.expect("it runs").failures,
        };
        // A refusal names its stream; those that were not asked for share the last one.
        assert!(failure.reports.len() <= most, "{failure}");
        let text = failure.to_string();
        assert!(text.contains(" more (eu-west-1)"), "{text}");
        let calls = world.sandbox.calls();
        let refused = calls[action.split(':').nth(1).expect("a name")];
        let refused = usize::try_from(refused).expect("few");
        assert!(refused <= most, "{action}: {refused} calls");
        world.sandbox.allow(action);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_is_answered_with_the_nearest() {
    let world = World::new();
    let context = world
        .context(world.config(&named(&["orders", "clicks"])), false)
        .await;
    for (name, words) in [
        ("ordres", "did you mean orders?"),
        ("zebra", "name = \"zebra\""),
    ] {
        let answer = alarms::print(
            &context,
            &[name.to_owned()],
            Some(1),
            Format::Json,
            &cli::Design::default(),
            Output::Text,
        )
        .await;
        let failure = answer.expect_err("it is not subscribed").to_string();
        assert!(failure.contains(words), "{failure}");
    }
}

#[test]
fn designs_from_the_command_line_are_checked() {
    let cases: &[(cli::Design, &str)] = &[
        (
            cli::Design {
                up_threshold: Some(75.0),
                ..Default::default()
            },
            "--up-threshold: must be above 0",
        ),
        (
            cli::Design {
                down_threshold: Some(0.75),
                ..Default::default()
            },
            "--down-threshold: down_threshold is 0.75, not below",
        ),
        (
            cli::Design {
                up_threshold: Some(f64::NAN),
                ..Default::default()
            },
            "--up-threshold",
        ),
        (
            cli::Design {
                period_seconds: Some(90),
                ..Default::default()
            },
            "--period-seconds: must be a multiple of 60",
        ),
        (
            cli::Design {
                period_seconds: Some(0),
                ..Default::default()
            },
            "--period-seconds",
        ),
        (
            cli::Design {
                up_periods: Some(0),
                ..Default::default()
            },
            "--up-periods: must be at least 1",
        ),
        (
            cli::Design {
                down_periods: Some(289),
                ..Default::default()
            },
            "--down-periods: 289 periods of 300 s are 86700 s",
        ),
        (
            cli::Design {
                down_periods: Some(u32::MAX),
                ..Default::default()
            },
            "--down-periods",
        ),
    ];
    for (given, words) in cases {
        let failure = alarms::design(&DESIGN, given).expect_err(words).to_string();
        assert!(failure.contains(words), "{words:?} in {failure}");
    }
    let given = cli::Design {
        down_periods: Some(24),
        ..Default::default()
    };
    assert_eq!(
        alarms::design(&DESIGN, &given).expect("good"),
        PairDesign {
            down_periods: 24,
            ..DESIGN
        }
    );
}

#[tokio::test(start_paused = true)]
async fn the_table_is_created_once_with_its_ttl() {
    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    let context = world.context(config, false).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(
            table::create(&context, Output::Text)
                .await
                .expect("it works"),
        );
    }
    assert_eq!(
        told,
        [
            "table new-table is created and ACTIVE, and its TTL is on\n",
            "table new-table exists, with its keys and its TTL\n",
        ]
    );
    let state = context.scaling_log.table().describe().await.expect("there");
    assert!(state.active && state.wrong_keys().is_none());
    assert_eq!(state.ttl_attribute.as_deref(), Some("expiration_datetime"));
    let json: Value = serde_json::from_str(
        &table::create(&context, Output::Json)
            .await
            .expect("it works"),
    )
    .expect("JSON");
    assert_eq!(
        json,
        json!({"table": "new-table", "result": "exists", "dry_run": false})
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_left_half_made_is_finished() {
    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    let context = world.context(config, false).await;
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "UpdateTimeToLive" => Fault::Refuse {
                status: 400,
                code: "ValidationException".into(),
                message: "no".into(),
            },
            _ => Fault::None,
        });
    table::create(&context, Output::Text)
        .await
        .expect_err("its TTL is refused");
    world.sandbox.clear_faults();
    let told = table::create(&context, Output::Text)
        .await
        .expect("the rest is done");
    assert_eq!(told, "table new-table exists; its TTL is turned on\n");
}

#[test]
fn the_tables_definition_is_printed_for_the_cli_and_for_cloudformation() {
    let text = table::print(TABLE, Format::Json, Output::Text);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[0]["TableName"], &lines[1]["TableName"]),
        (&json!(TABLE), &json!(TABLE))
    );
    assert_eq!(
        lines[0]["KeySchema"][1],
        json!({"AttributeName": "scaling_datetime", "KeyType": "RANGE"})
    );
    assert_eq!(
        lines[1]["TimeToLiveSpecification"],
        json!({"AttributeName": "expiration_datetime", "Enabled": true})
    );
    let both: Value =
        serde_json::from_str(&table::print(TABLE, Format::Json, Output::Json)).expect("JSON");
    assert_eq!(both, Value::from(lines));
    let template: Value =
        serde_json::from_str(&table::print(TABLE, Format::Cloudformation, Output::Text))
            .expect("JSON");
    let properties = &template["Resources"]["Log"]["Properties"];
    assert_eq!(
        properties["TimeToLiveSpecification"]["AttributeName"],
        "expiration_datetime"
    );
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
}

/// What a pair records of a stream with the given sums in its last period: the value that is
/// compared.
fn usage(design: &PairDesign, stream: &pair::Stream<'_>, sums: &[(&str, f64)]) -> f64 {
    let text = pair::usage(design.throttle_share, stream.reads, 300);
    let mut values = BTreeMap::from([(
        "shardCount".to_owned(),
        metric_math::Value::Scalar(f64::from(stream.shards)),
    )]);
    for id in ["incomingBytes", "incomingRecords", "outgoing", "throttled"] {
        let sum = sums
            .iter()
            .find(|(name, _)| *name == id)
            .map(|(_, sum)| *sum);
        values.insert(id.to_owned(), metric_math::Value::Series(vec![sum]));
    }
    let scope = metric_math::Scope {
        values: &values,
        len: 1,
        fill_empty: true,
    };
    let parsed = metric_math::parse(&text).expect("it parses");
    match scope.eval(&parsed).expect("it has a value") {
        metric_math::Value::Series(points) => points[0].expect("a point"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rejected_records_at_half_load_make_usage_one() {
    let design = PairDesign {
        throttle_share: 0.005,
        ..DESIGN
    };
    // Of 4 shards, in records: the load, the rejected share, and the usage that comes of it.
    let check = |load: f64, share: f64, expected: f64| {
        let accepted = load * 1_000.0 * 300.0 * 4.0;
        let rejected = accepted * share / (1.0 - share);
        let sums = [("incomingRecords", accepted), ("throttled", rejected)];
        let found = usage(&design, &orders(4), &sums);
        assert!((found - expected).abs() < 1e-9, "{load} {share}: {found}");
    };
    check(0.6, 0.0, 0.6);
    check(0.6, 0.004, 0.6);
    check(0.6, 0.006, 1.0);
    check(0.49, 0.3, 0.49);
    check(0.5, 0.3, 1.0);
    assert_eq!(usage(&design, &orders(4), &[]), 0.0, "an idle stream");
    let without = usage(
        &DESIGN,
        &orders(1),
        &[("incomingRecords", 150_000.0), ("throttled", 1e6)],
    );
    assert_eq!(without, 0.5, "a share of 0 leaves rejections out");
}

#[test]
fn reads_join_usage_where_they_are_asked_for() {
    let stream = pair::Stream {
        reads: true,
        ..orders(2)
    };
    let full = 2.0 * 1_048_576.0 * 300.0 * 2.0;
    assert_eq!(usage(&DESIGN, &stream, &[("outgoing", full)]), 1.0);
    let ids = |design: &PairDesign, stream: &pair::Stream<'_>| {
        let queries = pair::queries(design.throttle_share, stream, 300).into_iter();
        queries.map(|query| query.id).collect::<Vec<_>>()
    };
    let usual = ["usage", "shardCount", "incomingBytes", "incomingRecords"];
    assert_eq!(ids(&DESIGN, &orders(2)), usual);
    let design = PairDesign {
        throttle_share: 0.01,
        ..DESIGN
    };
    let all = [&usual[..], &["outgoing", "throttled"]].concat();
    assert_eq!(ids(&design, &stream), all);
}

#[test]
fn the_pair_of_an_adaptive_stream_has_the_numbers_of_its_policy() {
    let names = autoscaler_core::alarm::AlarmNames::from_either("orders-scale-up-alarm");
    let names = names.expect("a pair");
    let stream = pair::Stream {
        policy: Policy::Adaptive,
        ..orders(4)
    };
    for (direction, expected) in [
        (Direction::Up, (Some(0.75), 1, 1, Some(180))),
        (Direction::Down, (Some(0.40), 12, 12, Some(300))),
    ] {
        let it = pair::settings(&DESIGN, &names, direction, &stream);
        let found = (
            it.threshold,
            it.datapoints(),
            it.evaluation_periods,
            it.period_seconds(),
        );
        assert_eq!(found, expected, "{direction:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replacing_upgrades_a_pair_and_keeps_what_a_person_changed() {
    let world = World::new();
    world.stream("orders", 4);
    let down = "orders-scale-down-alarm";
    world.place.edit_alarm(down, |alarm| {
        let changes = [
            ("Threshold", json!(0.1)),
            ("EvaluationPeriods", json!(100)),
            ("DatapointsToAlarm", json!(90)),
            ("AlarmDescription", json!("ours")),
            (
                "OKActions",
                json!(["arn:aws:sns:eu-west-1:123456789012:ok"]),
            ),
            ("TreatMissingData", json!("notBreaching")),
        ];
        alarm.extend(changes.map(|(key, value)| (key.to_owned(), value)));
    });
    let before = world.place.alarm(down).expect("there");
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    created(&context, &["ord*"], true).await;
    let after = world.place.alarm(down).expect("there");
    for (key, value) in before.as_object().expect("an object") {
        let is_new = ["Metrics", "AlarmConfigurationUpdatedTimestamp"].contains(&key.as_str());
        assert!(
            is_new || after[key] == *value,
            "{key}: {} was {value}",
            after[key]
        );
    }
    let queries = after["Metrics"].as_array().expect("queries");
    let throttled = queries.iter().find(|it| it["Id"] == "throttled");
    let metric = &throttled.expect("the signal")["MetricStat"]["Metric"]["MetricName"];
    assert_eq!(metric, "WriteProvisionedThroughputExceeded");
    let findings = check::examine(&context, check::Scope::Chosen).await;
    assert!(!findings.failed(false), "{:#?}", findings.all);
}

#[tokio::test(start_paused = true)]
async fn terraform_resources_say_the_same_as_the_alarms() {
    let world = World::new();
    let context = world
        .context(world.config(&named(&["or.ders", "or-ders"])), false)
        .await;
    let json = printed(&context, Some(2), Format::Json, Output::Json).await;
    let alarms: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    let text = printed(&context, Some(2), Format::Terraform, Output::Text).await;
    let body: Value = hcl::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let resources = body["resource"]["aws_cloudwatch_metric_alarm"].as_object();
    let resources = resources.expect("resources");
    assert_eq!(resources.len(), 4, "{text}");
    for resource in resources.values() {
        let alarm = alarms
            .iter()
            .find(|it| it["AlarmName"] == resource["alarm_name"]);
        let alarm = alarm.expect("an alarm of that name");
        for (ours, theirs) in [
            ("alarm_description", "AlarmDescription"),
            ("actions_enabled", "ActionsEnabled"),
            ("comparison_operator", "ComparisonOperator"),
            ("evaluation_periods", "EvaluationPeriods"),
            ("datapoints_to_alarm", "DatapointsToAlarm"),
            ("threshold", "Threshold"),
            ("treat_missing_data", "TreatMissingData"),
        ] {
            assert_eq!(resource[ours], alarm[theirs], "{ours}");
        }
        let queries = resource["metric_query"].as_array().expect("queries");
        let theirs = alarm["Metrics"].as_array().expect("queries");
        assert_eq!(queries.len(), theirs.len());
        for (query, their) in queries.iter().zip(theirs) {
            assert_eq!(
                (&query["id"], query.get("expression"), &query["return_data"]),
                (&their["Id"], their.get("Expression"), &their["ReturnData"]),
            );
            let Some(stat) = their.get("MetricStat") else {
                continue;
            };
            let metric = &query["metric"];
            assert_eq!(
                metric["dimensions"]["StreamName"],
                stat["Metric"]["Dimensions"][0]["Value"]
            );
            assert_eq!(
                (&metric["period"], &metric["stat"]),
                (&stat["Period"], &stat["Stat"])
            );
        }
        assert_eq!(
            resource["lifecycle"]["ignore_changes"],
            json!(["${metric_query}", "${actions_enabled}"])
        );
    }
}

#[test]
fn the_log_table_is_printed_for_terraform_and_for_a_shell() {
    let text = table::print(TABLE, Format::Terraform, Output::Text);
    let body: Value = hcl::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let table = &body["resource"]["aws_dynamodb_table"]["kinesis_autoscaler_log"];
    assert_eq!(
        (
            &table["name"],
            &table["hash_key"],
            &table["range_key"],
            &table["ttl"]["attribute_name"]
        ),
        (
            &json!(TABLE),
            &json!("stream_name"),
            &json!("scaling_datetime"),
            &json!("expiration_datetime")
        )
    );
    let shell = table::print(TABLE, Format::Cli, Output::Text);
    let lines: Vec<&str> = shell.lines().collect();
    assert!(
        lines[0].starts_with("aws dynamodb create-table --cli-input-json '{"),
        "{shell}"
    );
    assert!(lines[1].contains("wait table-exists"), "{shell}");
    assert!(
        lines[2].starts_with("aws dynamodb update-time-to-live"),
        "{shell}"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_survives_its_way_through_hcl(text in "[ -~\\n\\t\\x01\\x7f\u{e4}]{0,12}|[$%{}\"\\\\]{0,8}") {
        let written = format!("value = {}\n", provision::hcl::text(&text));
        let read: Value = hcl::from_str(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        proptest::prop_assert_eq!(&read["value"], &json!(text), "{}", written);
    }
}
