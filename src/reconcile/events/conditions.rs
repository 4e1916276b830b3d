//! The conditions that are open: from a tick's report to the events that it makes.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_core::reason::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, Kind, LONGEST_TEXT, State, folded, shortened};
use crate::reconcile::report::{Done, NO_KNOWN_HOST, Report, StreamReport};

/// What people know to be open. It outlives the process, so that nothing is told twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    streams: BTreeMap<String, BTreeMap<Kind, Open>>,
    /// Since when the scaling log is unavailable.
    log: Option<Timestamp>,
    /// The host that acts while this one stands by.
    standby: Option<String>,
    /// Whether this process was the one that acts.
    #[serde(skip)]
    acts: bool,
}

/// A condition of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    stream: String,
    region: String,
    account: Option<String>,
    since: Timestamp,
    /// Only an inspection of the stream finds its end: ticks that do not inspect it do not report
    /// it.
    lasts: bool,
}

/// When, where and how far a tick looked.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub now: Timestamp,
    pub host: &'a str,
    /// The Region of the scaling log.
    pub region: &'a str,
    /// Whether streams that the report does not list are at rest.
    pub rest_is_quiet: bool,
}

/// Identifies a subscription across runs.
pub fn key(account: Option<&str>, region: &str, subscription: &str) -> String {
    format!("{}/{region}/{subscription}", account.unwrap_or_default())
}

impl Conditions {
    /// Takes in what a tick reports. Returns what people have to be told.
    pub fn take_in(&mut self, report: &Report, look: &Look<'_>) -> Vec<Event> {
        if let Some(holder) = &report.standby {
            return folded(self.stand_by(holder, look).into_iter().collect());
        }
        let mut events = Vec::new();
        events.extend(self.act(look));
        let mut listed = BTreeSet::new();
        for stream in &report.streams {
            if is_scaled(stream) {
                events.push(of_stream(Kind::Scaled, None, stream, look));
            }
            if condition(stream).is_none() && self.streams.is_empty() {
                continue;
            }
            let key = key(
                stream.account.as_deref(),
                &stream.region,
                &stream.subscription,
            );
            self.take_in_stream(&key, stream, look, &mut events);
            listed.insert(key);
        }
        if look.rest_is_quiet {
            let is_over = |key: &str, open: &Open| !open.lasts && !listed.contains(key);
            let quiet = "neither alarm is in ALARM";
            self.end(is_over, Some(Reason::NoAlarm), quiet, look, &mut events);
        }
        events.extend(self.judge_log(report, look));
        folded(events)
    }

    /// Ends the conditions of streams that are no longer subscribed; `is_gone` is asked with the
    /// [`key`] of each.
    pub fn forget(&mut self, is_gone: impl Fn(&str) -> bool, look: &Look<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let detail = "the stream is no longer subscribed";
        self.end(|key, _| is_gone(key), None, detail, look, &mut events);
        folded(events)
    }

    /// This host acts. It has taken over if it stood by before.
    fn act(&mut self, look: &Look<'_>) -> Option<Event> {
        self.acts = true;
        let from = self.standby.take()?;
        let detail = format!("{} has taken over from {from}", look.host);
        Some(Event::of_program(
            Kind::StandbyTakenOver,
            None,
            look,
            detail,
        ))
    }

    /// Another host acts, and tells what is open.
    fn stand_by(&mut self, holder: &str, look: &Look<'_>) -> Option<Event> {
        // A holder is a host, a process and its start time.
        let holder = holder.split('/').next().unwrap_or_default();
        if holder.is_empty() || holder == NO_KNOWN_HOST {
            return None;
        }
        let acted = self.acts;
        *self = Self {
            standby: Some(holder.to_owned()),
            ..Self::default()
        };
        let detail = format!("{holder} has taken over from {}", look.host);
        acted.then(|| Event::of_program(Kind::StandbyTakenOver, None, look, detail))
    }

    fn take_in_stream(
        &mut self,
        key: &str,
        stream: &StreamReport,
        look: &Look<'_>,
        events: &mut Vec<Event>,
    ) {
        let mut known = self.streams.remove(key).unwrap_or_default();
        for (kind, open) in known.extract_if(.., |kind, open| is_over(*kind, open, stream)) {
            let mut event = of_stream(kind, Some(State::End), stream, look);
            event.since = Some(open.since);
            events.push(event);
        }
        if let Some(kind) = condition(stream) {
            let open = known.entry(kind).or_insert_with(|| {
                events.push(of_stream(kind, Some(State::Begin), stream, look));
                Open {
                    stream: stream.name().to_owned(),
                    region: stream.region.clone(),
                    account: stream.account.clone(),
                    since: look.now,
                    lasts: false,
                }
            });
            open.lasts |= lasts(stream);
        }
        if !known.is_empty() {
            self.streams.insert(key.to_owned(), known);
        }
    }

