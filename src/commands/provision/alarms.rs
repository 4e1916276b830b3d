//! `alarms print` and `alarms create`: the pair of each subscription.

use autoscaler_core::priority::Priority;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Map, json};

use super::{pair, pretty, template};
use crate::{
    aws::{Definition, Kind},
    cli::{self, AlarmsCommand, Format, Output},
    commands::subscriptions::{self, OnStream, Pair},
    config::PairDesign,
    output::table,
    output::{
        self,
        error::{Exit, Failure, Report, chain},
        progress::Progress,
    },
    reconcile::context::Context,
};
use autoscaler_core::{
    alarm::{Direction, Settings, actions_after_rewrite},
    facts::{StreamStatus, StreamSummary},
    subscription::Subscription,
};

/// What a command has for standard output, and what failed beside it.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    pub failures: Vec<Report>,
}

/// One stream whose pair is to be made.
#[derive(Clone, Debug)]
struct Wanted {
    number: usize,
    stream: String,
    region: String,
    shards: u32,
}

/// What became of one alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Made {
    alarm: String,
    stream: String,
    region: String,
    shards: u32,
    /// `created`, `replaced`, `exists`, and in a dry run `would_create` or `would_replace`.
    result: &'static str,
}

/// The design of the configuration, with what the command line says of it.
pub fn design(configured: &PairDesign, given: &cli::Design) -> Result<PairDesign, Failure> {
    let design = PairDesign {
        up_threshold: given.up_threshold.unwrap_or(configured.up_threshold),
        down_threshold: given.down_threshold.unwrap_or(configured.down_threshold),
        up_periods: given.up_periods.unwrap_or(configured.up_periods),
        down_periods: given.down_periods.unwrap_or(configured.down_periods),
        period_seconds: given.period_seconds.unwrap_or(configured.period_seconds),
        ..*configured
    };
    design.check().map_err(|(key, complaint)| {
        let flag = key.replace('_', "-");
        let report = Report::new(format!("--{flag}: {}", complaint.message));
        let report = complaint.hint.into_iter().fold(report, Report::hint);
        Failure::new(Exit::Usage, report)
    })?;
    Ok(design)
}

/// Does what the subcommand asks for.
pub async fn run(
    context: &Arc<Context>,
    command: &AlarmsCommand,
    output: Output,
) -> Result<Exit, Failure> {
    let configured = &context.config.alarms;
    let answer = match command {
        AlarmsCommand::Print {
            stream,
            shards,
            format,
            design: given,
        } => {
            let design = design(configured, given)?;
            print(
                context,
                stream.as_deref(),
                *shards,
                *format,
                &design,
                output,
            )
            .await?
        }
        AlarmsCommand::Create {
            stream,
            replace,
            design: given,
        } => {
            let design = design(configured, given)?;
            let width = output::terminal_width();
            create(context, stream.as_deref(), *replace, &design, output, width).await?
        }
    };
    output::print(&answer.text)?;
    match answer.failures.is_empty() {
        true => Ok(Exit::Done),
        false => Err(Failure {
            exit: Exit::Failed,
            reports: subscriptions::folded(answer.failures),
        }),
    }
}

/// The pairs as text: for the AWS CLI, or as a CloudFormation template. With `shards`, AWS is asked nothing that can be known without.
pub async fn print(
    context: &Arc<Context>,
    stream: Option<&str>,
    shards: Option<u32>,
    format: Format,
    design: &PairDesign,
    output: Output,
) -> Result<Answer, Failure> {
    let numbers = subscriptions::select(context, stream).await?;
    let subscriptions = &context.config.subscriptions;
    let unnamed: Vec<usize> = numbers
        .iter()
        .copied()
        .filter(|number| subscriptions[*number].stream.is_none())
        .collect();
    let pairs = subscriptions::pairs(context, &unnamed, |_| ()).await;
    let mut answer = Answer::default();
    let mut named = Vec::new();
    for number in numbers {
        let pair = pairs.get(&number).cloned().unwrap_or(Ok(Pair::default()));
        match pair.map_err(|error| call_failed(context, number, error)) {
            Ok(pair) => match stream_name(context, number, &pair) {
                Ok(stream) => named.push((number, stream)),
                Err(failure) => answer.failures.push(failure),
            },
            Err(failure) => answer.failures.push(failure),
        }
    }
    let wanted = wanted(context, named, shards, &mut answer.failures).await;
    let regions: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.region.as_str()).collect();
    if regions.len() > 1 {
        let regions = regions.into_iter().collect::<Vec<_>>().join(", ");
        tracing::warn!(
            regions,
            "the alarms belong to several Regions; --stream picks those of one stream"
        );
    }
    let alarms: Vec<Settings> = wanted
        .iter()
        .flat_map(|wanted| both(context, wanted, design))
        .collect();
    answer.text = match (format, output) {
        _ if alarms.is_empty() => String::new(),
        (Format::Cloudformation, _) => cloudformation(&alarms),
        (Format::Json, Output::Json) => pretty(&json!(alarms)),
        (Format::Json, _) => alarms
            .iter()
            .map(|alarm| json!(alarm).to_string() + "\n")
            .collect(),
    };
    Ok(answer)
}

