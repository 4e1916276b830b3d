//! `status`: every subscription as it stands now, with the reason that the next look at it will
//! have.

mod explain;
mod gather;
mod page;
mod render;
mod usage;
mod watch;

use std::{collections::BTreeSet, sync::Arc};

use autoscaler_core::alarm::EvaluationState;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    cli::{self, Output},
    commands::subscriptions,
    output::{
        self,
        error::{Exit, Failure},
        times::Times,
    },
    reconcile::{context::Context, lease::Host},
};
use autoscaler_core::{
    constraints::{Constraint, Hold, InForce, Limit, Source},
    external::ExternalResharding,
    scaling::Scaling,
    window::Window,
};

pub use gather::{Known, gather, gather_again};
pub use watch::Watched;

/// Reads all subscriptions and prints them; a stream that fails is a row with its error, and makes
/// the result [`Exit::Failed`].
pub async fn run(
    context: &Arc<Context>,
    args: &cli::Status,
    output: Output,
) -> Result<Exit, Failure> {
    if let Some(every) = args.watch {
        return watch::run(context, args, output, every).await;
    }
    let status = gather(context).await;
    output::print(&status.show(args, output, output::terminal_width(), &args.zone.times()))?;
    let exit = match status.failed() {
        true => Exit::Failed,
        false => Exit::Done,
    };
    Ok(subscriptions::of_what_is_known(context, exit))
}

/// All subscriptions at one time. The field names are a promise to users' scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub at: Timestamp,
    pub streams: Vec<Row>,
    /// The hosts that share the log table, where several stand by for each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// What a person can do about the errors, each once.
    pub hints: BTreeSet<String>,
    /// The Regions whose alarms could not be listed, each with the error: streams of patterns may be
    /// missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<String>,
}

/// One subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub stream: String,
    pub region: String,
    /// The account's number or profile, where the configuration names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The stream's status as AWS writes it; `null` where it could not be read.
    pub status: Option<&'static str>,
    pub on_demand: Option<bool>,
    /// Open shards; transient unless the status is ACTIVE.
    pub shards: Option<u32>,
    /// The stream's own bounds.
    pub min_shards: u32,
    pub max_shards: u32,
    /// The bounds in force: those of windows that are open, else the stream's own.
    pub bounds_in_force: BoundsInForce,
    /// Used of what the open shards take, 1 for all of it, in the newest whole period of 5 minutes.
    pub usage_now: Option<f64>,
    /// The same, in the busiest period of the last 24 h.
    pub usage_peak_24h: Option<f64>,
    /// Records that were rejected in the last hour because the throughput was exceeded.
    pub rejected_1h: Option<u64>,
    pub rejected_24h: Option<u64>,
    /// Those of them that were rejected while less than half of the shards was used.
    pub rejected_at_low_usage_24h: Option<u64>,
    pub scale_up_alarm: AlarmRow,
    pub scale_down_alarm: AlarmRow,
    /// What limits it beside its own bounds: windows, pauses and mute rules.
    pub constraints: Vec<ConstraintRow>,
    pub next_window: Option<NextWindow>,
    pub last_scaling: Option<LastScaling>,
    /// Those of the last day, newest first.
    pub scalings: Vec<LastScaling>,
    /// Reshardings of the last two weeks that no row of the log explains, oldest first.
    #[serde(rename = "not_by_us")]
    pub external: Vec<ExternalResharding>,
    /// Of the 10 scalings that AWS allows in 24 h, how many are left by the log.
    pub scalings_left: Option<usize>,
    /// Rows of the last 24 h whose shard counts could not be read; they count toward the limit.
    pub unreadable_rows: usize,
    /// How the target is chosen: `original` or `adaptive`.
    pub policy: &'static str,
    /// When a hold is judged again, unless its alarms change before.
    pub next_look: Option<Timestamp>,
    /// What the next tick would do, in the codes of its report.
    pub action: &'static str,
    pub target: Option<u32>,
    pub reason: &'static str,
    pub detail: String,
    /// Since when, as far as the alarms and the scaling log tell.
    pub since: Option<Timestamp>,
    /// What a person can do about it.
    pub what_to_do: String,
    pub error: Option<String>,
    /// Why the log could not be read.
    pub log_error: Option<String>,
    /// Why the metrics could not be read, where the next tick does not need them.
    pub metrics_error: Option<String>,
}

impl Row {
    /// The newest resharding by others, if it was made within the last day.
    fn lately_external(&self, now: Timestamp) -> Option<&ExternalResharding> {
        let newest = self.external.last()?;
        let age = now.duration_since(newest.latest);
        (age < SignedDuration::from_hours(24)).then_some(newest)
    }

