//! Policies: how many shards a stream should have, given its traffic. Each policy is one file.
//!
//! A policy decides in whole numbers only, so that no result depends on floating-point rounding.

pub mod adaptive;
pub mod demand;
pub mod input;
pub mod original;
mod peak;
#[cfg(test)]
mod tests;
pub mod traffic;

use jiff::Timestamp;

use crate::{alarm::Direction, reason::Reason};
use demand::Demand;
use traffic::{Period, Traffic};

/// What a policy decides on.
#[derive(Clone, Debug)]
pub struct Input {
    pub now: Timestamp,
    /// Open shards.
    pub shards: u32,
    /// Sums of 300 s over the window that [`Policy::reads`] asks for.
    pub history: Traffic,
    /// Sums of 60 s over the last minutes.
    pub recent: Traffic,
    /// When the last scaling was asked for.
    pub scaled_at: Option<Timestamp>,
    /// When the stream was ACTIVE again after its last resharding, as far as that is known.
    pub active_since: Option<Timestamp>,
    /// UpdateShardCount calls that AWS still allows today.
    pub calls_left: usize,
}

/// What a policy decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Scale {
        to: u32,
        detail: String,
        sizing: Option<Sizing>,
    },
    Hold {
        reason: Reason,
        detail: String,
        /// Before this time, and while the alarms stay as they are, the answer is the same.
        recheck_at: Option<Timestamp>,
        sizing: Option<Sizing>,
    },
}

impl Verdict {
    /// What the traffic came to, where the policy tells.
    pub fn sizing(&self) -> Option<Sizing> {
        match self {
            Self::Scale { sizing, .. } | Self::Hold { sizing, .. } => *sizing,
        }
    }
}

/// What the traffic that a policy has read comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// The peak as it has faded by now; only a scale-down is judged by one.
    pub peak: Option<Demand>,
    /// The shards that the traffic calls for, before any limit to a single step.
    pub needed: u32,
}

/// The traffic that a decision needs: every metric from `from` up to now, in sums of `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    pub from: Timestamp,
    pub period: Period,
    /// Whether rejected records are needed beside accepted traffic.
    pub rejected: bool,
}

/// A rule for the target shard count. Bounds, cooldowns and the reserve of calls are not its
/// concern.
pub trait Policy {
    /// What has to be read before a decision in this direction; `None` if nothing.
    fn reads(&self, direction: Direction, now: Timestamp) -> Option<Reads>;
    fn scale_up(&self, input: &Input) -> Verdict;
    fn scale_down(&self, input: &Input) -> Verdict;
}
