//! Direct access to one account and Region, for tests and the demo: what AWS or other people do.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{
    Sandbox, cloudwatch,
    dynamodb::Table,
    kinesis,
    load::Load,
    metrics::SHARD_LEVEL,
    mute_rules::{MuteRule, Start},
    pair::{Direction, Pair},
    region::Region,
    sns::Published,
    stream::{Mode, Stream},
    traffic::Traffic,
};
use autoscaler_core::alarm::AlarmNames;

/// One account and Region of a [`Sandbox`].
#[derive(Clone, Debug)]
pub struct RegionHandle {
    sandbox: Sandbox,
    account: String,
    region: String,
}

/// The current state of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// `ACTIVE` or `UPDATING`, or what [`RegionHandle::force_status`] set.
    pub status: String,
    /// The count that DescribeStreamSummary reports: a transient one during a resharding.
    pub open_shards: u32,
    /// The target of the resharding in progress, or else the current count.
    pub target: u32,
    pub mode: Mode,
    /// UpdateShardCount calls within the last 24 hours.
    pub update_calls_24h: usize,
}

impl RegionHandle {
    pub(crate) fn new(sandbox: Sandbox, account: &str, region: &str) -> Self {
        Self {
            sandbox,
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Returns the same Region in another account.
    pub fn account(&self, account: &str) -> Self {
        Self::new(self.sandbox.clone(), account, &self.region)
    }

    /// Returns the AWS that this Region belongs to.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn with<T>(&self, f: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
        let now = self.sandbox.now();
        let mut world = self.sandbox.world();
        f(world.place(&self.account, &self.region), now)
    }

    /// Creates a provisioned stream, which is immediately ACTIVE.
    pub fn create_stream(&self, name: &str, shards: u32) {
        self.insert_stream(name, Mode::Provisioned, shards);
    }

    /// Creates an on-demand stream. Like those of AWS it starts with 4 shards.
    pub fn create_on_demand_stream(&self, name: &str) {
        self.insert_stream(name, Mode::OnDemand, 4);
    }

    fn insert_stream(&self, name: &str, mode: Mode, shards: u32) {
        self.with(|region, now| {
            region.catch_up(now);
            let stream = Stream::new(now, mode, shards);
            region.streams.insert(name.to_owned(), stream);
            region.alarms.traffic_changed(name, false);
        });
    }

    /// Sets the shard counts that a stream has had, each from its time on; the first also applies
    /// before it, and the last is the current one.
    pub fn set_past_shards(&self, name: &str, counts: impl IntoIterator<Item = (Timestamp, u32)>) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(stream) = region.streams.get_mut(name) {
                stream.set_past(counts);
                let live = stream.traffic().is_some();
                region.alarms.traffic_changed(name, live);
            }
        });
    }

    /// Deletes a stream but not its alarms.
    pub fn delete_stream(&self, name: &str) {
        self.with(|region, now| {
            region.catch_up(now);
            region.streams.remove(name);
            region.alarms.traffic_changed(name, false);
        });
    }

    /// Starts a resharding as another caller of UpdateShardCount does. Returns AWS's error if it is
    /// refused.
    pub fn reshard_externally(&self, name: &str, shards: u32) -> Result<(), String> {
        self.with(|region, now| {
            region.catch_up(now);
            kinesis::reshard(region, name, i64::from(shards), now)
                .map(drop)
                .map_err(|error| format!("{}: {}", error.code, error.message))
        })
    }

    /// Returns the current state of a stream.
    pub fn stream(&self, name: &str) -> Option<StreamView> {
        self.with(|region, now| {
            let stream = region.streams.get_mut(name)?;
            stream.settle(now);
            Some(StreamView {
                status: stream.status().to_owned(),
                open_shards: stream.open_shards(),
                target: stream.update.map_or(stream.shards, |update| update.to),
                mode: stream.mode,
                update_calls_24h: stream.updates_within_a_day(now),
            })
        })
    }

    /// Makes a stream report a status such as CREATING or DELETING. `None` restores the real one.
    pub fn force_status(&self, name: &str, status: Option<&str>) {
        self.with(|region, _| {
            if let Some(stream) = region.streams.get_mut(name) {
                stream.forced_status = status.map(str::to_owned);
            }
        });
    }

    /// Sets how long a resharding takes; the default is 2 minutes.
    pub fn set_update_window(&self, window: Duration) {
        let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
        self.with(|region, _| region.update_window = window);
    }

    /// Makes the resharding under way end this long after now.
    pub fn finish_update_after(&self, name: &str, time: Duration) {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.with(|region, now| {
            let stream = region.streams.get_mut(name);
            if let Some(update) = stream.and_then(|stream| stream.update.as_mut()) {
                update.until = now.saturating_add(time).unwrap_or(Timestamp::MAX);
            }
        });
    }

    /// Sets the shard quota of the account in this Region.
    pub fn set_shard_limit(&self, shards: u32) {
        self.with(|region, _| region.shard_limit = shards);
    }

    /// Sets how long after the end of its minute a metric arrives; the default is 1 minute.
    pub fn set_metric_delay(&self, delay: Duration) {
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
        self.with(|region, now| {
            region.catch_up(now);
            region.metric_delay = delay;
        });
    }

    /// Sets the most data points in one answer to GetMetricData; the default is AWS's 100,800.
    pub fn set_points_per_page(&self, points: usize) {
        self.with(|region, _| region.points_per_page = points.max(1));
    }

    /// Sets a stream's traffic, past and future. Its alarms are evaluated from the next minute on.
    pub fn set_traffic(&self, name: &str, traffic: Traffic) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(stream) = region.streams.get_mut(name) {
                stream.set_traffic(Some(traffic));
                region.alarms.traffic_changed(name, true);
            }
        });
    }

    /// Sets the demand of the minute of `at`; `None` is a gap in its metrics. A stream without
    /// traffic then has no data except such points.
    pub fn set_point(&self, name: &str, at: Timestamp, load: Option<Load>) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(stream) = region.streams.get_mut(name) {
                stream.set_point(at, load);
                region.alarms.traffic_changed(name, true);
            }
        });
    }

    /// Removes a stream's traffic. Its alarms keep their states.
    pub fn stop_traffic(&self, name: &str) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(stream) = region.streams.get_mut(name) {
                stream.set_traffic(None);
                region.alarms.traffic_changed(name, false);
            }
        });
    }

    /// Sets how far behind the stream's consumers are from each time on; the first age also applies
    /// before its time. Reported by GetRecords.IteratorAgeMilliseconds.
    pub fn set_iterator_age(
        &self,
        name: &str,
        ages: impl IntoIterator<Item = (Timestamp, Duration)>,
    ) {
        self.change_readers(name, |stream| stream.set_iterator_ages(ages));
    }

    /// Sets how many applications read every record of the stream; the default is none. Reported by
    /// GetRecords.Bytes.
    pub fn set_consumers(&self, name: &str, applications: f64) {
        self.change_readers(name, |stream| stream.consumers = applications);
    }

    /// Enables a stream's shard-level metrics, as EnableEnhancedMonitoring does.
    pub fn enable_shard_metrics(&self, name: &str) {
        self.with(|region, _| {
            if let Some(stream) = region.streams.get_mut(name) {
                stream.shard_metrics.extend(SHARD_LEVEL);
            }
        });
    }

    fn change_readers(&self, name: &str, change: impl FnOnce(&mut Stream)) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(stream) = region.streams.get_mut(name) {
                change(stream);
                let live = stream.traffic().is_some();
                region.alarms.traffic_changed(name, live);
            }
        });
    }

    /// Creates or replaces an alarm, given in the form of PutMetricAlarm's input, without
    /// validation. It must have an AlarmName.
    pub fn put_alarm(&self, alarm: Value) {
        let (Value::Object(wire), Some(name)) = (&alarm, alarm["AlarmName"].as_str()) else {
            return;
        };
        self.with(|region, now| {
            region.catch_up(now);
            cloudwatch::put(region, name, wire.clone(), now);
        });
    }

    /// Returns an alarm as DescribeAlarms does, with timestamps in epoch seconds.
    pub fn alarm(&self, name: &str) -> Option<Value> {
        self.with(|region, now| {
            region.catch_up(now);
            let alarm = region.alarms.get(name)?;
            Some(Value::Object(alarm.wire.clone()))
        })
    }

    /// Whether an alarm is in ALARM.
    pub fn in_alarm(&self, name: &str) -> bool {
        self.with(|region, now| {
            region.catch_up(now);
            let alarm = region.alarms.get(name);
            alarm.is_some_and(|alarm| alarm.state() == "ALARM")
        })
    }

    /// Returns a number that is another one after any alarm has changed: its state or definition.
    pub fn alarm_changes(&self) -> u64 {
        self.with(|region, now| {
            region.catch_up(now);
            region.alarms.changes()
        })
    }

    /// Returns the names of all alarms in order.
    pub fn alarm_names(&self) -> Vec<String> {
        self.with(|region, _| region.alarms.iter().map(|(name, _)| name.clone()).collect())
    }

    /// Returns the tags that an alarm was created with.
    pub fn alarm_tags(&self, name: &str) -> Option<Value> {
        self.with(|region, _| region.alarms.get(name)?.tags.clone())
    }

    /// Changes an alarm as an operator does. AlarmConfigurationUpdatedTimestamp becomes now.
    pub fn edit_alarm(&self, name: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
        self.with(|region, now| {
            region.catch_up(now);
            if let Some(alarm) = region.alarms.remove(name) {
                let mut wire = alarm.wire;
                edit(&mut wire);
                let now = super::alarms::seconds(now);
                wire.insert("AlarmConfigurationUpdatedTimestamp".into(), now);
                region.alarms.insert(name, wire, alarm.tags);
            }
        });
    }

    /// Creates a mute rule for the actions of `alarms`, active from `from` on for `length`.
    pub fn mute(&self, rule: &str, alarms: &[&str], from: Timestamp, length: Duration) {
        self.with(|region, now| {
            let rule_of = MuteRule {
                alarms: alarms.iter().map(|name| (*name).to_owned()).collect(),
                start: Start::Once(from),
                duration: SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX),
                valid_from: None,
                expires: None,
                updated: now,
            };
            region.mute_rules.insert(rule.to_owned(), rule_of);
        });
    }

    /// Deletes a mute rule.
    pub fn unmute(&self, rule: &str) {
        self.with(|region, _| drop(region.mute_rules.remove(rule)));
    }

    /// Sets an alarm's EvaluationState, such as `PARTIAL_DATA`; `None` means that it evaluates
    /// normally.
    pub fn set_evaluation_state(&self, name: &str, state: Option<&str>) {
        self.with(|region, _| region.alarms.set_evaluation_state(name, state));
    }

    /// Deletes an alarm.
    pub fn delete_alarm(&self, name: &str) {
        self.with(|region, now| {
            region.catch_up(now);
            region.alarms.remove(name);
        });
    }

    /// Sets an alarm's state until its next evaluation. Without traffic there is none.
    pub fn set_alarm_state(&self, name: &str, state: &str, reason: &str) {
        self.with(|region, now| {
            region.catch_up(now);
            region.alarms.set_state(name, state, reason, None, now);
        });
    }

    /// Evaluates an alarm now, from the metrics that have arrived.
    pub fn evaluate_alarm(&self, name: &str) {
        self.with(|region, now| {
            region.catch_up(now);
            region
                .alarms
                .evaluate_now(name, &region.streams, now, region.metric_delay);
        });
    }

    /// Creates the usual two alarms of a stream, `{stream}-scale-up-alarm` and
    /// `{stream}-scale-down-alarm`, with `shards` as their shardCount.
    pub fn pair(&self, stream: &str, shards: u32) -> AlarmNames {
        self.put_pair(Pair::Usual, stream, shards)
    }

    /// Creates a pair of another kind under the same names.
    pub fn put_pair(&self, kind: Pair, stream: &str, shards: u32) -> AlarmNames {
        let names = AlarmNames {
            scale_up: format!("{stream}-scale-up-alarm"),
            scale_down: format!("{stream}-scale-down-alarm"),
        };
        let place = (self.account.as_str(), self.region.as_str());
        let put = |name: &str, direction| {
            self.put_alarm(kind.alarm(place, name, stream, shards, direction));
        };
        put(&names.scale_up, Direction::Up);
        put(&names.scale_down, Direction::Down);
        names
    }

    /// Creates the table of the scaling log.
    pub fn create_log_table(&self, name: &str) {
        let ttl = Some("expiration_datetime");
        self.create_table(name, "stream_name", "scaling_datetime", ttl);
    }

    /// Creates a table with two keys of type S, and a TTL attribute if one is given.
    pub fn create_table(&self, name: &str, hash_key: &str, range_key: &str, ttl: Option<&str>) {
        self.with(|region, now| {
            let table = Table::new(hash_key, range_key, ttl, now);
            region.tables.insert(name, table);
        });
    }

    /// Creates a table like that of the scaling log, except that its range key has the type `kind`:
    /// N or B.
    pub fn create_table_of_kind(&self, name: &str, kind: &str) {
        self.with(|region, now| {
            let mut table = Table::new("stream_name", "scaling_datetime", None, now);
            if let Some(range) = &mut table.range {
                kind.clone_into(&mut range.kind);
            }
            region.tables.insert(name, table);
        });
    }

    /// Creates an SNS topic and returns its ARN.
    pub fn create_topic(&self, name: &str) -> String {
        self.with(|region, _| {
            region.topics.entry(name.to_owned()).or_default();
            region.topic_arn(name)
        })
    }

    /// Returns the messages that a topic received, oldest first.
    pub fn published(&self, topic: &str) -> Vec<Published> {
        self.with(|region, _| region.topics.get(topic).cloned().unwrap_or_default())
    }

    /// Returns all items of a table in the order of their keys; none if the table does not exist.
    pub fn items(&self, table: &str) -> Vec<Value> {
        self.with(|region, _| {
            let table = region.tables.get(table);
            let items = table.into_iter().flat_map(Table::items);
            items.cloned().map(Value::Object).collect()
        })
    }

    /// Stores an item in DynamoDB's JSON form (`{"stream_name": {"S": "orders"}}`). Returns AWS's
    /// error if it is refused.
    pub fn put_item(&self, table: &str, item: Value) -> Result<(), String> {
        let Value::Object(item) = item else {
            return Err("an item must be an object".into());
        };
        self.with(|region, _| {
            let result = region.tables.put(table, item);
            result.map_err(|error| format!("{}: {}", error.code, error.message))
        })
    }
}
