//! The status as a table: one line a stream in a pipe and on a wide terminal, two on a usual one.

use std::collections::BTreeSet;

use comfy_table::CellAlignment;
use jiff::{SignedDuration, Timestamp};

use super::{AlarmRow, Row, Status};
use crate::{
    commands::hot_shard,
    output::{
        names::{Named, distinct_names},
        table::{self, and_more, bar, counted, percent, wrap},
        times::Times,
    },
    reconcile::lease::{Host, Role},
};
use autoscaler_core::{
    datetime::at, external::ExternalResharding, limits::CALLS_PER_DAY, subscription::Policy,
};

/// Narrower than this, everything stands below the stream's name.
const NARROW: usize = 64;
/// From here on a row of figures has room for the reason beside it.
const WIDE: u16 = 180;
const BAR: usize = 10;
const SHORT_BAR: usize = 5;
const LEAST_NAME: usize = 6;

pub(super) fn text(status: &Status, width: Option<u16>, times: &Times) -> String {
    let mut ordered = status.clone();
    // Stable: streams of the same urgency keep the order of the configuration.
    ordered.streams.sort_by_key(urgency);
    let status = &ordered;
    let mut text = match width {
        Some(width) if width < WIDE => paired(status, usize::from(width), times),
        _ => wide(status, width, times),
    };
    let width = width.map_or(usize::MAX, usize::from);
    text.push('\n');
    text.push_str(&wrap(&summary(status), "", "", width));
    if !status.hosts.is_empty() {
        text.push_str(&wrap(&hosts(status), "", "  ", width));
    }
    let errors: BTreeSet<(&str, &String)> = status
        .streams
        .iter()
        .flat_map(|row| [("log", &row.log_error), ("metrics", &row.metrics_error)])
        .filter_map(|(what, error)| Some((what, error.as_ref()?)))
        .collect();
    for (what, error) in errors {
        let line = format!("error: the {what} cannot be read: {error}");
        text.push_str(&wrap(&line, "", "       ", width));
    }
    for hint in &status.hints {
        text.push_str(&wrap(&format!("hint: {hint}"), "", "      ", width));
    }
    text
}

/// Failed streams come first, then those that are held, those with something to do, and those at
/// rest.
fn urgency(row: &Row) -> u8 {
    match (row.error.is_some(), row.action, row.reason) {
        (true, ..) => 0,
        _ if !unevaluated(row).is_empty() => 1,
        (_, "hold", "no_alarm") => 3,
        (_, "hold", _) => 1,
        _ => 2,
    }
}

/// One line of figures for each stream; on a terminal, the reason is broken into lines.
fn wide(status: &Status, width: Option<u16>, times: &Times) -> String {
    let header = [
        "STREAM",
        "REGION",
        "SHARDS",
        "BOUNDS",
        "USAGE NOW",
        "24 H PEAK",
        "UP ALARM",
        "DOWN ALARM",
        "LAST SCALING",
        "LEFT",
        "WHY",
    ];
    let cells = |row: &Row| {
        [
            row.stream.clone(),
            row.region.clone(),
            count(row.shards),
            bounds(row),
            bar(row.usage_now, BAR),
            percent(row.usage_peak_24h),
            alarm(&row.scale_up_alarm, status.at),
            alarm(&row.scale_down_alarm, status.at),
            last_scaling(row, status.at).unwrap_or_else(|| "-".to_owned()),
            left(row),
            times.in_text(&(why(row) + &notes(row, status.at))),
        ]
    };
    let rows: Vec<_> = status.streams.iter().map(cells).collect();
    table::rows(header, &rows, width)
}

/// A line of figures for each stream, and below it what a person wants to read.
fn paired(status: &Status, width: usize, times: &Times) -> String {
    let names = names(status);
    let figures = figures(status);
    let room = figures.iter().map(String::len).max().unwrap_or(0) + 2;
    let room = width.saturating_sub(room);
    if width < NARROW || room < LEAST_NAME {
        return stacked(status, &names, width, times);
    }
    let lengths = names.iter().map(|name| name.chars().count());
    let column = lengths.filter(|length| *length <= room).max();
    let column = column.unwrap_or(0).max(LEAST_NAME);
    let line = |name: &str, figures: &str| match name.chars().count() {
        // A long name has a line of its own, so that it stays whole.
        length if length > column => format!("{name}\n{:column$}  {figures}\n", ""),
        _ => format!("{name:column$}  {figures}\n"),
    };
    let mut figures = figures.into_iter();
    let mut text = line("STREAM", &figures.next().unwrap_or_default());
    for ((row, name), figures) in status.streams.iter().zip(&names).zip(figures) {
        text.push_str(&line(name, &figures));
        text.push_str(&wrap(
            &times.in_text(&story(row, status.at)),
            "  ",
            "  ",
            width,
        ));
    }
    text
}

