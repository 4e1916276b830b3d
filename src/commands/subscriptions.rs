//! Finding the subscriptions that a person names, and reading many of them within the quotas.

use autoscaler_core::priority::Priority;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinSet;

use crate::{
    aws::{self, Definition, Kind},
    config::nearest,
    output::{
        error::{Exit, Failure, Report, chain},
        progress::Progress,
        table::and_more,
    },
    reconcile::context::Context,
};
use autoscaler_core::{
    facts::{Facts, Fetched, StreamSummary},
    glob::{is_pattern, matches},
    limits::PAIRS_PER_CALL,
    subscription::{Account, Subscription, SubscriptionId},
};

/// How many streams are read concurrently; the quotas limit them further.
const SIDE_BY_SIDE: usize = 16;

/// The two alarms of a subscription, if they exist.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    pub up: Option<Definition>,
    pub down: Option<Definition>,
}

/// A failure of one stream, or of several for the same cause.
#[derive(Debug, thiserror::Error)]
#[error("{label}{} ({region})", and_more(*.more))]
pub struct OnStream {
    pub label: String,
    pub region: String,
    /// How many other streams have the same failure.
    pub more: usize,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl OnStream {
    /// A failure of one stream.
    pub fn new(
        label: &str,
        region: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            label: label.to_owned(),
            region: region.to_owned(),
            more: 0,
            source: source.into(),
        }
    }
}

impl Pair {
    /// The stream that the alarms name, if the subscription does not.
    pub fn stream(&self) -> Option<&str> {
        let alarms = [&self.up, &self.down].into_iter().flatten();
        alarms
            .filter_map(|definition| definition.alarm.streams.first())
            .map(String::as_str)
            .find(|stream| !stream.is_empty())
    }

    /// The pair as the decision sees it.
    pub fn facts(&self) -> Facts {
        let seen = |definition: &Option<Definition>| match definition {
            Some(definition) => Fetched::Found(definition.alarm.clone()),
            None => Fetched::Missing,
        };
        Facts {
            up: seen(&self.up),
            down: seen(&self.down),
            ..Facts::default()
        }
    }
}

/// The failure of an AWS call that was made for one stream.
pub fn failed_call(label: &str, region: &str, error: aws::Error) -> Report {
    let hint = error.hint();
    let report = Report::new(OnStream::new(label, region, error));
    hint.into_iter().fold(report, Report::hint)
}

/// Combines the reports of streams that failed for the same cause.
pub fn folded(reports: Vec<Report>) -> Vec<Report> {
    let mut folded: Vec<Report> = Vec::new();
    let mut seen: HashMap<(String, String, Vec<String>), (usize, usize)> = HashMap::new();
    for report in reports {
        let Some(on_stream) = report.error.downcast_ref::<OnStream>() else {
            folded.push(report);
            continue;
        };
        let cause = chain(&*on_stream.source);
        let key = (on_stream.region.clone(), cause, report.hints.clone());
        let (place, more) = seen.entry(key).or_insert((folded.len(), 0));
        match folded.get_mut(*place) {
            Some(first) => {
                *more += 1;
                if let Some(first) = first.error.downcast_mut::<OnStream>() {
                    first.more = *more;
                }
            }
            None => folded.push(report),
        }
    }
    folded
}

/// The subscription's Region.
pub fn region<'a>(context: &'a Context, subscription: &Subscription) -> &'a str {
    &context.aws.clients(&subscription.account).region
}

/// Reads the pairs of many subscriptions, 50 with one call; `done` hears how many have been read
/// since the last time.
pub async fn pairs(
    context: &Context,
    ids: &[SubscriptionId],
    mut done: impl FnMut(usize),
) -> BTreeMap<SubscriptionId, Result<Pair, aws::Error>> {
    let mut groups: BTreeMap<&Account, Vec<SubscriptionId>> = BTreeMap::new();
    for id in ids {
        let account = &context.subscription(*id).account;
        groups.entry(account).or_default().push(*id);
    }
    let mut pairs = BTreeMap::new();
    for (account, ids) in groups {
        // After a missing permission or an outage, the other batches would fail, too.
        let mut failed: Option<aws::Error> = None;
        for ids in ids.chunks(PAIRS_PER_CALL) {
            let read = match &failed {
                Some(error) => Err(error.clone()),
                None => read_pairs(context, account, ids).await,
            };
            match read {
                Ok(found) => pairs.extend(found.into_iter().map(|(id, pair)| (id, Ok(pair)))),
                Err(error) => {
                    pairs.extend(ids.iter().map(|id| (*id, Err(error.clone()))));
                    failed = Some(error);
                }
            }
            done(ids.len());
        }
    }
    pairs
}

