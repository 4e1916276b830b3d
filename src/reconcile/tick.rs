//! One tick: observe -> decide -> apply -> record, for all subscriptions, streams side by side.

mod look;
mod memory;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    aws,
    output::{error::chain, table::millis},
    reconcile::{
        context::Context,
        execute::{self, LeaseGuard},
        inspect::{Index, PollMode, Reader},
        lease::{Lease, LeaseTerm, Standing},
        report::{Report, StreamReport},
    },
};
use autoscaler_core::{
    alarm::{Alarm, Direction},
    decide::{Action, Decision, Verdict, decide, may_reshard},
    facts::Observation,
    reason::Reason,
    scaling::Scaling,
    subscription::Account,
};
use memory::Memory;

/// So much of a tick goes to rows that wait in the spool: a scale-up never waits long for the log.
const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// How often the log is asked for scalings that were left open, where no audit interval says it.
const LOOK_FOR_OPEN: Duration = Duration::from_mins(15);

/// Without word of an earlier tick, the audit takes those whose turn was in this time.
const FIRST_AUDIT: SignedDuration = SignedDuration::from_secs(60);

/// The autoscaler between ticks: what it works with, what it remembers, what is still under way.
#[derive(Debug)]
pub struct Autoscaler {
    context: Arc<Context>,
    groups: Vec<Group>,
    memory: Memory,
    /// Reports list every subscription, not only those that anything is to be told of.
    report_all: bool,
    /// Streams being worked on, which may outlast a tick: alarm rewriting is slow by quota, and no other stream waits for it.
    under_way: JoinSet<StreamOutcome>,
    busy: HashMap<Id, usize>,
    /// What the tick under way has to tell, by the subscriptions' numbers.
    reports: BTreeMap<usize, StreamReport>,
    /// The Regions that it could not poll, and why.
    unpolled: Vec<String>,
    /// What the earlier ticks of a run from cron had to tell.
    earlier: Option<Report>,
}

/// The subscriptions of one account and Region.
#[derive(Debug)]
struct Group {
    account: Account,
    region: String,
    index: Arc<Index>,
    mode: PollMode,
}

/// One stream, looked after.
#[derive(Debug)]
struct StreamOutcome {
    number: usize,
    stream: String,
    polled: Vec<Alarm>,
    needs_inspection: bool,
    decision: Decision,
    /// The calls of the last 24 h that count, where the log was read.
    calls: Option<Vec<Timestamp>>,
}

impl Autoscaler {
    /// An autoscaler that has not ticked yet.
    pub fn new(context: Arc<Context>, report_all: bool) -> Self {
        let mut indexes: BTreeMap<&Account, Index> = BTreeMap::new();
        for (number, subscription) in context.config.subscriptions.iter().enumerate() {
            indexes
                .entry(&subscription.account)
                .or_default()
                .add(number, subscription);
        }
        let group = |(account, index): (&Account, Index)| Group {
            account: account.clone(),
            region: context.aws.clients(account).region.clone(),
            index: Arc::new(index),
            mode: PollMode::default(),
        };
        let groups = indexes.into_iter().map(group).collect();
        Self {
            context,
            groups,
            memory: Memory::default(),
            report_all,
            under_way: JoinSet::new(),
            busy: HashMap::new(),
            reports: BTreeMap::new(),
            unpolled: Vec::new(),
            earlier: None,
        }
    }

