use serde_json::json;

use super::*;
use crate::{load::Load, stream::Mode, traffic::Traffic};

const ALARM: Verdict = Verdict::Alarm;
const OK: Verdict = Verdict::Ok;
const INSUFFICIENT: Verdict = Verdict::InsufficientData;
const RETAIN: Verdict = Verdict::Retain;

fn points(text: &str) -> Vec<Option<bool>> {
    let point = |word| match word {
        "0" => Some(false),
        "X" => Some(true),
        _ => None,
    };
    text.split(' ').map(point).collect()
}

/// (points, M of 3, verdicts for missing, ignore, breaching, notBreaching).
type Example = (&'static str, usize, [Verdict; 4]);

fn check(examples: &[Example]) {
    use super::Treatment::{Breaching, Ignore, Missing, NotBreaching};
    for (text, m, expected) in examples {
        for (missing, expected) in [Missing, Ignore, Breaching, NotBreaching]
            .iter()
            .zip(expected)
        {
            let got = judge(points(text).into_iter(), 3, *m, *missing);
            assert_eq!(got, *expected, "{text}, {m} of 3, {missing:?}");
        }
    }
}

#[test]
fn the_user_guides_examples_of_three_out_of_three_hold() {
    check(&[
        ("0 - X - X", 3, [OK, OK, OK, OK]),
        ("0 - - - -", 3, [OK, OK, OK, OK]),
        ("- - - - -", 3, [INSUFFICIENT, RETAIN, ALARM, OK]),
        ("0 X X - X", 3, [ALARM, ALARM, ALARM, ALARM]),
        ("- - X - -", 3, [ALARM, RETAIN, ALARM, OK]),
    ]);
}

#[test]
fn the_user_guides_examples_of_two_out_of_three_hold() {
    check(&[
        ("0 - X - X", 2, [ALARM, ALARM, ALARM, ALARM]),
        ("0 0 X 0 X", 2, [ALARM, ALARM, ALARM, ALARM]),
        ("0 - X - -", 2, [OK, OK, ALARM, OK]),
        ("- - - - 0", 2, [OK, OK, ALARM, OK]),
        ("- - - X -", 2, [ALARM, RETAIN, ALARM, OK]),
    ]);
}

#[test]
fn a_premature_alarm_is_avoided() {
    check(&[
        ("- - - - X", 3, [RETAIN, RETAIN, ALARM, OK]),
        ("- - - X -", 3, [RETAIN, RETAIN, ALARM, OK]),
        ("- - - X 0", 3, [OK, OK, OK, OK]),
        ("- - X - 0", 3, [OK, OK, OK, OK]),
    ]);
}

#[test]
fn with_all_points_there_m_of_the_last_n_decide() {
    for bits in 0..32_u32 {
        let points: Vec<_> = (0..5).map(|at| Some(bits >> at & 1 == 1)).collect();
        let breaching = points[2..].iter().filter(|p| **p == Some(true)).count();
        for m in 1..=3 {
            let expected = if breaching >= m { ALARM } else { OK };
            assert_eq!(
                judge(points.iter().copied(), 3, m, Treatment::Ignore),
                expected
            );
        }
    }
}

fn usage_alarm(comparison: &str, threshold: f64, periods: u64) -> Json {
    let metric = |id: &str, name: &str| {
        json!({"Id": id, "ReturnData": false, "MetricStat": {"Period": 300, "Stat": "Sum", "Metric": {
            "Namespace": "AWS/Kinesis", "MetricName": name,
            "Dimensions": [{"Name": "StreamName", "Value": "s"}]}}})
    };
    json!({
    "EvaluationPeriods": periods, "DatapointsToAlarm": periods, "Threshold": threshold,
    "ComparisonOperator": comparison, "TreatMissingData": "ignore",
    "Metrics": [
        {"Id": "shardCount", "Expression": "2", "ReturnData": false},
        metric("incomingBytes", "IncomingBytes"),
        metric("incomingRecords", "IncomingRecords"),
        {"Id": "usage", "ReturnData": true, "Expression":
            "MAX([FILL(incomingBytes,0)/(1024*1024*60*5*shardCount), FILL(incomingRecords,0)/(1000*60*5*shardCount)])"},
    ]})
}

fn read(alarm: &Json) -> Result<Watch, String> {
    Watch::read(alarm.as_object().unwrap(), "123456789012")
}

fn world(traffic: Traffic) -> BTreeMap<String, Stream> {
    let mut stream = Stream::new(jiff::Timestamp::UNIX_EPOCH, Mode::Provisioned, 2);
    stream.set_traffic(Some(traffic));
    BTreeMap::from([("s".to_owned(), stream)])
}

fn at(minute: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(minute * 60).unwrap()
}

#[test]
fn usage_alarms_follow_the_traffic() {
    let up = ("GreaterThanOrEqualToThreshold", 0.75, 1);
    let down = ("LessThanOrEqualToThreshold", 0.25, 3);
    let steady = |used| Traffic::constant(Load::of_shards(used));
    let cases = [
        (up, steady(1.6), ALARM),
        (up, steady(1.4), OK),
        (up, steady(9.0), ALARM),
        (down, steady(0.4), ALARM),
        (down, steady(0.6), OK),
        (down, Traffic::points(), RETAIN),
        (up, Traffic::points(), RETAIN),
        // A single point; the rest is filled with 0.
        (
            down,
            Traffic::points().point(at(10_000), Load::of_shards(0.1)),
            ALARM,
        ),
        (
            down,
            Traffic::points()
                .point(at(10_000), Load::of_shards(5.0))
                .point(at(10_001), Load::of_shards(5.0)),
            OK,
        ),
        (
            up,
            Traffic::points().point(at(10_009), Load::new(1.0, 600_000.0)),
            OK,
        ),
        (
            up,
            Traffic::points().point(at(10_008), Load::new(1.0, 110_000.0)),
            OK,
        ),
        (down, steady(0.4).gap(at(10_000), at(10_005)), ALARM),
        (down, steady(0.4).point(at(9_997), Load::of_shards(9.0)), OK),
    ];
    for ((comparison, threshold, periods), traffic, expected) in cases {
        let alarm = usage_alarm(comparison, threshold, periods);
        let mut watch = read(&alarm).unwrap();
        let streams = world(traffic.clone());
        for _ in 0..2 {
            let got = watch.evaluate(&streams, 10_010).unwrap();
            assert_eq!(got, expected, "{comparison} {traffic:?}");
        }
    }
}

#[test]
fn the_cache_of_points_changes_nothing() {
    let alarm = usage_alarm("LessThanOrEqualToThreshold", 0.25, 12);
    let traffic = Traffic::daily(Load::of_shards(0.1), Load::of_shards(1.9), 12.0).noise(0.3, 7);
    let streams = world(traffic.gap(at(3_000), at(3_200)));
    let mut cached = read(&alarm).unwrap();
    for end in 2_880..4_320 {
        let mut fresh = read(&alarm).unwrap();
        fresh.pointwise = false;
        let verdicts = (
            cached.evaluate(&streams, end),
            fresh.evaluate(&streams, end),
        );
        assert_eq!(verdicts.0, verdicts.1, "minute {end}");
        let points = (cached.points(&streams, end), fresh.points(&streams, end));
        assert_eq!(points.0, points.1, "minute {end}");
    }
    assert_eq!(cached.windows.len(), 5);
    assert!(
        cached
            .windows
            .values()
            .all(|window| window.points.len() == 14)
    );
    // A clock that is set back or far ahead starts a new window.
    for end in [2_000, 9_000] {
        let got = cached.points(&streams, end).unwrap();
        assert_eq!(got, fresh_points(&alarm, &streams, end));
        cached.evaluate(&streams, end).unwrap();
        assert_eq!(
            cached.points(&streams, end).unwrap(),
            fresh_points(&alarm, &streams, end)
        );
    }
}

fn fresh_points(
    alarm: &Json,
    streams: &BTreeMap<String, Stream>,
    end: i64,
) -> Vec<(i64, Option<f64>)> {
    let mut watch = read(alarm).unwrap();
    watch.pointwise = false;
    watch.points(streams, end).unwrap()
}

#[test]
fn what_an_alarm_must_not_be_is_named() {
    let cases = [
        (json!({"EvaluationPeriods": 0}), "EvaluationPeriods"),
        (json!({"DatapointsToAlarm": 9}), "DatapointsToAlarm"),
        (json!({"Threshold": null}), "Threshold"),
        (json!({"ComparisonOperator": "Near"}), "Near"),
        (json!({"TreatMissingData": "guess"}), "guess"),
        (
            json!({"Metrics": [{"Id": "e", "Expression": "e + 1"}]}),
            "itself",
        ),
        (
            json!({"Metrics": [{"Id": "E", "Expression": "1"}]}),
            "lowercase",
        ),
        (
            json!({"Metrics": [{"Id": "e"}]}),
            "exactly one of MetricStat and Expression",
        ),
        (
            json!({"Metrics": [{"Id": "e", "Expression": "1"}, {"Id": "e", "Expression": "1"}]}),
            "twice",
        ),
        (
            json!({"Metrics": [{"Id": "e", "Expression": "1"}, {"Id": "f", "Expression": "1"}]}),
            "exactly one",
        ),
        (
            json!({"Metrics": [{"Id": "e", "Expression": "1"}]}),
            "periods",
        ),
        (json!({"Metrics": [], "Period": 90}), "90 seconds"),
        (
            json!({"Metrics": [], "Period": 60, "Statistic": "p99"}),
            "p99",
        ),
    ];
    for (change, expected) in cases {
        let mut alarm = usage_alarm("GreaterThanThreshold", 1.0, 3);
        for (member, value) in change.as_object().unwrap() {
            alarm[member] = value.clone();
        }
        let error = read(&alarm).unwrap_err();
        assert!(error.contains(expected), "{change}: {error}");
    }
}
