//! The scaling log as a table.

use super::{External, Log, Row, series};
use crate::output::{
    names::{Named, distinct_names},
    table::{self, counted},
    times::Times,
};
use autoscaler_core::{
    alarm::Direction,
    scaling::{Outcome, Scaling},
};
use jiff::Timestamp;

pub(super) fn text(log: &Log, width: Option<u16>, times: &Times) -> String {
    let rows = log.all_rows();
    let named = rows.iter().map(|row| Named {
        stream: row.stream,
        region: row.region,
        account: row.account,
    });
    let named = named.chain(log.external.iter().map(External::named));
    let mut names = distinct_names(&named.collect::<Vec<_>>()).into_iter();
    let count = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |it| it.to_string());
    let mut lines: Vec<(Option<Timestamp>, [String; 4])> = Vec::new();
    lines.extend(rows.iter().zip(names.by_ref()).map(|(row, name)| {
        let (before, after) = (count(row.shards_before), count(row.shards_after));
        let cells = [
            row.at.map_or_else(|| "?".to_owned(), |at| times.column(at)),
            name,
            format!("{before} -> {after}"),
            why(row),
        ];
        (row.at, cells)
    }));
    lines.extend(log.external.iter().zip(names).map(|(external, name)| {
        let latest = external.resharding.latest;
        (Some(latest), external.cells(name, times))
    }));
    // A stable sort: below the row that shows the count which others have set.
    lines.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let cells: Vec<[String; 4]> = lines.into_iter().map(|(_, cells)| cells).collect();
    if cells.is_empty() {
        return String::new();
    }
    let time = match times.suffix() {
        "" => "TIME",
        _ => "TIME (UTC)",
    };
    table::rows([time, "STREAM", "SHARDS", "WHY"], &cells, width)
}

/// The direction and its cause, after the outcome if the scaling was not simply done.
fn why(row: &Row<'_>) -> String {
    let outcome = match row.outcome {
        "done" => String::new(),
        other => format!("{}: ", other.replace('_', " ")),
    };
    let direction = match row.scaling_type {
        Some("SCALE_UP") => Some("up"),
        Some(_) => Some("down"),
        None => Some("only its time can be read; it counts toward the daily limit"),
    };
    // For a scaling by an alarm, usage is the best explanation.
    let reason = row
        .reason
        .filter(|reason| *reason != "alarm" || row.usage.is_none());
    let usage = row
        .usage
        .map(|usage| format!("usage {:.0}%", usage * 100.0));
    let parts = [direction, reason, usage.as_deref(), row.note];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    outcome + &parts.join(", ")
}

pub(super) fn summary(log: &Log, times: &Times) -> String {
    let since = times.column(log.since) + times.suffix();
    let unreadable = match log.unreadable.len() {
        0 => String::new(),
        n => format!(
            "; {} not be read, only counted toward the daily limit",
            match n {
                1 => "1 more row could".to_owned(),
                n => format!("{n} more rows could"),
            }
        ),
    };
    if log.rows.is_empty() {
        let table = &log.table;
        return format!("no scalings since {since} in the table {table}{unreadable}");
    }
    let count = |is: &dyn Fn(&Scaling) -> bool| log.rows.iter().filter(|row| is(row)).count();
    let toward = |to: Direction| move |row: &Scaling| row.counts() && row.direction() == to;
    let ended = |outcome: Outcome| move |row: &Scaling| row.outcome == outcome;
    let parts = [
        (count(&toward(Direction::Up)), "up"),
        (count(&toward(Direction::Down)), "down"),
        (count(&ended(Outcome::Refused)), "refused"),
        (count(&ended(Outcome::NotApplied)), "not applied"),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, what)| format!("{n} {what}")).collect();
    let external = match log.external.len() {
        0 => String::new(),
        n => format!("; {} not by us", counted(n, "resharding")),
    };
    format!(
        "{} of {} since {since}: {}{external}{unreadable}",
        counted(log.rows.len(), "scaling"),
        counted(series::all(log).len(), "stream"),
        parts.join(", ")
    )
}
