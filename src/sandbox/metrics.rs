//! Metric queries (MetricStat and Expression) and their evaluation over the streams of a Region.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use super::{producers::Part, shards::shard_number, stream::Stream, traffic::minute_of};
use autoscaler_core::metric_math::{self, Expr, Scope, Value};

/// The metrics that the sandbox measures; all others have no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    IncomingBytes,
    IncomingRecords,
    WriteThrottled,
    IteratorAge,
    BytesRead,
    Unknown,
}

/// The metrics of the namespace AWS/Kinesis by name.
const NAMES: [(&str, Measure); 5] = [
    ("IncomingBytes", Measure::IncomingBytes),
    ("IncomingRecords", Measure::IncomingRecords),
    (
        "WriteProvisionedThroughputExceeded",
        Measure::WriteThrottled,
    ),
    ("GetRecords.IteratorAgeMilliseconds", Measure::IteratorAge),
    ("GetRecords.Bytes", Measure::BytesRead),
];

/// The shard-level metrics of enhanced monitoring.
pub(crate) const SHARD_LEVEL: [&str; 3] = [
    "IncomingBytes",
    "IncomingRecords",
    "WriteProvisionedThroughputExceeded",
];

impl Measure {
    fn named(namespace: Option<&str>, name: Option<&str>) -> Self {
        let known = NAMES.iter().find(|(known, _)| Some(*known) == name);
        match (namespace, known) {
            (Some("AWS/Kinesis"), Some((_, measure))) => *measure,
            _ => Self::Unknown,
        }
    }

    /// Returns the metric's name in AWS/Kinesis.
    pub(crate) fn name(self) -> &'static str {
        let known = NAMES.iter().find(|(_, measure)| *measure == self);
        known.map_or("", |(name, _)| name)
    }

    /// Returns the value of one minute.
    fn of(self, stream: &Stream, minute: i64) -> Option<f64> {
        let total = || Some(stream.intake(minute)?.total());
        match self {
            Self::IteratorAge => stream.iterator_age(minute),
            Self::BytesRead if stream.consumers > 0.0 => {
                Some((total()?.accepted.bytes * stream.consumers).round())
            }
            _ => self.of_part(&total()?),
        }
    }

    /// Returns the value of one shard in one minute.
    fn of_shard(self, stream: &Stream, shard: u64, minute: i64) -> Option<f64> {
        if !stream.shard_metrics.contains(self.name()) {
            return None;
        }
        self.of_part(&stream.shard_intake(shard, minute)?)
    }

    fn of_part(self, part: &Part) -> Option<f64> {
        match self {
            Self::IncomingBytes => Some(part.accepted.bytes),
            Self::IncomingRecords => Some(part.accepted.records),
            Self::WriteThrottled => Some(part.rejected.records),
            Self::IteratorAge | Self::BytesRead | Self::Unknown => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    Sum,
    Average,
    Minimum,
    Maximum,
    SampleCount,
}

/// One statistic of a metric of a stream, or of one of its shards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricStat {
    pub stream: String,
    shard: Option<u64>,
    pub measure: Measure,
    pub statistic: Statistic,
    pub period_minutes: i64,
}

impl MetricStat {
    /// Parses namespace, name, dimensions, period and statistic of an alarm or a query.
    pub(crate) fn read(
        metric: &Map<String, Json>,
        period: Option<&Json>,
        stat: Option<&Json>,
    ) -> Result<Self, String> {
        let text = |member: &str| metric.get(member).and_then(Json::as_str);
        let period = period.and_then(Json::as_i64).unwrap_or(0);
        if period < 60 || period % 60 != 0 {
            return Err(format!("a period of {period} seconds is not supported"));
        }
        let statistic = match stat.and_then(Json::as_str) {
            Some("Sum") => Statistic::Sum,
            Some("Average") => Statistic::Average,
            Some("Minimum") => Statistic::Minimum,
            Some("Maximum") => Statistic::Maximum,
            Some("SampleCount") => Statistic::SampleCount,
            other => return Err(format!("the statistic {other:?} is not supported")),
        };
        let of_stream = dimensions(metric);
        let (stream, shard, measure) = match of_stream {
            Some((stream, shard)) => {
                let measure = Measure::named(text("Namespace"), text("MetricName"));
                (stream, shard, measure)
            }
            None => ("", None, Measure::Unknown),
        };
        Ok(Self {
            stream: stream.to_owned(),
            shard,
            measure,
            statistic,
            period_minutes: period / 60,
        })
    }

