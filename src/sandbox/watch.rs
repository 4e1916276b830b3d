//! Alarm evaluation: the window of data points, missing data, and M out of N.
//!
//! Follows "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value as Json};

use super::{
    metrics::{self, MetricStat, Query, Source},
    stream::Stream,
};
use autoscaler_core::metric_math::Value;

/// How many points beyond EvaluationPeriods are retrieved in case some are missing. AWS does not
/// publish the number; its worked examples have 5 points for 3 periods.
const EXTRA_POINTS: usize = 2;

/// The result of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Alarm,
    InsufficientData,
    /// The state stays as it is.
    Retain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    Missing,
    Ignore,
    Breaching,
    NotBreaching,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    GreaterOrEqual,
    Greater,
    Less,
    LessOrEqual,
}

/// An alarm's rule, parsed from its wire form.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    queries: Vec<Query>,
    watched: String,
    period_minutes: i64,
    periods: usize,
    to_alarm: usize,
    pub threshold: f64,
    comparison: Comparison,
    missing: Treatment,
    pointwise: bool,
    /// Sliding windows, by the minute within a period at which they end.
    windows: BTreeMap<i64, Window>,
}

/// Computed points of consecutive periods.
#[derive(Clone, Debug, Default)]
struct Window {
    /// The minute at which the first period begins.
    first: i64,
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    value: Option<f64>,
    /// A bit for each query, set if it is a metric that had data.
    with_data: u64,
}

impl Watch {
    /// Parses an alarm of `account`. The error names what AWS or the sandbox does not accept.
    pub(crate) fn read(alarm: &Map<String, Json>, account: &str) -> Result<Self, String> {
        let text = |member: &str| alarm.get(member).and_then(Json::as_str);
        let count = |member: &str| alarm.get(member).and_then(Json::as_u64);
        let queries = match alarm.get("Metrics").and_then(Json::as_array) {
            Some(metrics) if !metrics.is_empty() => {
                metrics::sorted(Query::read_all(metrics, account)?)?
            }
            _ => {
                let stat = MetricStat::read(alarm, alarm.get("Period"), alarm.get("Statistic"))?;
                vec![Query {
                    id: "m".into(),
                    label: None,
                    source: Source::Metric(stat),
                    return_data: true,
                }]
            }
        };
        let mut returned = queries.iter().filter(|query| query.return_data);
        let (Some(watched), None) = (returned.next(), returned.next()) else {
            return Err("exactly one element of the metrics list must return data".into());
        };
        let watched = watched.id.clone();
        let periods = queries.iter().filter_map(|query| match &query.source {
            Source::Metric(metric) => Some(metric.period_minutes),
            Source::Expression(_) => None,
        });
        let periods: BTreeSet<i64> = periods.collect();
        let [period_minutes] = Vec::from_iter(periods)[..] else {
            return Err("metrics of several periods, or of none, are not supported".into());
        };
        let n = count("EvaluationPeriods").filter(|n| *n > 0);
        let n = n.ok_or("EvaluationPeriods is required")?;
        let m = count("DatapointsToAlarm").unwrap_or(n);
        if m == 0 || m > n {
            return Err("DatapointsToAlarm must be between 1 and EvaluationPeriods".into());
        }
        let pointwise = queries.len() <= 64
            && queries.iter().all(|query| match &query.source {
                Source::Metric(_) => true,
                Source::Expression(expr) => expr.is_pointwise(),
            });
        Ok(Self {
            watched,
            period_minutes,
            periods: usize::try_from(n).map_err(|e| e.to_string())?,
            to_alarm: usize::try_from(m).map_err(|e| e.to_string())?,
            threshold: alarm
                .get("Threshold")
                .and_then(Json::as_f64)
                .ok_or("Threshold is required")?,
            comparison: read_comparison(text("ComparisonOperator"))?,
            missing: read_missing(text("TreatMissingData"))?,
            pointwise,
            windows: BTreeMap::new(),
            queries,
        })
    }

