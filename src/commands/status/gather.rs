//! Reads every subscription within the quotas: 50 pairs and the metrics of 100 streams with a call,
//! the rest concurrently.

use autoscaler_core::priority::Priority;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{AlarmRow, ConstraintRow, LastScaling, NextWindow, Row, Status, usage::usage};
use crate::{
    aws::{self, Extra, Kind, STREAMS_PER_CALL, StreamMetrics},
    commands::{hot_shard, subscriptions},
    output::progress::Progress,
    reconcile::{
        context::Context,
        execute::read_failed,
        inspect::{self, Reader},
        lease,
        report::Done,
    },
};
use autoscaler_core::{
    alarm::{Alarm, Direction},
    constraints::{Constraint, InForce},
    datetime::after,
    decide::{Inquiry, calls_left, in_force, rejected_at_low_usage},
    decision::{Action, Conclusion, Decision, Fact, Verdict},
    external::{Current, ExternalResharding, Known as KnownOfStream, external_reshardings},
    facts::{Facts, Fetched, StreamStatus, Traffic},
    limits::PAIRS_PER_CALL,
    pause::Pause,
    reason::Reason,
    scaling::{Outcome, RecentScalings, Scaling},
    subscription::{Account, Subscription, SubscriptionId},
    trigger::Trigger,
};

/// How many streams are read concurrently; the quotas limit them further.
const AT_ONCE: usize = 32;
/// What a person can do about a stream that has used its calls of the day.
const RAISE_DAILY_LIMIT: &str = "AWS Support raises the limit of 10 UpdateShardCount calls per stream in 24 h on request; \
    until a slot frees, no tool can reshard the stream by UpdateShardCount";

/// What a person can do about reshardings that others make.
const IGNORE_SHARD_COUNT: &str = "no row of the scaling log explains a change of shards: probably a person or a \
    pipeline resharded the stream; a pipeline should leave the shard count alone (README, With Terraform or CDK)";

/// What was read of one subscription, and what could not be.
#[derive(Debug, Default)]
struct Gathered {
    facts: Facts,
    /// The rows of the log of the last two weeks, or else the newest one.
    log: RecentScalings,
    read_at: Option<Timestamp>,
    errors: BTreeMap<Fact, aws::Error>,
}

/// How far back the rows of the log are read.
const LOG_READ: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long metrics are kept: they are sums of 5 minutes, and CloudWatch bills each time.
const METRICS_KEPT: SignedDuration = SignedDuration::from_mins(5);

/// What an earlier reading of the same subscriptions found out.
#[derive(Debug, Default)]
pub struct Known {
    metrics_at: Option<Timestamp>,
    traffic: Vec<Option<Traffic>>,
}

impl Known {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = self.metrics_at.map(|at| now.duration_since(at));
        age.is_some_and(|age| age < METRICS_KEPT)
    }

    fn keep(&mut self, all: &[Gathered], now: Timestamp) {
        let failed = |it: &Gathered| it.errors.contains_key(&Fact::Traffic);
        self.metrics_at = Some(now).filter(|_| !all.iter().any(failed));
        self.traffic = all.iter().map(|it| it.facts.traffic.clone()).collect();
    }
}

/// Reads every subscription. Never fails as a whole: each stream has its own error.
pub async fn gather(context: &Arc<Context>) -> Status {
    gather_again(context, &mut Known::default()).await
}

