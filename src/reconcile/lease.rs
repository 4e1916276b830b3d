//! One of several hosts acts: a lease in the log table, under the key `#lease`, which no stream
//! name can collide with.
//!
//! The holder writes a new version every third of the lease's duration. Others judge by watching: a
//! version that has not moved for the whole duration of their own monotonic clock is dead, and a
//! conditional write takes it over under the next term; wall clocks are never compared between
//! hosts. Every intent is written only together with a check of the term, and every other write
//! only while the lease is valid by this host's own clocks, so that a host that was asleep cannot
//! act on an old lease.
//!
//! While DynamoDB answers nobody, no one can take the lease over, and the last holder goes on with
//! scale-ups alone: they are never blocked by the log. So does a host that never held the lease,
//! such as one that starts during an outage, once DynamoDB has not answered it for a whole
//! duration: by then the lease of any holder that it saw has run out, and otherwise no host at all
//! might scale up.

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

/// A scale-up does not wait longer for those before it: without its turn it may have to be tried
/// again.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// A standby says so at every third look.
const BEATS_PER_WORD: u32 = 3;

const HASH: &str = "#lease";
const RANGE: &str = "kinesis-autoscaler";

/// Numbers the holders consecutively: a fence against earlier holders.
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
    /// Unlike any other process, also an earlier one of this host.
    me: String,
    duration: Duration,
    state: Mutex<State>,
    /// This process's transactions on the lease's item, one at a time: of two that meet, DynamoDB
    /// refuses one.
    turn: tokio::sync::Mutex<()>,
    beats: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Somebody's lease as it was read last, and since when it has not moved.
    watched: Option<(Record, Instant)>,
    /// When the last beat began, if DynamoDB did not answer it.
    unanswered: Option<Moment>,
    /// Since when every beat has failed, for whatever reason.
    silence: Option<Silence>,
}

/// A run of failed beats that is not interrupted by an answer.
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

/// A point in time by both clocks: the wall clock shows a sleep of the whole machine, which the
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
    /// The lease ran out, and DynamoDB has not answered since: scale-ups alone go on.
    Cut(LeaseTerm),
    /// DynamoDB has not answered for the whole duration of a lease: scale-ups alone are allowed,
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

    /// Renews the lease, or looks whether it can be taken over, and takes it.
    pub async fn beat(&self) {
        let began = self.moment();
        let held = self.lock().held.clone();
        let result = match held {
            Some(held) => self.renew(held.record, began).await,
            None => self.watch(began).await,
        };
        let beats = self.beats.fetch_add(1, Ordering::Relaxed);
        if beats.is_multiple_of(BEATS_PER_WORD) && self.lock().held.is_none() && result.is_ok() {
            let told = hosts::stands_by(&self.table, hosts::name_of(&self.me), began.wall);
            if let Err(error) = told.await {
                tracing::debug!(%error, "could not announce that this host stands by");
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

    /// Notes that the beat that began at `began` failed.
    fn note_failure(&self, kind: Kind, began: Moment) {
        // Without a table, or throttled, nobody else can take the lease either.
        let for_all = matches!(kind, Kind::NotFound | Kind::Throttled);
        let answered = matches!(kind, Kind::Condition | Kind::Conflict);
        let mut state = self.lock();
        state.unanswered = (!kind.is_refusal() || for_all).then_some(began);
        // Nothing is known of a time without beats, such as a sleep of the machine: the count
        // starts again.
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
            // when it was carried out, which we do not know: only another write makes the lease
            // valid from now on.
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
        // The holder may have renewed until the read was answered, and may act for a whole duration
        // from then on.
        let read = Instant::now();
        let free = match (&found, &self.lock().watched) {
            (None, _) => true,
            (Some(record), _) if record.holder.is_empty() => true,
            // Our own, taken by a write whose answer was lost.
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
            // Another standby was faster, or our answer was lost: the next beat tells.
            Err(error) if error.kind == Kind::Condition => {
                if self.read().await?.as_ref() == Some(&mine) {
                    self.hold(mine, began);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Gives the lease up, so that a standby need not wait for it to run out, and takes back the
    /// word of having stood by.
    pub async fn release(&self) {
        self.give_up().await;
        if let Err(error) = hosts::leaves(&self.table, hosts::name_of(&self.me)).await {
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
            // A beat was cut short after its write.
            released = match self.read().await {
                Ok(Some(found)) if found.holder == self.me => {
                    self.put(&free(&found), Some(&found)).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if let Err(error) = released {
            tracing::warn!(%error, "the lease could not be given up; it runs out by itself");
        }
    }

    /// What this host may do right now, by its own clocks.
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
            // A beat that began before the lease ran out tells nothing: a process that was frozen
            // during one finds it unanswered too.
            Some(began) if ran_out_by(began) => Standing::Cut(held.record.term),
            _ if is_alone => Standing::Alone,
            // Not renewed in time: the next beat finds out whether it was taken over.
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

    /// Whether what was decided under `term` may still be carried out.
    pub fn allows(&self, term: LeaseTerm, direction: Direction) -> bool {
        match self.standing() {
            Standing::Holder(now) => now == term,
            Standing::Cut(now) => now == term && direction == Direction::Up,
            Standing::Alone => term == LeaseTerm::ALONE && direction == Direction::Up,
            Standing::Standby(_) => false,
        }
    }

    /// The check that goes with an intent: DynamoDB itself refuses it when the lease has passed to
    /// another. There is none without a lease.
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

    /// Waits until no other transaction of this process is on the lease's item; while DynamoDB does
    /// not answer, not for long.
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

    /// What cannot be read counts as an unknown holder's, which runs out as any other.
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