    pub(crate) fn period_seconds(&self) -> i64 {
        self.period_minutes * 60
    }

    pub(crate) fn periods(&self) -> usize {
        self.periods
    }

    pub(crate) fn to_alarm(&self) -> usize {
        self.to_alarm
    }

    /// Returns whether the alarm is evaluated at `minute`: hourly if it looks back more than a day,
    /// otherwise every minute.
    pub(crate) fn is_due(&self, minute: i64) -> bool {
        self.period_minutes * self.periods as i64 <= 1_440 || minute % 60 == 0
    }

    /// Evaluates the window that ends before the minute `end`, the first whose metrics have not
    /// arrived.
    pub(crate) fn evaluate(
        &mut self,
        streams: &BTreeMap<String, Stream>,
        end: i64,
    ) -> Result<Verdict, String> {
        let (n, m) = (self.periods, self.to_alarm);
        self.slide(streams, end)?;
        if let Some(window) = self.window(end) {
            let points = window.points.iter();
            let breaching = points.map(|point| point.value.map(|value| self.breaches(value)));
            return Ok(judge(breaching, n, m, self.missing));
        }
        let points = self.all_points(streams, end)?.into_iter();
        let breaching = points.map(|point| point.map(|value| self.breaches(value)));
        Ok(judge(breaching, n, m, self.missing))
    }

    /// Returns the points of the window, each with the start of its period.
    pub(crate) fn points(
        &self,
        streams: &BTreeMap<String, Stream>,
        end: i64,
    ) -> Result<Vec<(i64, Option<f64>)>, String> {
        let points = match self.window(end) {
            Some(window) => window.points.iter().map(|point| point.value).collect(),
            None => self.all_points(streams, end)?,
        };
        Ok(self.starts(end).zip(points).collect())
    }

    fn starts(&self, end: i64) -> impl Iterator<Item = i64> + use<> {
        let (period, range) = (self.period_minutes, (self.periods + EXTRA_POINTS) as i64);
        (0..range).map(move |at| end - (range - at) * period)
    }

    pub(crate) fn breaches(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::GreaterOrEqual => value >= self.threshold,
            Comparison::Greater => value > self.threshold,
            Comparison::Less => value < self.threshold,
            Comparison::LessOrEqual => value <= self.threshold,
        }
    }

    /// Returns the comparison as a StateReason words it.
    pub(crate) fn comparison_words(&self) -> &'static str {
        match self.comparison {
            Comparison::GreaterOrEqual => "greater than or equal to",
            Comparison::Greater => "greater than",
            Comparison::Less => "less than",
            Comparison::LessOrEqual => "less than or equal to",
        }
    }

    /// Moves the window to `end` and computes the points that are new in it.
    fn slide(&mut self, streams: &BTreeMap<String, Stream>, end: i64) -> Result<(), String> {
        if !self.pointwise {
            return Ok(());
        }
        let phase = end.rem_euclid(self.period_minutes);
        let mut window = self.windows.remove(&phase).unwrap_or_default();
        let first = self.starts(end).next().unwrap_or(end);
        while window.first < first && window.points.pop_front().is_some() {
            window.first += self.period_minutes;
        }
        // This is the first evaluation, or the first after a long pause or a change of the clock.
        if window.points.is_empty() || window.first != first {
            window.points.clear();
            window.first = first;
        }
        let mut next = window.first + window.points.len() as i64 * self.period_minutes;
        while next < end {
            window.points.push_back(self.one_point(streams, next)?);
            next += self.period_minutes;
        }
        self.windows.insert(phase, window);
        Ok(())
    }

    /// Returns the window that ends at `end`; `None` if the expression uses more than one
    /// point at a time, or if a metric has no data in the whole window, because FILL leaves such a
    /// metric empty.
    fn window(&self, end: i64) -> Option<&Window> {
        let window = self.windows.get(&end.rem_euclid(self.period_minutes))?;
        if self.starts(end).next() != Some(window.first) {
            return None;
        }
        let metrics = self.queries.iter().enumerate();
        let metrics = metrics.filter(|(_, query)| matches!(query.source, Source::Metric(_)));
        let all = metrics.fold(0, |mask, (at, _)| mask | 1 << at);
        let mut seen = 0;
        let complete = window.points.iter().any(|point| {
            seen |= point.with_data;
            seen == all
        });
        complete.then_some(window)
    }

    fn one_point(&self, streams: &BTreeMap<String, Stream>, start: i64) -> Result<Point, String> {
        let end = start + self.period_minutes;
        let values = metrics::evaluate(&self.queries, streams, &[start], end, true)?;
        let mut with_data = 0;
        for (at, query) in self.queries.iter().enumerate() {
            let has_data =
                matches!(values.get(&query.id), Some(Value::Series(p)) if p[0].is_some());
            if has_data && matches!(query.source, Source::Metric(_)) {
                with_data |= 1 << at;
            }
        }
        let value = self.series(values)?.first().copied().flatten();
        Ok(Point { value, with_data })
    }

    fn all_points(
        &self,
        streams: &BTreeMap<String, Stream>,
        end: i64,
    ) -> Result<Vec<Option<f64>>, String> {
        let starts: Vec<i64> = self.starts(end).collect();
        let values = metrics::evaluate(&self.queries, streams, &starts, end, false)?;
        self.series(values)
    }

    fn series(&self, mut values: BTreeMap<String, Value>) -> Result<Vec<Option<f64>>, String> {
        match values.remove(&self.watched) {
            Some(Value::Series(points)) => Ok(points),
            _ => Err(format!("{} is not a single time series", self.watched)),
        }
    }
}

