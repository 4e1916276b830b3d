//! How an alarm judges: its window of data points, missing ones, and M of N.
//!
//! Follows "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::{
    math::Value,
    metrics::{self, MetricStat, Query, Source},
    stream::Stream,
};

/// Data points beyond EvaluationPeriods that are looked at when some are missing. AWS does not publish the number;
/// its worked examples have 5 points for 3 periods.
const EXTRA_POINTS: usize = 2;

/// What an alarm's data points amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Alarm,
    InsufficientData,
    /// The state stays as it is.
    Retain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
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

/// An alarm's rule, read from its wire form.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    queries: Vec<Query>,
    watched: String,
    period_minutes: i64,
    periods: usize,
    to_alarm: usize,
    pub threshold: f64,
    comparison: Comparison,
    missing: Missing,
    pointwise: bool,
    /// Points already computed: (start modulo period, start) -> value, and which metrics had data.
    points: BTreeMap<(i64, i64), (Option<f64>, u64)>,
}

/// What one evaluation saw, oldest point first.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    pub verdict: Verdict,
    pub starts: Vec<i64>,
    pub points: Vec<Option<f64>>,
}

impl Watch {
    /// Reads an alarm; the error names what AWS or the sandbox does not accept.
    pub(super) fn read(alarm: &Map<String, Json>) -> Result<Self, String> {
        let text = |member: &str| alarm.get(member).and_then(Json::as_str);
        let count = |member: &str| alarm.get(member).and_then(Json::as_u64);
        let queries = match alarm.get("Metrics").and_then(Json::as_array) {
            Some(metrics) if !metrics.is_empty() => Query::read_all(metrics)?,
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
            points: BTreeMap::new(),
            queries,
        })
    }

    pub(super) fn period_seconds(&self) -> i64 {
        self.period_minutes * 60
    }

    pub(super) fn periods(&self) -> usize {
        self.periods
    }

    pub(super) fn to_alarm(&self) -> usize {
        self.to_alarm
    }

    /// The streams whose metrics it reads.
    pub(super) fn streams(&self) -> BTreeSet<&str> {
        self.queries
            .iter()
            .filter_map(|query| match &query.source {
                Source::Metric(metric) => Some(metric.stream.as_str()),
                Source::Expression(_) => None,
            })
            .filter(|stream| !stream.is_empty())
            .collect()
    }

    /// Alarms that look back more than a day are evaluated hourly, all others every minute.
    pub(super) fn is_due(&self, minute: i64) -> bool {
        self.period_minutes * self.periods as i64 <= 1_440 || minute % 60 == 0
    }

    /// Forgets computed points, when the traffic they came from is another.
    pub(super) fn forget(&mut self) {
        self.points.clear();
    }

    /// Judges the window that ends with the minute `end`, the first whose metrics have not arrived.
    pub(super) fn evaluate(
        &mut self,
        streams: &BTreeMap<String, Stream>,
        end: i64,
    ) -> Result<Evaluation, String> {
        let range = self.periods + EXTRA_POINTS;
        let first = end - range as i64 * self.period_minutes;
        let starts = (0..range as i64).map(|at| first + at * self.period_minutes);
        let starts: Vec<i64> = starts.collect();
        let points = match self.cached_points(streams, &starts)? {
            Some(points) => points,
            None => self.full_points(streams, &starts, end)?,
        };
        let breaching: Vec<Option<bool>> = points
            .iter()
            .map(|point| point.map(|value| self.breaches(value)))
            .collect();
        Ok(Evaluation {
            verdict: judge(&breaching, self.periods, self.to_alarm, self.missing),
            starts,
            points,
        })
    }

    pub(super) fn breaches(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::GreaterOrEqual => value >= self.threshold,
            Comparison::Greater => value > self.threshold,
            Comparison::Less => value < self.threshold,
            Comparison::LessOrEqual => value <= self.threshold,
        }
    }

    /// The comparison in the words of a StateReason.
    pub(super) fn comparison_words(&self) -> &'static str {
        match self.comparison {
            Comparison::GreaterOrEqual => "greater than or equal to",
            Comparison::Greater => "greater than",
            Comparison::Less => "less than",
            Comparison::LessOrEqual => "less than or equal to",
        }
    }

    /// Each point by itself, computed once. `None` when a metric has no data at all in the range, as FILL then
    /// leaves it empty, or when the expression looks at more than one point at a time.
    fn cached_points(
        &mut self,
        streams: &BTreeMap<String, Stream>,
        starts: &[i64],
    ) -> Result<Option<Vec<Option<f64>>>, String> {
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return Ok(None);
        };
        if !self.pointwise {
            return Ok(None);
        }
        let phase = first.rem_euclid(self.period_minutes);
        if self.points.len() > 2 * starts.len() * self.period_minutes.unsigned_abs() as usize + 64 {
            self.points
                .retain(|(_, start), _| (first - 60..=last).contains(start));
        }
        let known = self.points.range((phase, first)..=(phase, last)).count();
        if known < starts.len() {
            for start in starts.iter().rev() {
                if !self.points.contains_key(&(phase, *start)) {
                    let point = self.one_point(streams, *start)?;
                    self.points.insert((phase, *start), point);
                }
            }
        }
        let mut with_data = 0;
        let mut points = Vec::with_capacity(starts.len());
        for (value, mask) in self
            .points
            .range((phase, first)..=(phase, last))
            .map(|p| p.1)
        {
            with_data |= mask;
            points.push(*value);
        }
        let all = self.queries.iter().enumerate();
        let all = all.filter(|(_, query)| matches!(query.source, Source::Metric(_)));
        let all = all.fold(0, |mask, (at, _)| mask | 1 << at);
        Ok((with_data == all).then_some(points))
    }

    fn one_point(
        &self,
        streams: &BTreeMap<String, Stream>,
        start: i64,
    ) -> Result<(Option<f64>, u64), String> {
        let end = start + self.period_minutes;
        let values = metrics::evaluate(&self.queries, streams, &[start], end, true)?;
        let mut mask = 0;
        for (at, query) in self.queries.iter().enumerate() {
            let has_data =
                matches!(values.get(&query.id), Some(Value::Series(p)) if p[0].is_some());
            if has_data && matches!(query.source, Source::Metric(_)) {
                mask |= 1 << at;
            }
        }
        let points = self.series(values)?;
        Ok((points.first().copied().flatten(), mask))
    }

    fn full_points(
        &self,
        streams: &BTreeMap<String, Stream>,
        starts: &[i64],
        end: i64,
    ) -> Result<Vec<Option<f64>>, String> {
        let values = metrics::evaluate(&self.queries, streams, starts, end, false)?;
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

fn read_missing(text: Option<&str>) -> Result<Missing, String> {
    match text {
        None | Some("missing") => Ok(Missing::Missing),
        Some("ignore") => Ok(Missing::Ignore),
        Some("breaching") => Ok(Missing::Breaching),
        Some("notBreaching") => Ok(Missing::NotBreaching),
        Some(other) => Err(format!("TreatMissingData cannot be {other}")),
    }
}

/// Judges the points of the evaluation range, oldest first: breaching or not, or missing.
pub(super) fn judge(points: &[Option<bool>], n: usize, m: usize, missing: Missing) -> Verdict {
    let alarm_if = |alarm: bool| if alarm { Verdict::Alarm } else { Verdict::Ok };
    let real: Vec<bool> = points.iter().copied().flatten().collect();
    let breaching = |real: &[bool]| real.iter().filter(|breaching| **breaching).count();
    if real.len() >= n {
        return alarm_if(breaching(&real[real.len() - n..]) >= m);
    }
    let count = breaching(&real);
    match missing {
        Missing::Breaching => alarm_if(count + (n - real.len()) >= m),
        Missing::NotBreaching => alarm_if(count >= m),
        _ if count >= m => Verdict::Alarm,
        _ if count < real.len() => Verdict::Ok,
        Missing::Ignore => Verdict::Retain,
        Missing::Missing if real.is_empty() => Verdict::InsufficientData,
        // Only breaching points, but fewer than M: an alarm once the oldest of the last N is M points old, so that
        // a single late point is not taken for an alarm too early. Until then AWS only says that it is none yet.
        Missing::Missing => {
            let newest_first = points.iter().rev().take(n).enumerate();
            let mut ages = newest_first.filter(|(_, point)| point.is_some());
            let oldest = ages.next_back().map_or(0, |(age, _)| age + 1);
            if oldest >= m {
                Verdict::Alarm
            } else {
                Verdict::Retain
            }
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
