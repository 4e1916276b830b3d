use aws_sdk_cloudwatch::{
    operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder,
    types::{Dimension, MetricAlarm, MetricDataQuery, StateValue},
};
use serde_json::{Value, json};

use super::*;

async fn describe(world: &World, name: &str) -> MetricAlarm {
    let page = world
        .cloudwatch()
        .describe_alarms()
        .alarm_names(name)
        .send()
        .await
        .unwrap();
    page.metric_alarms.unwrap().remove(0)
}

/// Returns a PutMetricAlarm request with all fields that DescribeAlarms returned.
fn rewrite(world: &World, alarm: &MetricAlarm) -> PutMetricAlarmFluentBuilder {
    let call = world.cloudwatch().put_metric_alarm();
    let call = call
        .set_alarm_name(alarm.alarm_name.clone())
        .set_alarm_description(alarm.alarm_description.clone());
    let call = call
        .set_actions_enabled(alarm.actions_enabled)
        .set_ok_actions(alarm.ok_actions.clone());
    let call = call.set_alarm_actions(alarm.alarm_actions.clone());
    let call = call.set_insufficient_data_actions(alarm.insufficient_data_actions.clone());
    let call = call
        .set_evaluation_periods(alarm.evaluation_periods)
        .set_datapoints_to_alarm(alarm.datapoints_to_alarm);
    let call = call
        .set_threshold(alarm.threshold)
        .set_comparison_operator(alarm.comparison_operator.clone());
    let call = call
        .set_treat_missing_data(alarm.treat_missing_data.clone())
        .set_metrics(alarm.metrics.clone());
    call.set_dimensions(alarm.dimensions.clone())
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_that_copies_all_fields_changes_only_the_timestamp() {
    let world = World::new();
    let names = world.region.pair("orders", 2);
    world.region.edit_alarm(&names.scale_up, |alarm| {
        alarm.insert("SomethingNew".into(), json!({"A": [1, 0.5, "x"]}));
        alarm.insert("Threshold".into(), json!(1));
    });
    world
        .region
        .set_alarm_state(&names.scale_up, "ALARM", "by hand");
    let before = world.region.alarm(&names.scale_up).unwrap();
    world.pass(1);
    let alarm = describe(&world, &names.scale_up).await;
    assert_eq!(alarm.threshold, Some(1.0));
    assert_eq!(alarm.metrics().len(), 8);
    assert_eq!(
        alarm.state_updated_timestamp.unwrap().secs(),
        world.now().as_second() - 60
    );
    rewrite(&world, &alarm).send().await.unwrap();
    let mut after = world.region.alarm(&names.scale_up).unwrap();
    assert_ne!(
        after["AlarmConfigurationUpdatedTimestamp"],
        before["AlarmConfigurationUpdatedTimestamp"]
    );
    after["AlarmConfigurationUpdatedTimestamp"] =
        before["AlarmConfigurationUpdatedTimestamp"].clone();
    // PutMetricAlarm replaces the whole alarm, so the field that the SDK does not know is lost.
    let mut expected = before;
    expected.as_object_mut().unwrap().remove("SomethingNew");
    expected["Threshold"] = json!(1.0);
    assert_eq!(after, expected);
}

#[tokio::test(start_paused = true)]
async fn put_metric_alarm_refuses_what_aws_refuses() {
    let world = World::new();
    let names = world.region.pair("orders", 2);
    let alarm = describe(&world, &names.scale_up).await;
    let put = |change: fn(PutMetricAlarmFluentBuilder) -> PutMetricAlarmFluentBuilder| {
        let call = change(rewrite(&world, &alarm));
        async { outcome(call.send().await) }
    };
    let dimension = || {
        Dimension::builder()
            .name("StreamName")
            .value("orders")
            .build()
    };
    let long = || "x".repeat(1_025);
    let cases = [
        (put(|call| call).await, "ok"),
        (
            put(|call| call.metric_name("IncomingBytes")).await,
            "ValidationError: Exactly one of",
        ),
        (
            put(|call| call.set_metrics(None)).await,
            "ValidationError: Exactly one of",
        ),
        (
            put(|call| call.namespace("AWS/Kinesis")).await,
            "ValidationError: Namespace cannot be",
        ),
        (
            put(|call| call.period(300)).await,
            "ValidationError: Period cannot be",
        ),
        (
            put(|call| call.evaluation_periods(289)).await,
            "ValidationError: Metrics cannot be checked across more",
        ),
        (
            put(|call| call.datapoints_to_alarm(2)).await,
            "ValidationError: DatapointsToAlarm",
        ),
        (
            put(|call| call.treat_missing_data("guess")).await,
            "ValidationError: TreatMissingData",
        ),
        (
            put(|call| {
                call.metrics(
                    MetricDataQuery::builder()
                        .id("usage")
                        .expression("1")
                        .build(),
                )
            })
            .await,
            "ValidationError: the Id usage is used twice",
        ),
        (
            put(|call| {
                call.metrics(
                    MetricDataQuery::builder()
                        .id("e")
                        .expression("NO(1)")
                        .build(),
                )
            })
            .await,
            "ValidationError: the function NO",
        ),
        (
            outcome(rewrite(&world, &alarm).dimensions(dimension()).send().await),
            "ValidationError: Dimensions cannot be",
        ),
        (
            outcome(
                rewrite(&world, &alarm)
                    .alarm_description(long())
                    .send()
                    .await,
            ),
            "ValidationError: AlarmDescription",
        ),
    ];
    for (got, expected) in cases {
        assert!(got.starts_with(expected), "{got}\nexpected {expected}");
    }
    world.sandbox.deny("cloudwatch:PutMetricAlarm");
    let denied = put(|call| call).await;
    assert!(
        denied.starts_with("AccessDenied: User: ")
            && denied.contains("alarm:orders-scale-up-alarm"),
        "{denied}"
    );
}

#[tokio::test(start_paused = true)]
async fn alarms_are_found_by_name_prefix_and_state_in_pages() {
    let world = World::new();
    for at in 0..150 {
        world.region.pair(&format!("s{at:03}"), 1);
        let state = if at % 3 == 0 { "ALARM" } else { "OK" };
        world
            .region
            .set_alarm_state(&format!("s{at:03}-scale-up-alarm"), state, "test");
    }
    let alarms = || world.cloudwatch().describe_alarms();
    let cases = [
        (alarms(), 300),
        (alarms().alarm_name_prefix("s00"), 20),
        (alarms().alarm_name_prefix("none"), 0),
        (alarms().state_value(StateValue::Alarm), 50),
        (alarms().state_value(StateValue::Ok).max_records(7), 100),
        (alarms().state_value(StateValue::InsufficientData), 150),
        (
            alarms()
                .state_value(StateValue::Alarm)
                .alarm_name_prefix("s00")
                .max_records(1),
            4,
        ),
        (
            alarms()
                .alarm_names("s003-scale-up-alarm")
                .alarm_names("s001-scale-up-alarm")
                .alarm_names("none"),
            2,
        ),
        (
            alarms()
                .alarm_names("s003-scale-up-alarm")
                .alarm_names("s001-scale-up-alarm")
                .state_value(StateValue::Alarm),
            1,
        ),
        (alarms().alarm_types("CompositeAlarm".into()), 0),
    ];
    for (call, expected) in cases {
        let text = format!("{:?}", call.as_input());
        let mut pages = call.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            assert!(page.metric_alarms().len() <= 100);
            names.extend(
                page.metric_alarms()
                    .iter()
                    .filter_map(|a| a.alarm_name.clone()),
            );
        }
        assert_eq!(names.len(), expected, "{text}");
        names.dedup();
        assert_eq!(names.len(), expected, "{text}");
    }
    let many: Vec<String> = (0..101).map(|at| format!("a{at}")).collect();
    assert!(
        outcome(alarms().set_alarm_names(Some(many)).send().await).starts_with("ValidationError")
    );
    assert!(
        outcome(
            alarms()
                .alarm_names("a")
                .alarm_name_prefix("a")
                .send()
                .await
        )
        .starts_with("ValidationError")
    );
}

