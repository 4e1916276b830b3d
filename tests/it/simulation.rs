//! Deterministic simulation: random streams, policies, loads, keys, consumers and quotas, faults at
//! every call, deaths, operators; safety after every minute, convergence after the faults stop. A
//! failing seed prints how to replay it.
//!
//! `SIMULATION_SEED=N` replays one seed, `SIMULATION_SEEDS=N` runs N new ones (the long run:
//! `SIMULATION_SEEDS=2000 cargo test simulation`).

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use autoscaler_core::alarm::Direction;
use autoscaler_sandbox::{Call, Fault, Load, Pair, Traffic};
use fastrand::Rng;
use jiff::SignedDuration;
use kinesis_autoscaler::{
    daemon::plan::Plan,
    reconcile::{context::Context, lease::Standing},
};
use serde_json::{Value, json};

use crate::world::{TABLE, World};

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
    manual_context: u64,
    edits: u64,
}

/// What the simulation knows about one stream in addition to AWS.
struct Model {
    name: String,
    /// Counts that the stream had, or was being resharded to: only these may be in an alarm.
    counts: BTreeSet<u32>,
    manual_context: usize,
    /// The alarms as the operator wrote them, without what a scaling changes.
    definitions: BTreeMap<String, Value>,
    /// Minute of the operator's last resharding.
    touched: Option<u32>,
    pair: Pair,
    /// The direction whose alarm is muted.
    muted: Option<Direction>,
    consumers_are_behind: bool,
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
        total.manual_context += tally.manual_context;
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

    /// Sets how the next minute's calls go wrong: mostly not at all, sometimes a few, sometimes
    /// most of one service.
    fn faults(&mut self) {
        // Metrics that are late, or so late that they are stale.
        let late = if self.rng.f64() < 0.1 {
            self.rng.u64(2..40)
        } else {
            1
        };
        self.world
            .place
            .set_metric_delay(Duration::from_secs(60 * late));
        let mut rng = self.rng.fork();
        let (rate, only) = match rng.u32(0..10) {
            0..=4 => (0.0, None),
            5..=7 => (0.1, None),
            8 => (0.5, None),
            _ => (
                0.9,
                Some(["dynamodb", "cloudwatch", "kinesis"][rng.usize(0..3)]),
            ),
        };
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let (violations, place) = (self.violations.clone(), self.world.place.clone());
        let touched: BTreeSet<String> = self
            .models
            .iter()
            .filter(|model| model.touched.is_some())
            .map(|model| model.name.clone())
            .collect();
        let seen = counts.clone();
        self.world.sandbox.set_faults(move |call| {
            if call.operation == "UpdateShardCount" {
                in_sync(&place, call, &touched, &violations);
            }
            if rng.f64() >= rate || only.is_some_and(|only| only != call.service) {
                return Fault::None;
            }
            let fault = random_fault(&mut rng);
            let kind = format!("{fault:?}")
                .split([' ', '('])
                .next()
                .unwrap_or_default()
                .to_owned();
            *seen
                .lock()
                .expect("no panic holds it")
                .entry(kind)
                .or_insert(0) += 1;
            fault
        });
        self.counts(counts);
    }

    fn counts(&mut self, new: Counts) {
        FAULTS.with_borrow_mut(|all| all.push(new));
    }

