//! Which hosts are running, for people to see. Each standby writes an item to the log table;
//! nothing is decided by it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{HASH, RANGE, Record};
use crate::aws::{self, HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Table, Value, Write};

/// The hash key of these items, which cannot be a stream name. The range key is the host's name.
const HOSTS: &str = "#host";
/// How long after the last write DynamoDB may delete an item.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// A host that has not written for this many lease durations is no longer listed.
const SILENT_AFTER: i32 = 5;

/// One of several hosts. The field names are part of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    pub host: String,
    pub role: Role,
    /// When it last reported, by its own clock. `null` for the acting host, which reports through
    /// the lease.
    pub seen_at: Option<Timestamp>,
}

/// The role of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Acts,
    StandsBy,
}

/// Records that this host is on standby.
pub(super) async fn write(table: &Table, host: &str, now: Timestamp) -> Result<(), aws::Error> {
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

/// Deletes this host's item.
pub(super) async fn delete(table: &Table, host: &str) -> Result<(), aws::Error> {
    let delete = Write::Delete {
        hash: HOSTS.to_owned(),
        range: host.to_owned(),
        condition: None,
    };
    table.write(vec![delete]).await
}

/// All known hosts, the acting one first.
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
        // The acting host was on standby before, so it may still have an item.
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

/// The host's name: a holder is a host, a process and its start time.
pub(super) fn name_of(holder: &str) -> &str {
    holder.split('/').next().unwrap_or(holder)
}