/// The same, with metrics that are `known`, if these are not too old.
pub async fn gather_again(context: &Arc<Context>, known: &mut Known) -> Status {
    let bar = Progress::new(context.roster.len(), "reading streams");
    let mut all: Vec<Gathered> = Vec::new();
    all.resize_with(context.roster.end(), Gathered::default);
    pairs(context, &mut all).await;
    let is_known = known.traffic.len() == all.len();
    let fresh = is_known && known.is_fresh(context.clock.now());
    let traffic = match fresh {
        true => TrafficReads::new(),
        false => spawn_traffic(context, &all),
    };
    streams(context, &mut all, &bar).await;
    take_traffic(traffic, &mut all).await;
    match fresh {
        true => {
            for (gathered, traffic) in all.iter_mut().zip(&known.traffic) {
                gathered.facts.traffic.clone_from(traffic);
            }
        }
        false => known.keep(&all, context.clock.now()),
    }
    bar.end();
    let now = context.clock.now();
    let hints = all.iter().flat_map(|gathered| gathered.errors.values());
    let mut hints: BTreeSet<String> = hints.filter_map(aws::Error::hint).collect();
    let hosts = match &context.config.high_availability {
        // An unreadable log is reported with each stream already.
        Some(high) => lease::hosts(context.scaling_log.table(), high.lease_duration, now)
            .await
            .unwrap_or_default(),
        None => Vec::new(),
    };
    // Without them the table cannot be read, which is reported with each stream.
    let pauses = context.scaling_log.pauses(now).await.unwrap_or_default();
    let muted = mute_rules(context).await;
    let mut streams = Vec::with_capacity(all.len());
    for id in context.subscription_ids() {
        let gathered = std::mem::take(&mut all[id.index()]);
        let subscription = context.subscription(id);
        let stream = gathered.facts.stream.found();
        let arn = stream.map_or("", |stream| &stream.arn);
        let paused = pauses.iter().filter(|pause| pause.holds(arn, now));
        let windows = subscription.windows.iter();
        let windows = windows.filter_map(|window| window.constraint(now));
        let mut constraints: Vec<Constraint> = windows.collect();
        constraints.extend(paused.map(Pause::constraint));
        constraints.extend(muted.get(&id).into_iter().flatten().cloned());
        let row = row(context, subscription, gathered, now).await;
        let row = Row {
            constraints: constraints.iter().map(ConstraintRow::from).collect(),
            next_window: NextWindow::of(&subscription.windows, now),
            ..row
        };
        streams.push(row.explained());
    }
    if streams.iter().any(Row::has_hot_shard) {
        hints.insert(hot_shard::REMEDIES.to_owned());
    }
    if streams
        .iter()
        .any(|row| row.reason == Reason::DailyLimit.code())
    {
        hints.insert(RAISE_DAILY_LIMIT.to_owned());
    }
    if streams.iter().any(|row| row.lately_external(now).is_some()) {
        hints.insert(IGNORE_SHARD_COUNT.to_owned());
    }
    Status {
        at: now,
        hosts,
        streams,
        hints,
        unlisted: subscriptions::unlisted(context),
    }
}

/// The `wanted` subscriptions of each account and Region, in batches of `size`.
fn batches(
    context: &Context,
    size: usize,
    wanted: impl Fn(SubscriptionId) -> bool,
) -> Vec<(Account, Vec<SubscriptionId>)> {
    let mut by_account: BTreeMap<&Account, Vec<SubscriptionId>> = BTreeMap::new();
    for id in context.subscription_ids().filter(|id| wanted(*id)) {
        let account = &context.subscription(id).account;
        by_account.entry(account).or_default().push(id);
    }
    let split = |(account, ids): (&Account, Vec<SubscriptionId>)| {
        let chunks: Vec<_> = ids
            .chunks(size)
            .map(|chunk| (account.clone(), chunk.to_vec()))
            .collect();
        chunks
    };
    by_account.into_iter().flat_map(split).collect()
}

async fn pairs(context: &Arc<Context>, all: &mut [Gathered]) {
    let mut reads = JoinSet::new();
    for (account, ids) in batches(context, PAIRS_PER_CALL, |_| true) {
        let context = context.clone();
        reads.spawn(async move {
            let names: Vec<&str> = ids
                .iter()
                .flat_map(|id| context.subscription(*id).alarms.both())
                .collect();
            let clients = context.aws.clients(&account);
            let found = inspect::pairs(clients, &names, Priority::FIRST).await;
            (ids, found)
        });
    }
    while let Some(read) = reads.join_next().await {
        // A panic is a bug; the streams of that batch then have no alarms in their rows.
        let Ok((ids, found)) = read else { continue };
        match found {
            Ok(mut found) => {
                for id in ids {
                    let subscription = context.subscription(id);
                    all[id.index()].facts.take_pair(subscription, &mut found);
                }
            }
            Err(error) => {
                for id in ids {
                    all[id.index()].errors.insert(Fact::Pair, error.clone());
                }
            }
        }
    }
}

