//! One tick for all subscriptions, streams side by side: poll, inspect, execute, report.

mod discover;
mod dispatch;
mod memory;
mod notices;
mod reporting;
mod rest;
mod stream;
mod upkeep;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use autoscaler_core::{
    decision::Decision,
    reason::Reason,
    subscription::{Account, SubscriptionId},
    trigger::Trigger,
};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    output::table::millis,
    reconcile::{
        context::Context,
        discovery,
        lease::{Lease, LeaseTerm, Standing},
        poll::{Index, PollMode},
        report::{NO_KNOWN_HOST, Report, StreamReport},
    },
};
use discover::Patterns;
use memory::Memory;
pub use memory::forget_pauses;
use stream::StreamOutcome;
use upkeep::Upkeep;
use windows::{Windows, look_again};

/// How long a tick of the daemon waits for the upkeep of the scaling log after it has started
/// streams, and how long the first poll waits for the first listing of alarms.
const UPKEEP_GRACE: Duration = Duration::from_secs(1);

/// Without state of an earlier tick, the audit covers the streams that were due in this time.
const FIRST_AUDIT: SignedDuration = SignedDuration::from_secs(60);

/// The autoscaler between ticks: its context, its memory, and the work under way.
#[derive(Debug)]
pub struct Autoscaler {
    context: Arc<Context>,
    groups: Vec<Group>,
    memory: Memory,
    windows: Windows,
    patterns: Patterns,
    /// Reports list every subscription, not only those with something to report.
    report_all: bool,
    /// Streams being worked on. Work may outlast a tick, because rewriting alarms is slow by quota
    /// and no other stream waits for it.
    under_way: JoinSet<StreamOutcome>,
    /// The subscriptions of the tasks under way.
    tasks: HashMap<Id, SubscriptionId>,
    upkeep: Option<Upkeep>,
    stands_by: bool,
    /// The reports of the current tick.
    reports: BTreeMap<SubscriptionId, StreamReport>,
    /// The Regions that it could not poll, and why.
    unpolled: Vec<String>,
    /// The report of the earlier ticks of a single run.
    earlier: Option<Report>,
}

/// An account and Region of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupId(usize);

impl GroupId {
    fn index(self) -> usize {
        self.0
    }
}

/// The subscriptions of one account and Region.
#[derive(Debug)]
struct Group {
    account: Account,
    region: String,
    index: Arc<Index>,
    mode: PollMode,
}

impl Autoscaler {
    /// An autoscaler that has not ticked yet.
    pub fn new(context: Arc<Context>, report_all: bool) -> Self {
        let patterned = discovery::accounts(&context);
        let subscribed = context.roster.subscriptions().map(|it| &it.account);
        let accounts: BTreeSet<&Account> = subscribed.chain(patterned.iter().copied()).collect();
        let group = |account: &Account| Group {
            account: account.clone(),
            region: context.aws.clients(account).region.clone(),
            index: Arc::default(),
            mode: PollMode::default(),
        };
        let groups: Vec<Group> = accounts.into_iter().map(group).collect();
        let of_pattern = |id: &GroupId| patterned.contains(&groups[id.index()].account);
        let patterns = Patterns::new((0..groups.len()).map(GroupId).filter(of_pattern));
        let mut autoscaler = Self {
            windows: Windows::default(),
            patterns,
            context,
            groups,
            memory: Memory::default(),
            report_all,
            under_way: JoinSet::new(),
            tasks: HashMap::new(),
            upkeep: None,
            stands_by: false,
            reports: BTreeMap::new(),
            unpolled: Vec::new(),
            earlier: None,
        };
        autoscaler.index();
        autoscaler
    }

    /// Indexes the subscriptions in force.
    fn index(&mut self) {
        let context = &self.context;
        let mut ids: HashMap<&Account, Vec<SubscriptionId>> = HashMap::new();
        for id in context.subscription_ids() {
            let account = &context.subscription(id).account;
            ids.entry(account).or_default().push(id);
        }
        for group in &mut self.groups {
            let ids = ids.remove(&group.account).unwrap_or_default();
            group.index = Arc::new(Index::new(context, &group.account, &ids));
        }
        let ids = context.subscription_ids();
        self.windows = Windows::new(ids.map(|id| (id, context.subscription(id))));
    }

    /// Has every stream inspected once, whatever its alarms say: at the start of a daemon, after a
    /// reload, and in a dry run.
    pub fn inspect_all(&mut self) {
        self.memory.overdue.extend(self.context.subscription_ids());
        self.patterns.inspect_first();
    }

    /// Inspects and scales every stream that needs it, and returns a report. Failures are reported
    /// per stream; the tick itself never fails.
    pub async fn tick(&mut self, wait: Duration) -> Report {
        self.tick_with(wait, UPKEEP_GRACE).await
    }

