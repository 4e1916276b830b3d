//! The cron schedule, guarded against steps of the wall clock.
//!
//! tokio-cron-scheduler compares wall-clock times: after the clock is set back, it waits until the
//! old time is reached again. So the next activation is also expected on the monotonic clock. When
//! it does not come, or when the two clocks drift apart, the schedule is rebuilt from the current
//! time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds};
use tokio::{sync::mpsc, time::Instant};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// How often the two clocks are compared.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The scheduler polls twice a second; an activation that is later than this is missing.
const GRACE: Duration = Duration::from_secs(1);
/// A difference between the clocks that slewing cannot cause within [`CHECK_EVERY`].
const STEP: Duration = Duration::from_secs(1);

/// The first activation of `schedule` after `from`, if there is one.
pub(super) fn next_after(schedule: &str, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build();
    let cron = parser.parse(schedule).ok()?;
    cron.find_next_occurrence(&from, false).ok()
}

/// The schedule as a channel that holds at most one due tick, so that ticks are delayed but never
/// overlap.
pub(super) struct Cron {
    schedule: String,
    job: ScheduledJob,
    guard: Guard,
    /// A tick that is due regardless of the schedule.
    pending: Option<Instant>,
}

impl Cron {
    pub async fn start(schedule: &str) -> Result<Self, JobSchedulerError> {
        Ok(Self {
            schedule: schedule.to_owned(),
            job: ScheduledJob::start(schedule).await?,
            guard: Guard::new(schedule, Sample::now()),
            pending: None,
        })
    }

    /// Makes a tick due now, in addition to the scheduled ones.
    pub fn trigger(&mut self) {
        self.pending = Some(Instant::now());
    }

    /// The latest time at which the next tick becomes due; `None` when the schedule has ended.
    pub fn due_by(&self) -> Option<Instant> {
        match self.pending {
            Some(pending) => Some(pending),
            None => self.guard.overdue_at(),
        }
    }

    /// Waits until a tick is due; returns since when. May be cancelled and called again.
    pub async fn due(&mut self) -> Result<Instant, JobSchedulerError> {
        loop {
            if let Some(pending) = self.pending.take() {
                return Ok(pending);
            }
            let check_at = Instant::now() + CHECK_EVERY;
            let check_at = self
                .guard
                .overdue_at()
                .map_or(check_at, |at| at.min(check_at));
            tokio::select! {
                biased;
                Some(due) = self.job.due.recv() => {
                    self.guard.activated(&self.schedule, Sample::now());
                    return Ok(due);
                }
                () = tokio::time::sleep_until(check_at) => self.check().await?,
            }
        }
    }

    async fn check(&mut self) -> Result<(), JobSchedulerError> {
        let now = Sample::now();
        match self.guard.check(now) {
            Finding::Fine => self.guard.compared(now),
            Finding::Stepped => {
                tracing::warn!("the system clock was changed; the schedule is rebuilt");
                self.job = ScheduledJob::start(&self.schedule).await?;
                self.guard.stepped(&self.schedule, now);
            }
            Finding::Overdue => {
                tracing::info!("the schedule did not start a tick in time and is rebuilt");
                self.job = ScheduledJob::start(&self.schedule).await?;
                self.guard.activated(&self.schedule, now);
                self.trigger();
            }
        }
        Ok(())
    }
}

/// The scheduler with its one job.
struct ScheduledJob {
    scheduler: JobScheduler,
    due: mpsc::Receiver<Instant>,
}

impl ScheduledJob {
    async fn start(schedule: &str) -> Result<Self, JobSchedulerError> {
        let (sender, due) = mpsc::channel(1);
        let job = Job::new_async(schedule, move |_, _| {
            // When the channel is full a tick is already due, and running it once is enough.
            let _ = sender.try_send(Instant::now());
            Box::pin(async {})
        })?;
        let scheduler = JobScheduler::new().await?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler, due })
    }
}

impl Drop for ScheduledJob {
    fn drop(&mut self) {
        let mut scheduler = self.scheduler.clone();
        // Dropped inside the runtime: when the schedule is rebuilt, at a reload or at the end.
        tokio::spawn(async move { scheduler.shutdown().await });
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl Sample {
    fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: Utc::now(),
        }
    }
}

