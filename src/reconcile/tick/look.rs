//! What a tick reads before it starts streams: the poll, and the pairs that decisions need.

use autoscaler_core::priority::Priority;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
};

use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use super::{Autoscaler, FIRST_AUDIT, failure, look_after};
use crate::{
    aws,
    reconcile::{
        inspect::{self, Firing, PollMode},
        lease::LeaseTerm,
    },
};
use autoscaler_core::{
    alarm::{Alarm, Direction},
    audit,
    datetime::after,
    decide::Decision,
    facts::{Fetched, Observation},
    limits::PAIRS_PER_CALL,
    reason::Reason,
};

/// What was read of an account and Region, named by its group.
enum Read {
    Poll(usize, PollMode, Result<Vec<Firing>, aws::Error>),
    /// The alarms of some of its streams.
    Pairs(
        usize,
        Vec<usize>,
        Result<HashMap<String, Alarm>, aws::Error>,
    ),
}

type Observations = BTreeMap<usize, Observation>;

/// The streams of a group whose pairs are still to be read.
#[derive(Default)]
struct Waiting {
    seen: Observations,
    /// Those that no call is under way for, the least urgent first.
    queue: Vec<usize>,
}

impl Autoscaler {
    /// Reads each account and Region by itself, and starts streams as soon as enough is known of them: none waits for another Region that
    /// does not answer, nor the urgent ones for the audit.
    pub(super) async fn look(
        &mut self,
        now: Timestamp,
        term: Option<LeaseTerm>,
        deadline: Instant,
    ) {
        let mut due = self.due(now);
        let mut unpolled: BTreeSet<usize> = (0..self.groups.len()).collect();
        let mut waiting: BTreeMap<usize, Waiting> = BTreeMap::new();
        let mut reading = JoinSet::new();
        for group in unpolled.iter().copied() {
            reading.spawn(self.poll(group));
        }
        while let Ok(Some(read)) = timeout_at(deadline, reading.join_next()).await {
            let group = match read {
                Ok(Read::Poll(group, mode, firing)) => {
                    self.groups[group].mode = mode;
                    unpolled.remove(&group);
                    match firing {
                        Err(error) => self.fail_group(group, &failure(&error)),
                        Ok(firing) => {
                            let due = self.of_group(group, &mut due);
                            let mut ready = self.observe(firing, due, now);
                            waiting.insert(group, self.waiting(&mut ready, now));
                            self.start(ready, now, term);
                        }
                    }
                    group
                }
                Ok(Read::Pairs(group, numbers, Ok(mut found))) => {
                    let left = waiting.entry(group).or_default();
                    let mut ready = Observations::new();
                    for number in numbers {
                        if let Some(mut seen) = left.seen.remove(&number) {
                            let subscription = &self.context.config.subscriptions[number];
                            seen.take_pair(subscription, &mut found);
                            ready.insert(number, seen);
                        }
                    }
                    self.start(ready, now, term);
                    group
                }
                // Where one call has failed the others would too.
                Ok(Read::Pairs(group, _, Err(error))) => {
                    let left = waiting.remove(&group).unwrap_or_default();
                    self.fail(group, &left.seen, &failure(&error));
                    group
                }
                // A panic is a bug; what was to be read is then told as unread.
                Err(_) => continue,
            };
            if let Some(left) = waiting.get_mut(&group) {
                let numbers = left.queue.len().saturating_sub(PAIRS_PER_CALL);
                let numbers = left.queue.split_off(numbers);
                if !numbers.is_empty() {
                    reading.spawn(self.pairs(group, numbers));
                }
            }
        }
        self.tell_of_unread(unpolled, waiting);
        // The audits of those that were not read come with the next tick.
        self.memory.overdue.extend(due.into_keys());
    }

    /// Takes out of `due` what belongs to an account and Region.
    fn of_group(&self, group: usize, due: &mut Observations) -> Observations {
        let account = &self.groups[group].account;
        let subscriptions = &self.context.config.subscriptions;
        due.extract_if(.., |number, _| subscriptions[*number].account == *account)
            .collect()
    }

    /// Takes out of `ready` the streams whose decision needs both alarms first.
    fn waiting(&self, ready: &mut Observations, now: Timestamp) -> Waiting {
        let subscriptions = &self.context.config.subscriptions;
        let needs = |number: &usize, seen: &mut Observation| {
            inspect::needs_pair(&subscriptions[*number], seen, now)
        };
        let seen: Observations = ready.extract_if(.., needs).collect();
        let mut queue: Vec<usize> = seen.keys().copied().collect();
        queue.sort_by_key(|number| Reverse((seen.get(number).map(Observation::priority), *number)));
        Waiting { seen, queue }
    }

    /// Tells of those that the tick did not get to.
    fn tell_of_unread(&mut self, unpolled: BTreeSet<usize>, waiting: BTreeMap<usize, Waiting>) {
        let why = "its alarms could not be read within tick_timeout";
        let mend = "they are read again at the next tick";
        let late = Decision::failed(Reason::AwsError, why, mend);
        for group in unpolled {
            self.fail_group(group, &late);
        }
        for (group, left) in waiting {
            if !left.seen.is_empty() {
                self.fail(group, &left.seen, &late);
            }
        }
    }

