//! `backtest`: what each policy and each mode of AWS would have cost and rejected on a stream's own
//! demand.

mod advice;
mod args;
mod candidates;
mod demand;
mod foresight;
mod history;
mod picture;
mod plot;
mod pool;
mod render;
mod replay;
mod score;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use autoscaler_core::glob::is_pattern;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

pub use self::{
    args::Backtest,
    score::{Row, Scaled},
};
use self::{
    args::Model,
    demand::Demand,
    history::{Bill, History, Source},
    pool::Pool,
    score::{Outcome, Plan},
};
use crate::{
    cli::Output,
    commands::{
        consent::{Consent, say},
        subscriptions::{self, failed_call},
    },
    config::{Config, Prices},
    output::{
        error::{Exit, Failure, Report},
        print,
        table::counted,
        terminal_width,
    },
    reconcile::context::Context,
};

/// What CloudWatch may cost without being asked about, in dollars.
const ASK_FROM: f64 = 1.0;

/// One stream with all that its replays need.
#[derive(Debug)]
struct Subject {
    demand: Arc<Demand>,
    start_shards: u32,
    /// The stream as the configuration subscribes it.
    configured: Option<Config>,
    /// The stream's own alarms, where they were read.
    alarms: Option<Vec<Value>>,
    model: Model,
    prices: Prices,
    notes: Vec<String>,
}

/// The result of a backtest of one stream.
#[derive(Debug)]
struct Backtested {
    subject: Subject,
    outcomes: Vec<Outcome>,
    /// How many rows were not computed because a signal ended the run.
    missing: usize,
}

/// A result without its demand, which is no longer needed.
#[derive(Debug)]
pub struct Finished {
    pub stream: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub start_shards: u32,
    pub rows: Vec<Row>,
    pub advice: String,
    /// Remarks about this stream, and the model that the whole run assumes.
    pub notes: Vec<String>,
    pub model: Vec<String>,
    /// Only for terminals.
    plot: String,
    /// Rows that a signal has kept from being computed.
    pub missing: usize,
}

/// Replays the demand in a file.
///
/// # Errors
/// Where the demand or a variant is wrong, or the result cannot be written.
pub async fn run_file(
    file: &Path,
    args: &Backtest,
    config: Config,
    subscribed: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let demand = demand::read_csv(file, stream_name(args, file)?, args.model.tries)?;
    let start_shards = args
        .shards
        .unwrap_or_else(|| first_guess(&demand, args.model.skew()));
    let own = |config: &Config| candidates::one_stream(config, &demand.stream);
    let subject = Subject {
        configured: subscribed.then(|| own(&config)).flatten(),
        alarms: None,
        start_shards,
        demand: Arc::new(demand),
        model: args.model.clone(),
        prices: config.prices,
        notes: Vec::new(),
    };
    let candidates = args.candidates(subject.configured.is_some());
    let pool = Pool::new(subject.demand.days() * candidates);
    let replay = backtest(subject, args, &pool, args.svg.clone());
    tokio::pin!(replay);
    let finished = tokio::select! {
        finished = &mut replay => finished?,
        // It returns with the rows that are ready.
        () = pool.stop_at_signal() => replay.await?,
    };
    conclude(vec![finished], Vec::new(), output)
}

/// Replays the demand that CloudWatch has of the chosen streams.
///
/// # Errors
/// Where nobody agrees to the costs, a variant is wrong, or no stream could be replayed.
pub async fn run_history(
    context: &Arc<Context>,
    args: &Backtest,
    output: Output,
    consent: Consent,
) -> Result<Exit, Failure> {
    let (finished, failed) = replay_history(context, args, consent).await?;
    conclude(finished, failed, output)
}