/// Reads stream and log of each subscription whose stream's name is known.
async fn streams(context: &Arc<Context>, all: &mut [Gathered], bar: &Progress) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut reads = JoinSet::new();
    for id in context.subscription_ids() {
        let (context, room) = (context.clone(), room.clone());
        let mut gathered = std::mem::take(&mut all[id.index()]);
        reads.spawn(async move {
            // The semaphore is never closed.
            let _place = room.acquire().await;
            stream(&context, context.subscription(id), &mut gathered).await;
            (id, gathered)
        });
    }
    while let Some(read) = reads.join_next().await {
        bar.advance(1);
        if let Ok((id, gathered)) = read {
            all[id.index()] = gathered;
        }
    }
}

async fn stream(context: &Context, subscription: &Subscription, gathered: &mut Gathered) {
    let away = |error: &aws::Error| {
        matches!(
            error.kind,
            Kind::Timeout | Kind::Unreachable | Kind::NoCredentials
        )
    };
    // In an outage each stream would take the whole deadline, with the same error as the pairs.
    let away = gathered.errors.get(&Fact::Pair).is_some_and(away);
    if away || gathered.facts.stream_name(subscription).is_empty() {
        return;
    }
    let reader = Reader {
        context,
        subscription,
        now: context.clock.now(),
        shared: None,
    };
    if let Err(error) = reader.read(Fact::Stream, &mut gathered.facts).await {
        gathered.errors.insert(Fact::Stream, error);
    }
    // Only the ARN distinguishes rows of streams with the same name in other Regions.
    let Some(arn) = gathered
        .facts
        .stream
        .found()
        .map(|stream| stream.arn.clone())
    else {
        return;
    };
    let name = gathered.facts.stream_name(subscription).to_owned();
    let since = reader.scalings_since();
    let log_since = after(reader.now, -LOG_READ).min(since);
    let log = context.scaling_log.recent(&name, &arn, log_since);
    let (mut log, mut unread) = log.await;
    if log.scalings.is_empty() && unread.is_none() {
        match context.scaling_log.newest(&name, &arn).await {
            Ok(newest) => log.scalings.extend(newest),
            Err(error) => unread = Some(error),
        }
    }
    log.unread = unread.as_ref().map(ToString::to_string);
    gathered.facts.scalings = Some(log.since(since));
    (gathered.log, gathered.read_at) = (log, Some(reader.now));
    gathered
        .errors
        .extend(unread.map(|error| (Fact::Scalings, error)));
}

/// The mute rules of each subscription's alarms. Where no rule is active in an account, which one
/// call tells, nothing else is asked; where they cannot be read, no tick can read them either.
async fn mute_rules(context: &Arc<Context>) -> BTreeMap<SubscriptionId, Vec<Constraint>> {
    let now = context.clock.now();
    let mut ids = Vec::new();
    for (account, clients) in context.aws.all_clients() {
        let active = clients.cloudwatch.has_active_mute_rules(now).await;
        if active.unwrap_or(false) {
            let ours = |id: &SubscriptionId| context.subscription(*id).account == *account;
            ids.extend(context.subscription_ids().filter(ours));
        }
    }
    let read = |id: SubscriptionId| {
        let context = context.clone();
        async move {
            let subscription = context.subscription(id);
            let cloudwatch = &context.clients_of(subscription).cloudwatch;
            let mut found = Vec::new();
            for direction in [Direction::Up, Direction::Down] {
                let alarm = subscription.alarms.of(direction);
                let rules = cloudwatch.active_mute_rules(alarm, now).await;
                let rules = rules.unwrap_or_default();
                let muted = rules
                    .iter()
                    .map(|it| it.constraint(alarm, direction.into()));
                found.extend(muted);
            }
            found
        }
    };
    subscriptions::each(ids, read, || ()).await
}

type TrafficReads = JoinSet<(Vec<SubscriptionId>, Result<Vec<StreamMetrics>, aws::Error>)>;

fn spawn_traffic(context: &Arc<Context>, all: &[Gathered]) -> TrafficReads {
    let named = |id: SubscriptionId| {
        !all[id.index()]
            .facts
            .stream_name(context.subscription(id))
            .is_empty()
    };
    let mut reads = JoinSet::new();
    for (account, ids) in batches(context, STREAMS_PER_CALL, named) {
        let context = context.clone();
        let wanted: Vec<(String, Extra)> = ids
            .iter()
            .map(|id| {
                let subscription = context.subscription(*id);
                let name = all[id.index()].facts.stream_name(subscription).to_owned();
                let extra = Extra {
                    rejected: true,
                    outgoing: subscription.reads,
                    iterator_ages: false,
                };
                (name, extra)
            })
            .collect();
        reads.spawn(async move {
            let wanted: Vec<(&str, Extra)> = wanted.iter().map(|(it, of)| (&**it, *of)).collect();
            let cloudwatch = &context.aws.clients(&account).cloudwatch;
            let window = inspect::last_day(context.clock.now());
            (ids, cloudwatch.metrics_of(&wanted, window).await)
        });
    }
    reads
}

