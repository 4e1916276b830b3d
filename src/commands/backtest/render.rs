//! The result as text, JSON and CSV.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::{
    Backtested,
    advice::{HOURS_A_MONTH, HOURS_A_WEEK, advice, assumptions},
    plot,
    score::Row,
};
use crate::output::table::{render, table, wrap};

const HEADER: [&str; 9] = [
    "", "$/month", "ratio", "rejected", "min/wk", "/day", "max", "peak", "unused",
];
const LEGEND: &str = "ratio: cost against the first row; rejected: share of the records, and minutes \
    a week with rejections; /day and max: scalings a day, and the most in 24 h; peak: most shards; \
    unused: share of the paid capacity";

/// The object that `--output json` prints.
pub fn json(results: &[Backtested]) -> String {
    let streams: Vec<Value> = results.iter().map(stream).collect();
    json!({ "streams": streams }).to_string() + "\n"
}

fn stream(result: &Backtested) -> Value {
    let demand = &result.demand;
    let rows: Vec<&Row> = result.outcomes.iter().map(|outcome| &outcome.row).collect();
    json!({
        "stream": demand.stream,
        "from": demand.start,
        "to": demand.time(demand.minutes.len()),
        "start_shards": result.start_shards,
        "rows": rows,
        "advice": advice(result),
        "assumptions": assumptions(result),
    })
}

/// The rows below a header, by RFC 4180 except for the line ends.
pub fn csv(results: &[Backtested]) -> String {
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
        } in result.outcomes.iter().map(|outcome| &outcome.row)
        {
            let stream = quoted(&result.demand.stream);
            let (name, peak) = (quoted(name), optional(peak.as_ref()));
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

fn quoted(cell: &str) -> String {
    match cell.contains(['"', ',', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

/// The table, the advice and the assumptions; on a terminal also a plot.
pub fn text(result: &Backtested, width: Option<u16>) -> String {
    let columns = width.map_or(80, |width| usize::from(width).clamp(40, 100));
    let demand = &result.demand;
    let end = demand.time(demand.minutes.len());
    let format = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    let mut text = format!(
        "{}: {} to {} UTC, {} shards at the start\n\n",
        demand.stream,
        format(demand.start),
        format(end),
        result.start_shards
    );
    text.push_str(&rows(result));
    text.push_str(&wrap(LEGEND, "", "", columns));
    if width.is_some() {
        text.push('\n');
        text.push_str(&plot::text(result, columns));
    }
    text.push('\n');
    text.push_str(&wrap(&advice(result), "", "", columns));
    text.push('\n');
    for assumption in assumptions(result) {
        text.push_str(&wrap(&assumption, "- ", "  ", columns));
    }
    if result.missing > 0 {
        text.push_str("Interrupted: rows are missing.\n");
    }
    text
}

fn rows(result: &Backtested) -> String {
    let mut table = table();
    table.set_header(HEADER);
    let today = result.outcomes.first().map(|first| first.row.cost_week_usd);
    for Row {
        name,
        cost_week_usd: cost,
        rejected_share,
        rejected_minutes_week: minutes,
        scalings_day,
        most_in_24h,
        peak_shards,
        unused_share,
    } in result.outcomes.iter().map(|outcome| &outcome.row)
    {
        let ratio = today.filter(|today| *today > 0.0).map(|today| cost / today);
        let dash = || "-".to_owned();
        table.add_row([
            name.clone(),
            format!("{:.0}", cost / HOURS_A_WEEK * HOURS_A_MONTH),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
            format!("{:.2} %", rejected_share * 100.0),
            format!("{minutes:.1}"),
            format!("{scalings_day:.1}"),
            most_in_24h.to_string(),
            peak_shards.map_or_else(dash, |peak| peak.to_string()),
            unused_share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    render(&mut table)
}
