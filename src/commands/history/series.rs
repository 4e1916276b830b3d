//! Shard counts over time, made from the rows of the log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Log;
use crate::output::names::{Named, distinct_names};
use autoscaler_core::scaling::{Outcome, Scaling};

/// One stream's shard count over the log's span.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub name: String,
    /// The count from each time on; the first entry is the start of the span.
    pub steps: Vec<(Timestamp, u32)>,
    /// Oldest first.
    pub marks: Vec<Scaling>,
}

/// The Region that a row's ARN names.
pub fn region(stream_arn: &str) -> Option<&str> {
    stream_arn.split(':').nth(3).filter(|it| !it.is_empty())
}

/// The account that a row's ARN names.
pub(super) fn account(stream_arn: &str) -> Option<&str> {
    stream_arn.split(':').nth(4).filter(|it| !it.is_empty())
}

/// The rows of each stream, oldest first, by its name and, where several have that name, its ARN.
///
/// Rows without an ARN belong to the only stream with that name, or stand by themselves.
pub(super) fn rows_by_stream(log: &Log) -> BTreeMap<(&str, &str), Vec<&Scaling>> {
    let mut arns: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in log.rows.iter().filter(|row| !row.stream_arn.is_empty()) {
        arns.entry(&row.stream_name)
            .or_default()
            .insert(&row.stream_arn);
    }
    let several = |name: &str| arns.get(name).is_some_and(|arns| arns.len() > 1);
    let mut rows: BTreeMap<(&str, &str), Vec<&Scaling>> = BTreeMap::new();
    for row in log.rows.iter().rev() {
        let arn = if several(&row.stream_name) {
            row.stream_arn.as_str()
        } else {
            ""
        };
        rows.entry((&row.stream_name, arn)).or_default().push(row);
    }
    rows
}

/// One series for each stream that has rows, ordered by name; streams with one name in several
/// Regions or accounts have a series each.
pub(super) fn all(log: &Log) -> Vec<Series> {
    let rows = rows_by_stream(log);
    let named = rows.keys().map(|(name, arn)| Named {
        stream: name,
        region: region(arn),
        account: account(arn),
    });
    let names = distinct_names(&named.collect::<Vec<_>>());
    let series = rows.values().zip(names);
    series
        .map(|(rows, name)| of(name, rows, log.since))
        .collect()
}

fn of(name: String, rows: &[&Scaling], since: Timestamp) -> Series {
    let mut steps: Vec<(Timestamp, u32)> = Vec::new();
    let mut step = |at: Timestamp, count: u32| {
        if steps.last().is_none_or(|(_, last)| *last != count) {
            steps.push((at, count));
        }
    };
    for (number, row) in rows.iter().enumerate() {
        // Another program may have resharded the stream between two rows, which becomes known only
        // now.
        step(if number == 0 { since } else { row.at }, row.from);
        if matches!(row.outcome, Outcome::Done | Outcome::Open) {
            step(row.at, row.to);
        }
    }
    let marks = rows.iter().map(|row| (*row).clone()).collect();
    Series { name, steps, marks }
}

impl Series {
    /// The highest count from `start` up to, but not including, `end`.
    pub fn highest(&self, start: Timestamp, end: Timestamp) -> u32 {
        let before = self.steps.iter().rev().find(|(at, _)| *at <= start);
        let within = self.steps.iter().filter(|(at, _)| *at > start && *at < end);
        let counts = before.into_iter().chain(within).map(|(_, count)| *count);
        counts.max().unwrap_or(0)
    }

    /// The count at the end of the span.
    pub fn last(&self) -> u32 {
        self.steps.last().map_or(0, |(_, count)| *count)
    }

    /// The lowest and the highest count.
    pub fn bounds(&self) -> (u32, u32) {
        let counts = || self.steps.iter().map(|(_, count)| *count);
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }
}
