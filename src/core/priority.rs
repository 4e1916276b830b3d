//! Who goes first where a quota makes streams wait.

use std::cmp::Reverse;

use crate::alarm::Direction;

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