    /// Ends what no report is about.
    fn end(
        &mut self,
        is_over: impl Fn(&str, &Open) -> bool,
        reason: Option<Reason>,
        detail: &str,
        look: &Look<'_>,
        events: &mut Vec<Event>,
    ) {
        for (key, known) in &mut self.streams {
            for (kind, open) in known.extract_if(.., |_, open| is_over(key, open)) {
                let account = open.account.as_deref();
                let who = Event::subject_of(&open.stream, account, &open.region);
                let state = Some(State::End);
                events.push(Event {
                    summary: format!("{who}: {}", kind.words(state)),
                    stream: Some(open.stream),
                    region: open.region,
                    account: open.account,
                    reason,
                    since: Some(open.since),
                    ..Event::of_program(kind, state, look, detail.to_owned())
                });
            }
        }
        self.streams.retain(|_, known| !known.is_empty());
    }

    fn judge_log(&mut self, report: &Report, look: &Look<'_>) -> Option<Event> {
        let held = |stream: &&StreamReport| stream.reason == Reason::LogUnavailable;
        let held = report.streams.iter().find(held);
        let trouble = report.scaling_log_trouble.as_ref();
        let trouble = trouble.or(report.scaling_log_error.as_ref());
        let trouble = trouble.or(held.map(|stream| &stream.detail));
        let (state, detail) = match (trouble, self.log) {
            (Some(trouble), None) => (State::Begin, trouble.clone()),
            (None, Some(_)) => (State::End, "DynamoDB answers again".to_owned()),
            _ => return None,
        };
        let since = self.log.take();
        if state == State::Begin {
            self.log = Some(look.now);
        }
        Some(Event {
            reason: Some(Reason::LogUnavailable),
            since,
            ..Event::of_program(Kind::LogUnavailable, Some(state), look, detail)
        })
    }
}

/// Whether the stream was scaled, or an interrupted scaling was brought to its end.
fn is_scaled(stream: &StreamReport) -> bool {
    let scales = matches!(stream.action, Done::ScaleUp | Done::ScaleDown);
    let recovers = stream.action == Done::SyncAlarms && stream.reason == Reason::Recovered;
    stream.error.is_none() && (scales || recovers)
}

/// The condition that the report shows.
fn condition(stream: &StreamReport) -> Option<Kind> {
    match stream.reason {
        _ if stream.acts() => stream.error.is_some().then_some(Kind::Failed),
        Reason::DailyLimit => Some(Kind::DailyLimit),
        Reason::AccountLimit => Some(Kind::AccountLimit),
        Reason::AtMaxShards => Some(Kind::AtMaxShards),
        Reason::ConsumersBehind => Some(Kind::ConsumersBehind),
        // That is one condition of the program.
        Reason::LogUnavailable => None,
        _ => stream.error.is_some().then_some(Kind::Failed),
    }
}

fn lasts(stream: &StreamReport) -> bool {
    stream.seen.unasked || matches!(stream.reason, Reason::Contract | Reason::StreamMissing)
}

fn is_over(kind: Kind, open: &Open, stream: &StreamReport) -> bool {
    let shown = condition(stream);
    if shown == Some(kind) || (kind == Kind::AccountLimit && stream.reason == Reason::AccountLimit)
    {
        return false;
    }
    match open.lasts {
        true => stream.seen.watched == Some(true),
        false => shown != Some(Kind::Failed) && is_conclusive(stream.reason),
    }
}

/// Whether a stream that is held for this reason was judged at all.
fn is_conclusive(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::InProgress
            | Reason::Standby
            | Reason::Settling
            | Reason::Updating
            | Reason::AwsError
            | Reason::LogUnavailable
    )
}

fn of_stream(kind: Kind, state: Option<State>, stream: &StreamReport, look: &Look<'_>) -> Event {
    let account = stream.account.as_deref();
    let who = Event::subject_of(stream.name(), account, &stream.region);
    let words = match (kind, stream.shards_before, stream.shards_after) {
        (Kind::Scaled, Some(before), Some(after)) if before != after => {
            let direction = if after > before { "up" } else { "down" };
            format!("scaled {direction} from {before} to {after} shards")
        }
        (Kind::Scaled, _, Some(after)) => {
            format!("an interrupted scaling was finished; {after} shards")
        }
        _ => kind.words(state).to_owned(),
    };
    let (detail, hint) = match &stream.error {
        // The report has a hint in place of the detail, unless something was begun.
        Some(error) if !stream.acts() => (error, Some(stream.detail.as_str())),
        Some(error) => (error, None),
        None => (&stream.detail, None),
    };
    let hint = match state {
        Some(State::Begin) => hint.or(kind.hint()),
        _ => None,
    };
    let hint = hint.filter(|hint| !hint.is_empty());
    Event {
        summary: format!("{who}: {words}"),
        stream: Some(stream.name().to_owned()),
        region: stream.region.clone(),
        account: stream.account.clone(),
        shards_before: stream.shards_before,
        shards_after: stream.shards_after,
        reason: Some(stream.reason),
        hint: hint.map(|hint| shortened(hint, LONGEST_TEXT)),
        ..Event::of_program(kind, state, look, detail.clone())
    }
}
