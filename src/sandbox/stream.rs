//! One stream: its shards over time, its resharding, and what its metrics measure.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    load::Load,
    producers::{Intake, Part},
    shards,
    traffic::Traffic,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Provisioned,
    OnDemand,
}

/// A resharding in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub from: u32,
    pub to: u32,
    pub until: Timestamp,
}

impl Update {
    /// Open shards halfway: neither the old count nor the target, and above both when no number is
    /// between them.
    pub(crate) fn transient(&self) -> u32 {
        let middle = u32::midpoint(self.from, self.to);
        if middle == self.from || middle == self.to {
            self.from.max(self.to) + 1
        } else {
            middle
        }
    }
}

/// A stream of one account and Region.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub created: Timestamp,
    pub mode: Mode,
    /// Open shards when no resharding is in progress.
    pub shards: u32,
    pub update: Option<Update>,
    /// A status that a test has set, such as CREATING.
    pub forced_status: Option<String>,
    /// When UpdateShardCount was called, over the last 24 hours.
    pub updates: VecDeque<Timestamp>,
    traffic: Option<Traffic>,
    /// The shard-level metrics that enhanced monitoring reports.
    pub shard_metrics: BTreeSet<&'static str>,
    /// How many consumer applications read every record.
    pub consumers: f64,
    /// Second since the epoch from which each iterator age applies; sorted. The first also applies
    /// before it.
    iterator_ages: Vec<(i64, Duration)>,
    /// Second since the epoch from which each shard count applies; sorted. The first also applies
    /// before it.
    history: Vec<(i64, u32)>,
    recent: RefCell<Recent>,
}

/// The latest minutes in which shards were short, so that a walk through consecutive minutes
/// computes each of them once: a minute depends on what the minute before rejected.
#[derive(Clone, Debug, Default)]
struct Recent {
    minutes: Vec<(i64, Intake)>,
}

impl Recent {
    const SLOTS: usize = 16;

    fn slot(minute: i64) -> usize {
        minute.rem_euclid(Self::SLOTS as i64) as usize
    }

    fn get(&self, minute: i64) -> Option<Intake> {
        let (kept, intake) = self.minutes.get(Self::slot(minute))?;
        (*kept == minute).then_some(*intake)
    }

