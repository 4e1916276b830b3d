//! The daemon: ticks by the cron schedule, never two at once; stops on SIGTERM and SIGINT, reloads on SIGHUP.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::Instant,
};
use tokio_cron_scheduler::JobSchedulerError;

use crate::{
    daemon::{
        cron::Cron,
        systemd::{self, Watchdog},
    },
    output::error::{Exit, Failure},
    reconcile::{report::Report, tick::Autoscaler},
};

/// What is under way when the process stops has so long to end; what is cut then stays open in the log and is settled at the next start.
pub const STOP_WITHIN: Duration = Duration::from_secs(8);
/// And then the lease is given up, or runs out.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);
/// A tick that starts so much after its time was delayed by the one before it.
const LATE: Duration = Duration::from_millis(1500);
/// Follows the tick's words until a reload succeeds.
const REFUSED: &str = "; the last reload was refused, see the log";
/// The watchdog allows this much beyond a tick's deadline, and beyond the time by which a tick is due.
const WATCHDOG_SLACK: Duration = Duration::from_secs(30);

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("the schedule cannot be started")]
    Scheduler(#[from] JobSchedulerError),
    #[error("signals cannot be caught")]
    Signals(#[from] std::io::Error),
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// What a daemon runs with; a reload makes another.
#[derive(Debug)]
pub struct Plan {
    pub autoscaler: Autoscaler,
    pub schedule: String,
    pub tick_timeout: Duration,
    /// The task that renews the lease.
    pub keeper: Option<JoinHandle<()>>,
}

impl Plan {
    /// Lets what is under way end, up to a deadline, and gives the lease up.
    async fn end(&mut self) -> usize {
        let deadline = Instant::now() + STOP_WITHIN;
        let (cut, _) = self.autoscaler.stop(deadline).await;
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        if let Some(lease) = self.autoscaler.lease() {
            let release = tokio::time::timeout_at(deadline + RELEASE_WITHIN, lease.release());
            if release.await.is_err() {
                tracing::warn!("the lease could not be given up in time; it runs out by itself");
            }
        }
        cut
    }
}

/// Makes the plan anew from the configuration.
pub trait Reload {
    /// Whatever can be made while the old plan still acts.
    type Prepared;

    /// Reads the new configuration; an error, in words, keeps the old plan.
    fn prepare(&mut self) -> impl Future<Output = Result<Self::Prepared, String>>;
    /// Makes the new plan; the old one has ended.
    fn plan(&mut self, prepared: Self::Prepared) -> impl Future<Output = Result<Plan, Failure>>;
    /// Told after each tick.
    fn ticked(&mut self, report: &Report);
    /// Told after each reload, whether the new configuration is in force.
    fn reloaded(&mut self, taken: bool);
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(mut plan: Plan, mut reload: impl Reload) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(ScheduleError::from)?;
    let mut cron = Cron::start(&plan.schedule)
        .await
        .map_err(ScheduleError::from)?;
    let watchdog = Watchdog::start();
    systemd::ready();
    tracing::info!(schedule = plan.schedule, "started");
    let mut late_by = None;
    let mut refused = "";
    loop {
        watchdog.set(Some(Instant::now() + plan.tick_timeout + WATCHDOG_SLACK));
        let mut report = tokio::select! {
            report = plan.autoscaler.tick(plan.tick_timeout) => report,
            () = signals.stop() => break,
        };
        report.late_by = late_by.take();
        let words = report.in_words();
        tracing::debug!(calls = ?report.api_calls, "{words}");
        systemd::status(&format!("{words}{refused}"));
        reload.ticked(&report);
        loop {
            watchdog.set(cron.due_by().map(|due| due + WATCHDOG_SLACK));
            let signalled = tokio::select! {
                due = cron.due() => {
                    late_by = lateness(due.map_err(ScheduleError::from)?);
                    break;
                }
                signalled = signals.next() => signalled,
            };
            match signalled {
                Signalled::Stop => return stop(plan).await,
                Signalled::HangUp => {
                    let taken;
                    (plan, taken) = take_over(plan, &mut cron, &mut reload).await?;
                    reload.reloaded(taken);
                    refused = if taken { "" } else { REFUSED };
                }
            }
        }
    }
    stop(plan).await
}

/// How late a tick is that was due at `due`, if that is worth telling.
fn lateness(due: Instant) -> Option<Duration> {
    let late = due.elapsed();
    if late <= LATE {
        return None;
    }
    tracing::warn!(
        late_seconds = late.as_secs(),
        "the tick is late: the one before it took longer than the schedule allows"
    );
    Some(late)
}

/// Puts a new configuration in force. An invalid one is reported, and the old one stays. Returns
/// whether the new one was taken.
async fn take_over(
    mut old: Plan,
    cron: &mut Cron,
    reload: &mut impl Reload,
) -> Result<(Plan, bool), Failure> {
    systemd::reloading();
    let taken_over = match reload.prepare().await {
        Ok(prepared) => {
            // Two plans would share one spool and one lease: the old one's work ends, or is cut and settled by the new one.
            old.end().await;
            let new = reload.plan(prepared).await?;
            if new.schedule != old.schedule {
                *cron = Cron::start(&new.schedule)
                    .await
                    .map_err(ScheduleError::from)?;
                // A tick may have been due between the two schedules.
                cron.trigger();
            }
            tracing::info!(schedule = new.schedule, "the new configuration is in force");
            (new, true)
        }
        Err(problem) => {
            tracing::error!(
                "the new configuration is wrong, the old one stays in force: {problem}"
            );
            systemd::status(
                "the new configuration is wrong, the old one stays in force; see the log",
            );
            (old, false)
        }
    };
    systemd::ready();
    Ok(taken_over)
}

async fn stop(mut plan: Plan) -> Result<(), Failure> {
    systemd::stopping();
    if plan.autoscaler.under_way() > 0 {
        tracing::info!(
            streams = plan.autoscaler.under_way(),
            "stopping; waiting for what is under way"
        );
    }
    match plan.end().await {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!(
            streams = cut,
            "stopped; what was cut short is open in the log and is settled at the next start"
        ),
    }
    Ok(())
}

/// The signals that end or reload the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Signalled {
        let Self {
            terminate,
            interrupt,
            hang_up,
        } = self;
        tokio::select! {
            _ = terminate.recv() => Signalled::Stop,
            _ = interrupt.recv() => Signalled::Stop,
            _ = hang_up.recv() => Signalled::HangUp,
        }
    }
}

enum Signalled {
    Stop,
    HangUp,
}
