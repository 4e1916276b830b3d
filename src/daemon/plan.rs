//! A daemon's plan: an autoscaler with the task that keeps its lease.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::reconcile::{context::Context, report::Report, tick::Autoscaler};

/// How long work under way may continue after a stop signal. Work that is cut short stays open in
/// the scaling log and is settled at the next start.
pub const STOP_WITHIN: Duration = Duration::from_secs(8);
/// How long releasing the lease may take after that; a lease that is not released expires.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);

/// What a daemon runs with. A reload replaces it.
#[derive(Debug)]
pub struct Plan {
    pub autoscaler: Autoscaler,
    pub schedule: String,
    pub tick_timeout: Duration,
    /// The task that renews the lease; it ends with the plan.
    keeper: JoinSet<()>,
}

impl Plan {
    /// A plan whose first tick is due.
    pub async fn new(context: Arc<Context>) -> Self {
        let config = &context.config;
        let (schedule, tick_timeout) = (config.schedule.clone(), config.tick_timeout);
        let mut keeper = JoinSet::new();
        if let Some(lease) = context.lease.clone() {
            // The first beat comes before the first tick, so that a single host acts at once.
            lease.beat().await;
            keeper.spawn(async move {
                loop {
                    tokio::time::sleep(lease.period()).await;
                    lease.beat().await;
                }
            });
        }
        let mut autoscaler = Autoscaler::new(context, false);
        // The poll alone cannot tell a missing alarm from an alarm that is not in ALARM.
        autoscaler.inspect_all();
        Self {
            autoscaler,
            schedule,
            tick_timeout,
            keeper,
        }
    }

    /// Lets work under way finish until a deadline, then releases the lease. Returns how many
    /// streams were cut short, and what was done since the last tick.
    pub(super) async fn end(&mut self) -> (usize, Report) {
        let deadline = Instant::now() + STOP_WITHIN;
        let (cut, report) = self.autoscaler.stop(deadline).await;
        self.keeper.abort_all();
        if let Some(lease) = self.autoscaler.lease() {
            let release = timeout_at(deadline + RELEASE_WITHIN, lease.release());
            if release.await.is_err() {
                tracing::warn!("the lease could not be released in time; it will expire");
            }
        }
        (cut, report)
    }
}
