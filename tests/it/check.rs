//! `check`: silent on a good setup, and one finding for each fault that is seeded into it.

use kinesis_autoscaler::{
    check::{self, Findings, Severity},
    cli::Output,
    sandbox::{Fault, Load, Traffic},
};
use serde_json::{Map, Value, json};

use crate::world::{REGION, TABLE, World};

const UP: &str = "orders-scale-up-alarm";
const DOWN: &str = "orders-scale-down-alarm";

/// Streams and pairs as they should be, with traffic, and no one else's actions.
fn good() -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.stream("clicks", 1);
    world
        .place
        .set_traffic("orders", Traffic::constant(Load::of_shards(2.0)));
    for alarm in world.place.alarm_names() {
        world.place.edit_alarm(&alarm, |alarm| {
            alarm.insert(
                "AlarmActions".into(),
                json!(["arn:aws:sns:eu-west-1:123456789012:on-call"]),
            );
        });
    }
    world.place.edit_alarm("clicks-scale-down-alarm", |alarm| {
        set(alarm, "ActionsEnabled", json!(false))
    });
    world
}

const STREAMS: &str = "[[streams]]\nname = \"orders\"\n[[streams]]\nalarm = \"clicks-scale-up-alarm\"\nmax_shards = 64\n";

fn set(alarm: &mut Map<String, Value>, field: &str, value: Value) {
    alarm.insert(field.to_owned(), value);
}

/// The query with this id.
fn query<'a>(alarm: &'a mut Map<String, Value>, id: &str) -> &'a mut Value {
    let queries = alarm.get_mut("Metrics").and_then(Value::as_array_mut);
    let mut queries = queries.expect("a metric math alarm").iter_mut();
    queries
        .find(|query| query["Id"] == id)
        .expect("a query with this id")
}

fn drop_query(alarm: &mut Map<String, Value>, id: &str) {
    let queries = alarm.get_mut("Metrics").and_then(Value::as_array_mut);
    queries
        .expect("a metric math alarm")
        .retain(|query| query["Id"] != id);
}

async fn examine(world: &World, streams: &str) -> Findings {
    check::examine(&world.context(world.config(streams), false).await).await
}

#[tokio::test(start_paused = true)]
async fn a_good_setup_is_silent_but_for_the_summary() {
    let world = good();
    world.sandbox.enforce_quotas(true);
    let found = examine(&world, STREAMS).await;
    assert_eq!(found.all, []);
    let text = found.render(Output::Text, false, None);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "checked 2 streams, their alarms and the log table: all is well"
    );
    assert!(
        lines[1].starts_with("not tried, for that would change something: the right to "),
        "{text}"
    );
    for action in [
        "kinesis:UpdateShardCount",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:SetAlarmState",
        "dynamodb:PutItem",
    ] {
        assert!(lines[1].contains(action), "{action} in {text}");
    }
    assert!(!lines[1].contains("Describe"), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
    let json: Value = serde_json::from_str(&found.render(Output::Json, false, None)).expect("JSON");
    assert_eq!(
        (&json["streams"], &json["errors"], &json["findings"]),
        (&json!(2), &json!(0), &json!([]))
    );
    let journal = world.sandbox.journal();
    let wrote = |operation: &str| {
        !["Describe", "List", "Get", "Query"]
            .iter()
            .any(|read| operation.starts_with(read))
    };
    assert!(
        journal.iter().all(|call| !wrote(&call.operation)),
        "a check only reads: {journal:#?}"
    );
}

type Seed = fn(&World);

