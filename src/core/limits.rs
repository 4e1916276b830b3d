//! The limits of AWS that the program works with.

use jiff::SignedDuration;

/// UpdateShardCount calls per stream in a rolling day
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>).
pub const CALLS_PER_DAY: usize = 10;

/// The rolling day of the budget. AWS counts a call from its arrival, which is up to a minute after
/// its row was written.
pub const BUDGET_DAY: SignedDuration = SignedDuration::from_mins(24 * 60 + 1);

/// The most shards a stream can have.
pub const MAX_SHARDS: u32 = 10_000;

/// Bytes that one shard accepts per second: 1 MiB.
pub const SHARD_BYTES_PER_SECOND: u64 = 1_048_576;

/// Bytes that consumers can read from one shard per second: 2 MiB.
pub const SHARD_READ_BYTES_PER_SECOND: u64 = 2 * SHARD_BYTES_PER_SECOND;

/// Records that one shard accepts per second.
pub const SHARD_RECORDS_PER_SECOND: u64 = 1_000;

/// The period of the metrics that a decision reads, in seconds.
pub const PERIOD_SECONDS: i32 = 300;

/// Alarms that one DescribeAlarms call can ask for, and returns at most.
pub const ALARMS_PER_CALL: usize = 100;

/// Pairs of alarms that one DescribeAlarms call can ask for.
pub const PAIRS_PER_CALL: usize = ALARMS_PER_CALL / 2;

/// Metrics that one GetMetricData call can ask for.
pub const METRICS_PER_CALL: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_asks_for_both_alarms_of_each_pair() {
        assert_eq!(2 * PAIRS_PER_CALL, ALARMS_PER_CALL);
    }
}