    /// A person reshards, edits, disables, deletes, and puts back.
    fn operator(&mut self, minute: u32) {
        for model in &mut self.models {
            if model.touched.is_some_and(|at| minute > at + 5) {
                model.touched = None;
            }
            if self.rng.f64() > 0.03 {
                continue;
            }
            let (up, down) = (
                format!("{}-scale-up-alarm", model.name),
                format!("{}-scale-down-alarm", model.name),
            );
            match self.rng.u32(0..8) {
                0 => {
                    let n = self.world.place.stream(&model.name).expect("there").target;
                    let to = self.rng.u32(n.div_ceil(2)..=2 * n);
                    if to != n && self.world.place.reshard_externally(&model.name, to).is_ok() {
                        model.manual_context += 1;
                        // A scaling that a person undoes before anyone has looked cannot be told
                        // from one that never took effect.
                        let open = open_rows(&self.world, self.hosts.len(), &model.name);
                        model.manual_context += open.iter().filter(|from| **from == to).count();
                        model.counts.insert(to);
                        model.touched = Some(minute);
                        self.tally.manual_context += 1;
                    }
                }
                1 => self.world.place.edit_alarm(&up, |alarm| {
                    alarm.insert(
                        "AlarmDescription".to_owned(),
                        json!(format!("edited in minute {minute}")),
                    );
                }),
                2 => self.world.place.edit_alarm(&up, |alarm| {
                    let on = alarm["ActionsEnabled"] == json!(true);
                    alarm.insert("ActionsEnabled".to_owned(), json!(!on));
                }),
                3 => {
                    // A state that flaps.
                    let state = ["OK", "ALARM", "INSUFFICIENT_DATA"][self.rng.usize(0..3)];
                    self.world.place.set_alarm_state(&up, state, "flapping");
                }
                4 => {
                    let behind = !model.consumers_are_behind;
                    model.let_consumers_fall_behind(&self.world, behind);
                }
                5 => model.mute(&self.world, Some(Direction::Up)),
                6 => model.mute(&self.world, Some(Direction::Down)),
                _ => self.world.place.delete_alarm(&down),
            }
            self.tally.edits += 1;
            model.read_definitions(&self.world);
        }
    }

    /// Puts back what the operator took away. Some alarms are muted until the end, and some
    /// consumers stay behind. Muted streams get the load that sets the muted alarm to ALARM; some
    /// others get more load, which has to be followed, or less.
    fn operator_mends(&mut self) {
        for model in &mut self.models {
            let (up, down) = (
                format!("{}-scale-up-alarm", model.name),
                format!("{}-scale-down-alarm", model.name),
            );
            if self.world.place.alarm(&down).is_none() {
                let before = self.world.place.alarm(&up).expect("never deleted");
                let count = *model.counts.first().expect("at least one");
                self.world.place.put_pair(model.pair, &model.name, count);
                self.world.place.put_alarm(before);
                self.world.place.edit_alarm(&down, |alarm| {
                    alarm.insert("ActionsEnabled".to_owned(), json!(count > 1));
                });
            }
            self.world.place.edit_alarm(&up, |alarm| {
                alarm.insert("ActionsEnabled".to_owned(), json!(true));
            });
            model.read_definitions(&self.world);
            let muted = [None, None, Some(Direction::Up), Some(Direction::Down)];
            model.mute(&self.world, muted[self.rng.usize(0..4)]);
            let usage = match (model.muted, self.rng.u32(0..3)) {
                (Some(Direction::Up), _) | (None, 0) => Some(1.5),
                (Some(Direction::Down), _) | (None, 1) => Some(0.1),
                _ => None,
            };
            if let Some(usage) = usage {
                let load = Load::of_shards(usage * f64::from(self.world.shards(&model.name)));
                let traffic = Traffic::constant(load);
                self.world.place.set_traffic(&model.name, traffic);
            }
        }
    }

    fn targets(&self) -> Vec<u32> {
        let target = |model: &Model| self.world.shards(&model.name);
        self.models.iter().map(target).collect()
    }

    /// No stream is scaled in a direction that is muted, or down while its consumers are behind.
    fn switches_hold(&self, before: &[u32]) -> Result<(), String> {
        for ((model, before), after) in self.models.iter().zip(before).zip(self.targets()) {
            let (name, muted) = (&model.name, model.muted);
            let held_up = muted == Some(Direction::Up);
            let held_down = muted == Some(Direction::Down) || model.consumers_are_behind;
            if (after > *before && held_up) || (after < *before && held_down) {
                let behind = model.consumers_are_behind;
                return Err(format!(
                    "{name} was scaled from {before} to {after}; muted: {muted:?}, consumers behind: {behind}"
                ));
            }
        }
        Ok(())
    }