/// Creates the alarms that are missing, and with `replace` writes those that exist anew.
pub async fn create(
    context: &Arc<Context>,
    stream: Option<&str>,
    replace: bool,
    design: &PairDesign,
    output: Output,
    width: Option<u16>,
) -> Result<Answer, Failure> {
    let numbers = subscriptions::select(context, stream).await?;
    let mut answer = Answer::default();
    let (mut named, mut existing) = (Vec::new(), BTreeMap::new());
    for (number, pair) in subscriptions::pairs(context, &numbers, |_| ()).await {
        match pair.map_err(|error| call_failed(context, number, error)) {
            Ok(pair) => match stream_name(context, number, &pair) {
                Ok(stream) => {
                    named.push((number, stream));
                    existing.insert(number, pair);
                }
                Err(failure) => answer.failures.push(failure),
            },
            Err(failure) => answer.failures.push(failure),
        }
    }
    let wanted = wanted(context, named, None, &mut answer.failures).await;
    let progress = Progress::new(wanted.len(), "pairs");
    let mut made = Vec::new();
    for wanted in &wanted {
        // `wanted` has only what `existing` was filled for.
        let pair = existing.remove(&wanted.number).unwrap_or_default();
        for direction in [Direction::Up, Direction::Down] {
            match make(context, wanted, &pair, direction, replace, design).await {
                Ok(one) => made.push(one),
                Err(error) => answer
                    .failures
                    .push(call_failed(context, wanted.number, error)),
            }
        }
        progress.advance(1);
    }
    progress.end();
    answer.text = match output {
        Output::Json => pretty(&json!({"dry_run": context.dry_run, "alarms": made})),
        _ => table_of(&made, width),
    };
    Ok(answer)
}

/// Creates or replaces one alarm; an operator's off switch stays as it is.
async fn make(
    context: &Context,
    wanted: &Wanted,
    pair: &Pair,
    direction: Direction,
    replace: bool,
    design: &PairDesign,
) -> Result<Made, crate::aws::Error> {
    let subscription = &context.config.subscriptions[wanted.number];
    let existing = match direction {
        Direction::Up => &pair.up,
        Direction::Down => &pair.down,
    };
    let mut settings = pair::settings(
        design,
        &subscription.alarms,
        direction,
        &wanted.stream,
        wanted.shards,
    );
    if let Some(Definition { alarm, .. }) = existing {
        settings.actions_enabled = actions_after_rewrite(alarm, direction, wanted.shards);
    }
    let result = match (existing.is_some(), replace, context.dry_run) {
        (true, false, _) => "exists",
        (true, true, true) => "would_replace",
        (false, _, true) => "would_create",
        (there, _, false) => {
            let cloudwatch = &context.aws.clients(&subscription.account).cloudwatch;
            cloudwatch.put(&settings, Priority::AUDIT).await?;
            if there { "replaced" } else { "created" }
        }
    };
    Ok(Made {
        alarm: settings.alarm_name,
        stream: wanted.stream.clone(),
        region: wanted.region.clone(),
        shards: wanted.shards,
        result,
    })
}

fn table_of(made: &[Made], width: Option<u16>) -> String {
    if made.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 5]> = made
        .iter()
        .map(|one| {
            let result = one.result.replace('_', " ");
            let (shards, region) = (one.shards.to_string(), one.region.clone());
            [
                one.alarm.clone(),
                one.stream.clone(),
                region,
                shards,
                result,
            ]
        })
        .collect();
    let header = ["ALARM", "STREAM", "REGION", "SHARDS", "RESULT"];
    let table = table::rows(header, &rows, width);
    let there = made.iter().filter(|one| one.result == "exists").count();
    let advice = match there {
        0 => String::new(),
        n => format!("\n{n} of them exist and stay as they are; --replace writes them anew\n"),
    };
    format!("{table}{advice}")
}