/// When the next activation is expected on the monotonic clock, and both clocks at the last
/// comparison.
#[derive(Debug)]
struct Guard {
    last: Sample,
    expected: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    /// The wall clock was set forward or back, or the machine was suspended.
    Stepped,
    /// The expected activation did not come.
    Overdue,
}

impl Guard {
    fn new(schedule: &str, now: Sample) -> Self {
        Self {
            last: now,
            expected: expected(schedule, now),
        }
    }

    fn overdue_at(&self) -> Option<Instant> {
        self.expected.map(|expected| expected + GRACE)
    }

    fn check(&self, now: Sample) -> Finding {
        if self.overdue_at().is_some_and(|at| now.monotonic >= at) {
            return Finding::Overdue;
        }
        let run = now.monotonic.duration_since(self.last.monotonic);
        let shown = (now.wall - self.last.wall).as_seconds_f64();
        if (shown - run.as_secs_f64()).abs() > STEP.as_secs_f64() {
            return Finding::Stepped;
        }
        Finding::Fine
    }

    fn compared(&mut self, now: Sample) {
        self.last = now;
    }

    /// The next activation is the one that follows `now`.
    fn activated(&mut self, schedule: &str, now: Sample) {
        *self = Self::new(schedule, now);
    }

    /// The next activation follows the new time, but is not later than it was due before the step.
    fn stepped(&mut self, schedule: &str, now: Sample) {
        let before = self.expected;
        *self = Self::new(schedule, now);
        self.expected = before.into_iter().chain(self.expected).min();
    }
}

fn expected(schedule: &str, now: Sample) -> Option<Instant> {
    let wait = next_after(schedule, now.wall)? - now.wall;
    now.monotonic.checked_add(wait.to_std().ok()?)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const HOURLY: &str = "0 0 * * * *";

    fn noon() -> Sample {
        Sample {
            monotonic: Instant::now(),
            wall: "2026-11-22T12:00:00Z".parse().expect("a time"),
        }
    }

    /// A sample `seconds` later, after the wall clock was set by `step` seconds.
    fn later(from: Sample, seconds: u64, step: i64) -> Sample {
        let passed = Duration::from_secs(seconds);
        Sample {
            monotonic: from.monotonic + passed,
            wall: from.wall + passed + TimeDelta::seconds(step),
        }
    }

    #[test]
    fn a_step_in_either_direction_is_noticed_and_delays_no_activation() {
        let start = noon();
        for (step, next_in) in [(-7_200, 3_590), (7_200, 3_590), (-5, 3_590), (1_800, 1_790)] {
            let mut guard = Guard::new(HOURLY, start);
            let now = later(start, 10, step);
            assert_eq!(guard.check(now), Finding::Stepped, "{step}");
            guard.stepped(HOURLY, now);
            let expected = now.monotonic + Duration::from_secs(next_in);
            assert_eq!(guard.expected, Some(expected), "{step}");
            assert_eq!(guard.check(later(now, 1, 0)), Finding::Fine, "{step}");
        }
    }

    #[test]
    fn a_missing_activation_is_overdue_after_the_grace_period() {
        let start = noon();
        let mut guard = Guard::new(HOURLY, start);
        let now = later(start, 3_600, 0);
        assert_eq!(guard.check(now), Finding::Fine);
        let now = later(now, GRACE.as_secs(), 0);
        assert_eq!(guard.check(now), Finding::Overdue);
        guard.activated(HOURLY, now);
        assert_eq!(guard.check(now), Finding::Fine);
    }

    /// Tokio's clock runs ahead here while the wall clock stands still.
    #[tokio::test(start_paused = true)]
    async fn ticks_come_in_time_while_the_wall_clock_stands_still() {
        let mut cron = Cron::start(HOURLY).await.expect("it starts");
        for _ in 0..3 {
            let limit = Duration::from_secs(3_600) + GRACE + CHECK_EVERY;
            let due = tokio::time::timeout(limit, cron.due()).await;
            due.expect("a tick is due").expect("the schedule runs");
        }
    }
}
