//! The order in which calls wait for a quota.

use std::cmp::Reverse;

use crate::alarm::Direction;

/// The urgency of a call: the lowest value goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    class: u8,
    usage_percent: Reverse<u32>,
}

impl Priority {
    /// The poll of alarm states, on which everything else depends, and calls that have already
    /// waited for another quota.
    pub const FIRST: Self = Self {
        class: 0,
        usage_percent: Reverse(0),
    };
    /// The audit, which nobody waits for.
    pub const AUDIT: Self = Self {
        class: 9,
        usage_percent: Reverse(0),
    };

    /// A scaling: scale-ups go before scale-downs, then the highest usage goes first.
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