    /// Looks after every stream that may need it, and tells what was done. Never fails as a whole: what fails is told per stream.
    pub async fn tick(&mut self, wait: Duration) -> Report {
        let started = Instant::now();
        let now = self.context.clock.now();
        let calls = self.context.aws.meter.read();
        let term = match self.context.lease.as_deref().map(Lease::standing) {
            None => None,
            Some(Standing::Holder(term) | Standing::Cut(term)) => Some(term),
            Some(Standing::Standby(holder)) => {
                // What this host did while it held the lease is in no other host's reach.
                self.deliver().await;
                return self.stand_by(now, holder);
            }
        };
        if self.memory.term != term {
            // Whoever acted before may have left something open.
            self.memory = Memory::default();
            self.memory.term = term;
        }
        self.deliver().await;
        self.tend_journal(now).await;
        self.reports.clear();
        self.look(now, term, started + wait).await;
        self.wait(started + wait).await;
        self.memory.last_tick = Some(now);
        if self
            .reports
            .values()
            .any(|report| report.reason == Reason::Settling.code())
        {
            // Something is open that this process may not know of.
            self.memory.open_read_at = None;
        }
        self.tell_of_busy();
        self.memory.keep_told();
        if self.report_all {
            for (number, subscription) in self.context.config.subscriptions.iter().enumerate() {
                let region = &self.context.aws.clients(&subscription.account).region;
                self.reports
                    .entry(number)
                    .or_insert_with(|| StreamReport::at_rest(subscription.label(), region));
            }
        }
        let calls = self.context.aws.meter.since(&calls);
        self.report(now, millis(started.elapsed()), calls)
    }

