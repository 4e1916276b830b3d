//! The daemon: one tick at a time by the cron schedule, until SIGTERM or SIGINT; SIGHUP reloads.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_cron_scheduler::JobSchedulerError;

use crate::{
    daemon::{
        cron::Cron,
        plan::Plan,
        systemd::{self, Watchdog},
    },
    output::error::{Exit, Failure},
    reconcile::report::Report,
};

/// A tick that starts this long after it was due was delayed by the previous tick.
const LATE: Duration = Duration::from_millis(1500);
/// Appended to the status text until a reload succeeds.
const REFUSED: &str = "; the last reload was refused, see the log";
/// How far beyond a tick's deadline, or beyond the time the next tick is due, the watchdog is fed.
const WATCHDOG_SLACK: Duration = Duration::from_secs(30);

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("the schedule cannot be started")]
    Scheduler(#[from] JobSchedulerError),
    #[error("signal handlers cannot be installed")]
    Signals(#[from] std::io::Error),
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// Builds a new plan from the configuration.
pub trait Reload {
    /// What can be built while the old plan is still active.
    type Prepared;

    /// Reads the new configuration. On an error, which is a text for people, the old plan stays.
    fn prepare(&mut self) -> impl Future<Output = Result<Self::Prepared, String>>;
    /// Builds the new plan after the old one has ended.
    fn plan(&mut self, prepared: Self::Prepared) -> impl Future<Output = Result<Plan, Failure>>;
    /// Called after each tick.
    fn ticked(&mut self, report: &Report);
    /// Called when a plan has ended, with what was done since its last tick.
    fn ended(&mut self, report: &Report);
    /// Called before the daemon ends.
    fn stop(&mut self) -> impl Future<Output = ()>;
    /// Called after each reload; `taken` is whether the new configuration is in force.
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
    let is_dry_run = plan.autoscaler.is_dry_run();
    let (started, dry_run) = match is_dry_run {
        true => (
            "started; this is a dry run, which changes nothing",
            "dry run; ",
        ),
        false => ("started", ""),
    };
    tracing::info!(schedule = plan.schedule, dry_run = is_dry_run, "{started}");
    let mut late_by = None;
    let mut refused = "";
    loop {
        watchdog.set(Some(Instant::now() + plan.tick_timeout + WATCHDOG_SLACK));
        let mut report = tokio::select! {
            report = plan.autoscaler.tick(plan.tick_timeout) => report,
            () = signals.stop() => break,
        };
        report.late_by = late_by.take();
        let words = format!("{dry_run}{}", report.summary());
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
                Signalled::Stop => return stop(plan, reload).await,
                Signalled::HangUp => {
                    let taken;
                    (plan, taken) = reload_plan(plan, &mut cron, &mut reload).await?;
                    reload.reloaded(taken);
                    refused = if taken { "" } else { REFUSED };
                }
            }
        }
    }
    stop(plan, reload).await
}

/// How late a tick started that was due at `due`, if that is worth reporting.
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

/// Puts a new configuration in force and returns whether that succeeded. If it is invalid, the
/// error is reported and the old one stays.
async fn reload_plan(
    mut old: Plan,
    cron: &mut Cron,
    reload: &mut impl Reload,
) -> Result<(Plan, bool), Failure> {
    systemd::reloading();
    let result = match reload.prepare().await {
        Ok(prepared) => {
            // Two plans would share one spool and one lease, so the old plan ends first.
            let (_, report) = old.end().await;
            reload.ended(&report);
            let mut new = reload.plan(prepared).await?;
            new.autoscaler.adopt(&old.autoscaler);
            if new.schedule != old.schedule {
                *cron = Cron::start(&new.schedule)
                    .await
                    .map_err(ScheduleError::from)?;
                // A tick may have been due while the schedule was replaced.
                cron.trigger();
            }
            tracing::info!(schedule = new.schedule, "the new configuration is in force");
            (new, true)
        }
        Err(problem) => {
            tracing::error!(
                "the new configuration is invalid; the old one stays in force: {problem}"
            );
            systemd::status(
                "the new configuration is invalid; the old one stays in force; see the log",
            );
            (old, false)
        }
    };
    systemd::ready();
    Ok(result)
}

async fn stop(mut plan: Plan, mut reload: impl Reload) -> Result<(), Failure> {
    systemd::stopping();
    if plan.autoscaler.under_way() > 0 {
        tracing::info!(
            streams = plan.autoscaler.under_way(),
            "stopping; waiting for work under way"
        );
    }
    let (cut, report) = plan.end().await;
    reload.ended(&report);
    reload.stop().await;
    match cut {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!(
            streams = cut,
            "stopped; interrupted scalings stay open in the scaling log and are settled at the next start"
        ),
    }
    Ok(())
}

/// The signals that stop or reload the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Handles the signals from now on.
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
