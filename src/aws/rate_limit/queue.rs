//! One queue for everything that waits for a quota: ordered by priority, with a gate at its head.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use autoscaler_core::priority::Priority;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// What the first waiter of a queue has to pass.
pub(super) trait Gate {
    /// What a waiter gets when it passes.
    type Pass;

    /// Lets one waiter pass; otherwise returns when to ask again, or `None` if that is when
    /// [`PriorityQueue::change`] has changed the gate.
    fn try_pass(&mut self, now: Instant) -> Result<Self::Pass, Option<Instant>>;
}

/// Waiters in the order of their priority, and of their arrival within it.
#[derive(Debug)]
pub(super) struct PriorityQueue<G>(Mutex<State<G>>);

#[derive(Debug)]
struct State<G> {
    gate: G,
    arrivals: u64,
    waiting: BTreeMap<Key, Arc<Notify>>,
}

type Key = (Priority, u64);

impl<G: Gate> PriorityQueue<G> {
    pub fn new(gate: G) -> Self {
        Self(Mutex::new(State {
            gate,
            arrivals: 0,
            waiting: BTreeMap::new(),
        }))
    }

    /// Waits until no waiter is more urgent and the gate lets this one pass.
    pub async fn pass(&self, priority: Priority) -> G::Pass {
        let waiter = self.join(priority);
        loop {
            let tried = self.lock().try_pass(&waiter.key);
            match tried {
                Ok(pass) => return pass,
                Err(None) => waiter.wake.notified().await,
                // Whether time is up or the waiter was woken, the next attempt tells.
                Err(Some(at)) => drop(timeout_at(at, waiter.wake.notified()).await),
            }
        }
    }

    fn join(&self, priority: Priority) -> Waiter<'_, G> {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        state.arrivals += 1;
        let key = (priority, state.arrivals);
        state.waiting.insert(key, wake.clone());
        Waiter {
            queue: self,
            key,
            wake,
        }
    }
}

impl<G> PriorityQueue<G> {
    /// Changes the gate, and wakes the first waiter to try it again.
    pub fn change(&self, change: impl FnOnce(&mut G)) {
        let mut state = self.lock();
        change(&mut state.gate);
        state.wake_first();
    }

    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G: Gate> State<G> {
    fn try_pass(&mut self, key: &Key) -> Result<G::Pass, Option<Instant>> {
        match self.waiting.first_key_value() {
            Some((first, _)) if first == key => self.gate.try_pass(Instant::now()),
            _ => Err(None),
        }
    }
}

impl<G> State<G> {
    fn wake_first(&self) {
        if let Some((_, wake)) = self.waiting.first_key_value() {
            wake.notify_one();
        }
    }
}

/// A place in the queue. Dropping it, after passing or on giving up, wakes the next waiter.
struct Waiter<'a, G> {
    queue: &'a PriorityQueue<G>,
    key: Key,
    wake: Arc<Notify>,
}

impl<G> Drop for Waiter<'_, G> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.waiting.remove(&self.key);
        state.wake_first();
    }
}
