//! All that is known of one stream, as a page.

use autoscaler_core::{datetime::at, limits::CALLS_PER_DAY};
use jiff::Timestamp;

use super::{
    AlarmRow, LastScaling, Row, Status,
    render::{self, ago},
};
use crate::output::{
    table::{bar, counted, percent, wrap},
    times::Times,
};

/// The width of the labels.
const LABEL: usize = 13;
const BAR: usize = 10;
/// How many scalings are shown.
const SCALINGS: usize = 5;

/// A page for each stream, and below them what is said once.
pub(super) fn text(status: &Status, width: Option<u16>, times: &Times) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let pages = status
        .streams
        .iter()
        .map(|row| page(row, status.at, width, times));
    let pages: Vec<String> = pages.collect();
    let mut text = pages.join("\n");
    for hint in &status.hints {
        text.push('\n');
        text += &wrap(
            &times.in_text(&format!("hint: {hint}")),
            "",
            "      ",
            width,
        );
    }
    text
}

fn page(row: &Row, now: Timestamp, width: usize, times: &Times) -> String {
    let mut text = wrap(&heading(row), "", "  ", width);
    text.push('\n');
    for (label, words) in lines(row, now) {
        let first = format!("{label:LABEL$}");
        text += &wrap(&times.in_text(&words), &first, &" ".repeat(LABEL), width);
    }
    text
}

/// `orders (eu-west-1), ACTIVE: 4 shards, allowed are 1 to 64`.
fn heading(row: &Row) -> String {
    let account = row.account.iter().map(|account| format!(", {account}"));
    let shards = match row.shards {
        Some(shards) => counted(shards, "shard"),
        None => "shards not known".to_owned(),
    };
    format!(
        "{} ({}{}), {}: {shards}, allowed are {} to {}",
        row.stream,
        row.region,
        account.collect::<String>(),
        row.status.unwrap_or("status not known"),
        row.bounds_in_force.min_shards,
        row.bounds_in_force.max_shards
    )
}

/// Whose bounds are in force, where these are not the stream's own.
fn bounds(row: &Row) -> Option<String> {
    let bounds = &row.bounds_in_force;
    let limits = [
        ("min_shards", bounds.min_shards, &bounds.min_by),
        ("max_shards", bounds.max_shards, &bounds.max_by),
    ];
    let limits = limits.into_iter();
    let words = limits.filter_map(|(key, n, by)| Some(format!("{key} is {n} by {}", by.as_ref()?)));
    let words: Vec<String> = words.collect();
    let own = format!("its own are {} to {}", row.min_shards, row.max_shards);
    (!words.is_empty()).then(|| format!("{}; {own}", words.join(", ")))
}

/// Each line with its label; what goes on has none.
fn lines(row: &Row, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![("next tick", render::why(row))];
    if let Some(since) = row.since {
        lines.push(("since", format!("{} ({} ago)", at(since), ago(since, now))));
    }
    lines.push(("what to do", row.what_to_do.clone()));
    lines.extend(row.next_look.map(|look| ("next look", at(look))));
    lines.extend(bounds(row).map(|words| ("bounds", words)));
    lines.push(("usage", usage(row)));
    lines.extend(rejected(row).map(|words| ("rejected", words)));
    lines.push(("up alarm", alarm(&row.scale_up_alarm, now)));
    lines.push(("down alarm", alarm(&row.scale_down_alarm, now)));
    lines.push(("policy", row.policy.to_owned()));
    for (label, sources) in [
        ("windows", &["window"][..]),
        ("pauses", &["pause", "mute_rule"]),
    ] {
        let of = row.constraints.iter();
        let of = of.filter(|it| sources.contains(&it.source));
        let mut words: Vec<String> = of.map(|it| it.detail.clone()).collect();
        if let (Some(next), "windows") = (&row.next_window, label) {
            words.push(format!("{} opens at {}", next.detail, at(next.opens_at)));
        }
        lines.extend(under(label, words));
    }
    lines.extend(under("scalings", scalings(row)));
    let external = row.external.iter().rev().take(SCALINGS);
    lines.extend(under("not by us", external.map(render::between).collect()));
    let unread = [("log", &row.log_error), ("metrics", &row.metrics_error)];
    for (what, error) in unread {
        let line = |error| ("error", format!("the {what} cannot be read: {error}"));
        lines.extend(error.as_ref().map(line));
    }
    lines
}

/// Lines of which only the first has the label.
fn under(label: &'static str, words: Vec<String>) -> impl Iterator<Item = (&'static str, String)> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(words)
}

fn usage(row: &Row) -> String {
    let (now, peak) = (bar(row.usage_now, BAR), percent(row.usage_peak_24h));
    format!("{now} now, {peak} in the busiest 5 minutes of 24 h")
}

fn rejected(row: &Row) -> Option<String> {
    let day = row.rejected_24h.filter(|n| *n > 0)?;
    let hour = counted(row.rejected_1h.unwrap_or(0), "record");
    let low = match row.rejected_at_low_usage_24h {
        Some(low) if low > 0 => format!(", {low} of them at low usage: a shard is hot"),
        _ => String::new(),
    };
    Some(format!("{hour} in the last hour, {day} in 24 h{low}"))
}

fn alarm(alarm: &AlarmRow, now: Timestamp) -> String {
    let state = alarm.state.unwrap_or("state not known");
    let mut parts = vec![match alarm.since {
        Some(since) => format!("{state} for {}", ago(since, now)),
        None => state.to_owned(),
    }];
    if alarm.actions_enabled == Some(false) {
        parts.push("actions disabled".to_owned());
    }
    parts.extend(alarm.shard_count.map(|count| format!("records {count}")));
    if let Some(state) = alarm.evaluation_state {
        parts.push(format!("{}: {}", state.name(), state.meaning()));
    }
    format!("{}: {}", alarm.name, parts.join(", "))
}

/// What is left of the day, and the newest scalings.
fn scalings(row: &Row) -> Vec<String> {
    let left = match row.scalings_left {
        Some(left) => format!("{left} of the day's {CALLS_PER_DAY} are left"),
        None => "how many of the day's are left is not known".to_owned(),
    };
    let rows = match row.scalings.is_empty() {
        true => row.last_scaling.iter().collect(),
        false => row.scalings.iter().take(SCALINGS).collect::<Vec<_>>(),
    };
    std::iter::once(left)
        .chain(rows.into_iter().map(scaling))
        .collect()
}

fn scaling(row: &LastScaling) -> String {
    let (before, after) = (row.shards_before, row.shards_after);
    let outcome = Some(row.outcome).filter(|it| *it != "done");
    let parts = [outcome, row.reason.as_deref(), row.note.as_deref()];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|it| it.replace('_', " "))
        .collect();
    let why = match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join(", ")),
    };
    format!("{} {before} -> {after}{why}", at(row.at))
}
