//! Shards used, for people; policies decide in whole numbers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    datetime::after,
    facts::{Series, Traffic},
    limits::{
        PERIOD_SECONDS, SHARD_BYTES_PER_SECOND, SHARD_READ_BYTES_PER_SECOND,
        SHARD_RECORDS_PER_SECOND,
    },
};

/// What one shard takes in a period.
const BYTES_PER_SHARD: u64 = SHARD_BYTES_PER_SECOND * PERIOD_SECONDS as u64;
const RECORDS_PER_SHARD: u64 = SHARD_RECORDS_PER_SECOND * PERIOD_SECONDS as u64;
/// What consumers can read from one shard in a period.
const READ_PER_SHARD: u64 = SHARD_READ_BYTES_PER_SECOND * PERIOD_SECONDS as u64;

/// Above this usage more shards help against rejected records; below it a shard is hot.
pub const HOT_BELOW: f64 = 0.5;

/// How late metrics may arrive: of a younger period only a part may be there, which looks like low
/// usage.
const METRICS_LATE_BY: SignedDuration = SignedDuration::from_mins(3);

/// How long a resharding takes at most, after its alarms were written.
const RESHARDED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// The records that were rejected in periods in which less than half of `shards` was used, by the
/// metrics as they are read at `now`.
///
/// Only periods count in which the stream had these shards: those that begin some time after its
/// alarms were `written`, as each scaling does.
pub fn rejected_at_low_usage(
    traffic: &Traffic,
    shards: u32,
    written: Option<Timestamp>,
    now: Timestamp,
) -> u64 {
    let period = SignedDuration::from_secs(PERIOD_SECONDS.into());
    let whole_until = after(now, -(period + METRICS_LATE_BY));
    let mut used = BTreeMap::<Timestamp, f64>::new();
    for (series, per_shard) in [
        (&traffic.bytes, BYTES_PER_SHARD),
        (&traffic.records, RECORDS_PER_SHARD),
    ] {
        for (period, sum) in &series.points {
            let shards = used.entry(*period).or_default();
            *shards = shards.max(sum / per_shard as f64);
        }
    }
    let used_in = |period| used.get(period).copied().unwrap_or_default();
    let limit = f64::from(shards) * HOT_BELOW;
    let rejected = traffic.rejected.points.iter();
    let resharded = written.map(|at| after(at, RESHARDED_WITHIN));
    let is_known = |at: Timestamp| at <= whole_until && resharded.is_none_or(|from| at >= from);
    let rejected = rejected.filter(|(at, _)| is_known(*at));
    let at_low_usage = rejected.filter(|(at, _)| used_in(at) < limit);
    // What is not a number counts as 0; the cast saturates.
    at_low_usage.map(|(_, sum)| sum.max(0.0)).sum::<f64>() as u64
}

/// Shards used at the busiest time, to tell people.
pub fn shards_used(traffic: &Traffic) -> f64 {
    let peak = |series: &Series| {
        series
            .points
            .iter()
            .map(|(_, sum)| *sum)
            .fold(0.0, f64::max)
    };
    let read = traffic.outgoing.as_ref().map_or(0.0, peak);
    (peak(&traffic.bytes) / BYTES_PER_SHARD as f64)
        .max(peak(&traffic.records) / RECORDS_PER_SHARD as f64)
        .max(read / READ_PER_SHARD as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{SHARD_BYTES, ago};

    /// Sums of periods that began 5, 10, 15 … min ago, in units of `one`.
    fn series(shards: &[f64], one: f64) -> Series {
        let points = (1..)
            .zip(shards)
            .map(|(i, shards)| (ago(300 * i), shards * one));
        Series {
            points: points.collect(),
            complete: true,
        }
    }

    #[test]
    fn the_busiest_time_of_bytes_records_or_reads_is_what_is_used() {
        for (bytes, records, read, used) in [
            (&[][..], &[][..], None, 0.0),
            (&[1.0, 2.5, 0.5], &[2.0], None, 2.5),
            (&[1.0, 2.5, 0.5], &[0.0, 3.0], None, 3.0),
            (&[1.0, 2.5, 0.5], &[0.0, 3.0], Some(4.5), 4.5),
            (&[1.0], &[], Some(0.5), 1.0),
        ] {
            let traffic = Traffic {
                bytes: series(bytes, SHARD_BYTES),
                records: series(records, 300_000.0),
                outgoing: read.map(|shards| series(&[shards], 2.0 * SHARD_BYTES)),
                ..Traffic::default()
            };
            assert_eq!(
                shards_used(&traffic),
                used,
                "{bytes:?} {records:?} {read:?}"
            );
        }
    }

    #[test]
    fn rejections_at_less_than_half_usage_are_those_of_a_hot_shard() {
        for (bytes, records, rejected, expected) in [
            // Of 10 shards.
            (4.9, 0.0, 7.0, 7),
            (5.0, 0.0, 7.0, 0),
            (0.0, 4.9, 7.0, 7),
            (0.0, 5.0, 7.0, 0),
            (9.0, 0.0, 7.0, 0),
            (4.9, 0.0, 0.0, 0),
            (4.9, 0.0, f64::NAN, 0),
        ] {
            let traffic = Traffic {
                bytes: series(&[bytes], SHARD_BYTES),
                records: series(&[records], 300_000.0),
                rejected: series(&[rejected], 1.0),
                ..Traffic::default()
            };
            let found = rejected_at_low_usage(&traffic, 10, None, ago(-180));
            assert_eq!(found, expected, "{bytes} in bytes, {records} in records");
        }
        let periods = Traffic {
            bytes: series(&[1.0, 9.0, 1.0], SHARD_BYTES),
            rejected: series(&[2.0, 30.0, 5.0, 100.0], 1.0),
            ..Traffic::default()
        };
        assert_eq!(
            rejected_at_low_usage(&periods, 10, None, ago(-180)),
            107,
            "each period by its own usage"
        );
        assert_eq!(
            rejected_at_low_usage(&periods, 10, None, ago(-179)),
            105,
            "the newest period may not be whole"
        );
    }

    #[test]
    fn rejections_before_the_last_scaling_say_nothing_about_the_shards_of_now() {
        // Half an hour of periods in which a stream of 2 shards was full, before it got 4.
        let traffic = Traffic {
            bytes: series(&[1.9; 6], SHARD_BYTES),
            rejected: series(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 1.0),
            ..Traffic::default()
        };
        let found = |minutes: i64| {
            let written = Some(ago(60 * minutes));
            rejected_at_low_usage(&traffic, 4, written, ago(-180))
        };
        assert_eq!(found(0), 0, "all of them are older");
        assert_eq!(found(25), 3, "from 10 min ago on");
        assert_eq!(found(45), 63, "from 30 min ago on");
    }
}
