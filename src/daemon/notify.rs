//! Notifies people, beside the ticks: no tick waits for a topic or a command.
//!
//! Each target has a queue and a task of its own. What waits, and which conditions are open, is in
//! a file in the state directory, so that a restart tells nothing twice and forgets nothing. An
//! event may be delivered twice where a process dies between a delivery and the next write.

mod command;
mod counts;
mod delivery;
mod record;
mod target;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use autoscaler_core::subscription::Subscription;
use tokio::{task::JoinSet, time::timeout};

pub use self::counts::{Counts, Outcome};
use self::{delivery::deliver, record::Record, target::Target};
use crate::reconcile::{
    context::Context,
    events::{Conditions, Event, Look, key},
    report::Report,
    roster::Roster,
};

/// How long a daemon that stops continues to deliver.
pub const STOP_WITHIN: Duration = Duration::from_secs(2);
/// How long a single run continues to deliver at its end. The next run delivers the rest.
pub const ONCE_WITHIN: Duration = Duration::from_secs(5);

/// Turns reports into notifications, and delivers them.
#[derive(Debug)]
pub struct Notifier {
    context: Arc<Context>,
    record: Arc<Record>,
    counts: Counts,
    /// As of the last tick that changed it.
    roster: Mutex<Arc<Roster>>,
    /// Deliver and save. They end with the notifier.
    tasks: JoinSet<()>,
}

impl Notifier {
    /// Continues where the last process stopped. `None` if the configuration names nothing to
    /// notify, or in a dry run.
    pub fn start(context: &Arc<Context>, counts: &Counts) -> Option<Self> {
        let record = Arc::new(Record::load(&context.config.state_dir));
        Self::with(context, counts, record)
    }

    /// Continues with a new configuration. Deliveries under way go on where it names the same
    /// targets.
    pub fn adopt(mut self, context: &Arc<Context>) -> Option<Self> {
        let targets = |context: &Context| {
            let config = &context.config;
            let home = (config.home.clone(), config.ca_bundle.clone());
            (config.notify.clone(), home)
        };
        if targets(context) == targets(&self.context) {
            self.context = context.clone();
            self.forget_unknown();
            return Some(self);
        }
        self.tasks.abort_all();
        Self::with(context, &self.counts, self.record.clone())
    }

    fn with(context: &Arc<Context>, counts: &Counts, record: Arc<Record>) -> Option<Self> {
        let targets = Target::all(context);
        if targets.is_empty() || context.dry_run {
            return None;
        }
        let names: Vec<&str> = targets.iter().map(Target::name).collect();
        record.serve(&names);
        let mut notifier = Self {
            context: context.clone(),
            record: record.clone(),
            counts: counts.clone(),
            roster: Mutex::new(context.roster.clone()),
            tasks: JoinSet::new(),
        };
        notifier.forget_unknown();
        for target in targets {
            let (record, counts) = (record.clone(), counts.clone());
            let clock = context.clock.clone();
            notifier.tasks.spawn(deliver(target, record, counts, clock));
        }
        notifier
            .tasks
            .spawn(async move { record.save_changes().await });
        Some(notifier)
    }

    /// Notifies of what a tick of the daemon has reported.
    pub fn ticked(&self, report: &Report) {
        self.take_in(report, true);
    }

    /// Notifies of what is reported of some streams only, or of each, as a single run does.
    pub fn reported(&self, report: &Report) {
        self.take_in(report, false);
    }

    fn take_in(&self, report: &Report, rest_is_quiet: bool) {
        if let Some(roster) = &report.roster {
            self.take_roster(roster);
        }
        let look = Look {
            rest_is_quiet,
            ..self.look()
        };
        self.update(|it| it.take_in(report, &look));
    }

    /// Which streams patterns subscribe is known only after ticks.
    fn forget_unknown(&self) {
        if self.context.config.patterns.is_empty() {
            let known = self.keys(&self.context.roster);
            let look = self.look();
            self.update(|it| it.forget(|key| !known.contains(key), &look));
        }
    }

    /// Ends what is open of streams that have left the roster.
    fn take_roster(&self, roster: &Arc<Roster>) {
        let mut last = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (self.keys(&last), self.keys(roster));
        *last = roster.clone();
        let is_gone = |key: &str| before.contains(key) && !now.contains(key);
        let look = self.look();
        self.update(|it| it.forget(is_gone, &look));
    }

    fn keys(&self, roster: &Roster) -> BTreeSet<String> {
        let key_of = |subscription: &Subscription| {
            let region = &self.context.clients_of(subscription).region;
            key(subscription.account.name(), region, subscription.label())
        };
        roster.subscriptions().map(key_of).collect()
    }

    fn update(&self, change: impl FnOnce(&mut Conditions) -> Vec<Event>) {
        let dropped = self.record.update(change);
        if dropped > 0 {
            tracing::error!(
                dropped,
                "too many notifications wait; the oldest are dropped"
            );
            self.counts.add(Outcome::Dropped, dropped);
        }
    }

    fn look(&self) -> Look<'_> {
        let home = &self.context.config.home;
        Look {
            now: self.context.clock.now(),
            host: &self.context.host,
            region: &self.context.aws.clients(home).region,
            rest_is_quiet: false,
        }
    }

    /// Delivers what waits, at most for `within`, and saves the rest for the next process.
    pub async fn end(mut self, within: Duration) {
        if timeout(within, self.record.emptied()).await.is_err() {
            let waiting = self.record.waiting();
            tracing::warn!(waiting, "notifications wait for the next start");
        }
        self.tasks.shutdown().await;
        self.record.save().await;
    }
}
