//! `pause` and `resume`: a person keeps the autoscaler from scaling, for a time.

use std::{collections::BTreeMap, sync::Arc};

use autoscaler_core::{
    constraints::Hold,
    datetime::after,
    glob,
    pause::{Pause, Paused},
    subscription::SubscriptionId,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    cli::{self, Output},
    commands::{
        history,
        subscriptions::{self, Pair, failed_call},
    },
    output::{
        self,
        error::{Exit, Failure, Report},
    },
    reconcile::{context::Context, tick::forget_pauses},
};

/// Who runs this command, as far as the environment shows.
pub fn user() -> Option<String> {
    let mut names = ["SUDO_USER", "USER", "LOGNAME"].iter();
    names.find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

/// Pauses streams, each in place of an earlier pause.
pub async fn pause(
    context: &Arc<Context>,
    args: &cli::Pause,
    output: Output,
) -> Result<Exit, Failure> {
    let now = context.clock.now();
    let length = SignedDuration::try_from(args.length).unwrap_or(SignedDuration::MAX);
    let of = |of| Pause {
        of,
        hold: args.direction.hold(),
        owner: user().unwrap_or_else(|| "an unknown user".to_owned()),
        reason: args.reason.trim().to_owned(),
        since: now,
        until: after(now, length),
    };
    let paused = match &args.streams.stream {
        None => vec![Paused::All],
        Some(stream) => streams(context, stream, args.streams.region.as_deref()).await?,
    };
    let pauses: Vec<Pause> = paused.into_iter().map(of).collect();
    for pause in pauses.iter().filter(|_| !context.dry_run) {
        let written = context.scaling_log.pause(pause).await;
        written.map_err(|error| unwritten("the pause cannot be written", error))?;
    }
    if !context.dry_run {
        forget_pauses(&context.config.state_dir);
    }
    let lines = pauses
        .iter()
        .map(|pause| format!("{}; `{}` ends it sooner\n", sentence(pause), pause.resume()));
    say(context, output, "paused", &pauses, lines.collect())
}

/// Ends the pause of a stream, or every pause.
pub async fn resume(
    context: &Arc<Context>,
    args: &cli::Resume,
    output: Output,
) -> Result<Exit, Failure> {
    let pauses = context.scaling_log.pauses(context.clock.now()).await;
    let pauses = pauses.map_err(|error| unwritten("the pauses cannot be read", error))?;
    let region = args.streams.region.as_deref();
    let meant = |pause: &&Pause| match (&args.streams.stream, &pause.of) {
        (None, _) => true,
        (Some(_), Paused::All) => false,
        (Some(stream), Paused::Stream { name, arn }) => {
            let there = region.is_none_or(|region| history::region(arn) == Some(region));
            there && (name == stream || glob::matches(stream, name))
        }
    };
    let ended: Vec<Pause> = pauses.iter().filter(meant).cloned().collect();
    if let (Some(stream), true) = (&args.streams.stream, ended.is_empty()) {
        // A name that no subscription has is a mistake, unless it is that of a pause.
        subscriptions::select(context, std::slice::from_ref(stream)).await?;
    }
    for pause in ended.iter().filter(|_| !context.dry_run) {
        let written = context.scaling_log.resume(&pause.of).await;
        written.map_err(|error| unwritten("the pause cannot be ended", error))?;
    }
    if !context.dry_run {
        forget_pauses(&context.config.state_dir);
    }
    let mut lines: String = ended
        .iter()
        .map(|pause| format!("ended: {}\n", sentence(pause)))
        .collect();
    if ended.is_empty() {
        lines = match &args.streams.stream {
            Some(stream) => format!("{stream} has no pause of its own\n"),
            None => "nothing is paused\n".to_owned(),
        };
    }
    let of_all = |pause: &&Pause| pause.of == Paused::All;
    if let (Some(_), Some(all)) = (&args.streams.stream, pauses.iter().find(of_all)) {
        lines += &format!("{}; `{}` ends that\n", sentence(all), all.resume());
    }
    say(context, output, "resumed", &ended, lines)
}

/// One line for people: `orders (eu-west-1): the stream is paused until …`.
pub fn sentence(pause: &Pause) -> String {
    match &pause.of {
        Paused::All => pause.to_string(),
        Paused::Stream { name, arn } => {
            let region = history::region(arn).unwrap_or("?");
            format!("{name} ({region}): {pause}")
        }
    }
}

/// A pause as scripts read it: the names are a promise to them.
pub fn json(pause: &Pause) -> Value {
    let (stream, region) = match &pause.of {
        Paused::All => (None, None),
        Paused::Stream { name, arn } => (Some(name), history::region(arn)),
    };
    json!({
        "stream": stream,
        "region": region,
        "direction": pause.hold.code(),
        "owner": pause.owner,
        "reason": pause.reason,
        "since": pause.since,
        "until": pause.until,
    })
}

fn say(
    context: &Context,
    output: Output,
    done: &str,
    pauses: &[Pause],
    mut text: String,
) -> Result<Exit, Failure> {
    if context.dry_run {
        text += "dry run, nothing was changed\n";
    }
    let pauses: Vec<Value> = pauses.iter().map(json).collect();
    output::print(&match output {
        Output::Json => json!({"dry_run": context.dry_run, done: pauses}).to_string() + "\n",
        _ => text,
    })?;
    Ok(Exit::Done)
}

/// The streams that are meant, with their ARNs, which tell them from others of the same name.
async fn streams(
    context: &Context,
    stream: &str,
    region: Option<&str>,
) -> Result<Vec<Paused>, Failure> {
    let mut ids = subscriptions::select(context, &[stream.to_owned()]).await?;
    ids.retain(|id| {
        let there = subscriptions::region(context, context.subscription(*id));
        region.is_none_or(|region| region == there)
    });
    if ids.is_empty() {
        let region = region.unwrap_or_default();
        let text = format!("the stream {stream} is not subscribed in the Region {region}");
        let report = Report::new(text).hint("omit --region, or correct it");
        return Err(Failure::new(Exit::Failed, report));
    }
    let names = names(context, &ids).await?;
    let mut found = Vec::new();
    for (id, summary) in subscriptions::summaries(context, &names).await {
        let subscription = context.subscription(id);
        let failed = |error| {
            let region = subscriptions::region(context, subscription);
            Failure::new(Exit::Failed, failed_call(&names[&id], region, error))
        };
        found.push(Paused::Stream {
            name: names[&id].clone(),
            arn: summary.map_err(failed)?.arn,
        });
    }
    Ok(found)
}

/// The streams' names; where only an alarm is named, the alarm names the stream.
pub(super) async fn names(
    context: &Context,
    ids: &[SubscriptionId],
) -> Result<BTreeMap<SubscriptionId, String>, Failure> {
    let named = |id: &SubscriptionId| Some((*id, context.subscription(*id).stream.clone()?));
    let mut names: BTreeMap<SubscriptionId, String> = ids.iter().filter_map(named).collect();
    let unnamed = |id: &SubscriptionId| !names.contains_key(id);
    let unnamed: Vec<SubscriptionId> = ids.iter().copied().filter(unnamed).collect();
    for (id, pair) in subscriptions::pairs(context, &unnamed, |_| ()).await {
        let subscription = context.subscription(id);
        let (label, region) = (
            subscription.label(),
            subscriptions::region(context, subscription),
        );
        let pair =
            pair.map_err(|error| Failure::new(Exit::Failed, failed_call(label, region, error)))?;
        let name = Pair::stream(&pair).ok_or_else(|| {
            let text = format!("the alarms of {label} ({region}) name no stream");
            let report = Report::new(text).hint("`kinesis-autoscaler check` says what is wrong");
            Failure::new(Exit::Failed, report)
        })?;
        names.insert(id, name.to_owned());
    }
    Ok(names)
}

fn unwritten(what: &'static str, error: crate::aws::Error) -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Unwritten {
        what: &'static str,
        source: crate::aws::Error,
    }
    let hint = error.hint();
    let report = Report::new(Unwritten {
        what,
        source: error,
    });
    Failure::new(Exit::Failed, hint.into_iter().fold(report, Report::hint))
}

impl cli::PauseDirection {
    fn hold(self) -> Hold {
        match self {
            Self::Up => Hold::Up,
            Self::Down => Hold::Down,
            Self::Both => Hold::Both,
        }
    }
}
