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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_ups_go_first_and_among_them_the_highest_usage() {
        use Direction::{Down, Up};
        let scaling = |direction, usage: f64| Priority::scaling(direction, Some(usage));
        let in_order = [
            Priority::FIRST,
            scaling(Up, f64::INFINITY),
            scaling(Up, 1.5),
            scaling(Up, 0.76),
            scaling(Up, 0.75),
            Priority::scaling(Up, None),
            scaling(Down, 0.25),
            scaling(Down, 0.1),
            Priority::AUDIT,
        ];
        assert!(in_order.is_sorted_by(|a, b| a < b), "{in_order:?}");
        for odd in [f64::NAN, -3.0] {
            assert_eq!(scaling(Up, odd), Priority::scaling(Up, None), "{odd}");
        }
    }
}