async fn read_pairs(
    context: &Context,
    account: &Account,
    ids: &[SubscriptionId],
) -> Result<Vec<(SubscriptionId, Pair)>, aws::Error> {
    let names: Vec<&str> = ids
        .iter()
        .flat_map(|id| context.subscription(*id).alarms.both())
        .collect();
    let cloudwatch = &context.aws.clients(account).cloudwatch;
    let found = cloudwatch.alarms(&names, false, Priority::FIRST).await?;
    let mut found: HashMap<String, Definition> = found
        .into_iter()
        .map(|definition| (definition.alarm.name.clone(), definition))
        .collect();
    let mut take = |id: &SubscriptionId| {
        let names = &context.subscription(*id).alarms;
        let up = found.remove(&names.scale_up);
        let down = found.remove(&names.scale_down);
        (*id, Pair { up, down })
    };
    Ok(ids.iter().map(&mut take).collect())
}

/// Reads status and shards of many streams by their subscriptions.
///
/// In an outage, or without permission, reading an account stops after a few streams, because each
/// of the others would wait for the whole deadline, or be refused, with the same error.
pub async fn summaries(
    context: &Context,
    names: &BTreeMap<SubscriptionId, String>,
) -> BTreeMap<SubscriptionId, Result<StreamSummary, aws::Error>> {
    let progress = Progress::new(names.len(), "streams");
    let tallies: Arc<Mutex<BTreeMap<Account, Tally>>> = Arc::default();
    let read = |id: SubscriptionId| {
        let account = context.subscription(id).account.clone();
        let (clients, name) = (context.aws.clients(&account).clone(), names[&id].clone());
        let tallies = tallies.clone();
        async move {
            let hopeless = lock(&tallies).get(&account).and_then(Tally::hopeless);
            let read = match hopeless {
                Some(error) => Err(error),
                None => clients.kinesis.summary(&name, Priority::AUDIT).await,
            };
            lock(&tallies).entry(account).or_default().count(&read);
            read
        }
    };
    let summaries = each(names.keys().copied(), read, || progress.advance(1)).await;
    progress.end();
    summaries
}

/// How the reads of one account have gone.
#[derive(Debug, Default)]
struct Tally {
    answered: bool,
    /// In a row.
    away: u32,
    denied: u32,
    last: Option<aws::Error>,
}

impl Tally {
    fn count(&mut self, read: &Result<StreamSummary, aws::Error>) {
        match read {
            Err(error) if error.kind.is_away() => self.away += 1,
            // A permission may be granted for some streams only.
            Err(error) if error.kind == Kind::AccessDenied => self.denied += 1,
            _ => {
                self.answered = true;
                self.away = 0;
            }
        }
        self.last = read.as_ref().err().cloned().or(self.last.take());
    }

