//! `alarms create`: what it creates, what it keeps, and how it fails.

use kinesis_autoscaler::{
    cli::{self, Format, Output},
    commands::{
        check,
        provision::{alarms, table},
    },
    output::error::{Exit, Failure},
};
use serde_json::{Value, json};

use super::created;
use crate::world::{World, named};

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
