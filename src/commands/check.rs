//! `check`: the live contract, as far as it can be verified without changing anything.
//!
//! One pass reads all pairs, 50 streams per call, then each stream's summary, then what belongs to
//! an account and Region. The rules that judge them are pure.

mod account;
mod adaptive;
mod finding;
mod holds;
mod hot;
mod notify;
mod offline;
mod pair;
mod patterns;
mod unsubscribed;
mod usage;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

pub use account::policy;
pub use finding::{Finding, Findings, LookedAt, Severity};
pub use offline::offline;

use crate::{
    aws::{self, Definition, Kind, Operation, RegionClients},
    cli::Output,
    commands::subscriptions::{self, Pair},
    config::nearest,
    output::{
        self,
        error::{Exit, Failure},
        progress::Progress,
        table::and_more,
    },
    reconcile::context::Context,
};
use autoscaler_core::{
    alarm::{Alarm, Settings, State},
    facts::{StreamStatus, StreamSummary},
    subscription::{Account, SubscriptionId},
};

/// The most streams of an account that are searched for a name similar to a missing one.
const NAMES_FOR_HINTS: usize = 10_000;

/// How much of the accounts is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All subscriptions, and what nothing subscribes.
    All,
    /// Some subscriptions only.
    Chosen,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub scope: Scope,
    /// Whether the IAM policy is printed even if no permission is missing.
    pub policy: bool,
    /// Whether a warning is a failure.
    pub strict: bool,
}

/// Checks everything and prints the findings. Fails if one of them is an error.
pub async fn run(
    context: &Arc<Context>,
    output: Output,
    colour: bool,
    asked: Asked,
) -> Result<Exit, Failure> {
    let findings = examine(context, asked.scope).await;
    let lacking = findings
        .all
        .iter()
        .any(|finding| finding.rule == "right_missing");
    let policy = (asked.policy || lacking).then(|| {
        let home = context.aws.clients(&context.config.home);
        account::policy(&context.config, &home.region)
    });
    let width = output::terminal_width();
    output::print(&findings.render(output, width, colour, policy.as_deref()))?;
    Ok(findings.exit(asked.strict))
}

/// Finds everything that is wrong with the subscriptions, their alarms and the log table.
pub async fn examine(context: &Arc<Context>, scope: Scope) -> Findings {
    let mut trouble = Trouble::default();
    let ids: Vec<SubscriptionId> = context.subscription_ids().collect();
    let progress = Progress::new(ids.len(), "pairs of alarms");
    let pairs = subscriptions::pairs(context, &ids, |n| progress.advance(n)).await;
    progress.end();
    let names: BTreeMap<SubscriptionId, String> = ids
        .iter()
        .filter_map(|id| {
            let subscription = context.subscription(*id);
            let pair = pairs.get(id).and_then(|pair| pair.as_ref().ok());
            let name = subscription.stream.as_deref();
            let name = name.or_else(|| pair.and_then(Pair::stream))?;
            Some((*id, name.to_owned()))
        })
        .collect();
    let summaries = subscriptions::summaries(context, &names).await;
    let mut looked = Looked {
        context,
        pairs,
        names,
        summaries,
    };
    let mut all = looked.twice();
    for id in ids {
        all.extend(looked.stream(id, &mut trouble));
    }
    suggest(context, &mut all).await;
    for (id, finding) in holds::of(context, looked.in_need()).await {
        let region = subscriptions::region(context, context.subscription(id));
        all.extend(finding.map(|finding| Finding {
            stream: Some(finding.subject.clone()),
            region: Some(region.to_owned()),
            ..finding
        }));
    }
    for (id, finding) in hot::of(context, looked.steady()).await {
        let region = subscriptions::region(context, context.subscription(id));
        all.push(Finding {
            stream: Some(finding.subject.clone()),
            region: Some(region.to_owned()),
            ..finding
        });
    }
    for (account, clients) in context.aws.all_clients() {
        let Some((sized, name)) = looked.of_account(account) else {
            continue;
        };
        all.extend(account::clients(context, account, clients, &sized, name, &mut trouble).await);
    }
    patterns::unlisted(context, &mut trouble);
    if scope == Scope::All {
        all.extend(patterns::of(context));
    }
    all.extend(account::table(context, &mut trouble).await);
    all.extend(trouble.findings());
    all.extend(notify::findings(context).await);
    let unsubscribed = match scope {
        Scope::All => unsubscribed::streams(context, &looked.subscribed()).await,
        Scope::Chosen => Vec::new(),
    };
    if regions(context) < 2 {
        all.iter_mut().for_each(|finding| finding.region = None);
    }
    Findings {
        all,
        looked_at: LookedAt::All,
        streams: context.roster.len(),
        not_tried: account::not_tried(&context.config),
        unsubscribed,
    }
}

fn regions(context: &Context) -> usize {
    context.aws.all_clients().count()
}

type Summary = Result<StreamSummary, aws::Error>;

