//! The scaling log as comma-separated values.

use super::Log;
use crate::output::csv::cell;

const HEADER: &str = "at,stream,region,scaling_type,shards_before,shards_after,outcome,reason,alarm,usage,note,host,version";

pub(super) fn text(log: &Log) -> String {
    let mut text = format!("{HEADER}\n");
    for row in log.all_rows() {
        let number = |number: Option<u32>| number.map(|it| it.to_string()).unwrap_or_default();
        let cell = |value: Option<&str>| cell(value.unwrap_or_default());
        let cells = [
            row.at.map(|at| at.to_string()).unwrap_or_default(),
            cell(Some(row.stream)),
            cell(row.region),
            cell(row.scaling_type),
            number(row.shards_before),
            number(row.shards_after),
            cell(Some(row.outcome)),
            cell(row.reason),
            cell(row.alarm),
            row.usage.map(|usage| usage.to_string()).unwrap_or_default(),
            cell(row.note),
            cell(row.host),
            cell(row.version),
        ];
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}
