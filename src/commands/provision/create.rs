//! `alarms create`: creates the alarms that are missing, and with `--replace` brings existing ones
//! up to date.

use std::sync::Arc;

use autoscaler_core::{
    alarm::{Direction, Settings, actions_after_rewrite},
    priority::Priority,
};
use serde::Serialize;
use serde_json::json;

use super::{
    alarms::{Answer, Chosen, Wanted, call_failed, chosen, design},
    pair, pretty,
};
use crate::{
    aws::{self, Definition},
    cli::{self, Output},
    commands::subscriptions::{self, Pair},
    config::PairDesign,
    output::{error::Failure, progress::Progress, table},
    reconcile::context::Context,
};

/// The result for one alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Made {
    alarm: String,
    stream: String,
    region: String,
    shards: u32,
    /// `created`, `replaced`, `exists`, and in a dry run `would_create` or `would_replace`.
    result: &'static str,
}

/// Creates the alarms that are missing, and with `replace` brings those that exist up to date.
pub async fn create(
    context: &Arc<Context>,
    streams: &[String],
    replace: bool,
    given: &cli::Design,
    output: Output,
    width: Option<u16>,
) -> Result<Answer, Failure> {
    let design = design(&context.config.alarms, given)?;
    let ids = subscriptions::select(context, streams).await?;
    let pairs = subscriptions::pairs(context, &ids, |_| ()).await;
    let Chosen {
        wanted,
        mut existing,
        mut failures,
    } = chosen(context, pairs, None).await;
    let progress = Progress::new(wanted.len(), "pairs");
    let mut made = Vec::new();
    for wanted in &wanted {
        // Every wanted stream has an entry.
        let Pair { up, down } = existing.remove(&wanted.id).unwrap_or_default();
        for (direction, existing) in [(Direction::Up, up), (Direction::Down, down)] {
            let plan = Plan::new(wanted, direction, existing, replace, (&design, given));
            match plan.carry_out(context, wanted).await {
                Ok(result) => made.push(Made {
                    alarm: wanted.subscription.alarms.of(direction).to_owned(),
                    stream: wanted.stream.clone(),
                    region: wanted.region.clone(),
                    shards: wanted.shards,
                    result,
                }),
                Err(error) => failures.push(call_failed(context, wanted.id, error)),
            }
        }
        progress.advance(1);
    }
    progress.end();
    let text = match output {
        Output::Json => pretty(&json!({"dry_run": context.dry_run, "alarms": made})),
        _ => table_of(&made, width),
    };
    Ok(Answer::new(text, failures))
}

/// What is to be done about one alarm.
enum Plan {
    /// It exists and is kept unchanged.
    Keep,
    Create(Settings),
    Replace(Box<Definition>, Settings),
}

impl Plan {
    fn new(
        wanted: &Wanted<'_>,
        direction: Direction,
        existing: Option<Definition>,
        replace: bool,
        (design, given): (&PairDesign, &cli::Design),
    ) -> Self {
        match existing {
            None => Self::Create(wanted.settings(design, direction)),
            Some(_) if !replace => Self::Keep,
            Some(existing) => {
                let settings = revised(wanted, direction, &existing, (design, given));
                Self::Replace(Box::new(existing), settings)
            }
        }
    }

    /// Carries it out, unless this is a dry run; returns the code of the result.
    async fn carry_out(
        self,
        context: &Context,
        wanted: &Wanted<'_>,
    ) -> Result<&'static str, aws::Error> {
        let cloudwatch = &context.aws.clients(&wanted.subscription.account).cloudwatch;
        Ok(match (self, context.dry_run) {
            (Self::Keep, _) => "exists",
            (Self::Create(_), true) => "would_create",
            (Self::Replace(..), true) => "would_replace",
            (Self::Create(settings), false) => {
                cloudwatch.put(&settings, Priority::AUDIT).await?;
                "created"
            }
            (Self::Replace(existing, settings), false) => {
                let revised = cloudwatch.revise(&existing, &settings, Priority::AUDIT);
                revised.await?;
                "replaced"
            }
        })
    }
}

/// The existing alarm with the queries and the comparison of a new one, and the numbers that were
/// `given`.
///
/// Thresholds, windows, actions and descriptions that a person chose are kept, and so are disabled
/// actions.
fn revised(
    wanted: &Wanted<'_>,
    direction: Direction,
    existing: &Definition,
    (design, given): (&PairDesign, &cli::Design),
) -> Settings {
    let mut settings = existing.settings();
    let fresh = wanted.settings(design, direction);
    let (threshold, periods) = match direction {
        Direction::Up => (given.up_threshold, given.up_periods),
        Direction::Down => (given.down_threshold, given.down_periods),
    };
    settings.threshold = threshold.or(settings.threshold).or(fresh.threshold);
    if let Some(periods) = periods {
        settings.evaluation_periods = periods;
        settings.datapoints_to_alarm = Some(periods);
    }
    let period = given.period_seconds.or(settings.period_seconds());
    let period = period
        .or(fresh.period_seconds())
        .unwrap_or(design.period_seconds);
    let stream = pair::Stream::of(wanted.subscription, &wanted.stream, wanted.shards);
    settings.metrics = pair::queries(design.throttle_share, &stream, period);
    settings.comparison_operator = fresh.comparison_operator;
    settings.actions_enabled = actions_after_rewrite(&existing.alarm, direction, wanted.shards);
    settings
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
        n => {
            format!("\n{n} of them exist and stay as they are; --replace brings them up to date\n")
        }
    };
    format!("{table}{advice}")
}
