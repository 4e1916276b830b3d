//! The log of scalings in DynamoDB, in the original's table and format.
//!
//! A scaling is written before it is carried out, with the outcome `open`, together with a marker
//! whose key is `#open` (which cannot be a stream name) and the stream's ARN. The marker makes it
//! possible to find open scalings without reading every stream's rows, and lets only one scaling of
//! a stream be open at a time, whichever host started it. Rows that DynamoDB does not accept wait
//! in the [`Spool`].

mod pauses;
mod row;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

use crate::reconcile::spool::{Spool, SpoolError};

use crate::{
    aws::{self, Condition, Kind, SharedRead, Table, Value, Write},
    config::Config,
};
use autoscaler_core::datetime::format_datetime;
use autoscaler_core::pause::Pause;
use autoscaler_core::scaling::{Outcome, RecentScalings, Scaling};

use row::Row;

/// The hash key of the markers.
const OPEN: &str = "#open";
/// Every marker's range key is an ARN.
const FIRST_ARN: &str = "arn:";

/// How many range keys are tried for a new row, each one microsecond after the last.
const KEYS_TO_TRY: u32 = 3;
const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);

/// The widest offset of any time zone from UTC.
const WIDEST_OFFSET: SignedDuration = SignedDuration::from_hours(14);

/// The scaling log, and what this process knows about it.
#[derive(Debug)]
pub struct ScalingLog {
    table: Table,
    spool: Mutex<Spool>,
    /// Scalings known to be open, by stream ARN.
    open: Mutex<BTreeMap<String, Scaling>>,
    /// The pauses as they were read last.
    paused: Mutex<Vec<Pause>>,
    /// The same, as the streams of a tick share them.
    shared_pauses: SharedRead<Vec<Pause>>,
    retention: SignedDuration,
    host: String,
    sequence: AtomicU64,
}

/// What happened to an intent.
#[derive(Debug)]
pub enum Opened {
    /// It is in the table.
    Logged(Scaling),
    /// DynamoDB did not accept it; it waits in the spool.
    Spooled(Scaling, aws::Error),
    /// Another scaling of the stream is open, perhaps on another host, or another host has taken
    /// over the lease.
    AlreadyOpen,
}

