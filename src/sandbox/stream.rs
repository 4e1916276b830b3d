//! One stream: its shards over time, its way through UPDATING, and what it measures.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::traffic::{Load, Traffic};

/// UpdateShardCount calls that AWS allows a stream in 24 hours.
pub(crate) const UPDATES_A_DAY: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Provisioned,
    OnDemand,
}

/// A resharding that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub from: u32,
    pub to: u32,
    pub until: Timestamp,
}

impl Update {
    /// Open shards half-way: neither the count before nor the target, and above both when there is nothing between.
    pub(crate) fn transient(&self) -> u32 {
        let middle = u32::midpoint(self.from, self.to);
        if middle == self.from || middle == self.to {
            self.from.max(self.to) + 1
        } else {
            middle
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub created: Timestamp,
    pub mode: Mode,
    /// Open shards when no resharding runs.
    pub shards: u32,
    pub update: Option<Update>,
    /// A status that is set by hand, such as CREATING.
    pub forced_status: Option<String>,
    /// When UpdateShardCount was called, over the last 24 hours.
    pub updates: VecDeque<Timestamp>,
    pub traffic: Option<Traffic>,
    /// Second since the epoch from which on there were so many shards; sorted. The first holds before it too.
    history: Vec<(i64, u32)>,
}

impl Stream {
    pub(crate) fn new(created: Timestamp, mode: Mode, shards: u32) -> Self {
        Self {
            created,
            mode,
            shards,
            update: None,
            forced_status: None,
            updates: VecDeque::new(),
            traffic: None,
            history: vec![(created.as_second(), shards)],
        }
    }

    /// Ends a resharding whose time is over.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        if let Some(update) = self.update.take_if(|update| update.until <= now) {
            self.set_shards(update.until, update.to);
        }
    }

    /// Sets the count at once, from `at` on.
    pub(crate) fn set_shards(&mut self, at: Timestamp, shards: u32) {
        self.shards = shards;
        // A clock that was set back must not put the history out of order.
        let last = self.history.last().map_or(i64::MIN, |(at, _)| *at);
        self.history.push((at.as_second().max(last), shards));
    }

    pub(crate) fn status(&self) -> &str {
        match (&self.forced_status, self.update) {
            (Some(status), _) => status,
            (None, Some(_)) => "UPDATING",
            (None, None) => "ACTIVE",
        }
    }

    /// What DescribeStreamSummary reports: a transient number while the stream is UPDATING.
    pub(crate) fn open_shards(&self) -> u32 {
        self.update.map_or(self.shards, |update| update.transient())
    }

    /// What counts towards the account's limit.
    pub(crate) fn counted_shards(&self) -> u32 {
        match (self.mode, self.update) {
            (Mode::OnDemand, _) => 0,
            (_, None) => self.shards,
            (_, Some(update)) => update.transient().max(update.from).max(update.to),
        }
    }

    pub(crate) fn updates_within_a_day(&mut self, now: Timestamp) -> usize {
        let day_ago = now
            .saturating_sub(SignedDuration::from_hours(24))
            .unwrap_or(Timestamp::MIN);
        self.updates.retain(|at| *at > day_ago);
        self.updates.len()
    }

    /// Starts a resharding and counts it.
    pub(crate) fn start_update(&mut self, now: Timestamp, to: u32, window: SignedDuration) {
        self.updates.push_back(now);
        self.update = Some(Update {
            from: self.shards,
            to,
            until: now.saturating_add(window).unwrap_or(Timestamp::MAX),
        });
        self.settle(now);
    }

    fn shards_at(&self, second: i64) -> u32 {
        let past = self.history.partition_point(|(at, _)| *at <= second);
        self.history
            .get(past.saturating_sub(1))
            .map_or(self.shards, |(_, shards)| *shards)
    }

    /// What the metrics say of `minute`: accepted bytes and records, and rejected records. `None` has no data.
    pub(crate) fn minute(&self, minute: i64) -> Option<(Load, f64)> {
        let demand = self.traffic.as_ref()?.demand(minute)?;
        let delivered = demand.delivered(self.shards_at(minute * 60));
        let load = Load::new(delivered.bytes.round(), delivered.records.round());
        Some((load, (demand.records - delivered.records).round()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transient_count_is_neither_the_old_nor_the_new_one() {
        for from in 1..40_u32 {
            for to in from.div_ceil(2)..=2 * from {
                let update = Update {
                    from,
                    to,
                    until: at(0),
                };
                let transient = update.transient();
                assert!(transient != from && transient != to, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn metrics_are_held_down_by_the_shards_of_their_minute() {
        let mut stream = Stream::new(at(0), Mode::Provisioned, 1);
        stream.traffic = Some(Traffic::constant(Load::of_shards(3.0)));
        stream.start_update(at(600), 2, SignedDuration::from_mins(2));
        assert_eq!((stream.status(), stream.shards), ("UPDATING", 1));
        stream.settle(at(719));
        assert_eq!(stream.status(), "UPDATING");
        stream.settle(at(720));
        assert_eq!((stream.status(), stream.shards), ("ACTIVE", 2));
        let shard = Load::of_shards(1.0).bytes;
        for (minute, shards) in [(-9, 1.0), (10, 1.0), (11, 1.0), (12, 2.0), (99, 2.0)] {
            let (load, rejected) = stream.minute(minute).unwrap();
            assert_eq!(load.bytes, shards * shard, "minute {minute}");
            assert!(rejected > 0.0);
        }
    }
}