    async fn tick_with(&mut self, wait: Duration, upkeep_grace: Duration) -> Report {
        let started = Instant::now();
        let deadline = started + wait;
        let now = self.context.clock.now();
        let calls = self.context.aws.meter.read();
        self.reports.clear();
        let term = match self.context.lease.as_deref().map(Lease::standing) {
            None => None,
            Some(Standing::Holder(term) | Standing::Cut(term)) => Some(term),
            Some(Standing::Alone) => Some(LeaseTerm::ALONE),
            Some(Standing::Standby(holder)) => {
                self.stands_by = true;
                // Rows that this host spooled while it held the lease are unreachable for every
                // other host.
                self.start_upkeep(now);
                let grace = deadline.min(started + upkeep_grace);
                self.finish_upkeep(grace, now).await;
                return self.stand_by(now, holder);
            }
        };
        self.stands_by = false;
        if self.memory.term != term {
            // The host that acted before may have left a scaling open, and which pairs it found
            // broken is unknown here.
            self.memory = self.memory.after_another_host();
            self.memory.term = term;
            self.inspect_all();
            self.patterns.list_again();
        }
        self.reap(now);
        let grace = deadline.min(Instant::now() + UPKEEP_GRACE);
        self.list(grace, now).await;
        self.memory
            .take_changes(&self.windows.changes(self.memory.last_tick, now), now);
        self.start_upkeep(now);
        self.poll_and_start(now, term, deadline).await;
        let grace = deadline.min(Instant::now() + upkeep_grace);
        self.finish_upkeep(grace, now).await;
        self.take_listings(grace, now).await;
        self.start_recoveries(now, term, deadline).await;
        self.wait(deadline).await;
        self.memory.last_tick = Some(now);
        self.report_rest(now);
        let calls = self.context.aws.meter.since(&calls);
        let report = self.report(now, millis(started.elapsed()), calls);
        self.memory.notices.end_tick();
        report
    }

    /// Runs ticks until no work is left, at most for `within`; the rest stays open in the scaling
    /// log.
    ///
    /// Rewriting alarms is slow by quota, and a single run locks out the runs after it, so it
    /// continues to poll.
    pub async fn run_once(&mut self, wait: Duration, within: Duration) -> Report {
        self.run_once_and(wait, within, |_| ()).await
    }

    /// The same; `each` is told what each tick did.
    pub async fn run_once_and(
        &mut self,
        wait: Duration,
        within: Duration,
        each: impl Fn(&Report),
    ) -> Report {
        let end = Instant::now() + within;
        loop {
            let overdue = self.memory.overdue.len();
            let report = self.tick_with(wait, wait).await;
            each(&report);
            let report = self.after_earlier(report);
            let left = self.memory.overdue.len();
            let progresses = left > 0 && (left < overdue || report.roster.is_some());
            let lists = !report.listing.is_empty();
            let is_done = self.under_way() == 0 && !progresses && !lists;
            if is_done || Instant::now() >= end {
                self.cut().await;
                return report.ending();
            }
            self.earlier = Some(report);
        }
    }

    fn after_earlier(&mut self, report: Report) -> Report {
        match self.earlier.take() {
            Some(earlier) => earlier.followed_by(report),
            None => report,
        }
    }

    /// The lease, if several hosts share one configuration.
    pub fn lease(&self) -> Option<&Lease> {
        self.context.lease.as_deref()
    }

    /// Another host acts; this one does nothing until it has the lease.
    fn stand_by(&mut self, started_at: Timestamp, holder: Option<String>) -> Report {
        self.memory = self.memory.after_another_host();
        Report {
            at_rest: self.context.roster.len(),
            standby: Some(holder.unwrap_or_else(|| NO_KNOWN_HOST.to_owned())),
            ..Report::of_nothing(started_at, self.context.dry_run)
        }
    }

    /// Waits until the deadline for the work under way, then cancels it. Returns how many streams
    /// were cancelled, and what was done since the last report.
    ///
    /// Cancelled work stays open in the scaling log, and the next inspection settles it.
    pub async fn stop(&mut self, deadline: Instant) -> (usize, Report) {
        self.stop_and(deadline, |_| ()).await
    }

    /// The same; `each` is told what was done since the last report of a tick.
    pub async fn stop_and(&mut self, deadline: Instant, each: impl Fn(&Report)) -> (usize, Report) {
        self.wait(deadline).await;
        let cut = self.cut().await;
        let report = self.report(self.context.clock.now(), 0, BTreeMap::new());
        each(&report);
        (cut, self.after_earlier(report))
    }