async fn set_state(world: &World, name: &str, state: StateValue, reason: String) -> String {
    let call = world
        .cloudwatch()
        .set_alarm_state()
        .alarm_name(name)
        .state_value(state);
    outcome(call.state_reason(reason).send().await)
}

#[tokio::test(start_paused = true)]
async fn a_state_set_by_hand_lasts_until_the_next_evaluation() {
    let world = World::new();
    world.region.create_stream("orders", 2);
    let names = world.region.pair("orders", 2);
    let up = names.scale_up.as_str();
    let reset = StateValue::InsufficientData;
    assert_eq!(
        set_state(&world, up, reset.clone(), "x".repeat(1_023)).await,
        "ok"
    );
    assert!(
        set_state(&world, up, reset.clone(), "x".repeat(1_024))
            .await
            .starts_with("ValidationError")
    );
    assert_eq!(
        set_state(&world, "none", reset.clone(), "x".into()).await,
        "ResourceNotFound: Unknown alarm: none"
    );
    // Alarms of streams without traffic are not evaluated.
    assert_eq!(
        set_state(&world, up, StateValue::Alarm, "by hand".into()).await,
        "ok"
    );
    world.pass(600);
    assert_eq!(
        describe(&world, up).await.state_value,
        Some(StateValue::Alarm)
    );
    world
        .region
        .set_traffic("orders", Traffic::constant(Load::of_shards(1.8)));
    assert_eq!(
        set_state(&world, up, reset.clone(), "reset".into()).await,
        "ok"
    );
    world.clock.jump(SignedDuration::from_secs(59));
    assert_eq!(describe(&world, up).await.state_value, Some(reset));
    world.clock.jump(SignedDuration::from_secs(1));
    let alarm = describe(&world, up).await;
    assert_eq!(alarm.state_value, Some(StateValue::Alarm));
    assert_eq!(
        alarm.state_updated_timestamp.unwrap().secs(),
        world.now().as_second()
    );
    let reason = alarm.state_reason.unwrap();
    assert!(reason.starts_with("Threshold Crossed: 1 out of the last 1 datapoints [0.9 (22/11/26 21:55:00)] was greater than or equal to the threshold (0.75)"), "{reason}");
    let data: Value = serde_json::from_str(&alarm.state_reason_data.unwrap()).unwrap();
    assert_eq!(
        (&data["threshold"], &data["recentDatapoints"]),
        (&json!(0.75), &json!([0.9]))
    );
}

