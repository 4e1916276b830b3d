//! The order and the pace of waiters, in virtual time.

use std::{sync::Mutex, time::Duration};

use autoscaler_core::alarm::Direction;
use tokio::time::Instant;

use super::*;

fn up(usage: f64) -> Priority {
    Priority::scaling(Direction::Up, Some(usage))
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_waiter_goes_first_and_no_call_exceeds_the_quota() {
    let limiter = RateLimiter::new(1.0);
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
        let (limiter, order) = (limiter.clone(), order.clone());
        calls.spawn(async move {
            limiter.acquire(priority).await;
            order
                .lock()
                .unwrap()
                .push((name, started.elapsed().as_secs_f64().round() as u64));
        });
        // It has joined the queue before the next one does.
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
async fn a_semaphore_lets_its_size_in_the_most_urgent_first() {
    let slots = PrioritySemaphore::new(0.5);
    let (first, second) = tokio::join!(slots.acquire(up(0.1)), slots.acquire(up(0.1)));
    let order = Mutex::new(Vec::new());
    let entered = async |name, priority| {
        let admitted = slots.acquire(priority).await;
        order.lock().unwrap().push(name);
        // The permit is dropped before the next tick of the clock.
        tokio::task::yield_now().await;
        drop(admitted);
    };
    let started = Instant::now();
    let leaves = async {
        assert_eq!(order.lock().unwrap().len(), 0, "both slots are taken");
        drop(first);
    };
    tokio::join!(
        entered("audit", Priority::AUDIT),
        entered("low", up(0.8)),
        entered("high", up(0.9)),
        leaves
    );
    assert_eq!(order.lock().unwrap().clone(), ["high", "low", "audit"]);
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "a freed slot is taken at once"
    );
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_semaphore_has_a_slot_for_four_seconds_of_its_quota_within_bounds() {
    for (quota, size) in [(0.1, 2), (0.5, 2), (10.0, 40), (1_000.0, 200)] {
        let slots = PrioritySemaphore::new(quota);
        let started = Instant::now();
        let mut inside = Vec::new();
        while started.elapsed() == Duration::ZERO {
            inside.push(slots.acquire(up(0.9)).await);
        }
        // The last one has waited for the slot of a stream that was read for too long.
        assert_eq!(inside.len() - 1, size, "at {quota} reshardings a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_for_long_frees_its_slot_once() {
    let slots = PrioritySemaphore::new(0.5);
    let started = Instant::now();
    let mut inside = Vec::new();
    for entered_after in [0, 0, 4, 4, 8] {
        inside.push(slots.acquire(up(0.9)).await);
        assert_eq!(started.elapsed().as_secs(), entered_after, "seconds");
    }
    // The first two have lost their slots already: dropping their permits frees none.
    inside.drain(..2);
    inside.push(slots.acquire(up(0.9)).await);
    assert_eq!(
        started.elapsed().as_secs(),
        8,
        "the fourth has freed its slot"
    );
    let last = inside.pop();
    tokio::join!(slots.acquire(up(0.9)), async { drop(last) });
    assert_eq!(
        started.elapsed().as_secs(),
        8,
        "the sixth has dropped its permit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_decided_stream_keeps_its_slot_until_the_permit_is_dropped() {
    let slots = PrioritySemaphore::new(0.5);
    let started = Instant::now();
    let (first, second) = tokio::join!(slots.acquire(up(0.1)), slots.acquire(up(0.1)));
    first.decided();
    second.decided();
    let leaves = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(first);
    };
    tokio::join!(slots.acquire(up(0.9)), leaves);
    assert_eq!(started.elapsed().as_secs(), 10, "seconds");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_does_not_block_the_next() {
    let slots = PrioritySemaphore::new(0.5);
    let (first, second) = tokio::join!(slots.acquire(up(0.1)), slots.acquire(up(0.1)));
    first.decided();
    second.decided();
    let gives_up = async |after| {
        let entered = slots.acquire(up(0.9));
        let entered = tokio::time::timeout(Duration::from_secs(after), entered).await;
        assert!(entered.is_err(), "no slot is free");
    };
    let started = Instant::now();
    let stays = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(first);
    };
    tokio::join!(gives_up(1), gives_up(2), slots.acquire(up(0.8)), stays);
    assert_eq!(started.elapsed().as_secs(), 3, "seconds");
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_the_next_calls_and_each_that_passes_speeds_them_up() {
    let limiter = RateLimiter::new(1.0);
    let started = Instant::now();
    limiter.acquire(up(0.0)).await;
    limiter.slow_down();
    limiter.slow_down();
    let mut gaps = Vec::new();
    let mut last = started.elapsed();
    for _ in 0..5 {
        limiter.acquire(up(0.0)).await;
        gaps.push((started.elapsed() - last).as_secs_f64().round() as u64);
        last = started.elapsed();
    }
    assert_eq!(
        gaps,
        [4, 3, 2, 1, 1],
        "seconds between calls after throttling"
    );
}
