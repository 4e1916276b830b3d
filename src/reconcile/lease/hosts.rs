//! Who is there, for people to see: each host that stands by leaves word of itself in the log
//! table. Nothing is decided by it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{HASH, RANGE, Record};
use crate::aws::{self, HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Table, Value, Write};

/// The hash key of the words, which no stream name can collide with; the range key is the host's
/// name.
const HOSTS: &str = "#host";
/// DynamoDB may delete a word that is so old.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// A host that has not written for this many lease durations is not listed any more.
const SILENT_AFTER: i32 = 5;

/// One of several hosts. The field names are a promise to users' scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    pub host: String,
    pub role: Role,
    /// When it last said so, by its own clock; `null` of the one that acts, whose word is the
    /// lease.
    pub seen_at: Option<Timestamp>,
}

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Acts,
    StandsBy,
}

/// Says that this host stands by.
pub(super) async fn stands_by(table: &Table, host: &str, now: Timestamp) -> Result<(), aws::Error> {
    let expires = now.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
    let item = Item::from([
        (HASH_KEY.to_owned(), Value::S(HOSTS.to_owned())),
        (RANGE_KEY.to_owned(), Value::S(host.to_owned())),
        ("seen_at".to_owned(), Value::S(now.to_string())),
        (
            TTL_ATTRIBUTE.to_owned(),
            Value::N(expires.as_second().to_string()),
        ),
    ]);
    let condition = None;
    table.write(vec![Write::Put { item, condition }]).await
}

/// Takes this host's word back.
pub(super) async fn leaves(table: &Table, host: &str) -> Result<(), aws::Error> {
    let delete = Write::Delete {
        hash: HOSTS.to_owned(),
        range: host.to_owned(),
        condition: None,
    };
    table.write(vec![delete]).await
}

/// All hosts that are known, the one that acts first.
pub async fn all(
    table: &Table,
    lease_duration: Duration,
    now: Timestamp,
) -> Result<Vec<Host>, aws::Error> {
    let silent_after = SignedDuration::try_from(lease_duration).unwrap_or(KEPT) * SILENT_AFTER;
    let lease = table.get(HASH, RANGE).await?;
    let words = table.query(HOSTS, "!").await?;
    let acts = lease.as_ref().map(|item| Record::read(item).holder);
    let acts = acts.filter(|holder| !holder.is_empty());
    let mut hosts: Vec<Host> = acts
        .iter()
        .map(|holder| Host {
            host: name_of(holder).to_owned(),
            role: Role::Acts,
            seen_at: None,
        })
        .collect();
    for item in &words {
        let (Some(Value::S(host)), Some(Value::S(seen))) =
            (item.get(RANGE_KEY), item.get("seen_at"))
        else {
            continue;
        };
        let seen_at = seen.parse::<Timestamp>().ok();
        let of_late = seen_at.is_some_and(|seen| now.duration_since(seen) < silent_after);
        // The one that acts has stood by before.
        if of_late && hosts.iter().all(|known| known.host != *host) {
            hosts.push(Host {
                host: host.clone(),
                role: Role::StandsBy,
                seen_at,
            });
        }
    }
    Ok(hosts)
}

/// A holder is a host, a process and its start.
pub(super) fn name_of(holder: &str) -> &str {
    holder.split('/').next().unwrap_or(holder)
}
