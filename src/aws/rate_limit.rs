//! Keeps writes and reads under the account's quotas, the most urgent first.
//!
//! Each quota is a token bucket (governor) behind a queue ordered by [`Priority`]. Other tools share the quotas: when AWS throttles
//! all the same, a bucket takes several tokens for one call, and goes back to one as calls pass. Before the queue for resharding stands
//! [`PrioritySemaphore`], so that a stream is read and decided on shortly before its call.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::config::Quotas;
use autoscaler_core::priority::Priority;

/// The quotas of one account and Region.
#[derive(Clone, Debug)]
pub struct RateLimiters {
    pub describe_alarms: RateLimiter,
    pub put_metric_alarm: RateLimiter,
    pub set_alarm_state: RateLimiter,
    pub describe_stream_summary: RateLimiter,
    pub update_shard_count: RateLimiter,
    /// Who may be looked at for a resharding.
    pub admission: PrioritySemaphore,
}

impl RateLimiters {
    /// Lanes with the configured calls per second.
    pub fn new(quotas: &Quotas) -> Self {
        Self {
            describe_alarms: RateLimiter::new(quotas.describe_alarms),
            put_metric_alarm: RateLimiter::new(quotas.put_metric_alarm),
            set_alarm_state: RateLimiter::new(quotas.set_alarm_state),
            describe_stream_summary: RateLimiter::new(quotas.describe_stream_summary),
            update_shard_count: RateLimiter::new(quotas.update_shard_count),
            admission: PrioritySemaphore::new(quotas.update_shard_count),
        }
    }
}

/// One quota with its queue. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: governor::RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
    queue: Mutex<Queue>,
    /// Tokens for one call: 1, and up to [`MAX_COST`] after AWS has throttled.
    cost: AtomicU32,
}

const MAX_COST: u32 = 8;

impl RateLimiter {
    fn new(calls_per_second: f64) -> Self {
        let period = Duration::from_secs_f64(1.0 / calls_per_second.clamp(0.001, 100_000.0));
        // Half of what AWS's own buckets let go at once: between its turn and its arrival there a call may be delayed, and meet the next.
        let burst = NonZeroU32::new((calls_per_second / 2.0) as u32).unwrap_or(NonZeroU32::MIN);
        // The clamp keeps the period above zero.
        let quota = Quota::with_period(period)
            .map_or(Quota::per_second(burst), |quota| quota.allow_burst(burst));
        let clock = TokioClock(Instant::now());
        let bucket = governor::RateLimiter::direct_with_clock(quota, clock.clone());
        Self(Arc::new(Shared {
            bucket,
            clock,
            queue: Mutex::default(),
            cost: AtomicU32::new(1),
        }))
    }