    fn set(&mut self, minute: i64, intake: Intake) {
        if self.minutes.is_empty() {
            self.minutes = vec![(i64::MIN, Intake::default()); Self::SLOTS];
        }
        self.minutes[Self::slot(minute)] = (minute, intake);
    }
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
            shard_metrics: BTreeSet::new(),
            consumers: 0.0,
            iterator_ages: Vec::new(),
            history: vec![(created.as_second(), shards)],
            recent: RefCell::default(),
        }
    }

    pub(crate) fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// Replaces the traffic of all time.
    pub(crate) fn set_traffic(&mut self, traffic: Option<Traffic>) {
        self.traffic = traffic;
        self.recent.take();
    }

    /// Sets the demand of the minute of `at`.
    pub(crate) fn set_point(&mut self, at: Timestamp, load: Option<Load>) {
        let traffic = self.traffic.get_or_insert_with(Traffic::points);
        traffic.set_point(at, load);
        self.recent.take();
    }

    pub(crate) fn set_iterator_ages(
        &mut self,
        ages: impl IntoIterator<Item = (Timestamp, Duration)>,
    ) {
        let ages = ages.into_iter().map(|(at, age)| (at.as_second(), age));
        self.iterator_ages = ages.collect();
        self.iterator_ages.sort_by_key(|(at, _)| *at);
    }

    /// Completes a resharding whose time is over.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        if let Some(update) = self.update.take_if(|update| update.until <= now) {
            self.set_shards(update.until, update.to);
        }
    }

    /// Sets the count from `at` on, without a resharding.
    pub(crate) fn set_shards(&mut self, at: Timestamp, shards: u32) {
        self.shards = shards;
        // The history stays sorted even when the clock is set back.
        let last = self.history.last().map_or(i64::MIN, |(at, _)| *at);
        self.history.push((at.as_second().max(last), shards));
        self.recent.take();
    }

    /// Sets the counts of the past, each from its time on; the last one is in force now.
    pub(crate) fn set_past(&mut self, counts: impl IntoIterator<Item = (Timestamp, u32)>) {
        let counts = counts.into_iter();
        self.history = counts
            .map(|(at, shards)| (at.as_second(), shards))
            .collect();
        self.history.sort_by_key(|(at, _)| *at);
        match self.history.last() {
            Some((_, shards)) => self.shards = *shards,
            None => self.history.push((self.created.as_second(), self.shards)),
        }
        self.recent.take();
    }

    pub(crate) fn status(&self) -> &str {
        match (&self.forced_status, self.update) {
            (Some(status), _) => status,
            (None, Some(_)) => "UPDATING",
            (None, None) => "ACTIVE",
        }
    }

    /// Returns the count that DescribeStreamSummary reports: a transient one during a resharding.
    pub(crate) fn open_shards(&self) -> u32 {
        self.update.map_or(self.shards, |update| update.transient())
    }

    /// Returns the number of shards that count toward the account's quota.
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

    /// Starts a resharding and records the call.
    pub(crate) fn start_update(&mut self, now: Timestamp, to: u32, window: SignedDuration) {
        self.updates.push_back(now);
        self.update = Some(Update {
            from: self.shards,
            to,
            until: now.saturating_add(window).unwrap_or(Timestamp::MAX),
        });
        self.settle(now);
    }

    /// Second since the epoch from which each shard count applies; sorted.
    pub(crate) fn history(&self) -> &[(i64, u32)] {
        &self.history
    }

    fn shards_at(&self, second: i64) -> u32 {
        latest(&self.history, second).unwrap_or(self.shards)
    }

    /// Returns what became of the records of `minute`; `None` is a minute without metrics.
    pub(crate) fn intake(&self, minute: i64) -> Option<Intake> {
        let traffic = self.traffic.as_ref()?;
        let demand = traffic.demand(minute)?;
        let fewest = self.history.iter().map(|(_, shards)| *shards).min()?;
        let nothing = Intake::default();
        let offer = |shards| traffic.producers().offer(demand, &nothing, shards);
        let worst = traffic.producers().offer(traffic.peak(), &nothing, fewest);
        if worst.total().rejected == Load::default() {
            return Some(offer(self.shards_at(minute * 60)));
        }
        Some(self.intake_with_retries(traffic, minute))
    }

    /// Returns what became of the records sent to one shard in `minute`, if it was open then.
    pub(crate) fn shard_intake(&self, shard: u64, minute: i64) -> Option<Part> {
        let (position, count) = shards::generations(&self.history).find_map(|generation| {
            let position = generation.position(shard, minute * 60)?;
            Some((position, generation.count))
        })?;
        let producers = self.traffic.as_ref()?.producers();
        let part = producers.at_shard(&self.intake(minute)?, position, count);
        Some(part.rounded())
    }

    /// Computes forward from the latest known minute, or from where retries no longer matter.
    fn intake_with_retries(&self, traffic: &Traffic, minute: i64) -> Intake {
        let mut recent = self.recent.borrow_mut();
        let oldest = minute - traffic.producers().memory_minutes();
        let known = (oldest..=minute)
            .rev()
            .find_map(|at| recent.get(at).map(|intake| (at + 1, intake)));
        let (next, mut intake) = known.unwrap_or((oldest, Intake::default()));
        for at in next..=minute {
            // Records that were rejected before a gap in the metrics are not sent again after it.
            intake = traffic.demand(at).map_or_else(Intake::default, |demand| {
                let shards = self.shards_at(at * 60);
                traffic.producers().offer(demand, &intake, shards)
            });
            recent.set(at, intake);
        }
        intake
    }

    /// Returns the iterator age of `minute` in milliseconds.
    pub(crate) fn iterator_age(&self, minute: i64) -> Option<f64> {
        let age = latest(&self.iterator_ages, minute * 60)?;
        Some(age.as_secs_f64() * 1_000.0)
    }
}

/// Returns the value that applies at `second`: the last that began by then, or else the first.
fn latest<T: Copy>(values: &[(i64, T)], second: i64) -> Option<T> {
    let begun = values.partition_point(|(at, _)| *at <= second);
    values.get(begun.saturating_sub(1)).map(|(_, value)| *value)
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
    fn the_shards_of_a_minute_limit_what_it_accepts() {
        let mut stream = Stream::new(at(0), Mode::Provisioned, 1);
        stream.set_traffic(Some(Traffic::constant(Load::of_shards(3.0))));
        stream.start_update(at(600), 2, SignedDuration::from_mins(2));
        assert_eq!((stream.status(), stream.shards), ("UPDATING", 1));
        stream.settle(at(719));
        assert_eq!(stream.status(), "UPDATING");
        stream.settle(at(720));
        assert_eq!((stream.status(), stream.shards), ("ACTIVE", 2));
        let shard = Load::of_shards(1.0).bytes;
        for (minute, shards) in [(-9, 1.0), (10, 1.0), (11, 1.0), (12, 2.0), (99, 2.0)] {
            let intake = stream.intake(minute).unwrap();
            let accepted = intake.total().accepted.bytes;
            assert_eq!(accepted, shards * shard, "minute {minute}");
            assert!(intake.total().rejected.records > 0.0);
        }
    }
    #[test]
    fn any_order_of_minutes_gives_the_same_numbers() {
        let loads = [3.0, 5.0, 0.5, 2.1, 1.0].map(Load::of_shards);
        let traffic = Traffic::table(at(0), 60, loads.to_vec()).noise(0.2, 7);
        let mut stream = Stream::new(at(0), Mode::Provisioned, 2);
        stream.set_traffic(Some(traffic.clone()));
        let forward: Vec<_> = (0..200).map(|minute| stream.intake(minute)).collect();
        for minute in (0..200).rev() {
            stream.set_traffic(Some(traffic.clone()));
            let alone = stream.intake(minute).unwrap();
            let walked = forward[minute as usize].unwrap();
            assert_eq!(alone.total(), walked.total(), "minute {minute}");
        }
    }
}
