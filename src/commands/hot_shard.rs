//! The findings about a stream that rejects records although its shards have room.

/// What it means, to go after the stream's name.
pub const MEANING: &str = "rejects records at so low a usage that a shard is hot";

/// What a person can do about it.
pub const REMEDIES: &str = "more shards do not help a hot shard: find it with `kinesis-autoscaler shards` and split it (`aws \
    kinesis split-shard`), spread the partition keys, or use on-demand mode with the record distribution AUTO, which ignores keys";
