//! What the last tick leaves for the next. Nothing here is needed to be correct, only to be cheap and quiet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    alarm::Alarm,
    decide::{Decision, Reason},
    lease::Term,
    observation::Observation,
    report::StreamReport,
};

/// Where `--once` leaves word for the next run, in the state directory.
const FILE: &str = "last-run.json";

/// What one tick remembers of those before it.
#[derive(Debug, Default)]
pub struct Memory {
    pub term: Option<Term>,
    pub last_tick: Option<Timestamp>,
    /// When the log was last asked for scalings that were left open.
    pub open_read_at: Option<Timestamp>,
    /// Streams whose audit was due when they could not be looked at.
    pub overdue: BTreeSet<usize>,
    held: HashMap<usize, Held>,
    told: HashMap<usize, (&'static str, Option<String>)>,
}

/// A hold that needs no further look while the alarms stay as they are.
#[derive(Debug)]
struct Held {
    firing: Vec<Alarm>,
    decision: Decision,
    since: Timestamp,
    until: Timestamp,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    last_tick: Timestamp,
    /// Set if nothing was open when that process ended.
    open_read_at: Option<Timestamp>,
    #[serde(default)]
    overdue: BTreeSet<usize>,
}

fn write(state_dir: &Path, left: &Left) -> bool {
    // Times always serialize.
    let text = serde_json::to_string(left).unwrap_or_default();
    fs::write(state_dir.join(FILE), text)
        .inspect_err(|error| tracing::debug!(%error, "no word is left for the next run"))
        .is_ok()
}

impl Memory {
    /// The hold that still stands, if the alarms in ALARM are just as they were.
    pub fn recall(&self, number: usize, seen: &Observation, now: Timestamp) -> Option<Decision> {
        let held = self.held.get(&number)?;
        // A clock that was set back must not make it longer.
        let in_time = (held.since..held.until).contains(&now);
        let stands = !seen.must_look && in_time && held.firing == seen.alarms_in_alarm();
        stands.then(|| held.decision.clone())
    }

    /// Keeps a hold for as long as it says that it stands.
    pub fn remember(
        &mut self,
        number: usize,
        firing: Vec<Alarm>,
        decision: Decision,
        now: Timestamp,
    ) {
        match decision.recheck_at {
            Some(until) => self.held.insert(
                number,
                Held {
                    firing,
                    decision,
                    since: now,
                    until,
                },
            ),
            None => self.held.remove(&number),
        };
    }

    /// Reads what an earlier process left, and takes back its word that nothing is open: should this process die, the next one looks for itself.
    pub fn load(&mut self, state_dir: &Path, now: Timestamp) {
        let read = || fs::read_to_string(state_dir.join(FILE)).ok();
        let Some(mut left) = read().and_then(|text| serde_json::from_str::<Left>(&text).ok())
        else {
            return;
        };
        self.last_tick = Some(left.last_tick).filter(|at| *at <= now);
        self.overdue = left.overdue.clone();
        let open_read_at = left.open_read_at.take();
        if write(state_dir, &left) {
            self.open_read_at = open_read_at.filter(|at| *at <= now);
        }
    }

    /// Leaves word for the next process; without it that one only asks AWS a little more.
    pub fn save(&self, state_dir: &Path, nothing_is_open: bool) {
        if let Some(last_tick) = self.last_tick {
            let open_read_at = self.open_read_at.filter(|_| nothing_is_open);
            write(
                state_dir,
                &Left {
                    last_tick,
                    open_read_at,
                    overdue: self.overdue.clone(),
                },
            );
        }
    }

    /// Logs what is new: a hold or an error that lasts is told once.
    pub fn tell(&mut self, number: usize, report: &StreamReport, dry_run: bool) {
        let news = (report.reason, report.error.clone());
        let known =
            report.reason == Reason::NoAlarm.code() || self.told.get(&number) == Some(&news);
        if report.acts() || !known {
            let span =
                tracing::info_span!("stream", stream = report.stream, region = report.region);
            span.in_scope(|| report.log(dry_run));
            self.told.insert(number, news);
        }
    }

    /// Forgets what was told of streams that are well again.
    pub fn keep_told(&mut self, reports: &BTreeMap<usize, StreamReport>) {
        self.told.retain(|number, _| reports.contains_key(number));
    }
}