    /// Whether it rejects records although its shards have room.
    pub fn has_hot_shard(&self) -> bool {
        self.rejected_at_low_usage_24h.is_some_and(|n| n > 0)
    }
}

/// Between which counts a stream is scaled now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundsInForce {
    pub min_shards: u32,
    /// The window that it comes from; `null` for the stream's own.
    pub min_by: Option<String>,
    pub max_shards: u32,
    pub max_by: Option<String>,
}

impl From<InForce<'_>> for BoundsInForce {
    fn from(in_force: InForce<'_>) -> Self {
        let by = |limit: Limit<'_>| {
            let window = limit.from.filter(|from| from.source == Source::Window)?;
            Some(format!("{}{}", window.by, window.until()))
        };
        Self {
            min_shards: in_force.floor.shards,
            min_by: by(in_force.floor),
            max_shards: in_force.cap.shards,
            max_by: by(in_force.cap),
        }
    }
}

/// One alarm of a pair.
#[derive(Clone, Debug, Serialize)]
pub struct AlarmRow {
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`, or `MISSING`; `null` where it could not be read.
    pub state: Option<&'static str>,
    pub since: Option<Timestamp>,
    pub actions_enabled: Option<bool>,
    /// What kept CloudWatch from evaluating the alarm, so that its state cannot be relied on.
    pub evaluation_state: Option<EvaluationState>,
    pub shard_count: Option<u32>,
}

/// The window that opens next.
#[derive(Clone, Debug, Serialize)]
pub struct NextWindow {
    pub opens_at: Timestamp,
    pub min_shards: Option<u32>,
    pub max_shards: Option<u32>,
    pub hold: Option<&'static str>,
    pub detail: String,
}

impl NextWindow {
    /// The first of `windows` that opens after `now`.
    fn of(windows: &[Window], now: Timestamp) -> Option<Self> {
        let next = windows.iter().filter_map(|it| Some((it.next(now)?, it)));
        let (opens_at, window) = next.min_by_key(|(opens_at, _)| *opens_at)?;
        Some(Self {
            opens_at,
            min_shards: window.floor,
            max_shards: window.cap,
            hold: window.hold.map(Hold::code),
            detail: window.to_string(),
        })
    }
}

/// A window, pause or mute rule that is in force.
#[derive(Clone, Debug, Serialize)]
pub struct ConstraintRow {
    /// `window`, `pause` or `mute_rule`.
    pub source: &'static str,
    /// The directions that are held: `up`, `down` or `both`.
    pub hold: Option<&'static str>,
    pub min_shards: Option<u32>,
    pub max_shards: Option<u32>,
    pub until: Option<Timestamp>,
    pub detail: String,
}

impl From<&Constraint> for ConstraintRow {
    fn from(constraint: &Constraint) -> Self {
        Self {
            source: constraint.source.code(),
            hold: constraint.hold.map(Hold::code),
            min_shards: constraint.floor,
            max_shards: constraint.cap,
            until: constraint.until,
            detail: constraint.in_words(),
        }
    }
}

/// A row of the log.
#[derive(Clone, Debug, Serialize)]
pub struct LastScaling {
    pub at: Timestamp,
    pub shards_before: u32,
    pub shards_after: u32,
    pub outcome: &'static str,
    pub reason: Option<String>,
    pub note: Option<String>,
}

impl From<&Scaling> for LastScaling {
    fn from(row: &Scaling) -> Self {
        Self {
            at: row.at,
            shards_before: row.from,
            shards_after: row.to,
            outcome: row.outcome.code(),
            reason: row.reason.clone(),
            note: row.note.clone(),
        }
    }
}

impl Status {
    /// Whether anything could not be read, or a stream cannot be scaled.
    pub fn failed(&self) -> bool {
        self.streams.iter().any(|row| {
            row.error.is_some() || row.log_error.is_some() || row.metrics_error.is_some()
        })
    }

    /// What is printed: a page for each stream if one is named, else the table.
    pub fn show(
        &self,
        args: &cli::Status,
        output: Output,
        width: Option<u16>,
        times: &Times,
    ) -> String {
        let mut shown = self.clone();
        if args.problems {
            shown.streams.retain(Row::is_problem);
        }
        match (output, &args.page) {
            (Output::Json, _) => shown.to_json() + "\n",
            (_, Some(_)) => page::text(&shown, width, times),
            (_, None) if args.problems && shown.streams.is_empty() => {
                render::no_problems(self, width)
            }
            (_, None) => render::text(&shown, width, times),
        }
    }

    /// The object that `--output json` prints.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For a terminal of `width` columns, or with one line a stream for a pipe; what needs
    /// attention first.
    pub fn to_text(&self, width: Option<u16>) -> String {
        render::text(self, width, &Times::utc())
    }
}
