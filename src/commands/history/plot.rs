//! Shard counts over time in a terminal: one stream as a plot, several as a line each.

use jiff::{SignedDuration, Timestamp};

use super::{
    Log, axis,
    series::{self, Series},
};
use crate::output::times::Times;

const HEIGHT: usize = 8;
const UNICODE: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '%', '#'];
/// Longer names are cut; the table above shows them in full.
const NAME: usize = 32;

/// Whether the locale says that the terminal shows UTF-8.
pub(super) fn terminal_is_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        (!value.is_empty()).then_some(value)
    });
    let locale = set.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Plots all streams of the log in at most `width` columns.
pub(super) fn text(log: &Log, width: usize, unicode: bool, times: &Times) -> String {
    match series::all(log).as_slice() {
        [] => String::new(),
        [one] => tall(one, log, width, unicode, times),
        several => flat(several, log, width, unicode, times),
    }
}

/// The highest count in each of `columns` equal parts of the span.
fn sample(series: &Series, log: &Log, columns: usize) -> Vec<u32> {
    let span = log.until.duration_since(log.since).as_millis();
    let edge = |column: usize| {
        // A column's number is small beside the span.
        let part = span * column as i128 / columns.max(1) as i128;
        let part = SignedDuration::from_millis(i64::try_from(part).unwrap_or(i64::MAX));
        log.since.saturating_add(part).unwrap_or(Timestamp::MAX)
    };
    (0..columns)
        .map(|column| series.highest(edge(column), edge(column + 1)))
        .collect()
}

fn tall(series: &Series, log: &Log, width: usize, unicode: bool, times: &Times) -> String {
    let (_, highest) = series.bounds();
    let top = axis::counts(highest, 4).into_iter().max().unwrap_or(1);
    let label_width = top.to_string().len();
    let columns = width.saturating_sub(label_width + 2).max(10);
    let counts = sample(series, log, columns);
    let mut text = format!("shards of {}\n", series.name);
    for level in (0..HEIGHT).rev() {
        let label = match level {
            _ if level == HEIGHT - 1 => top.to_string(),
            0 => "0".to_owned(),
            _ => String::new(),
        };
        let edge = if unicode { '│' } else { '|' };
        let cells = counts.iter().map(|count| cell(*count, top, level, unicode));
        let line: String = cells.collect();
        text.push_str(&format!(
            "{label:>label_width$} {edge}{}\n",
            line.trim_end()
        ));
    }
    text + &time_axis(log, label_width + 1, columns, unicode, times)
}

/// The character for a count of at most `top` at one level of the plot.
fn cell(count: u32, top: u32, level: usize, unicode: bool) -> char {
    let eighths = (u64::from(count) * HEIGHT as u64 * 8).div_ceil(u64::from(top.max(1)));
    let here = eighths.saturating_sub(level as u64 * 8).min(8);
    if unicode {
        // At most 8.
        UNICODE[here as usize]
    } else if here >= 4 {
        '#'
    } else {
        ' '
    }
}

fn time_axis(log: &Log, indent: usize, columns: usize, unicode: bool, times: &Times) -> String {
    let span = log.until.duration_since(log.since).as_millis().max(1);
    let (corner, line, tick) = if unicode {
        ('└', '─', '┴')
    } else {
        ('+', '-', '+')
    };
    let mut rule: Vec<char> = vec![line; columns];
    let mut labels: Vec<char> = vec![' '; columns];
    for (at, label) in axis::times(log.since, log.until, columns / 12, times) {
        let past = at.duration_since(log.since).as_millis();
        let column = usize::try_from(past * columns as i128 / span).unwrap_or(0);
        let column = column.min(columns - 1);
        rule[column] = tick;
        if column + label.len() <= columns {
            for (place, letter) in labels[column..].iter_mut().zip(label.chars()) {
                *place = letter;
            }
        }
    }
    let (rule, labels): (String, String) = (rule.iter().collect(), labels.iter().collect());
    let labels = labels.trim_end();
    format!("{:indent$}{corner}{rule}\n{:indent$} {labels}\n", "", "")
}

fn flat(several: &[Series], log: &Log, width: usize, unicode: bool, times: &Times) -> String {
    let name = |series: &Series| -> String { series.name.chars().take(NAME).collect() };
    let names = several.iter().map(|it| name(it).chars().count());
    let name_width = names.max().unwrap_or(0).max(6);
    let range = |series: &Series| {
        let (low, high) = series.bounds();
        format!("{low}-{high}")
    };
    let range_width = several
        .iter()
        .map(|it| range(it).len())
        .max()
        .unwrap_or(0)
        .max(5);
    let now = |series: &Series| series.last().to_string();
    let now_width = several
        .iter()
        .map(|it| now(it).len())
        .max()
        .unwrap_or(0)
        .max(3);
    let fixed = name_width + range_width + now_width + 6;
    let columns = width.saturating_sub(fixed).max(10);
    let mut text = format!(
        "{:name_width$}  {:>range_width$}  {:columns$}  {:>now_width$}\n",
        "STREAM", "RANGE", "SHARDS OVER TIME", "NOW"
    );
    for series in several {
        let (_, highest) = series.bounds();
        let levels = if unicode { UNICODE } else { ASCII };
        let line: String = sample(series, log, columns)
            .into_iter()
            // At most 8, because no sample is above the highest count.
            .map(|count| {
                levels[(u64::from(count) * 8).div_ceil(u64::from(highest.max(1))) as usize]
            })
            .collect();
        let (name, range, now) = (name(series), range(series), now(series));
        text.push_str(&format!(
            "{name:name_width$}  {range:>range_width$}  {line}  {now:>now_width$}\n"
        ));
    }
    text + &time_axis(log, name_width + range_width + 3, columns, unicode, times)
}
