//! How producers use the shards: uneven keys, one hot key, and retries of rejected records.

use super::load::Load;

/// The largest share of rejected records that can be sent again.
const MAX_RETRY_SHARE: f64 = 0.95;

/// Retries of records that were rejected longer ago than this share of them no longer matter.
const NEGLIGIBLE: f64 = 1e-12;

/// The behavior of a stream's producers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Producers {
    /// The busiest shard's load over the mean; the stream accepts `shards / skew` shards' worth.
    skew: f64,
    /// The share of the traffic that goes to one key, and therefore to one shard.
    hot_share: f64,
    /// The share of the rejected records that is sent again in the next minute.
    retry_share: f64,
}

impl Default for Producers {
    fn default() -> Self {
        Self {
            skew: 1.0,
            hot_share: 0.0,
            retry_share: 0.5,
        }
    }
}

/// What became of the records of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Intake {
    /// At the shard of the hot key; nothing without one.
    pub hot: Part,
    /// At all other shards.
    pub rest: Part,
}

/// What a group of shards accepted and rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Part {
    pub accepted: Load,
    pub rejected: Load,
}

impl Part {
    fn of(demand: Load, shards: f64) -> Self {
        let accepted = demand.accepted_by(shards);
        Self {
            accepted,
            rejected: demand.minus(accepted),
        }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            accepted: self.accepted.times(factor),
            rejected: self.rejected.times(factor),
        }
    }

    /// Whole bytes and records, as the metrics count them.
    pub(crate) fn rounded(self) -> Self {
        Self {
            accepted: self.accepted.rounded(),
            rejected: self.rejected.rounded(),
        }
    }
}

impl Intake {
    /// At all shards, in whole bytes and records.
    pub(crate) fn total(&self) -> Part {
        let total = Part {
            accepted: self.hot.accepted.plus(self.rest.accepted),
            rejected: self.hot.rejected.plus(self.rest.rejected),
        };
        total.rounded()
    }
}

impl Producers {
    pub(crate) fn set_skew(&mut self, skew: f64) {
        self.skew = skew.max(1.0);
    }

    pub(crate) fn set_hot_share(&mut self, share: f64) {
        self.hot_share = share.clamp(0.0, 1.0);
    }

    pub(crate) fn set_retry_share(&mut self, share: f64) {
        self.retry_share = share.clamp(0.0, MAX_RETRY_SHARE);
    }

    /// The minutes after which retries of a rejected record have died out.
    pub(crate) fn memory_minutes(&self) -> i64 {
        if self.retry_share == 0.0 {
            return 0;
        }
        (NEGLIGIBLE.ln() / self.retry_share.ln()).ceil() as i64
    }

    /// The part of an intake at the shard in `position` among `count`: the hot key is in the first,
    /// and uneven keys leave the last ones idle.
    pub(crate) fn at_shard(&self, intake: &Intake, position: u32, count: u32) -> Part {
        let (position, count) = (f64::from(position), f64::from(count));
        let spread = |position: f64, count: f64| {
            let used = count / self.skew;
            let share = (used - position).clamp(0.0, 1.0) / used;
            intake.rest.times(share)
        };
        match self.hot_share {
            0.0 => spread(position, count),
            _ if position == 0.0 => intake.hot,
            _ => spread(position - 1.0, count - 1.0),
        }
    }

    /// Offers new records, and what is sent again of the minute before, to `shards` shards.
    pub(crate) fn offer(&self, new: Load, before: &Intake, shards: u32) -> Intake {
        let shards = f64::from(shards.max(1));
        let again = |part: &Part| part.rejected.times(self.retry_share);
        if self.hot_share == 0.0 {
            let demand = new.plus(again(&before.hot)).plus(again(&before.rest));
            return Intake {
                hot: Part::default(),
                rest: Part::of(demand, shards / self.skew),
            };
        }
        // The shard of the hot key also has its share of the other keys.
        let at_hot = self.hot_share + (1.0 - self.hot_share) / shards;
        let hot = new.times(at_hot).plus(again(&before.hot));
        let rest = new.times(1.0 - at_hot).plus(again(&before.rest));
        Intake {
            hot: Part::of(hot, 1.0),
            rest: Part::of(rest, (shards - 1.0) / self.skew),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(producers: &Producers, used: f64, before: &Intake, shards: u32) -> Intake {
        producers.offer(Load::of_shards(used), before, shards)
    }

    fn shards_of(load: Load) -> f64 {
        let shards = load.bytes / Load::of_shards(1.0).bytes;
        (shards * 1e6).round() / 1e6
    }

    #[test]
    fn uneven_keys_use_a_part_of_the_shards() {
        let mut producers = Producers::default();
        producers.set_skew(1.4);
        let fits = offered(&producers, 7.1, &Intake::default(), 10);
        assert_eq!(shards_of(fits.total().rejected), 0.0);
        let over = offered(&producers, 8.0, &Intake::default(), 14);
        assert_eq!(shards_of(over.total().rejected), 0.0);
        let over = offered(&producers, 12.0, &Intake::default(), 14);
        assert_eq!(
            (
                shards_of(over.total().accepted),
                shards_of(over.total().rejected)
            ),
            (10.0, 2.0)
        );
    }

    #[test]
    fn only_the_shard_of_a_hot_key_rejects() {
        let mut producers = Producers::default();
        producers.set_hot_share(0.3);
        // 3 shards' worth on 10 shards: the hot one is sent 0.9 + 0.21.
        let intake = offered(&producers, 3.0, &Intake::default(), 10);
        assert_eq!(shards_of(intake.hot.accepted), 1.0);
        assert_eq!(shards_of(intake.hot.rejected), 0.11);
        assert_eq!(shards_of(intake.rest.rejected), 0.0);
        // However many there are, the hot one rejects.
        let intake = offered(&producers, 6.0, &Intake::default(), 1_000);
        assert!(shards_of(intake.hot.rejected) > 0.8);
        // A single shard has all the traffic.
        let intake = offered(&producers, 0.9, &Intake::default(), 1);
        assert_eq!(shards_of(intake.hot.accepted), 0.9);
    }

    #[test]
    fn a_share_of_the_rejected_records_comes_back() {
        let producers = Producers::default();
        let first = offered(&producers, 3.0, &Intake::default(), 2);
        assert_eq!(shards_of(first.total().rejected), 1.0);
        let second = offered(&producers, 3.0, &first, 2);
        assert_eq!(shards_of(second.total().rejected), 1.5);
        let after = offered(&producers, 1.0, &second, 2);
        assert_eq!(
            (
                shards_of(after.total().accepted),
                shards_of(after.total().rejected)
            ),
            (1.75, 0.0)
        );
        assert_eq!(producers.memory_minutes(), 40);
    }
}
