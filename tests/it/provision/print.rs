//! `alarms print`, in each of its formats.

use std::sync::Arc;

use kinesis_autoscaler::{
    cli::{self, Format, Output},
    commands::provision::{self, alarms},
    reconcile::context::Context,
};
use serde_json::{Value, json};

use super::created;
use crate::world::{World, named};

async fn printed(
    context: &Arc<Context>,
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

proptest::proptest! {
    #[test]
    fn any_text_survives_its_way_through_hcl(text in "[ -~\\n\\t\\x01\\x7f\u{e4}]{0,12}|[$%{}\"\\\\]{0,8}") {
        let written = format!("value = {}\n", provision::hcl::text(&text));
        let read: Value = hcl::from_str(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        proptest::prop_assert_eq!(&read["value"], &json!(text), "{}", written);
    }
}
