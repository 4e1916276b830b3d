//! `history`: the scaling log, newest first, as a table, JSON or CSV, with the shard counts over
//! time as a plot or a picture.

mod axis;
mod csv;
mod external;
mod plot;
mod read;
mod series;
mod svg;
mod table;

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws,
    cli::{self, Moment, Output},
    commands::pause,
    output::{
        self,
        error::{Exit, Failure, Report},
        table::wrap,
        times::Times,
    },
    reconcile::context::Context,
};
use autoscaler_core::{
    pause::Pause,
    scaling::{self, Scaling, UnreadableRow},
};

pub use external::External;
pub use read::read;
pub use series::region;

/// Reads the log and prints it. A stream whose rows cannot be read does not hide the others.
pub async fn run(
    context: &Arc<Context>,
    args: &cli::History,
    output: Output,
) -> Result<Exit, Failure> {
    let span = Span::new(&args.since, args.until.as_ref(), context.clock.now())?;
    let log = read(context, &args.streams.names, span).await?;
    if let Some(path) = &args.svg {
        draw(&log, path)?;
    }
    output::print(&match output {
        Output::Json => log.to_json() + "\n",
        Output::Csv => log.to_csv(),
        Output::Text => log.to_text_in(
            output::terminal_width(),
            plot::terminal_is_unicode(),
            &args.zone.times(),
        ),
    })?;
    let Some(failure) = log.failure() else {
        return Ok(Exit::Done);
    };
    failure.print();
    Ok(failure.exit)
}

fn draw(log: &Log, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, log.to_svg()).map_err(|error| {
        #[derive(Debug, thiserror::Error)]
        #[error("the picture cannot be written to {path}")]
        struct Unwritten {
            path: String,
            source: std::io::Error,
        }
        let path = path.display().to_string();
        let source = error;
        Failure::new(Exit::Failed, Unwritten { path, source })
    })
}

/// The rows of the log in a span of time.
#[derive(Clone, Debug)]
pub struct Log {
    pub table: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Newest first.
    pub rows: Vec<Scaling>,
    /// Rows of other programs of which only the key could be read.
    pub unreadable: Vec<UnreadableRow>,
    /// Reshardings that no row explains, oldest first for each stream.
    pub external: Vec<External>,
    /// The pauses in force of the streams that are shown.
    pub pauses: Vec<Pause>,
    /// The streams whose rows could not be read.
    pub failed: Vec<(String, aws::Error)>,
}

/// A row as JSON and CSV show it. The field names are part of the interface.
#[derive(Debug, Serialize)]
struct Row<'a> {
    at: Option<Timestamp>,
    stream: &'a str,
    /// `null` in rows of the original, which lack it.
    region: Option<&'a str>,
    /// The account's number, to name the stream by.
    #[serde(skip)]
    account: Option<&'a str>,
    /// Like the counts, `null` if only the key could be read; the outcome is then `unreadable`.
    scaling_type: Option<&'static str>,
    shards_before: Option<u32>,
    shards_after: Option<u32>,
    outcome: &'static str,
    reason: Option<&'a str>,
    alarm: Option<&'a str>,
    usage: Option<f64>,
    note: Option<&'a str>,
    host: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> From<&'a Scaling> for Row<'a> {
    fn from(row: &'a Scaling) -> Self {
        Self {
            at: Some(row.at),
            stream: &row.stream_name,
            region: series::region(&row.stream_arn),
            account: series::account(&row.stream_arn),
            scaling_type: Some(row.scaling_type()),
            shards_before: Some(row.from),
            shards_after: Some(row.to),
            outcome: row.outcome.code(),
            reason: row.reason.as_deref(),
            alarm: row.alarm.as_deref(),
            usage: row.usage,
            note: row.note.as_deref(),
            host: row.host.as_deref(),
            version: row.version.as_deref(),
        }
    }
}

impl<'a> From<&'a UnreadableRow> for Row<'a> {
    fn from(row: &'a UnreadableRow) -> Self {
        Self {
            at: row.at,
            stream: &row.stream_name,
            region: series::region(&row.stream_arn),
            account: series::account(&row.stream_arn),
            scaling_type: None,
            shards_before: None,
            shards_after: None,
            outcome: "unreadable",
            reason: None,
            alarm: None,
            usage: None,
            note: None,
            host: None,
            version: None,
        }
    }
}

impl Log {
    fn take(&mut self, read: scaling::RecentScalings) {
        self.rows.extend(read.scalings);
        self.unreadable.extend(read.unreadable);
    }

    /// Whether the stream has a row, or its rows could not be read.
    fn names(&self, stream: &str) -> bool {
        self.rows.iter().any(|row| row.stream_name == stream)
            || self.unreadable.iter().any(|row| row.stream_name == stream)
            || self.failed.iter().any(|(name, _)| name == stream)
    }

    /// All rows, newest first; those without a readable time come last.
    fn all_rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self.rows.iter().map(Row::from).collect();
        rows.extend(self.unreadable.iter().map(Row::from));
        // A stable sort, so that rows of the same time keep their order.
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows
    }

    /// The object that `--output json` prints.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "table": self.table,
            "since": self.since,
            "until": self.until,
            "scalings": self.all_rows(),
            "unreadable": self.unreadable.len(),
            "not_by_us": self.external,
            "pauses": self.pauses.iter().map(pause::json).collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// One record per row below a header, by RFC 4180 except for the line ends.
    pub fn to_csv(&self) -> String {
        csv::text(self)
    }

    /// The table and, on a terminal of `width` columns, a plot of the shard counts below it; all in
    /// UTC.
    pub fn to_text(&self, width: Option<u16>, unicode: bool) -> String {
        self.to_text_in(width, unicode, &Times::utc())
    }

    /// The same with times in any zone.
    pub fn to_text_in(&self, width: Option<u16>, unicode: bool, times: &Times) -> String {
        let mut text = table::text(self, width, times);
        if let Some(width) = width.filter(|_| !self.rows.is_empty()) {
            text.push('\n');
            text.push_str(&plot::text(self, usize::from(width), unicode, times));
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let width = width.map_or(usize::MAX, usize::from);
        text.push_str(&wrap(&table::summary(self, times), "", "", width));
        for pause in &self.pauses {
            let sentence = times.in_text(&pause::sentence(pause));
            text.push_str(&wrap(&sentence, "", "  ", width));
        }
        text
    }

    /// The shard counts as a picture, one panel for each stream.
    pub fn to_svg(&self) -> String {
        svg::text(self)
    }

    /// What could not be read, each error once.
    pub fn failure(&self) -> Option<Failure> {
        let mut reports: Vec<Report> = Vec::new();
        for (stream, error) in &self.failed {
            let text = format!("the log of the stream {stream} cannot be read: {error}");
            let hint = error.hint();
            reports.push(hint.into_iter().fold(Report::new(text), Report::hint));
        }
        (!reports.is_empty()).then_some(Failure {
            exit: Exit::Failed,
            reports,
        })
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Span {
    /// From `since` until `until`, or until now.
    ///
    /// # Errors
    /// If `since` is not before `until`.
    pub fn new(since: &Moment, until: Option<&Moment>, now: Timestamp) -> Result<Self, Failure> {
        let until = until.map_or(now, |until| until.before(now));
        let since = since.before(now);
        if since < until {
            return Ok(Self { since, until });
        }
        let text = format!("--since is {since}, not before the end of the time, {until}");
        let hint = "give a duration such as 7d, or a time such as 2026-11-20T06:00:00Z";
        Err(Failure::new(Exit::Usage, Report::new(text).hint(hint)))
    }
}
