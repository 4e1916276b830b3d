//! The original's formulas for the target shard count, in whole numbers.

use jiff::Timestamp;

use crate::limits::{PERIOD_SECONDS, SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};

use crate::facts::{Series, Traffic};

/// What one shard takes in a period.
const BYTES_PER_SHARD: u128 = SHARD_BYTES_PER_SECOND as u128 * PERIOD_SECONDS as u128;
const RECORDS_PER_SHARD: u128 = SHARD_RECORDS_PER_SECOND as u128 * PERIOD_SECONDS as u128;

/// Up to 3 shards double, up to 50 grow by half, more by a quarter; fractions round up.
pub fn scale_up_target(n: u32) -> u32 {
    let n = u64::from(n);
    let target = match n {
        0..=3 => 2 * n,
        4..=50 => (3 * n).div_ceil(2),
        _ => (5 * n).div_ceil(4),
    };
    u32::try_from(target).unwrap_or(u32::MAX)
}

/// Twice the shards used at the busiest time of the last 24 h, and never less than half of `n`.
///
/// Missing data never means zero: without points, with a part of them, or with a newest point older than `stale_before`, there is no target.
pub fn scale_down_target(
    n: u32,
    traffic: &Traffic,
    stale_before: Timestamp,
) -> Result<u32, DataError> {
    let bytes = peak("IncomingBytes", &traffic.bytes, stale_before)?;
    let records = peak("IncomingRecords", &traffic.records, stale_before)?;
    let twice_used = (2 * bytes)
        .div_ceil(BYTES_PER_SHARD)
        .max((2 * records).div_ceil(RECORDS_PER_SHARD));
    Ok(u32::try_from(twice_used)
        .unwrap_or(u32::MAX)
        .max(n.div_ceil(2)))
}

/// Shards used at the busiest time, to tell people; decisions go by [`scale_down_target`].
pub fn shards_used(traffic: &Traffic) -> f64 {
    let peak = |series: &Series| {
        series
            .points
            .iter()
            .map(|(_, sum)| *sum)
            .fold(0.0, f64::max)
    };
    (peak(&traffic.bytes) / BYTES_PER_SHARD as f64)
        .max(peak(&traffic.records) / RECORDS_PER_SHARD as f64)
}

/// Why the metrics give no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    #[error("{0} has no data points in the last 24 h, and missing data never means zero")]
    Empty(&'static str),
    #[error("CloudWatch gave only a part of {0}")]
    Partial(&'static str),
    #[error("the newest data point of {metric} is of {newest}, too old to go by")]
    Stale {
        metric: &'static str,
        newest: Timestamp,
    },
    #[error("{0} has a data point that is no number of bytes or records")]
    NotANumber(&'static str),
}

/// The highest sum, rounded up.
fn peak(metric: &'static str, series: &Series, stale_before: Timestamp) -> Result<u128, DataError> {
    if !series.complete {
        return Err(DataError::Partial(metric));
    }
    let Some(newest) = series.points.iter().map(|(at, _)| *at).max() else {
        return Err(DataError::Empty(metric));
    };
    if newest < stale_before {
        return Err(DataError::Stale { metric, newest });
    }
    // Beyond 2^96 the sum is no traffic; below it the cast is exact after rounding up.
    let valid = |sum: f64| sum.is_finite() && (0.0..7.9e28).contains(&sum);
    if !series.points.iter().all(|(_, sum)| valid(*sum)) {
        return Err(DataError::NotANumber(metric));
    }
    Ok(series
        .points
        .iter()
        .map(|(_, sum)| sum.ceil() as u128)
        .max()
        .unwrap_or(0))
}
