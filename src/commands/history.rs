//! `history`: the log of scalings, newest first, as a table, JSON or CSV, with the shard counts over time as a plot or a picture.

mod axis;
mod csv;
mod plot;
mod read;
mod series;
mod svg;
mod table;

use std::{path::Path, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    aws,
    cli::{self, Output},
    output::{
        self,
        error::{Exit, Failure, Report},
        table::wrap,
    },
    reconcile::context::Context,
};
use autoscaler_core::scaling::Scaling;

pub use read::read;

/// Reads the log and prints it; where a stream's rows cannot be read, the others are told all the same.
pub async fn run(
    context: &Arc<Context>,
    args: &cli::History,
    output: Output,
) -> Result<Exit, Failure> {
    let log = read(context, args.stream.as_deref(), args.since).await?;
    if let Some(path) = &args.svg {
        draw(&log, path)?;
    }
    output::print(&match output {
        Output::Json => log.to_json() + "\n",
        Output::Csv => log.to_csv(),
        Output::Text => log.to_text(output::terminal_width(), plot::terminal_is_unicode()),
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
    /// The streams whose rows could not be read.
    pub failed: Vec<(String, aws::Error)>,
}

/// A row as scripts read it: the names are a promise to them.
#[derive(Debug, Serialize)]
struct Row<'a> {
    at: Timestamp,
    stream: &'a str,
    /// `null` in rows of the original, which do not tell it.
    region: Option<&'a str>,
    scaling_type: &'static str,
    shards_before: u32,
    shards_after: u32,
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
            at: row.at,
            stream: &row.stream_name,
            region: series::region(row),
            scaling_type: row.scaling_type(),
            shards_before: row.from,
            shards_after: row.to,
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

impl Log {
    /// The object that `--output json` prints.
    pub fn to_json(&self) -> String {
        let rows: Vec<Row<'_>> = self.rows.iter().map(Row::from).collect();
        serde_json::json!({
            "table": self.table,
            "since": self.since,
            "until": self.until,
            "scalings": rows,
        })
        .to_string()
    }

    /// One record for each row, by RFC 4180 but for the line ends, below a header.
    pub fn to_csv(&self) -> String {
        csv::text(self)
    }

    /// The table; on a terminal, of `width` columns, with the shard counts as a plot below it.
    pub fn to_text(&self, width: Option<u16>, unicode: bool) -> String {
        let mut text = table::text(self, width);
        if let Some(width) = width.filter(|_| !self.rows.is_empty()) {
            text.push('\n');
            text.push_str(&plot::text(self, usize::from(width), unicode));
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let width = width.map_or(usize::MAX, usize::from);
        text.push_str(&wrap(&table::summary(self), "", "", width));
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

/// `now - by`, at the beginning of time if need be.
fn before(now: Timestamp, by: std::time::Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    // Years of four digits keep the range key's order.
    now.checked_sub(by)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .max(Timestamp::UNIX_EPOCH)
}