    /// Loads the state that an earlier process saved after its last tick.
    ///
    /// Without it every audit is due: otherwise a run that is rare, or whose state directory does
    /// not persist, would never reach some streams.
    pub fn resume(&mut self, state_dir: &Path) {
        let now = self.context.clock.now();
        let mut kept = self.memory.load(state_dir, now);
        self.restore(std::mem::take(&mut kept.discovered), now);
        let keys = self.context.subscription_ids().map(|id| (self.key(id), id));
        let keys: BTreeMap<String, SubscriptionId> = keys.collect();
        self.memory.forget_unknown(|key| keys.contains_key(key));
        let overdue = kept.overdue.iter().filter_map(|key| keys.get(key));
        self.memory.overdue.extend(overdue);
        self.memory.restore_holds(&mut kept, &keys);
        let scheduled = kept.scheduled.iter();
        let scheduled = scheduled.filter_map(|(key, at)| Some((*keys.get(key)?, *at)));
        self.memory.scheduled.extend(scheduled);
        if self.memory.last_tick.is_none() {
            let interval = self.context.config.audit_interval.unwrap_or_default();
            self.memory.last_tick = now.saturating_sub(interval).ok();
            self.inspect_all();
        }
    }

    /// Saves state for the next process.
    pub fn save_state(&self, state_dir: &Path) {
        let open = self.context.scaling_log.open_scalings();
        let nothing_is_open = self.under_way.is_empty() && open.is_empty();
        let (discovered, key) = (self.discovered(), |id| self.key(id));
        let subscription = |id| self.context.subscription(id);
        self.memory
            .save(state_dir, nothing_is_open, discovered, key, subscription);
    }

    async fn cut(&mut self) -> usize {
        let cut = self.under_way.len();
        self.under_way.shutdown().await;
        self.tasks.clear();
        cut
    }

    /// Whether nothing is written.
    pub fn is_dry_run(&self) -> bool {
        self.context.dry_run
    }

    /// How many streams are being worked on.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The streams that are being worked on.
    fn busy(&self) -> BTreeSet<SubscriptionId> {
        self.tasks.values().copied().collect()
    }

    /// Takes over the results of work that ended since the last tick.
    fn reap(&mut self, now: Timestamp) {
        while let Some(joined) = self.under_way.try_join_next_with_id() {
            self.take_in(joined, now);
        }
        // Work that began before this tick is part of its report, but does not keep it from
        // inspecting the stream again.
        self.reports.retain(|_, report| report.acts());
    }

    async fn wait(&mut self, deadline: Instant) {
        while let Ok(Some(joined)) = timeout_at(deadline, self.under_way.join_next_with_id()).await
        {
            self.take_in(joined, self.context.clock.now());
        }
    }

    /// Reports an outcome at once, so that a tick that is cut short has still reported what it did.
    fn take_in(&mut self, joined: Result<(Id, StreamOutcome), JoinError>, now: Timestamp) {
        match joined {
            Ok((task, outcome)) => {
                self.tasks.remove(&task);
                let StreamOutcome {
                    id,
                    polled,
                    trigger,
                    sightings,
                    decision,
                    mut report,
                    is_whole,
                    lacks_alarm,
                    mute_rules,
                } = outcome;
                let is_lost = lacks_alarm && !report.acts();
                if is_lost && self.context.subscription(id).is_discovered() {
                    self.lose(id, now);
                    return;
                }
                self.note_stream(id, report.stream.as_deref(), now);
                if let Some(sightings) = sightings {
                    self.memory.sightings.insert(self.key(id), sightings);
                }
                let postponed = matches!(decision.reason(), Reason::InProgress | Reason::Standby);
                if postponed && trigger.needs_inspection() {
                    self.memory.overdue.insert(id);
                }
                report.seen.watched =
                    self.memory
                        .note_failure(id, self.key(id), &decision, is_whole);
                let for_itself = matches!(trigger, Trigger::Audit | Trigger::Schedule);
                report.seen.unasked = for_itself && polled.is_empty();
                // A dry run would climb for ever.
                let again = look_again(&trigger, &decision, now);
                let again = again.filter(|_| !self.context.dry_run);
                self.memory.scheduled.extend(again.map(|at| (id, at)));
                self.report_stream(id, report, now);
                if let Some(unread) = mute_rules {
                    let account = &self.context.subscription(id).account;
                    let notices = &mut self.memory.notices;
                    notices.report_mute_rules(account, unread.as_ref(), now);
                }
                self.memory.remember(id, polled, decision, now);
            }
            Err(error) => {
                let Some(id) = self.tasks.remove(&error.id()) else {
                    return;
                };
                let error = format!("internal error: {error}");
                let hint = "please report this as a bug";
                let decision = Decision::fail(Reason::AwsError, error, hint);
                self.report_stream(id, self.stream_report(id, &decision), now);
            }
        }
    }

    /// Identifies a subscription across runs.
    fn key(&self, id: SubscriptionId) -> String {
        let subscription = self.context.subscription(id);
        format!("{}/{}", subscription.account, subscription.alarms.scale_up)
    }

    fn group(&self, id: GroupId) -> &Group {
        &self.groups[id.index()]
    }

    fn group_ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.groups.len()).map(GroupId)
    }
}
