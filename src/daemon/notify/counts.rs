//! How many notifications were delivered, or not, since the process started.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// One attempt failed; there will be others.
    Failed,
    /// Given up.
    Dropped,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    /// The stable code of the metric's label.
    pub fn code(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The counts. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<[AtomicU64; Outcome::ALL.len()]>);

impl Counts {
    pub(super) fn add(&self, outcome: Outcome, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.of(outcome).fetch_add(count, Ordering::Relaxed);
    }

    /// How many there are of one outcome.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.of(outcome).load(Ordering::Relaxed)
    }

    fn of(&self, outcome: Outcome) -> &AtomicU64 {
        let [sent, failed, dropped] = &*self.0;
        match outcome {
            Outcome::Sent => sent,
            Outcome::Failed => failed,
            Outcome::Dropped => dropped,
        }
    }
}