    fn safe(&mut self, minute: u32) -> Result<(), String> {
        if let Some(violation) = self.violations.lock().expect("no panic holds it").first() {
            return Err(format!("minute {minute}: {violation}"));
        }
        let holders = self
            .hosts
            .iter()
            .flatten()
            .filter(|host| host.holds_the_lease())
            .count();
        if holders > 1 {
            return Err(format!("minute {minute}: {holders} hosts hold the lease"));
        }
        let rows = self.world.rows();
        let spooled = spooled(&self.world, self.hosts.len());
        for model in &mut self.models {
            let stream = self.world.place.stream(&model.name).expect("never deleted");
            model.counts.insert(stream.target);
            let ours = stream.update_calls_24h.saturating_sub(model.manual_context);
            let counted = |row: &&Value| {
                let outcome = row["outcome"]["S"].as_str().unwrap_or_default();
                row["stream_name"]["S"] == model.name.as_str()
                    && ["open", "done", "superseded"].contains(&outcome)
            };
            let logged = rows.iter().filter(counted).count();
            let waiting: BTreeSet<&str> = spooled
                .lines()
                .filter(|line| line.contains(&format!("\"{}\"", model.name)))
                .filter_map(|line| line.split("\"at\":").nth(1)?.split(',').next())
                .collect();
            if ours > logged + waiting.len() {
                return Err(format!(
                    "minute {minute}: {} was resharded {ours} times by us, but only {logged} are logged and {} wait",
                    model.name,
                    waiting.len()
                ));
            }
            model.alarms_are_sound(&self.world, minute)?;
        }
        Ok(())
    }

