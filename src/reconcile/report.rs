//! One rendering of what a tick did: as JSON for scripts, as a table for people, as log lines.

mod text;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::{output::table::millis, reconcile::roster::Roster};

use autoscaler_core::{
    decision::{Action, Decision},
    policy::Sizing,
    reason::Reason,
    subscription::Subscription,
};

/// What was done to a stream, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    ScaleUp,
    ScaleDown,
    SyncAlarms,
    Hold,
}

impl Done {
    /// The stable code of reports and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ScaleUp => "scale_up",
            Self::ScaleDown => "scale_down",
            Self::SyncAlarms => "sync_alarms",
            Self::Hold => "hold",
        }
    }
}

impl From<Option<Action>> for Done {
    fn from(action: Option<Action>) -> Self {
        match action {
            Some(Action::ScaleUp { .. }) => Self::ScaleUp,
            Some(Action::ScaleDown { .. }) => Self::ScaleDown,
            Some(Action::SyncAlarms { .. }) => Self::SyncAlarms,
            None => Self::Hold,
        }
    }
}

/// What happened to one stream in one tick. The field names are part of the interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamReport {
    /// The name or alarm as configured, the same at every tick.
    pub subscription: String,
    /// Null until a subscription by alarm has been read.
    pub stream: Option<String>,
    pub region: String,
    /// The account's number or profile, where the configuration names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub action: Done,
    pub shards_before: Option<u32>,
    pub shards_after: Option<u32>,
    pub reason: Reason,
    pub detail: String,
    pub error: Option<String>,
    /// The calls of the last 24 h that count toward the daily limit, if the scaling log was read.
    #[serde(skip)]
    pub calls: Option<Vec<Timestamp>>,
    /// What the decision was made on, and what it would have liked.
    #[serde(skip)]
    pub seen: Seen,
}

/// What a tick saw of one stream; `None` where it did not look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Whether the pair was found to fit the contract, and the stream to exist.
    pub watched: Option<bool>,
    /// No alarm made the tick look at it, but an audit or a window, so that the next ticks do not.
    pub unasked: bool,
    /// The count that the policy asks for, before `max_shards`, cooldowns and AWS's limits.
    pub wanted: Option<u32>,
    /// What the traffic came to, where the policy tells.
    pub sizing: Option<Sizing>,
    /// Usage as the alarm in ALARM computed it, 1 for all that the shards take.
    pub usage: Option<f64>,
    /// Records that the stream rejected in the last hour, as far as traffic was read.
    pub rejected: Option<u64>,
}

impl StreamReport {
    /// What was decided on a stream, or done to it.
    pub fn new(subscription: &Subscription, region: &str, decision: &Decision) -> Self {
        Self {
            subscription: subscription.label().to_owned(),
            stream: subscription.stream.as_deref().map(str::to_owned),
            region: region.to_owned(),
            account: subscription.account.name().map(str::to_owned),
            action: decision.action().into(),
            shards_before: None,
            shards_after: decision.action().map(Action::target),
            reason: decision.reason(),
            detail: decision.detail().to_owned(),
            error: decision.error().map(str::to_owned),
            calls: None,
            seen: Seen::default(),
        }
    }

    /// A stream without an alarm in ALARM.
    pub fn at_rest(subscription: &Subscription, region: &str) -> Self {
        let at_rest = Decision::hold(Reason::NoAlarm, "neither alarm is in ALARM");
        Self::new(subscription, region, &at_rest)
    }

    /// The report of a stream of 2 shards, for tests.
    #[cfg(test)]
    pub fn of_two_shards(stream: &str, decision: &Decision) -> Self {
        Self {
            subscription: stream.to_owned(),
            stream: Some(stream.to_owned()),
            region: "eu-west-1".to_owned(),
            account: None,
            action: decision.action().into(),
            shards_before: Some(2),
            shards_after: decision.action().map(Action::target),
            reason: decision.reason(),
            detail: decision.detail().to_owned(),
            error: decision.error().map(str::to_owned),
            calls: None,
            seen: Seen::default(),
        }
    }

    /// The stream's name, or the subscription while that is unknown.
    pub fn name(&self) -> &str {
        self.stream.as_deref().unwrap_or(&self.subscription)
    }

    /// Logs the report. `held_for` is how long a hold that is logged again has lasted.
    pub fn log(&self, dry_run: bool, held_for: Option<Duration>) {
        let (action, reason) = (self.action.code(), self.reason.code());
        let (before, after) = (self.shards_before, self.shards_after);
        let detail = &self.detail;
        let held_for = held_for.map(|it| humantime::format_duration(it).to_string());
        match &self.error {
            Some(error) => tracing::error!(
                action,
                reason,
                before,
                after,
                dry_run,
                held_for,
                hint = detail,
                "{error}"
            ),
            None if self.acts() => {
                tracing::info!(action, reason, before, after, dry_run, "{detail}");
            }
            None if self.is_urgent() => {
                tracing::warn!(action, reason, before, held_for, "{detail}");
            }
            None => tracing::info!(action, reason, before, "{detail}"),
        }
    }

    /// Whether something was done.
    pub fn acts(&self) -> bool {
        self.action != Done::Hold
    }

    /// Whether a person has to know about it for as long as it lasts.
    pub fn is_urgent(&self) -> bool {
        self.error.is_some() || URGENT.contains(&self.reason)
    }

    /// Whether something was done, or failed.
    pub fn is_notable(&self) -> bool {
        self.acts() || self.error.is_some()
    }

