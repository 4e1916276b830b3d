//! What a tick reads before it starts streams: the poll, and the pairs that decisions need.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use autoscaler_core::{
    alarm::{Alarm, Direction},
    audit,
    datetime::after,
    decision::Decision,
    facts::{Facts, Fetched},
    limits::PAIRS_PER_CALL,
    priority::Priority,
    reason::Reason,
    subscription::SubscriptionId,
    trigger::Trigger,
};
use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{Autoscaler, FIRST_AUDIT, GroupId, stream};
use crate::{
    aws,
    reconcile::{
        execute::read_failed,
        inspect,
        lease::LeaseTerm,
        poll::{self, Firing, PollMode},
        shared_metrics::SharedMetrics,
    },
};

/// How many overdue streams one tick inspects: about what AWS's quota for DescribeStreamSummary
/// allows in 10 s, so that a stream whose alarm goes off never waits long for its own audit.
const OVERDUE_PER_TICK: usize = 150;

/// A stream that may need an inspection.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidate {
    trigger: Trigger,
    facts: Facts,
}

pub(super) type Candidates = BTreeMap<SubscriptionId, Candidate>;

/// A result of reading a group.
enum Read {
    Poll(GroupId, PollMode, Result<Vec<Alarm>, aws::Error>),
    /// The alarms of some of its streams.
    Pairs(
        GroupId,
        Vec<SubscriptionId>,
        Result<HashMap<String, Alarm>, aws::Error>,
    ),
}

/// The streams of a group whose pairs have not been read yet.
#[derive(Default)]
struct Waiting {
    candidates: Candidates,
    /// Those that no call is reading, the least urgent first.
    queue: Vec<SubscriptionId>,
}

/// The reads of one tick, side by side.
struct Reads {
    calls: JoinSet<Read>,
    waiting: BTreeMap<GroupId, Waiting>,
    now: Timestamp,
    term: Option<LeaseTerm>,
    /// What the streams of each group may need of CloudWatch's metrics.
    metrics: BTreeMap<GroupId, Arc<SharedMetrics>>,
}

impl Autoscaler {
    /// Polls each account and Region separately, and starts each stream as soon as enough is known:
    /// none waits for a Region that does not answer, and no urgent one for the audit.
    pub(super) async fn poll_and_start(
        &mut self,
        now: Timestamp,
        term: Option<LeaseTerm>,
        deadline: Instant,
    ) {
        let mut due = self.due(now);
        let mut unpolled: BTreeSet<GroupId> = self.group_ids().collect();
        let mut reads = Reads::new(now, term);
        for group in self.group_ids() {
            reads.calls.spawn(self.poll(group));
        }
        while let Ok(Some(read)) = timeout_at(deadline, reads.calls.join_next()).await {
            match read {
                Ok(Read::Poll(group, mode, alarms)) => {
                    self.groups[group.index()].mode = mode;
                    unpolled.remove(&group);
                    match alarms {
                        Err(error) => self.fail_group(group, &read_failed(&error), now),
                        Ok(alarms) => {
                            self.discover_firing(group, &alarms, now);
                            let firing = self.group(group).index.firing(alarms);
                            let due = self.of_group(group, &mut due);
                            let candidates = self.candidates(firing, due, now);
                            self.admit(group, candidates, &mut reads);
                        }
                    }
                }
                Ok(read) => self.take_pairs(read, &mut reads),
                // A panic is a bug; what it was reading is reported as unread below.
                Err(_) => {}
            }
        }
        self.report_unread(unpolled, reads.waiting, now);
        // Audits of streams that were not read come with the next tick.
        self.memory.overdue.extend(due.into_keys());
    }