/// Both alarms of a stream that has none yet.
fn both(context: &Context, wanted: &Wanted, design: &PairDesign) -> [Settings; 2] {
    let names = &context.config.subscriptions[wanted.number].alarms;
    [Direction::Up, Direction::Down]
        .map(|direction| pair::settings(design, names, direction, &wanted.stream, wanted.shards))
}

fn stream_name(context: &Context, number: usize, pair: &Pair) -> Result<String, Report> {
    let subscription = &context.config.subscriptions[number];
    let name = subscription.stream.as_deref().or_else(|| pair.stream());
    name.map(ToOwned::to_owned).ok_or_else(|| {
        let why = "neither alarm of the pair exists, so that nothing names the stream";
        let hint =
            "give the entry under [[streams]] a `name` (and an `alarm_name`) in clients of `alarm`";
        on_stream(context, number, why.to_owned()).hint(hint)
    })
}

/// Finds out the shard count of each stream; what cannot be made a pair for goes to `failures`.
async fn wanted(
    context: &Arc<Context>,
    named: Vec<(usize, String)>,
    shards: Option<u32>,
    failures: &mut Vec<Report>,
) -> Vec<Wanted> {
    let names: BTreeMap<usize, String> = named.into_iter().collect();
    let mut counts = match shards {
        None => subscriptions::summaries(context, &names).await,
        Some(_) => BTreeMap::new(),
    };
    let mut wanted = Vec::new();
    for (number, stream) in names {
        let count = match (shards, counts.remove(&number)) {
            (Some(shards), _) => Ok(shards),
            (None, Some(Ok(summary))) => open_shards(&summary)
                .map_err(|(why, hint)| on_stream(context, number, why).hint(hint)),
            (None, Some(Err(error))) if error.kind == Kind::NotFound => {
                let why = format!("the stream {stream} does not exist");
                let hint = "create the stream first, or give its shard count with `alarms print --shards N`";
                Err(on_stream(context, number, why).hint(hint))
            }
            (None, Some(Err(error))) => Err(call_failed(context, number, error)),
            // `each` gives a result for every number.
            (None, None) => continue,
        };
        let region = region_of(context, number).to_owned();
        match count {
            Ok(shards) => wanted.push(Wanted {
                number,
                stream,
                region,
                shards,
            }),
            Err(failure) => failures.push(failure),
        }
    }
    wanted
}

fn open_shards(summary: &StreamSummary) -> Result<u32, (String, &'static str)> {
    if summary.on_demand {
        let why = "the stream is in on-demand mode, where AWS scales it".to_owned();
        return Err((why, "switch it to provisioned mode, or unsubscribe it"));
    }
    if summary.status != StreamStatus::Active {
        let status = summary.status.name();
        let why = format!("the stream is {status}, and its shard count in flux");
        return Err((why, "try again when it is ACTIVE"));
    }
    Ok(summary.open_shards)
}

fn region_of(context: &Context, number: usize) -> &str {
    subscriptions::region(context, &context.config.subscriptions[number])
}

fn on_stream(context: &Context, number: usize, why: String) -> Report {
    let subscription: &Subscription = &context.config.subscriptions[number];
    let region = region_of(context, number);
    Report::new(OnStream::new(subscription.label(), region, why))
}

fn call_failed(context: &Context, number: usize, error: crate::aws::Error) -> Report {
    let label = context.config.subscriptions[number].label();
    tracing::debug!(stream = label, error = chain(&error), "a call failed");
    subscriptions::failed_call(label, region_of(context, number), error)
}

/// A template with all alarms. Their logical ids are made of letters and digits alone, and stay the same from run to run.
fn cloudformation(alarms: &[Settings]) -> String {
    let mut resources = Map::new();
    for alarm in alarms {
        let id: String = alarm
            .alarm_name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .map(capital)
            .collect();
        let hash = crc32fast::hash(alarm.alarm_name.as_bytes());
        let id = format!(
            "Alarm{}{hash:08x}",
            id.chars().take(200).collect::<String>()
        );
        let resource = json!({"Type": "AWS::CloudWatch::Alarm", "Properties": alarm});
        resources.insert(id, resource);
    }
    let description = "Alarms by which kinesis-autoscaler scales streams";
    pretty(&template(description, resources))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