/// Why the scaling log cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ScalingLogError {
    #[error("the log does not take rows")]
    Table(#[source] aws::Error),
    #[error("the log does not take rows, and the spool does not either")]
    Both(#[source] SpoolError),
    #[error("the rows that a command has left cannot be taken into the spool")]
    TakeIn(#[source] SpoolError),
}

impl ScalingLog {
    /// The log of `config`, with the rows that `spool` holds; nothing is sent yet.
    pub fn new(config: &Config, table: Table, host: String, spool: Spool) -> Self {
        let retention = SignedDuration::from_hours(24 * i64::from(config.log.retention_days));
        let open = open_rows(&spool);
        Self {
            table,
            spool: Mutex::new(spool),
            open: Mutex::new(open),
            paused: Mutex::default(),
            shared_pauses: SharedRead::default(),
            retention,
            host,
            sequence: AtomicU64::new(0),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many rows wait for DynamoDB.
    pub fn spooled(&self) -> usize {
        lock(&self.spool).rows().count()
    }

    /// Completes a new row with identity, host, version and expiry.
    pub fn begin(&self, mut row: Scaling) -> Scaling {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        row.intent_id = Some(format!(
            "{}/{}/{}/{sequence}",
            self.host,
            std::process::id(),
            row.at.as_microsecond()
        ));
        row.host = Some(self.host.clone());
        row.version = Some(env!("CARGO_PKG_VERSION").to_owned());
        row.expires_at = row
            .at
            .saturating_add(self.retention)
            .unwrap_or(Timestamp::MAX);
        row
    }

    /// Writes an intent together with the lease's `fence`, or spools it if `may_spool`: a scale-up
    /// is never blocked by the log, a scale-down is.
    pub async fn open(
        &self,
        mut row: Scaling,
        may_spool: bool,
        fence: Option<Write>,
    ) -> Result<Opened, ScalingLogError> {
        let mut refused = false;
        for _ in 0..KEYS_TO_TRY {
            let mut with_fence = writes(&row);
            with_fence.extend(fence.clone());
            match self.table.write(with_fence).await {
                Ok(()) => {
                    lock(&self.open).insert(row.stream_arn.clone(), row.clone());
                    return Ok(Opened::Logged(row));
                }
                // A stream of the same name in another Region may have a row of the same
                // microsecond.
                Err(error) if error.kind == Kind::Condition => {
                    refused = true;
                    row.at = row.at.saturating_add(MICROSECOND).unwrap_or(row.at);
                }
                // The log refused the row before it became unavailable.
                Err(_) if refused => break,
                Err(error) if may_spool => {
                    lock(&self.spool)
                        .put(row.clone())
                        .map_err(ScalingLogError::Both)?;
                    lock(&self.open).insert(row.stream_arn.clone(), row.clone());
                    return Ok(Opened::Spooled(row, error));
                }
                Err(error) => return Err(ScalingLogError::Table(error)),
            }
        }
        self.learn(&row.stream_arn).await;
        Ok(Opened::AlreadyOpen)
    }

    /// Remembers the scaling that is open on a stream, so that it is settled even if the log cannot
    /// be searched.
    async fn learn(&self, stream_arn: &str) {
        // Without an answer, the next refresh finds it.
        if let Ok(Some(marker)) = self.table.get(OPEN, stream_arn).await
            && let Some(row) = row::from_marker(&marker)
        {
            lock(&self.open).insert(stream_arn.to_owned(), row);
        }
    }

    /// Whether another process has settled this scaling. A row that is missing or cannot be read
    /// has not been settled.
    pub async fn is_settled(&self, row: &Scaling) -> bool {
        if lock(&self.spool).has(row) {
            return false;
        }
        let key = format_datetime(row.at);
        let there = self.table.get(&row.stream_name, &key).await.ok().flatten();
        let there = there.as_ref().and_then(row::from_item);
        let settled = there.is_some_and(|there| {
            there.intent_id == row.intent_id && there.outcome != Outcome::Open
        });
        if settled {
            self.forget(row);
        }
        settled
    }

    /// Forgets that this scaling is open; another one of the stream may be.
    fn forget(&self, row: &Scaling) {
        let mut open = lock(&self.open);
        if open
            .get(&row.stream_arn)
            .is_some_and(|known| known.intent_id == row.intent_id)
        {
            open.remove(&row.stream_arn);
        }
    }

    /// Writes how a scaling ended. If DynamoDB does not accept it, it is spooled.
    pub async fn close(
        &self,
        mut row: Scaling,
        outcome: Outcome,
        note: Option<String>,
    ) -> Result<(), ScalingLogError> {
        row.outcome = outcome;
        row.note = note.or(row.note);
        let spooled = lock(&self.spool).has(&row);
        // A row that waits in the spool is closed there: delivered out of order it would become
        // open again.
        let sent = if spooled {
            None
        } else {
            Some(self.table.write(writes(&row)).await)
        };
        let sent = match sent {
            // The marker belongs to another scaling now, or another host has settled this one, and
            // then the row alone is refused as well.
            Some(Err(error)) if error.kind == Kind::Condition => {
                Some(self.table.write(vec![put_row(&row)]).await)
            }
            sent => sent,
        };
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) if error.kind == Kind::Condition => {}
            None | Some(Err(_)) => lock(&self.spool)
                .put(row.clone())
                .map_err(ScalingLogError::Both)?,
        }
        self.forget(&row);
        Ok(())
    }

    /// Takes over the rows that commands have left beside the spool.
    pub fn take_in(&self) -> Result<(), ScalingLogError> {
        lock(&self.spool).take_in().map_err(ScalingLogError::TakeIn)
    }

    /// Sends the rows in the spool once each, as far as possible in `within`, and returns how many
    /// were delivered.
    ///
    /// A row that DynamoDB refuses is skipped, so that it does not hold up the others.
    pub async fn deliver(&self, within: Duration) -> Result<usize, ScalingLogError> {
        let waiting: Vec<Scaling> = lock(&self.spool).rows().cloned().collect();
        let deadline = Instant::now() + within;
        let mut delivered = Vec::new();
        let mut failed = None;
        for row in waiting {
            match timeout_at(deadline, self.send(&row)).await {
                Ok(Ok(())) => delivered.push(row),
                Ok(Err(error)) if error.kind == Kind::Invalid => {
                    tracing::error!(%error, stream = row.stream_name, at = %row.at, "the log refuses a spooled row; it stays in the spool");
                }
                Ok(Err(error)) => {
                    failed = Some(error);
                    break;
                }
                // The next tick sends the rest. Sending a row twice has the effect of sending it
                // once.
                Err(_) => break,
            }
        }
        lock(&self.spool)
            .remove(&delivered)
            .map_err(ScalingLogError::Both)?;
        failed.map_or(Ok(delivered.len()), |error| {
            Err(ScalingLogError::Table(error))
        })
    }

    async fn send(&self, row: &Scaling) -> Result<(), aws::Error> {
        match self.table.write(writes(row)).await {
            Err(error) if error.kind == Kind::Condition => self.deliver_alone(row.clone()).await,
            sent => sent,
        }
    }

    /// Sends a row without its marker, because another scaling of the stream is open now, or the
    /// row's key is taken.
    async fn deliver_alone(&self, mut row: Scaling) -> Result<(), aws::Error> {
        for _ in 0..KEYS_TO_TRY {
            match self.table.write(vec![put_row(&row)]).await {
                Err(error) if error.kind == Kind::Condition => {}
                sent => return sent,
            }
            let key = format_datetime(row.at);
            let there = self.table.get(&row.stream_name, &key).await?;
            let there = there.as_ref().and_then(row::from_item);
            if there.is_some_and(|there| there.intent_id == row.intent_id) {
                // Only its answer was lost, and the process that settled it knew more.
                return Ok(());
            }
            row.at = row.at.saturating_add(MICROSECOND).unwrap_or(row.at);
        }
        tracing::error!(stream = row.stream_name, at = %row.at, "the keys of a spooled row are taken; it is dropped");
        Ok(())
    }

    /// Reads from the table which scalings are open, whichever process on whichever host started
    /// them.
    pub async fn refresh_open(&self) -> Result<(), aws::Error> {
        let before = lock(&self.open).clone();
        let markers = self.table.query(OPEN, FIRST_ARN).await?;
        let mut read = open_rows(&lock(&self.spool));
        let markers = markers.iter().filter_map(row::from_marker);
        read.extend(markers.map(|row| (row.stream_arn.clone(), row)));
        // What this process opened or closed since the query was sent is newer than the answer.
        let mut open = lock(&self.open);
        for arn in before.keys().filter(|arn| !open.contains_key(*arn)) {
            read.remove(arn);
        }
        let new = |(arn, row): &(&String, &Scaling)| before.get(*arn) != Some(*row);
        let opened = open.iter().filter(new);
        let opened: Vec<_> = opened
            .map(|(arn, row)| (arn.clone(), row.clone()))
            .collect();
        read.extend(opened);
        *open = read;
        Ok(())
    }

    /// The scalings known to be open.
    pub fn open_scalings(&self) -> Vec<Scaling> {
        lock(&self.open).values().cloned().collect()
    }

    /// The stream's scalings since `since`, oldest first, including those in the spool or known to
    /// be open. If the table cannot be read, only the latter, and the error.
    ///
    /// Rows of a stream with the same name in another account or Region are left out; the
    /// original's rows have no ARN and count.
    pub async fn recent(
        &self,
        stream: &str,
        stream_arn: &str,
        since: Timestamp,
    ) -> (RecentScalings, Option<aws::Error>) {
        let (rows, error) = match self.rows(stream, since).await {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let left_open = lock(&self.open).get(stream_arn).cloned();
        let of_spool = self.spooled_rows(stream);
        let ours = |arn: &str| arn.is_empty() || arn == stream_arn;
        let mut scalings: BTreeMap<Timestamp, Scaling> = BTreeMap::new();
        let mut unreadable = Vec::new();
        let known = left_open.into_iter().map(Row::Scaling).chain(rows);
        for row in known.chain(of_spool.into_iter().map(Row::Scaling)) {
            match row {
                Row::Scaling(row) if ours(&row.stream_arn) => {
                    scalings.insert(row.at, row);
                }
                Row::Unreadable(row) if ours(&row.stream_arn) => unreadable.push(row),
                Row::Scaling(_) | Row::Unreadable(_) => {}
            }
        }
        let recent = RecentScalings {
            scalings: scalings.into_values().collect(),
            unreadable,
            unread: error.as_ref().map(ToString::to_string),
        };
        (recent, error)
    }

    /// The rows of the table under the stream's name since `since`.
    async fn rows(&self, stream: &str, since: Timestamp) -> Result<Vec<Row>, aws::Error> {
        // The table sorts by the text of the key, which other programs may write in local time.
        let from = since.saturating_sub(WIDEST_OFFSET).unwrap_or(since);
        let items = self.table.query(stream, &format_datetime(from)).await?;
        let rows = items.iter().filter_map(row::read);
        let is_recent = |row: &Row| match row {
            Row::Scaling(row) => row.at >= since,
            Row::Unreadable(row) => row.at.is_none_or(|at| at >= since),
        };
        Ok(rows.filter(is_recent).collect())
    }

    fn spooled_rows(&self, stream: &str) -> Vec<Scaling> {
        let spool = lock(&self.spool);
        let rows = spool.rows().filter(|row| row.stream_name == stream);
        rows.cloned().collect()
    }

    /// No row since then has expired.
    pub fn complete_since(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.retention).unwrap_or(Timestamp::MIN)
    }

    /// The stream's newest scaling, however old; `None` where the newest row is another stream's of
    /// the same name, or unreadable.
    pub async fn newest(
        &self,
        stream: &str,
        stream_arn: &str,
    ) -> Result<Option<Scaling>, aws::Error> {
        let item = self.table.newest(stream).await?;
        Ok(item
            .as_ref()
            .and_then(row::from_item)
            .filter(|row| row.stream_arn.is_empty() || row.stream_arn == stream_arn))
    }

    /// All rows under the stream's name from `since` on, oldest first, whatever their ARN,
    /// including those in this host's spool.
    pub async fn history(
        &self,
        stream: &str,
        since: Timestamp,
    ) -> Result<RecentScalings, aws::Error> {
        let mut scalings: BTreeMap<(Timestamp, String), Scaling> = BTreeMap::new();
        let mut unreadable = Vec::new();
        let of_spool = self.spooled_rows(stream).into_iter();
        let of_spool = of_spool.filter(|row| row.at >= since).map(Row::Scaling);
        for row in self.rows(stream, since).await?.into_iter().chain(of_spool) {
            match row {
                Row::Scaling(row) => {
                    scalings.insert((row.at, row.stream_arn.clone()), row);
                }
                Row::Unreadable(row) => unreadable.push(row),
            }
        }
        Ok(RecentScalings {
            scalings: scalings.into_values().collect(),
            unreadable,
            unread: None,
        })
    }
}

/// The scalings that wait in the spool and have not ended, by stream ARN.
fn open_rows(spool: &Spool) -> BTreeMap<String, Scaling> {
    let open = spool.rows().filter(|row| row.outcome == Outcome::Open);
    open.map(|row| (row.stream_arn.clone(), row.clone()))
        .collect()
}

/// The row together with its marker, which is written while the row is open and deleted afterwards.
fn writes(row: &Scaling) -> Vec<Write> {
    let condition = own("attribute_not_exists(stream_name) OR intent_id = :id", row);
    let marker = if row.outcome == Outcome::Open {
        Write::Put {
            item: row::to_marker(row, OPEN),
            condition: Some(condition),
        }
    } else {
        Write::Delete {
            hash: OPEN.to_owned(),
            range: row.stream_arn.clone(),
            condition: Some(condition),
        }
    };
    vec![put_row(row), marker]
}

/// The row may replace only itself, so that a write that is sent twice, or later from the spool,
/// takes effect once. An open row never replaces one that any host has closed.
fn put_row(row: &Scaling) -> Write {
    let condition = if row.outcome == Outcome::Open {
        let open = Value::S(Outcome::Open.code().to_owned());
        let mut condition = own(
            "attribute_not_exists(stream_name) OR (intent_id = :id AND outcome = :open)",
            row,
        );
        condition.values.insert(":open".to_owned(), open);
        condition
    } else {
        own("attribute_not_exists(stream_name) OR intent_id = :id", row)
    };
    Write::Put {
        item: row::to_item(row),
        condition: Some(condition),
    }
}

/// A condition on the row's own `:id`.
fn own(expression: &'static str, row: &Scaling) -> Condition {
    let id = row.intent_id.clone().unwrap_or_default();
    Condition {
        expression,
        values: BTreeMap::from([(":id".to_owned(), Value::S(id))]),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
