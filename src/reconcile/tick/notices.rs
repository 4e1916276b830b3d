//! What was logged before: a lasting condition is logged once, and an urgent one again from time to
//! time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use autoscaler_core::{decision::Decision, facts::Unread, reason::Reason, subscription::Account};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::reconcile::report::StreamReport;

/// How often a lasting urgent condition is logged again.
const REPEAT_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// The keys of mute rules that cannot be read. They are asked for only when a stream is about to be
/// scaled, so that such a condition lasts from tick to tick.
const MUTE_RULES: &str = "mute rules of ";

/// The conditions that were logged, by stream, Region or part of the program.
#[derive(Debug, Default)]
pub(super) struct Notices {
    logged: BTreeMap<String, Notice>,
    /// The keys that the current tick has reported.
    current: BTreeSet<String>,
}

/// A condition that was logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    reason: Reason,
    error: Option<String>,
    /// When it began.
    since: Timestamp,
    logged_at: Timestamp,
}

impl Notice {
    /// Whether an audit found it, so that it lasts until another audit finds otherwise. Any other
    /// condition ends with the first tick that does not report it.
    fn lasts(&self) -> bool {
        matches!(
            self.reason,
            Reason::Contract | Reason::StreamMissing | Reason::OnDemand
        )
    }
}

/// Whether a condition is to be logged.
enum Logged {
    Now { held_for: Option<Duration> },
    Already,
}

impl Notices {
    /// The conditions that an earlier process logged.
    pub fn restore(&mut self, logged: BTreeMap<String, Notice>) {
        self.logged = logged;
    }

    /// The conditions to hand to the next process.
    pub fn logged(&self) -> &BTreeMap<String, Notice> {
        &self.logged
    }

    /// Logs what is new about the stream with this key.
    pub fn report(&mut self, key: String, report: &StreamReport, dry_run: bool, now: Timestamp) {
        if report.reason == Reason::NoAlarm && report.error.is_none() {
            self.logged.remove(&key);
            return;
        }
        let repeats = report.is_urgent();
        let error = report.error.as_deref();
        let held_for = match self.log(key, report.reason, error, repeats, now) {
            Logged::Now { held_for } => held_for,
            Logged::Already if report.acts() => None,
            Logged::Already => return,
        };
        // The span shows the stream's name even if only errors are logged.
        let stream = report.name();
        let account = report.account.as_deref();
        let span = tracing::error_span!("stream", stream, region = report.region, account);
        span.in_scope(|| report.log(dry_run, held_for));
    }

    /// Logs in one line that many streams of a Region could not be inspected.
    pub fn report_region(
        &mut self,
        account: &Account,
        region: &str,
        streams: usize,
        failure: &Decision,
        now: Timestamp,
    ) {
        let (key, error) = (account.to_string(), failure.error().unwrap_or_default());
        let logged = self.log(key, failure.reason(), Some(error), true, now);
        if let Logged::Now { held_for } = logged {
            let (profile, role) = (account.profile.as_deref(), account.role_arn.as_deref());
            let held_for = held_for.map(|it| humantime::format_duration(it).to_string());
            let hint = failure.detail();
            tracing::error!(region, profile, role, streams, held_for, hint, "{error}");
        }
    }

    /// Logs that the alarms of an account and Region cannot be listed.
    pub fn report_listing(
        &mut self,
        account: &Account,
        region: &str,
        failure: &Decision,
        now: Timestamp,
    ) {
        let (key, error) = (
            format!("alarms of {account}"),
            failure.error().unwrap_or_default(),
        );
        if let Logged::Now { held_for } = self.log(key, failure.reason(), Some(error), true, now) {
            let (profile, role) = (account.profile.as_deref(), account.role_arn.as_deref());
            let held_for = held_for.map(|it| humantime::format_duration(it).to_string());
            let hint = failure.detail();
            let text = "the alarms cannot be listed, so that streams may be unknown";
            tracing::error!(region, profile, role, held_for, error, hint, "{text}");
        }
    }

    /// Logs what is wrong with the scaling log itself.
    pub fn report_scaling_log(
        &mut self,
        what: &str,
        error: &str,
        hint: Option<String>,
        now: Timestamp,
    ) {
        let key = what.to_owned();
        let logged = self.log(key, Reason::LogUnavailable, Some(error), true, now);
        if let Logged::Now { held_for } = logged {
            let held_for = held_for.map(|it| humantime::format_duration(it).to_string());
            tracing::warn!(error, held_for, hint, "{what}");
        }
    }

    /// Logs that the mute rules of an account cannot be read: once, until they can be read again.
    pub fn report_mute_rules(
        &mut self,
        account: &Account,
        unread: Option<&Unread>,
        now: Timestamp,
    ) {
        let key = format!("{MUTE_RULES}{account}");
        let Some(Unread { error, hint }) = unread else {
            self.logged.remove(&key);
            return;
        };
        let logged = self.log(key, Reason::Muted, None, false, now);
        if let Logged::Now { .. } = logged {
            let hint = hint.as_deref().unwrap_or_default();
            let account = account.to_string();
            tracing::warn!(
                account,
                error,
                hint,
                "could not read alarm mute rules; muted alarms go on scaling their streams"
            );
        }
    }

