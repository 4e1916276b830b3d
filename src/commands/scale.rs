//! `scale`: a manual scaling, executed like an automatic one: logged before and after, with both
//! alarms kept in sync.

mod plan;
mod work;

use std::sync::Arc;

use serde_json::json;

pub use plan::{Budget, OutOfRange, Plan, budget, steps, target};

use self::work::Work;
use crate::{
    aws::{self, Extra, RegionClients},
    cli::{self, Output},
    commands::{
        consent::{Consent, say},
        pause::user,
        subscriptions::{self, OnStream, failed_call},
    },
    output::{
        self,
        error::{Exit, Failure, Report},
        table::counted,
    },
    reconcile::{
        context::Context,
        execute,
        execution::Execution,
        inspect::{self, InspectError, Reader},
    },
};
use autoscaler_core::{
    alarm::{Alarm, State},
    decide::shards_used,
    decision::{Action, Conclusion, Decision},
    facts::{Facts, Fetched, StreamSummary},
    reason::Reason,
    subscription::SubscriptionId,
    trigger::Trigger,
};

/// Plans the scaling, asks for confirmation, and carries it out.
pub async fn run(
    context: &Arc<Context>,
    args: &cli::Scale,
    output: Output,
    consent: Consent,
) -> Result<Exit, Failure> {
    let (region, account) = (args.region.as_deref(), args.account.as_deref());
    let id = find(context, &args.stream, region, account).await?;
    let plan = plan(context, id, args.target).await?;
    let forced = forced(context, id, &plan, args.force_max)?;
    let width = output::terminal_width();
    if context.dry_run || plan.steps.is_empty() {
        let ending = match context.dry_run {
            true => "dry run, nothing was changed\n",
            false => "",
        };
        output::print(&match output {
            Output::Json => json(&plan, &[], context.dry_run, None),
            _ => plan.to_text(width) + ending,
        })?;
        return Ok(Exit::Done);
    }
    if output != Output::Json {
        say(&plan.to_text(width));
    }
    if !agreed(&plan, forced.as_deref(), consent)? {
        say("nothing was changed\n");
        return Ok(Exit::Failed);
    }
    let (done, result) = carry_out(context, id, &plan, note(args, forced), args.wait).await;
    let error = result.as_ref().err().map(ToString::to_string);
    if output == Output::Json {
        output::print(&json(&plan, &done, false, error))?;
    }
    result?;
    if output != Output::Json {
        output::print(&ending(context, &plan, args.wait))?;
    }
    Ok(Exit::Done)
}

/// Makes the plan's calls. Returns the counts that were reached, and what stopped it early.
///
/// The stream is read again before each call. Any count other than the plan's stops it.
pub async fn carry_out(
    context: &Arc<Context>,
    id: SubscriptionId,
    plan: &Plan,
    note: String,
    wait: bool,
) -> (Vec<u32>, Result<(), Failure>) {
    let mut done = Vec::new();
    let work = Work::new(context, id, plan, note);
    let result = work.carry_out(wait, &mut done).await;
    (done, result)
}

/// What was done, and what is still to be done.
fn ending(context: &Context, plan: &Plan, waited: bool) -> String {
    let shards = counted(plan.to, "shard");
    let stream = match waited {
        true => format!("{} ({}) has {shards}", plan.stream, plan.region),
        false => format!(
            "{} ({}) is being resharded to {shards}, which takes AWS some minutes",
            plan.stream, plan.region
        ),
    };
    let logged = match context.scaling_log.spooled() {
        0 => "the scaling is in the scaling log",
        _ => "its row waits in the state directory until DynamoDB answers; the daemon delivers it",
    };
    format!("{stream}; both alarms record the new count; {logged}\n")
}

/// What `--force-max` lets the plan exceed; `None` where it stays within `max_shards`, or the flag
/// is not given.
///
/// # Errors
/// Where the plan goes beyond the flag's number, too.
fn forced(
    context: &Context,
    id: SubscriptionId,
    plan: &Plan,
    force_max: Option<u32>,
) -> Result<Option<String>, Failure> {
    let Some(most) = force_max else {
        return Ok(None);
    };
    if plan.to > most {
        let why = format!("{} is above --force-max, which is {most}", plan.to);
        let report = on(context, id, why).hint("raise --force-max, or name a lower count");
        return Err(Failure::new(Exit::Failed, report));
    }
    let max = context.subscription(id).max_shards;
    Ok((plan.to > max).then(|| format!("beyond max_shards = {max}")))
}

