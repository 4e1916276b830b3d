//! `alarms print`, and what it shares with `alarms create`: which pairs are to be made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;

use super::{aws_cli, cloudformation, pair, pretty, terraform};
use crate::{
    aws::{self, Kind},
    cli::{self, AlarmsCommand, Format, Output},
    commands::subscriptions::{self, OnStream, Pair},
    config::PairDesign,
    output::{
        self,
        error::{Exit, Failure, Report, chain},
    },
    reconcile::context::Context,
};
use autoscaler_core::{
    alarm::{Direction, Settings},
    facts::{StreamStatus, StreamSummary},
    subscription::{Subscription, SubscriptionId},
};

pub use super::create::create;

/// What a command writes to standard output, and what failed.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    pub failures: Vec<Report>,
}

impl Answer {
    /// Failures that are the same for several streams are combined.
    pub(super) fn new(text: String, failures: Vec<Report>) -> Self {
        let failures = subscriptions::folded(failures);
        Self { text, failures }
    }
}

/// One stream whose pair is to be made.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub id: SubscriptionId,
    pub subscription: &'a Subscription,
    pub stream: String,
    pub region: String,
    pub shards: u32,
}

impl Wanted<'_> {
    /// The alarm of one direction, as it is created.
    pub fn settings(&self, design: &PairDesign, direction: Direction) -> Settings {
        let stream = pair::Stream::of(self.subscription, &self.stream, self.shards);
        pair::settings(design, &self.subscription.alarms, direction, &stream)
    }
}

/// The streams of the chosen subscriptions with their existing alarms, and what failed.
pub(super) struct Chosen<'a> {
    pub wanted: Vec<Wanted<'a>>,
    pub existing: BTreeMap<SubscriptionId, Pair>,
    pub failures: Vec<Report>,
}

/// The configured design with the options of the command line applied.
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

/// Runs the subcommand.
pub async fn run(
    context: &Arc<Context>,
    command: &AlarmsCommand,
    output: Output,
) -> Result<Exit, Failure> {
    let answer = match command {
        AlarmsCommand::Print {
            streams,
            shards,
            format,
            design,
        } => print(context, &streams.names, *shards, *format, design, output).await?,
        AlarmsCommand::Create {
            streams,
            replace,
            design,
        } => {
            let width = output::terminal_width();
            create(context, &streams.names, *replace, design, output, width).await?
        }
    };
    output::print(&answer.text)?;
    if answer.failures.is_empty() {
        return Ok(Exit::Done);
    }
    let failure = Failure {
        exit: Exit::Failed,
        reports: answer.failures,
    };
    // Standard output has the data already.
    match answer.text.is_empty() {
        true => Err(failure),
        false => {
            failure.print();
            Ok(failure.exit)
        }
    }
}

/// The pairs as text. With `shards`, AWS is only asked for what the configuration does not say.
pub async fn print(
    context: &Arc<Context>,
    streams: &[String],
    shards: Option<u32>,
    format: Format,
    given: &cli::Design,
    output: Output,
) -> Result<Answer, Failure> {
    let design = design(&context.config.alarms, given)?;
    let ids = subscriptions::select(context, streams).await?;
    let named = |id: &SubscriptionId| context.subscription(*id).stream.is_some();
    let unnamed: Vec<SubscriptionId> = ids.iter().copied().filter(|it| !named(it)).collect();
    let mut pairs = subscriptions::pairs(context, &unnamed, |_| ()).await;
    // A subscription that names its stream needs no alarm read.
    for id in ids {
        pairs.entry(id).or_insert_with(|| Ok(Pair::default()));
    }
    let Chosen {
        wanted, failures, ..
    } = chosen(context, pairs, shards).await;
    let regions: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.region.as_str()).collect();
    if regions.len() > 1 && format != Format::Cli {
        let regions = regions.into_iter().collect::<Vec<_>>().join(", ");
        tracing::warn!(
            regions,
            "the alarms belong to several Regions; --stream picks those of one"
        );
    }
    let alarms: Vec<(&str, Settings)> = wanted
        .iter()
        .flat_map(|wanted| {
            let of = |direction| wanted.settings(&design, direction);
            [Direction::Up, Direction::Down].map(|it| (wanted.region.as_str(), of(it)))
        })
        .collect();
    let text = render(&alarms, format, output);
    Ok(Answer::new(text, failures))
}

