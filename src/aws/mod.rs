//! Amazon Web Services through the SDK: the only module that names `aws_sdk_*` types.
//!
//! Calls return the project's own values and one [`Error`]. Every call has a deadline; the SDK
//! retries reads and idempotent writes, but never UpdateShardCount. The SDK's futures have
//! thousands of bytes: they are boxed where a stream's task makes the call, because in a storm ten
//! thousand tasks wait.

mod answer_time;
mod cloudwatch;
mod connect;
mod credentials;
mod dynamodb;
mod error;
mod kinesis;
mod meter;
mod pre_send_check;
mod rate_limit;
mod shard_room;
mod shared_read;
mod sns;
mod text;
mod transport;
mod unknown_fields;

use std::{collections::BTreeMap, sync::Arc};

use autoscaler_core::subscription::Account;
use aws_config::SdkConfig;

pub use cloudwatch::{
    CloudWatch, Definition, Extra, MuteRule, Rewrite, STREAMS_PER_CALL, StreamMetrics, Window,
};
pub use connect::ConnectError;
pub use dynamodb::{
    Condition, HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Table, TableState, Value, Write,
};
pub use error::{Error, Kind, Operation, shard_quota_hint};
pub use kinesis::{Kinesis, Monitoring};
pub use meter::{Counts, Meter};
pub use pre_send_check::PreSendCheck;
pub use rate_limit::SemaphorePermit;
pub use shard_room::{Room, ShardQuota};
pub use shared_read::SharedRead;
pub use sns::Topic;
pub use transport::{Transport, TransportError};

/// The services of one account in one Region, with their limiters.
#[derive(Clone, Debug)]
pub struct RegionClients {
    pub region: String,
    pub cloudwatch: CloudWatch,
    pub kinesis: Kinesis,
    sdk: SdkConfig,
}

/// The clients of all accounts and Regions that the configuration names.
#[derive(Clone, Debug)]
pub struct Aws {
    all_clients: BTreeMap<Account, Arc<RegionClients>>,
    pub log: Table,
    /// Where notifications are published, if the configuration names a topic.
    pub topic: Option<Topic>,
    pub meter: Meter,
}

impl Aws {
    /// The services of `account`, which the configuration names.
    pub fn clients(&self, account: &Account) -> &Arc<RegionClients> {
        // `connect` made one for every account of the configuration, and a subscription has no
        // other.
        &self.all_clients[account]
    }

    /// Every account and Region in use.
    pub fn all_clients(&self) -> impl Iterator<Item = (&Account, &Arc<RegionClients>)> {
        self.all_clients.iter()
    }
}
