//! Keeps calls under the account's quotas, the most urgent first.
//!
//! Each quota is a token bucket behind a queue ordered by [`Priority`]. Other tools share the
//! quotas: when AWS throttles a call nevertheless, the next calls take several tokens each, and one
//! fewer with every call that passes. Before the queue for resharding stands [`PrioritySemaphore`].

mod queue;
mod semaphore;
#[cfg(test)]
mod tests;
mod token_bucket;

use std::sync::Arc;

use autoscaler_core::priority::Priority;

pub use self::semaphore::{PrioritySemaphore, SemaphorePermit};
use self::{queue::PriorityQueue, token_bucket::TokenBucket};
use crate::config::Quotas;

/// The quotas of one account and Region.
#[derive(Clone, Debug)]
pub struct RateLimiters {
    pub describe_alarms: RateLimiter,
    pub put_metric_alarm: RateLimiter,
    pub set_alarm_state: RateLimiter,
    pub describe_stream_summary: RateLimiter,
    pub update_shard_count: RateLimiter,
    /// Limits how many streams are read for a resharding at a time.
    pub resharding_slots: PrioritySemaphore,
}

impl RateLimiters {
    /// Limiters with the configured calls per second.
    pub fn new(quotas: &Quotas) -> Self {
        Self {
            describe_alarms: RateLimiter::new(quotas.describe_alarms),
            put_metric_alarm: RateLimiter::new(quotas.put_metric_alarm),
            set_alarm_state: RateLimiter::new(quotas.set_alarm_state),
            describe_stream_summary: RateLimiter::new(quotas.describe_stream_summary),
            update_shard_count: RateLimiter::new(quotas.update_shard_count),
            resharding_slots: PrioritySemaphore::new(quotas.update_shard_count),
        }
    }
}

/// One quota with its queue. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<PriorityQueue<TokenBucket>>);

impl RateLimiter {
    pub(super) fn new(calls_per_second: f64) -> Self {
        let bucket = TokenBucket::new(calls_per_second);
        Self(Arc::new(PriorityQueue::new(bucket)))
    }

    /// Waits until the quota allows one more call and no waiter is more urgent.
    pub async fn acquire(&self, priority: Priority) {
        self.0.pass(priority).await;
    }

    /// Slows the next calls down, because AWS has throttled one.
    pub fn slow_down(&self) {
        self.0.change(TokenBucket::slow_down);
    }
}
