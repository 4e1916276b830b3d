//! The result as text, JSON and CSV.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::{
    Finished,
    advice::{HOURS_A_MONTH, HOURS_A_WEEK},
    score::Row,
};
use crate::output::{
    csv::cell,
    table::{counted, render, table, wrap},
};

const HEADER: [&str; 9] = [
    "", "$/month", "ratio", "rejected", "min/wk", "/day", "max", "peak", "unused",
];
/// Columns that a narrow terminal does without, from the first on: max, unused, /day, ratio.
const DISPENSABLE: [usize; 4] = [6, 8, 5, 2];
const LEGEND: &str = "ratio: cost against the first row; rejected: share of the records, and minutes \
    a week with rejections; /day and max: scalings a day, and the most in 24 h; peak: most shards; \
    unused: share of the paid capacity";

/// The object that `--output json` prints.
pub fn json(results: &[Finished]) -> String {
    let streams: Vec<Value> = results.iter().map(stream).collect();
    json!({ "streams": streams }).to_string() + "\n"
}

fn stream(result: &Finished) -> Value {
    let assumptions: Vec<&String> = result.notes.iter().chain(&result.model).collect();
    json!({
        "stream": result.stream,
        "from": result.from,
        "to": result.to,
        "start_shards": result.start_shards,
        "rows": result.rows,
        "advice": result.advice,
        "assumptions": assumptions,
        "complete": result.missing == 0,
    })
}

/// The rows below a header, by RFC 4180 except for the line ends.
pub fn csv(results: &[Finished]) -> String {
    let mut text = "stream,name,cost_week_usd,rejected_share,rejected_minutes_week,\
                    scalings_day,most_in_24h,peak_shards,unused_share\n"
        .to_owned();
    for result in results {
        for Row {
            name,
            cost_week_usd: cost,
            rejected_share: share,
            rejected_minutes_week: minutes,
            scalings_day: scalings,
            most_in_24h: most,
            peak_shards: peak,
            unused_share: unused,
            scalings: _,
        } in &result.rows
        {
            let stream = cell(&result.stream);
            let (name, peak) = (cell(name), optional(peak.as_ref()));
            let unused = optional(unused.as_ref());
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{stream},{name},{cost},{share},{minutes},{scalings},{most},{peak},{unused}"
            );
        }
    }
    text
}

fn optional(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// How wide text is, in a terminal of this width.
pub fn columns(width: Option<u16>) -> usize {
    width.map_or(80, |width| usize::from(width).clamp(40, 100))
}

/// Each stream's table, plot, advice and notes, and below them what holds for all.
pub fn text(results: &[Finished], width: Option<u16>) -> String {
    let columns = columns(width);
    let mut text = String::new();
    for result in results {
        section(&mut text, result, columns, width);
    }
    text.push_str(&wrap(LEGEND, "", "", columns));
    text.push('\n');
    // The skew is a stream's own, so these are the same for all.
    for assumption in results.first().into_iter().flat_map(|it| &it.model) {
        text.push_str(&wrap(assumption, "- ", "  ", columns));
    }
    text
}

fn section(text: &mut String, result: &Finished, columns: usize, width: Option<u16>) {
    let format = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    text.push_str(&format!(
        "{}: {} to {} UTC, {} at the start\n\n",
        result.stream,
        format(result.from),
        format(result.to),
        counted(result.start_shards, "shard")
    ));
    text.push_str(&rows(&result.rows, width));
    if !result.plot.is_empty() {
        text.push('\n');
        text.push_str(&result.plot);
    }
    text.push('\n');
    text.push_str(&wrap(&result.advice, "", "", columns));
    for note in &result.notes {
        text.push_str(&wrap(note, "- ", "  ", columns));
    }
    if result.missing > 0 {
        text.push_str("Interrupted: rows are missing.\n");
    }
    text.push('\n');
}

/// The table; where it does not fit, without its least important columns.
fn rows(rows: &[Row], width: Option<u16>) -> String {
    let today = rows.first().map_or(0.0, |first| first.cost_week_usd);
    let mut lines = vec![HEADER.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row, today)));
    let widest = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let room = width.map_or(usize::MAX, usize::from);
    let mut kept: Vec<usize> = (0..HEADER.len()).collect();
    for column in DISPENSABLE {
        let needed = kept.iter().map(|it| widest(*it) + 2).sum::<usize>() - 2;
        if needed <= room {
            break;
        }
        kept.retain(|it| *it != column);
    }
    let mut table = table();
    for (number, line) in lines.iter().enumerate() {
        let cells = kept.iter().map(|column| &line[*column]);
        match number {
            0 => drop(table.set_header(cells)),
            _ => drop(table.add_row(cells)),
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    render(&mut table)
}

/// One line of the table; `today` is the cost of the first row.
fn cells(row: &Row, today: f64) -> [String; HEADER.len()] {
    let Row {
        name,
        cost_week_usd: cost,
        rejected_share,
        rejected_minutes_week: minutes,
        scalings_day,
        most_in_24h,
        peak_shards,
        unused_share,
        scalings: _,
    } = row;
    let dash = || "-".to_owned();
    let ratio = (today > 0.0).then(|| cost / today);
    [
        name.clone(),
        format!("{:.0}", cost / HOURS_A_WEEK * HOURS_A_MONTH),
        ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
        format!("{:.2} %", rejected_share * 100.0),
        format!("{minutes:.1}"),
        format!("{scalings_day:.1}"),
        most_in_24h.to_string(),
        peak_shards.map_or_else(dash, |peak| peak.to_string()),
        unused_share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_has_fewer_columns() {
        let row = |name: &str, peak_shards| Row {
            name: name.to_owned(),
            cost_week_usd: 16.8,
            rejected_share: 0.001,
            rejected_minutes_week: 1.0,
            scalings_day: 2.0,
            most_in_24h: 3,
            peak_shards,
            unused_share: Some(0.5),
            scalings: Vec::new(),
        };
        let all = [row("original", Some(9)), row("on_demand_advantage", None)];
        let wide = "                     $/month  ratio  rejected  min/wk  /day  max  peak  unused";
        for (width, header) in [
            (None, wide),
            (Some(100), wide),
            (Some(78), wide),
            (
                Some(73),
                "                     $/month  ratio  rejected  min/wk  /day  peak  unused",
            ),
            (
                Some(60),
                "                     $/month  ratio  rejected  min/wk  peak",
            ),
            (
                Some(40),
                "                     $/month  rejected  min/wk  peak",
            ),
        ] {
            let table = rows(&all, width);
            assert_eq!(table.lines().next(), Some(header), "{width:?}");
            assert_eq!(table.lines().count(), 3);
        }
        assert!(
            rows(&all, Some(60))
                .contains("original                  73   1.00    0.10 %     1.0     9")
        );
    }
}