    /// Returns the statistic of the period that begins at `start`. Minutes from `end` on have not
    /// arrived yet.
    pub(crate) fn at(
        &self,
        streams: &BTreeMap<String, Stream>,
        start: i64,
        end: i64,
    ) -> Option<f64> {
        let stream = streams.get(&self.stream)?;
        let minutes = start..(start + self.period_minutes).min(end);
        let values = minutes.filter_map(|minute| match self.shard {
            Some(shard) => self.measure.of_shard(stream, shard, minute),
            None => self.measure.of(stream, minute),
        });
        match self.statistic {
            Statistic::Sum => values.reduce(|a, b| a + b),
            Statistic::Minimum => values.reduce(f64::min),
            Statistic::Maximum => values.reduce(f64::max),
            Statistic::SampleCount => match values.count() {
                0 => None,
                count => Some(count as f64),
            },
            Statistic::Average => {
                let all: Vec<f64> = values.collect();
                (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
            }
        }
    }
}

/// The stream and the shard that a metric's dimensions name. `None` for any other set of
/// dimensions: it selects another metric, which has no data here.
fn dimensions(metric: &Map<String, Json>) -> Option<(&str, Option<u64>)> {
    let dimensions = metric.get("Dimensions").and_then(Json::as_array)?;
    let value = |name: &str| {
        let found = dimensions.iter().find(|it| it["Name"] == name)?;
        found["Value"].as_str()
    };
    let stream = value("StreamName")?;
    match dimensions.len() {
        1 => Some((stream, None)),
        2 => Some((stream, Some(shard_number(value("ShardId")?)?))),
        _ => None,
    }
}

/// Returns the first minute whose metrics have not arrived: they arrive `delay` after its end.
pub(crate) fn arrived_until(now: Timestamp, delay: SignedDuration) -> i64 {
    minute_of(now.saturating_sub(delay).unwrap_or(Timestamp::MIN))
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Metric(MetricStat),
    Expression(Expr),
}

/// One MetricDataQuery.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub id: String,
    pub label: Option<String>,
    pub source: Source,
    pub return_data: bool,
}

impl Query {
    /// Parses a query of `account`. Metrics of other accounts have no data.
    fn read(query: &Json, account: &str) -> Result<Self, String> {
        let text = |member: &str| query.get(member).and_then(Json::as_str);
        let id = text("Id").ok_or("a query must have an Id")?;
        let mut letters = id.chars();
        if !letters.next().is_some_and(|c| c.is_ascii_lowercase())
            || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Err(format!(
                "the Id {id:?} must start with a lowercase letter and have only letters, digits and _"
            ));
        }
        let source = match (query.get("MetricStat"), text("Expression")) {
            (Some(stat), None) => {
                let metric = stat.get("Metric").and_then(Json::as_object);
                let metric = metric.ok_or_else(|| format!("the query {id} has no Metric"))?;
                let mut stat = MetricStat::read(metric, stat.get("Period"), stat.get("Stat"))?;
                if text("AccountId").is_some_and(|other| other != account) {
                    stat.measure = Measure::Unknown;
                }
                Source::Metric(stat)
            }
            (None, Some(expression)) => Source::Expression(metric_math::parse(expression)?),
            _ => {
                return Err(format!(
                    "the query {id} must have exactly one of MetricStat and Expression"
                ));
            }
        };
        Ok(Self {
            id: id.to_owned(),
            label: text("Label").map(str::to_owned),
            source,
            return_data: query
                .get("ReturnData")
                .and_then(Json::as_bool)
                .unwrap_or(true),
        })
    }

    /// Parses a list of queries. Ids must be unique and expressions must not be circular.
    pub(crate) fn read_all(queries: &[Json], account: &str) -> Result<Vec<Self>, String> {
        let queries = queries
            .iter()
            .map(|query| Self::read(query, account))
            .collect::<Result<Vec<_>, _>>()?;
        for (at, query) in queries.iter().enumerate() {
            if queries[..at].iter().any(|other| other.id == query.id) {
                return Err(format!("the Id {} is used twice", query.id));
            }
        }
        sorted(queries.clone())?;
        Ok(queries)
    }
}

/// Sorts queries so that each one follows those that it refers to.
pub(crate) fn sorted(queries: Vec<Query>) -> Result<Vec<Query>, String> {
    let (mut sorted, mut open): (Vec<Query>, Vec<Query>) = queries
        .into_iter()
        .partition(|query| matches!(query.source, Source::Metric(_)));
    while !open.is_empty() {
        let known: Vec<String> = sorted.iter().map(|query| query.id.clone()).collect();
        let (ready, rest): (Vec<Query>, Vec<Query>) = open.into_iter().partition(|query| {
            let mut ids = Vec::new();
            if let Source::Expression(expr) = &query.source {
                expr.ids(&mut ids);
            }
            ids.iter().all(|id| known.iter().any(|known| known == id))
        });
        if ready.is_empty() {
            return Err(format!(
                "the expression {} refers to an Id that does not exist, or to itself",
                rest.first().map_or("", |query| &query.id)
            ));
        }
        sorted.extend(ready);
        open = rest;
    }
    Ok(sorted)
}

/// Evaluates [`sorted`] queries for the periods that begin at `starts` (minutes since the epoch,
/// oldest first).
pub(crate) fn evaluate(
    queries: &[Query],
    streams: &BTreeMap<String, Stream>,
    starts: &[i64],
    end: i64,
    fill_empty: bool,
) -> Result<BTreeMap<String, Value>, String> {
    let mut values = BTreeMap::new();
    for query in queries {
        let value = match &query.source {
            Source::Metric(metric) => {
                let points = starts.iter().map(|start| metric.at(streams, *start, end));
                Value::Series(points.collect())
            }
            Source::Expression(expr) => {
                let scope = Scope {
                    values: &values,
                    len: starts.len(),
                    fill_empty,
                };
                scope.eval(expr)?
            }
        };
        values.insert(query.id.clone(), value);
    }
    Ok(values)
}
