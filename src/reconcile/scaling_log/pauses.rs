//! Pauses as items of the scaling log's table, under a hash key that no stream's name can be.

use autoscaler_core::{
    constraints::Hold,
    datetime::{format_datetime, parse_datetime},
    pause::{Pause, Paused},
};
use jiff::Timestamp;

use super::{ScalingLog, lock};
use crate::aws::{self, HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Value, Write};

/// The hash key of the pauses.
const PAUSE: &str = "#pause";
/// The range key of a pause of every stream; the others' is the stream's ARN.
const ALL: &str = "*";
/// Every range key is at least this.
const FIRST: &str = "!";

impl ScalingLog {
    /// The pauses that have not ended at `now`, of every stream.
    pub async fn pauses(&self, now: Timestamp) -> Result<Vec<Pause>, aws::Error> {
        let items = self.table.query(PAUSE, FIRST).await?;
        let pauses = items.iter().filter_map(from_item);
        // DynamoDB may take days to delete an expired item.
        let pauses: Vec<Pause> = pauses.filter(|pause| now < pause.until).collect();
        lock(&self.paused).clone_from(&pauses);
        Ok(pauses)
    }

    /// The same, where one read serves all that ask within a second: the pauses are in one partition
    /// of the table.
    pub async fn shared_pauses(&self, now: Timestamp) -> Result<Vec<Pause>, aws::Error> {
        self.shared_pauses.get(now, self.pauses(now)).await
    }

    /// The same, as they were read last.
    pub fn known_pauses(&self, now: Timestamp) -> Vec<Pause> {
        let pauses = lock(&self.paused).clone();
        pauses.into_iter().filter(|it| now < it.until).collect()
    }

    /// Begins a pause, in place of an earlier one of the same stream.
    pub async fn pause(&self, pause: &Pause) -> Result<(), aws::Error> {
        let item = to_item(pause, &self.host);
        let condition = None;
        self.table.write(vec![Write::Put { item, condition }]).await
    }

    /// Ends a pause.
    pub async fn resume(&self, of: &Paused) -> Result<(), aws::Error> {
        let delete = Write::Delete {
            hash: PAUSE.to_owned(),
            range: range(of).to_owned(),
            condition: None,
        };
        self.table.write(vec![delete]).await
    }
}

fn range(of: &Paused) -> &str {
    match of {
        Paused::All => ALL,
        Paused::Stream { arn, .. } => arn,
    }
}

fn to_item(pause: &Pause, host: &str) -> Item {
    let text = |value: &str| Value::S(value.to_owned());
    let mut item = Item::from([
        (HASH_KEY.to_owned(), text(PAUSE)),
        (RANGE_KEY.to_owned(), text(range(&pause.of))),
        ("direction".to_owned(), text(pause.hold.code())),
        ("owner".to_owned(), text(&pause.owner)),
        ("reason".to_owned(), text(&pause.reason)),
        ("host".to_owned(), text(host)),
        (
            "paused_at".to_owned(),
            Value::S(format_datetime(pause.since)),
        ),
        (
            TTL_ATTRIBUTE.to_owned(),
            Value::N(pause.until.as_second().to_string()),
        ),
    ]);
    if let Paused::Stream { name, .. } = &pause.of {
        item.insert("paused_stream_name".to_owned(), text(name));
    }
    item
}

/// Reads a pause; `None` for one without an end.
fn from_item(item: &Item) -> Option<Pause> {
    let text = |name: &str| match item.get(name) {
        Some(Value::S(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(Value::N(seconds)) = item.get(TTL_ATTRIBUTE) else {
        return None;
    };
    let until = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    let range = text(RANGE_KEY)?;
    let of = match range.as_str() {
        ALL => Paused::All,
        arn => Paused::Stream {
            name: text("paused_stream_name")
                .or_else(|| arn.rsplit('/').next().map(str::to_owned))
                .unwrap_or_default(),
            arn: range,
        },
    };
    Some(Pause {
        of,
        // What nobody can read holds both.
        hold: text("direction")
            .and_then(|code| Hold::from_code(&code))
            .unwrap_or(Hold::Both),
        owner: text("owner").unwrap_or_else(|| "an unknown person".to_owned()),
        reason: text("reason").unwrap_or_else(|| "no reason is given".to_owned()),
        since: text("paused_at")
            .and_then(|at| parse_datetime(&at))
            .unwrap_or(Timestamp::UNIX_EPOCH),
        until,
    })
}
