//! What the last tick leaves for the next. Nothing here is needed to be correct, only to be cheap and quiet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reconcile::{lease::LeaseTerm, report::StreamReport};
use autoscaler_core::{
    alarm::Alarm, decide::Decision, facts::Observation, reason::Reason, subscription::Account,
};

/// Where `--once` leaves word for the next run, in the state directory.
const FILE: &str = "last-run.json";

/// What one tick remembers of those before it.
#[derive(Debug, Default)]
pub struct Memory {
    pub term: Option<LeaseTerm>,
    pub last_tick: Option<Timestamp>,
    /// When the log was last asked for scalings that were left open.
    pub open_read_at: Option<Timestamp>,
    /// Streams whose audit was due when they could not be looked at.
    pub overdue: BTreeSet<usize>,
    held: HashMap<usize, Held>,
    /// What the log was told last of each stream, or of a Region as a whole.
    told: BTreeMap<String, Notice>,
    /// Who was told of in the tick under way.
    told_now: BTreeSet<String>,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Notice {
    reason: String,
    error: Option<String>,
}

impl Notice {
    /// Found by an audit, and so until the next one finds it otherwise; other news ends with the first tick that does not bring it.
    fn lasts(&self) -> bool {
        [Reason::Contract, Reason::StreamMissing, Reason::OnDemand]
            .iter()
            .any(|reason| reason.code() == self.reason)
    }
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
    #[serde(default)]
    told: BTreeMap<String, Notice>,
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
        let stands = !seen.needs_inspection && in_time && held.firing == seen.alarms_in_alarm();
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
        self.told = left.told.clone();
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
                    told: self.told.clone(),
                },
            );
        }
    }

    /// Logs what is new of the stream that `key` names: a hold or an error that lasts is told once.
    pub fn tell(&mut self, key: String, report: &StreamReport, dry_run: bool) {
        if report.reason == Reason::NoAlarm.code() {
            self.told.remove(&key);
            return;
        }
        if self.is_news(key, report.reason, report.error.as_deref()) || report.acts() {
            // The span is for runs that log errors alone, too.
            let span =
                tracing::error_span!("stream", stream = report.stream, region = report.region);
            span.in_scope(|| report.log(dry_run));
        }
    }

    /// Logs, once and in one line, that many streams of a Region cannot be looked after.
    pub fn tell_of_region(
        &mut self,
        account: &Account,
        region: &str,
        streams: usize,
        why: &Decision,
    ) {
        let error = why.error.as_deref().unwrap_or_default();
        if self.is_news(account.to_string(), why.reason.code(), Some(error)) {
            let (profile, role) = (account.profile.as_deref(), account.role_arn.as_deref());
            tracing::error!(region, profile, role, streams, hint = why.detail, "{error}");
        }
    }

    /// Forgets what was told of subscriptions that are none any more.
    pub fn forget_unknown(&mut self, keys: &BTreeSet<String>) {
        self.told
            .retain(|key, news| keys.contains(key) || !news.lasts());
    }

    /// Logs, once, what is wrong with the log itself.
    pub fn tell_of_log(&mut self, what: &str, error: &str, hint: Option<String>) {
        if self.is_news(what.to_owned(), Reason::LogUnavailable.code(), Some(error)) {
            tracing::warn!(error, hint, "{what}");
        }
    }

    fn is_news(&mut self, key: String, reason: &str, error: Option<&str>) -> bool {
        let news = Notice {
            reason: reason.to_owned(),
            error: error.map(ToOwned::to_owned),
        };
        self.told_now.insert(key.clone());
        self.told.insert(key, news.clone()) != Some(news)
    }

    /// Ends a tick: what it did not bring is forgotten, and told again when it comes back.
    pub fn keep_told(&mut self) {
        let now = std::mem::take(&mut self.told_now);
        self.told
            .retain(|key, news| now.contains(key) || news.lasts());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tick brings of the stream `orders`, and whether that is logged.
    #[track_caller]
    fn check(ticks: &[(Option<Reason>, bool)]) {
        let mut memory = Memory::default();
        for (number, (reason, logged)) in ticks.iter().enumerate() {
            let news = reason.map(|reason| {
                let key = "eu-west-1/orders".to_owned();
                if reason == Reason::NoAlarm {
                    let rests = Decision::hold(reason, "at rest");
                    let report = StreamReport::new("orders", "eu-west-1", &rests);
                    memory.tell(key, &report, false);
                    return false;
                }
                memory.is_news(key, reason.code(), None)
            });
            memory.keep_told();
            assert_eq!(news.unwrap_or(false), *logged, "tick {number} of {ticks:?}");
        }
    }

    #[test]
    fn what_lasts_is_told_once_and_again_when_it_changes_or_comes_back() {
        let (limit, data) = (Some(Reason::DailyLimit), Some(Reason::NoData));
        check(&[(limit, true), (limit, false), (data, true), (data, false)]);
        check(&[(limit, true), (None, false), (limit, true)]);
        let rests = Some(Reason::NoAlarm);
        check(&[(limit, true), (rests, false), (limit, true)]);
        // An audit comes around once in many ticks.
        let broken = Some(Reason::Contract);
        check(&[
            (broken, true),
            (None, false),
            (None, false),
            (broken, false),
        ]);
        check(&[
            (broken, true),
            (None, false),
            (rests, false),
            (broken, true),
        ]);
    }

    #[test]
    fn a_region_is_told_of_once() {
        let mut memory = Memory::default();
        for (error, news) in [("away", true), ("away", false), ("denied", true)] {
            let told = memory.is_news("eu-west-1".to_owned(), "aws_error", Some(error));
            assert_eq!(told, news, "{error}");
            memory.keep_told();
        }
    }
}
