//! The log as a table for people.

use std::collections::BTreeSet;

use comfy_table::{ColumnConstraint, Table, Width};

use super::{Log, read::utc, series};
use crate::output::table;
use autoscaler_core::{
    alarm::Direction,
    scaling::{Outcome, Scaling},
};

/// The column of reasons is at least so wide, or left out.
const LEAST_WHY: u16 = 12;

pub(super) fn text(log: &Log, width: Option<u16>) -> String {
    if log.rows.is_empty() {
        return String::new();
    }
    let regions: BTreeSet<Option<&str>> = log.rows.iter().map(series::region).collect();
    let regions = regions.into_iter().flatten().count();
    let stream = |row: &Scaling| match series::region(row) {
        Some(region) if regions > 1 => format!("{} ({region})", row.stream_name),
        _ => row.stream_name.clone(),
    };
    let mut table = table::table();
    table.set_header(["TIME (UTC)", "STREAM", "SHARDS", "OUTCOME", "WHY"]);
    for row in &log.rows {
        table.add_row([
            utc(row.at),
            stream(row),
            format!("{} -> {}", row.from, row.to),
            row.outcome.code().replace('_', " "),
            why(row),
        ]);
    }
    if let Some(width) = width {
        fit(&mut table, width);
    }
    table::render(&mut table)
}

/// Only the reasons are broken into lines, so that times and names stay whole; what does not fit is left out.
fn fit(table: &mut Table, width: u16) {
    let widths = table.column_max_content_widths();
    let used = |columns: &[u16]| columns.iter().map(|column| column + 2).sum::<u16>();
    let left = width.saturating_sub(used(&widths[..4]));
    if let Some(why) = table.column_mut(4) {
        why.set_constraint(match left {
            0..LEAST_WHY => ColumnConstraint::Hidden,
            _ => ColumnConstraint::UpperBoundary(Width::Fixed(left)),
        });
    }
    if used(&widths[..4]) > width.saturating_add(2)
        && let Some(outcome) = table.column_mut(3)
    {
        outcome.set_constraint(ColumnConstraint::Hidden);
    }
}

fn why(row: &Scaling) -> String {
    let usage = row
        .usage
        .map(|usage| format!("usage {:.0}%", usage * 100.0));
    let parts = [row.reason.clone(), usage, row.note.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

pub(super) fn summary(log: &Log) -> String {
    let since = utc(log.since);
    if log.rows.is_empty() {
        return format!("no scalings since {since} UTC in the table {}", log.table);
    }
    let count = |is: &dyn Fn(&Scaling) -> bool| log.rows.iter().filter(|row| is(row)).count();
    let parts = [
        (
            count(&|row| row.counts() && row.direction() == Direction::Up),
            "up",
        ),
        (
            count(&|row| row.counts() && row.direction() == Direction::Down),
            "down",
        ),
        (count(&|row| row.outcome == Outcome::Refused), "refused"),
        (
            count(&|row| row.outcome == Outcome::NotApplied),
            "not applied",
        ),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, what)| format!("{n} {what}")).collect();
    let plural = |n: usize, what: &str| match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    let streams = series::all(log).len();
    format!(
        "{} of {} since {since} UTC: {}",
        plural(log.rows.len(), "scaling"),
        plural(streams, "stream"),
        parts.join(", ")
    )
}
