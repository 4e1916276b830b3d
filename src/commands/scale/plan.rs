//! How to get from one shard count to another within what AWS allows in one call and in one day.
//! Pure.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{Step, Target},
    output::table::{counted, wrap},
};
use autoscaler_core::{
    datetime::at,
    limits::{BUDGET_DAY, CALLS_PER_DAY, MAX_SHARDS},
    scaling::RecentScalings,
    subscription::Subscription,
};

/// The plan of a manual scaling. The field names are part of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub stream: String,
    pub region: String,
    pub from: u32,
    pub to: u32,
    /// The count after each UpdateShardCount call; empty if the stream has the count already.
    pub steps: Vec<u32>,
    /// How many of the day's calls are left before it; `None` if the scaling log does not tell.
    pub calls_left: Option<usize>,
    pub warnings: Vec<String>,
}

/// A target outside the counts that a stream can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{from} shards and {step} make {to}, and a stream has from 1 to {MAX_SHARDS}")]
pub struct OutOfRange {
    pub from: u32,
    pub step: String,
    pub to: i64,
}

/// The count that `target` means for a stream with `n` shards. Percentages are rounded up, toward
/// more capacity.
pub fn target(n: u32, target: Target) -> Result<u32, OutOfRange> {
    let wide = i64::from(n);
    let to = match (target.to, target.by) {
        (Some(to), _) => i64::from(to),
        (None, Some(Step::Shards(by))) => wide + i64::from(by),
        (None, Some(Step::Percent(by))) => {
            let hundredths = wide * (100 + i64::from(by));
            hundredths.div_euclid(100) + i64::from(hundredths.rem_euclid(100) > 0)
        }
        // The command line requires exactly one of the two.
        (None, None) => wide,
    };
    match u32::try_from(to) {
        Ok(to) if (1..=MAX_SHARDS).contains(&to) => Ok(to),
        _ => Err(OutOfRange {
            from: n,
            step: target.by.map_or_else(String::new, |by| by.to_string()),
            to,
        }),
    }
}

/// The counts to go through: each call at most doubles or halves (rounded up) the count.
pub fn steps(from: u32, to: u32) -> Vec<u32> {
    let mut steps = Vec::new();
    let mut at = from.max(1);
    while at != to && to > 0 {
        at = if to > at {
            to.min(at.saturating_mul(2))
        } else {
            to.max(at.div_ceil(2))
        };
        steps.push(at);
    }
    steps
}

/// How many of the day's calls are left, and when the next one becomes available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub left: usize,
    pub next: Option<Timestamp>,
}

/// Counts the calls of the last 24 h in the scaling log.
pub fn budget(recent: &RecentScalings, now: Timestamp) -> Budget {
    let mut calls: Vec<Timestamp> = recent
        .calls()
        .filter(|call| now.duration_since(*call).abs() < BUDGET_DAY)
        .collect();
    calls.sort_unstable();
    Budget {
        left: CALLS_PER_DAY.saturating_sub(calls.len()),
        next: calls
            .first()
            .and_then(|call| call.checked_add(BUDGET_DAY).ok()),
    }
}

/// What a person should know before scaling beyond the configuration.
pub fn warnings(
    subscription: &Subscription,
    to: u32,
    steps: usize,
    budget: Option<Budget>,
) -> Vec<String> {
    let (min, max) = (subscription.min_shards, subscription.max_shards);
    let mut warnings = Vec::new();
    if to > max {
        warnings.push(format!(
            "{to} is above max_shards = {max}: the autoscaler will not add shards there, and may take some away"
        ));
    }
    if to < min {
        warnings.push(format!(
            "{to} is below min_shards = {min}: the autoscaler will not take shards away there, and may add some"
        ));
    }
    let reserved = usize::try_from(subscription.reserved_scale_ups).unwrap_or(CALLS_PER_DAY);
    if let Some(budget) = budget {
        let after = budget.left.saturating_sub(steps);
        if after < reserved {
            warnings.push(format!(
                "{after} of the day's {CALLS_PER_DAY} calls will be left for the autoscaler, and {reserved} are kept for scaling up (reserved_scale_ups)"
            ));
        }
    }
    warnings
}

impl Plan {
    /// The plan as shown before the confirmation, in lines of at most `width`.
    pub fn to_text(&self, width: Option<u16>) -> String {
        let way: Vec<String> = std::iter::once(self.from)
            .chain(self.steps.iter().copied())
            .map(|count| count.to_string())
            .collect();
        let calls = match self.steps.len() {
            1 => "1 call".to_owned(),
            n => format!("{n} calls, the stream being ACTIVE again before each"),
        };
        let left = match self.calls_left {
            Some(left) => {
                let left = left.saturating_sub(self.steps.len());
                format!("that leaves {left} of the day's {CALLS_PER_DAY}")
            }
            None => "how many of the day's calls are left is not known".to_owned(),
        };
        let plan = match self.steps.is_empty() {
            true => format!(
                "{} ({}) has {} already; there is nothing to do",
                self.stream,
                self.region,
                counted(self.to, "shard")
            ),
            false => format!(
                "{} ({}): {} shards, in {calls}; {left}",
                self.stream,
                self.region,
                way.join(" -> ")
            ),
        };
        let warnings = self.warnings.iter().map(|it| format!("warning: {it}"));
        let width = width.map_or(usize::MAX, usize::from);
        std::iter::once(plan)
            .chain(warnings)
            .map(|line| wrap(&line, "", "  ", width))
            .collect()
    }
}

/// Why the day's calls are not enough, and what is possible with those that are left.
pub fn too_many_calls(from: u32, steps: &[u32], budget: Budget) -> (String, String) {
    let (needed, left) = (steps.len(), budget.left);
    let text = format!(
        "this takes {needed} of the {CALLS_PER_DAY} UpdateShardCount calls that AWS allows in 24 h, and {left} are left"
    );
    let next = budget
        .next
        .map(|next| format!("the next one frees at {}", at(next)));
    let reach = left.checked_sub(1).and_then(|last| steps.get(last));
    let reach = reach
        .filter(|count| **count != from)
        .map(|count| format!("--to {count} can be reached now"));
    let more = "AWS Support can allow more".to_owned();
    let hints: Vec<String> = reach.into_iter().chain(next).chain([more]).collect();
    (text, hints.join("; "))
}