    fn hopeless(&self) -> Option<aws::Error> {
        const FEW: u32 = 3;
        let hopeless = self.away >= FEW || (self.denied >= FEW && !self.answered);
        self.last.clone().filter(|_| hopeless)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` for each subscription, some concurrently; `done` is called after each.
pub(super) async fn each<T, F>(
    ids: impl IntoIterator<Item = SubscriptionId>,
    work: impl Fn(SubscriptionId) -> F,
    mut done: impl FnMut(),
) -> BTreeMap<SubscriptionId, T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut ids = ids.into_iter();
    let mut tasks = JoinSet::new();
    let mut results = BTreeMap::new();
    loop {
        while tasks.len() < SIDE_BY_SIDE
            && let Some(id) = ids.next()
        {
            let work = work(id);
            tasks.spawn(async move { (id, work.await) });
        }
        match tasks.join_next().await {
            Some(Ok((id, result))) => {
                results.insert(id, result);
                done();
            }
            // These tasks are never cancelled, so one that did not end has panicked, which must not
            // be hidden.
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => return results,
        }
    }
}

/// The subscriptions that `streams` stand for, as names or patterns of streams or of either alarm;
/// all of them where `streams` is empty.
///
/// # Errors
/// For a name that no subscription has, or where the alarms that name a stream cannot be read.
pub async fn select(context: &Context, streams: &[String]) -> Result<Vec<SubscriptionId>, Failure> {
    if streams.is_empty() {
        return Ok(context.subscription_ids().collect());
    }
    let mut names: BTreeMap<SubscriptionId, String> = BTreeMap::new();
    for id in context.subscription_ids() {
        let name = context.subscription(id).stream.iter().cloned();
        names.extend(name.map(|name| (id, name)));
    }
    let settled =
        |stream: &String| !is_pattern(stream) && !found(context, &names, stream).is_empty();
    if !streams.iter().all(settled) {
        names.extend(named_by_alarms(context).await?);
    }
    let mut chosen = BTreeSet::new();
    for stream in streams {
        let found = found(context, &names, stream);
        if found.is_empty() {
            let known: Vec<String> = names.into_values().collect();
            return Err(unknown(context, stream, &known));
        }
        chosen.extend(found);
    }
    Ok(chosen.into_iter().collect())
}

fn found(
    context: &Context,
    names: &BTreeMap<SubscriptionId, String>,
    stream: &str,
) -> Vec<SubscriptionId> {
    let is_meant = |id: &SubscriptionId| {
        let alarms = context.subscription(*id).alarms.both();
        let mut known = names.get(id).map(String::as_str).into_iter().chain(alarms);
        known.any(|name| name == stream || matches(stream, name))
    };
    context.subscription_ids().filter(is_meant).collect()
}

/// The stream names of the subscriptions that only name an alarm.
async fn named_by_alarms(context: &Context) -> Result<Vec<(SubscriptionId, String)>, Failure> {
    let by_alarm: Vec<SubscriptionId> = context
        .subscription_ids()
        .filter(|id| context.subscription(*id).stream.is_none())
        .collect();
    let mut names = Vec::new();
    for (id, pair) in pairs(context, &by_alarm, |_| ()).await {
        let subscription = context.subscription(id);
        let pair = pair.map_err(|error| {
            let region = region(context, subscription);
            Failure::new(
                Exit::Failed,
                failed_call(subscription.label(), region, error),
            )
        })?;
        names.extend(pair.stream().map(|name| (id, name.to_owned())));
    }
    Ok(names)
}

/// The Regions in which streams may be unknown, each with its error.
pub fn unlisted(context: &Context) -> Vec<String> {
    let unlisted = context.roster.unlisted.iter();
    let unlisted = unlisted.map(|(account, error)| {
        let region = &context.aws.clients(account).region;
        format!("{region}: {error}")
    });
    unlisted.collect()
}

/// The exit code of a command that is done: a failure where streams may be unknown to it.
pub fn of_what_is_known(context: &Context, exit: Exit) -> Exit {
    match (exit, context.roster.unlisted.is_empty()) {
        (Exit::Done, false) => Exit::Failed,
        (exit, _) => exit,
    }
}

/// Logs the accounts and Regions in which streams may be unknown.
pub fn warn_of_unlisted(context: &Context) {
    for (account, error) in &context.roster.unlisted {
        let region = &context.aws.clients(account).region;
        let (error, hint) = (error.to_string(), error.hint());
        let text = "the alarms cannot be listed, so that streams of patterns are missing here";
        tracing::error!(region, account = account.name(), error, hint, "{text}");
    }
}

fn unknown(context: &Context, stream: &str, known: &[String]) -> Failure {
    let unlisted = unlisted(context);
    let hint = match nearest(stream, known) {
        _ if !unlisted.is_empty() => {
            format!(
                "the alarms of some streams could not be listed: {}",
                unlisted.join("; ")
            )
        }
        None if context.config.by_pattern(stream).is_some() => format!(
            "a pattern matches it, but its two alarms do not both exist: `kinesis-autoscaler alarms \
             create --stream {stream}` creates them"
        ),
        Some(near) => format!("did you mean {near}?"),
        None if is_pattern(stream) => "`status` lists all subscriptions".to_owned(),
        None => format!("subscribe it first:\n[[streams]]\nname = {stream:?}"),
    };
    let text = match is_pattern(stream) {
        true => format!("no subscription matches {stream}"),
        false => format!("no subscription has the stream {stream}"),
    };
    let report = Report::new(text);
    Failure::new(Exit::Failed, report.hint(hint))
}
