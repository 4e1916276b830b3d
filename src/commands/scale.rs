//! `scale`: a person's scaling, through the same hands as the autoscaler's own: logged before and after, alarms kept in sync.

mod plan;
mod work;

use std::{
    io::{self, BufRead, Write as _},
    sync::Arc,
};

use serde_json::json;

pub use plan::{Budget, OutOfRange, Plan, budget, steps, target};

use self::work::Work;
use crate::{
    aws::{self, RegionClients},
    cli::{self, Output},
    commands::subscriptions::{self, OnStream, failed_call},
    output::{
        self,
        error::{Exit, Failure, Report},
        table::counted,
    },
    reconcile::{context::Context, execute, inspect::Reader},
};
use autoscaler_core::{
    alarm::{Alarm, State},
    decide::{Action, Decision, Fact, Verdict, decide, shards_used},
    facts::{Fetched, Observation, StreamSummary},
    reason::Reason,
};

/// Whether the person is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Given,
    Ask,
    /// There is no terminal to ask on.
    Impossible,
}

/// Plans the scaling, asks, and carries it out.
pub async fn run(
    context: &Arc<Context>,
    args: &cli::Scale,
    output: Output,
    consent: Consent,
) -> Result<Exit, Failure> {
    let number = find(context, args).await?;
    let (plan, seen) = plan(context, number, args.target).await?;
    let width = output::terminal_width();
    if context.dry_run || plan.steps.is_empty() {
        let ending = match context.dry_run {
            true => "dry run, nothing was changed\n",
            false => "",
        };
        output::print(&match output {
            Output::Json => told(&plan, &[], context.dry_run, None),
            _ => plan.to_text(width) + ending,
        })?;
        return Ok(Exit::Done);
    }
    if output != Output::Json {
        tell(&plan.to_text(width));
    }
    if !agreed(&plan, consent)? {
        tell("nothing was changed\n");
        return Ok(Exit::Failed);
    }
    let mut done = Vec::new();
    let result = Work::new(context, number, &plan)
        .carry_out(seen, args.wait, &mut done)
        .await;
    let error = result.as_ref().err().map(ToString::to_string);
    if output == Output::Json {
        output::print(&told(&plan, &done, false, error))?;
    }
    result?;
    if output != Output::Json {
        let end = match args.wait {
            true => "has",
            false => "is being resharded to",
        };
        output::print(&format!(
            "{} ({}) {end} {}; its alarms are in sync, and it is logged\n",
            plan.stream,
            plan.region,
            counted(plan.to, "shard")
        ))?;
    }
    Ok(Exit::Done)
}

