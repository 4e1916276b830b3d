//! A stream's pair of alarms, made from its design: the original's example with other numbers.

use crate::config::PairDesign;
use autoscaler_core::alarm::{
    AlarmNames, Dimension, Direction, Metric, MetricStat, Query, Settings,
};

/// The alarm of one direction for a stream with `shards` open shards.
///
/// At 1 shard there is nothing to scale down to, and the contract turns the scale-down alarm's actions off.
pub fn settings(
    design: &PairDesign,
    names: &AlarmNames,
    direction: Direction,
    stream: &str,
    shards: u32,
) -> Settings {
    let (threshold, periods, comparison, word) = match direction {
        Direction::Up => (
            design.up_threshold,
            design.up_periods,
            "GreaterThanOrEqualToThreshold",
            "up",
        ),
        Direction::Down => (
            design.down_threshold,
            design.down_periods,
            "LessThanOrEqualToThreshold",
            "down",
        ),
    };
    Settings {
        alarm_name: names.of(direction).to_owned(),
        alarm_description: Some(format!(
            "Scales the stream {stream} {word}. kinesis-autoscaler keeps shardCount as the stream has it."
        )),
        actions_enabled: direction == Direction::Up || shards > 1,
        alarm_actions: Vec::new(),
        evaluation_periods: periods,
        datapoints_to_alarm: Some(periods),
        threshold: Some(threshold),
        comparison_operator: comparison.to_owned(),
        treat_missing_data: "ignore".to_owned(),
        metrics: queries(design.period_seconds, stream, shards),
        warms_up: false,
    }
}

fn queries(period_seconds: u32, stream: &str, shards: u32) -> Vec<Query> {
    let seconds = match period_seconds % 60 {
        0 => format!("60*{}", period_seconds / 60),
        _ => period_seconds.to_string(),
    };
    let usage = format!(
        "MAX([FILL(incomingBytes,0)/(1024*1024*{seconds}*shardCount), FILL(incomingRecords,0)/(1000*{seconds}*shardCount)])"
    );
    vec![
        expression("usage", "Usage", usage, true),
        expression("shardCount", "Shards", shards.to_string(), false),
        incoming("incomingBytes", "IncomingBytes", stream, period_seconds),
        incoming("incomingRecords", "IncomingRecords", stream, period_seconds),
    ]
}

fn expression(id: &str, label: &str, expression: String, return_data: bool) -> Query {
    Query {
        id: id.to_owned(),
        label: Some(label.to_owned()),
        expression: Some(expression),
        metric_stat: None,
        return_data,
    }
}

fn incoming(id: &str, metric_name: &str, stream: &str, period_seconds: u32) -> Query {
    let metric = Metric {
        namespace: "AWS/Kinesis".to_owned(),
        metric_name: metric_name.to_owned(),
        dimensions: vec![Dimension {
            name: "StreamName".to_owned(),
            value: stream.to_owned(),
        }],
    };
    Query {
        id: id.to_owned(),
        label: Some(metric_name.to_owned()),
        expression: None,
        metric_stat: Some(MetricStat {
            metric,
            period_seconds,
            stat: "Sum".to_owned(),
        }),
        return_data: false,
    }
}