#[tokio::test(start_paused = true)]
async fn alarms_follow_traffic_and_shards() {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.region.set_update_window(Duration::ZERO);
    let names = world.region.pair("s", 2);
    let steps = [
        (world.now(), Load::of_shards(0.3)),
        (
            world.now() + SignedDuration::from_mins(60),
            Load::of_shards(1.9),
        ),
    ];
    world.region.set_traffic("s", Traffic::steps(steps));
    let states = || {
        let state = |name: &str| {
            world.region.alarm(name).unwrap()["StateValue"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        (state(&names.scale_up), state(&names.scale_down))
    };
    let are = |up: &str, down: &str| (up.to_owned(), down.to_owned());
    world.pass(1);
    assert_eq!(states(), are("OK", "ALARM"));
    world.pass(60);
    assert_eq!(states(), are("OK", "ALARM"));
    world.pass(5);
    assert_eq!(states(), are("ALARM", "OK"));
    // More shards, and their new count in the alarms.
    world.region.reshard_externally("s", 4).unwrap();
    for name in [&names.scale_up, &names.scale_down] {
        world
            .region
            .edit_alarm(name, |alarm| alarm["Metrics"][0]["Expression"] = json!("4"));
    }
    world.pass(1);
    assert_eq!(states(), are("OK", "OK"));
    // Much later the low usage is out of the window. Most minutes in between are skipped.
    world.pass(60 * 24 * 400);
    assert_eq!(states(), are("OK", "OK"));
    world.pass(-60);
    world
        .region
        .set_alarm_state(&names.scale_up, "ALARM", "clock set back");
    world.pass(1);
    assert_eq!(states(), are("OK", "OK"));
}

#[tokio::test(start_paused = true)]
async fn thousands_of_silent_alarms_are_asked_for_in_one_call() {
    let world = World::new();
    for at in 0..1_000 {
        world.region.pair(&format!("s{at}"), 1);
    }
    let in_alarm = || {
        world
            .cloudwatch()
            .describe_alarms()
            .state_value(StateValue::Alarm)
    };
    world.pass(10_000);
    let page = in_alarm().send().await.unwrap();
    assert_eq!((page.metric_alarms().len(), page.next_token), (0, None));
    world
        .region
        .set_alarm_state("s777-scale-down-alarm", "ALARM", "test");
    let page = in_alarm().send().await.unwrap();
    let names: Vec<_> = page
        .metric_alarms()
        .iter()
        .filter_map(|alarm| alarm.alarm_name())
        .collect();
    assert_eq!(
        (names, page.next_token.as_deref()),
        (vec!["s777-scale-down-alarm"], None)
    );
    assert_eq!(world.sandbox.calls()["DescribeAlarms"], 2);
}

#[tokio::test(start_paused = true)]
async fn alarms_with_the_throttle_signal_fire_where_plain_ones_do_not() {
    let world = World::new();
    let cases = [
        // demand in shards of 10, skew, hot share -> the plain and the signal's scale-up alarm
        (7.0, 1.0, 0.0, "OK", "OK"),
        (8.0, 1.0, 0.0, "ALARM", "ALARM"),
        (8.0, 1.4, 0.0, "OK", "ALARM"),
        (7.0, 1.8, 0.0, "OK", "ALARM"),
        // More shards would not help: the others are mostly idle.
        (6.0, 3.0, 0.0, "OK", "OK"),
        (3.0, 1.0, 0.5, "OK", "OK"),
        (0.0, 1.0, 0.0, "OK", "OK"),
    ];
    for (at, (used, skew, hot, plain, signal)) in cases.into_iter().enumerate() {
        let kinds = [
            (Pair::Usual, plain),
            (Pair::ThrottleSignal, signal),
            (Pair::Adaptive, signal),
        ];
        for (kind, expected) in kinds {
            let stream = format!("{kind:?}{at}");
            world.region.create_stream(&stream, 10);
            let names = world.region.put_pair(kind, &stream, 10);
            let traffic = Traffic::constant(Load::of_shards(used));
            let traffic = traffic.skew(skew).hot_key(hot);
            world.region.set_traffic(&stream, traffic);
            world.pass(1);
            let alarm = describe(&world, &names.scale_up).await;
            let state = alarm.state_value.unwrap();
            assert_eq!(state.as_str(), expected, "{kind:?}: {used}, {skew}, {hot}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_selects_a_metric_is_honoured() {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.region.account("210987654321").create_stream("s", 2);
    let traffic = Traffic::constant(Load::of_shards(2.0));
    world.region.set_traffic("s", traffic);
    let dimension = |name: &str, value: &str| json!({"Name": name, "Value": value});
    let shard = dimension("ShardId", "shardId-000000000001");
    let cases = [
        (None, None, "ALARM"),
        (Some("123456789012"), None, "ALARM"),
        (Some("210987654321"), None, "INSUFFICIENT_DATA"),
        (None, Some(dimension("Team", "a")), "INSUFFICIENT_DATA"),
        (None, Some(shard.clone()), "INSUFFICIENT_DATA"),
    ];
    let names = world.region.pair("s", 2);
    let original = world.region.alarm(&names.scale_up).unwrap();
    let state = async |account: Option<&str>, further: Option<Value>| {
        let mut alarm = original.clone();
        alarm["StateValue"] = json!("INSUFFICIENT_DATA");
        for query in alarm["Metrics"].as_array_mut().unwrap() {
            let Some(stat) = query.get_mut("MetricStat") else {
                continue;
            };
            let dimensions = stat["Metric"]["Dimensions"].as_array_mut().unwrap();
            dimensions.extend(further.clone());
            if let Some(account) = account {
                query["AccountId"] = json!(account);
            }
        }
        world.region.delete_alarm(&names.scale_up);
        world.region.put_alarm(alarm);
        world.pass(1);
        let alarm = describe(&world, &names.scale_up).await;
        alarm.state_value.unwrap().as_str().to_owned()
    };
    for (account, further, expected) in cases {
        let got = state(account, further.clone()).await;
        assert_eq!(got, expected, "account {account:?}, dimension {further:?}");
    }
    // A shard of its own has data once enhanced monitoring is on: half of the usage.
    world.region.enable_shard_metrics("s");
    assert_eq!(state(None, Some(shard)).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_state_is_reported_until_it_is_taken_back() {
    let world = World::new();
    let names = world.region.pair("s", 2);
    let state = async || {
        let alarm = describe(&world, &names.scale_up).await;
        alarm
            .evaluation_state
            .map(|state| state.as_str().to_owned())
    };
    assert_eq!(state().await, None);
    world
        .region
        .set_evaluation_state(&names.scale_up, Some("EVALUATION_ERROR"));
    assert_eq!(state().await.as_deref(), Some("EVALUATION_ERROR"));
    let alarm = describe(&world, &names.scale_up).await;
    rewrite(&world, &alarm).send().await.unwrap();
    assert_eq!(state().await.as_deref(), Some("EVALUATION_ERROR"));
    world.region.set_evaluation_state(&names.scale_up, None);
    assert_eq!(state().await, None);
}
