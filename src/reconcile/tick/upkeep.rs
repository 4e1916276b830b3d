//! Upkeep of the scaling log beside the tick, so that the poll never waits for DynamoDB.

use std::{sync::Arc, time::Duration};

use autoscaler_core::datetime::after;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::Autoscaler;
use crate::{
    aws::{self, Kind},
    output::error::chain,
    reconcile::{context::Context, scaling_log::ScalingLogError},
};

/// How long one delivery of spooled rows may take.
const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// How often the scaling log is read for open scalings if the audit is off.
const READ_OPEN_EVERY: Duration = Duration::from_mins(15);

/// Upkeep under way; it may outlast a tick.
#[derive(Debug)]
pub(super) struct Upkeep {
    task: JoinHandle<UpkeepResult>,
    reads_open_as_of: Option<Timestamp>,
}

#[derive(Debug)]
struct UpkeepResult {
    delivered: Option<Result<usize, ScalingLogError>>,
    open_read: Option<Result<(), aws::Error>>,
}

impl Autoscaler {
    /// Starts delivering spooled rows and, at the start and once per audit interval, reads which
    /// scalings are open.
    pub(super) fn start_upkeep(&mut self, now: Timestamp) {
        self.take_in_rows(now);
        if self.upkeep.is_some() {
            return;
        }
        let context = self.context.clone();
        let (delivers, reads) = (self.delivers(), self.reads_open(now));
        if delivers || reads {
            self.upkeep = Some(Upkeep {
                task: tokio::spawn(keep_up(context, delivers, reads)),
                reads_open_as_of: reads.then_some(now),
            });
        }
    }

    /// Whether there is upkeep to do at `now`.
    pub(super) fn upkeep_is_due(&self, now: Timestamp) -> bool {
        self.upkeep.is_some() || self.delivers() || self.reads_open(now)
    }

    fn delivers(&self) -> bool {
        !self.context.dry_run && self.context.scaling_log.spooled() > 0
    }

    fn reads_open(&self, now: Timestamp) -> bool {
        let interval = self.context.config.audit_interval;
        let interval = interval.unwrap_or(READ_OPEN_EVERY);
        let interval = SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX);
        let is_due = |last: Timestamp| !(last..after(last, interval)).contains(&now);
        !self.stands_by && self.memory.open_read_at.is_none_or(is_due)
    }

    /// Takes over the results of the upkeep if it ends before `deadline`.
    pub(super) async fn finish_upkeep(&mut self, deadline: Instant, now: Timestamp) {
        let Some(upkeep) = &mut self.upkeep else {
            return;
        };
        let Ok(result) = timeout_at(deadline, &mut upkeep.task).await else {
            return;
        };
        let as_of = upkeep.reads_open_as_of;
        self.upkeep = None;
        // A panic is a bug; the next upkeep starts again.
        let Ok(UpkeepResult {
            delivered,
            open_read,
        }) = result
        else {
            return;
        };
        match delivered {
            Some(Ok(rows)) => {
                self.memory.rows_refused = None;
                tracing::info!(rows, "delivered spooled rows to the scaling log");
            }
            Some(Err(error)) => {
                let (what, error) = ("rows wait in the spool", chain(&error));
                let notices = &mut self.memory.notices;
                notices.report_scaling_log(what, &error, None, now);
                self.memory.rows_refused = Some(error);
            }
            None => {}
        }
        match open_read {
            Some(Ok(())) => {
                self.memory.open_read_at = as_of;
                self.memory.scaling_log_error = None;
                self.memory.scaling_log_unread = None;
            }
            Some(Err(error)) => self.note_unreadable_log(&error, now),
            None => {}
        }
    }

    fn note_unreadable_log(&mut self, error: &aws::Error, now: Timestamp) {
        let what = "could not read the scaling log for open scalings";
        let (text, hint) = (error.to_string(), error.hint());
        let notices = &mut self.memory.notices;
        notices.report_scaling_log(what, &text, hint.clone(), now);
        let lasts = matches!(
            error.kind,
            Kind::NotFound | Kind::AccessDenied | Kind::Invalid
        );
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        self.memory.scaling_log_unread = Some(format!("{text}{hint}"));
        self.memory.scaling_log_error = self.memory.scaling_log_unread.clone().filter(|_| lasts);
    }

    /// Takes over rows that a command left in the state directory.
    fn take_in_rows(&mut self, now: Timestamp) {
        if self.context.dry_run {
            return;
        }
        if let Err(error) = self.context.scaling_log.take_in() {
            let what = "could not take over the rows that a command left";
            let notices = &mut self.memory.notices;
            notices.report_scaling_log(what, &chain(&error), None, now);
        }
    }
}

async fn keep_up(context: Arc<Context>, delivers: bool, reads: bool) -> UpkeepResult {
    let scaling_log = &context.scaling_log;
    let delivered = match delivers {
        true => Some(scaling_log.deliver(DELIVER_WITHIN).await),
        false => None,
    };
    let open_read = match reads {
        true => {
            if context.config.metrics.is_some() {
                // Only the metrics show pauses of streams that nothing asks to scale.
                let _ = scaling_log.pauses(context.clock.now()).await;
            }
            Some(scaling_log.refresh_open().await)
        }
        false => None,
    };
    UpkeepResult {
        delivered,
        open_read,
    }
}
