//! Deterministic simulation: random streams, policies, loads, keys, consumers and quotas, faults at
//! every call, deaths, operators; safety after every minute, convergence after the faults stop. A
//! failing seed prints how to replay it.
//!
//! `SIMULATION_SEED=N` replays one seed, `SIMULATION_SEEDS=N` runs N new ones (the long run:
//! `SIMULATION_SEEDS=2000 cargo test simulation`).

mod disorder;
mod model;
mod promises;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use autoscaler_sandbox::{Call, Load, Pair, Traffic};
use fastrand::Rng;
use jiff::SignedDuration;
use kinesis_autoscaler::{
    daemon::plan::Plan,
    reconcile::{context::Context, lease::Standing},
};
use serde_json::json;

use crate::world::World;
use model::Model;

/// Seeds that every run of the tests uses, in addition to a new one. The last two found defects: a
/// planted blind retry of UpdateShardCount, and an error of the simulation itself.
const FIXED_SEEDS: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 1_123_923_525_906];
const LEASE: &str = "[high_availability]\nlease_duration = \"30s\"\n";
const MINUTES_OF_CHAOS: u32 = 180;
/// How many minutes the system has to converge after the faults have stopped.
const MINUTES_TO_CONVERGE: u32 = 30;
/// How soon a scale-up alarm is followed, even if something was settling or waited for a quota.
const MINUTES_TO_FOLLOW: i64 = 10;
/// Consumers may be no further behind than 10 minutes.
const BEHIND: Duration = Duration::from_secs(900);
/// How many calls of a failed run are shown.
const LAST_CALLS: usize = 60;

/// What happened in a run.
#[derive(Debug, Default)]
struct Tally {
    minutes: u32,
    faults: BTreeMap<String, u64>,
    deaths: u64,
    jumps: u64,
    scalings: u64,
    operator_calls: u64,
    edits: u64,
}

/// A running daemon.
struct Host {
    plan: Plan,
    context: Arc<Context>,
}

struct Simulation {
    world: World,
    rng: Rng,
    models: Vec<Model>,
    hosts: Vec<Option<Host>>,
    config: String,
    tally: Tally,
    violations: Arc<Mutex<Vec<String>>>,
    /// The account's shards.
    quota: u32,
}

#[test]
fn random_faults_never_break_safety_and_the_system_converges() {
    let seeds: Vec<u64> = match (number("SIMULATION_SEED"), number("SIMULATION_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => {
            let first = u64::from(std::process::id()) << 20 | 1 << 40;
            (first..first + count).collect()
        }
        (None, None) => FIXED_SEEDS
            .into_iter()
            .chain([u64::from(std::process::id()) + 1_000])
            .collect(),
    };
    let mut total = Tally::default();
    for seed in &seeds {
        let tally = run(*seed);
        total.minutes += tally.minutes;
        total.deaths += tally.deaths;
        total.jumps += tally.jumps;
        total.scalings += tally.scalings;
        total.operator_calls += tally.operator_calls;
        total.edits += tally.edits;
        for (kind, n) in tally.faults {
            *total.faults.entry(kind).or_default() += n;
        }
    }
    println!("{} seeds, no violation: {total:?}", seeds.len());
    assert!(
        total.scalings > seeds.len() as u64,
        "the simulation has to scale streams to prove anything: {total:?}"
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number"))
    })
}

fn run(seed: u64) -> Tally {
    // The SDK draws the jitter of its retries from this thread's generator.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut simulation = Simulation::new(seed).await;
        let result = simulation.all().await;
        if let Err(violation) = result {
            panic!(
                "seed {seed}: {violation}\nreplay with: SIMULATION_SEED={seed} cargo test simulation\n{:?}\nthe last calls:\n{}",
                simulation.tally,
                simulation.last_calls()
            );
        }
        simulation.tally
    })
}

impl Host {
    async fn start(context: Arc<Context>) -> Self {
        let plan = Plan::new(context.clone()).await;
        Self { plan, context }
    }