    /// Starts streams with an open scaling that was unknown when this tick began.
    pub(super) async fn start_recoveries(
        &mut self,
        now: Timestamp,
        term: Option<LeaseTerm>,
        deadline: Instant,
    ) {
        let busy = self.busy();
        let mut open = self.recoveries();
        open.retain(|id, _| !busy.contains(id) && !self.reports.contains_key(id));
        if open.is_empty() {
            return;
        }
        let mut reads = Reads::new(now, term);
        for group in self.group_ids() {
            let candidates = self.of_group(group, &mut open);
            self.admit(group, candidates, &mut reads);
        }
        while let Ok(Some(read)) = timeout_at(deadline, reads.calls.join_next()).await {
            if let Ok(read) = read {
                self.take_pairs(read, &mut reads);
            }
        }
        self.report_unread(BTreeSet::new(), reads.waiting, now);
    }

    /// Starts the candidates of a group that can be decided on, and reads the pairs of the others.
    fn admit(&mut self, group: GroupId, mut candidates: Candidates, reads: &mut Reads) {
        let needs_pair = |id: &SubscriptionId, candidate: &mut Candidate| {
            let subscription = self.context.subscription(*id);
            let Candidate { trigger, facts } = candidate;
            inspect::needs_pair(subscription, trigger, facts, reads.now)
        };
        let streams = candidates.iter();
        let streams = streams.map(|(id, it)| (self.context.subscription(*id), &it.facts));
        let metrics = Arc::new(SharedMetrics::of(streams, reads.now));
        reads.metrics.insert(group, metrics);
        let waiting: Candidates = candidates.extract_if(.., needs_pair).collect();
        let mut queue: Vec<SubscriptionId> = waiting.keys().copied().collect();
        queue.sort_by_key(|id| Reverse((waiting.get(id).map(|it| it.facts.priority()), *id)));
        let waiting = Waiting {
            candidates: waiting,
            queue,
        };
        reads.waiting.insert(group, waiting);
        self.start(group, candidates, reads);
        self.read_more_pairs(group, reads);
    }

    fn take_pairs(&mut self, read: Read, reads: &mut Reads) {
        let Read::Pairs(group, ids, found) = read else {
            return;
        };
        let Some(left) = reads.waiting.get_mut(&group) else {
            return;
        };
        match found {
            Ok(mut found) => {
                let mut ready = Candidates::new();
                for id in ids {
                    if let Some(mut candidate) = left.candidates.remove(&id) {
                        let subscription = self.context.subscription(id);
                        candidate.facts.take_pair(subscription, &mut found);
                        ready.insert(id, candidate);
                    }
                }
                self.start(group, ready, reads);
                self.read_more_pairs(group, reads);
            }
            // After one call failed, the others would fail, too.
            Err(error) => {
                let left = reads.waiting.remove(&group).unwrap_or_default();
                let failure = read_failed(&error);
                self.fail_candidates(group, &left.candidates, &failure, reads.now);
            }
        }
    }

    /// Sends one more DescribeAlarms call for the most urgent pairs of a group.
    fn read_more_pairs(&self, group: GroupId, reads: &mut Reads) {
        let Some(left) = reads.waiting.get_mut(&group) else {
            return;
        };
        let rest = left.queue.len().saturating_sub(PAIRS_PER_CALL);
        let ids = left.queue.split_off(rest);
        if !ids.is_empty() {
            reads.calls.spawn(self.pairs(group, ids));
        }
    }

    /// Takes the candidates of one account and Region out of `candidates`.
    fn of_group(&self, group: GroupId, candidates: &mut Candidates) -> Candidates {
        let account = &self.group(group).account;
        let ours = |id: &SubscriptionId, _: &mut Candidate| {
            self.context.subscription(*id).account == *account
        };
        candidates.extract_if(.., ours).collect()
    }