/// What is seeded, the rule that finds it, its severity, its subject, and words of the line that is printed.
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
        |w| w.place.reshard_by_hand("orders", 8).expect("it may"),
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
        "at 4 shards a scale-up to 6 turns a usage of 0.75 into 0.5",
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
        "iam-policy.json",
    ),
    (
        "no right to read streams",
        |w| w.sandbox.deny("kinesis:DescribeStreamSummary"),
        "right_missing",
        Severity::Error,
        "kinesis:DescribeStreamSummary",
        "of orders and 1 more",
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
        let text = found.render(Output::Text, false, None);
        let line = text.lines().next().unwrap_or_default();
        let mended = found
            .all
            .iter()
            .all(|it| !it.mend.is_empty() && line.ends_with(&it.mend));
        let fails = found.failed() == (*severity == Severity::Error);
        if told != Vec::from_iter(expected) || !line.contains(words) || !mended || !fails {
            wrong.push(format!("{what}: {words:?} by {expected:?} in\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn bounds_twice_named_streams_and_the_table_are_checked_by_the_configuration() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "[[streams]]\nname = \"orders\"\nmax_shards = 3\n",
            "out_of_bounds",
            "above max_shards = 3",
        ),
        (
            "[[streams]]\nname = \"orders\"\nmin_shards = 5\n",
            "out_of_bounds",
            "below min_shards = 5",
        ),
        (
            "[[streams]]\nname = \"orders\"\nalarm_name = \"x-{direction}\"\n[[streams]]\nalarm = \"orders-scale-up-alarm\"\n",
            "subscribed_twice",
            "streams[0]",
        ),
    ];
    for (streams, rule, words) in cases {
        let world = good();
        for (from, to) in [(UP, "x-scale-up"), (DOWN, "x-scale-down")] {
            let mut alarm = world.place.alarm(from).expect("there");
            alarm["AlarmName"] = json!(to);
            world.place.put_alarm(alarm);
        }
        let found = examine(&world, streams).await;
        let rules: Vec<&str> = found.all.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [*rule], "{:#?}", found.all);
        assert!(
            found.render(Output::Text, false, None).contains(words),
            "{:#?}",
            found.all
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_room_for_the_next_scale_up_is_checked_where_nothing_else_bounds_it() {
    let world = good();
    world.place.set_shard_limit(6);
    let found = examine(&world, "[[streams]]\nname = \"orders\"\n").await;
    let text = found.render(Output::Text, false, None);
    let line = "warning: orders: the next scale-up from 4 to 6 does not fit: 5 of the account's 6 shards are open";
    assert!(text.starts_with(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn where_only_the_log_is_only_the_log_is_checked() {
    let world = good();
    let streams = "[[streams]]\nname = \"orders\"\nregion = \"us-east-1\"\n";
    let far = world.sandbox.region("us-east-1");
    far.create_stream("orders", 2);
    far.pair("orders", 2);
    let found = examine(&world, streams).await;
    let rules: Vec<&str> = found.all.iter().map(|it| it.rule).collect();
    assert_eq!(rules, ["old_topic", "old_topic"], "{:#?}", found.all);
    let journal = world.sandbox.journal();
    let home: Vec<_> = journal
        .iter()
        .filter(|call| call.region == REGION)
        .map(|call| call.service)
        .collect();
    assert!(
        home.iter().all(|service| *service == "dynamodb"),
        "{home:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_log_table_is_held_against_what_the_log_needs() {
    let cases: &[(&str, &str, Option<&str>, &str, &str)] = &[
        (
            "stream_name",
            "scaling_datetime",
            None,
            "table_ttl",
            "table create",
        ),
        (
            "stream_name",
            "scaling_datetime",
            Some("expires"),
            "table_ttl",
            "goes by expires",
        ),
        (
            "stream_name",
            "when",
            Some("expiration_datetime"),
            "table_keys",
            "stream_name and when",
        ),
        ("", "", None, "table_missing", "table create"),
    ];
    for (hash, range, ttl, rule, words) in cases {
        let world = good();
        if !hash.is_empty() {
            world.place.create_table("other", hash, range, *ttl);
        }
        let mut config = world.config(STREAMS);
        config.log.table = "other".to_owned();
        let found = check::examine(&world.context(config, false).await).await;
        let told: Vec<_> = found
            .all
            .iter()
            .map(|it| (it.rule, it.subject.as_str()))
            .collect();
        assert_eq!(told, [(*rule, "other")], "{:#?}", found.all);
        assert!(
            found.render(Output::Text, false, None).contains(words),
            "{:#?}",
            found.all
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_are_checked_within_the_quotas() {
    let world = World::new();
    let mut streams = String::new();
    for number in 0..1_000 {
        let name = format!("s{number:04}");
        world.stream(&name, 2);
        streams += &format!("[[streams]]\nname = \"{name}\"\n");
    }
    for alarm in world.place.alarm_names() {
        world
            .place
            .edit_alarm(&alarm, |alarm| set(alarm, "AlarmActions", json!([])));
    }
    world.place.delete_alarm("s0500-scale-down-alarm");
    world.sandbox.enforce_quotas(true);
    let found = examine(&world, &streams).await;
    assert_eq!(found.all.len(), 1, "{:#?}", found.all);
    assert_eq!(found.all[0].stream.as_deref(), Some("s0500"));
    assert_eq!(world.sandbox.throttled(), Default::default());
    let calls = world.sandbox.calls();
    assert_eq!(
        (calls["DescribeAlarms"], calls["DescribeStreamSummary"]),
        (20, 1_000),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_told_once_whatever_the_number_of_streams() {
    let world = good();
    world.sandbox.deny("kinesis:DescribeStreamSummary");
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    let streams: String = (0..200)
        .map(|n| format!("[[streams]]\nname = \"s{n}\"\n"))
        .collect();
    let found = examine(&world, &streams).await;
    assert_eq!(found.all.len(), 2, "{:#?}", found.all);
    assert_eq!(
        world.sandbox.calls()["DescribeAlarms"],
        1,
        "it is not asked again for every 50 streams"
    );
}

#[tokio::test(start_paused = true)]
async fn findings_name_the_region_where_there_are_several() {
    let world = good();
    world.sandbox.region("us-east-1").create_stream("far", 1);
    let streams = format!("{STREAMS}[[streams]]\nname = \"far\"\nregion = \"us-east-1\"\n");
    let text = examine(&world, &streams)
        .await
        .render(Output::Text, false, None);
    let line = "error: far-scale-up-alarm (us-east-1): does not exist; create the pair with";
    assert!(text.starts_with(line), "{text}");
    assert!(!text.contains(REGION) && !text.contains(TABLE), "{text}");
}