async fn take_traffic(mut reads: TrafficReads, all: &mut [Gathered]) {
    while let Some(read) = reads.join_next().await {
        match read {
            Ok((ids, Ok(metrics))) => {
                for (id, metrics) in ids.into_iter().zip(metrics) {
                    all[id.index()].facts.traffic = Some(metrics.traffic);
                }
            }
            Ok((ids, Err(error))) => {
                for id in ids {
                    all[id.index()].errors.insert(Fact::Traffic, error.clone());
                }
            }
            // A panic is a bug; the streams of that batch then have no usage in their rows.
            Err(_) => {}
        }
    }
}

/// The conclusion on all that was read: what a tick holds for, and what an audit would find. A
/// policy that needs more traffic than the table shows reads it here.
async fn conclude(
    context: &Context,
    subscription: &Subscription,
    gathered: &Gathered,
    now: Timestamp,
) -> Conclusion {
    let mut facts = gathered.facts.clone();
    let open = |row: &Scaling| row.outcome == Outcome::Open;
    let recent = facts.scalings.as_ref();
    let trigger = match recent.is_some_and(|recent| recent.scalings.iter().any(open)) {
        true => Trigger::Recovery(None),
        false => Trigger::Audit,
    };
    let reader = Reader {
        context,
        subscription,
        now,
        shared: None,
    };
    let mut inquiry = Inquiry::new(subscription, &trigger);
    loop {
        let fact = match inquiry.next(&facts, now) {
            Ok(Verdict::Concluded(conclusion)) => return *conclusion,
            Ok(Verdict::Need(fact)) => fact,
            Err(bug) => {
                let hint = "please report this as a bug";
                return Decision::fail(Reason::AwsError, bug.to_string(), hint).into();
            }
        };
        let failed = match gathered.errors.get(&fact) {
            Some(error) => Some(read_failed(error)),
            None => Box::pin(reader.read(fact, &mut facts))
                .await
                .err()
                .map(|error| read_failed(&error)),
        };
        if let Some(failed) = failed {
            return failed.into();
        }
    }
}