    fn converged(&mut self) -> Result<(), String> {
        for all in FAULTS.take() {
            for (kind, n) in all.lock().expect("no panic holds it").iter() {
                *self.tally.faults.entry(kind.clone()).or_default() += n;
            }
        }
        let rows = self.world.rows();
        let is_marker = |item: &Value| item["stream_name"]["S"] == "#open";
        if let Some(marker) = self
            .world
            .place
            .items(TABLE)
            .iter()
            .find(|item| is_marker(item))
        {
            return Err(format!("a scaling is still open: {marker:#}"));
        }
        let has_room = self.targets().iter().sum::<u32>() < self.quota;
        for model in &self.models {
            let stream = self.world.place.stream(&model.name).expect("never deleted");
            let ours = stream.update_calls_24h.saturating_sub(model.manual_context);
            let of_stream = |row: &&Value| row["stream_name"]["S"] == model.name.as_str();
            let outcomes: Vec<&str> = rows
                .iter()
                .filter(of_stream)
                .filter_map(|row| row["outcome"]["S"].as_str())
                .collect();
            let took_effect = outcomes
                .iter()
                .filter(|outcome| ["done", "superseded"].contains(outcome))
                .count();
            self.tally.scalings += ours as u64;
            if took_effect < ours || outcomes.contains(&"open") {
                return Err(format!(
                    "{}: {ours} scalings of ours took effect, the log has {outcomes:?}",
                    model.name
                ));
            }
            if stream.status != "ACTIVE" {
                continue;
            }
            model.is_not_stuck(&self.world, took_effect, has_room)?;
            for alarm in model.definitions.keys() {
                if self.world.recorded(alarm) != stream.open_shards.to_string() {
                    return Err(format!(
                        "{alarm} records {}, the stream has {}",
                        self.world.recorded(alarm),
                        stream.open_shards
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The lines of all hosts' spools.
fn spooled(world: &World, hosts: usize) -> String {
    let spool = |number| {
        world
            .state
            .path()
            .join(format!("host-{number}/spool.jsonl"))
    };
    let text = |number| std::fs::read_to_string(spool(number)).unwrap_or_default();
    (0..hosts).map(text).collect()
}

/// The counts from which the stream's scalings began that are open, in the table or in a spool.
fn open_rows(world: &World, hosts: usize, stream: &str) -> Vec<u32> {
    let of_table = world.rows();
    let of_table = of_table
        .iter()
        .filter(|row| row["outcome"]["S"] == "open" && row["stream_name"]["S"] == stream)
        .filter_map(|row| row["shard_count"]["N"].as_str()?.parse().ok());
    let spooled = spooled(world, hosts);
    let of_spool = spooled
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.split_once(' ')?.1).ok())
        .filter(|row| row["outcome"] == "open" && row["stream_name"] == stream)
        .filter_map(|row| u32::try_from(row["from"].as_u64()?).ok());
    of_table.chain(of_spool).collect()
}

/// Faults by kind, counted where they happen.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

thread_local! {
    /// The counters of all fault plans of the run under way.
    static FAULTS: RefCell<Vec<Counts>> = const { RefCell::new(Vec::new()) };
}

/// No stream is scaled twice for one alarm: when UpdateShardCount goes out, both alarms speak of
/// the count that the stream has.
fn in_sync(
    place: &autoscaler_sandbox::RegionHandle,
    call: &Call,
    touched: &BTreeSet<String>,
    violations: &Mutex<Vec<String>>,
) {
    let name = call
        .resource
        .as_deref()
        .unwrap_or_default()
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let Some(stream) = place.stream(name) else {
        return;
    };
    if stream.status != "ACTIVE" || touched.contains(name) {
        return;
    }
    for direction in ["scale-up", "scale-down"] {
        let Some(alarm) = place.alarm(&format!("{name}-{direction}-alarm")) else {
            continue;
        };
        let queries = alarm["Metrics"].as_array().cloned().unwrap_or_default();
        let recorded = queries
            .iter()
            .find(|query| query["Id"] == "shardCount")
            .map(|query| query["Expression"].clone());
        if recorded != Some(json!(stream.open_shards.to_string())) {
            let text = format!(
                "{name} is scaled although its {direction} alarm records {recorded:?} and it has {}",
                stream.open_shards
            );
            violations.lock().expect("no panic holds it").push(text);
        }
    }
}

fn random_fault(rng: &mut Rng) -> Fault {
    let refuse = |status, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "by the simulation".to_owned(),
    };
    match rng.u32(0..11) {
        0 => Fault::HangBefore,
        1 => Fault::HangAfter,
        2 => Fault::ResetBefore,
        3 => Fault::ResetAfter,
        4 => Fault::Throttle,
        5 => Fault::Twice,
        6 => Fault::PartialPage,
        7 => Fault::Slow(Duration::from_millis(rng.u64(100..20_000))),
        8 => refuse(500, "InternalFailure"),
        9 => refuse(400, "TransactionConflictException"),
        _ => refuse(400, "ValidationException"),
    }
}

impl Model {
    fn new(world: &World, name: &str, shards: u32, pair: Pair) -> Self {
        let mut model = Self {
            name: name.to_owned(),
            counts: BTreeSet::from([shards]),
            manual_context: 0,
            definitions: BTreeMap::new(),
            touched: None,
            pair,
            muted: None,
            consumers_are_behind: false,
        };
        model.let_consumers_fall_behind(world, false);
        model.read_definitions(world);
        model
    }

    /// The entry of the configuration. Alarms and policy mostly go together, but need not.
    fn config(&self, rng: &mut Rng) -> String {
        let adaptive = (self.pair == Pair::Adaptive) != (rng.u32(0..10) == 0);
        let policy = if adaptive { "adaptive" } else { "original" };
        let name = &self.name;
        let subscribes = if rng.u32(0..3) == 0 { "match" } else { "name" };
        format!(
            "[[streams]]\n{subscribes} = \"{name}\"\npolicy = \"{policy}\"\nmax_iterator_age = \"10m\"\n"
        )
    }

    fn let_consumers_fall_behind(&mut self, world: &World, behind: bool) {
        let age = if behind { BEHIND } else { Duration::ZERO };
        world
            .place
            .set_iterator_age(&self.name, [(world.clock.now(), age)]);
        self.consumers_are_behind = behind;
    }

    /// Mutes the alarm of this direction alone, or none.
    fn mute(&mut self, world: &World, direction: Option<Direction>) {
        world.place.unmute(&self.name);
        let word = match direction {
            None => None,
            Some(Direction::Up) => Some("scale-up"),
            Some(Direction::Down) => Some("scale-down"),
        };
        if let Some(word) = word {
            let alarm = format!("{}-{word}-alarm", self.name);
            let day = Duration::from_secs(86_400);
            let now = world.clock.now();
            world.place.mute(&self.name, &[&alarm], now, day);
        }
        self.muted = direction;
    }

    /// A scale-up alarm is followed, unless it is muted, the day's calls are used, or the account has
    /// no room.
    fn is_not_stuck(&self, world: &World, scalings: usize, has_room: bool) -> Result<(), String> {
        let name = &self.name;
        let alarm = format!("{name}-scale-up-alarm");
        let wire = world.place.alarm(&alarm).expect("never deleted");
        let since = wire["StateUpdatedTimestamp"].as_f64().expect("a time");
        let minutes = (world.clock.now().as_second() - since as i64) / 60;
        let calls = world.place.stream(name).expect("never deleted");
        let limited = scalings.max(calls.update_calls_24h) >= 10;
        let follows = !limited && self.muted != Some(Direction::Up) && has_room;
        if follows && wire["StateValue"] == "ALARM" && minutes >= MINUTES_TO_FOLLOW {
            return Err(format!(
                "{alarm} has been in ALARM for {minutes} minutes, and nothing scales"
            ));
        }
        Ok(())
    }

    fn read_definitions(&mut self, world: &World) {
        let names =
            ["scale-up", "scale-down"].map(|direction| format!("{}-{direction}-alarm", self.name));
        self.definitions = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), lasting(&name, world.place.alarm(&name)?))))
            .collect();
    }

