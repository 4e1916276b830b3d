//! The alarms of one account and Region: their wire form, and their evaluation minute by minute.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    metrics,
    stream::Stream,
    traffic::minute_of,
    watch::{Verdict, Watch},
};

/// How many of the latest minutes are evaluated after a long time without a request; earlier ones
/// are skipped.
const CATCH_UP_MINUTES: i64 = 180;

/// The most data points that StateReasonData lists.
const LISTED_POINTS: usize = 20;

#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    /// Every member that DescribeAlarms returns, also those that the SDK does not know.
    pub wire: Map<String, Value>,
    pub tags: Option<Value>,
    rule: Rule,
}

/// An alarm's rule, parsed when it is first needed: most alarms are never evaluated.
#[derive(Clone, Debug)]
enum Rule {
    Unread,
    Read(Box<Watch>),
    /// The alarm cannot be parsed and is never evaluated.
    Unreadable,
}

impl Rule {
    fn read(&mut self, wire: &Map<String, Value>, account: &str) -> Option<&mut Watch> {
        if matches!(self, Self::Unread) {
            *self = match Watch::read(wire, account) {
                Ok(watch) => Self::Read(Box::new(watch)),
                Err(_) => Self::Unreadable,
            };
        }
        match self {
            Self::Read(watch) => Some(watch),
            _ => None,
        }
    }
}

/// The streams that an alarm's metrics name.
fn streams_of(wire: &Map<String, Value>) -> BTreeSet<&str> {
    let queries = wire.get("Metrics").and_then(Value::as_array);
    let queries = queries.into_iter().flatten();
    let stats =
        queries.filter_map(|query| query.get("MetricStat")?.get("Metric")?.get("Dimensions"));
    stats
        .chain(wire.get("Dimensions"))
        .filter_map(Value::as_array)
        .flatten()
        .filter(|dimension| dimension["Name"] == "StreamName")
        .filter_map(|dimension| dimension["Value"].as_str())
        .collect()
}

impl Alarm {
    pub(crate) fn state(&self) -> &str {
        state_of(&self.wire)
    }
}

fn state_of(wire: &Map<String, Value>) -> &str {
    let state = wire.get("StateValue").and_then(Value::as_str);
    state.unwrap_or_default()
}

#[derive(Clone, Debug)]
pub(crate) struct Alarms {
    account: String,
    by_name: BTreeMap<String, Alarm>,
    in_alarm: BTreeSet<String>,
    /// The names of the alarms that use a stream's metrics, by stream.
    by_stream: BTreeMap<String, BTreeSet<String>>,
    /// Streams with traffic: only their alarms are evaluated.
    live: BTreeSet<String>,
    evaluated: Option<i64>,
    /// How often an alarm was written, removed, or given a state.
    changes: u64,
}

/// Epoch seconds with the millisecond precision of CloudWatch.
pub(crate) fn seconds(at: Timestamp) -> Value {
    json!(at.as_millisecond() as f64 / 1_000.0)
}