fn render(alarms: &[(&str, Settings)], format: Format, output: Output) -> String {
    let settings: Vec<Settings> = alarms.iter().map(|(_, alarm)| alarm.clone()).collect();
    match (format, output) {
        _ if alarms.is_empty() => String::new(),
        (Format::Cloudformation, _) => cloudformation::alarms(&settings),
        (Format::Terraform, _) => terraform::alarms(&settings),
        (Format::Cli, _) => aws_cli::alarms(alarms.iter().map(|(region, it)| (*region, it))),
        (Format::Json, Output::Json) => pretty(&json!(settings)),
        (Format::Json, _) => settings
            .iter()
            .map(|alarm| json!(alarm).to_string() + "\n")
            .collect(),
    }
}

/// Determines stream and shard count of each subscription whose pair was read.
pub(super) async fn chosen(
    context: &Arc<Context>,
    pairs: BTreeMap<SubscriptionId, Result<Pair, aws::Error>>,
    shards: Option<u32>,
) -> Chosen<'_> {
    let (mut named, mut existing) = (Vec::new(), BTreeMap::new());
    let mut failures = Vec::new();
    for (id, pair) in pairs {
        let pair = pair.map_err(|error| call_failed(context, id, error));
        match pair.and_then(|pair| Ok((stream_name(context, id, &pair)?, pair))) {
            Ok((stream, pair)) => {
                named.push((id, stream));
                existing.insert(id, pair);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let wanted = wanted(context, named, shards, &mut failures).await;
    Chosen {
        wanted,
        existing,
        failures,
    }
}

fn stream_name(context: &Context, id: SubscriptionId, pair: &Pair) -> Result<String, Report> {
    let subscription = context.subscription(id);
    if let Err(conflict) = subscription.conflict() {
        return Err(on_stream(context, id, conflict.to_string()).hint(conflict.hint()));
    }
    let name = subscription.stream.as_deref().or_else(|| pair.stream());
    name.map(ToOwned::to_owned).ok_or_else(|| {
        let why = "neither alarm of the pair exists, so that nothing names the stream";
        let hint =
            "give the entry under [[streams]] a `name` (and an `alarm_name`) in place of `alarm`";
        on_stream(context, id, why.to_owned()).hint(hint)
    })
}

/// Determines the shard count of each stream. Streams for which no pair can be made are added to
/// `failures`.
async fn wanted<'a>(
    context: &'a Arc<Context>,
    named: Vec<(SubscriptionId, String)>,
    shards: Option<u32>,
    failures: &mut Vec<Report>,
) -> Vec<Wanted<'a>> {
    let names: BTreeMap<SubscriptionId, String> = named.into_iter().collect();
    let mut counts = match shards {
        None => subscriptions::summaries(context, &names).await,
        Some(_) => BTreeMap::new(),
    };
    let mut wanted = Vec::new();
    for (id, stream) in names {
        let count = match (shards, counts.remove(&id)) {
            (Some(shards), _) => Ok(shards),
            (None, Some(Ok(summary))) => {
                open_shards(&summary).map_err(|(why, hint)| on_stream(context, id, why).hint(hint))
            }
            (None, Some(Err(error))) if error.kind == Kind::NotFound => {
                let why = format!("the stream {stream} does not exist");
                let hint = "create the stream first, or give its shard count with `alarms print --shards N`";
                Err(on_stream(context, id, why).hint(hint))
            }
            (None, Some(Err(error))) => Err(call_failed(context, id, error)),
            // `each` returns a result for every subscription.
            (None, None) => continue,
        };
        let region = region_of(context, id).to_owned();
        match count {
            Ok(shards) => wanted.push(Wanted {
                id,
                subscription: context.subscription(id),
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
        let why = format!("the stream is {status}, and its shard count is not stable yet");
        return Err((why, "try again when it is ACTIVE"));
    }
    Ok(summary.open_shards)
}

fn region_of(context: &Context, id: SubscriptionId) -> &str {
    subscriptions::region(context, context.subscription(id))
}

fn on_stream(context: &Context, id: SubscriptionId, why: String) -> Report {
    let subscription: &Subscription = context.subscription(id);
    let region = region_of(context, id);
    Report::new(OnStream::new(subscription.label(), region, why))
}

pub(super) fn call_failed(context: &Context, id: SubscriptionId, error: aws::Error) -> Report {
    let label = context.subscription(id).label();
    tracing::debug!(stream = label, error = chain(&error), "a call failed");
    subscriptions::failed_call(label, region_of(context, id), error)
}
