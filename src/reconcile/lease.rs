//! One of several hosts acts: it holds a lease in the log table under the key `#lease`, which
//! cannot be a stream name.
//!
//! The holder writes a new version every third of the lease's duration. Other hosts watch the
//! version: if it has not changed for the whole duration on their own monotonic clock, the holder
//! is dead, and a conditional write takes over the lease under the next term. Wall clocks are never
//! compared between hosts. Every intent is written together with a check of the term, and every
//! other write is sent only while the lease is valid by this host's own clocks, so that a host that
//! was suspended cannot act on an old lease.
//!
//! While DynamoDB answers no host, no host can take over the lease, and the last holder continues
//! with scale-ups alone: these are never blocked by the scaling log. A host that never held the
//! lease, such as one that starts during an outage, does the same once DynamoDB has not answered it
//! for a whole duration. By then the lease of any holder that it saw has expired, and otherwise no
//! host might scale up at all.

mod hosts;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};

pub use hosts::{Host, Role, all as hosts};

use crate::{
    aws::{self, Condition, HASH_KEY, Item, Kind, RANGE_KEY, Table, Value, Write},
    reconcile::clock::Clock,
};
use autoscaler_core::alarm::Direction;

/// How long a scale-up waits for other transactions on the lease. After that it goes ahead and may
/// have to be repeated.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// A standby writes its host item at every third beat.
const BEATS_PER_ITEM: u32 = 3;

const HASH: &str = "#lease";
const RANGE: &str = "kinesis-autoscaler";

/// Numbers the holders consecutively, as a fence against earlier holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseTerm(u64);

impl LeaseTerm {
    /// The term of a host that acts without the lease: [`Standing::Alone`]. The terms in the table
    /// begin at 1.
    pub const ALONE: Self = Self(0);
}

/// This process's view of the lease.
#[derive(Debug)]
pub struct Lease {
    table: Table,
    clock: Clock,
    /// Differs from every other process, including an earlier one on this host.
    me: String,
    duration: Duration,
    state: Mutex<State>,
    /// Serializes this process's transactions on the lease's item: DynamoDB refuses one of two
    /// concurrent ones.
    turn: tokio::sync::Mutex<()>,
    beats: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Another host's lease as last read, and since when it has not changed.
    watched: Option<(Record, Instant)>,
    /// When the last beat began, if DynamoDB did not answer it.
    unanswered: Option<Moment>,
    /// Set while every beat fails, for whatever reason.
    silence: Option<Silence>,
}

/// A run of failed beats without an answer in between.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// When the first of them began.
    since: Moment,
    /// When the last of them began.
    last: Moment,
}

#[derive(Clone, Debug)]
struct Held {
    record: Record,
    renewed: Moment,
}

/// A point in time on both clocks. The wall clock shows that the machine was suspended; the
/// monotonic one does not.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Instant,
    wall: Timestamp,
}

/// The item in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    holder: String,
    term: LeaseTerm,
    version: u64,
}

/// What this host may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Holder(LeaseTerm),
    /// The lease expired, and DynamoDB has not answered since: only scale-ups continue.
    Cut(LeaseTerm),
    /// DynamoDB has not answered for the whole duration of a lease: only scale-ups are allowed,
    /// without a lease.
    Alone,
    /// Another host has the lease, if one is known.
    Standby(Option<String>),
}

impl Lease {
    /// A lease that this process does not hold yet.
    pub fn new(table: Table, clock: Clock, host: &str, duration: Duration) -> Self {
        let me = format!(
            "{host}/{}/{}",
            std::process::id(),
            clock.now().as_microsecond()
        );
        Self {
            table,
            clock,
            me,
            duration,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            beats: AtomicU32::new(0),
        }
    }

    /// How often [`Self::beat`] has to be called.
    pub fn period(&self) -> Duration {
        self.duration / 3
    }

    /// Renews the lease, or takes it over if that is possible.
    pub async fn beat(&self) {
        let began = self.moment();
        let held = self.lock().held.clone();
        let result = match held {
            Some(held) => self.renew(held.record, began).await,
            None => self.watch(began).await,
        };
        let beats = self.beats.fetch_add(1, Ordering::Relaxed);
        if beats.is_multiple_of(BEATS_PER_ITEM) && self.lock().held.is_none() && result.is_ok() {
            let written = hosts::write(&self.table, hosts::name_of(&self.me), began.wall);
            if let Err(error) = written.await {
                tracing::debug!(%error, "could not record that this host is on standby");
            }
        }
        let Err(error) = result else {
            let mut state = self.lock();
            (state.unanswered, state.silence) = (None, None);
            return;
        };
        tracing::warn!(%error, hint = error.hint(), "the lease cannot be read or written");
        let was_alone = self.standing() == Standing::Alone;
        self.note_failure(error.kind, began);
        if !was_alone && self.standing() == Standing::Alone {
            tracing::warn!("this host scales up without a lease until DynamoDB answers");
        }
    }