/// Who scaled and why, for the scaling log.
fn note(args: &cli::Scale, forced: Option<String>) -> String {
    let user = user();
    let by = user.as_deref().unwrap_or("an unknown user");
    let forced = forced.map_or_else(String::new, |it| format!(", {it} by --force-max"));
    let by = format!("by {by}{forced}");
    match &args.note {
        Some(note) => format!("{by}: {note}"),
        None => by,
    }
}

fn json(plan: &Plan, done: &[u32], dry_run: bool, error: Option<String>) -> String {
    // A plan is strings, numbers and lists of them, which always serialize.
    let mut object = serde_json::to_value(plan).unwrap_or_default();
    object["dry_run"] = json!(dry_run);
    object["done"] = json!(done);
    let left = plan.calls_left.map(|left| left.saturating_sub(done.len()));
    object["calls_left"] = json!(left);
    object["error"] = json!(error);
    object.to_string() + "\n"
}

/// Finds the one subscription that is meant.
pub(super) async fn find(
    context: &Context,
    stream: &str,
    region: Option<&str>,
    account: Option<&str>,
) -> Result<SubscriptionId, Failure> {
    let mut found = subscriptions::select(context, &[stream.to_owned()]).await?;
    found.retain(|id| {
        let subscription = context.subscription(*id);
        let is_there = region.is_none_or(|it| it == subscriptions::region(context, subscription));
        is_there && account.is_none_or(|it| subscription.account.is_called(it))
    });
    match &found[..] {
        [one] => Ok(*one),
        [] => {
            let narrowed = [("Region", region), ("account", account)];
            let narrowed = narrowed.iter();
            let narrowed = narrowed.filter_map(|(what, name)| Some(format!("{what} {}", (*name)?)));
            let narrowed: Vec<String> = narrowed.collect();
            let text = format!(
                "the stream {stream} is not subscribed in the {}",
                narrowed.join(" and ")
            );
            let hint = "correct or omit --region and --account; `status` lists all subscriptions";
            Err(Failure::new(Exit::Failed, Report::new(text).hint(hint)))
        }
        many => Err(ambiguous(context, stream, many)),
    }
}

/// Several subscriptions have the name: says which, and what selects each.
fn ambiguous(context: &Context, name: &str, ids: &[SubscriptionId]) -> Failure {
    let candidate = |id: &SubscriptionId| {
        let subscription = context.subscription(*id);
        let region = subscriptions::region(context, subscription);
        let account = subscription.account.short_name();
        let alarm = &subscription.alarms.scale_up;
        format!("--region {region} --account {account} ({alarm})")
    };
    let candidates: Vec<String> = ids.iter().map(candidate).collect();
    let text = format!("{} subscriptions have the stream {name}", ids.len());
    let hint = format!("select one of them:\n{}", candidates.join("\n"));
    Failure::new(Exit::Usage, Report::new(text).hint(hint))
}

/// Reads the stream, refuses what AWS or the scaling log would refuse, and plans the calls.
pub async fn plan(
    context: &Arc<Context>,
    id: SubscriptionId,
    wanted: cli::Target,
) -> Result<Plan, Failure> {
    let subscription = context.subscription(id);
    subscription.conflict().map_err(|conflict| {
        let hint = conflict.hint();
        Failure::new(Exit::Failed, Report::new(conflict).hint(hint))
    })?;
    let (facts, stream) = current(context, id).await?.scalable(context, id)?;
    let n = stream.open_shards;
    let refuse =
        |text: String, hint: String| Failure::new(Exit::Failed, on(context, id, text).hint(hint));
    let to = plan::target(n, wanted)
        .map_err(|why| refuse(why.to_string(), "name the count with --to".to_owned()))?;
    let steps = plan::steps(n, to);
    let recent = facts.scalings.as_ref();
    let unread = recent.and_then(|recent| recent.unread.as_ref());
    let budget = recent
        .filter(|recent| recent.unread.is_none())
        .map(|recent| plan::budget(recent, context.clock.now()));
    if let (Some(why), true) = (unread, to < n) {
        let text = format!("no scale-down while the scaling log cannot be read: {why}");
        let hint = "`kinesis-autoscaler check` says what is wrong with it";
        return Err(refuse(text, hint.to_owned()));
    }
    if let Some(budget) = budget.filter(|budget| steps.len() > budget.left) {
        let (text, hint) = plan::too_many_calls(n, &steps, budget);
        return Err(refuse(text, hint));
    }
    let name = facts.stream_name(subscription);
    let clients = context.clients_of(subscription);
    let mut warnings = plan::warnings(subscription, to, steps.len(), budget);
    warnings.extend(unread.map(|why| {
        format!(
            "the scaling log cannot be read; the row may have to wait in the state directory: {why}"
        )
    }));
    warnings.extend(alarm_warning(&facts, to > n));
    warnings.extend(sync_warning(&facts, n, to));
    warnings.extend(limit_warning(clients, n, to).await);
    warnings.extend(usage_warning(context, clients, name, n, to).await);
    Ok(Plan {
        stream: name.to_owned(),
        region: clients.region.clone(),
        from: n,
        to,
        steps,
        calls_left: budget.map(|budget| budget.left),
        warnings,
    })
}