    /// Waits until the quota allows one more call and nobody more urgent is waiting.
    pub async fn acquire(&self, priority: Priority) {
        let entry = QueueEntry::take(&self.0.queue, priority);
        for _ in 0..self.0.cost.load(Ordering::Relaxed) {
            self.token(&entry).await;
        }
        self.0
            .cost
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cost| {
                Some(cost.saturating_sub(1).max(1))
            })
            .ok();
    }

    async fn token(&self, entry: &QueueEntry<'_>) {
        loop {
            if !entry.is_first() {
                entry.wake.notified().await;
                continue;
            }
            let Err(wait) = self.0.bucket.check() else {
                return;
            };
            let wait = wait.wait_time_from(self.0.clock.now());
            // Someone more urgent may come meanwhile; then they are first, and this entry waits for its turn.
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

/// Lets in as many streams as reshard in four seconds, the most urgent first; the others wait before the stream and its log are read.
///
/// So the decision is on what was read shortly before its call, however many wait. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct PrioritySemaphore(Arc<Room>);

/// How long an admitted stream may wait for its call. One that is being read for longer, for AWS is slow, makes room for the next:
/// resharding goes on at its quota.
const STAY: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct Room {
    size: usize,
    queue: Mutex<Queue>,
    inside: Mutex<Inside>,
}

/// Who is in, by the number of the arrival.
#[derive(Debug, Default)]
struct Inside {
    /// Those that are being read, by when they came in.
    reading: BTreeSet<(Instant, u64)>,
    /// Those that are decided on. They wait for the quota, and make no room before they have it: after a stall the line is short again.
    decided: BTreeSet<u64>,
}

impl PrioritySemaphore {
    fn new(reshardings_per_second: f64) -> Self {
        // The cast saturates.
        let size = (reshardings_per_second * STAY.as_secs_f64()) as usize;
        Self(Arc::new(Room {
            size: size.max(2),
            queue: Mutex::default(),
            inside: Mutex::default(),
        }))
    }

    /// Waits for admission, which ends when the result is dropped.
    pub async fn enter(&self, priority: Priority) -> SemaphorePermit {
        let entry = QueueEntry::take(&self.0.queue, priority);
        loop {
            if !entry.is_first() {
                entry.wake.notified().await;
                continue;
            }
            match self.0.enter(entry.key.1) {
                Ok(since) => {
                    let (room, arrival) = (self.0.clone(), entry.key.1);
                    return SemaphorePermit {
                        room,
                        since,
                        arrival,
                    };
                }
                // There is room when one leaves, or has been read for its time.
                Err(Some(at)) => drop(timeout_at(at, entry.wake.notified()).await),
                Err(None) => entry.wake.notified().await,
            }
        }
    }
}

/// LeaseGuard to look at a stream.
#[derive(Debug)]
pub struct SemaphorePermit {
    room: Arc<Room>,
    since: Instant,
    arrival: u64,
}

impl SemaphorePermit {
    /// The stream has been read, and is to be resharded.
    pub fn decided(&self) {
        let mut inside = lock(&self.room.inside);
        inside.reading.remove(&(self.since, self.arrival));
        inside.decided.insert(self.arrival);
    }
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        let mut inside = lock(&self.room.inside);
        inside.reading.remove(&(self.since, self.arrival));
        inside.decided.remove(&self.arrival);
        drop(inside);
        lock(&self.room.queue).wake_first();
    }
}

impl Room {
    /// Lets the arrival in, or tells when there will be room at the latest, where that is known.
    fn enter(&self, arrival: u64) -> Result<Instant, Option<Instant>> {
        let (mut inside, now) = (lock(&self.inside), Instant::now());
        if inside.decided.len() >= self.size {
            return Err(None);
        }
        if inside.reading.len() + inside.decided.len() >= self.size
            && let Some((since, _)) = inside.reading.first()
        {
            let room_at = *since + STAY;
            if now < room_at {
                return Err(Some(room_at));
            }
            inside.reading.pop_first();
        }
        inside.reading.insert((now, arrival));
        Ok(now)
    }
}

#[derive(Debug, Default)]
struct Queue {
    arrivals: u64,
    waiting: BTreeMap<(Priority, u64), Arc<Notify>>,
}

impl Queue {
    fn wake_first(&self) {
        if let Some((_, first)) = self.waiting.first_key_value() {
            first.notify_one();
        }
    }
}

/// A entry in a queue, given up when dropped.
struct QueueEntry<'a> {
    queue: &'a Mutex<Queue>,
    key: (Priority, u64),
    wake: Arc<Notify>,
}

impl<'a> QueueEntry<'a> {
    fn take(queue: &'a Mutex<Queue>, priority: Priority) -> Self {
        let wake = Arc::new(Notify::new());
        let mut in_queue = lock(queue);
        in_queue.arrivals += 1;
        let key = (priority, in_queue.arrivals);
        in_queue.waiting.insert(key, wake.clone());
        Self { queue, key, wake }
    }