impl Alarms {
    /// Creates an empty set for `account`.
    pub(crate) fn new(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            by_name: BTreeMap::new(),
            in_alarm: BTreeSet::new(),
            by_stream: BTreeMap::new(),
            live: BTreeSet::new(),
            evaluated: None,
            changes: 0,
        }
    }

    /// A number that is another one after anything that DescribeAlarms returns has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Alarm> {
        self.by_name.get(name)
    }

    /// All alarms, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Alarm)> {
        self.by_name.iter()
    }

    /// The alarms whose names are greater than `after` (or not less than it), in order.
    pub(crate) fn from(
        &self,
        after: std::ops::Bound<&str>,
    ) -> impl Iterator<Item = (&str, &Alarm)> {
        self.by_name
            .range::<str, _>((after, std::ops::Bound::Unbounded))
            .map(|(name, alarm)| (name.as_str(), alarm))
    }

    /// The names of the alarms that are in ALARM, in order.
    pub(crate) fn in_alarm(&self) -> impl Iterator<Item = &str> {
        self.in_alarm.iter().map(String::as_str)
    }

    /// Stores an alarm's wire form. Its rule is parsed again when it is needed.
    pub(crate) fn insert(&mut self, name: &str, wire: Map<String, Value>, tags: Option<Value>) {
        self.remove(name);
        for stream in streams_of(&wire) {
            let names = self.by_stream.entry(stream.to_owned()).or_default();
            names.insert(name.to_owned());
        }
        let rule = Rule::Unread;
        let alarm = Alarm { wire, tags, rule };
        if alarm.state() == "ALARM" {
            self.in_alarm.insert(name.to_owned());
        }
        self.changes += 1;
        self.by_name.insert(name.to_owned(), alarm);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Alarm> {
        let alarm = self.by_name.remove(name)?;
        self.changes += 1;
        self.in_alarm.remove(name);
        for stream in streams_of(&alarm.wire) {
            if let Some(names) = self.by_stream.get_mut(stream) {
                names.remove(name);
            }
        }
        Some(alarm)
    }

    /// Discards what was computed from a stream's metrics. `live` says whether it has traffic now.
    pub(crate) fn traffic_changed(&mut self, stream: &str, live: bool) {
        if live {
            self.live.insert(stream.to_owned());
        } else {
            self.live.remove(stream);
        }
        for name in self.by_stream.get(stream).into_iter().flatten() {
            if let Some(alarm) = self.by_name.get_mut(name) {
                alarm.rule = Rule::Unread;
            }
        }
    }

    /// Sets a state. Returns false if the alarm does not exist.
    pub(crate) fn set_state(
        &mut self,
        name: &str,
        state: &str,
        reason: &str,
        data: Option<&str>,
        at: Timestamp,
    ) -> bool {
        let Some(alarm) = self.by_name.get_mut(name) else {
            return false;
        };
        self.changes += 1;
        if alarm.state() != state {
            let at = seconds(at);
            alarm.wire.insert("StateTransitionedTimestamp".into(), at);
        }
        alarm.wire.insert("StateValue".into(), json!(state));
        alarm.wire.insert("StateReason".into(), json!(reason));
        match data {
            Some(data) => alarm.wire.insert("StateReasonData".into(), json!(data)),
            None => alarm.wire.remove("StateReasonData"),
        };
        let at = seconds(at);
        alarm.wire.insert("StateUpdatedTimestamp".into(), at);
        if state == "ALARM" {
            self.in_alarm.insert(name.to_owned());
        } else {
            self.in_alarm.remove(name);
        }
        true
    }

    /// Sets or removes the EvaluationState of an alarm.
    pub(crate) fn set_evaluation_state(&mut self, name: &str, state: Option<&str>) {
        let Some(alarm) = self.by_name.get_mut(name) else {
            return;
        };
        self.changes += 1;
        match state {
            Some(state) => alarm.wire.insert("EvaluationState".into(), json!(state)),
            None => alarm.wire.remove("EvaluationState"),
        };
    }

    /// Evaluates every minute since the last call, up to `now`. The first call only sets the start.
    pub(crate) fn catch_up(
        &mut self,
        streams: &mut BTreeMap<String, Stream>,
        now: Timestamp,
        delay: SignedDuration,
    ) {
        let minute = minute_of(now);
        // After the clock was set back, evaluation continues from the new time.
        let last = self.evaluated.map_or(minute, |last| last.min(minute));
        self.evaluated = Some(minute);
        if last == minute || self.live.is_empty() {
            return;
        }
        let names: BTreeSet<&String> = self
            .live
            .iter()
            .filter_map(|s| self.by_stream.get(s))
            .flatten()
            .collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        for name in &self.live {
            if let Some(stream) = streams.get_mut(name) {
                stream.settle(now);
            }
        }
        for minute in (last + 1).max(minute - CATCH_UP_MINUTES + 1)..=minute {
            let Ok(at) = Timestamp::from_second(minute * 60) else {
                continue;
            };
            for name in &names {
                if self.is_due(name, minute) {
                    self.evaluate(name, streams, at, delay);
                }
            }
        }
    }

    fn is_due(&mut self, name: &str, minute: i64) -> bool {
        let alarm = self.by_name.get_mut(name);
        let watch = alarm.and_then(|alarm| alarm.rule.read(&alarm.wire, &self.account));
        watch.is_some_and(|watch| watch.is_due(minute))
    }

    /// Evaluates one alarm of a stream with traffic now, as CloudWatch does at its next evaluation.
    pub(crate) fn evaluate_now(
        &mut self,
        name: &str,
        streams: &BTreeMap<String, Stream>,
        now: Timestamp,
        delay: SignedDuration,
    ) {
        self.evaluate(name, streams, now, delay);
    }

    fn evaluate(
        &mut self,
        name: &str,
        streams: &BTreeMap<String, Stream>,
        at: Timestamp,
        delay: SignedDuration,
    ) {
        let Some(alarm) = self.by_name.get_mut(name) else {
            return;
        };
        let Some(watch) = alarm.rule.read(&alarm.wire, &self.account) else {
            return;
        };
        let end = metrics::arrived_until(at, delay);
        let state = match watch.evaluate(streams, end) {
            Ok(Verdict::Ok) => "OK",
            Ok(Verdict::Alarm) => "ALARM",
            Ok(Verdict::InsufficientData) => "INSUFFICIENT_DATA",
            Ok(Verdict::Retain) | Err(_) => return,
        };
        let before = state_of(&alarm.wire);
        if before == state {
            return;
        }
        let points = watch.points(streams, end).unwrap_or_default();
        let (reason, data) = explain(watch, &points, state, before, at);
        self.set_state(name, state, &reason, Some(&data), at);
    }
}