/// Everything that was read about the streams.
struct Looked<'a> {
    context: &'a Context,
    pairs: BTreeMap<SubscriptionId, Result<Pair, aws::Error>>,
    names: BTreeMap<SubscriptionId, String>,
    summaries: BTreeMap<SubscriptionId, Summary>,
}

impl Looked<'_> {
    /// The streams whose count is stable.
    fn steady(&self) -> BTreeMap<SubscriptionId, hot::Steady> {
        let size = |(id, name): (&SubscriptionId, &String)| {
            let summary = self.summaries.get(id)?.as_ref().ok()?;
            let stable = summary.status == StreamStatus::Active && !summary.on_demand;
            let pair = self.pairs.get(id)?.as_ref().ok()?;
            let pair = [&pair.up, &pair.down].into_iter().flatten();
            let steady = hot::Steady {
                name: name.clone(),
                shards: summary.open_shards,
                written: pair.filter_map(|it| it.alarm.configured_at).max(),
            };
            stable.then_some((*id, steady))
        };
        self.names.iter().filter_map(size).collect()
    }

    /// Streams that two entries subscribe. If an entry names an alarm, the configuration alone does
    /// not show this.
    fn twice(&self) -> Vec<Finding> {
        let mut seen: HashMap<(&Account, &str), SubscriptionId> = HashMap::new();
        let mut found = Vec::new();
        for (id, name) in &self.names {
            let account = &self.context.subscription(*id).account;
            if let Some(first) = seen.insert((account, name), *id) {
                let [key, first] = [*id, first].map(|id| {
                    let origin = &self.context.subscription(id).origin;
                    patterns::entry(self.context, origin, id.index())
                });
                let message = format!("the stream {name} is subscribed by {first} already");
                let fix = "remove one of the two, so that one pair scales it";
                found.push(Finding::new(
                    Severity::Error,
                    "subscribed_twice",
                    &key,
                    message,
                    fix,
                ));
            }
        }
        found
    }

    /// Checks one stream and its pair.
    fn stream(&mut self, id: SubscriptionId, trouble: &mut Trouble) -> Vec<Finding> {
        let subscription = self.context.subscription(id);
        let region = subscriptions::region(self.context, subscription);
        let label = match self.names.get(&id) {
            Some(name) => name.as_str(),
            None => subscription.label(),
        };
        let mut found = Vec::new();
        let n = match self.summaries.get(&id) {
            None => None,
            Some(Ok(summary)) => state(label, summary, &mut found),
            Some(Err(error)) if error.kind == Kind::NotFound => {
                let message = "the stream does not exist";
                let fix = "create it and then its alarms, or correct the name under [[streams]]";
                found.push(Finding::new(
                    Severity::Error,
                    "stream_missing",
                    label,
                    message,
                    fix,
                ));
                None
            }
            Some(Err(error)) => {
                trouble.note(&subscription.account, region, error, label);
                None
            }
        };
        let share = self.context.config.alarms.throttle_share;
        match self.pairs.get(&id) {
            Some(Ok(pair)) => {
                let [up, down] = [&pair.up, &pair.down].map(|it| it.as_ref().map(read));
                let [up, down] = [&up, &down].map(|it| it.as_ref().map(half));
                let judged = pair::judge(subscription, up, down, n, share);
                // Alarms of a stream that does not exist are of no use yet.
                let is_missing = found.iter().any(|it| it.rule == "stream_missing");
                let is_told = |it: &Finding| !(is_missing && it.rule == "alarm_missing");
                found.extend(judged.into_iter().filter(is_told));
            }
            Some(Err(error)) => trouble.note(&subscription.account, region, error, label),
            None => {}
        }
        let now = self.context.clock.now();
        found.extend(windows::of(subscription, label, n, now));
        for finding in &mut found {
            finding.stream = Some(label.to_owned());
            finding.region = Some(region.to_owned());
        }
        found
    }

    /// The streams whose scale-up alarm is in ALARM, as far as they were read.
    fn in_need(&self) -> BTreeMap<SubscriptionId, (Pair, StreamSummary)> {
        let read = |(id, pair): (&SubscriptionId, &Result<Pair, aws::Error>)| {
            let pair = pair.as_ref().ok()?;
            let up = pair.up.as_ref()?;
            let summary = self.summaries.get(id)?.as_ref().ok()?;
            let asks = up.alarm.state == State::Alarm;
            asks.then(|| (*id, (pair.clone(), summary.clone())))
        };
        self.pairs.iter().filter_map(read).collect()
    }

    /// The accounts and names of all streams that are subscribed.
    fn subscribed(&self) -> BTreeSet<(&Account, &str)> {
        let names = self.names.iter();
        names
            .map(|(id, name)| (&self.context.subscription(*id).account, name.as_str()))
            .collect()
    }

    /// The streams of an account that may grow, and one whose metrics can be read; `None` for an
    /// account without subscriptions.
    fn of_account(&self, account: &Account) -> Option<(Vec<account::Sized<'_>>, Option<&str>)> {
        self.context.subscribes_in(account).then_some(())?;
        let names = self.names.iter();
        let ours: Vec<(&SubscriptionId, &String)> = names
            .filter(|(id, _)| self.context.subscription(**id).account == *account)
            .collect();
        let growing = ours.iter().filter_map(|(id, name)| {
            let summary = self.summaries.get(id)?.as_ref().ok()?;
            let grows = summary.status == StreamStatus::Active && !summary.on_demand;
            grows.then_some(account::Sized {
                subscription: self.context.subscription(**id),
                stream: name,
                shards: summary.open_shards,
            })
        });
        Some((
            growing.collect(),
            ours.first().map(|(_, name)| name.as_str()),
        ))
    }
}

