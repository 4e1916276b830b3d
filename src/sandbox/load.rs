//! An amount of data in one minute, and what shards accept of it.

use autoscaler_core::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};

/// What one shard accepts in a minute.
const SHARD: Load = Load {
    bytes: SHARD_BYTES_PER_SECOND as f64 * 60.0,
    records: SHARD_RECORDS_PER_SECOND as f64 * 60.0,
};

/// Bytes and records in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub bytes: f64,
    pub records: f64,
}

impl Load {
    pub fn new(bytes: f64, records: f64) -> Self {
        Self { bytes, records }
    }

    /// As many bytes as fill `used` shards, and half as many records as they could take.
    pub fn of_shards(used: f64) -> Self {
        Self::new(used * SHARD.bytes, used * SHARD.records / 2.0)
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self::new(self.bytes * factor, self.records * factor)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self::new(self.bytes + other.bytes, self.records + other.records)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(other.times(-1.0))
    }

    /// The larger number of bytes and of records.
    pub(crate) fn max(self, other: Self) -> Self {
        Self::new(self.bytes.max(other.bytes), self.records.max(other.records))
    }

    pub(crate) fn rounded(self) -> Self {
        Self::new(self.bytes.round(), self.records.round())
    }

    /// The part that `shards` shards accept: bytes and records are cut by the same share.
    pub(crate) fn accepted_by(self, shards: f64) -> Self {
        let share = |capacity: f64, demand: f64| {
            if demand > capacity {
                capacity / demand
            } else {
                1.0
            }
        };
        let bytes = share(shards * SHARD.bytes, self.bytes);
        self.times(bytes.min(share(shards * SHARD.records, self.records)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_limit_cuts_bytes_and_records_alike() {
        let accepted = Load::of_shards(3.0).accepted_by(2.0);
        assert_eq!(accepted.rounded(), Load::of_shards(2.0));
        let accepted = Load::new(1.0, 4.0 * SHARD.records).accepted_by(1.0);
        assert_eq!((accepted.bytes, accepted.records), (0.25, SHARD.records));
        let small = Load::of_shards(0.5);
        assert_eq!(small.accepted_by(1.0), small);
    }
}
