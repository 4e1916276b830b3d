//! Keeps writes and reads under the account's quotas, the most urgent first.
//!
//! Each quota is a token bucket (governor) behind a queue ordered by [`Priority`]. Other tools share the quotas: when AWS throttles
//! all the same, a bucket takes several tokens for one call, and goes back to one as calls pass.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::{sync::Notify, time::Instant};

use crate::{alarm::Direction, config::Quotas};

/// Who goes first: the lower value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    class: u8,
    usage_percent: Reverse<u32>,
}

impl Priority {
    /// The poll of alarm states, without which nothing is known; and what has waited for its turn with another quota already.
    pub const FIRST: Self = Self {
        class: 0,
        usage_percent: Reverse(0),
    };
    /// The audit, which has all the time.
    pub const AUDIT: Self = Self {
        class: 9,
        usage_percent: Reverse(0),
    };

    /// Scale-ups before scale-downs, and the highest usage first.
    pub fn scaling(direction: Direction, usage: Option<f64>) -> Self {
        let class = match direction {
            Direction::Up => 1,
            Direction::Down => 2,
        };
        // The cast saturates: NaN and negatives become 0.
        Self {
            class,
            usage_percent: Reverse((usage.unwrap_or(0.0) * 100.0) as u32),
        }
    }
}

/// The quotas of one account and Region.
#[derive(Clone, Debug)]
pub struct Pace {
    pub describe_alarms: Lane,
    pub put_metric_alarm: Lane,
    pub set_alarm_state: Lane,
    pub describe_stream_summary: Lane,
    pub update_shard_count: Lane,
}

impl Pace {
    /// Lanes with the configured calls per second.
    pub fn new(quotas: &Quotas) -> Self {
        Self {
            describe_alarms: Lane::new(quotas.describe_alarms),
            put_metric_alarm: Lane::new(quotas.put_metric_alarm),
            set_alarm_state: Lane::new(quotas.set_alarm_state),
            describe_stream_summary: Lane::new(quotas.describe_stream_summary),
            update_shard_count: Lane::new(quotas.update_shard_count),
        }
    }
}

/// One quota with its queue. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
    queue: Mutex<Queue>,
    /// Tokens for one call: 1, and up to [`MAX_COST`] after AWS has throttled.
    cost: AtomicU32,
}

#[derive(Debug, Default)]
struct Queue {
    arrivals: u64,
    waiting: BTreeMap<(Priority, u64), Arc<Notify>>,
}

const MAX_COST: u32 = 8;

impl Lane {
    fn new(calls_per_second: f64) -> Self {
        let period = Duration::from_secs_f64(1.0 / calls_per_second.clamp(0.001, 100_000.0));
        // Half of what AWS's own buckets let go at once: between its turn and its arrival there a call may be delayed, and meet the next.
        let burst = NonZeroU32::new((calls_per_second / 2.0) as u32).unwrap_or(NonZeroU32::MIN);
        // The clamp keeps the period above zero.
        let quota = Quota::with_period(period)
            .map_or(Quota::per_second(burst), |quota| quota.allow_burst(burst));
        let clock = TokioClock(Instant::now());
        let bucket = RateLimiter::direct_with_clock(quota, clock.clone());
        Self(Arc::new(Shared {
            bucket,
            clock,
            queue: Mutex::default(),
            cost: AtomicU32::new(1),
        }))
    }

    /// Waits until the quota allows one more call and nobody more urgent is waiting.
    pub async fn turn(&self, priority: Priority) {
        let place = Place::take(&self.0, priority);
        for _ in 0..self.0.cost.load(Ordering::Relaxed) {
            self.token(&place).await;
        }
        self.0
            .cost
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cost| {
                Some(cost.saturating_sub(1).max(1))
            })
            .ok();
    }

    async fn token(&self, place: &Place<'_>) {
        loop {
            if !place.is_first() {
                place.wake.notified().await;
                continue;
            }
            let Err(wait) = self.0.bucket.check() else {
                return;
            };
            let wait = wait.wait_time_from(self.0.clock.now());
            // Someone more urgent may come meanwhile; then they are first, and this place waits for its turn.
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells that AWS has throttled a call all the same: the following ones become rarer.
    pub fn throttled(&self) {
        let double = |cost: u32| Some((cost * 2).min(MAX_COST));
        self.0
            .cost
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, double)
            .ok();
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    lane: &'a Shared,
    key: (Priority, u64),
    wake: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn take(lane: &'a Shared, priority: Priority) -> Self {
        let wake = Arc::new(Notify::new());
        let mut queue = lane.lock();
        queue.arrivals += 1;
        let key = (priority, queue.arrivals);
        queue.waiting.insert(key, wake.clone());
        Self { lane, key, wake }
    }

    fn is_first(&self) -> bool {
        self.lane.lock().waiting.keys().next() == Some(&self.key)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.lane.lock();
        queue.waiting.remove(&self.key);
        if let Some((_, next)) = queue.waiting.first_key_value() {
            next.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokio's clock for governor, as the time since the lane was made: paused time paces as well.
#[derive(Clone, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(usage: f64) -> Priority {
        Priority::scaling(Direction::Up, Some(usage))
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_urgent_waiting_call_goes_first_and_none_goes_faster_than_the_quota() {
        let lane = Lane::new(1.0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let started = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        let down = Priority::scaling(Direction::Down, Some(0.9));
        for (name, priority) in [
            ("any", up(0.0)),
            ("audit", Priority::AUDIT),
            ("down", down),
            ("low", up(0.8)),
            ("high", up(0.95)),
        ] {
            let (lane, order) = (lane.clone(), order.clone());
            calls.spawn(async move {
                lane.turn(priority).await;
                order
                    .lock()
                    .unwrap()
                    .push((name, started.elapsed().as_secs_f64().round() as u64));
            });
            // Each is in the queue before the next comes.
            tokio::task::yield_now().await;
        }
        calls.join_all().await;
        let order = order.lock().unwrap().clone();
        assert_eq!(
            order,
            [
                ("any", 0),
                ("high", 1),
                ("low", 2),
                ("down", 3),
                ("audit", 4)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_a_lane_and_success_speeds_it_up_again() {
        let lane = Lane::new(1.0);
        let started = Instant::now();
        lane.turn(up(0.0)).await;
        lane.throttled();
        lane.throttled();
        let mut gaps = Vec::new();
        let mut last = started.elapsed();
        for _ in 0..5 {
            lane.turn(up(0.0)).await;
            gaps.push((started.elapsed() - last).as_secs_f64().round() as u64);
            last = started.elapsed();
        }
        assert_eq!(
            gaps,
            [4, 3, 2, 1, 1],
            "seconds between calls after throttling"
        );
    }
}
