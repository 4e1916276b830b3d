//! One tick: observe -> decide -> apply -> record, for all subscriptions, streams side by side.

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
use tracing::Instrument;

use crate::{
    alarm::{Alarm, Direction},
    apply, audit, aws,
    config::Account,
    context::Context,
    decide::{Action, Decision, Reason, Verdict, after, decide},
    error::chain,
    lease::{Lease, Standing, Term},
    observation::{Observation, Seen},
    observe::{self, Firing, Index, Paired, PollMode, Reader},
    report::{Report, StreamReport, millis},
    scaling::Scaling,
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
    under_way: JoinSet<Settled>,
    busy: HashMap<Id, usize>,
    /// The Regions that the tick could not poll, and why.
    unpolled: Vec<String>,
}

/// The subscriptions of one account and Region.
#[derive(Debug)]
struct Group {
    account: Account,
    region: String,
    index: Arc<Index>,
    mode: PollMode,
}

/// What was read of one account and Region, named by its group.
enum Read {
    Poll(usize, PollMode, Result<Vec<Firing>, aws::Error>),
    /// What was seen of its streams, and those whose alarms could not be read.
    Pairs(usize, Paired),
}

/// One stream, looked after.
#[derive(Debug)]
struct Settled {
    number: usize,
    stream: String,
    polled: Vec<Alarm>,
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
            region: context.aws.place(account).region.clone(),
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
            unpolled: Vec::new(),
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
        let mut reports = BTreeMap::new();
        self.look(now, term, started + wait, &mut reports).await;
        self.wait(started + wait, &mut reports).await;
        self.memory.last_tick = Some(now);
        if reports
            .values()
            .any(|report| report.reason == Reason::Settling.code())
        {
            // Something is open that this process may not know of.
            self.memory.open_read_at = None;
        }
        self.report(
            now,
            millis(started.elapsed()),
            self.context.aws.meter.since(&calls),
            reports,
        )
    }

    /// Ticks until no work is under way, up to `within`; what is then left stays open in the log.
    ///
    /// Alarm rewriting is slow by quota, and a run from cron keeps out the runs after it: so it goes on looking at the alarms meanwhile.
    pub async fn run_once(&mut self, wait: Duration, within: Duration) -> Report {
        let end = Instant::now() + within;
        let mut report = self.tick(wait).await;
        while self.under_way() > 0 && Instant::now() < end {
            report = report.followed_by(self.tick(wait).await);
        }
        self.cut().await;
        report
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

    /// Waits for the work that ticks have left under way, cuts what is left of it at the deadline, and tells how many streams that were.
    ///
    /// How work ends is logged; what is cut stays open in the log, and whoever looks next settles it.
    pub async fn stop(&mut self, deadline: Instant) -> usize {
        self.wait(deadline, &mut BTreeMap::new()).await;
        self.cut().await
    }

    /// Takes over what an earlier process left in the state directory about its last tick.
    ///
    /// Without word every audit is due: a run that comes seldom, or whose state directory does not last, would never get to some streams.
    pub fn resume(&mut self, state_dir: &Path) {
        let now = self.context.clock.now();
        self.memory.load(state_dir, now);
        if self.memory.last_tick.is_none() {
            let interval = self.context.config.audit_interval.unwrap_or_default();
            self.memory.last_tick = now.saturating_sub(interval).ok();
        }
    }

    /// Leaves word for the next process.
    pub fn leave_word(&self, state_dir: &Path) {
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
        let journal = &self.context.journal;
        if self.context.dry_run {
            return;
        }
        journal.take_in();
        if journal.spooled() > 0 {
            match journal.deliver(DELIVER_WITHIN).await {
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
            config, journal, ..
        } = &*self.context;
        let interval = config.audit_interval.unwrap_or(LOOK_FOR_OPEN);
        let due = |last: Timestamp| now.duration_since(last).unsigned_abs() >= interval;
        if self.memory.open_read_at.is_none_or(due) {
            match journal.refresh_open().await {
                Ok(()) => self.memory.open_read_at = Some(now),
                Err(error) => self.memory.tell_of_log(
                    "the log cannot be read for scalings left open",
                    &error.to_string(),
                    error.hint(),
                ),
            }
        }
    }

    /// Reads each account and Region by itself, and starts its streams as soon as that is done: none waits for another that does not answer.
    async fn look(
        &mut self,
        now: Timestamp,
        term: Option<Term>,
        deadline: Instant,
        reports: &mut BTreeMap<usize, StreamReport>,
    ) {
        let mut due = self.due(now);
        let mut unread: BTreeSet<usize> = (0..self.groups.len()).collect();
        let mut reading = JoinSet::new();
        for group_number in unread.iter().copied() {
            reading.spawn(self.poll(group_number));
        }
        while let Ok(Some(read)) = timeout_at(deadline, reading.join_next()).await {
            match read {
                Ok(Read::Poll(group_number, mode, Ok(firing))) => {
                    self.groups[group_number].mode = mode;
                    let account = self.groups[group_number].account.clone();
                    let due = due.extract_if(.., |number, _| {
                        self.context.config.subscriptions[*number].account == account
                    });
                    let due = due.collect();
                    let observations = self.observe(firing, due, now, reports);
                    let context = self.context.clone();
                    reading.spawn(async move {
                        let pairs = observe::needed_pairs(&context, &account, observations, now);
                        Read::Pairs(group_number, pairs.await)
                    });
                }
                Ok(Read::Poll(group_number, mode, Err(error))) => {
                    self.groups[group_number].mode = mode;
                    unread.remove(&group_number);
                    self.fail_group(group_number, &failure(&error), reports);
                }
                Ok(Read::Pairs(group_number, (observations, failed))) => {
                    unread.remove(&group_number);
                    if let Some((error, numbers)) = failed {
                        self.memory.overdue.extend(&numbers);
                        self.fail(group_number, &numbers, &failure(&error), reports);
                    }
                    self.start(observations, now, term);
                }
                // A panic is a bug; the streams of that group are then told as unread.
                Err(_) => {}
            }
        }
        for group_number in unread {
            let why = "its alarms could not be read within tick_timeout";
            let late = Decision::failed(
                Reason::AwsError,
                why,
                "they are read again at the next tick",
            );
            self.fail_group(group_number, &late, reports);
        }
        // The audits of those that were not read come with the next tick.
        self.memory.overdue.extend(due.into_keys());
    }

    /// Streams that are looked at whether or not an alarm asks: what was left open, and those whose audit is due.
    fn due(&mut self, now: Timestamp) -> BTreeMap<usize, Observation> {
        let mut due: BTreeMap<usize, Observation> = BTreeMap::new();
        for (number, scaling) in self.left_open() {
            let seen = due.entry(number).or_default();
            (seen.must_look, seen.must_settle) = (true, true);
            seen.open = Some(scaling);
        }
        let all = self.context.config.subscriptions.len();
        let overdue = std::mem::take(&mut self.memory.overdue);
        for number in overdue.into_iter().filter(|number| *number < all) {
            due.entry(number).or_default().must_look = true;
        }
        if let Some(interval) = self.context.config.audit_interval {
            let last = self.memory.last_tick.unwrap_or(after(now, -FIRST_AUDIT));
            for number in audit::due(last, now, interval, all) {
                due.entry(number).or_default().must_look = true;
            }
        }
        due
    }

    /// What the poll of an account and Region has brought, with what is `due` there; what needs no look goes to `reports`.
    fn observe(
        &mut self,
        firing: Vec<Firing>,
        due: BTreeMap<usize, Observation>,
        now: Timestamp,
        reports: &mut BTreeMap<usize, StreamReport>,
    ) -> BTreeMap<usize, Observation> {
        let mut observations = due;
        for (number, direction, alarm) in firing {
            let seen = observations.entry(number).or_default();
            match direction {
                Direction::Up => seen.up = Seen::Found(alarm),
                Direction::Down => seen.down = Seen::Found(alarm),
            }
        }
        let busy: BTreeSet<usize> = self.busy.values().copied().collect();
        observations.retain(|number, seen| {
            let held = if busy.contains(number) {
                if seen.must_look {
                    self.memory.overdue.insert(*number);
                }
                Some(Decision::hold(
                    Reason::InProgress,
                    "work that an earlier tick began goes on",
                ))
            } else {
                self.memory.recall(*number, seen, now)
            };
            let Some(decision) = held else { return true };
            let subscription = &self.context.config.subscriptions[*number];
            let name = seen.stream_name(subscription).to_owned();
            let report = self.stream_report(*number, &name, &decision);
            self.memory.tell(&report, self.context.dry_run);
            reports.insert(*number, report);
            false
        });
        observations
    }

    /// One DescribeAlarms call for an account and Region.
    fn poll(&self, group_number: usize) -> impl Future<Output = Read> + use<> {
        let group = &self.groups[group_number];
        let place = self.context.aws.place(&group.account).clone();
        let (index, mut mode) = (group.index.clone(), group.mode);
        async move {
            let firing = observe::poll(&place, &index, &mut mode).await;
            Read::Poll(group_number, mode, firing)
        }
    }

    /// Tells of all streams of an account and Region that they could not be looked at.
    fn fail_group(
        &mut self,
        group_number: usize,
        why: &Decision,
        reports: &mut BTreeMap<usize, StreamReport>,
    ) {
        let group = &self.groups[group_number];
        let error = why.error.as_deref().unwrap_or_default();
        self.unpolled.push(format!("{}: {error}", group.region));
        let subscriptions = self.context.config.subscriptions.iter().enumerate();
        let ours = subscriptions.filter(|(_, it)| it.account == group.account);
        let numbers: Vec<usize> = ours.map(|(number, _)| number).collect();
        self.fail(group_number, &numbers, why, reports);
    }

    /// The same of some of them; the log has one line for all.
    fn fail(
        &mut self,
        group_number: usize,
        numbers: &[usize],
        why: &Decision,
        reports: &mut BTreeMap<usize, StreamReport>,
    ) {
        let region = &self.groups[group_number].region;
        self.memory.tell_of_region(region, numbers.len(), why);
        for number in numbers {
            let label = self.context.config.subscriptions[*number].label();
            reports.insert(*number, self.stream_report(*number, label, why));
        }
    }

    /// Subscriptions with a scaling that was left open; those of streams that only other processes subscribe are theirs.
    fn left_open(&self) -> Vec<(usize, Scaling)> {
        let open = self.context.journal.open_scalings();
        let find = |scaling: Scaling| {
            let region = scaling.stream_arn.split(':').nth(3).unwrap_or_default();
            let groups = self.groups.iter().filter(|group| group.region == region);
            let numbers = groups.filter_map(|group| group.index.find(&scaling));
            let found: Vec<_> = numbers.map(|number| (number, scaling.clone())).collect();
            found
        };
        open.into_iter().flat_map(find).collect()
    }

    /// Starts a task for each stream, the most urgent first.
    fn start(
        &mut self,
        observations: BTreeMap<usize, Observation>,
        now: Timestamp,
        term: Option<Term>,
    ) {
        let mut work: Vec<(usize, Observation)> = observations.into_iter().collect();
        work.sort_by_key(|(number, seen)| (seen.priority(), *number));
        for (number, seen) in work {
            let subscription = &self.context.config.subscriptions[number];
            let stream = seen.stream_name(subscription).to_owned();
            let region = &self.context.aws.place(&subscription.account).region;
            let span = tracing::error_span!("stream", stream, region);
            let task = look_after(self.context.clone(), number, seen, now, term).instrument(span);
            let id = self.under_way.spawn(task).id();
            self.busy.insert(id, number);
        }
    }

    async fn wait(&mut self, deadline: Instant, reports: &mut BTreeMap<usize, StreamReport>) {
        while let Ok(Some(joined)) = timeout_at(deadline, self.under_way.join_next_with_id()).await
        {
            match joined {
                Ok((id, settled)) => {
                    self.busy.remove(&id);
                    let mut report =
                        self.stream_report(settled.number, &settled.stream, &settled.decision);
                    report.calls = settled.calls;
                    // At once: a tick that is cut short has still told what it did.
                    self.memory.tell(&report, self.context.dry_run);
                    reports.insert(settled.number, report);
                    let (now, number) = (self.context.clock.now(), settled.number);
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
                        let report = self.stream_report(number, &label, &decision);
                        self.memory.tell(&report, self.context.dry_run);
                        reports.insert(number, report);
                    }
                }
            }
        }
    }

    fn stream_report(&self, number: usize, stream: &str, decision: &Decision) -> StreamReport {
        let region = &self
            .context
            .aws
            .place(&self.context.config.subscriptions[number].account)
            .region;
        StreamReport::new(stream, region, decision)
    }

    fn report(
        &mut self,
        started_at: Timestamp,
        duration_ms: u64,
        api_calls: BTreeMap<String, u64>,
        mut reports: BTreeMap<usize, StreamReport>,
    ) -> Report {
        let dry_run = self.context.dry_run;
        for number in self.busy.values() {
            if !reports.contains_key(number) {
                let decision = Decision::hold(
                    Reason::InProgress,
                    "work on it outlasts the tick, and goes on",
                );
                let label = self.context.config.subscriptions[*number].label();
                let report = self.stream_report(*number, label, &decision);
                self.memory.tell(&report, dry_run);
                reports.insert(*number, report);
            }
        }
        self.memory.keep_told();
        let subscriptions = &self.context.config.subscriptions;
        if self.report_all {
            for (number, subscription) in subscriptions.iter().enumerate() {
                let region = &self.context.aws.place(&subscription.account).region;
                reports
                    .entry(number)
                    .or_insert_with(|| StreamReport::at_rest(subscription.label(), region));
            }
        }
        let at_rest = subscriptions.len() - reports.len();
        let streams = reports.into_values().collect();
        Report {
            started_at,
            duration_ms,
            dry_run,
            api_calls,
            streams,
            at_rest,
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
    now: Timestamp,
    term: Option<Term>,
) -> Settled {
    let subscription = &context.config.subscriptions[number];
    let polled = seen.alarms_in_alarm();
    let reader = Reader {
        aws: &context.aws,
        journal: &context.journal,
        subscription,
        now,
    };
    let decision = loop {
        match decide(subscription, &seen, now) {
            Verdict::Decided(decision) => break decision,
            Verdict::Need(fact) => {
                if let Err(error) = reader.read(fact, &mut seen).await {
                    break failure(&error);
                }
            }
        }
    };
    let decision = if context.dry_run {
        decision
    } else {
        apply::apply(&context, subscription, &seen, term, decision).await
    };
    let stream = match seen.stream_name(subscription) {
        "" => subscription.label(),
        name => name,
    };
    Settled {
        number,
        stream: stream.to_owned(),
        polled,
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
    let counted = log.scalings.iter().filter(|row| row.counts());
    let mut calls: Vec<Timestamp> = counted.map(|row| row.at).collect();
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
        .unwrap_or_else(|| "it is tried again at the next tick".to_owned());
    Decision::failed(Reason::AwsError, error.to_string(), mend)
}
