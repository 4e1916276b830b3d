//! Evaluates an alarm's expressions for a stream at its limits.

use std::collections::BTreeMap;

use autoscaler_core::{
    alarm::Settings,
    metric_math::{self, Scope, Value},
};

/// Why the expressions cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// A metric of a stream whose shards it fills, and the value that the alarm compares with its
/// threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct AtLimit {
    pub metric: String,
    pub usage: f64,
}

/// What one shard accepts or delivers in a second, by the query's id and its metric.
const SHARD_LIMITS: [(&str, &str, f64); 3] = [
    ("incomingBytes", "IncomingBytes", 1_048_576.0),
    ("incomingRecords", "IncomingRecords", 1_000.0),
    ("outgoing", "GetRecords.Bytes", 2.0 * 1_048_576.0),
];

/// Fills the stream's `shards` with each metric that the alarm reads while the others are 0. A
/// usage ratio is 1 each time.
pub fn at_limit(settings: &Settings, shards: u32) -> Result<Vec<AtLimit>, Unknown> {
    let mut results = Vec::new();
    for (id, metric, per_second) in SHARD_LIMITS {
        let mut stats = settings.stats();
        if !stats.any(|(read, stat)| read == id && stat.metric.metric_name == metric) {
            continue;
        }
        let sum = |name: &str, period_seconds: u32| match name == metric {
            true => per_second * f64::from(period_seconds) * f64::from(shards),
            false => 0.0,
        };
        let usage = value(settings, sum)?;
        results.push(AtLimit {
            metric: metric.to_owned(),
            usage,
        });
    }
    Ok(results)
}

/// The value of the query that returns data, where `sum` gives each metric's sum by its name and
/// period.
fn value(settings: &Settings, sum: impl Fn(&str, u32) -> f64) -> Result<f64, Unknown> {
    let mut values: BTreeMap<String, Value> = settings
        .stats()
        .map(|(id, stat)| {
            let sum = sum(&stat.metric.metric_name, stat.period_seconds);
            (id.to_owned(), Value::Series(vec![Some(sum)]))
        })
        .collect();
    let mut left: Vec<(&str, &str)> = settings
        .metrics
        .iter()
        .filter_map(|query| Some((query.id.as_str(), query.expression.as_deref()?)))
        .collect();
    // Each round evaluates the expressions whose ids have values; a round without progress has met
    // a cycle or an unknown id.
    while !left.is_empty() {
        let before = left.len();
        let mut trouble = String::new();
        let mut later = Vec::new();
        for (id, text) in left {
            let parsed =
                metric_math::parse(text).map_err(|why| Unknown(format!("`{id}`: {why}")))?;
            let scope = Scope {
                values: &values,
                len: 1,
                fill_empty: true,
            };
            match scope.eval(&parsed) {
                Ok(value) => {
                    values.insert(id.to_owned(), value);
                }
                Err(why) => {
                    trouble = format!("`{id}`: {why}");
                    later.push((id, text));
                }
            }
        }
        if later.len() == before {
            return Err(Unknown(trouble));
        }
        left = later;
    }
    let compared = settings.metrics.iter().find(|query| query.return_data);
    match compared.and_then(|query| values.get(&query.id)) {
        Some(Value::Scalar(value)) => Ok(*value),
        Some(Value::Series(points)) => match points.last().copied().flatten() {
            Some(value) => Ok(value),
            None => Err(Unknown("the expression gives no value".to_owned())),
        },
        Some(Value::Array(_)) => Err(Unknown("the expression gives several values".to_owned())),
        None => Err(Unknown("no query returns data".to_owned())),
    }
}
