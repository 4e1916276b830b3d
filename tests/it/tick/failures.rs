//! Broken contracts, missing rights, and calls that hang.

use autoscaler_sandbox::Fault;
use serde_json::json;

use super::minutes;
use crate::world::{World, acted, failed, named, of, tick};

#[tokio::test(start_paused = true)]
async fn broken_contracts_and_missing_things_are_told_by_name_and_change_nothing() {
    type Break = fn(&World);
    let cases: &[(&str, Break, &str)] = &[
        (
            "contract",
            |w| w.place.delete_alarm("s-scale-down-alarm"),
            "alarm s-scale-down-alarm does not exist",
        ),
        (
            "contract",
            |w| shard_count(w, "abc"),
            "not a positive whole number",
        ),
        (
            "contract",
            |w| shard_count(w, "0"),
            "not a positive whole number",
        ),
        (
            "contract",
            |w| without_query(w, "shardCount"),
            "id `shardCount`",
        ),
        (
            "contract",
            |w| {
                without_query(w, "incomingBytes");
                without_query(w, "incomingRecords")
            },
            "no `incomingBytes` or `incomingRecords`",
        ),
        (
            "contract",
            |w| other_stream(w),
            "measures the stream other, not s",
        ),
        (
            "contract",
            |w| {
                w.place.edit_alarm("s-scale-down-alarm", |a| {
                    a.insert("Severity".into(), json!(1));
                })
            },
            "has the field Severity",
        ),
        (
            "stream_missing",
            |w| w.place.delete_stream("s"),
            "stream s does not exist",
        ),
        (
            "aws_error",
            |w| w.sandbox.deny("kinesis:DescribeStreamSummary"),
            "not authorized to perform: kinesis:DescribeStreamSummary",
        ),
        (
            "aws_error",
            |w| w.sandbox.deny("cloudwatch:DescribeAlarms"),
            "not authorized to perform: cloudwatch:DescribeAlarms",
        ),
    ];
    for (reason, break_it, error) in cases {
        let world = World::new();
        world.stream("s", 2);
        world.stream("other", 2);
        world.pass(minutes(10)).await;
        break_it(&world);
        world.fire("s", "scale-up");
        let alarm = world.place.alarm("s-scale-up-alarm");
        let report = tick(&mut world.start(&named(&["s"])).await).await;
        failed(&report, "s", reason, error);
        assert!(report.failed());
        assert_eq!(
            world.place.alarm("s-scale-up-alarm"),
            alarm,
            "{error}: the alarm is left alone"
        );
        assert_eq!(world.rows().len(), 0, "{error}: nothing is logged");
    }
}

fn shard_count(world: &World, expression: &str) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        for query in alarm["Metrics"].as_array_mut().expect("queries") {
            if query["Id"] == "shardCount" {
                query["Expression"] = json!(expression);
            }
        }
    });
}

fn without_query(world: &World, id: &str) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        alarm["Metrics"]
            .as_array_mut()
            .expect("queries")
            .retain(|query| query["Id"] != id);
    });
}

fn other_stream(world: &World) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        let text = serde_json::to_string(&alarm["Metrics"])
            .expect("JSON")
            .replace("\"Value\":\"s\"", "\"Value\":\"other\"");
        alarm["Metrics"] = serde_json::from_str(&text).expect("JSON");
    });
}

#[tokio::test(start_paused = true)]
async fn denied_rights_name_the_action_that_is_missing() {
    for (action, hint) in [
        ("kinesis:UpdateShardCount", "kinesis:UpdateShardCount"),
        ("cloudwatch:PutMetricAlarm", "cloudwatch:PutMetricAlarm"),
        ("cloudwatch:SetAlarmState", "cloudwatch:SetAlarmState"),
    ] {
        let world = World::new();
        world.stream("orders", 2);
        world.pass(minutes(10)).await;
        world.fire("orders", "scale-up");
        world.sandbox.deny(action);
        let report = tick(&mut world.start(&named(&["orders"])).await).await;
        let entry = of(&report, "orders");
        assert!(
            entry.error.as_deref().unwrap_or_default().contains(hint),
            "{action}: {entry:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_stream_that_hangs_or_fails_delays_no_other() {
    let world = World::new();
    for name in ["hangs", "fails", "fine"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    ["hangs", "fails", "fine"]
        .iter()
        .for_each(|name| world.fire(name, "scale-up"));
    world.sandbox.set_faults(
        |call| match (call.operation.as_str(), call.resource.as_deref()) {
            ("DescribeStreamSummary", Some(name)) if name.ends_with("hangs") => Fault::HangBefore,
            ("DescribeStreamSummary", Some(name)) if name.ends_with("fails") => Fault::Refuse {
                status: 500,
                code: "InternalFailure".to_owned(),
                message: "broken".to_owned(),
            },
            _ => Fault::None,
        },
    );
    let mut autoscaler = world.start(&named(&["hangs", "fails", "fine"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "fine", "scale_up", 2, 4);
    failed(
        &report,
        "hangs",
        "aws_error",
        "no answer within the deadline",
    );
    failed(&report, "fails", "aws_error", "InternalFailure");
    let fine_done = world
        .sandbox
        .request_log()
        .iter()
        .find(|call| call.operation == "UpdateShardCount")
        .map(|call| call.at);
    let started: jiff::Timestamp = "2026-11-22T12:10:00Z".parse().expect("a time");
    assert_eq!(fine_done, Some(started), "the healthy stream did not wait");
}