async fn row(
    context: &Context,
    subscription: &Subscription,
    gathered: Gathered,
    now: Timestamp,
) -> Row {
    let conclusion = conclude(context, subscription, &gathered, now).await;
    let decision = conclusion.decision;
    let external = external(context, &gathered, now);
    let Gathered {
        facts, log, errors, ..
    } = gathered;
    let stream = facts.stream.found();
    let (usage_now, usage_peak_24h) = match stream {
        Some(stream) if stream.status == StreamStatus::Active => {
            usage(facts.traffic.as_ref(), stream.open_shards, now)
        }
        _ => (None, None),
    };
    let recent = facts
        .scalings
        .as_ref()
        .filter(|recent| recent.unread.is_none());
    let rows = recent.map(|recent| &recent.scalings);
    let scalings = rows.into_iter().flatten().rev().map(LastScaling::from);
    let scalings: Vec<LastScaling> = scalings.collect();
    let last = scalings.first().cloned();
    let newest = log.scalings.last().filter(|_| recent.is_some());
    let last = last.or_else(|| newest.map(LastScaling::from));
    // The next tick may do without the scaling log or the metrics.
    let unread = errors
        .iter()
        .find(|(fact, _)| !matches!(fact, Fact::Scalings | Fact::Traffic));
    let rejected = |hours| {
        let since = after(now, -SignedDuration::from_hours(hours));
        facts.traffic.as_ref()?.rejected_since(since)
    };
    let name = match facts.stream_name(subscription) {
        "" => subscription.label(),
        name => name,
    };
    Row {
        stream: name.to_owned(),
        region: context.aws.clients(&subscription.account).region.clone(),
        account: subscription.account.name().map(str::to_owned),
        status: stream.map(|stream| stream.status.name()),
        on_demand: stream.map(|stream| stream.on_demand),
        shards: stream.map(|stream| stream.open_shards),
        min_shards: subscription.min_shards,
        max_shards: subscription.max_shards,
        bounds_in_force: InForce::of(&in_force(subscription, &facts, now)).into(),
        usage_now,
        usage_peak_24h,
        rejected_1h: rejected(1),
        rejected_24h: rejected(24),
        rejected_at_low_usage_24h: rejected(24).zip(stream).zip(facts.traffic.as_ref()).map(
            |((_, stream), traffic)| {
                let pair = [&facts.up, &facts.down].into_iter();
                let written = pair.filter_map(|it| it.found()?.configured_at).max();
                rejected_at_low_usage(traffic, stream.open_shards, written, now)
            },
        ),
        scale_up_alarm: alarm_row(&subscription.alarms.scale_up, &facts.up),
        scale_down_alarm: alarm_row(&subscription.alarms.scale_down, &facts.down),
        constraints: Vec::new(),
        next_window: None,
        last_scaling: last,
        scalings,
        external,
        scalings_left: recent.map(|recent| calls_left(recent.calls(), now)),
        unreadable_rows: recent.map_or(0, |recent| recent.unreadable.len()),
        policy: subscription.policy.name(),
        next_look: decision.recheck_at(),
        action: Done::from(decision.action()).code(),
        target: decision.action().map(Action::target),
        reason: decision.reason().code(),
        detail: decision.detail().to_owned(),
        since: None,
        what_to_do: String::new(),
        error: decision
            .error()
            .map(str::to_owned)
            .or_else(|| unread.map(|(_, error)| error.to_string())),
        log_error: errors.get(&Fact::Scalings).map(ToString::to_string),
        metrics_error: errors.get(&Fact::Traffic).map(ToString::to_string),
    }
}

/// The reshardings of a stream that others made, by the rows of the log that were read.
fn external(context: &Context, gathered: &Gathered, now: Timestamp) -> Vec<ExternalResharding> {
    let facts = &gathered.facts;
    let Some(stream) = facts.stream.found().filter(|stream| !stream.on_demand) else {
        return Vec::new();
    };
    // Where there are other accounts or Regions, rows without an ARN may be those of a stream there.
    let is_alone = context.aws.all_clients().count() == 1;
    let is_ours = |row: &&Scaling| is_alone || !row.stream_arn.is_empty();
    let log = &gathered.log;
    let (ours, others): (Vec<_>, Vec<_>) = log.scalings.iter().partition(is_ours);
    let unreadable = log.unreadable.iter().map(|row| row.at);
    let doubtful = others.iter().map(|row| Some(row.at)).chain(unreadable);
    let doubtful: Vec<_> = doubtful.collect();
    let recorded = |alarm: &Fetched<Alarm>| {
        let alarm = alarm.found()?;
        let same = alarm.recorded_count() == Some(stream.open_shards);
        alarm.configured_at.filter(|_| same)
    };
    let recorded = recorded(&facts.up).zip(recorded(&facts.down));
    let current = Current {
        shards: stream.open_shards,
        read_at: gathered.read_at.unwrap_or(now),
        recorded_at: recorded.map(|(up, down)| up.min(down)),
    };
    let complete_since = context.scaling_log.complete_since(now);
    let known = KnownOfStream {
        complete_since: complete_since.max(stream.created_at.unwrap_or(complete_since)),
        doubtful: &doubtful,
        current: Some(current).filter(|_| stream.status == StreamStatus::Active),
    };
    external_reshardings(ours, known)
}

fn alarm_row(name: &str, facts: &Fetched<Alarm>) -> AlarmRow {
    let alarm = facts.found();
    AlarmRow {
        name: name.to_owned(),
        state: match facts {
            Fetched::Unread => None,
            Fetched::Missing => Some("MISSING"),
            Fetched::Found(alarm) => Some(alarm.state.name()),
        },
        since: alarm.and_then(|alarm| alarm.state_updated_at),
        actions_enabled: alarm.map(|alarm| alarm.actions_enabled),
        evaluation_state: alarm.and_then(|alarm| alarm.evaluation_state),
        shard_count: alarm.and_then(Alarm::recorded_count),
    }
}
