//! What the daemon tells Prometheus: one state, fed after each tick, read at each scrape.
//!
//! A stream's counters are there from the start, so that its first scaling shows as an increase; its gauges come with its first look: at an
//! alarm, or within one `audit_interval`. A subscription by alarm is known by its stream's name then, too.

mod endpoint;
mod exposition;
mod health;
mod page;
mod process;
mod server;
mod tick_durations;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tick_durations::TickDurations;

pub use endpoint::{Change, Endpoint};
pub use health::Health;
pub use page::Format;
pub use server::{ListenError, Listener, Server};

use crate::{
    aws::Counts,
    reconcile::{
        context::Context,
        report::{Done, Report, StreamReport},
    },
};
use autoscaler_core::reason::Reason;

/// The daemon's figures. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What both a tick and a scrape reach.
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The clock, the scaling log and the meter of the configuration in force.
    context: Arc<Context>,
    /// AWS calls counted under configurations that are in force no more.
    earlier: Counts,
    ticks: Ticks,
    tick_durations: TickDurations,
    last_tick: Option<health::LastTick>,
    reload_refused: bool,
    /// By stream and Region.
    streams: BTreeMap<(String, String), Stream>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    good: u64,
    failed: u64,
    late: u64,
}

/// What is known of one stream.
#[derive(Debug, Default)]
struct Stream {
    shards: Option<u32>,
    target: Option<u32>,
    /// The calls of the last day, where the log was read.
    calls: Option<Vec<Timestamp>>,
    holds: BTreeMap<&'static str, u64>,
    scalings_up: u64,
    scalings_down: u64,
    syncs: u64,
    failures: u64,
}

impl Metrics {
    /// Figures of a daemon that has not ticked yet.
    pub fn new(context: Arc<Context>) -> Self {
        let streams = subscribed(&context).map(|key| (key, Stream::default()));
        let state = State {
            streams: streams.collect(),
            context,
            earlier: Counts::default(),
            ticks: Ticks::default(),
            tick_durations: TickDurations::default(),
            last_tick: None,
            reload_refused: false,
        };
        Self {
            shared: Arc::new(Mutex::new(state)),
        }
    }

    /// Goes on with a new configuration: counts stay, streams that are subscribed no more go.
    pub fn adopt(&self, context: Arc<Context>) {
        let mut state = self.lock();
        let counts = state.context.aws.meter.read();
        add(&mut state.earlier.calls, counts.calls);
        add(&mut state.earlier.errors, counts.errors);
        let subscriptions = &context.config.subscriptions;
        // Which stream an alarm names is not known here: then none is dropped.
        if subscriptions.iter().all(|it| it.stream.is_some()) {
            let subscribed: BTreeSet<_> = subscribed(&context).collect();
            state
                .streams
                .retain(|stream, _| subscribed.contains(stream));
        }
        for key in subscribed(&context) {
            state.streams.entry(key).or_default();
        }
        state.context = context;
    }

    /// Takes in what a tick did.
    pub fn ticked(&self, report: &Report) {
        let mut state = self.lock();
        let seconds = report.duration_ms as f64 / 1000.0;
        state.tick_durations.observe(seconds);
        match report.failed() {
            true => state.ticks.failed += 1,
            false => state.ticks.good += 1,
        }
        state.ticks.late += u64::from(report.late_by.is_some());
        state.last_tick = Some(health::LastTick::new(report));
        if report.standby.is_some() {
            // Another host knows better by now.
            state.streams.values_mut().for_each(Stream::forget);
        }
        for stream in &report.streams {
            let key = (stream.name().to_owned(), stream.region.clone());
            let known = state.streams.entry(key).or_default();
            known.take_in(stream, report.dry_run);
        }
    }

    /// Takes in whether the last reload has put a new configuration in force.
    pub fn reloaded(&self, taken: bool) {
        self.lock().reload_refused = !taken;
    }

    /// All series, as a scrape reads them.
    pub fn exposition(&self, format: Format) -> String {
        exposition::encode(&self.lock(), format)
    }

    /// Whether the daemon does its work.
    pub fn health(&self) -> Health {
        let state = self.lock();
        health::judge(&state.context, state.last_tick.as_ref())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and Region of each stream whose subscription tells its name.
fn subscribed(context: &Context) -> impl Iterator<Item = (String, String)> {
    context.config.subscriptions.iter().filter_map(|it| {
        let region = context.aws.clients(&it.account).region.clone();
        Some((it.stream.clone()?, region))
    })
}

impl Stream {
    fn forget(&mut self) {
        (self.shards, self.target, self.calls) = (None, None, None);
    }

    fn take_in(&mut self, report: &StreamReport, dry_run: bool) {
        self.shards = report.shards_before.or(self.shards);
        self.target = report.shards_after.or(report.shards_before).or(self.target);
        if let Some(calls) = &report.calls {
            self.calls = Some(calls.clone());
        }
        if report.error.is_some() {
            self.failures += 1;
        }
        match (report.action, report.reason) {
            // Resting is no hold.
            (Done::Hold, Reason::NoAlarm) => {}
            (Done::Hold, reason) => *self.holds.entry(reason.code()).or_default() += 1,
            _ if dry_run || report.error.is_some() => {}
            (Done::SyncAlarms, _) => self.syncs += 1,
            (action, _) => {
                match action {
                    Done::ScaleUp => self.scalings_up += 1,
                    _ => self.scalings_down += 1,
                }
                // AWS takes minutes; until the next look this is the count to reckon with.
                self.shards = report.shards_after;
            }
        }
    }
}

fn add(to: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>) {
    for (name, count) in counts {
        *to.entry(name).or_default() += count;
    }
}
