//! Metrics for Prometheus: one state, updated after each tick and read at each scrape.
//!
//! A stream's counters are there from the start, so that its first scaling shows as an increase, and
//! so is whether it is watched; its other gauges come with the first look at it. A subscription by
//! alarm is known by its stream's name then, too.

mod endpoint;
mod exposition;
mod health;
mod page;
mod process;
mod quotas;
mod server;
mod streams;
mod tick_durations;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quotas::Quotas;
use streams::Streams;
use tick_durations::TickDurations;

pub use endpoint::{Change, Endpoint};
pub use health::Health;
pub use page::Format;
pub use server::{ListenError, Listener, Server};

use crate::{
    aws::Counts,
    daemon::notify,
    reconcile::{context::Context, report::Report},
};

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
    quotas: Quotas,
    ticks: Ticks,
    tick_durations: TickDurations,
    last_tick: Option<health::LastTick>,
    reload_refused: bool,
    streams: Streams,
    notified: notify::Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    good: u64,
    failed: u64,
    late: u64,
}

impl Ticks {
    fn ended(self) -> u64 {
        self.good + self.failed
    }
}

impl Metrics {
    /// Figures of a daemon that has not ticked yet.
    pub fn new(context: Arc<Context>) -> Self {
        let mut streams = Streams::default();
        streams.adopt(&context);
        let state = State {
            streams,
            context,
            earlier: Counts::default(),
            quotas: Quotas::default(),
            ticks: Ticks::default(),
            tick_durations: TickDurations::default(),
            last_tick: None,
            reload_refused: false,
            notified: notify::Counts::default(),
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
        let quotas = state.quotas.read(&state.context);
        state.quotas = quotas;
        state.streams.adopt(&context);
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
            state.streams.forget();
        }
        if let Some(roster) = &report.roster {
            state.context = Arc::new(state.context.with_roster((**roster).clone()));
            let context = state.context.clone();
            state.streams.follow(&context);
        }
        let tick = state.ticks.ended();
        for stream in &report.streams {
            state.streams.take_in(stream, tick, report.dry_run);
        }
    }

    /// Takes in whether the last reload has put a new configuration in force.
    pub fn reloaded(&self, taken: bool) {
        self.lock().reload_refused = !taken;
    }

    /// Shows these counts of notifications from now on.
    pub fn count_notifications(&self, counts: &notify::Counts) {
        self.lock().notified = counts.clone();
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

fn add(to: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>) {
    for (name, count) in counts {
        *to.entry(name).or_default() += count;
    }
}
