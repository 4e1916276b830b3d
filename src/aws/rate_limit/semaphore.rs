//! Lets in a few streams at a time, the most urgent first, before they are read for a resharding.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use autoscaler_core::priority::Priority;
use tokio::time::Instant;

use super::queue::{Gate, PriorityQueue};

/// How long reading a stream may keep its slot. When AWS is slow, a stream that takes longer frees
/// its slot for the next one, so that resharding goes on at its quota.
const READ_TIME: Duration = Duration::from_secs(4);

/// Each stream that is read has a connection open, of about 50 KiB and one file descriptor of the
/// 1,024 that a process has by default. A quota of 10 reshardings a second needs 40 slots.
const MAX_SLOTS: usize = 200;

/// Has as many slots as streams can be resharded in [`READ_TIME`], between 2 and [`MAX_SLOTS`].
///
/// A stream waits here before it and its log are read. So a decision rests on what was read shortly
/// before its call, however many streams wait. Cheap to clone; clones share the slots.
#[derive(Clone, Debug)]
pub struct PrioritySemaphore(Arc<PriorityQueue<Slots>>);

impl PrioritySemaphore {
    pub(super) fn new(reshardings_per_second: f64) -> Self {
        // The cast saturates.
        let size = (reshardings_per_second * READ_TIME.as_secs_f64()) as usize;
        Self(Arc::new(PriorityQueue::new(Slots {
            size: size.clamp(2, MAX_SLOTS),
            permits: 0,
            holders: BTreeMap::new(),
        })))
    }

    /// Waits for a slot, which is held until the permit is dropped.
    pub async fn acquire(&self, priority: Priority) -> SemaphorePermit {
        let number = self.0.pass(priority).await;
        SemaphorePermit {
            slots: self.0.clone(),
            number,
        }
    }
}

/// The right to read a stream and to wait for its resharding.
#[derive(Debug)]
pub struct SemaphorePermit {
    slots: Arc<PriorityQueue<Slots>>,
    number: u64,
}

impl SemaphorePermit {
    /// Records that the stream was read and is to be resharded. From now on only dropping the
    /// permit frees the slot: after a stall the queue for the quota is short again.
    pub fn decided(&self) {
        self.slots.change(|slots| {
            slots.holders.insert(self.number, Holder::Decided);
        });
    }
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        self.slots.change(|slots| {
            slots.holders.remove(&self.number);
        });
    }
}

#[derive(Debug)]
struct Slots {
    size: usize,
    permits: u64,
    /// By the number of the permit: the first that is being read has been so for the longest.
    holders: BTreeMap<u64, Holder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Being read; another stream may take the slot from this time on.
    ReadingUntil(Instant),
    /// Waiting for the quota.
    Decided,
}

impl Gate for Slots {
    type Pass = u64;

    fn try_pass(&mut self, now: Instant) -> Result<u64, Option<Instant>> {
        let decided = self.holders.values().filter(|it| **it == Holder::Decided);
        if decided.count() >= self.size {
            return Err(None);
        }
        if self.holders.len() >= self.size {
            let mut reading = self.holders.iter().filter_map(|(number, it)| match it {
                Holder::ReadingUntil(until) => Some((*number, *until)),
                Holder::Decided => None,
            });
            match reading.next() {
                Some((_, until)) if now < until => return Err(Some(until)),
                Some((number, _)) => self.holders.remove(&number),
                None => return Err(None),
            };
        }
        self.permits += 1;
        self.holders
            .insert(self.permits, Holder::ReadingUntil(now + READ_TIME));
        Ok(self.permits)
    }
}
