//! An embedded AWS for the real SDK clients: Kinesis, CloudWatch, DynamoDB, SNS and STS in memory.
//!
//! [`Sandbox::http_client`] replaces the SDK's HTTP client, so clients, signing, retries and
//! parsing run as they do against AWS; only the socket is missing. The behavior depends on the
//! calls, the time that `now` returns and tokio's clock alone: no threads, no wall clock, no
//! randomness.
//!
//! What it models:
//! - Streams: resharding with its limits, transient counts and shard quota; shards and their key
//!   ranges. [`Traffic`] is their demand: a curve with noise, uneven keys, a hot key, retries.
//! - Alarms: evaluated minute by minute from the accepted and rejected records, with metric math,
//!   metrics that arrive late, missing data and M out of N; mute rules; GetMetricData.
//! - DynamoDB: tables with conditional writes, queries and transactions.
//! - SNS: topics that keep what is published.
//! - Accounts, Regions and roles; IAM denials, throttling, latency and the [`Fault`] of any request.
//!
//! What it leaves out: records themselves, alarm actions, composite alarms, metrics shared between
//! accounts, and every operation that the autoscaler does not use.
//!
//! ```
//! # use autoscaler_sandbox::{Load, Sandbox, Traffic};
//! # use jiff::Timestamp;
//! let sandbox = Sandbox::new(|| Timestamp::UNIX_EPOCH);
//! let region = sandbox.region("eu-west-1");
//! region.create_stream("orders", 2);
//! let alarms = region.pair("orders", 2);
//! region.set_traffic("orders", Traffic::constant(Load::of_shards(1.9)));
//! region.evaluate_alarm(&alarms.scale_up);
//! assert_eq!(region.alarm(&alarms.scale_up).unwrap()["StateValue"], "ALARM");
//! let http_client = sandbox.http_client(); // for the SDK's clients
//! ```

mod alarms;
mod cbor;
mod cloudwatch;
pub mod demo;
mod dynamodb;
mod handle;
mod http;
mod kinesis;
mod list_shards;
mod load;
mod metric_data;
mod metrics;
mod mute_rules;
mod pair;
mod producers;
mod region;
mod shards;
mod sns;
mod stream;
mod traffic;
mod watch;
mod wire;
mod world;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

pub use handle::{RegionHandle, StreamView};
pub use load::Load;
pub use pair::Pair;
pub use sns::Published;
pub use stream::Mode;
pub use traffic::Traffic;

use world::{DEFAULT_ACCOUNT, World};

/// The embedded AWS. Clones share their state.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

type Faults = Box<dyn FnMut(&Call) -> Fault + Send>;

struct Shared {
    world: Mutex<World>,
    faults: Mutex<Option<Faults>>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// An entry of the request log.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub at: Timestamp,
    pub region: String,
    pub account: String,
    /// `kinesis`, `cloudwatch`, `dynamodb`, `sns` or `sts`.
    pub service: &'static str,
    pub operation: String,
    /// The stream, alarm, table, topic or role.
    pub resource: Option<String>,
    /// The metrics that GetMetricData asks for, which is what AWS bills.
    pub metrics: usize,
    /// `ok` or the error's code. A fault that drops the response precedes it, as in `HangAfter:
    /// ok`; a fault that drops the request stands alone. Empty while faults are decided.
    pub outcome: String,
}

/// A fault of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Returns this error, without effect.
    Refuse {
        status: u16,
        code: String,
        message: String,
    },
    /// Returns the service's throttling error, without effect.
    Throttle,
    /// Never responds, without effect.
    HangBefore,
    /// Takes effect but never responds.
    HangAfter,
    /// Resets the connection, without effect.
    ResetBefore,
    /// Takes effect, then resets the connection.
    ResetAfter,
    /// Takes effect twice and returns the second response.
    Twice,
    /// Takes effect at once and responds after this time of tokio's clock.
    Slow(Duration),
    /// Returns fewer results and a NextToken; GetMetricData returns `PartialData`.
    PartialPage,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// Creates an empty AWS whose time is what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                world: Mutex::default(),
                faults: Mutex::default(),
                now: Box::new(now),
            }),
        }
    }

    /// Returns a Region of the default account, 123456789012.
    pub fn region(&self, region: &str) -> RegionHandle {
        self.place(DEFAULT_ACCOUNT, region)
    }

    /// Returns a Region of any account. Clients reach other accounts by AssumeRole.
    pub fn place(&self, account: &str, region: &str) -> RegionHandle {
        RegionHandle::new(self.clone(), account, region)
    }

    /// Returns the number of answered calls by operation, such as `DescribeAlarms`, errors
    /// included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.world().calls.clone()
    }

    /// Returns the number of throttled calls by operation.
    pub fn throttled(&self) -> BTreeMap<String, u64> {
        self.world().throttled.clone()
    }

    /// Resets the call counts and the request log.
    pub fn reset_calls(&self) {
        let mut world = self.world();
        world.calls.clear();
        world.throttled.clear();
        world.request_log.clear();
    }

    /// Returns every request in order, up to the last 100,000.
    pub fn request_log(&self) -> Vec<Call> {
        self.world().request_log.iter().cloned().collect()
    }

    /// Sets the function that decides the fault of every request. It may use the sandbox, but must
    /// not set faults.
    pub fn set_faults(&self, faults: impl FnMut(&Call) -> Fault + Send + 'static) {
        *lock(&self.shared.faults) = Some(Box::new(faults));
    }

    /// Removes the function that [`Sandbox::set_faults`] set.
    pub fn clear_faults(&self) {
        *lock(&self.shared.faults) = None;
    }

    /// Enables throttling at AWS's default quotas per second; off by default.
    pub fn enforce_quotas(&self, on: bool) {
        self.world().enforce_quotas = on;
    }

    /// Sets how long every call takes by tokio's clock.
    pub fn set_latency(&self, latency: Duration) {
        self.world().latency = latency;
    }

    /// Denies an IAM action, such as `kinesis:UpdateShardCount`.
    pub fn deny(&self, iam_action: &str) {
        self.world().denied.insert(iam_action.to_owned());
    }

    /// Reverts [`Sandbox::deny`].
    pub fn allow(&self, iam_action: &str) {
        self.world().denied.remove(iam_action);
    }

    /// Denies AssumeRole of a role.
    pub fn refuse_role(&self, arn: &str) {
        self.world().refused_roles.insert(arn.to_owned());
    }

    /// Returns the current time of the sandbox.
    pub fn now(&self) -> Timestamp {
        (self.shared.now)()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    fn fault(&self, call: &Call) -> Fault {
        match lock(&self.shared.faults).as_mut() {
            Some(faults) => faults(call),
            None => Fault::None,
        }
    }
}

/// Ignores poisoning, so that a panic in one test does not fail others that share the sandbox.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
