//! The original's formulas: grow by a step, shrink to 50 % usage of the busiest time in 24 h.

use jiff::{SignedDuration, Timestamp};

use super::{
    Input, Policy, Reads, Verdict,
    demand::{Demand, Share},
    traffic::{DataError, Period, Traffic, UsedSums},
};
use crate::{alarm::Direction, datetime::after, reason::Reason};

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// CloudWatch publishes metrics late; until then a period may be missing.
pub(super) const PUBLISHED_AFTER: SignedDuration = SignedDuration::from_mins(20);
/// Data that is missing for this long is not expected any more, and holds until it is out of the
/// window.
const LOST_AFTER: SignedDuration = SignedDuration::from_hours(3);
const RECHECK_LOST: SignedDuration = SignedDuration::from_hours(1);
/// When a hold because of missing data is judged again.
const RECHECK: SignedDuration = SignedDuration::from_mins(5);

#[derive(Clone, Copy, Debug)]
pub struct Original;

impl Policy for Original {
    fn reads(&self, direction: Direction, now: Timestamp) -> Option<Reads> {
        (direction == Direction::Down).then(|| Reads {
            from: after(now, -DAY),
            period: Period::FiveMinutes,
            rejected: false,
        })
    }

    fn scale_up(&self, input: &Input) -> Verdict {
        let n = input.shards;
        let to = step_up(n);
        let detail = format!("usage calls for more than {n} shards; the next step is {to}");
        Verdict::Scale {
            to,
            detail,
            sizing: None,
        }
    }

    fn scale_down(&self, input: &Input) -> Verdict {
        let (n, now) = (input.shards, input.now);
        let peak = match day_peak(input) {
            Ok(peak) => peak,
            Err(error) => return no_data(error, now),
        };
        let to = peak.shards_at(Share::percent(50)).max(n.div_ceil(2));
        let detail = format!(
            "the last 24 h used up to {peak} shards, which calls for {to} at 50 % usage; the stream has {n}"
        );
        if to < n {
            return Verdict::Scale {
                to,
                detail,
                sizing: None,
            };
        }
        Verdict::Hold {
            reason: Reason::AtTarget,
            detail,
            recheck_at: Some(after(now, RECHECK)),
            sizing: None,
        }
    }
}

/// Up to 3 shards double, up to 50 grow by half, more by a quarter; fractions round up.
pub fn step_up(n: u32) -> u32 {
    let n = u64::from(n);
    let target = match n {
        0..=3 => 2 * n,
        4..=50 => (3 * n).div_ceil(2),
        _ => (5 * n).div_ceil(4),
    };
    u32::try_from(target).unwrap_or(u32::MAX)
}

pub(super) fn no_data(error: DataError, now: Timestamp) -> Verdict {
    let wait = match error {
        DataError::Missing(at) if now.duration_since(at) > LOST_AFTER => RECHECK_LOST,
        _ => RECHECK,
    };
    Verdict::Hold {
        reason: Reason::NoData,
        detail: error.to_string(),
        recheck_at: Some(after(now, wait)),
        sizing: None,
    }
}

fn day_peak(input: &Input) -> Result<Demand, DataError> {
    let traffic = &input.history;
    traffic.check(traffic.used(), input.now)?;
    let first = traffic.index(after(input.now, -DAY));
    // Demand grows with each sum, so that one conversion is enough.
    let mut peak = UsedSums::default();
    for i in first..=traffic.index(input.now) {
        match traffic.used_sums(i) {
            Some(sums) => peak = peak.max(sums),
            None => may_come(traffic, i, input)?,
        }
    }
    Ok(traffic.demand_of(peak))
}

/// The demand of a period, 0 where CloudWatch may still publish it.
pub(super) fn known_demand(
    traffic: &Traffic,
    i: usize,
    input: &Input,
) -> Result<Demand, DataError> {
    match traffic.demand(i) {
        Some(demand) => Ok(demand),
        None => may_come(traffic, i, input).map(|()| Demand::default()),
    }
}

/// A gap is an error unless CloudWatch may still publish its data.
fn may_come(traffic: &Traffic, i: usize, input: &Input) -> Result<(), DataError> {
    let begins = traffic.start_of(i);
    match begins > after(input.now, -PUBLISHED_AFTER) {
        true => Ok(()),
        false => Err(DataError::Missing(begins)),
    }
}
