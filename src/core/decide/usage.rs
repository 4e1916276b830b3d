//! Shards used, for people; policies decide in whole numbers.

use jiff::Timestamp;

use crate::{
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

/// The records that were rejected in periods in which less than half of `shards` was used.
pub fn rejected_at_low_usage(traffic: &Traffic, shards: u32) -> u64 {
    let used_in = |period: Timestamp| {
        let of = |series: &Series| {
            let points = series.points.iter().filter(|(at, _)| *at == period);
            points.map(|(_, sum)| *sum).fold(0.0, f64::max)
        };
        (of(&traffic.bytes) / BYTES_PER_SHARD as f64)
            .max(of(&traffic.records) / RECORDS_PER_SHARD as f64)
    };
    let limit = f64::from(shards) * HOT_BELOW;
    let rejected = traffic.rejected.points.iter();
    let at_low_usage = rejected.filter(|(at, sum)| *sum > 0.0 && used_in(*at) < limit);
    // The cast saturates.
    at_low_usage.map(|(_, sum)| *sum).sum::<f64>() as u64
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

    #[test]
    fn the_busiest_time_of_bytes_or_records_is_what_is_used() {
        let series = |sums: &[f64]| Series {
            points: sums.iter().map(|sum| (ago(300), *sum)).collect(),
            complete: true,
        };
        for (bytes, records, used) in [
            (&[][..], &[][..], 0.0),
            (&[1.0, 2.5, 0.5], &[2.0], 2.5),
            (&[1.0, 2.5, 0.5], &[0.0, 3.0], 3.0),
        ] {
            let times = |shards: &[f64], one| shards.iter().map(|it| it * one).collect::<Vec<_>>();
            let traffic = Traffic {
                bytes: series(&times(bytes, SHARD_BYTES)),
                records: series(&times(records, 300_000.0)),
                ..Traffic::default()
            };
            assert_eq!(shards_used(&traffic), used, "{bytes:?} {records:?}");
        }
    }
}
