//! The resources of one account and Region.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    alarms::Alarms, dynamodb::Tables, kinesis::UPDATE_WINDOW, metric_data::MAX_POINTS,
    mute_rules::MuteRules, sns::Topics, stream::Stream,
};

/// The default shard quota: that of AWS in its three largest Regions.
const SHARD_LIMIT: u32 = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub account: String,
    pub name: String,
    pub streams: BTreeMap<String, Stream>,
    pub shard_limit: u32,
    pub update_window: SignedDuration,
    /// How long after the end of its minute a metric arrives.
    pub metric_delay: SignedDuration,
    /// The most data points in one answer to GetMetricData.
    pub points_per_page: usize,
    pub alarms: Alarms,
    pub mute_rules: MuteRules,
    pub tables: Tables,
    pub topics: Topics,
}

impl Region {
    pub(crate) fn new(account: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
            streams: BTreeMap::new(),
            shard_limit: SHARD_LIMIT,
            update_window: UPDATE_WINDOW,
            metric_delay: SignedDuration::from_mins(1),
            points_per_page: MAX_POINTS,
            alarms: Alarms::new(account),
            mute_rules: MuteRules::default(),
            tables: Tables::default(),
            topics: Topics::default(),
        }
    }

    pub(crate) fn stream_arn(&self, stream: &str) -> String {
        format!(
            "arn:aws:kinesis:{}:{}:stream/{stream}",
            self.name, self.account
        )
    }

    pub(crate) fn alarm_arn(&self, alarm: &str) -> String {
        format!(
            "arn:aws:cloudwatch:{}:{}:alarm:{alarm}",
            self.name, self.account
        )
    }

    pub(crate) fn mute_rule_arn(&self, rule: &str) -> String {
        format!(
            "arn:aws:cloudwatch:{}:{}:alarm-mute-rule:{rule}",
            self.name, self.account
        )
    }

    pub(crate) fn topic_arn(&self, topic: &str) -> String {
        format!("arn:aws:sns:{}:{}:{topic}", self.name, self.account)
    }

    pub(crate) fn table_arn(&self, table: &str) -> String {
        format!(
            "arn:aws:dynamodb:{}:{}:table/{table}",
            self.name, self.account
        )
    }

    /// Returns the number of shards that count toward the account's quota.
    pub(crate) fn open_shards(&mut self, now: Timestamp) -> u32 {
        let streams = self.streams.values_mut();
        streams
            .map(|stream| {
                stream.settle(now);
                stream.counted_shards()
            })
            .sum()
    }

    /// Evaluates alarms up to `now`.
    pub(crate) fn catch_up(&mut self, now: Timestamp) {
        self.alarms
            .catch_up(&mut self.streams, now, self.metric_delay);
    }
}