    fn is_first(&self) -> bool {
        lock(self.queue).waiting.keys().next() == Some(&self.key)
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        let mut queue = lock(self.queue);
        queue.waiting.remove(&self.key);
        queue.wake_first();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tokio's clock for governor, as the time since the lane was made: paused time limiters_by_account as well.
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
    use autoscaler_core::alarm::Direction;

    use super::*;

    fn up(usage: f64) -> Priority {
        Priority::scaling(Direction::Up, Some(usage))
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_urgent_waiting_call_goes_first_and_none_goes_faster_than_the_quota() {
        let lane = RateLimiter::new(1.0);
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
                lane.acquire(priority).await;
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
    async fn admission_lets_in_so_many_at_a_time_the_most_urgent_first() {
        let admission = PrioritySemaphore::new(0.5);
        let (first, second) = tokio::join!(admission.enter(up(0.1)), admission.enter(up(0.1)));
        let order = Mutex::new(Vec::new());
        let entered = async |name, priority| {
            let admitted = admission.enter(priority).await;
            lock(&order).push(name);
            // It gives way before the next tick of the clock.
            tokio::task::yield_now().await;
            drop(admitted);
        };
        let started = Instant::now();
        let leaves = async {
            assert_eq!(lock(&order).len(), 0, "two are in, which is all");
            drop(first);
        };
        tokio::join!(
            entered("audit", Priority::AUDIT),
            entered("low", up(0.8)),
            entered("high", up(0.9)),
            leaves
        );
        assert_eq!(lock(&order).clone(), ["high", "low", "audit"]);
        assert_eq!(started.elapsed(), Duration::ZERO, "each waits for no time");
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_read_for_long_makes_room_for_one_and_no_more() {
        let admission = PrioritySemaphore::new(0.5);
        let started = Instant::now();
        let mut inside = Vec::new();
        for entered_after in [0, 0, 4, 4, 8] {
            inside.push(admission.enter(up(0.9)).await);
            assert_eq!(started.elapsed().as_secs(), entered_after, "seconds");
        }
        // The first two have made room already, and their leaving makes no more.
        inside.drain(..2);
        inside.push(admission.enter(up(0.9)).await);
        assert_eq!(started.elapsed().as_secs(), 8, "the fourth has made room");
        let last = inside.pop();
        tokio::join!(admission.enter(up(0.9)), async { drop(last) });
        assert_eq!(started.elapsed().as_secs(), 8, "the sixth has left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_decided_on_makes_room_by_leaving_alone() {
        let admission = PrioritySemaphore::new(0.5);
        let started = Instant::now();
        let (first, second) = tokio::join!(admission.enter(up(0.1)), admission.enter(up(0.1)));
        first.decided();
        second.decided();
        let leaves = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            drop(first);
        };
        tokio::join!(admission.enter(up(0.9)), leaves);
        assert_eq!(started.elapsed().as_secs(), 10, "seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_is_no_obstacle_to_the_next() {
        let admission = PrioritySemaphore::new(0.5);
        let (first, second) = tokio::join!(admission.enter(up(0.1)), admission.enter(up(0.1)));
        first.decided();
        second.decided();
        let gives_up = async |after| {
            let entered = admission.enter(up(0.9));
            let entered = tokio::time::timeout(Duration::from_secs(after), entered).await;
            assert!(entered.is_err(), "there is no room");
        };
        let started = Instant::now();
        let stays = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(first);
        };
        tokio::join!(gives_up(1), gives_up(2), admission.enter(up(0.8)), stays);
        assert_eq!(started.elapsed().as_secs(), 3, "seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_a_lane_and_success_speeds_it_up_again() {
        let lane = RateLimiter::new(1.0);
        let started = Instant::now();
        lane.acquire(up(0.0)).await;
        lane.throttled();
        lane.throttled();
        let mut gaps = Vec::new();
        let mut last = started.elapsed();
        for _ in 0..5 {
            lane.acquire(up(0.0)).await;
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
