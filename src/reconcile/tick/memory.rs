//! What one tick keeps for the next. Nothing here is needed for correctness; it only makes ticks
//! cheap and quiet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hasher},
    path::Path,
};

use autoscaler_core::{
    alarm::Alarm,
    decision::Decision,
    facts::{Facts, Sightings},
    reason::Reason,
    subscription::{Subscription, SubscriptionId},
    trigger::Trigger,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    notices::{Notice, Notices},
    windows::Changes,
};
use crate::reconcile::{lease::LeaseTerm, state_file};

/// Where `--once` saves state for the next run, in the state directory.
const FILE: &str = "last-run.json";

/// What one tick remembers of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub term: Option<LeaseTerm>,
    pub last_tick: Option<Timestamp>,
    /// When the scaling log was last read for open scalings.
    pub open_read_at: Option<Timestamp>,
    /// Streams whose due inspection has not taken place yet.
    pub overdue: BTreeSet<SubscriptionId>,
    /// Streams that have yet to reach a floor, and from when on they are to be looked at.
    pub scheduled: BTreeMap<SubscriptionId, Timestamp>,
    /// Streams that this process has inspected.
    pub inspected: BTreeSet<SubscriptionId>,
    /// Why the scaling log cannot work until a person fixes it.
    pub scaling_log_error: Option<String>,
    /// Why the scaling log could not be read when that was tried last.
    pub scaling_log_unread: Option<String>,
    /// Why the scaling log did not accept the spooled rows when that was tried last.
    pub rows_refused: Option<String>,
    pub notices: Notices,
    /// What was seen of the reshardings of streams whose policy asks for it.
    pub sightings: BTreeMap<String, Sightings>,
    held: HashMap<SubscriptionId, Held>,
    failures: BTreeMap<String, LastingFailure>,
}

/// A hold that needs no further inspection while the alarms stay the same.
#[derive(Debug)]
struct Held {
    basis: Basis,
    decision: Decision,
    since: Timestamp,
    until: Timestamp,
}

impl Held {
    /// A clock that was set back must not prolong it.
    fn is_in_time(&self, now: Timestamp) -> bool {
        (self.since..self.until).contains(&now)
    }
}

/// The alarms in ALARM that a hold rests on.
#[derive(Debug)]
enum Basis {
    /// As this process read them.
    Alarms(Vec<Alarm>),
    /// As an earlier process read them.
    Saved(Fingerprint),
}

impl Basis {
    fn is(&self, subscription: &Subscription, firing: &[Alarm]) -> bool {
        match self {
            Self::Alarms(alarms) => alarms == firing,
            Self::Saved(saved) => *saved == Fingerprint::of(subscription, firing),
        }
    }

    fn fingerprint(&self, subscription: &Subscription) -> Fingerprint {
        match self {
            Self::Alarms(alarms) => Fingerprint::of(subscription, alarms),
            Self::Saved(saved) => *saved,
        }
    }
}

/// Tells alarms, and the settings by which they were judged, from any others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Fingerprint(u64);

impl Fingerprint {
    fn of(subscription: &Subscription, firing: &[Alarm]) -> Self {
        struct Hash(DefaultHasher);
        impl fmt::Write for Hash {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        let mut hash = Hash(DefaultHasher::new());
        // Another version may decide otherwise. Hashing never fails.
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(hash, "{version} {subscription:?} {firing:?}");
        Self(hash.0.finish())
    }
}

/// A [`Held`] in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedHold {
    basis: Fingerprint,
    reason: Reason,
    detail: String,
    since: Timestamp,
    until: Timestamp,
}

impl SavedHold {
    /// A failure is decided anew by each process.
    fn of(held: &Held, subscription: &Subscription) -> Option<Self> {
        let Decision::Hold { reason, detail, .. } = &held.decision else {
            return None;
        };
        Some(Self {
            basis: held.basis.fingerprint(subscription),
            reason: *reason,
            detail: detail.clone(),
            since: held.since,
            until: held.until,
        })
    }

    fn restore(self) -> Held {
        Held {
            basis: Basis::Saved(self.basis),
            decision: Decision::hold(self.reason, self.detail).until(self.until),
            since: self.since,
            until: self.until,
        }
    }
}

/// A failure that is reported at every tick until an inspection finds it fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastingFailure {
    reason: Reason,
    error: String,
    hint: String,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    last_tick: Timestamp,
    /// Set if nothing was open when that process ended.
    open_read_at: Option<Timestamp>,
    /// By the keys of the subscriptions, because ids hold within one process.
    #[serde(default)]
    overdue_streams: BTreeSet<String>,
    #[serde(default)]
    scheduled_streams: BTreeMap<String, Timestamp>,
    #[serde(default)]
    discovered: Vec<Discovered>,
    #[serde(default)]
    notices: BTreeMap<String, Notice>,
    #[serde(default)]
    failures: BTreeMap<String, LastingFailure>,
    #[serde(default)]
    sightings: BTreeMap<String, Sightings>,
    #[serde(default)]
    holds: BTreeMap<String, SavedHold>,
}

