//! An embedded AWS: Kinesis, CloudWatch, DynamoDB and STS in memory, behind the HTTP client of the real SDK.
//!
//! The SDK's own clients, signing, retries and parsing run as they do against AWS; only the socket is missing. All
//! that happens is a function of `now`, tokio's clock and the calls made: no thread, no wall clock, no
//! randomness. Alarms are evaluated from the streams' [`Traffic`] when someone looks, minute by minute.

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
mod producers;
mod region;
mod shards;
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
pub use stream::Mode;
pub use traffic::Traffic;

use world::{DEFAULT_ACCOUNT, World};

/// The embedded AWS. Clones share one world.
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

/// One request, as the request_log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub at: Timestamp,
    pub region: String,
    pub account: String,
    /// `kinesis`, `cloudwatch`, `dynamodb` or `sts`.
    pub service: &'static str,
    pub operation: String,
    /// The stream, alarm, table or role.
    pub resource: Option<String>,
    /// `ok` or the error's code. A fault that eats the answer stands before it, as in `HangAfter: ok`; one that
    /// eats the request stands alone. Empty while the call is being decided upon.
    pub outcome: String,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Answers this error, without effect.
    Refuse {
        status: u16,
        code: String,
        message: String,
    },
    /// Answers the service's throttling error, without effect.
    Throttle,
    /// Never answers, without effect.
    HangBefore,
    /// Never answers, but the effect has happened.
    HangAfter,
    /// The connection breaks, without effect.
    ResetBefore,
    /// The connection breaks, but the effect has happened.
    ResetAfter,
    /// The effect happens twice; the second answer is returned.
    Twice,
    /// The effect happens at once, the answer comes late (by tokio's clock).
    Slow(Duration),
    /// Fewer results and a NextToken; `PartialData` of GetMetricData.
    PartialPage,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sandbox")
    }
}

impl Sandbox {
    /// An empty world whose time is what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                world: Mutex::default(),
                faults: Mutex::default(),
                now: Box::new(now),
            }),
        }
    }

    /// A Region of the default account, 123456789012.
    pub fn region(&self, region: &str) -> RegionHandle {
        self.place(DEFAULT_ACCOUNT, region)
    }

    /// A Region of any account; a role of that account leads there.
    pub fn place(&self, account: &str, region: &str) -> RegionHandle {
        RegionHandle::new(self.clone(), account, region)
    }

    /// Answered calls by operation, such as `DescribeAlarms`; errors and throttled calls count too.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.world().calls.clone()
    }

    /// Throttled calls by operation.
    pub fn throttled(&self) -> BTreeMap<String, u64> {
        self.world().throttled.clone()
    }

    /// Forgets the numbers of calls and of throttled calls, and the request_log.
    pub fn reset_calls(&self) {
        let mut world = self.world();
        world.calls.clear();
        world.throttled.clear();
        world.request_log.clear();
    }

    /// Every request in order, up to the last 100,000.
    pub fn request_log(&self) -> Vec<Call> {
        self.world().request_log.iter().cloned().collect()
    }

    /// Decides upon every request from now on. It may look at the sandbox, but must not set faults itself.
    pub fn set_faults(&self, faults: impl FnMut(&Call) -> Fault + Send + 'static) {
        *lock(&self.shared.faults) = Some(Box::new(faults));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        *lock(&self.shared.faults) = None;
    }

    /// Throttles calls beyond AWS's default quotas per second; off at first.
    pub fn enforce_quotas(&self, on: bool) {
        self.world().enforce_quotas = on;
    }

    /// Makes every call take so long by tokio's clock.
    pub fn set_latency(&self, latency: Duration) {
        self.world().latency = latency;
    }

    /// Refuses an IAM action, such as `kinesis:UpdateShardCount`.
    pub fn deny(&self, iam_action: &str) {
        self.world().denied.insert(iam_action.to_owned());
    }

    /// Takes [`Sandbox::deny`] back.
    pub fn allow(&self, iam_action: &str) {
        self.world().denied.remove(iam_action);
    }

    /// Refuses AssumeRole of a role.
    pub fn refuse_role(&self, arn: &str) {
        self.world().refused_roles.insert(arn.to_owned());
    }

    /// The sandbox's time.
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

/// A test that panicked with the lock held must not make all others panic too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