fn read_comparison(text: Option<&str>) -> Result<Comparison, String> {
    match text {
        Some("GreaterThanOrEqualToThreshold") => Ok(Comparison::GreaterOrEqual),
        Some("GreaterThanThreshold") => Ok(Comparison::Greater),
        Some("LessThanThreshold") => Ok(Comparison::Less),
        Some("LessThanOrEqualToThreshold") => Ok(Comparison::LessOrEqual),
        other => Err(format!("the ComparisonOperator {other:?} is not supported")),
    }
}

fn read_missing(text: Option<&str>) -> Result<Treatment, String> {
    match text {
        None | Some("missing") => Ok(Treatment::Missing),
        Some("ignore") => Ok(Treatment::Ignore),
        Some("breaching") => Ok(Treatment::Breaching),
        Some("notBreaching") => Ok(Treatment::NotBreaching),
        Some(other) => Err(format!("TreatMissingData cannot be {other}")),
    }
}

/// Evaluates the points of the evaluation range, oldest first: breaching, not breaching or missing.
pub(crate) fn judge(
    points: impl DoubleEndedIterator<Item = Option<bool>>,
    n: usize,
    m: usize,
    missing: Treatment,
) -> Verdict {
    let alarm_if = |alarm: bool| if alarm { Verdict::Alarm } else { Verdict::Ok };
    let (mut real, mut breaching, mut oldest_age) = (0, 0, 0);
    for (age, point) in (1..).zip(points.rev()) {
        if let Some(is_breaching) = point {
            real += 1;
            breaching += usize::from(is_breaching);
            if age <= n {
                oldest_age = age;
            }
        }
        if real == n {
            return alarm_if(breaching >= m);
        }
    }
    match missing {
        Treatment::Breaching => alarm_if(breaching + (n - real) >= m),
        Treatment::NotBreaching => alarm_if(breaching >= m),
        _ if breaching >= m => Verdict::Alarm,
        _ if breaching < real => Verdict::Ok,
        Treatment::Ignore => Verdict::Retain,
        Treatment::Missing if real == 0 => Verdict::InsufficientData,
        // Fewer than M points, all breaching. It is an alarm once the oldest of them is at least M
        // periods old, so that one early point does not raise a premature alarm.
        Treatment::Missing if oldest_age >= m => Verdict::Alarm,
        Treatment::Missing => Verdict::Retain,
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
