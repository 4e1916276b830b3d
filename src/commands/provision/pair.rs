//! Makes a stream's pair of alarms from its design: the original's example with other numbers and
//! signals.
//! signals.

use crate::config::PairDesign;
use autoscaler_core::{
    alarm::{AlarmNames, Dimension, Direction, Metric, MetricStat, Query, Settings},
    subscription::{Policy, Subscription},
};

/// The usage above which rejected records call for more shards. At a lower usage a single shard is
/// hot, which more shards would not help.
const THROTTLED_FROM: f64 = 0.5;

/// What differs between the two alarms of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Numbers {
    threshold: f64,
    periods: u32,
    period_seconds: u32,
}

/// A stream for which a pair is made.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    pub name: &'a str,
    pub shards: u32,
    pub policy: Policy,
    /// Whether what consumers read is part of usage.
    pub reads: bool,
}

impl<'a> Stream<'a> {
    /// The stream `name` with the settings of its subscription.
    pub fn of(subscription: &Subscription, name: &'a str, shards: u32) -> Self {
        Self {
            name,
            shards,
            policy: subscription.policy,
            reads: subscription.reads,
        }
    }
}

fn numbers(design: &PairDesign, policy: Policy, direction: Direction) -> Numbers {
    let (threshold, periods, period_seconds) = match (policy, direction) {
        (Policy::Original, Direction::Up) => (
            design.up_threshold,
            design.up_periods,
            design.period_seconds,
        ),
        (Policy::Original, Direction::Down) => (
            design.down_threshold,
            design.down_periods,
            design.period_seconds,
        ),
        // One data point of three minutes slides by the minute, so that a rise is seen soon.
        (Policy::Adaptive, Direction::Up) => (0.75, 1, 180),
        // This alarm only triggers a decision; the policy itself looks further back.
        (Policy::Adaptive, Direction::Down) => (0.40, 12, 300),
    };
    Numbers {
        threshold,
        periods,
        period_seconds,
    }
}

/// The alarm of one direction.
///
/// A stream with 1 shard cannot be scaled down, so the contract disables the actions of its
/// scale-down alarm.
pub fn settings(
    design: &PairDesign,
    names: &AlarmNames,
    direction: Direction,
    stream: &Stream<'_>,
) -> Settings {
    let Numbers {
        threshold,
        periods,
        period_seconds,
    } = numbers(design, stream.policy, direction);
    let (word, comparison) = match direction {
        Direction::Up => ("up", "GreaterThanOrEqualToThreshold"),
        Direction::Down => ("down", "LessThanOrEqualToThreshold"),
    };
    let name = stream.name;
    Settings {
        alarm_name: names.of(direction).to_owned(),
        alarm_description: Some(format!(
            "Scales the stream {name} {word}. kinesis-autoscaler keeps shardCount as the stream has it."
        )),
        actions_enabled: direction == Direction::Up || stream.shards > 1,
        alarm_actions: Vec::new(),
        evaluation_periods: periods,
        datapoints_to_alarm: Some(periods),
        threshold: Some(threshold),
        comparison_operator: comparison.to_owned(),
        treat_missing_data: "ignore".to_owned(),
        metrics: queries(design.throttle_share, stream, period_seconds),
        warms_up: false,
    }
}

/// The queries of either alarm of a pair, for periods of one length.
pub fn queries(throttle_share: f64, stream: &Stream<'_>, period_seconds: u32) -> Vec<Query> {
    let sum = |id, metric| sum(id, metric, stream.name, period_seconds);
    let usage = usage(throttle_share, stream.reads, period_seconds);
    let mut queries = vec![
        expression("usage", "Usage", usage, true),
        expression("shardCount", "Shards", stream.shards.to_string(), false),
        sum("incomingBytes", "IncomingBytes"),
        sum("incomingRecords", "IncomingRecords"),
    ];
    if stream.reads {
        queries.push(sum("outgoing", "GetRecords.Bytes"));
    }
    if throttle_share > 0.0 {
        queries.push(sum("throttled", "WriteProvisionedThroughputExceeded"));
    }
    queries
}

/// The expression of usage: 1 if the shards are full, or if more than `throttle_share` of the
/// records were rejected while the shards were at least half full.
pub fn usage(throttle_share: f64, reads: bool, period_seconds: u32) -> String {
    let seconds = match period_seconds % 60 {
        0 => format!("60*{}", period_seconds / 60),
        _ => period_seconds.to_string(),
    };
    let mut parts = vec![
        format!("FILL(incomingBytes,0)/(1024*1024*{seconds}*shardCount)"),
        format!("FILL(incomingRecords,0)/(1000*{seconds}*shardCount)"),
    ];
    if reads {
        parts.push(format!(
            "FILL(outgoing,0)/(2*1024*1024*{seconds}*shardCount)"
        ));
    }
    if throttle_share > 0.0 {
        let load = format!("MAX([{}])", parts.join(", "));
        let sent = "(FILL(throttled,0)+FILL(incomingRecords,0))";
        parts.push(format!(
            "IF((FILL(throttled,0) > {throttle_share}*{sent}) AND ({load} >= {THROTTLED_FROM}), 1, 0)"
        ));
    }
    format!("MAX([{}])", parts.join(", "))
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

fn sum(id: &str, metric_name: &str, stream: &str, period_seconds: u32) -> Query {
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
