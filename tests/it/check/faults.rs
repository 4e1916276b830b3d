//! One fault at a time.

use autoscaler_sandbox::Fault;
use kinesis_autoscaler::{cli::Output, commands::check::Severity};
use serde_json::json;

use super::{DOWN, STREAMS, UP, drop_query, examine, good, query, set};
use crate::world::World;

type Seed = fn(&World);

/// The fault, the rule that finds it, its severity, its subject, and words of the line that is
/// printed.
const FAULTS: &[(&str, Seed, &str, Severity, &str, &str)] = &[
    (
        "no scale-up alarm",
        |w| w.place.delete_alarm(UP),
        "alarm_missing",
        Severity::Error,
        UP,
        "alarms create",
    ),
    (
        "no scale-down alarm",
        |w| w.place.delete_alarm(DOWN),
        "alarm_missing",
        Severity::Error,
        DOWN,
        "does not exist",
    ),
    (
        "no shardCount",
        |w| {
            w.place.edit_alarm(UP, |a| {
                drop_query(a, "shardCount");
                for id in ["bytesUsage", "recordsUsage"] {
                    let text = query(a, id)["Expression"]
                        .as_str()
                        .expect("text")
                        .replace("shardCount", "4");
                    query(a, id)["Expression"] = json!(text);
                }
            })
        },
        "no_shard_count",
        Severity::Error,
        UP,
        "add a metric math query",
    ),
    (
        "a shardCount that is no count",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                query(a, "shardCount")["Expression"] = json!("2*2")
            })
        },
        "bad_shard_count",
        Severity::Error,
        DOWN,
        "`2*2`",
    ),
    (
        "no incoming metric",
        |w| {
            w.place.edit_alarm(UP, |a| {
                drop_query(a, "incomingRecords");
                drop_query(a, "recordsUsage");
                drop_query(a, "incomingRecordsFilled");
                query(a, "incomingBytes")["Id"] = json!("bytes");
                query(a, "incomingBytesFilled")["Expression"] = json!("FILL(bytes,0)");
                query(a, "usage")["Expression"] = json!("MAX([bytesUsage])");
            })
        },
        "no_incoming_metric",
        Severity::Error,
        UP,
        "StreamName",
    ),
    (
        "another stream's metric",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                query(a, "incomingRecords")["MetricStat"]["Metric"]["Dimensions"][0]["Value"] =
                    json!("clicks")
            })
        },
        "other_stream",
        Severity::Error,
        DOWN,
        "measures the stream clicks, not orders",
    ),
    (
        "a metric of another account",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                query(a, "incomingBytes")["AccountId"] = json!("999988887777")
            })
        },
        "other_account",
        Severity::Error,
        DOWN,
        "measures the stream of another account, 999988887777",
    ),
    (
        "a metric of the alarm's own account",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                let arn = a["AlarmArn"].as_str().expect("text").to_owned();
                let account = arn.split(':').nth(4).expect("an ARN");
                query(a, "incomingBytes")["AccountId"] = json!(account)
            })
        },
        "",
        Severity::Info,
        "",
        "",
    ),
    (
        "a metric of one shard",
        |w| {
            w.place.edit_alarm(UP, |a| {
                let metric = &mut query(a, "incomingBytes")["MetricStat"]["Metric"];
                let shard = json!({"Name": "ShardId", "Value": "shardId-000000000001"});
                metric["Dimensions"]
                    .as_array_mut()
                    .expect("a list")
                    .push(shard);
            })
        },
        "further_dimension",
        Severity::Error,
        UP,
        "narrowed down to ShardId = shardId-000000000001",
    ),
    (
        "an alarm that cannot be evaluated",
        |w| {
            w.place
                .edit_alarm(UP, |a| set(a, "EvaluationState", json!("EVALUATION_ERROR")))
        },
        "evaluation",
        Severity::Error,
        UP,
        "EVALUATION_ERROR",
    ),
    (
        "a field that this build would erase",
        |w| w.place.edit_alarm(UP, |a| set(a, "Newest", json!(1))),
        "unknown_field",
        Severity::Error,
        UP,
        "Newest",
    ),
    (
        "no stream",
        |w| {
            w.place.delete_stream("orders");
            w.place.create_stream("orderz", 1)
        },
        "stream_missing",
        Severity::Error,
        "orders",
        "did you mean orderz?",
    ),
    (
        "an on-demand stream",
        |w| w.place.create_on_demand_stream("orders"),
        "on_demand",
        Severity::Error,
        "orders",
        "provisioned",
    ),
    (
        "a stream in flux",
        |w| w.place.reshard_externally("orders", 8).expect("it may"),
        "updating",
        Severity::Info,
        "orders",
        "UPDATING",
    ),
    (
        "counts out of sync",
        |w| {
            for name in [UP, DOWN] {
                w.place
                    .edit_alarm(name, |a| query(a, "shardCount")["Expression"] = json!("3"))
            }
        },
        "out_of_sync",
        Severity::Warning,
        UP,
        "records 3 shards, and the stream has 4",
    ),
    (
        "a pair that disagrees",
        |w| {
            w.place
                .edit_alarm(DOWN, |a| query(a, "shardCount")["Expression"] = json!("6"))
        },
        "pair_disagrees",
        Severity::Warning,
        UP,
        "records 6",
    ),
    (
        "thresholds that flap",
        |w| {
            w.place
                .edit_alarm(DOWN, |a| set(a, "Threshold", json!(0.5)))
        },
        "flapping",
        Severity::Warning,
        DOWN,
        "with 4 shards a scale-up to 6 turns a usage of 0.75 into 0.5",
    ),
    (
        "thresholds that flap with fewer shards only",
        |w| {
            w.place
                .edit_alarm(DOWN, |a| set(a, "Threshold", json!(0.4)))
        },
        "flapping",
        Severity::Warning,
        DOWN,
        "with 1 shard a scale-up to 2 turns a usage of 0.75 into 0.375",
    ),
    (
        "a scale-up threshold below the aim",
        |w| w.place.edit_alarm(UP, |a| set(a, "Threshold", json!(0.45))),
        "flapping",
        Severity::Warning,
        UP,
        "not above 0.5",
    ),
    (
        "a threshold beyond the limit",
        |w| w.place.edit_alarm(UP, |a| set(a, "Threshold", json!(1.2))),
        "unreachable",
        Severity::Warning,
        UP,
        "at most 1",
    ),
    (
        "a threshold in percent",
        |w| w.place.edit_alarm(UP, |a| set(a, "Threshold", json!(75.0))),
        "unreachable",
        Severity::Warning,
        UP,
        "threshold of 75",
    ),
    (
        "a scale-up alarm that fires at low usage",
        |w| {
            w.place.edit_alarm(UP, |a| {
                set(a, "ComparisonOperator", json!("LessThanThreshold"))
            })
        },
        "wrong_comparison",
        Severity::Error,
        UP,
        "GreaterThanOrEqualToThreshold",
    ),
    (
        "a scale-down window shorter than the scale-up window",
        |w| {
            w.place.edit_alarm(UP, |a| {
                set(a, "EvaluationPeriods", json!(3));
                set(a, "DatapointsToAlarm", json!(3));
            })
        },
        "",
        Severity::Info,
        "",
        "",
    ),
    (
        "a scale-down window that is shorter",
        |w| {
            w.place.edit_alarm(UP, |a| {
                set(a, "EvaluationPeriods", json!(3));
                set(a, "DatapointsToAlarm", json!(3));
            });
            w.place.edit_alarm(DOWN, |a| {
                set(a, "EvaluationPeriods", json!(2));
                set(a, "DatapointsToAlarm", json!(2));
            })
        },
        "window_order",
        Severity::Warning,
        DOWN,
        "600 s",
    ),
    (
        "metrics with two periods",
        |w| {
            w.place.edit_alarm(UP, |a| {
                query(a, "incomingRecords")["MetricStat"]["Period"] = json!(60);
                let text = "incomingRecordsFilled/(1000*60*shardCount)";
                query(a, "recordsUsage")["Expression"] = json!(text);
            })
        },
        "period_mismatch",
        Severity::Warning,
        UP,
        "60 s and 300 s",
    ),
    (
        "a formula for another period",
        |w| {
            w.place.edit_alarm(UP, |a| {
                for id in ["incomingBytes", "incomingRecords"] {
                    query(a, id)["MetricStat"]["Period"] = json!(60)
                }
            })
        },
        "usage_formula",
        Severity::Warning,
        UP,
        "usage is 0.2 when IncomingBytes fills all 4 shards in a period of 60 s",
    ),
    (
        "a formula without the shard count",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                query(a, "bytesUsage")["Expression"] = json!("incomingBytesFilled/(1024*1024*300)")
            })
        },
        "usage_formula",
        Severity::Warning,
        DOWN,
        "usage is 4 ",
    ),
    (
        "a formula that cannot be read",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                query(a, "usage")["Expression"] = json!("ANOMALY_DETECTION_BAND(bytesUsage)")
            })
        },
        "usage_unknown",
        Severity::Info,
        DOWN,
        "cannot be foreseen",
    ),
    (
        "averages",
        |w| {
            w.place.edit_alarm(UP, |a| {
                query(a, "incomingBytes")["MetricStat"]["Stat"] = json!("Average")
            })
        },
        "not_sum",
        Severity::Warning,
        UP,
        "the Average",
    ),
    (
        "another metric",
        |w| {
            w.place.edit_alarm(UP, |a| {
                query(a, "incomingBytes")["MetricStat"]["Metric"]["MetricName"] =
                    json!("GetRecords.Bytes")
            })
        },
        "wrong_metric",
        Severity::Warning,
        UP,
        "GetRecords.Bytes",
    ),
    (
        "a window of more than a day",
        |w| {
            w.place.edit_alarm(DOWN, |a| {
                set(a, "EvaluationPeriods", json!(300));
                set(a, "DatapointsToAlarm", json!(300));
            })
        },
        "long_window",
        Severity::Warning,
        DOWN,
        "once an hour",
    ),
    (
        "one low data point of many",
        |w| {
            w.place
                .edit_alarm(DOWN, |a| set(a, "DatapointsToAlarm", json!(1)))
        },
        "datapoints",
        Severity::Warning,
        DOWN,
        "1 low data points of 288",
    ),
    (
        "more data points than periods",
        |w| {
            w.place
                .edit_alarm(UP, |a| set(a, "DatapointsToAlarm", json!(2)))
        },
        "datapoints",
        Severity::Error,
        UP,
        "never fires",
    ),
    (
        "missing data that breaches",
        |w| {
            w.place
                .edit_alarm(DOWN, |a| set(a, "TreatMissingData", json!("breaching")))
        },
        "missing_data",
        Severity::Warning,
        DOWN,
        "TreatMissingData to ignore",
    ),
    (
        "the original's topic",
        |w| {
            w.place.edit_alarm(UP, |a| {
                set(
                    a,
                    "AlarmActions",
                    json!(["arn:aws:sns:eu-west-1:123456789012:kinesis-autoscaler-scale-up-prod"]),
                )
            })
        },
        "old_topic",
        Severity::Warning,
        UP,
        "kinesis-autoscaler-scale-up-prod",
    ),
    (
        "a paused direction",
        |w| {
            w.place
                .edit_alarm(UP, |a| set(a, "ActionsEnabled", json!(false)))
        },
        "paused",
        Severity::Info,
        UP,
        "pauses",
    ),
    (
        "a warm-up",
        |w| {
            w.place.edit_alarm(UP, |a| {
                set(
                    a,
                    "WarmUpConfiguration",
                    json!({"WarmUpPeriodDurationInMinutes": 5}),
                )
            })
        },
        "warm_up",
        Severity::Warning,
        UP,
        "warm-up",
    ),
    (
        "a shard limit below max_shards",
        |w| w.place.set_shard_limit(63),
        "shard_limit",
        Severity::Warning,
        "clicks",
        "max_shards = 64 is above the account's limit of 63",
    ),
    (
        "a shard limit below the sum",
        |w| w.place.set_shard_limit(64),
        "shard_limit",
        Severity::Warning,
        "max_shards",
        "68 shards",
    ),
    (
        "no right to read alarms",
        |w| w.sandbox.deny("cloudwatch:DescribeAlarms"),
        "right_missing",
        Severity::Error,
        "cloudwatch:DescribeAlarms",
        "check --policy",
    ),
    (
        "no right to read streams",
        |w| w.sandbox.deny("kinesis:DescribeStreamSummary"),
        "right_missing",
        Severity::Error,
        "kinesis:DescribeStreamSummary",
        "of clicks and 1 more",
    ),
    (
        "no right to read metrics",
        |w| w.sandbox.deny("cloudwatch:GetMetricData"),
        "right_missing",
        Severity::Error,
        "cloudwatch:GetMetricData",
        "allow the action",
    ),
    (
        "no right to read limits",
        |w| w.sandbox.deny("kinesis:DescribeLimits"),
        "right_missing",
        Severity::Error,
        "kinesis:DescribeLimits",
        "allow",
    ),
    (
        "no right to list streams",
        |w| w.sandbox.deny("kinesis:ListStreams"),
        "right_missing",
        Severity::Error,
        "kinesis:ListStreams",
        "allow",
    ),
    (
        "no right to describe the table",
        |w| w.sandbox.deny("dynamodb:DescribeTable"),
        "right_missing",
        Severity::Error,
        "dynamodb:DescribeTable",
        "allow",
    ),
    (
        "no right to describe its TTL",
        |w| w.sandbox.deny("dynamodb:DescribeTimeToLive"),
        "right_missing",
        Severity::Error,
        "dynamodb:DescribeTimeToLive",
        "allow",
    ),
    (
        "no right to query",
        |w| w.sandbox.deny("dynamodb:Query"),
        "right_missing",
        Severity::Error,
        "dynamodb:Query",
        "allow",
    ),
    (
        "no right to get",
        |w| w.sandbox.deny("dynamodb:GetItem"),
        "right_missing",
        Severity::Error,
        "dynamodb:GetItem",
        "allow",
    ),
    (
        "AWS out of order",
        |w| {
            w.sandbox.set_faults(|call| match call.operation.as_str() {
                "DescribeStreamSummary" => Fault::Refuse {
                    status: 500,
                    code: "InternalFailure".into(),
                    message: "sorry".into(),
                },
                _ => Fault::None,
            })
        },
        "aws_error",
        Severity::Error,
        "kinesis:DescribeStreamSummary",
        "sorry",
    ),
];

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_and_nothing_else() {
    assert!(FAULTS.len() > 20);
    let mut wrong = Vec::new();
    for (what, seed, rule, severity, subject, words) in FAULTS {
        let world = good();
        seed(&world);
        let found = examine(&world, STREAMS).await;
        let expected = (!rule.is_empty()).then_some((*rule, *severity, *subject));
        let told: Vec<_> = found
            .all
            .iter()
            .map(|it| (it.rule, it.severity, it.subject.as_str()))
            .collect();
        let text = found.render(Output::Text, None, false, None);
        let line = text.lines().next().unwrap_or_default();
        let fixed = found
            .all
            .iter()
            .all(|it| !it.fix.is_empty() && line.ends_with(&it.fix));
        let fails = found.failed(false) == (*severity == Severity::Error);
        if told != Vec::from_iter(expected) || !line.contains(words) || !fixed || !fails {
            wrong.push(format!("{what}: {words:?} by {expected:?} in\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