    fn shards(&self) -> String {
        match (self.shards_before, self.shards_after) {
            (Some(before), Some(after)) if before != after => format!("{before} -> {after}"),
            (Some(count), _) | (None, Some(count)) => count.to_string(),
            (None, None) => "-".to_owned(),
        }
    }
}

/// Holds that a person has to know about.
const URGENT: &[Reason] = &[
    Reason::DailyLimit,
    Reason::AtMaxShards,
    Reason::LogUnavailable,
];

/// What `Report::standby` says while no host is known to hold the lease.
pub const NO_KNOWN_HOST: &str = "no known host";

/// What one tick did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub started_at: Timestamp,
    pub duration_ms: u64,
    pub dry_run: bool,
    pub api_calls: BTreeMap<String, u64>,
    pub streams: Vec<StreamReport>,
    /// Subscriptions with nothing to report.
    #[serde(skip)]
    pub at_rest: usize,
    /// Set when another host holds the lease: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
    /// Why this run did nothing at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The Regions whose alarms could not be polled, and why.
    #[serde(skip)]
    pub unpolled: Vec<String>,
    /// The Regions whose alarms could not be listed, and why: streams that patterns subscribe may
    /// be unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<String>,
    /// The Regions whose alarms have not been listed yet.
    #[serde(skip)]
    pub listing: Vec<String>,
    /// The subscriptions, where the tick has changed them.
    #[serde(skip)]
    pub roster: Option<Arc<Roster>>,
    /// Subscriptions that this process has not inspected yet.
    #[serde(skip)]
    pub uninspected: usize,
    /// Why the scaling log cannot work until a person fixes it, such as a missing table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_log_error: Option<String>,
    /// Why the scaling log did not accept or return rows when it was asked last.
    #[serde(skip)]
    pub scaling_log_trouble: Option<String>,
    /// How much later than scheduled the tick began, if that was much.
    #[serde(skip)]
    pub late_by: Option<Duration>,
}

impl Report {
    /// The report of a tick that had nothing to do.
    pub fn of_nothing(started_at: Timestamp, dry_run: bool) -> Self {
        Self {
            started_at,
            duration_ms: 0,
            dry_run,
            api_calls: BTreeMap::new(),
            streams: Vec::new(),
            at_rest: 0,
            standby: None,
            skipped: None,
            unpolled: Vec::new(),
            unlisted: Vec::new(),
            listing: Vec::new(),
            roster: None,
            uninspected: 0,
            scaling_log_error: None,
            scaling_log_trouble: None,
            late_by: None,
        }
    }

    /// Merges the reports of two ticks of one run: for each stream, the last report of an action or
    /// a failure counts.
    pub fn followed_by(mut self, later: Self) -> Self {
        let until_later = later
            .started_at
            .duration_since(self.started_at)
            .unsigned_abs();
        self.duration_ms = millis(until_later).saturating_add(later.duration_ms);
        for (operation, calls) in later.api_calls {
            *self.api_calls.entry(operation).or_default() += calls;
        }
        for (place, news) in later.streams.into_iter().enumerate() {
            let same = |known: &StreamReport| {
                known.subscription == news.subscription
                    && known.region == news.region
                    && known.account == news.account
            };
            // Ticks that end list every subscription, in their order; a tick that was stopped
            // lists only those it reached.
            let place = match self.streams.get(place) {
                Some(known) if same(known) => Some(place),
                _ => self.streams.iter().position(same),
            };
            match place.and_then(|place| self.streams.get_mut(place)) {
                Some(known) if news.is_notable() || !known.is_notable() => *known = news,
                Some(_) => {}
                None => self.streams.push(news),
            }
        }
        self.unpolled.extend(later.unpolled);
        self.uninspected = later.uninspected;
        self.unlisted = later.unlisted;
        self.listing = later.listing;
        self.roster = later.roster.or(self.roster);
        self.scaling_log_error = later.scaling_log_error;
        self.scaling_log_trouble = later.scaling_log_trouble;
        self
    }

    /// The report of a run that does not continue: what it has not listed stays unknown.
    pub fn ending(mut self) -> Self {
        let listing = std::mem::take(&mut self.listing).into_iter();
        let late = listing.map(|region| format!("{region}: not listed within tick_timeout"));
        self.unlisted.extend(late);
        self
    }

    /// Whether a stream failed or may be unknown, or the scaling log cannot work.
    pub fn failed(&self) -> bool {
        let unseen = !self.unlisted.is_empty() || !self.unpolled.is_empty();
        unseen
            || self.scaling_log_error.is_some()
            || self.streams.iter().any(|it| it.error.is_some())
    }

    /// The object that `--output json` prints.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_report_of_other_streams_replaces_only_those_it_names() {
        let report = |streams: &[&str], reason: Reason| {
            let decision = Decision::hold(reason, "it is held");
            let stream = |name: &&str| StreamReport::of_two_shards(name, &decision);
            Report {
                streams: streams.iter().map(stream).collect(),
                ..Report::of_nothing(Timestamp::UNIX_EPOCH, false)
            }
        };
        let first = report(&["a", "b"], Reason::NoAlarm);
        let merged = first.followed_by(report(&["b", "c"], Reason::Cooldown));
        let merged = merged.streams.iter();
        let merged: Vec<_> = merged.map(|it| (it.name(), it.reason)).collect();
        assert_eq!(
            merged,
            [
                ("a", Reason::NoAlarm),
                ("b", Reason::Cooldown),
                ("c", Reason::Cooldown)
            ]
        );
    }
}