/// Words for the person, beside the data on standard output.
fn tell(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn told(plan: &Plan, done: &[u32], dry_run: bool, error: Option<String>) -> String {
    // A plan is strings, numbers and lists of them, which always serialize.
    let mut object = serde_json::to_value(plan).unwrap_or_default();
    object["dry_run"] = json!(dry_run);
    object["done"] = json!(done);
    object["error"] = json!(error);
    object.to_string() + "\n"
}

/// The one subscription that is meant.
async fn find(context: &Context, args: &cli::Scale) -> Result<usize, Failure> {
    let subscriptions = &context.config.subscriptions;
    let mut found = subscriptions::select(context, std::slice::from_ref(&args.stream)).await?;
    if let Some(region) = &args.region {
        found.retain(|number| {
            subscriptions::region(context, &subscriptions[*number]) == region.as_str()
        });
    }
    match &found[..] {
        [one] => Ok(*one),
        [] => {
            let report = Report::new(format!(
                "the stream {} is not subscribed in the Region {}",
                args.stream,
                args.region.as_deref().unwrap_or_default()
            ));
            Err(Failure::new(
                Exit::Failed,
                report.hint("leave --region out, or mend it"),
            ))
        }
        many => {
            let all_clients: Vec<String> = many
                .iter()
                .map(|number| {
                    let subscription = &subscriptions[*number];
                    let region = subscriptions::region(context, subscription);
                    format!("{} in {region}", subscription.alarms.scale_up)
                })
                .collect();
            let text = format!(
                "{} subscriptions have the stream {}",
                many.len(),
                args.stream
            );
            let hint = format!(
                "name one by --region, or by its alarm in clients of the stream: {}",
                all_clients.join(", ")
            );
            Err(Failure::new(Exit::Usage, Report::new(text).hint(hint)))
        }
    }
}

/// Looks at the stream, refuses what cannot be, and thinks the way through.
pub async fn plan(
    context: &Arc<Context>,
    number: usize,
    wanted: cli::Target,
) -> Result<(Plan, Observation), Failure> {
    let subscription = &context.config.subscriptions[number];
    let (seen, stream) = ready(context, number).await?;
    let n = stream.open_shards;
    let refuse = |text: String, hint: String| {
        Failure::new(Exit::Failed, on(context, number, text).hint(hint))
    };
    let to = plan::target(n, wanted)
        .map_err(|why| refuse(why.to_string(), "name the count with --to".to_owned()))?;
    let steps = plan::steps(n, to);
    let log = seen.log.as_ref();
    let log_failure = log.and_then(|log| log.unread.as_ref());
    let budget = log
        .filter(|log| log.unread.is_none())
        .map(|log| plan::budget(log, context.clock.now()));
    if let (Some(why), true) = (log_failure, to < n) {
        let text = format!("nothing is scaled down while the log cannot be read: {why}");
        let hint = "`kinesis-autoscaler check` tells what is wrong with the log";
        return Err(refuse(text, hint.to_owned()));
    }
    if let Some(budget) = budget.filter(|budget| steps.len() > budget.left) {
        let (text, hint) = plan::too_many_calls(n, &steps, budget);
        return Err(refuse(text, hint));
    }
    let mut warnings = plan::warnings(subscription, to, steps.len(), budget);
    warnings
        .extend(log_failure.map(|why| {
            format!("the log cannot be read; the row may have to wait in the state directory for the daemon: {why}")
        }));
    warnings.extend(alarm_warning(&seen, to > n));
    warnings.extend(sync_warning(&seen, n, to));
    let clients = context.aws.clients(&subscription.account);
    warnings.extend(limit_warning(clients, n, to).await);
    warnings.extend(usage_warning(context, clients, seen.stream_name(subscription), n, to).await);
    let plan = Plan {
        stream: seen.stream_name(subscription).to_owned(),
        region: clients.region.clone(),
        from: n,
        to,
        steps,
        calls_left: budget.map(|budget| budget.left),
        warnings,
    };
    Ok((plan, seen))
}

/// An alarm that asks for the opposite will have its way at the next tick.
fn alarm_warning(seen: &Observation, up: bool) -> Option<String> {
    let (against, mend) = match up {
        true => (&seen.down, "raise min_shards to keep them"),
        false => (&seen.up, "lower max_shards to keep it so"),
    };
    let alarm = against
        .found()
        .filter(|alarm| alarm.state == State::Alarm)?;
    Some(format!(
        "{} is in ALARM: the autoscaler may take this back; {mend}",
        alarm.name
    ))
}

/// A scaling rewrites the alarms, but where there is none they stay as they are.
fn sync_warning(seen: &Observation, n: u32, to: u32) -> Option<String> {
    let alarms = [&seen.up, &seen.down]
        .into_iter()
        .filter_map(Fetched::found);
    let other = alarms
        .filter_map(Alarm::recorded_count)
        .find(|recorded| *recorded != n)
        .filter(|_| to == n)?;
    Some(format!(
        "its alarms record {other}: the audit mends it within audit_interval, unless that is \"0s\""
    ))
}

async fn limit_warning(clients: &RegionClients, n: u32, to: u32) -> Option<String> {
    if to <= n {
        return None;
    }
    // Without the right to ask there is no warning; AWS's own refusal comes then.
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
    let now = context.clock.now();
    let start = now
        .saturating_sub(jiff::SignedDuration::from_hours(24))
        .ok()?;
    let period = autoscaler_core::limits::PERIOD_SECONDS;
    let traffic = clients
        .cloudwatch
        .traffic(stream, start, now, period)
        .await
        .ok()?;
    let used = shards_used(&traffic);
    (used > f64::from(to)).then(|| {
        format!("the last 24 h used up to {used:.2} shards, so that {to} would throttle writers")
    })
}

/// Reads the stream, and settles what an earlier scaling has left open; refuses unless the stream can be resharded now.
///
/// The decision itself judges that, with both alarms taken for quiet.
async fn ready(
    context: &Arc<Context>,
    number: usize,
) -> Result<(Observation, StreamSummary), Failure> {
    let subscription = &context.config.subscriptions[number];
    // A second round, after settling.
    for round in 0..2 {
        let mut seen = read_pair(context, number).await?;
        let decision = quiet_decision(context, number, &mut seen).await?;
        if let Some(error) = &decision.error {
            let report = on(context, number, error.clone()).hint(decision.detail.clone());
            return Err(Failure::new(Exit::Failed, report));
        }
        if !decision.settles.is_empty() && !context.dry_run && round == 0 {
            let settled = execute::apply(context, subscription, &seen, None, None, decision).await;
            if let Some(error) = settled.error {
                return Err(Failure::new(Exit::Failed, on(context, number, error)));
            }
            continue;
        }
        let holds = decision.action == Action::Hold && decision.reason != Reason::NoAlarm;
        match seen.stream.found().cloned() {
            Some(stream) if !holds => return Ok((seen, stream)),
            _ => {
                let hint = match decision.reason {
                    Reason::OnDemand => "only provisioned streams have shards to scale",
                    _ => "try again in a few minutes",
                };
                let report = on(context, number, decision.detail).hint(hint);
                return Err(Failure::new(Exit::Failed, report));
            }
        }
    }
    let text = "an earlier scaling cannot be settled";
    let report = on(context, number, text.to_owned()).hint("try again in a few minutes");
    Err(Failure::new(Exit::Failed, report))
}

async fn read_pair(context: &Context, number: usize) -> Result<Observation, Failure> {
    let mut pairs = subscriptions::pairs(context, &[number], |_| ()).await;
    match pairs.remove(&number) {
        Some(Ok(pair)) => Ok(pair.observation()),
        Some(Err(error)) => Err(call_failed(context, number, error)),
        // Every number that is asked for has a result.
        None => Ok(Observation::default()),
    }
}

/// What the decision says of the stream when no alarm asks for anything; what it needs is read into `seen` too.
async fn quiet_decision(
    context: &Context,
    number: usize,
    seen: &mut Observation,
) -> Result<Decision, Failure> {
    let subscription = &context.config.subscriptions[number];
    let now = context.clock.now();
    let reader = Reader {
        aws: &context.aws,
        scaling_log: &context.scaling_log,
        subscription,
        now,
    };
    (seen.needs_inspection, seen.must_settle) = (true, true);
    loop {
        let verdict = decide(subscription, &quiet(seen), now);
        let fact: Fact = match verdict {
            Verdict::Decided(decision) => return Ok(decision),
            Verdict::Need(fact) => fact,
        };
        let read = reader.read(fact, seen).await;
        read.map_err(|error| call_failed(context, number, error))?;
    }
}

fn quiet(seen: &Observation) -> Observation {
    let mut seen = seen.clone();
    for alarm in [&mut seen.up, &mut seen.down] {
        if let Fetched::Found(alarm) = alarm {
            alarm.state = State::Ok;
        }
    }
    seen
}

/// Asks on the terminal, unless consent is given.
fn agreed(plan: &Plan, consent: Consent) -> Result<bool, Failure> {
    match consent {
        Consent::Given => Ok(true),
        Consent::Impossible => {
            let report = Report::new("there is no terminal to ask on before scaling");
            let hint = "add --yes to scale without being asked, or --dry-run to see the plan";
            Err(Failure::new(Exit::Usage, report.hint(hint)))
        }
        Consent::Ask => {
            tell(&format!(
                "scale {} from {} to {} shards? [y/N] ",
                plan.stream, plan.from, plan.to
            ));
            let mut answer = String::new();
            let read = io::stdin().lock().read_line(&mut answer);
            read.map_err(|error| Failure::new(Exit::Failed, error))?;
            let answer = answer.trim().to_ascii_lowercase();
            Ok(matches!(answer.as_str(), "y" | "yes"))
        }
    }
}

fn on(context: &Context, number: usize, why: String) -> Report {
    let subscription = &context.config.subscriptions[number];
    let region = subscriptions::region(context, subscription);
    Report::new(OnStream::new(subscription.label(), region, why))
}

fn call_failed(context: &Context, number: usize, error: aws::Error) -> Failure {
    let subscription = &context.config.subscriptions[number];
    let region = subscriptions::region(context, subscription);
    Failure::new(
        Exit::Failed,
        failed_call(subscription.label(), region, error),
    )
}
