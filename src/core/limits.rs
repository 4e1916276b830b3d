//! What AWS allows, each number once.

use jiff::SignedDuration;

/// UpdateShardCount calls per stream in a rolling day
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>).
pub const CALLS_PER_DAY: usize = 10;

/// A day as the budget counts it. AWS counts a call from when it arrives, up to a minute after its row was written.
pub const BUDGET_DAY: SignedDuration = SignedDuration::from_mins(24 * 60 + 1);

/// The most shards a stream can have.
pub const MAX_SHARDS: u32 = 10_000;

/// Bytes that one shard takes in a second: 1 MiB.
pub const SHARD_BYTES_PER_SECOND: u64 = 1_048_576;

/// Records that one shard takes in a second.
pub const SHARD_RECORDS_PER_SECOND: u64 = 1_000;

/// The period of the metrics that a decision reads, in seconds.
pub const PERIOD_SECONDS: i32 = 300;

/// Alarms that one DescribeAlarms call asks for, or answers.
pub const ALARMS_PER_CALL: usize = 100;

/// Pairs of alarms that one DescribeAlarms call asks for.
pub const PAIRS_PER_CALL: usize = ALARMS_PER_CALL / 2;

/// Metrics that one GetMetricData call asks for.
pub const METRICS_PER_CALL: usize = 500;