    /// Records that the beat that began at `began` failed.
    fn note_failure(&self, kind: Kind, began: Moment) {
        // If the table is missing or throttled, no other host can take the lease either.
        let for_all = matches!(kind, Kind::NotFound | Kind::Throttled);
        let answered = matches!(kind, Kind::Condition | Kind::Conflict);
        let mut state = self.lock();
        state.unanswered = (!kind.is_refusal() || for_all).then_some(began);
        // Nothing is known about a time without beats, for example while the machine was suspended,
        // so counting starts again.
        let earlier = state
            .silence
            .filter(|silence| !self.ran_out(silence.last, began));
        state.silence = (!answered).then(|| Silence {
            since: earlier.map_or(began, |silence| silence.since),
            last: began,
        });
    }

    async fn renew(&self, mine: Record, began: Moment) -> Result<(), aws::Error> {
        let next = mine.next();
        match self.put(&next, Some(&mine)).await {
            Ok(()) => {
                self.hold(next, began);
                return Ok(());
            }
            Err(error) if error.kind == Kind::Condition => {}
            Err(error) => return Err(error),
        }
        match self.read().await? {
            // Our own write, perhaps of an earlier beat, whose answer was lost. Others count from
            // when it was carried out, which we do not know, so only another write makes the lease
            // valid.
            Some(found) if found.holder == self.me && found.term == mine.term => {
                let began = self.moment();
                let next = found.next();
                self.put(&next, Some(&found)).await?;
                self.hold(next, began);
            }
            found => {
                tracing::warn!(
                    holder = found.as_ref().map(|record| record.holder.as_str()),
                    "another host has taken the lease over"
                );
                let mut state = self.lock();
                state.held = None;
                state.watched = found.map(|record| (record, Instant::now()));
            }
        }
        Ok(())
    }