/// The same without printing: what is finished, and a report of each stream that could not be
/// replayed.
///
/// # Errors
/// Where nobody agrees to the costs, or a stream is not known.
pub async fn replay_history(
    context: &Arc<Context>,
    args: &Backtest,
    consent: Consent,
) -> Result<(Vec<Finished>, Vec<Report>), Failure> {
    let (sources, mut failed) = sources(context, args).await?;
    let bill = Bill::of(args, sources.len(), &context.config.prices);
    if !sources.is_empty() {
        say(&bill.text(args));
        agree(&bill, consent)?;
    }
    let pool = Pool::new(args.days as usize * args.candidates(true) * sources.len());
    let mut waiting = sources.into_iter().enumerate();
    let (mut tasks, mut finished) = (JoinSet::new(), BTreeMap::new());
    let several = waiting.len() > 1;
    let signal = pool.stop_at_signal();
    tokio::pin!(signal);
    loop {
        // As many histories are in memory as there are cores.
        while tasks.len() < pool.threads()
            && !pool.stopped()
            && let Some((number, source)) = waiting.next()
        {
            let (context, args, pool) = (context.clone(), args.clone(), pool.clone());
            tasks.spawn(async move {
                (
                    number,
                    one_of_many(&context, &source, &args, &pool, several).await,
                )
            });
        }
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(Ok((number, Ok(one)))) => drop(finished.insert(number, one)),
                Some(Ok((_, Err(failure)))) => failed.extend(failure.reports),
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            },
            () = &mut signal, if !pool.stopped() => {}
        }
    }
    if waiting.len() > 0 {
        let streams = counted(waiting.len(), "stream");
        failed.push(Report::new(format!(
            "interrupted before {streams} could be replayed"
        )));
    }
    Ok((finished.into_values().collect(), failed))
}

async fn one_of_many(
    context: &Context,
    source: &Source,
    args: &Backtest,
    pool: &Pool,
    several: bool,
) -> Result<Finished, Failure> {
    let replays = args.candidates(true);
    let history = history::read(context, source, args).await;
    let history = history.map_err(|report| {
        pool.skip(args.days as usize * replays);
        Failure::new(Exit::Failed, report)
    })?;
    // A stream may be younger.
    let missing = (args.days as usize).saturating_sub(history.demand.days());
    pool.skip(missing * replays);
    let subject = Subject::of(context, source, args, history);
    let svg = args.svg.as_ref().map(|path| match several {
        true => of_stream(path, &source.name),
        false => path.clone(),
    });
    backtest(subject, args, pool, svg).await
}

impl Subject {
    fn of(context: &Context, source: &Source, args: &Backtest, history: History) -> Self {
        let History {
            demand,
            alarms,
            shards,
            skew,
            mut notes,
        } = history;
        let mut model = args.model.clone();
        if let (None, Some(skew)) = (model.skew, skew) {
            model.skew = Some(skew.ratio);
            notes.push(format!(
                "That load of the busiest shard is an estimate: in {} periods records were rejected \
                 although the shards were not full. --skew sets another.",
                skew.periods
            ));
        }
        let shards = args.shards.or(shards);
        Self {
            configured: Some(Config {
                subscriptions: vec![source.subscription.clone()],
                patterns: Vec::new(),
                ..(*context.config).clone()
            }),
            alarms,
            start_shards: shards.unwrap_or_else(|| first_guess(&demand, model.skew())),
            demand: Arc::new(demand),
            model,
            prices: context.config.prices.clone(),
            notes,
        }
    }
}