fn read(definition: &Definition) -> (&Alarm, Settings) {
    (&definition.alarm, definition.settings())
}

fn half<'a>((alarm, settings): &'a (&Alarm, Settings)) -> pair::Half<'a> {
    pair::Half { alarm, settings }
}

/// The stream's shard count if it is stable, otherwise why the stream is not scaled.
fn state(label: &str, summary: &StreamSummary, found: &mut Vec<Finding>) -> Option<u32> {
    if summary.on_demand {
        let message = "the stream is in on-demand mode, where AWS scales it";
        let fix = "switch it to provisioned mode, or remove its subscription";
        found.push(Finding::new(
            Severity::Error,
            "on_demand",
            label,
            message,
            fix,
        ));
        return None;
    }
    if summary.status != StreamStatus::Active {
        let message = format!(
            "the stream is {}, so its shard count is not stable",
            summary.status.name()
        );
        let fix = "check again when it is ACTIVE";
        found.push(Finding::new(
            Severity::Info,
            "updating",
            label,
            message,
            fix,
        ));
        return None;
    }
    Some(summary.open_shards)
}

/// Suggests existing streams with names similar to the missing ones.
async fn suggest(context: &Context, found: &mut [Finding]) {
    let mut listed: HashMap<String, Vec<String>> = HashMap::new();
    for finding in found
        .iter_mut()
        .filter(|finding| finding.rule == "stream_missing")
    {
        let all_clients: Vec<&Arc<RegionClients>> = context
            .aws
            .all_clients()
            .filter(|(_, clients)| Some(&clients.region) == finding.region.as_ref())
            .map(|(_, clients)| clients)
            .collect();
        // With two accounts in one Region, it is unknown which one is meant.
        let [clients] = all_clients[..] else { continue };
        if !listed.contains_key(&clients.region) {
            let names = clients.kinesis.stream_names(NAMES_FOR_HINTS).await;
            // Without permission to list streams there is no suggestion; that permission is checked
            // elsewhere.
            listed.insert(clients.region.clone(), names.unwrap_or_default());
        }
        let near = listed
            .get(&clients.region)
            .and_then(|names| nearest(&finding.subject, names));
        if let Some(near) = near {
            finding.fix = format!("did you mean {near}? {}", finding.fix);
        }
    }
}

/// Failed calls: each cause once per account and operation, however many streams it concerns, or
/// once per account if AWS was not reached at all.
#[derive(Debug, Default)]
struct Trouble(BTreeMap<(Account, Option<&'static str>, &'static str), FailedCall>);

#[derive(Debug)]
struct FailedCall {
    region: String,
    error: aws::Error,
    streams: BTreeSet<String>,
}

impl Trouble {
    /// Remembers a failed call. `stream` is the stream that it was about, if any.
    fn note(&mut self, account: &Account, region: &str, error: &aws::Error, stream: &str) {
        let operation = (!error.kind.is_away()).then_some(error.operation.name());
        let key = (account.clone(), operation, error.kind.code());
        let call = self.0.entry(key).or_insert_with(|| FailedCall {
            region: region.to_owned(),
            error: error.clone(),
            streams: BTreeSet::new(),
        });
        if !stream.is_empty() {
            call.streams.insert(stream.to_owned());
        }
    }

    fn findings(self) -> Vec<Finding> {
        self.0.into_values().map(FailedCall::finding).collect()
    }
}

impl FailedCall {
    fn finding(self) -> Finding {
        let error = &self.error;
        let (rule, subject) = match error.kind {
            Kind::AccessDenied => ("right_missing", error.operation.iam_action()),
            kind if kind.is_away() => ("aws_error", "AWS"),
            _ => ("aws_error", error.operation.iam_action()),
        };
        let concerns = match self.streams.first() {
            None => String::new(),
            Some(first) => format!(" (of {first}{})", and_more(self.streams.len() - 1)),
        };
        let message = format!("{}{concerns}", error.message());
        let fix = error.hint();
        let fix = fix.unwrap_or_else(|| "check again later".to_owned());
        let severity = match error.operation {
            // Without its answer muted alarms go on scaling.
            Operation::ListAlarmMuteRules => Severity::Warning,
            _ => Severity::Error,
        };
        let mut finding = Finding::new(severity, rule, subject, message, fix);
        finding.region = Some(self.region);
        finding
    }
}