    /// No alarm ever records a transient count, and nothing else in it changes.
    fn alarms_are_sound(&self, world: &World, minute: u32) -> Result<(), String> {
        for (name, definition) in &self.definitions {
            let recorded = world.recorded(name);
            if !recorded
                .parse()
                .is_ok_and(|count| self.counts.contains(&count))
            {
                return Err(format!(
                    "minute {minute}: {name} records {recorded}, which {} never had: {:?}",
                    self.name, self.counts
                ));
            }
            let now = lasting(
                name,
                world
                    .place
                    .alarm(name)
                    .ok_or_else(|| format!("minute {minute}: {name} is gone"))?,
            );
            let enabled = &world.place.alarm(name).expect("it is there")["ActionsEnabled"];
            if name.contains("scale-down") && *enabled != json!(recorded != "1") {
                return Err(format!(
                    "minute {minute}: {name} records {recorded}, and its ActionsEnabled is {enabled}"
                ));
            }
            if &now != definition {
                return Err(format!(
                    "minute {minute}: {name} was changed from {definition:#} to {now:#}"
                ));
            }
        }
        Ok(())
    }
}

/// An alarm without its state, its times, its `shardCount`, and the scale-down alarm's
/// ActionsEnabled, which is ours and checked separately.
fn lasting(name: &str, alarm: Value) -> Value {
    let mut alarm = crate::tick::unchanging(alarm);
    if name.contains("scale-down") {
        alarm
            .as_object_mut()
            .expect("an alarm")
            .remove("ActionsEnabled");
    }
    alarm
}