/// What a pattern was found to subscribe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Discovered {
    /// Tells the pattern from others.
    pub pattern: String,
    /// When the alarms were listed last.
    pub listed_at: Option<Timestamp>,
    pub streams: BTreeSet<String>,
    /// Streams that lack an alarm, and until when that is taken for granted.
    #[serde(default)]
    pub incomplete: BTreeMap<String, Timestamp>,
}

/// What an earlier process saved about subscriptions, by their keys.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub overdue: BTreeSet<String>,
    pub scheduled: BTreeMap<String, Timestamp>,
    pub discovered: Vec<Discovered>,
    holds: BTreeMap<String, SavedHold>,
}

/// Has the next single run on this host judge anew what the last one found paused.
pub fn forget_pauses(state_dir: &Path) {
    let Some(mut saved) = read(state_dir) else {
        return;
    };
    let is_paused = |_: &String, held: &mut SavedHold| held.reason == Reason::Paused;
    let paused: Vec<String> = saved
        .holds
        .extract_if(.., is_paused)
        .map(|(key, _)| key)
        .collect();
    if !paused.is_empty() {
        // No alarm calls for a floor that the pause keeps back.
        saved.overdue_streams.extend(paused);
        write(state_dir, &saved);
    }
}

fn read(state_dir: &Path) -> Option<Saved> {
    let text = state_file::read(&state_dir.join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write(state_dir: &Path, saved: &Saved) -> bool {
    // Times, strings and numbers always serialize.
    let text = serde_json::to_string(saved).unwrap_or_default();
    state_file::replace(&state_dir.join(FILE), text.as_bytes())
        .inspect_err(|error| tracing::debug!(%error, "could not save state for the next run"))
        .is_ok()
}

impl Memory {
    /// What is still valid after another host may have acted: only the inspections that are due.
    pub fn after_another_host(&mut self) -> Self {
        Self {
            overdue: std::mem::take(&mut self.overdue),
            ..Self::default()
        }
    }

    /// Takes note of windows that have opened or closed: of floors that are to be reached, and of
    /// holds that have to be judged again.
    pub fn take_changes(&mut self, changes: &Changes, now: Timestamp) {
        self.scheduled
            .extend(changes.raised.iter().map(|id| (*id, now)));
        for id in &changes.changed {
            self.held.remove(id);
        }
    }

    /// The hold that is still valid, if the same alarms are in ALARM.
    pub fn recall(
        &self,
        id: SubscriptionId,
        subscription: &Subscription,
        trigger: &Trigger,
        facts: &Facts,
        now: Timestamp,
    ) -> Option<Decision> {
        let held = self.held.get(&id)?;
        let may_stand = held.is_in_time(now) && !trigger.needs_inspection();
        let is_unchanged = || held.basis.is(subscription, &facts.alarms_in_alarm());
        (may_stand && is_unchanged()).then(|| held.decision.clone())
    }

    /// Whether a stream is held at `now` for as long as its alarms stay as they are.
    pub fn holds(&self, id: SubscriptionId, now: Timestamp) -> bool {
        self.held.get(&id).is_some_and(|held| held.is_in_time(now))
    }

    /// The hold that still stands, if it was decided by metrics and the alarms in ALARM are just as
    /// they were.
    pub fn standing(
        &self,
        id: SubscriptionId,
        subscription: &Subscription,
        facts: &Facts,
        now: Timestamp,
    ) -> Option<Decision> {
        let decision = self.recall(id, subscription, &Trigger::Alarm, facts, now)?;
        let by_metrics = matches!(
            decision.reason(),
            Reason::AtTarget | Reason::NoData | Reason::Cooldown | Reason::ConsumersBehind
        );
        by_metrics.then_some(decision)
    }

    /// Remembers a hold until its `recheck_at`.
    pub fn remember(
        &mut self,
        id: SubscriptionId,
        firing: Vec<Alarm>,
        decision: Decision,
        now: Timestamp,
    ) {
        match decision.recheck_at() {
            Some(until) => {
                let held = Held {
                    basis: Basis::Alarms(firing),
                    decision,
                    since: now,
                    until,
                };
                self.held.insert(id, held);
            }
            None => {
                self.held.remove(&id);
            }
        }
    }

    /// Records a lasting failure, or its end. Returns whether the stream is watched, as far as the
    /// decision shows it. `is_whole` is whether the stream and both alarms were found for it.
    pub fn note_failure(
        &mut self,
        id: SubscriptionId,
        key: String,
        decision: &Decision,
        is_whole: bool,
    ) -> Option<bool> {
        match decision {
            Decision::Fail {
                reason: reason @ (Reason::Contract | Reason::StreamMissing),
                error,
                hint,
                ..
            } => {
                self.inspected.insert(id);
                let failure = LastingFailure {
                    reason: *reason,
                    error: error.clone(),
                    hint: hint.clone(),
                };
                self.failures.insert(key, failure);
                Some(false)
            }
            // These say nothing about the pair or the stream.
            decision if is_inconclusive(decision.reason(), is_whole) => None,
            _ => {
                self.inspected.insert(id);
                self.failures.remove(&key);
                Some(true)
            }
        }
    }

    pub fn has_lasting_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The lasting failure of the subscription with this key.
    pub fn lasting_failure(&self, key: &str) -> Option<Decision> {
        let LastingFailure {
            reason,
            error,
            hint,
        } = self.failures.get(key)?;
        Some(Decision::fail(*reason, error, hint))
    }

    /// Reads what an earlier process saved.
    ///
    /// Its statement that nothing is open is removed from disk: if this process dies, the next one
    /// reads the scaling log itself.
    pub fn load(&mut self, state_dir: &Path, now: Timestamp) -> Kept {
        let Some(mut saved) = read(state_dir) else {
            return Kept::default();
        };
        self.last_tick = Some(saved.last_tick).filter(|at| *at <= now);
        self.notices.restore(saved.notices.clone());
        self.failures = saved.failures.clone();
        self.sightings = saved.sightings.clone();
        let open_read_at = saved.open_read_at.take();
        if write(state_dir, &saved) {
            self.open_read_at = open_read_at.filter(|at| *at <= now);
        }
        Kept {
            overdue: saved.overdue_streams,
            scheduled: saved.scheduled_streams,
            discovered: saved.discovered,
            holds: saved.holds,
        }
    }

    /// Takes over the holds of an earlier process.
    pub fn restore_holds(&mut self, kept: &mut Kept, ids: &BTreeMap<String, SubscriptionId>) {
        let holds = std::mem::take(&mut kept.holds).into_iter();
        let holds = holds.filter_map(|(key, held)| Some((*ids.get(&key)?, held.restore())));
        self.held.extend(holds);
    }

    /// Saves state for the next process, which without it only sends a few more requests.
    pub fn save<'a>(
        &self,
        state_dir: &Path,
        nothing_is_open: bool,
        discovered: Vec<Discovered>,
        key: impl Fn(SubscriptionId) -> String,
        subscription: impl Fn(SubscriptionId) -> &'a Subscription,
    ) {
        let Some(last_tick) = self.last_tick else {
            return;
        };
        let saved = Saved {
            last_tick,
            open_read_at: self.open_read_at.filter(|_| nothing_is_open),
            overdue_streams: self.overdue.iter().map(|id| key(*id)).collect(),
            scheduled_streams: self
                .scheduled
                .iter()
                .map(|(id, at)| (key(*id), *at))
                .collect(),
            discovered,
            notices: self.notices.logged().clone(),
            failures: self.failures.clone(),
            sightings: self.sightings.clone(),
            holds: self
                .held
                .iter()
                .filter_map(|(id, held)| Some((key(*id), SavedHold::of(held, subscription(*id))?)))
                .collect(),
        };
        write(state_dir, &saved);
    }

    /// Forgets a stream that is not subscribed any more.
    pub fn forget(&mut self, id: SubscriptionId, key: &str) {
        self.overdue.remove(&id);
        self.scheduled.remove(&id);
        self.inspected.remove(&id);
        self.held.remove(&id);
        self.failures.remove(key);
        self.sightings.remove(key);
        self.notices.forget(key);
    }

    /// Has a stream inspected anew.
    pub fn reinspect(&mut self, id: SubscriptionId) {
        self.held.remove(&id);
        self.overdue.insert(id);
    }

    /// Forgets subscriptions that no longer exist.
    pub fn forget_unknown(&mut self, is_known: impl Fn(&str) -> bool) {
        self.notices.forget_unknown(&is_known);
        self.failures.retain(|key, _| is_known(key));
        self.sightings.retain(|key, _| is_known(key));
    }
}

/// Whether a decision with this reason says nothing about the pair and the stream: some are made
/// before both were read.
fn is_inconclusive(reason: Reason, is_whole: bool) -> bool {
    match reason {
        Reason::AwsError | Reason::InProgress | Reason::Standby => true,
        Reason::Paused | Reason::Window | Reason::AtMinShards => !is_whole,
        _ => false,
    }
}