/// The chosen streams that exist, and a report of each that does not.
async fn sources(
    context: &Context,
    args: &Backtest,
) -> Result<(Vec<Source>, Vec<Report>), Failure> {
    let chosen = subscriptions::select(context, &args.streams.names).await?;
    let pairs = subscriptions::pairs(context, &chosen, |_| ()).await;
    let unlisted = context.roster.unlisted.iter();
    let unlisted = unlisted.map(|(account, error)| {
        let region = &context.aws.clients(account).region;
        failed_call("the streams of patterns", region, error.clone())
    });
    let (mut named, mut failed) = (BTreeMap::new(), unlisted.collect::<Vec<_>>());
    for (id, pair) in &pairs {
        let subscription = context.subscription(*id);
        let region = subscriptions::region(context, subscription);
        let name = subscription.stream.clone();
        match pair {
            Err(error) => failed.push(failed_call(subscription.label(), region, error.clone())),
            Ok(pair) => named.extend(
                name.or_else(|| pair.stream().map(str::to_owned))
                    .map(|name| (*id, name)),
            ),
        }
    }
    let summaries = subscriptions::summaries(context, &named).await;
    let mut sources = Vec::new();
    for (id, summary) in summaries {
        let subscription = context.subscription(id);
        let name = named.remove(&id).unwrap_or_default();
        match summary {
            Ok(summary) => sources.push(Source {
                subscription: subscription.clone(),
                pair: pairs
                    .get(&id)
                    .and_then(|it| it.as_ref().ok())
                    .cloned()
                    .unwrap_or_default(),
                name,
                summary,
            }),
            Err(error) => {
                let region = subscriptions::region(context, subscription);
                failed.push(failed_call(&name, region, error));
            }
        }
    }
    Ok((sources, failed))
}

/// Asks before a reading that costs more than a dollar.
fn agree(bill: &Bill, consent: Consent) -> Result<(), Failure> {
    if bill.dollars <= ASK_FROM {
        return Ok(());
    }
    let costs = format!("CloudWatch would charge about ${:.2}", bill.dollars);
    let hint = "add --yes to read the metrics all the same, or choose fewer streams with --stream";
    let impossible =
        || Report::new(format!("{costs}, and there is no terminal to ask on")).hint(hint);
    match consent.confirm(&format!("{costs}. Go on?"), impossible)? {
        true => Ok(()),
        false => {
            let report = Report::new("nothing was read").hint(hint);
            Err(Failure::new(Exit::Failed, report))
        }
    }
}

/// Prints what is finished, and then what failed.
fn conclude(
    finished: Vec<Finished>,
    mut failed: Vec<Report>,
    output: Output,
) -> Result<Exit, Failure> {
    let missing: usize = finished.iter().map(|it| it.missing).sum();
    if missing > 0 {
        let rows = counted(missing, "row");
        failed.push(Report::new(format!(
            "interrupted before {rows} could be computed"
        )));
    }
    let complete = failed.is_empty();
    if !finished.is_empty() {
        print(&match output {
            Output::Json => render::json(&finished),
            Output::Csv => render::csv(&finished),
            Output::Text => render::text(&finished, terminal_width()),
        })?;
    }
    let failure = Failure {
        exit: Exit::Failed,
        reports: subscriptions::folded(failed),
    };
    match (complete, finished.is_empty()) {
        (true, false) => Ok(Exit::Done),
        (true, true) => Err(Failure::new(
            Exit::Failed,
            Report::new("there is no stream to replay"),
        )),
        (false, true) => Err(failure),
        (false, false) => {
            failure.print();
            Ok(Exit::Failed)
        }
    }
}