/// Warns about an alarm that would scale the stream back at the next tick.
fn alarm_warning(facts: &Facts, up: bool) -> Option<String> {
    let (against, hint) = match up {
        true => (&facts.down, "raise min_shards to keep the shards"),
        false => (&facts.up, "lower max_shards to keep the count down"),
    };
    let alarm = against
        .found()
        .filter(|alarm| alarm.state == State::Alarm)?;
    Some(format!(
        "{} is in ALARM: the autoscaler may undo this scaling; {hint}",
        alarm.name
    ))
}

/// Alarms that record another count are corrected before anything is scaled.
fn sync_warning(facts: &Facts, n: u32, to: u32) -> Option<String> {
    let alarms = [&facts.up, &facts.down]
        .into_iter()
        .filter_map(Fetched::found);
    let other = alarms
        .filter_map(Alarm::recorded_count)
        .find(|recorded| *recorded != n)?;
    Some(match to == n {
        true => format!(
            "its alarms record {other}: the audit corrects them within audit_interval, unless that is \"0s\""
        ),
        false => format!("its alarms record {other}; they are set to {n} first"),
    })
}

async fn limit_warning(clients: &RegionClients, n: u32, to: u32) -> Option<String> {
    if to <= n {
        return None;
    }
    // Without permission to read the limit there is no warning; AWS refuses the call if necessary.
    let (limit, open) = clients.kinesis.shard_limit().await.ok()?;
    let after = u64::from(open) + u64::from(to - n);
    (after > u64::from(limit)).then(|| {
        format!(
            "the account would have {after} open shards, and its limit is {limit}: AWS may refuse"
        )
    })
}

async fn usage_warning(
    context: &Context,
    clients: &RegionClients,
    stream: &str,
    n: u32,
    to: u32,
) -> Option<String> {
    if to >= n {
        return None;
    }
    let window = inspect::last_day(context.clock.now());
    let extra = Extra::default();
    let traffic = clients.cloudwatch.traffic(stream, extra, window);
    let traffic = traffic.await.ok()?;
    let used = shards_used(&traffic);
    (used > f64::from(to)).then(|| {
        format!("the last 24 h used up to {used:.2} shards, so that {to} would throttle writers")
    })
}

/// A stream as it is now, and what the autoscaler would do if neither alarm were in ALARM.
struct Current {
    facts: Facts,
    conclusion: Conclusion,
}

impl Current {
    /// Whether the alarms or the scaling log have to be corrected before the stream is scaled.
    fn needs_repair(&self) -> bool {
        let action = self.conclusion.decision.action();
        !self.conclusion.settlements.is_empty() || matches!(action, Some(Action::SyncAlarms { .. }))
    }

    /// The stream, unless it cannot be resharded now.
    fn scalable(
        self,
        context: &Context,
        id: SubscriptionId,
    ) -> Result<(Facts, StreamSummary), Failure> {
        let Self { facts, conclusion } = self;
        let refuse = |text: &str, hint: &str| {
            let report = on(context, id, text.to_owned());
            Err(Failure::new(Exit::Failed, report.hint(hint)))
        };
        let decision = &conclusion.decision;
        let wait = "try again in a few minutes";
        match decision {
            Decision::Fail { error, hint, .. } => return refuse(error, hint),
            Decision::Hold {
                reason: Reason::OnDemand,
                detail,
                ..
            } => {
                return refuse(detail, "only provisioned streams have shards to scale");
            }
            // Disabled actions and bounds restrict the autoscaler, not a person.
            Decision::Hold {
                reason: Reason::NoAlarm | Reason::Paused | Reason::Muted | Reason::DailyLimit,
                ..
            } => {}
            Decision::Hold { detail, .. } => return refuse(detail, wait),
            Decision::Act { detail, .. } if conclusion.resumes.is_some() => {
                return refuse(detail, wait);
            }
            Decision::Act { .. } => {}
        }
        match facts.stream.found().cloned() {
            Some(stream) => Ok((facts, stream)),
            None => refuse(decision.detail(), wait),
        }
    }
}