    /// Forgets the condition with this key.
    pub fn forget(&mut self, key: &str) {
        self.logged.remove(key);
    }

    /// Forgets lasting conditions of subscriptions that no longer exist.
    pub fn forget_unknown(&mut self, is_known: impl Fn(&str) -> bool) {
        self.logged
            .retain(|key, notice| is_known(key) || !notice.lasts());
    }

    /// Ends a tick: a condition that it did not report is forgotten, and logged again when it
    /// returns.
    pub fn end_tick(&mut self) {
        let current = std::mem::take(&mut self.current);
        self.logged.retain(|key, notice| {
            current.contains(key) || notice.lasts() || key.starts_with(MUTE_RULES)
        });
    }

    fn log(
        &mut self,
        key: String,
        reason: Reason,
        error: Option<&str>,
        repeats: bool,
        now: Timestamp,
    ) -> Logged {
        self.current.insert(key.clone());
        let known = self.logged.get_mut(&key);
        match known.filter(|it| it.reason == reason && it.error.as_deref() == error) {
            Some(known) if repeats && due(known.logged_at, now) => {
                known.logged_at = now;
                let held_for = now.duration_since(known.since).unsigned_abs();
                let seconds = Duration::from_secs(held_for.as_secs());
                Logged::Now {
                    held_for: Some(seconds),
                }
            }
            Some(_) => Logged::Already,
            None => {
                let notice = Notice {
                    reason,
                    error: error.map(str::to_owned),
                    since: now,
                    logged_at: now,
                };
                self.logged.insert(key, notice);
                Logged::Now { held_for: None }
            }
        }
    }
}

fn due(logged_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(logged_at).abs() >= REPEAT_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each tick, a minute after the one before, reports about a stream, and whether that is
    /// logged.
    #[track_caller]
    fn check(ticks: &[(Option<Reason>, bool)]) {
        let mut notices = Notices::default();
        for (number, (reason, logged)) in ticks.iter().enumerate() {
            let minute = i64::try_from(number).expect("small");
            let now = Timestamp::from_second(1_800_000_000 + 60 * minute).expect("a time");
            let is_logged = reason.is_some_and(|reason| {
                let key = "eu-west-1/orders".to_owned();
                if reason == Reason::NoAlarm {
                    notices.logged.remove(&key);
                    return false;
                }
                let repeats = reason == Reason::DailyLimit;
                matches!(
                    notices.log(key, reason, None, repeats, now),
                    Logged::Now { .. }
                )
            });
            notices.end_tick();
            assert_eq!(is_logged, *logged, "tick {number} of {ticks:?}");
        }
    }

    #[test]
    fn a_lasting_condition_is_logged_once_and_again_when_it_changes_or_comes_back() {
        let (limit, data) = (Some(Reason::DailyLimit), Some(Reason::NoData));
        check(&[(limit, true), (limit, false), (data, true), (data, false)]);
        check(&[(limit, true), (None, false), (limit, true)]);
        let rests = Some(Reason::NoAlarm);
        check(&[(limit, true), (rests, false), (limit, true)]);
        // A stream is audited once in many ticks.
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
    fn an_urgent_condition_is_logged_again_every_quarter_of_an_hour() {
        let hour = |reason: Reason, repeats: bool| -> Vec<(Option<Reason>, bool)> {
            let logged = |minute: usize| minute == 0 || (repeats && minute.is_multiple_of(15));
            (0..60)
                .map(|minute| (Some(reason), logged(minute)))
                .collect()
        };
        check(&hour(Reason::DailyLimit, true));
        check(&hour(Reason::Cooldown, false));
    }

    #[test]
    fn mute_rules_that_cannot_be_read_are_logged_once_until_they_can_be_read() {
        let (account, denied) = (Account::default(), unread("denied"));
        let mut notices = Notices::default();
        let mut logged = |minute: i64, unread: Option<&Unread>| {
            let now = Timestamp::from_second(60 * minute).expect("a time");
            notices.report_mute_rules(&account, unread, now);
            notices.end_tick();
            notices.logged.values().any(|it| it.logged_at == now)
        };
        assert!(logged(0, Some(&denied)), "the first time");
        assert!(!logged(60, Some(&denied)), "an hour later");
        assert!(!logged(61, Some(&unread("late"))), "for another cause");
        assert!(!logged(62, None), "when they are read");
        assert!(logged(63, Some(&denied)), "when it comes back");
    }

    fn unread(error: &str) -> Unread {
        Unread {
            error: error.to_owned(),
            hint: None,
        }
    }

    #[test]
    fn a_region_is_logged_once_for_each_error() {
        let mut notices = Notices::default();
        for (error, logged) in [("away", true), ("away", false), ("denied", true)] {
            let key = "eu-west-1".to_owned();
            let now = Timestamp::UNIX_EPOCH;
            let result = notices.log(key, Reason::AwsError, Some(error), true, now);
            assert_eq!(matches!(result, Logged::Now { .. }), logged, "{error}");
            notices.end_tick();
        }
    }
}
