//! Demand in shards, as an exact fixed-point number.

use crate::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};

/// Demand in units of which one shard takes [`Demand::ONE_SHARD`]. The unit is chosen so that every
/// sum of bytes or records over a period that divides an hour converts without rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand(pub u64);

/// A part of one, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    pub const WHOLE: Self = Self(1_000_000);

    pub const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }
}

impl Demand {
    pub const ONE_SHARD: u64 = 3600 * SHARD_BYTES_PER_SECOND * SHARD_RECORDS_PER_SECOND / 8;

    /// The larger of the two demands over `seconds`, which divide an hour.
    pub fn of(bytes: u64, records: u64, seconds: u64) -> Self {
        let bytes = u128::from(bytes) * u128::from(SHARD_RECORDS_PER_SECOND / 8);
        let records = u128::from(records) * u128::from(SHARD_BYTES_PER_SECOND / 8);
        let units = bytes.max(records) * u128::from(3600 / seconds.max(1));
        Self(u64::try_from(units).unwrap_or(u64::MAX))
    }

    /// The least number of shards that carry this demand at `fill` of their capacity.
    pub fn shards_at(self, fill: Share) -> u32 {
        let whole = u128::from(self.0) * u128::from(Share::WHOLE.0);
        let shard = u128::from(Self::ONE_SHARD) * u128::from(fill.0.max(1));
        u32::try_from(whole.div_ceil(shard)).unwrap_or(u32::MAX)
    }

    /// What `shards` carry at `fill` of their capacity, rounded down.
    pub fn carried_by(shards: u32, fill: Share) -> Self {
        let units = u128::from(shards) * u128::from(Self::ONE_SHARD) * u128::from(fill.0);
        let units = units / u128::from(Share::WHOLE.0);
        Self(u64::try_from(units).unwrap_or(u64::MAX))
    }
}

/// In shards, to hundredths.
impl std::fmt::Display for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = u128::from(self.0) * 100 / u128::from(Self::ONE_SHARD);
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}