/// What to call the streams.
fn names(status: &Status) -> Vec<String> {
    let named = status.streams.iter().map(|row| Named {
        stream: &row.stream,
        region: Some(&row.region),
        account: row.account.as_deref(),
    });
    distinct_names(&named.collect::<Vec<_>>())
}

/// Everything below the stream's name, for a narrow terminal.
fn stacked(status: &Status, names: &[String], width: usize, times: &Times) -> String {
    let mut text = String::new();
    for (row, name) in status.streams.iter().zip(names) {
        let now = bar(row.usage_now, SHORT_BAR);
        let peak = percent(row.usage_peak_24h);
        let (up, down) = (&row.scale_up_alarm, &row.scale_down_alarm);
        let lines = [
            format!("shards {} ({})", count(row.shards), bounds(row)),
            format!("usage {now}, 24 h peak {peak}"),
            format!(
                "up {}, down {}",
                alarm(up, status.at),
                alarm(down, status.at)
            ),
            format!("scalings left {}", left(row)),
            times.in_text(&story(row, status.at)),
        ];
        text.push_str(&format!("{name}\n"));
        for line in lines {
            text.push_str(&wrap(&line, "  ", "    ", width));
        }
    }
    text
}

/// The figures of all streams as lines of equal columns, the header first.
fn figures(status: &Status) -> Vec<String> {
    let mut table = table::table();
    table.set_header(["SHARDS", "USAGE NOW", "PEAK", "UP", "DOWN", "LEFT"]);
    for row in &status.streams {
        table.add_row([
            format!("{} ({})", count(row.shards), bounds(row)),
            bar(row.usage_now, BAR),
            percent(row.usage_peak_24h),
            alarm(&row.scale_up_alarm, status.at),
            alarm(&row.scale_down_alarm, status.at),
            left(row),
        ]);
    }
    for right in [2, 5] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table::render(&mut table)
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

fn count(n: Option<impl ToString>) -> String {
    n.map_or_else(|| "?".to_owned(), |n| n.to_string())
}

/// Of the day's scalings.
fn left(row: &Row) -> String {
    match row.scalings_left {
        Some(left) => format!("{left}/{CALLS_PER_DAY}"),
        None => "?".to_owned(),
    }
}

fn bounds(row: &Row) -> String {
    let bounds = &row.bounds_in_force;
    format!("{}-{}", bounds.min_shards, bounds.max_shards)
}

/// `ALARM 5m`, and `off` where a person or the contract has disabled its actions.
fn alarm(alarm: &AlarmRow, now: Timestamp) -> String {
    let state = match alarm.state {
        None => return "?".to_owned(),
        Some("OK") => "ok",
        // Not "no data": `no_data` is a reason to hold, and has to do with metrics.
        Some("INSUFFICIENT_DATA") => "insufficient",
        Some("MISSING") => "missing",
        Some(state) => state,
    };
    let since = alarm.since.map(|since| format!(" {}", ago(since, now)));
    let off = if alarm.actions_enabled == Some(false) {
        " off"
    } else {
        ""
    };
    format!("{state}{}{off}", since.unwrap_or_default())
}

/// How long ago, in its largest unit.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let past = now.duration_since(then).max(SignedDuration::ZERO);
    match past.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn last_scaling(row: &Row, now: Timestamp) -> Option<String> {
    let last = row.last_scaling.as_ref()?;
    let outcome = match last.outcome {
        "done" => String::new(),
        other => format!(" ({})", other.replace('_', " ")),
    };
    let (before, after) = (last.shards_before, last.shards_after);
    Some(format!(
        "{before} -> {after} {} ago{outcome}",
        ago(last.at, now)
    ))
}

/// What the next tick would do, and why.
pub(super) fn why(row: &Row) -> String {
    if let Some(error) = &row.error {
        return format!("error: {error}");
    }
    match (row.action, row.target) {
        ("hold", _) if row.reason == "no_alarm" => "at rest".to_owned(),
        ("hold", _) => format!("hold: {}: {}", row.reason, row.detail),
        (action, Some(target)) => {
            format!(
                "{} to {target}: {}: {}",
                action.replace('_', " "),
                row.reason,
                row.detail
            )
        }
        (action, None) => format!("{}: {}", action.replace('_', " "), row.detail),
    }
}

/// ` (create the stream, …)`: what to do about the row's error.
fn fix(row: &Row) -> String {
    match &row.error {
        Some(error) if *error != row.detail && row.reason != "no_alarm" => {
            format!(" ({})", row.detail)
        }
        _ => String::new(),
    }
}

/// What a person should know beside the reason.
fn notes(row: &Row, now: Timestamp) -> String {
    let unreadable = match row.unreadable_rows {
        0 => String::new(),
        n => format!(
            "; {} of the scaling log could not be read; each counts toward the daily limit",
            counted(n, "row")
        ),
    };
    let parts = [
        fix(row),
        unevaluated(row),
        unreadable,
        external(row, now),
        rejected(row),
        policy(row),
        constraints(row),
    ];
    parts.concat()
}

/// `; not by us: 10 -> 4 between 2026-11-26T06:00:00Z and 2026-11-26T07:00:00Z`: the newest one,
/// for a day.
fn external(row: &Row, now: Timestamp) -> String {
    let Some(newest) = row.lately_external(now) else {
        return String::new();
    };
    let more = and_more(row.external.len() - 1);
    format!("; not by us: {}{more}", between(newest))
}

/// `10 -> 4 between … and …`.
pub(super) fn between(external: &ExternalResharding) -> String {
    let ExternalResharding {
        from,
        to,
        earliest,
        latest,
    } = external;
    format!(
        "{from} -> {to} between {} and {}",
        at(*earliest),
        at(*latest)
    )
}

/// `; orders-scale-up-alarm is in PARTIAL_DATA: …`: its state cannot be relied on.
fn unevaluated(row: &Row) -> String {
    let note = |alarm: &AlarmRow| {
        let state = alarm.evaluation_state?;
        let (name, meaning) = (&alarm.name, state.meaning());
        Some(format!("; {name} is in {}: {meaning}", state.name()))
    };
    let alarms = [&row.scale_up_alarm, &row.scale_down_alarm];
    alarms.into_iter().filter_map(note).collect()
}

/// `; adaptive, next look 2026-11-26T06:00:00Z`, for a stream that does not have the default policy.
fn policy(row: &Row) -> String {
    if row.policy == Policy::default().name() {
        return String::new();
    }
    let look = row
        .next_look
        .map(|look| format!(", next look {}", at(look)));
    format!("; {}{}", row.policy, look.unwrap_or_default())
}

/// `; 12 records rejected in the last hour, 340 in 24 h`, and what that means at low usage.
fn rejected(row: &Row) -> String {
    let day = row.rejected_24h.unwrap_or(0);
    if day == 0 {
        return String::new();
    }
    let hour = counted(row.rejected_1h.unwrap_or(0), "record");
    let hot = match row.has_hot_shard() {
        true => format!(": it {}", hot_shard::MEANING),
        false => String::new(),
    };
    format!("; {hour} rejected in the last hour, {day} in 24 h{hot}")
}

/// What limits the stream beside its bounds, unless the reason says so already; and what will.
fn constraints(row: &Row) -> String {
    let others = row.constraints.iter();
    let others = others.filter(|it| !row.detail.contains(&it.detail));
    let mut text: String = others.map(|it| format!("; {}", it.detail)).collect();
    if let Some(next) = &row.next_window {
        text += &format!("; {} opens at {}", next.detail, at(next.opens_at));
    }
    text
}

fn story(row: &Row, now: Timestamp) -> String {
    let status = match row.status {
        Some("ACTIVE") | None => String::new(),
        Some(status) => format!("{status}; "),
    };
    let last = last_scaling(row, now).map(|last| format!("; last scaled {last}"));
    let last = last.unwrap_or_default();
    format!("{status}{}{}{last}", why(row), notes(row, now))
}

/// `hosts: a acts; b stands by, seen 12s ago`.
fn hosts(status: &Status) -> String {
    let host = |host: &Host| {
        let seen = host
            .seen_at
            .map(|seen| format!(", seen {} ago", ago(seen, status.at)));
        let role = match host.role {
            Role::Acts => "acts",
            Role::StandsBy => "stands by",
        };
        format!("{} {role}{}", host.host, seen.unwrap_or_default())
    };
    let hosts: Vec<String> = status.hosts.iter().map(host).collect();
    format!("hosts: {}", hosts.join("; "))
}

/// What stands in place of a table of problems where there is none.
pub(super) fn no_problems(status: &Status, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let what = match status.unlisted.first() {
        None => "no problems".to_owned(),
        Some(error) => format!("streams may be missing, the alarms cannot be listed ({error})"),
    };
    wrap(&format!("{what}; {}", summary(status)), "", "", width)
}

fn summary(status: &Status) -> String {
    let rows = &status.streams;
    let count = |is: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    let rest = |row: &Row| row.error.is_none() && row.reason == "no_alarm";
    let held = |row: &Row| row.error.is_none() && row.action == "hold" && row.reason != "no_alarm";
    let acts = |action: &'static str| move |row: &Row| row.error.is_none() && row.action == action;
    let parts = [
        (count(&acts("scale_up")), "to scale up"),
        (count(&acts("scale_down")), "to scale down"),
        (count(&acts("sync_alarms")), "to sync"),
        (count(&held), "held"),
        (count(&rest), "at rest"),
        (count(&|row| row.error.is_some()), "failed"),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, what)| format!("{n} {what}")).collect();
    if rows.is_empty() {
        return "no stream is subscribed".to_owned();
    }
    let streams = counted(rows.len(), "stream");
    format!("{streams}: {}", parts.join(", "))
}