/// Reads the stream as if neither alarm were in ALARM.
async fn current(context: &Context, id: SubscriptionId) -> Result<Current, Failure> {
    let mut facts = read_pair(context, id).await?;
    let states = [&facts.up, &facts.down].map(|alarm| alarm.found().map(|alarm| alarm.state));
    set_states(&mut facts, [Some(State::Ok); 2]);
    let reader = Reader {
        context,
        subscription: context.subscription(id),
        now: context.clock.now(),
        shared: None,
    };
    let inspected = reader.inspect(&Trigger::Recovery(None), &mut facts).await;
    let conclusion = inspected.map_err(|error| match error {
        InspectError::Aws(error) => call_failed(context, id, error),
        bug => Failure::new(Exit::Failed, on(context, id, bug.to_string())),
    })?;
    set_states(&mut facts, states);
    Ok(Current { facts, conclusion })
}

fn set_states(facts: &mut Facts, states: [Option<State>; 2]) {
    for (alarm, state) in [&mut facts.up, &mut facts.down].into_iter().zip(states) {
        if let (Fetched::Found(alarm), Some(state)) = (alarm, state) {
            alarm.state = state;
        }
    }
}

/// The stream, after its alarms and earlier scalings were corrected.
async fn ready(
    context: &Arc<Context>,
    id: SubscriptionId,
) -> Result<(Facts, StreamSummary), Failure> {
    // Reads the stream again after a correction.
    for _ in 0..2 {
        let current = current(context, id).await?;
        if !current.needs_repair() {
            return current.scalable(context, id);
        }
        let Current { facts, conclusion } = current;
        let subscription = context.subscription(id);
        let executed = execute::execute(context, subscription, &facts, None, None, &conclusion);
        let failed = match executed.await {
            None | Some(Execution::Done) => continue,
            Some(execution) => execution,
        };
        let hold = failed.replacement();
        let why = failed.error().or(hold.as_ref().map(Decision::detail));
        let text = format!(
            "its alarms could not be corrected: {}",
            why.unwrap_or_default()
        );
        return Err(Failure::new(Exit::Failed, on(context, id, text)));
    }
    let text = "an earlier scaling cannot be settled".to_owned();
    let report = on(context, id, text).hint("try again in a few minutes");
    Err(Failure::new(Exit::Failed, report))
}

async fn read_pair(context: &Context, id: SubscriptionId) -> Result<Facts, Failure> {
    let mut pairs = subscriptions::pairs(context, &[id], |_| ()).await;
    match pairs.remove(&id) {
        Some(Ok(pair)) => Ok(pair.facts()),
        Some(Err(error)) => Err(call_failed(context, id, error)),
        // Every requested subscription has a result.
        None => Ok(Facts::default()),
    }
}

/// Asks for confirmation on the terminal, unless it was given.
fn agreed(plan: &Plan, forced: Option<&str>, consent: Consent) -> Result<bool, Failure> {
    let forced = forced.map_or_else(String::new, |it| format!(", {it}"));
    let Plan {
        stream, from, to, ..
    } = plan;
    consent.confirm(
        &format!("scale {stream} from {from} to {to} shards{forced}?"),
        || {
            let report = Report::new("there is no terminal to ask on before scaling");
            report.hint("add --yes to scale without being asked, or --dry-run to see the plan")
        },
    )
}

fn on(context: &Context, id: SubscriptionId, why: String) -> Report {
    let subscription = context.subscription(id);
    let region = subscriptions::region(context, subscription);
    Report::new(OnStream::new(subscription.label(), region, why))
}

fn call_failed(context: &Context, id: SubscriptionId, error: aws::Error) -> Failure {
    let subscription = context.subscription(id);
    let region = subscriptions::region(context, subscription);
    let report = failed_call(subscription.label(), region, error);
    Failure::new(Exit::Failed, report)
}