    /// Streams that are inspected whether or not an alarm is in ALARM: those with an open scaling,
    /// and those whose audit is due.
    pub(super) fn due(&self, now: Timestamp) -> Candidates {
        let mut due = self.recoveries();
        let roster = &self.context.roster;
        let known = |id: &SubscriptionId| roster.has(*id);
        let scheduled = self.memory.scheduled.iter();
        let scheduled = scheduled.filter(|(id, at)| known(id) && **at <= now);
        for (id, _) in scheduled.take(OVERDUE_PER_TICK) {
            due.entry(*id).or_insert_with(|| Candidate {
                trigger: Trigger::Schedule,
                facts: Facts::default(),
            });
        }
        let overdue = self.memory.overdue.iter().copied();
        let overdue = overdue.filter(known).take(OVERDUE_PER_TICK);
        let mut turns: Vec<SubscriptionId> = overdue.collect();
        if let Some(interval) = self.context.config.audit_interval {
            let last = self.memory.last_tick.unwrap_or(after(now, -FIRST_AUDIT));
            let audited = audit::due(last, now, interval, roster.end());
            let audited = audited.into_iter().map(SubscriptionId::new);
            turns.extend(audited.filter(known));
        }
        for id in turns {
            due.entry(id).or_insert_with(|| Candidate {
                trigger: Trigger::Audit,
                facts: Facts::default(),
            });
        }
        due
    }

    /// Streams with a scaling that was left open. Streams that only other processes subscribe are
    /// left to them.
    fn recoveries(&self) -> Candidates {
        let mut found = Candidates::new();
        for scaling in self.context.scaling_log.open_scalings() {
            let region = scaling.stream_arn.split(':').nth(3).unwrap_or_default();
            let groups = self.groups.iter().filter(|group| group.region == region);
            let ids: Vec<_> = groups.filter_map(|it| it.index.find(&scaling)).collect();
            // With two accounts in one Region, it is unknown which of them the scaling belongs to.
            let known = (ids.len() == 1).then(|| Box::new(scaling));
            for id in ids {
                let trigger = Trigger::Recovery(known.clone());
                found.entry(id).or_default().trigger = trigger;
            }
        }
        found
    }

    /// Combines the result of a group's poll with what is `due` there. What needs no inspection is
    /// reported and left out.
    fn candidates(&mut self, firing: Vec<Firing>, due: Candidates, now: Timestamp) -> Candidates {
        let mut candidates = due;
        for (id, direction, alarm) in firing {
            let facts = &mut candidates.entry(id).or_default().facts;
            match direction {
                Direction::Up => facts.up = Fetched::Found(alarm),
                Direction::Down => facts.down = Fetched::Found(alarm),
            }
        }
        let busy = self.busy();
        candidates.retain(|id, Candidate { trigger, facts }| {
            let subscription = self.context.subscription(*id);
            let held = match busy.contains(id) {
                true => {
                    if *trigger == Trigger::Audit {
                        self.memory.overdue.insert(*id);
                    }
                    let detail = "an earlier tick is still working on it";
                    Some(Decision::hold(Reason::InProgress, detail))
                }
                false => self.memory.recall(*id, subscription, trigger, facts, now),
            };
            let Some(decision) = held else {
                if *trigger == Trigger::Audit {
                    facts.standing = self.memory.standing(*id, subscription, facts, now);
                }
                return true;
            };
            let mut report = self.stream_report(*id, &decision);
            let name = facts.stream_name(self.context.subscription(*id));
            report.stream = (!name.is_empty()).then(|| name.to_owned());
            self.report_stream(*id, report, now);
            false
        });
        candidates
    }

    /// One DescribeAlarms call for an account and Region.
    fn poll(&self, id: GroupId) -> impl Future<Output = Read> + use<> {
        let group = self.group(id);
        let clients = self.context.aws.clients(&group.account).clone();
        let (index, mut mode) = (group.index.clone(), group.mode);
        async move {
            let alarms = poll::poll(&clients, &index, &mut mode).await;
            Read::Poll(id, mode, alarms)
        }
    }