    fn holds_the_lease(&self) -> bool {
        self.context
            .lease
            .as_ref()
            .is_some_and(|lease| matches!(lease.standing(), Standing::Holder(_)))
    }
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let world = World::new();
        world.sandbox.set_latency(Duration::from_millis(20));
        let names: Vec<String> = (0..rng.usize(1..5))
            .map(|i| format!("stream-{i}"))
            .collect();
        let mut models = Vec::new();
        for name in &names {
            let shards = rng.u32(1..20);
            let pair = [Pair::Usual, Pair::ThrottleSignal, Pair::Adaptive][rng.usize(0..3)];
            world.place.create_stream(name, shards);
            world.place.put_pair(pair, name, shards);
            // Ten minutes instead of a day, so that an afternoon sees scale-downs.
            world
                .place
                .edit_alarm(&format!("{name}-scale-down-alarm"), |alarm| {
                    alarm.insert("EvaluationPeriods".to_owned(), json!(2));
                    alarm.insert("ActionsEnabled".to_owned(), json!(shards > 1));
                    alarm.remove("DatapointsToAlarm");
                });
            let (low, high) = (rng.f64() * 2.0, 1.0 + rng.f64() * 20.0);
            let step = 60 * rng.u32(5..60);
            let points = (0..12).map(|_| Load::of_shards(low + rng.f64() * (high - low)));
            let traffic =
                Traffic::table(world.clock.now(), step, points.collect()).noise(0.1, seed);
            let traffic = match rng.u32(0..4) {
                0 => traffic.skew(1.0 + rng.f64() * 2.0),
                1 => traffic.hot_key(rng.f64() / 2.0),
                _ => traffic,
            };
            world.place.set_traffic(name, traffic);
            models.push(Model::new(&world, name, shards, pair));
        }
        let shards: u32 = models.iter().flat_map(|model| &model.counts).sum();
        let quota = if rng.bool() {
            shards + rng.u32(0..40)
        } else {
            500
        };
        world.place.set_shard_limit(quota);
        let streams: String = models.iter().map(|model| model.config(&mut rng)).collect();
        let audit = ["2m", "5m", "10m"][rng.usize(0..3)];
        // One host; two that know nothing of each other, as from two crontabs; two that stand by
        // for each other.
        let (hosts, lease) = [(1, ""), (2, ""), (2, LEASE)][rng.usize(0..3)];
        let config = format!("audit_interval = \"{audit}\"\n{lease}{streams}");
        let hosts = (0..hosts).map(|_| None).collect();
        let (tally, violations) = (Tally::default(), Arc::default());
        Self {
            world,
            rng,
            models,
            hosts,
            config,
            tally,
            violations,
            quota,
        }
    }

    async fn all(&mut self) -> Result<(), String> {
        for minute in 0..MINUTES_OF_CHAOS {
            self.operator(minute);
            self.faults();
            self.minute(true).await;
            self.safe(minute)?;
        }
        self.world.sandbox.clear_faults();
        self.world.place.set_metric_delay(Duration::from_secs(60));
        self.operator_mends();
        for minute in 0..MINUTES_TO_CONVERGE {
            let before = self.targets();
            self.minute(false).await;
            self.safe(MINUTES_OF_CHAOS + minute)?;
            // What was decided before the operator was here may still be on its way.
            if minute >= 2 {
                self.switches_hold(&before)?;
            }
        }
        self.converged()
    }

    /// What led to a violation: the last calls, except polls that were answered.
    fn last_calls(&self) -> String {
        let scaling_log = self.world.sandbox.request_log();
        let telling = |call: &&Call| call.operation != "DescribeAlarms" || call.outcome != "ok";
        let calls: Vec<String> = scaling_log
            .iter()
            .filter(telling)
            .map(|call| {
                let resource = call.resource.as_deref().unwrap_or("-");
                format!(
                    "{} {} {resource}: {}",
                    call.at, call.operation, call.outcome
                )
            })
            .collect();
        calls[calls.len().saturating_sub(LAST_CALLS)..].join("\n")
    }

    /// All hosts tick at the same time; with `deaths`, some die at a random moment of the tick.
    async fn minute(&mut self, deaths: bool) {
        self.tally.minutes += 1;
        let started = tokio::time::Instant::now();
        for (number, host) in self.hosts.iter_mut().enumerate() {
            if host.is_none() {
                let context = self
                    .world
                    .start_on(&format!("host-{number}"), &self.config)
                    .await;
                *host = Some(Host::start(context).await);
            }
            if let (true, Some(host)) = (deaths && self.rng.f64() < 0.02, &host) {
                // NTP, or a person, sets the host's clock; the signatures of AWS allow no more than
                // some minutes.
                host.context
                    .clock
                    .jump(SignedDuration::from_secs(self.rng.i64(-40..40)));
                self.tally.jumps += 1;
            }
        }
        let mut death = || {
            (deaths && self.rng.f64() < 0.2).then(|| Duration::from_millis(self.rng.u64(0..600)))
        };
        let ticks = self.hosts.iter_mut().map(|host| {
            let within = death().unwrap_or(Duration::from_secs(3600));
            async move {
                let running = host.as_mut().expect("all were started");
                let tick = running.plan.autoscaler.tick(Duration::from_secs(40));
                if tokio::time::timeout(within, tick).await.is_err() {
                    *host = None;
                    return 1;
                }
                0
            }
        });
        self.tally.deaths += futures_util::future::join_all(ticks)
            .await
            .iter()
            .sum::<u64>();
        tokio::time::sleep_until(started + Duration::from_secs(60)).await;
    }

    fn targets(&self) -> Vec<u32> {
        let target = |model: &Model| self.world.shards(&model.name);
        self.models.iter().map(target).collect()
    }
}
