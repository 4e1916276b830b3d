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
    // The log lines of a replay would be taken for those of this process.
    let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let replay = Replay::start(candidate, demand, model).await?;
        replay.run(goes_on).await
    })
}

struct Replay<'a> {
    demand: &'a Demand,
    model: &'a Model,
    place: RegionHandle,
    alarms: Vec<String>,
    autoscaler: Autoscaler,
    /// Ticks without an alarm come as often as the audit.
    audit_minutes: usize,
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
        let audit = config.audit_interval.unwrap_or(Duration::from_secs(3600));
        let process = Process {
            host: "backtest".to_owned(),
            role: Role::Replay,
            dry_run: false,
        };
        let context = Context::new(config, aws, clock, process);
        Ok(Self {
            demand,
            model,
            alarms: place.alarm_names(),
            place,
            autoscaler: Autoscaler::new(Arc::new(context), false),
            audit_minutes: usize::try_from(audit.as_secs() / 60).unwrap_or(15).max(1),
            plan: Plan::default(),
        })
    }

    async fn run(mut self, goes_on: &dyn Fn(usize) -> bool) -> Result<Option<Plan>, String> {
        let origin = Instant::now();
        let stream = |place: &RegionHandle| {
            let stream = place.stream(&self.demand.stream);
            stream.ok_or("the stream of the replay is gone")
        };
        let mut serving = stream(&self.place)?.target;
        let mut target = serving;
        for minute in 0..self.demand.minutes.len() {
            if !goes_on(minute) {
                return Ok(None);
            }
            let updating = serving != target;
            // A resharding may have ended, and the tick may begin the next one.
            if stream(&self.place)?.status == "ACTIVE" {
                serving = target;
            }
            let begun = Instant::now();
            if self.needs_tick(minute, updating) {
                self.autoscaler.tick(TICK_WITHIN).await;
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
        Ok(Some(self.plan))
    }

    /// A tick that finds no alarm in ALARM and no work under way does nothing, and is left out.
    fn needs_tick(&self, minute: usize, updating: bool) -> bool {
        updating
            || minute.is_multiple_of(self.audit_minutes)
            || self.autoscaler.under_way() > 0
            || self.alarms.iter().any(|name| self.place.in_alarm(name))
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