    async fn watch(&self, began: Moment) -> Result<(), aws::Error> {
        let found = self.read().await?;
        // The holder may have renewed the lease until this read was answered, and may act for a
        // whole duration from then on.
        let read = Instant::now();
        let free = match (&found, &self.lock().watched) {
            (None, _) => true,
            (Some(record), _) if record.holder.is_empty() => true,
            // Our own lease, taken by a write whose answer was lost.
            (Some(record), _) if record.holder == self.me => true,
            (Some(record), Some((seen, since))) if record == seen => {
                read.duration_since(*since) >= self.duration
            }
            _ => false,
        };
        if !free {
            let mut state = self.lock();
            let moved = state.watched.as_ref().map(|(seen, _)| seen) != found.as_ref();
            if moved {
                state.watched = found.map(|record| (record, read));
            }
            return Ok(());
        }
        let term = LeaseTerm(found.as_ref().map_or(0, |record| record.term.0) + 1);
        let mine = Record {
            holder: self.me.clone(),
            term,
            version: 0,
        };
        match self.put(&mine, found.as_ref()).await {
            Ok(()) => {
                tracing::info!(term = term.0, "this host holds the lease");
                self.hold(mine, began);
            }
            // Another standby was faster, or our answer was lost: the next beat finds out.
            Err(error) if error.kind == Kind::Condition => {
                if self.read().await?.as_ref() == Some(&mine) {
                    self.hold(mine, began);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Releases the lease, so that a standby need not wait until it expires, and deletes this
    /// host's item.
    pub async fn release(&self) {
        self.give_up().await;
        if let Err(error) = hosts::delete(&self.table, hosts::name_of(&self.me)).await {
            tracing::debug!(%error, "this host's word that it stands by stays for a while");
        }
    }

    async fn give_up(&self) {
        let Some(held) = self.lock().held.take() else {
            return;
        };
        let free = |record: &Record| Record {
            holder: String::new(),
            ..record.next()
        };
        let mut released = self.put(&free(&held.record), Some(&held.record)).await;
        if released
            .as_ref()
            .is_err_and(|error| error.kind == Kind::Condition)
        {
            // A beat was interrupted after its write.
            released = match self.read().await {
                Ok(Some(found)) if found.holder == self.me => {
                    self.put(&free(&found), Some(&found)).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if let Err(error) = released {
            tracing::warn!(%error, "the lease could not be released; it will expire");
        }
    }

    /// What this host may do right now by its own clocks.
    pub fn standing(&self) -> Standing {
        let now = self.moment();
        let state = self.lock();
        let is_alone = state.silence.is_some_and(|Silence { since, last }| {
            self.ran_out(since, last) && !self.ran_out(last, now)
        });
        let Some(held) = &state.held else {
            let holder = || {
                let watched = state.watched.as_ref();
                watched.map(|(record, _)| record.holder.clone())
            };
            return match is_alone {
                true => Standing::Alone,
                false => Standing::Standby(holder()),
            };
        };
        let ran_out_by = |at: Moment| self.ran_out(held.renewed, at);
        match state.unanswered {
            _ if !ran_out_by(now) => Standing::Holder(held.record.term),
            // A beat that began before the lease expired proves nothing: a process that was frozen
            // during one also finds it unanswered.
            Some(began) if ran_out_by(began) => Standing::Cut(held.record.term),
            _ if is_alone => Standing::Alone,
            // Not renewed in time: the next beat finds out whether another host took over.
            _ => Standing::Standby(None),
        }
    }

    fn ran_out(&self, renewed: Moment, at: Moment) -> bool {
        let by_wall = SignedDuration::try_from(self.duration).unwrap_or(SignedDuration::MAX);
        at.monotonic.saturating_duration_since(renewed.monotonic) >= self.duration
            || at.wall.duration_since(renewed.wall) >= by_wall
    }

    fn moment(&self) -> Moment {
        Moment {
            monotonic: Instant::now(),
            wall: self.clock.now(),
        }
    }

    /// Whether an action that was decided under `term` may still be carried out.
    pub fn allows(&self, term: LeaseTerm, direction: Direction) -> bool {
        match self.standing() {
            Standing::Holder(now) => now == term,
            Standing::Cut(now) => now == term && direction == Direction::Up,
            Standing::Alone => term == LeaseTerm::ALONE && direction == Direction::Up,
            Standing::Standby(_) => false,
        }
    }

    /// The condition that goes with an intent: DynamoDB refuses the intent if another host has
    /// taken over the lease. `None` without a lease.
    pub fn fence(&self, term: LeaseTerm) -> Option<Write> {
        if term == LeaseTerm::ALONE {
            return None;
        }
        let values = Item::from([
            (":me".to_owned(), Value::S(self.me.clone())),
            (":term".to_owned(), Value::N(term.0.to_string())),
        ]);
        let condition = Condition {
            expression: "holder = :me AND term = :term",
            values,
        };
        Some(Write::Check {
            hash: HASH.to_owned(),
            range: RANGE.to_owned(),
            condition,
        })
    }

    /// Waits until no other transaction of this process uses the lease's item, but not for long
    /// while DynamoDB does not answer.
    pub async fn intent_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        timeout(TURN_WITHIN, self.turn.lock()).await.ok()
    }

    fn hold(&self, record: Record, renewed: Moment) {
        let mut state = self.lock();
        state.watched = None;
        state.held = Some(Held { record, renewed });
    }

    async fn read(&self) -> Result<Option<Record>, aws::Error> {
        Ok(self
            .table
            .get(HASH, RANGE)
            .await?
            .as_ref()
            .map(Record::read))
    }

    async fn put(&self, record: &Record, over: Option<&Record>) -> Result<(), aws::Error> {
        let condition = match over {
            None => Condition {
                expression: "attribute_not_exists(stream_name)",
                values: Item::new(),
            },
            Some(old) => Condition {
                expression: "holder = :holder AND term = :term AND version = :version",
                values: Item::from([
                    (":holder".to_owned(), Value::S(old.holder.clone())),
                    (":term".to_owned(), Value::N(old.term.0.to_string())),
                    (":version".to_owned(), Value::N(old.version.to_string())),
                ]),
            },
        };
        let item = Item::from([
            (HASH_KEY.to_owned(), Value::S(HASH.to_owned())),
            (RANGE_KEY.to_owned(), Value::S(RANGE.to_owned())),
            ("holder".to_owned(), Value::S(record.holder.clone())),
            ("term".to_owned(), Value::N(record.term.0.to_string())),
            ("version".to_owned(), Value::N(record.version.to_string())),
        ]);
        let put = Write::Put {
            item,
            condition: Some(condition),
        };
        let _turn = self.intent_turn().await;
        self.table.write(vec![put]).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// The same lease, renewed.
    fn next(&self) -> Self {
        Self {
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// A record that cannot be read counts as that of an unknown holder, which expires like any
    /// other.
    fn read(item: &Item) -> Self {
        let number = |name: &str| match item.get(name) {
            Some(Value::N(digits)) => digits.parse().unwrap_or(0),
            _ => 0,
        };
        let holder = match item.get("holder") {
            Some(Value::S(holder)) => holder.clone(),
            _ => "unknown".to_owned(),
        };
        Self {
            holder,
            term: LeaseTerm(number("term")),
            version: number("version"),
        }
    }
}
