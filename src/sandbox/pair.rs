//! The two alarms of a stream, as people set them up.

use serde_json::{Value, json};

/// The alarms that a pair consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Usage of at least 0.75 for 5 minutes, or of at most 0.25 for a day.
    Usual,
    /// The same, and usage is at least 1 while records are rejected.
    ThrottleSignal,
    /// The numbers of the adaptive policy, with the throttle signal.
    Adaptive,
}

/// Whether an alarm asks for more shards or for fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What an alarm of a pair looks at.
struct Rule {
    period_minutes: i64,
    periods: i64,
    threshold: f64,
    comparison: &'static str,
}

impl Pair {
    fn rule(self, direction: Direction) -> Rule {
        let (period_minutes, periods, threshold) = match (self, direction) {
            (Self::Adaptive, Direction::Up) => (3, 1, 0.75),
            (Self::Adaptive, Direction::Down) => (5, 12, 0.4),
            (_, Direction::Up) => (5, 1, 0.75),
            (_, Direction::Down) => (5, 288, 0.25),
        };
        Rule {
            period_minutes,
            periods,
            threshold,
            comparison: match direction {
                Direction::Up => "GreaterThanOrEqualToThreshold",
                Direction::Down => "LessThanOrEqualToThreshold",
            },
        }
    }

    /// One alarm in the form of PutMetricAlarm's input, with every field that people set.
    pub(crate) fn alarm(
        self,
        (account, region): (&str, &str),
        name: &str,
        stream: &str,
        shards: u32,
        direction: Direction,
    ) -> Value {
        let rule = self.rule(direction);
        let word = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        let sns = |topic: &str| json!([format!("arn:aws:sns:{region}:{account}:{topic}")]);
        json!({
            "AlarmName": name,
            "AlarmDescription": format!("Stream {stream} usage calls for a scale-{word}"),
            "ActionsEnabled": true,
            "OKActions": sns("kinesis-ok"),
            "AlarmActions": sns(&format!("kinesis-scale-{word}")),
            "InsufficientDataActions": sns("kinesis-insufficient-data"),
            "EvaluationPeriods": rule.periods,
            "DatapointsToAlarm": rule.periods,
            "Threshold": rule.threshold,
            "ComparisonOperator": rule.comparison,
            "TreatMissingData": "ignore",
            "Metrics": self.queries(stream, shards, rule.period_minutes),
        })
    }

    fn queries(self, stream: &str, shards: u32, minutes: i64) -> Vec<Value> {
        let metric = |id: &str, name: &str| metric(stream, id, name, minutes * 60);
        let hidden = |id, label, text: &str| expression(id, label, text, false);
        let bytes = format!("incomingBytesFilled/(1024*1024*60*{minutes}*shardCount)");
        let records = format!("incomingRecordsFilled/(1000*60*{minutes}*shardCount)");
        let larger = "MAX([bytesUsage,recordsUsage])";
        let mut queries = vec![
            hidden("shardCount", "Shard count", &shards.to_string()),
            metric("incomingBytes", "IncomingBytes"),
            metric("incomingRecords", "IncomingRecords"),
            hidden("incomingBytesFilled", "Bytes", "FILL(incomingBytes,0)"),
            hidden(
                "incomingRecordsFilled",
                "Records",
                "FILL(incomingRecords,0)",
            ),
            hidden("bytesUsage", "Bytes usage", &bytes),
            hidden("recordsUsage", "Records usage", &records),
        ];
        if self == Self::Usual {
            queries.push(expression("usage", "Usage", larger, true));
            return queries;
        }
        let signal = "IF(throttled/(incomingRecords+throttled) > 0.005 AND usageBase >= 0.5, \
                      MAX([usageBase,1]), usageBase)";
        queries.extend([
            metric("throttled", "WriteProvisionedThroughputExceeded"),
            hidden("usageBase", "Usage of the accepted records", larger),
            expression("usage", "Usage", signal, true),
        ]);
        queries
    }
}

fn metric(stream: &str, id: &str, name: &str, period_seconds: i64) -> Value {
    json!({
        "Id": id, "Label": format!("{stream} {name}"), "ReturnData": false,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/Kinesis", "MetricName": name,
                "Dimensions": [{"Name": "StreamName", "Value": stream}],
            },
            "Period": period_seconds, "Stat": "Sum",
        },
    })
}

fn expression(id: &str, label: &str, text: &str, shown: bool) -> Value {
    json!({"Id": id, "Label": label, "Expression": text, "ReturnData": shown})
}
