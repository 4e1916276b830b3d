//! Reads the rows with one Query per stream, so that no permission to scan the table is needed.

use autoscaler_core::priority::Priority;
use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{Log, Span, external};
use crate::{
    aws::{self, Kind},
    config::nearest,
    output::{
        error::{Exit, Failure, Report},
        progress::Progress,
    },
    reconcile::{
        context::Context,
        inspect::{self},
    },
};
use autoscaler_core::{
    facts::Facts,
    glob::{is_pattern, matches},
    limits::PAIRS_PER_CALL,
    pause::Paused,
    scaling::Scaling,
};

/// How many streams are read concurrently.
const AT_ONCE: usize = 16;

/// The rows of `streams`, names or patterns, or of all subscriptions, newest first.
///
/// # Errors
/// Without the table, without any row that could be read, and for a stream that is neither
/// subscribed nor in the table.
pub async fn read(
    context: &Arc<Context>,
    streams: &[String],
    Span { since, until }: Span,
) -> Result<Log, Failure> {
    let mut log = Log {
        table: context.scaling_log.table().name.clone(),
        since,
        until,
        rows: Vec::new(),
        unreadable: Vec::new(),
        external: Vec::new(),
        pauses: Vec::new(),
        failed: Vec::new(),
    };
    let mut wanted: BTreeSet<String> = streams
        .iter()
        .filter(|it| !is_pattern(it))
        .cloned()
        .collect();
    let exact = wanted.clone();
    let patterns: Vec<&String> = streams.iter().filter(|it| is_pattern(it)).collect();
    if exact.is_empty() || !patterns.is_empty() {
        let known = names(context, &mut log.failed).await;
        let meant =
            |name: &String| patterns.is_empty() || patterns.iter().any(|it| matches(it, name));
        if let Some(lost) = patterns
            .iter()
            .find(|it| !known.iter().any(|name| matches(it, name)))
        {
            return Err(unknown(lost, &[]));
        }
        wanted.extend(known.into_iter().filter(meant));
    }
    all(context, wanted.clone(), &mut log).await?;
    // Where they cannot be read, neither can the rows, which is reported.
    let pauses = context.scaling_log.pauses(context.clock.now()).await;
    log.pauses = pauses.unwrap_or_default();
    log.pauses.retain(|pause| match &pause.of {
        Paused::All => true,
        Paused::Stream { name, .. } => wanted.contains(name),
    });
    for name in exact.iter().filter(|name| !log.names(name)) {
        // A stream that is no longer subscribed may have rows. If it has none, the name may be a
        // typing error.
        let mut failed = Vec::new();
        let known: Vec<String> = names(context, &mut failed).await.into_iter().collect();
        if !known.contains(name) && failed.is_empty() {
            return Err(unknown(name, &known));
        }
    }
    log.rows.retain(|row| row.at <= until);
    log.unreadable
        .retain(|row| row.at.is_none_or(|at| at <= until));
    log.rows.sort_by(|a, b| {
        let key = |row: &Scaling| (row.stream_name.clone(), row.stream_arn.clone());
        b.at.cmp(&a.at).then_with(|| key(a).cmp(&key(b)))
    });
    log.external = external::all(
        &log,
        context.scaling_log.complete_since(context.clock.now()),
    );
    Ok(log)
}

fn unknown(stream: &str, known: &[String]) -> Failure {
    let report = Report::new(format!(
        "no subscription has the stream {stream}, and no row of the log"
    ));
    let hint = match nearest(stream, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "omit --stream to see the rows of all subscriptions".to_owned(),
    };
    Failure::new(Exit::Failed, report.hint(hint))
}

async fn all(
    context: &Arc<Context>,
    names: BTreeSet<String>,
    log: &mut Log,
) -> Result<(), Failure> {
    let bar = Progress::new(names.len(), "reading the log");
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut reads = JoinSet::new();
    for name in names {
        let (context, room, since) = (context.clone(), room.clone(), log.since);
        reads.spawn(async move {
            // The semaphore is never closed.
            let _place = room.acquire().await;
            let rows = context.scaling_log.history(&name, since).await;
            (name, rows)
        });
    }
    let mut any = false;
    while let Some(read) = reads.join_next().await {
        bar.advance(1);
        match read {
            Ok((_, Ok(rows))) => {
                any = true;
                log.take(rows);
            }
            // Without the table, no other stream can be read either.
            Ok((_, Err(error))) if error.kind == Kind::NotFound => return Err(unreadable(&error)),
            Ok((name, Err(error))) => {
                log.failed.push((name, error.clone()));
                // In an outage each stream would wait for the whole deadline.
                if !any && log.failed.len() >= AT_ONCE {
                    return Err(unreadable(&error));
                }
            }
            // A panic is a bug, which standard error shows; the other streams' rows are still
            // valid.
            Err(_) => {}
        }
    }
    bar.end();
    log.failed.sort_by(|a, b| a.0.cmp(&b.0));
    match log.failed.first() {
        Some((_, error)) if !any => Err(unreadable(error)),
        _ => Ok(()),
    }
}

fn unreadable(error: &aws::Error) -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the log cannot be read")]
    struct Unreadable(#[source] aws::Error);
    let hint = error.hint();
    let report = Report::new(Unreadable(error.clone()));
    Failure::new(Exit::Failed, hint.into_iter().fold(report, Report::hint))
}

/// The streams of all subscriptions. If a subscription names only an alarm, the alarm names the
/// stream.
async fn names(context: &Context, failed: &mut Vec<(String, aws::Error)>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = context
        .roster
        .subscriptions()
        .filter_map(|subscription| subscription.stream.clone())
        .collect();
    for (account, clients) in context.aws.all_clients() {
        let by_alarm: Vec<_> = context
            .roster
            .subscriptions()
            .filter(|it| it.stream.is_none() && it.account == *account)
            .collect();
        for batch in by_alarm.chunks(PAIRS_PER_CALL) {
            let alarms: Vec<&str> = batch.iter().flat_map(|it| it.alarms.both()).collect();
            match inspect::pairs(clients, &alarms, Priority::FIRST).await {
                Ok(mut found) => {
                    for subscription in batch {
                        let mut seen = Facts::default();
                        seen.take_pair(subscription, &mut found);
                        let name = seen.stream_name(subscription);
                        names.extend((!name.is_empty()).then(|| name.to_owned()));
                    }
                }
                Err(error) => {
                    let labels = batch.iter().map(|it| it.label().to_owned());
                    failed.extend(labels.map(|label| (label, error.clone())));
                }
            }
        }
    }
    names
}

/// The time as tables and pictures show it.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
