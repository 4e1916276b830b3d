//! A scaling as a row of the scaling log, with the original's attributes and types and some of our
//! own.

use autoscaler_core::datetime::{format_datetime, parse_datetime};
use jiff::Timestamp;

use crate::aws::{HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Value};
use autoscaler_core::scaling::{Outcome, Scaling, UnreadableRow};

/// A row of the table, which other programs may write too.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Scaling(Scaling),
    Unreadable(UnreadableRow),
}

/// Reads a row of this or another program; `None` without a hash key, which DynamoDB never returns.
pub(super) fn read(item: &Item) -> Option<Row> {
    if let Some(scaling) = from_item(item) {
        return Some(Row::Scaling(scaling));
    }
    Some(Row::Unreadable(UnreadableRow {
        stream_name: text(item, HASH_KEY)?,
        stream_arn: text(item, "stream_arn").unwrap_or_default(),
        at: text(item, RANGE_KEY).and_then(|text| parse_datetime(&text)),
    }))
}

pub(super) fn to_item(row: &Scaling) -> Item {
    let text = |value: &str| Value::S(value.to_owned());
    let mut item = Item::from([
        (HASH_KEY.to_owned(), text(&row.stream_name)),
        (RANGE_KEY.to_owned(), Value::S(format_datetime(row.at))),
        ("shard_count".to_owned(), Value::N(row.from.to_string())),
        (
            "target_shard_count".to_owned(),
            Value::N(row.to.to_string()),
        ),
        ("scaling_type".to_owned(), text(row.scaling_type())),
        (
            TTL_ATTRIBUTE.to_owned(),
            Value::N(row.expires_at.as_second().to_string()),
        ),
        ("outcome".to_owned(), text(row.outcome.code())),
    ]);
    let ours = [
        (
            "stream_arn",
            Some(&row.stream_arn).filter(|arn| !arn.is_empty()),
        ),
        ("reason", row.reason.as_ref()),
        ("alarm", row.alarm.as_ref()),
        ("note", row.note.as_ref()),
        ("host", row.host.as_ref()),
        ("version", row.version.as_ref()),
        ("intent_id", row.intent_id.as_ref()),
    ];
    item.extend(
        ours.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), text(value?)))),
    );
    if let Some(usage) = row.usage.filter(|usage| usage.is_finite()) {
        item.insert("usage".to_owned(), Value::N(format!("{usage:.4}")));
    }
    item
}

fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name) {
        Some(Value::S(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Reads a complete scaling, including one that the original wrote.
pub(super) fn from_item(item: &Item) -> Option<Scaling> {
    let text = |name: &str| text(item, name);
    let number = |name: &str| match item.get(name) {
        Some(Value::N(digits)) => Some(digits.as_str()),
        _ => None,
    };
    let expires_at = number(TTL_ATTRIBUTE).and_then(|digits| digits.parse().ok());
    let outcome = text("outcome").and_then(|code| {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.code() == code)
    });
    Some(Scaling {
        stream_name: text(HASH_KEY)?,
        at: parse_datetime(&text(RANGE_KEY)?)?,
        from: number("shard_count")?.parse().ok()?,
        to: number("target_shard_count")?.parse().ok()?,
        expires_at: expires_at
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or(Timestamp::MAX),
        outcome: outcome.unwrap_or(Outcome::Done),
        stream_arn: text("stream_arn").unwrap_or_default(),
        reason: text("reason"),
        alarm: text("alarm"),
        usage: number("usage").and_then(|digits| digits.parse().ok()),
        note: text("note"),
        host: text("host"),
        version: text("version"),
        intent_id: text("intent_id"),
    })
}

/// The marker of an open row: the row's own attributes under another key, without expiry.
pub(super) fn to_marker(row: &Scaling, hash: &str) -> Item {
    let mut marker = to_item(row);
    marker.insert(HASH_KEY.to_owned(), Value::S(hash.to_owned()));
    marker.insert(RANGE_KEY.to_owned(), Value::S(row.stream_arn.clone()));
    marker.insert(
        "open_stream_name".to_owned(),
        Value::S(row.stream_name.clone()),
    );
    marker.insert(
        "open_scaling_datetime".to_owned(),
        Value::S(format_datetime(row.at)),
    );
    marker.remove(TTL_ATTRIBUTE);
    marker.insert(
        "row_expires_at".to_owned(),
        Value::N(row.expires_at.as_second().to_string()),
    );
    marker
}

pub(super) fn from_marker(marker: &Item) -> Option<Scaling> {
    let mut item = marker.clone();
    for (name, kept_as) in [
        (HASH_KEY, "open_stream_name"),
        (RANGE_KEY, "open_scaling_datetime"),
        (TTL_ATTRIBUTE, "row_expires_at"),
    ] {
        item.insert(name.to_owned(), item.get(kept_as)?.clone());
    }
    from_item(&item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Item {
        let text = |value: &str| Value::S(value.to_owned());
        let number = |value: &str| Value::N(value.to_owned());
        Item::from([
            ("stream_name".to_owned(), text("orders")),
            (
                "scaling_datetime".to_owned(),
                text("2021-11-16T01:02:03.000456+0000"),
            ),
            ("shard_count".to_owned(), number("2")),
            ("target_shard_count".to_owned(), number("4")),
            ("scaling_type".to_owned(), text("SCALE_UP")),
            ("expiration_datetime".to_owned(), number("1638234123")),
        ])
    }

    #[test]
    fn a_row_of_the_original_is_read_and_would_be_written_the_same() {
        let row = from_item(&original()).expect("a row of the original is a row");
        assert_eq!((row.from, row.to, row.outcome), (2, 4, Outcome::Done));
        let written = to_item(&row);
        for (name, value) in original() {
            assert_eq!(written.get(&name), Some(&value), "attribute {name}");
        }
    }

    #[test]
    fn a_row_survives_the_table_and_the_marker() {
        let mut row = from_item(&original()).expect("a row");
        row.outcome = Outcome::Open;
        row.stream_arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned();
        row.intent_id = Some("host/1/2/3".to_owned());
        row.usage = Some(0.75);
        assert_eq!(
            from_item(&to_item(&row)),
            Some(row.clone()),
            "through the table"
        );
        assert_eq!(
            from_marker(&to_marker(&row, "#open")),
            Some(row),
            "through the marker"
        );
    }

    #[test]
    fn key_and_time_are_enough_to_count_a_row() {
        let at = parse_datetime("2021-11-16T01:02:03.000456+0000");
        let check = |change: &dyn Fn(&mut Item), expected: Option<Option<Timestamp>>, why: &str| {
            let mut item = original();
            change(&mut item);
            let unreadable = match read(&item) {
                Some(Row::Unreadable(row)) => Some(row.at),
                None => None,
                whole => panic!("{why}: {whole:?}"),
            };
            assert_eq!(unreadable, expected, "{why}");
        };
        let without = |name: &'static str| move |item: &mut Item| drop(item.remove(name));
        let with = |name: &'static str, value: &'static str| {
            move |item: &mut Item| drop(item.insert(name.to_owned(), Value::S(value.to_owned())))
        };
        check(&without("stream_name"), None, "no stream");
        check(&without("scaling_datetime"), Some(None), "no time");
        check(
            &with("scaling_datetime", "yesterday"),
            Some(None),
            "a time that is none",
        );
        check(&without("shard_count"), Some(at), "no count");
        check(&without("target_shard_count"), Some(at), "no target");
        check(
            &with("target_shard_count", "4"),
            Some(at),
            "a target of type S",
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_items_never_panic(texts in proptest::prelude::any::<[String; 6]>(), number in proptest::prelude::any::<i64>()) {
            let names = ["stream_name", "scaling_datetime", "shard_count", "target_shard_count", "expiration_datetime", "outcome"];
            let mut item: Item = names.into_iter().zip(texts).map(|(name, text)| (name.to_owned(), Value::N(text))).collect();
            let _ = from_item(&item);
            item.insert("scaling_datetime".to_owned(), Value::S("2021-11-16T01:02:03.000456+0000".to_owned()));
            item.insert("stream_name".to_owned(), Value::S("s".to_owned()));
            for name in ["shard_count", "target_shard_count", "expiration_datetime"] {
                item.insert(name.to_owned(), Value::N(number.to_string()));
            }
            let _ = from_item(&item);
            let _ = from_marker(&item);
        }
    }
}
