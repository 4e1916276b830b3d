//! `backtest`: what each policy and each mode of AWS would have cost and rejected on a stream's own
//! demand.

mod advice;
mod args;
mod candidates;
mod demand;
mod foresight;
mod picture;
mod plot;
mod render;
mod replay;
mod score;

use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;

pub use self::args::Backtest;
use self::{
    args::{Model, Prices},
    demand::Demand,
    replay::Candidate,
    score::{Outcome, Plan},
};
use crate::{
    cli::Output,
    config::Config,
    output::{
        error::{Exit, Failure, Report},
        print,
        progress::Progress,
        terminal_width,
    },
};

/// What a backtest of one stream came to.
#[derive(Debug)]
pub struct Backtested {
    demand: Arc<Demand>,
    start_shards: u32,
    outcomes: Vec<Outcome>,
    model: Model,
    prices: Prices,
    /// Rows that a signal has kept from being computed.
    missing: usize,
}

/// Runs every candidate over the demand, and prints what they came to.
///
/// # Errors
/// Where the demand or a variant is wrong, or the result cannot be written.
pub async fn run(args: &Backtest, config: Option<Config>, output: Output) -> Result<Exit, Failure> {
    let Some(file) = &args.demand else {
        let report = Report::new("backtest needs a file with the demand on the stream")
            .hint("give a CSV file with the columns time,bytes,records: --demand FILE.csv");
        return Err(Failure::new(Exit::Usage, report));
    };
    let demand = demand::read_csv(file, stream_name(args, file), args.model.tries)?;
    let start_shards = args
        .shards
        .unwrap_or_else(|| first_guess(&demand, args.model.skew));
    let candidates = candidates::all(args, config.as_ref(), &demand, start_shards)?;
    let result = backtest(Arc::new(demand), start_shards, candidates, args).await?;
    if let Some(path) = &args.svg {
        write_svg(path, &result)?;
    }
    print(&match output {
        Output::Json => render::json(std::slice::from_ref(&result)),
        Output::Csv => render::csv(std::slice::from_ref(&result)),
        Output::Text => render::text(&result, terminal_width()),
    })?;
    Ok(match result.missing {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

/// As it was given, else as the file is called.
fn stream_name(args: &Backtest, file: &Path) -> String {
    let stem = || {
        file.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let name = args.stream.clone().or_else(stem).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(128)
        .collect()
}

/// The first day's peak at half of the capacity.
fn first_guess(demand: &Demand, skew: f64) -> u32 {
    let day = (0..demand::WARM_UP_MINUTES).map(|minute| demand.at(minute));
    let peak = day.map(|load| score::needed(load.times(2.0), skew)).max();
    peak.unwrap_or(1).min(autoscaler_core::limits::MAX_SHARDS)
}

/// Runs the candidates on threads of their own, as many at a time as there are cores, until all are
/// done or a signal comes.
async fn backtest(
    demand: Arc<Demand>,
    start_shards: u32,
    candidates: Vec<Candidate>,
    args: &Backtest,
) -> Result<Backtested, Failure> {
    let progress = Progress::steps(candidates.len());
    let mut replayed: Vec<Option<Result<Plan, String>>> = vec![None; candidates.len()];
    let mut plans = spawn(&demand, &candidates, &args.model);
    loop {
        let done = replayed.iter().flatten().count();
        progress.say(format!("{done} of {} candidates", candidates.len()));
        tokio::select! {
            plan = plans.recv() => match plan {
                Some((number, plan)) => replayed[number] = Some(plan),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        progress.advance(1);
    }
    progress.end();
    let missing = replayed.iter().filter(|plan| plan.is_none()).count();
    let (model, prices) = (args.model.clone(), args.prices);
    let mut outcomes = Vec::new();
    for (candidate, plan) in candidates.iter().zip(replayed) {
        if let Some(plan) = plan {
            let plan = plan.map_err(|error| {
                let text = format!("the replay of {} failed: {error}", candidate.name);
                Failure::new(Exit::Failed, Report::new(text))
            })?;
            outcomes.push(score::provisioned(
                &candidate.name,
                &demand,
                plan,
                &model,
                &prices,
            ));
        }
    }
    outcomes.extend(bounds(&demand, &model, &prices));
    Ok(Backtested {
        demand,
        start_shards,
        outcomes,
        model,
        prices,
        missing,
    })
}

/// Starts the replays; each result comes with the number of its candidate.
fn spawn(
    demand: &Arc<Demand>,
    candidates: &[Candidate],
    model: &Model,
) -> mpsc::UnboundedReceiver<(usize, Result<Plan, String>)> {
    let (to, plans) = mpsc::unbounded_channel();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work: Vec<(usize, Candidate)> = candidates.iter().cloned().enumerate().collect();
    let work = Arc::new(std::sync::Mutex::new(work.into_iter()));
    for _ in 0..cores.min(candidates.len()) {
        let (work, to) = (work.clone(), to.clone());
        let (demand, model) = (demand.clone(), model.clone());
        // Detached: after a signal the process ends with what is done.
        std::thread::spawn(move || {
            let next = || work.lock().ok()?.next();
            while let Some((number, candidate)) = next() {
                let plan = replay::run(&candidate, &demand, &model);
                if to.send((number, plan)).is_err() {
                    break;
                }
            }
        });
    }
    plans
}

/// The rows that put the others into proportion.
fn bounds(demand: &Demand, model: &Model, prices: &Prices) -> Vec<Outcome> {
    let minutes = demand.minutes.len();
    let needs = (0..minutes).map(|minute| score::needed(demand.at(minute), model.skew));
    let held = Plan::constant(needs.max().unwrap_or(1), minutes);
    let known = foresight::plan(demand, model.skew);
    let standard = [prices.stream_hour, prices.standard_in, prices.standard_out];
    let advantage = [0.0, prices.advantage_in, prices.advantage_out];
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