/// The name that was given, otherwise the name of the file.
fn stream_name(args: &Backtest, file: &Path) -> Result<String, Failure> {
    let wrong = |names: String| {
        let text = format!("--demand has the demand of one stream, and --stream {names}");
        let hint = "give the name of that stream, or leave out --stream";
        Failure::new(Exit::Usage, Report::new(text).hint(hint))
    };
    let given = match args.streams.names.as_slice() {
        [] => None,
        [one] if is_pattern(one) => return Err(wrong(format!("{one} is a pattern"))),
        [one] => Some(one.clone()),
        _ => return Err(wrong("names several".to_owned())),
    };
    let stem = || {
        file.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let name = given.or_else(stem).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let name = name.chars().map(|c| if allowed(c) { c } else { '-' });
    Ok(name.take(128).collect())
}

/// `pictures/backtest.svg` as `pictures/backtest-orders.svg`.
fn of_stream(path: &Path, stream: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{stream}.{extension}"))
}

/// The first day's peak at half of the capacity.
fn first_guess(demand: &Demand, skew: f64) -> u32 {
    let day = (0..demand::WARM_UP_MINUTES).map(|minute| demand.at(minute));
    let peak = day.map(|load| score::needed(load.times(2.0), skew)).max();
    peak.unwrap_or(1).min(autoscaler_core::limits::MAX_SHARDS)
}

/// Replays every candidate, and draws the result.
async fn backtest(
    subject: Subject,
    args: &Backtest,
    pool: &Pool,
    svg: Option<PathBuf>,
) -> Result<Finished, Failure> {
    let candidates = candidates::all(args, &subject)?;
    let plans = candidates.iter().map(|candidate| {
        let (candidate, demand) = (candidate.clone(), subject.demand.clone());
        let model = subject.model.clone();
        let days = demand.days();
        pool.run(days, move |goes_on| {
            replay::run(&candidate, &demand, &model, goes_on)
        })
    });
    // All are queued before the first is awaited.
    let plans: Vec<_> = plans.collect();
    let (mut outcomes, mut missing) = (Vec::new(), 0);
    for (candidate, plan) in candidates.iter().zip(plans) {
        match plan.await.transpose() {
            None => missing += 1,
            Some(Err(error)) => {
                let text = format!("the replay of {} failed: {error}", candidate.name);
                return Err(Failure::new(Exit::Failed, Report::new(text)));
            }
            Some(Ok(plan)) => outcomes.push(score::provisioned(
                &candidate.name,
                &subject.demand,
                plan,
                &subject.model,
                &subject.prices,
            )),
        }
    }
    outcomes.extend(bounds(&subject));
    let result = Backtested {
        subject,
        outcomes,
        missing,
    };
    if let Some(path) = svg {
        write_svg(&path, &result)?;
    }
    Ok(result.finished())
}

impl Backtested {
    fn finished(self) -> Finished {
        let demand = &self.subject.demand;
        Finished {
            stream: demand.stream.clone(),
            from: demand.start,
            to: demand.time(demand.minutes.len()),
            start_shards: self.subject.start_shards,
            advice: advice::advice(&self),
            notes: advice::notes(&self.subject),
            model: advice::model(&self.subject),
            plot: terminal_width().map_or_else(String::new, |width| {
                plot::text(&self, render::columns(Some(width)))
            }),
            missing: self.missing,
            rows: self.outcomes.into_iter().map(|it| it.row).collect(),
        }
    }
}

/// The rows that put the others into proportion.
fn bounds(subject: &Subject) -> Vec<Outcome> {
    let Subject {
        demand,
        model,
        prices,
        ..
    } = subject;
    let minutes = demand.minutes.len();
    let needs = (0..minutes).map(|minute| score::needed(demand.at(minute), model.skew()));
    let held = Plan::constant(needs.max().unwrap_or(1), minutes);
    let known = foresight::plan(demand, model.skew());
    let standard = [
        prices.stream_hour,
        prices.standard_gb_in,
        prices.standard_gb_out,
    ];
    let advantage = [0.0, prices.advantage_gb_in, prices.advantage_gb_out];
    vec![
        score::provisioned("held_at_peak", demand, held, model, prices),
        score::provisioned("foresight", demand, known, model, prices),
        score::on_demand("on_demand_standard", demand, model, standard),
        score::on_demand("on_demand_advantage", demand, model, advantage),
    ]
}

fn write_svg(path: &Path, result: &Backtested) -> Result<(), Failure> {
    std::fs::write(path, picture::svg(result)).map_err(|error| {
        let report = Report::new(format!("{}: {error}", path.display()));
        Failure::new(
            Exit::Failed,
            report.hint("--svg names a file that can be written"),
        )
    })
}