    /// Streams that are looked at whether or not an alarm asks: what was left open, and those whose audit is due.
    fn due(&self, now: Timestamp) -> Observations {
        let mut due = Observations::new();
        let open = self.left_open();
        let mut claims: BTreeMap<String, u32> = BTreeMap::new();
        for (_, scaling) in &open {
            *claims.entry(scaling.stream_arn.clone()).or_default() += 1;
        }
        for (number, scaling) in open {
            let seen = due.entry(number).or_default();
            (seen.needs_inspection, seen.must_settle) = (true, true);
            // With two accounts in one Region it is not known here whose it is.
            seen.open = Some(scaling).filter(|it| claims.get(&it.stream_arn) == Some(&1));
        }
        let all = self.context.config.subscriptions.len();
        let mut turns: Vec<usize> = self.memory.overdue.range(..all).copied().collect();
        if let Some(interval) = self.context.config.audit_interval {
            let last = self.memory.last_tick.unwrap_or(after(now, -FIRST_AUDIT));
            turns.extend(audit::due(last, now, interval, all));
        }
        for number in turns {
            due.entry(number).or_default().needs_inspection = true;
        }
        due
    }

    /// What the poll of an account and Region has brought, with what is `due` there; what needs no look is told, and left out.
    fn observe(&mut self, firing: Vec<Firing>, due: Observations, now: Timestamp) -> Observations {
        let mut observations = due;
        for (number, direction, alarm) in firing {
            let seen = observations.entry(number).or_default();
            match direction {
                Direction::Up => seen.up = Fetched::Found(alarm),
                Direction::Down => seen.down = Fetched::Found(alarm),
            }
        }
        let busy: BTreeSet<usize> = self.busy.values().copied().collect();
        observations.retain(|number, seen| {
            let held = if busy.contains(number) {
                // What is busy is open in the log, too; that is no audit.
                if seen.needs_inspection && !seen.must_settle {
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
            self.tell(*number, self.stream_report(*number, &name, &decision));
            false
        });
        observations
    }

    /// One DescribeAlarms call for an account and Region.
    fn poll(&self, group_number: usize) -> impl Future<Output = Read> + use<> {
        let group = &self.groups[group_number];
        let clients = self.context.aws.clients(&group.account).clone();
        let (index, mut mode) = (group.index.clone(), group.mode);
        async move {
            let firing = inspect::poll(&clients, &index, &mut mode).await;
            Read::Poll(group_number, mode, firing)
        }
    }

    /// One DescribeAlarms call for the pairs of some streams.
    fn pairs(&self, group: usize, numbers: Vec<usize>) -> impl Future<Output = Read> + use<> {
        let context = self.context.clone();
        let account = self.groups[group].account.clone();
        async move {
            let subscriptions = &context.config.subscriptions;
            let names = numbers
                .iter()
                .flat_map(|number| subscriptions[*number].alarms.both());
            let names: Vec<&str> = names.collect();
            let found =
                inspect::pairs(context.aws.clients(&account), &names, Priority::FIRST).await;
            Read::Pairs(group, numbers, found)
        }
    }

    /// Tells of all streams of an account and Region that they could not be looked at.
    fn fail_group(&mut self, group: usize, why: &Decision) {
        let error = why.error.as_deref().unwrap_or_default();
        let Self { groups, .. } = &*self;
        let unpolled = format!("{}: {error}", groups[group].region);
        let subscriptions = self.context.config.subscriptions.iter().enumerate();
        let ours = subscriptions.filter(|(_, it)| it.account == groups[group].account);
        let seen = ours.map(|(number, _)| (number, Observation::default()));
        let seen = seen.collect();
        self.unpolled.push(unpolled);
        self.fail(group, &seen, why);
    }

    /// The same of some of them; the log has one line for all.
    fn fail(&mut self, group: usize, seen: &Observations, why: &Decision) {
        let Self { groups, memory, .. } = self;
        memory.tell_of_region(
            &groups[group].account,
            &groups[group].region,
            seen.len(),
            why,
        );
        for (number, seen) in seen {
            if seen.needs_inspection {
                self.memory.overdue.insert(*number);
            }
            let label = self.context.config.subscriptions[*number].label();
            let report = self.stream_report(*number, label, why);
            self.reports.insert(*number, report);
        }
    }

    /// Starts a task for each stream, the most urgent first.
    fn start(&mut self, observations: Observations, now: Timestamp, term: Option<LeaseTerm>) {
        let mut work: Vec<(usize, Observation)> = observations.into_iter().collect();
        work.sort_by_key(|(number, seen)| (seen.priority(), *number));
        for (number, seen) in work {
            self.memory.overdue.remove(&number);
            let subscription = &self.context.config.subscriptions[number];
            let stream = seen.stream_name(subscription).to_owned();
            let region = &self.context.aws.clients(&subscription.account).region;
            let span = tracing::error_span!("stream", stream, region);
            let task = look_after(self.context.clone(), number, seen, now, term).instrument(span);
            let id = self.under_way.spawn(task).id();
            self.busy.insert(id, number);
        }
    }
}
