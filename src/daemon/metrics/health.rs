//! Whether the daemon is healthy: its last tick ended in time, and AWS answered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    daemon::cron::next_after,
    reconcile::{
        context::Context,
        lease::Standing,
        report::{NO_KNOWN_HOST, Report},
    },
};

/// The answer of `/healthz`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    pub healthy: bool,
    /// What is wrong.
    pub reason: Option<String>,
    /// How old the last tick may be.
    pub limit_seconds: f64,
    pub last_tick: Option<Tick>,
}

/// The last tick, for the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tick {
    pub started_at: Timestamp,
    pub duration_ms: u64,
    /// Seconds since it ended.
    pub age_seconds: f64,
    /// The status text, as in `systemctl status`.
    pub result: String,
    /// The number of streams that failed.
    pub failed: usize,
    /// The Regions whose alarms could not be polled, and why.
    pub unpolled: Vec<String>,
    /// The host that holds the lease, if it is another one.
    pub standby: Option<String>,
}

#[derive(Debug)]
pub(super) struct LastTick {
    ended: Instant,
    started_at: Timestamp,
    duration_ms: u64,
    result: String,
    failed: usize,
    unpolled: Vec<String>,
    /// Why streams that patterns subscribe may be unknown.
    unlisted: Option<String>,
    pub standby: Option<String>,
    pub scaling_log_error: Option<String>,
}

impl LastTick {
    pub fn new(report: &Report) -> Self {
        let failed = report
            .streams
            .iter()
            .filter(|stream| stream.error.is_some());
        Self {
            ended: Instant::now(),
            started_at: report.started_at,
            duration_ms: report.duration_ms,
            result: report.summary(),
            failed: failed.count(),
            unpolled: report.unpolled.clone(),
            unlisted: unlisted(report),
            standby: report.standby.clone(),
            scaling_log_error: report.scaling_log_error.clone(),
        }
    }

    /// Seconds since the epoch.
    pub fn ended_at(&self, context: &Context) -> f64 {
        context.clock.now().as_duration().as_secs_f64() - self.ended.elapsed().as_secs_f64()
    }
}

pub(super) fn judge(context: &Context, last: Option<&LastTick>) -> Health {
    let age = last.map(|last| last.ended.elapsed());
    let now = context.clock.now();
    let ended = now - age.unwrap_or_default();
    let gap = gap(&context.config.schedule, ended);
    let limit = gap
        .saturating_mul(2)
        .saturating_add(context.config.tick_timeout);
    let reason = match (last, age) {
        (Some(last), Some(age)) => wrong(context, last, age, limit),
        _ => Some("no tick has ended yet".to_owned()),
    };
    Health {
        healthy: reason.is_none(),
        reason,
        limit_seconds: limit.as_secs_f64(),
        last_tick: last.zip(age).map(|(last, age)| Tick {
            started_at: last.started_at,
            duration_ms: last.duration_ms,
            age_seconds: (age.as_secs_f64() * 1000.0).round() / 1000.0,
            result: last.result.clone(),
            failed: last.failed,
            unpolled: last.unpolled.clone(),
            standby: last.standby.clone(),
        }),
    }
}

fn wrong(context: &Context, last: &LastTick, age: Duration, limit: Duration) -> Option<String> {
    if age > limit {
        let (age, limit) = (age.as_secs(), limit.as_secs());
        return Some(format!(
            "the last tick ended {age} s ago, and {limit} s is the most that it may"
        ));
    }
    // One account that does not answer is enough to be unhealthy: its streams are not scaled.
    if let Some(unpolled) = last.unpolled.first() {
        return Some(format!("AWS could not be polled: {unpolled}"));
    }
    if let Some(unlisted) = &last.unlisted {
        return Some(unlisted.clone());
    }
    if last.standby.as_deref() == Some(NO_KNOWN_HOST) {
        return Some("no host is known to hold the lease, so no stream is scaled".to_owned());
    }
    if let Some(lease) = &context.lease
        && lease.standing() == Standing::Alone
    {
        let text = "no host is known to hold the lease, so this one scales up only";
        return Some(text.to_owned());
    }
    let error = last.scaling_log_error.as_ref()?;
    Some(format!("the scaling log does not work: {error}"))
}

fn unlisted(report: &Report) -> Option<String> {
    let failed = report.unlisted.first();
    let failed = failed.map(|error| format!("alarms could not be listed: {error}"));
    let pending = report.listing.first();
    failed.or_else(|| pending.map(|it| format!("the alarms of {it} have not been listed yet")))
}

/// The longer of the next two intervals of the schedule after `from`.
fn gap(schedule: &str, from: Timestamp) -> Duration {
    let next = || {
        let from = DateTime::<Utc>::from_timestamp(from.as_second(), 0)?;
        let first = next_after(schedule, from)?;
        let second = next_after(schedule, first)?;
        let longest = (first - from).max(second - first);
        longest.to_std().ok()
    };
    // The configuration checked the schedule. A schedule that ends before its next tick has no
    // interval.
    next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_that_of_the_schedule_at_that_time() {
        let check = |schedule: &str, from: &str, seconds: u64| {
            let at = from.parse::<Timestamp>().expect("a time");
            assert_eq!(
                gap(schedule, at).as_secs(),
                seconds,
                "{schedule} from {from}"
            );
        };
        check("0 * * * * *", "2026-11-22T12:00:00Z", 60);
        check("0 * * * * *", "2026-11-22T12:00:59Z", 60);
        check("*/10 * * * * *", "2026-11-22T12:00:03Z", 10);
        check("0 0 8-18 * * *", "2026-11-22T12:00:01Z", 3_600);
        check("0 0 8-18 * * *", "2026-11-22T18:00:00Z", 50_400);
        check("0 0 0 1 1 *", "2026-11-22T18:00:00Z", 31_536_000);
    }
}
