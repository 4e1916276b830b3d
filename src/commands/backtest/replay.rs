//! Replays a demand through the autoscaler's own tick, against the embedded AWS, under virtual time.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{
    args::Model,
    demand::{Demand, WARM_UP_MINUTES},
    score::{Call, Plan, RETRY_SHARE},
};
use crate::{
    aws::{Aws, Transport},
    config::Config,
    output::error::chain,
    reconcile::{
        clock::Clock,
        context::{Context, Process, Role},
        tick::Autoscaler,
    },
};
use autoscaler_sandbox::{Load, RegionHandle, Sandbox, Traffic};

/// The Region and the log table of the replay; its configurations name them.
pub const REGION: &str = "us-east-1";
pub const TABLE: &str = "kinesis-autoscaler-logs-backtest";

const MINUTE: Duration = Duration::from_secs(60);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// As far back as any policy looks.
const NO_HISTORY: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Everything that a tick starts is done with it: the embedded AWS answers at once.
const TICK_WITHIN: Duration = Duration::from_secs(50);

/// Who scales in one run: a configuration for one stream, and its pair of alarms.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub name: String,
    pub config: Config,
    /// As PutMetricAlarm takes them; without any, the original's pair.
    pub alarms: Vec<Value>,
    pub start_shards: u32,
}

/// Which ticks a replay runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticks {
    /// Leaves out those that would only poll and find what the last one found.
    Needed,
    /// One each minute, as the daemon.
    #[cfg(test)]
    All,
}

/// Runs the candidate over the whole demand, on a runtime whose time is virtual; `None` where
/// `goes_on`, which hears of each minute, has ended it.
///
/// # Errors
/// Where the runtime or the clients cannot be made.
pub fn run(
    candidate: &Candidate,
    demand: &Demand,
    model: &Model,
    goes_on: &dyn Fn(usize) -> bool,
) -> Result<Option<Plan>, String> {
    in_virtual_time(candidate, demand, model, async |replay: Replay<'_>| {
        let mut replay = replay;
        let complete = replay.run(Ticks::Needed, goes_on).await?;
        Ok(complete.then_some(replay.plan))
    })
}

/// Has `work` run a replay in virtual time.
fn in_virtual_time<T>(
    candidate: &Candidate,
    demand: &Demand,
    model: &Model,
    work: impl AsyncFnOnce(Replay<'_>) -> Result<T, String>,
) -> Result<T, String> {
    // The log lines of a replay would be taken for those of this process.
    let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async { work(Replay::start(candidate, demand, model).await?).await })
}

struct Replay<'a> {
    demand: &'a Demand,
    model: &'a Model,
    place: RegionHandle,
    alarms: Vec<String>,
    clock: Clock,
    autoscaler: Autoscaler,
    /// The state of the alarms at the beginning of the last tick, unless that failed.
    polled: Option<u64>,
    plan: Plan,
}

impl<'a> Replay<'a> {
    async fn start(
        candidate: &Candidate,
        demand: &'a Demand,
        model: &'a Model,
    ) -> Result<Self, String> {
        let clock = Clock::simulated(demand.start, 1);
        let sandbox = Sandbox::new(clock.reader());
        let place = sandbox.region(REGION);
        place.create_log_table(TABLE);
        place.set_shard_limit(u32::MAX);
        place.set_metric_delay(model.metric_delay);
        place.create_stream(&demand.stream, candidate.start_shards);
        match candidate.alarms.as_slice() {
            [] => drop(place.pair(&demand.stream, candidate.start_shards)),
            alarms => alarms
                .iter()
                .cloned()
                .for_each(|alarm| place.put_alarm(alarm)),
        }
        place.set_traffic(&demand.stream, traffic(demand, model));
        let config = candidate.config.clone();
        let transport = Transport::embedded(sandbox.http_client());
        let aws = Aws::connect(&config, transport).await;
        let aws = aws.map_err(|error| chain(&error))?;
        let process = Process {
            host: "backtest".to_owned(),
            role: Role::Replay,
            dry_run: false,
        };
        let context = Context::new(config, aws, clock.clone(), process);
        Ok(Self {
            demand,
            model,
            alarms: place.alarm_names(),
            place,
            clock,
            autoscaler: Autoscaler::new(Arc::new(context), false),
            polled: None,
            plan: Plan::default(),
        })
    }

