//! Demand in shards, as an exact fixed-point number.

use crate::{
    limits::{SHARD_BYTES_PER_SECOND, SHARD_READ_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND},
    subscription::Permille,
};

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

    /// The nearest share to a ratio from 0 to 1; only 0 becomes zero.
    pub fn of_ratio(ratio: f64) -> Self {
        // The cast saturates.
        let millionths = (ratio * 1e6).round() as u32;
        Self(millionths.max(u32::from(ratio > 0.0)).min(Self::WHOLE.0))
    }
}

impl From<Permille> for Share {
    fn from(ratio: Permille) -> Self {
        Self(ratio.get().saturating_mul(1_000))
    }
}

impl Demand {
    pub const ONE_SHARD: u64 = 3600 * SHARD_BYTES_PER_SECOND * SHARD_RECORDS_PER_SECOND / 8;

    /// The larger of the two demands over `seconds`, which divide an hour.
    pub fn of(bytes: u64, records: u64, seconds: u64) -> Self {
        let bytes = bytes.saturating_mul(SHARD_RECORDS_PER_SECOND / 8);
        let records = records.saturating_mul(SHARD_BYTES_PER_SECOND / 8);
        Self(bytes.max(records).saturating_mul(3600 / seconds.max(1)))
    }

    /// The demand of consumers that read `bytes` in `seconds`, which divide an hour; rounded up to
    /// one unit.
    pub fn of_reads(bytes: u64, seconds: u64) -> Self {
        const BYTE: u64 = Demand::ONE_SHARD / SHARD_BYTES_PER_SECOND / 3600;
        const WIDER: u64 = SHARD_READ_BYTES_PER_SECOND / SHARD_BYTES_PER_SECOND;
        let units = u128::from(bytes) * u128::from(BYTE) * u128::from(3600 / seconds.max(1));
        Self(u64::try_from(units.div_ceil(u128::from(WIDER))).unwrap_or(u64::MAX))
    }

    /// The least number of shards that carry this demand at `fill` of their capacity.
    pub fn shards_at(self, fill: Share) -> u32 {
        let whole = u128::from(self.0) * u128::from(Share::WHOLE.0);
        let shard = u128::from(Self::ONE_SHARD) * u128::from(fill.0.max(1));
        u32::try_from(whole.div_ceil(shard)).unwrap_or(u32::MAX)
    }

    /// In shards, to tell people; policies decide in whole numbers.
    pub fn in_shards(self) -> f64 {
        self.0 as f64 / Self::ONE_SHARD as f64
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1_048_576;

    #[test]
    fn demand_is_the_larger_of_bytes_and_records_over_what_a_shard_takes() {
        for (bytes, records, seconds, shards) in [
            (0, 0, 300, "0.00"),
            (MIB * 300, 0, 300, "1.00"),
            (0, 1_000 * 300, 300, "1.00"),
            (MIB * 60 * 5 / 2, 1_000 * 60, 60, "2.50"),
            (MIB * 180, 1_000 * 180 * 3, 180, "3.00"),
            (MIB * 3, 0, 300, "0.01"),
            (MIB * 3 - 1, 0, 300, "0.00"),
        ] {
            let demand = Demand::of(bytes, records, seconds);
            assert_eq!(
                demand.to_string(),
                shards,
                "{bytes} bytes, {records} records in {seconds} s"
            );
        }
        assert_eq!(Demand(Demand::ONE_SHARD * 5 / 2).in_shards(), 2.5);
        assert_eq!(Demand::of(MIB * 300, 0, 300), Demand(Demand::ONE_SHARD));
        assert_eq!(
            Demand::of(1, 0, 300),
            Demand(125 * 12),
            "a byte is not lost"
        );
        for (bytes, records) in [(u64::MAX, 0), (0, u64::MAX)] {
            assert_eq!(
                Demand::of(bytes, records, 60),
                Demand(u64::MAX),
                "beyond all traffic"
            );
        }
    }

    #[test]
    fn reads_are_measured_by_twice_what_a_shard_takes() {
        for (bytes, seconds, units) in [
            (0, 300, 0),
            (2 * MIB * 300, 300, Demand::ONE_SHARD),
            (2 * MIB * 60 * 3, 60, 3 * Demand::ONE_SHARD),
            (1, 300, 125 * 12 / 2),
            // 62.5, rounded up.
            (1, 3600, 63),
            (2, 3600, 125),
            (u64::MAX, 60, u64::MAX),
        ] {
            let demand = Demand::of_reads(bytes, seconds);
            assert_eq!(demand, Demand(units), "{bytes} bytes in {seconds} s");
        }
    }

    #[test]
    fn a_ratio_becomes_the_nearest_share_and_only_0_becomes_zero() {
        for (ratio, millionths) in [
            (0.0, 0),
            (1e-9, 1),
            (1.4e-6, 1),
            (1.6e-6, 2),
            (0.7, 700_000),
            (1.0, 1_000_000),
            (1.5, 1_000_000),
            (-0.5, 0),
        ] {
            assert_eq!(Share::of_ratio(ratio), Share(millionths), "{ratio}");
        }
    }

    #[test]
    fn shards_carry_a_demand_and_one_unit_more_takes_one_more_shard() {
        for (shards, fill) in [(1, 50), (7, 55), (10, 100), (10_000, 80)] {
            let carried = Demand::carried_by(shards, Share::percent(fill));
            assert_eq!(
                carried.shards_at(Share::percent(fill)),
                shards,
                "{shards} at {fill} %"
            );
            let more = Demand(carried.0 + 1);
            assert_eq!(
                more.shards_at(Share::percent(fill)),
                shards + 1,
                "{shards} at {fill} %"
            );
        }
        assert_eq!(
            Demand::carried_by(4, Share::percent(50)),
            Demand(2 * Demand::ONE_SHARD)
        );
        assert_eq!(Demand::default().shards_at(Share::percent(50)), 0);
        assert_eq!(
            Demand(u64::MAX).shards_at(Share(0)),
            u32::MAX,
            "nothing is divided by 0"
        );
        assert_eq!(Demand::carried_by(u32::MAX, Share::WHOLE), Demand(u64::MAX));
    }
}
