//! The log as comma-separated values.

use super::{Log, Row};

const HEADER: &str = "at,stream,region,scaling_type,shards_before,shards_after,outcome,reason,alarm,usage,note,host,version";

pub(super) fn text(log: &Log) -> String {
    let mut text = format!("{HEADER}\n");
    for row in log.rows.iter().map(Row::from) {
        let or_empty = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let fields = [
            row.at.to_string(),
            row.stream.to_owned(),
            or_empty(row.region),
            row.scaling_type.to_owned(),
            row.shards_before.to_string(),
            row.shards_after.to_string(),
            row.outcome.to_owned(),
            or_empty(row.reason),
            or_empty(row.alarm),
            row.usage.map(|usage| usage.to_string()).unwrap_or_default(),
            or_empty(row.note),
            or_empty(row.host),
            or_empty(row.version),
        ];
        text.push_str(&fields.map(|value| field(&value)).join(","));
        text.push('\n');
    }
    text
}

/// Quoted where it has to be; a quote inside is doubled.
fn field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_have_to_be() {
        for (value, expected) in [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(field(value), expected, "{value:?}");
        }
    }
}
