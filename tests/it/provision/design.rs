//! The design of a pair: the original's, with rejections, with reads, adaptive, and by flags.

use std::collections::BTreeMap;

use autoscaler_core::{alarm::Direction, metric_math, subscription::Policy};
use kinesis_autoscaler::{
    cli,
    commands::provision::{alarms, pair},
    config::PairDesign,
};
use serde_json::json;

use super::{DESIGN, orders};

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