    /// One DescribeAlarms call for the pairs of some streams.
    fn pairs(
        &self,
        group: GroupId,
        ids: Vec<SubscriptionId>,
    ) -> impl Future<Output = Read> + use<> {
        let context = self.context.clone();
        let account = self.group(group).account.clone();
        async move {
            let names = ids.iter().map(|id| &context.subscription(*id).alarms);
            let names: Vec<&str> = names.flat_map(|alarms| alarms.both()).collect();
            let clients = context.aws.clients(&account);
            let found = inspect::pairs(clients, &names, Priority::FIRST).await;
            Read::Pairs(group, ids, found)
        }
    }

    /// Reports what the tick did not reach.
    fn report_unread(
        &mut self,
        unpolled: BTreeSet<GroupId>,
        waiting: BTreeMap<GroupId, Waiting>,
        now: Timestamp,
    ) {
        let late = Decision::fail(
            Reason::AwsError,
            "its alarms could not be read within tick_timeout",
            "they are read again at the next tick",
        );
        for group in unpolled {
            self.fail_group(group, &late, now);
        }
        for (group, left) in waiting {
            if !left.candidates.is_empty() {
                self.fail_candidates(group, &left.candidates, &late, now);
            }
        }
    }

    /// Reports that no stream of an account and Region could be inspected.
    fn fail_group(&mut self, group: GroupId, failure: &Decision, now: Timestamp) {
        let error = failure.error().unwrap_or_default();
        self.unpolled
            .push(format!("{}: {error}", self.group(group).region));
        let mut all: Candidates = self
            .context
            .subscription_ids()
            .map(|id| (id, Candidate::default()))
            .collect();
        let ours = self.of_group(group, &mut all);
        self.fail_candidates(group, &ours, failure, now);
    }

    /// Reports the same failure of several streams, with one line in the log.
    fn fail_candidates(
        &mut self,
        group: GroupId,
        candidates: &Candidates,
        failure: &Decision,
        now: Timestamp,
    ) {
        let (account, region) = {
            let group = self.group(group);
            (group.account.clone(), group.region.clone())
        };
        let notices = &mut self.memory.notices;
        notices.report_region(&account, &region, candidates.len(), failure, now);
        for (id, candidate) in candidates {
            if candidate.trigger.needs_inspection() {
                self.memory.overdue.insert(*id);
            }
            let mut report = self.stream_report(*id, failure);
            let trigger = &candidate.trigger;
            report.seen.unasked = matches!(trigger, Trigger::Audit | Trigger::Schedule);
            self.reports.insert(*id, report);
        }
    }

    /// Starts a task for each stream, the most urgent first.
    fn start(&mut self, group: GroupId, candidates: Candidates, reads: &Reads) {
        let (now, term) = (reads.now, reads.term);
        let mut work: Vec<(SubscriptionId, Candidate)> = candidates.into_iter().collect();
        work.sort_by_key(|(id, candidate)| (candidate.facts.priority(), *id));
        for (id, Candidate { trigger, mut facts }) in work {
            self.memory.overdue.remove(&id);
            if trigger == Trigger::Schedule {
                self.memory.scheduled.remove(&id);
            }
            let subscription = self.context.subscription(id);
            let seen = self.memory.sightings.get(&self.key(id));
            facts.sightings = seen.copied().unwrap_or_default();
            let stream = facts.stream_name(subscription).to_owned();
            let region = &self.context.clients_of(subscription).region;
            let account = subscription.account.name();
            let span = tracing::error_span!("stream", stream, region, account);
            let (context, metrics) = (self.context.clone(), reads.metrics.get(&group).cloned());
            let facts = Box::new(facts);
            let task = stream::reconcile(context, id, trigger, facts, now, term, metrics);
            let task = self.under_way.spawn(task.instrument(span)).id();
            self.tasks.insert(task, id);
        }
    }
}

impl Reads {
    fn new(now: Timestamp, term: Option<LeaseTerm>) -> Self {
        Self {
            calls: JoinSet::new(),
            waiting: BTreeMap::new(),
            now,
            term,
            metrics: BTreeMap::new(),
        }
    }
}