    /// Returns whether it came to the end.
    async fn run(&mut self, ticks: Ticks, goes_on: &dyn Fn(usize) -> bool) -> Result<bool, String> {
        let origin = Instant::now();
        let stream = |place: &RegionHandle| {
            let stream = place.stream(&self.demand.stream);
            stream.ok_or("the stream of the replay is gone")
        };
        let mut serving = stream(&self.place)?.target;
        let mut target = serving;
        for minute in 0..self.demand.minutes.len() {
            if !goes_on(minute) {
                return Ok(false);
            }
            // A resharding may have ended, and the tick may begin the next one.
            if stream(&self.place)?.status == "ACTIVE" {
                serving = target;
            }
            let begun = Instant::now();
            let alarms = self.place.alarm_changes();
            if ticks != Ticks::Needed || !self.would_rest(alarms) {
                let report = self.autoscaler.tick(TICK_WITHIN).await;
                self.polled = (!report.failed()).then_some(alarms);
            }
            let stream = stream(&self.place)?;
            if stream.status == "ACTIVE" {
                serving = stream.target;
            } else if stream.target != target {
                let time = self.model.resharding_time(serving, stream.target);
                // As if it had begun with the minute: what the tick waited for its quotas would
                // otherwise put the end off by a minute.
                let left = time.saturating_sub(begun.elapsed());
                self.place.finish_update_after(&self.demand.stream, left);
                self.plan.calls.push(Call {
                    minute,
                    target: stream.target,
                });
            }
            target = stream.target;
            self.plan.serving.push(serving);
            self.plan.billed.push(serving.max(target));
            sleep_until(origin + MINUTE * (minute as u32 + 1)).await;
        }
        Ok(true)
    }

    /// Whether a tick would find nothing to do, and the alarms as the last one found them.
    fn would_rest(&self, alarms: u64) -> bool {
        let firing = || self.alarms.iter().any(|name| self.place.in_alarm(name));
        self.polled == Some(alarms) && self.autoscaler.would_rest(self.clock.now(), firing())
    }
}

/// The demand as the embedded AWS has it; on the day before, the stream had the traffic of its first
/// day, so that the alarms do not take the start for a standstill.
fn traffic(demand: &Demand, model: &Model) -> Traffic {
    let points = demand.minutes.iter().map(loaded).collect();
    let mut traffic = Traffic::table(demand.start, 60, points)
        .skew(model.skew())
        .retries(RETRY_SHARE);
    let minute = SignedDuration::from_mins(1);
    for (number, _) in demand
        .minutes
        .iter()
        .enumerate()
        .filter(|(_, it)| it.is_none())
    {
        let at = demand.time(number);
        traffic = traffic.gap(at, at.saturating_add(minute).unwrap_or(at));
    }
    let day = demand.minutes.iter().take(WARM_UP_MINUTES).enumerate();
    for (number, load) in day {
        let at = demand.time(number).saturating_sub(DAY);
        traffic = traffic.point(at.unwrap_or(demand.start), loaded(load));
    }
    let day_before = demand.start.saturating_sub(DAY).unwrap_or(demand.start);
    let before = demand.start.saturating_sub(NO_HISTORY);
    traffic.gap(before.unwrap_or(day_before), day_before)
}

fn loaded(minute: &Option<super::demand::Load>) -> Load {
    let load = minute.unwrap_or_default();
    Load::new(load.bytes, load.records)
}

#[cfg(test)]
mod tests;