/// StateReason and StateReasonData in AWS's form.
fn explain(
    watch: &Watch,
    points: &[(i64, Option<f64>)],
    state: &str,
    before: &str,
    at: Timestamp,
) -> (String, String) {
    let real: Vec<(i64, f64)> = points
        .iter()
        .filter_map(|(start, point)| point.map(|value| (*start, value)))
        .collect();
    let recent = &real[real.len().saturating_sub(watch.periods())..];
    let time = |minute: i64, format: &str| {
        Timestamp::from_second(minute * 60)
            .map(|at| at.strftime(format).to_string())
            .unwrap_or_default()
    };
    let shown = |count: usize| {
        let shown = recent.iter().rev().take(count);
        let shown =
            shown.map(|(start, value)| format!("{value} ({})", time(*start, "%d/%m/%y %H:%M:%S")));
        shown.collect::<Vec<_>>().join(", ")
    };
    let breaching = recent.iter().filter(|(_, v)| watch.breaches(*v)).count();
    let (words, threshold) = (watch.comparison_words(), watch.threshold);
    let (m, n) = (watch.to_alarm(), watch.periods());
    let reason = match state {
        "ALARM" => format!(
            "Threshold Crossed: {breaching} out of the last {n} datapoints [{}] was {words} the threshold ({threshold}) \
             (minimum {m} datapoint{} for {before} -> ALARM transition).",
            shown(5),
            if m == 1 { "" } else { "s" },
        ),
        "OK" => format!(
            "Threshold Crossed: {} out of the last {n} datapoints [{}] was not {words} the threshold ({threshold}).",
            recent.len() - breaching,
            shown(5),
        ),
        _ => format!("Insufficient Data: {n} datapoints were unknown."),
    };
    let format = "%Y-%m-%dT%H:%M:%S.000+0000";
    let listed = &recent[recent.len().saturating_sub(LISTED_POINTS)..];
    let data = json!({
        "version": "1.0",
        "queryDate": at.strftime(format).to_string(),
        "startDate": recent.first().map(|(start, _)| time(*start, format)),
        "period": watch.period_seconds(),
        "recentDatapoints": listed.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        "threshold": threshold,
        "evaluatedDatapoints": listed.iter().rev().map(|(start, value)| json!({
            "timestamp": time(*start, format), "value": value,
        })).collect::<Vec<_>>(),
    });
    (reason, data.to_string())
}