    /// Ticks until no work is under way, up to `within`; what is then left stays open in the log.
    ///
    /// Alarm rewriting is slow by quota, and a run from cron keeps out the runs after it: so it goes on looking at the alarms meanwhile.
    pub async fn run_once(&mut self, wait: Duration, within: Duration) -> Report {
        let end = Instant::now() + within;
        loop {
            let report = self.tick(wait).await;
            let report = self.after_earlier(report);
            if self.under_way() == 0 || Instant::now() >= end {
                self.cut().await;
                return report;
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

    /// The lease, where several hosts stand by for each other.
    pub fn lease(&self) -> Option<&Lease> {
        self.context.lease.as_deref()
    }

    /// Another host acts; this one does nothing until it has the lease.
    fn stand_by(&mut self, started_at: Timestamp, holder: Option<String>) -> Report {
        self.memory = Memory::default();
        Report {
            at_rest: self.context.config.subscriptions.len(),
            standby: Some(holder.unwrap_or_else(|| "nobody that is known".to_owned())),
            ..Report::of_nothing(started_at, self.context.dry_run)
        }
    }

    /// Waits for the work that ticks have left under way, cuts what is left of it at the deadline, and tells how many streams that were, and
    /// what was done since the last report.
    ///
    /// What is cut stays open in the log, and whoever looks next settles it.
    pub async fn stop(&mut self, deadline: Instant) -> (usize, Report) {
        self.wait(deadline).await;
        let cut = self.cut().await;
        let report = self.report(self.context.clock.now(), 0, BTreeMap::new());
        (cut, self.after_earlier(report))
    }

    /// Takes over what an earlier process left in the state directory about its last tick.
    ///
    /// Without word every audit is due: a run that comes seldom, or whose state directory does not last, would never get to some streams.
    pub fn resume(&mut self, state_dir: &Path) {
        let now = self.context.clock.now();
        self.memory.load(state_dir, now);
        let all = 0..self.context.config.subscriptions.len();
        let keys: BTreeSet<String> = all.map(|number| self.key(number)).collect();
        self.memory.forget_unknown(&keys);
        if self.memory.last_tick.is_none() {
            let interval = self.context.config.audit_interval.unwrap_or_default();
            self.memory.last_tick = now.saturating_sub(interval).ok();
        }
    }

    /// Leaves word for the next process.
    pub fn save_state(&self, state_dir: &Path) {
        let nothing_is_open = self.under_way.is_empty() && self.left_open().is_empty();
        self.memory.save(state_dir, nothing_is_open);
    }

    async fn cut(&mut self) -> usize {
        let cut = self.under_way.len();
        self.under_way.shutdown().await;
        self.busy.clear();
        cut
    }

    /// How many streams are being worked on.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Delivers spooled rows.
    async fn deliver(&mut self) {
        let scaling_log = &self.context.scaling_log;
        if self.context.dry_run {
            return;
        }
        if let Err(error) = scaling_log.take_in() {
            self.memory
                .tell_of_log("a command's rows wait", &chain(&error), None);
        }
        if scaling_log.spooled() > 0 {
            match scaling_log.deliver(DELIVER_WITHIN).await {
                Ok(rows) => tracing::info!(rows, "the spool's rows are delivered to the log"),
                Err(error) => {
                    self.memory
                        .tell_of_log("rows wait in the spool", &chain(&error), None);
                }
            }
        }
    }

    /// Finds out at the start, and once per audit interval, what any process has left open.
    async fn tend_journal(&mut self, now: Timestamp) {
        let Context {
            config,
            scaling_log,
            ..
        } = &*self.context;
        let interval = config.audit_interval.unwrap_or(LOOK_FOR_OPEN);
        let due = |last: Timestamp| now.duration_since(last).unsigned_abs() >= interval;
        if self.memory.open_read_at.is_none_or(due) {
            match scaling_log.refresh_open().await {
                Ok(()) => self.memory.open_read_at = Some(now),
                Err(error) => self.memory.tell_of_log(
                    "the log cannot be read for scalings left open",
                    &error.to_string(),
                    error.hint(),
                ),
            }
        }
    }

    /// Subscriptions with a scaling that was left open; those of streams that only other processes subscribe are theirs.
    fn left_open(&self) -> Vec<(usize, Scaling)> {
        let open = self.context.scaling_log.open_scalings();
        let find = |scaling: Scaling| {
            let region = scaling.stream_arn.split(':').nth(3).unwrap_or_default();
            let groups = self.groups.iter().filter(|group| group.region == region);
            let numbers = groups.filter_map(|group| group.index.find(&scaling));
            let found: Vec<_> = numbers.map(|number| (number, scaling.clone())).collect();
            found
        };
        open.into_iter().flat_map(find).collect()
    }

    async fn wait(&mut self, deadline: Instant) {
        while let Ok(Some(joined)) = timeout_at(deadline, self.under_way.join_next_with_id()).await
        {
            match joined {
                Ok((id, settled)) => {
                    self.busy.remove(&id);
                    let mut report =
                        self.stream_report(settled.number, &settled.stream, &settled.decision);
                    report.calls = settled.calls;
                    let (now, number) = (self.context.clock.now(), settled.number);
                    let reason = settled.decision.reason;
                    if settled.needs_inspection
                        && matches!(reason, Reason::InProgress | Reason::Standby)
                    {
                        self.memory.overdue.insert(number);
                    }
                    // At once: a tick that is cut short has still told what it did.
                    self.tell(number, report);
                    self.memory
                        .remember(number, settled.polled, settled.decision, now);
                }
                Err(error) => {
                    if let Some(number) = self.busy.remove(&error.id()) {
                        let decision = Decision::failed(
                            Reason::AwsError,
                            format!("internal error: {error}"),
                            "please report this as a bug",
                        );
                        let label = self.context.config.subscriptions[number].label().to_owned();
                        self.tell(number, self.stream_report(number, &label, &decision));
                    }
                }
            }
        }
    }

    /// Logs what is new of a stream, and reports it.
    fn tell(&mut self, number: usize, report: StreamReport) {
        let key = self.key(number);
        self.memory.tell(key, &report, self.context.dry_run);
        self.reports.insert(number, report);
    }

    /// Names a subscription from run to run.
    fn key(&self, number: usize) -> String {
        let subscription = &self.context.config.subscriptions[number];
        format!("{}/{}", subscription.account, subscription.alarms.scale_up)
    }

    fn stream_report(&self, number: usize, stream: &str, decision: &Decision) -> StreamReport {
        let region = &self
            .context
            .aws
            .clients(&self.context.config.subscriptions[number].account)
            .region;
        StreamReport::new(stream, region, decision)
    }

    /// Tells of the streams whose work outlasts the tick.
    fn tell_of_busy(&mut self) {
        let busy: Vec<usize> = self.busy.values().copied().collect();
        for number in busy {
            if !self.reports.contains_key(&number) {
                let decision = Decision::hold(
                    Reason::InProgress,
                    "work on it outlasts the tick, and goes on",
                );
                let label = self.context.config.subscriptions[number].label().to_owned();
                self.tell(number, self.stream_report(number, &label, &decision));
            }
        }
    }

    fn report(
        &mut self,
        started_at: Timestamp,
        duration_ms: u64,
        api_calls: BTreeMap<String, u64>,
    ) -> Report {
        let reports = std::mem::take(&mut self.reports);
        Report {
            started_at,
            duration_ms,
            dry_run: self.context.dry_run,
            api_calls,
            at_rest: self.context.config.subscriptions.len() - reports.len(),
            streams: reports.into_values().collect(),
            standby: None,
            unpolled: std::mem::take(&mut self.unpolled),
            late_by: None,
        }
    }
}

/// Reads what the decision needs, and carries it out.
async fn look_after(
    context: Arc<Context>,
    number: usize,
    mut seen: Observation,
    mut now: Timestamp,
    term: Option<LeaseTerm>,
) -> StreamOutcome {
    let subscription = &context.config.subscriptions[number];
    let polled = seen.alarms_in_alarm();
    let mut admitted = None;
    let decision = loop {
        match decide(subscription, &seen, now) {
            Verdict::Decided(decision) => break decision,
            Verdict::Need(_) if admitted.is_none() && may_reshard(subscription, &seen, now) => {
                let kinesis = &context.aws.clients(&subscription.account).kinesis;
                admitted = Some(kinesis.admission(seen.priority()).await);
                // In a storm that is long after the tick has begun.
                (seen.polled_at, now) = (Some(now), context.clock.now());
                // A scale-up needs the least; what is decided asks for its own.
                let leave = LeaseGuard::new(&context, term, Direction::Up);
                if let Err(lost) = leave.ask() {
                    break Decision::hold(Reason::Standby, lost.to_string());
                }
            }
            Verdict::Need(fact) => {
                let reader = Reader {
                    aws: &context.aws,
                    scaling_log: &context.scaling_log,
                    subscription,
                    now,
                };
                let read = reader.read(fact, &mut seen);
                if let Err(error) = Box::pin(read).await {
                    break failure(&error);
                }
            }
        }
    };
    let decision = if context.dry_run {
        decision
    } else {
        let applied = execute::apply(&context, subscription, &seen, admitted, term, decision);
        Box::pin(applied).await
    };
    let stream = match seen.stream_name(subscription) {
        "" => subscription.label(),
        name => name,
    };
    StreamOutcome {
        number,
        stream: stream.to_owned(),
        polled,
        needs_inspection: seen.needs_inspection,
        calls: calls(&context, &seen, &decision, now),
        decision,
    }
}

/// The calls that count of those in the log, with the one that was just made.
fn calls(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
    now: Timestamp,
) -> Option<Vec<Timestamp>> {
    let log = seen.log.as_ref().filter(|log| log.unread.is_none())?;
    let mut calls: Vec<Timestamp> = log.calls().collect();
    let scaled = matches!(
        decision.action,
        Action::ScaleUp { .. } | Action::ScaleDown { .. }
    );
    calls.extend((scaled && !context.dry_run).then_some(now));
    Some(calls)
}

/// A stream of which something could not be read.
pub(crate) fn failure(error: &aws::Error) -> Decision {
    let mend = error
        .hint()
        .unwrap_or_else(|| "it is tried again".to_owned());
    Decision::failed(Reason::AwsError, error.to_string(), mend)
}
