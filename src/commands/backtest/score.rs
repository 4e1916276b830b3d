//! What a plan of shard counts costs and rejects: one model for all rows, so that they compare.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    args::Model,
    demand::{Demand, Load, WARM_UP_MINUTES},
};
use crate::config::Prices;

/// The share of the rejected records that producers send again in the next minute.
pub const RETRY_SHARE: f64 = 0.5;

const MINUTES_A_WEEK: f64 = 7.0 * 24.0 * 60.0;
const MINUTES_A_DAY: f64 = 24.0 * 60.0;
/// AWS's price lists have GB of 10^9 bytes.
const GB: f64 = 1e9;
const PUT_UNIT_BYTES: f64 = 25.0 * 1024.0;

/// The shard counts of a stream, minute by minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Shards that accept records.
    pub serving: Vec<u32>,
    /// Shards that are paid for: during a resharding, the larger count.
    pub billed: Vec<u32>,
    /// The calls of UpdateShardCount.
    pub calls: Vec<Call>,
}

/// A call of UpdateShardCount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub minute: usize,
    pub target: u32,
}

/// The same in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Scaled {
    pub at: Timestamp,
    pub shards: u32,
}

/// One row of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub cost_week_usd: f64,
    pub rejected_share: f64,
    pub rejected_minutes_week: f64,
    pub scalings_day: f64,
    pub most_in_24h: usize,
    pub peak_shards: Option<u32>,
    pub unused_share: Option<f64>,
    /// Each scaling after the first day, oldest first.
    pub scalings: Vec<Scaled>,
}

/// A row with what is drawn of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub row: Row,
    pub plan: Option<Plan>,
    /// The minutes in which records were rejected.
    pub rejected_minutes: Vec<usize>,
}

impl Plan {
    /// The same count in every minute.
    pub fn constant(shards: u32, minutes: usize) -> Self {
        Self {
            serving: vec![shards; minutes],
            billed: vec![shards; minutes],
            calls: Vec::new(),
        }
    }
}

/// The least number of shards that rejects nothing of `load`.
pub fn needed(load: Load, skew: f64) -> u32 {
    let exact = load.shards() * skew;
    // Metrics count whole records, so a fraction of a rejected record counts as none.
    (exact - 1e-9).ceil().clamp(1.0, f64::from(u32::MAX)) as u32
}

/// Runs the demand against a capacity in shards for each minute; returns the rejected loads.
fn rejections(demand: &Demand, capacity: impl Fn(usize) -> f64) -> Vec<Load> {
    let mut rejected = Vec::with_capacity(demand.minutes.len());
    let mut again = Load::default();
    for minute in 0..demand.minutes.len() {
        let load = demand.at(minute).plus(again);
        let used = load.shards();
        let excess = match capacity(minute) {
            capacity if used > capacity => load.times(1.0 - capacity / used),
            _ => Load::default(),
        };
        again = excess.times(RETRY_SHARE);
        rejected.push(excess);
    }
    rejected
}

/// Share and minutes of what was rejected after the first day.
struct Rejected {
    share: f64,
    minutes: Vec<usize>,
}

fn sum_up(demand: &Demand, rejected: &[Load]) -> Rejected {
    let scored = WARM_UP_MINUTES..demand.minutes.len();
    let shards: f64 = scored.clone().map(|it| demand.at(it).shards()).sum();
    let excess: f64 = rejected[WARM_UP_MINUTES..]
        .iter()
        .map(|it| it.shards())
        .sum();
    Rejected {
        share: if shards > 0.0 { excess / shards } else { 0.0 },
        minutes: scored
            .filter(|it| rejected[*it].records.round() >= 1.0)
            .collect(),
    }
}

/// Scores a plan of a provisioned stream.
pub fn provisioned(
    name: &str,
    demand: &Demand,
    plan: Plan,
    model: &Model,
    prices: &Prices,
) -> Outcome {
    let rejected = rejections(demand, |it| f64::from(plan.serving[it]) / model.skew());
    let Rejected { share, minutes } = sum_up(demand, &rejected);
    let scored = WARM_UP_MINUTES..demand.minutes.len();
    let length = scored.len() as f64;
    let billed: f64 = plan.billed[scored.clone()]
        .iter()
        .copied()
        .map(f64::from)
        .sum();
    let offered = scored
        .clone()
        .map(|it| demand.at(it).shards().min(f64::from(plan.serving[it])));
    let calls = plan.calls.iter().filter(|it| scored.contains(&it.minute));
    let scalings = calls.clone().map(|it| Scaled {
        at: demand.time(it.minute),
        shards: it.target,
    });
    let scalings = scalings.collect();
    let calls: Vec<usize> = calls.map(|it| it.minute).collect();
    let row = Row {
        name: name.to_owned(),
        cost_week_usd: billed / 60.0 * prices.shard_hour * MINUTES_A_WEEK / length,
        rejected_share: share,
        rejected_minutes_week: minutes.len() as f64 * MINUTES_A_WEEK / length,
        scalings_day: calls.len() as f64 * MINUTES_A_DAY / length,
        most_in_24h: most_in_a_day(&calls),
        peak_shards: plan.billed[scored].iter().copied().max(),
        unused_share: (billed > 0.0).then(|| 1.0 - offered.sum::<f64>() / billed),
        scalings,
    };
    Outcome {
        row: row.rounded(),
        plan: Some(plan),
        rejected_minutes: minutes,
    }
}

/// Scores an on-demand stream with a price for an hour and for each GB in and out.
///
/// Its capacity is twice the peak so far, up to a quarter of an hour ago, and never less than the 4
/// shards that a new stream has.
pub fn on_demand(name: &str, demand: &Demand, model: &Model, price: [f64; 3]) -> Outcome {
    const LEAST_SHARDS: f64 = 4.0;
    const RAMP_MINUTES: usize = 15;
    let mut peak: f64 = 0.0;
    let mut capacity = Vec::with_capacity(demand.minutes.len());
    for minute in 0..demand.minutes.len() {
        if let Some(before) = minute.checked_sub(RAMP_MINUTES) {
            peak = peak.max(demand.at(before).shards());
        }
        capacity.push((2.0 * peak).max(LEAST_SHARDS) / model.skew());
    }
    let rejected = rejections(demand, |it| capacity[it]);
    let Rejected { share, minutes } = sum_up(demand, &rejected);
    let scored = WARM_UP_MINUTES..demand.minutes.len();
    let weeks = scored.len() as f64 / MINUTES_A_WEEK;
    let gigabytes = scored.map(|it| demand.at(it).bytes).sum::<f64>() / GB / weeks;
    let [hour, inward, outward] = price;
    let row = Row {
        name: name.to_owned(),
        cost_week_usd: hour * 168.0 + gigabytes * (inward + outward * model.consumers),
        rejected_share: share,
        rejected_minutes_week: minutes.len() as f64 / weeks,
        scalings_day: 0.0,
        most_in_24h: 0,
        peak_shards: None,
        unused_share: None,
        scalings: Vec::new(),
    };
    Outcome {
        row: row.rounded(),
        plan: None,
        rejected_minutes: minutes,
    }
}

/// What a week of PUT payload units costs; every provisioned row pays it.
pub fn put_units_week(demand: &Demand, prices: &Prices) -> f64 {
    let units = |minute: usize| {
        let Load { bytes, records } = demand.at(minute);
        let size = if records > 0.0 { bytes / records } else { 0.0 };
        records * (size / PUT_UNIT_BYTES).ceil().max(1.0)
    };
    let scored = WARM_UP_MINUTES..demand.minutes.len();
    let weeks = scored.len() as f64 / MINUTES_A_WEEK;
    scored.map(units).sum::<f64>() / 1e6 * prices.put_units_million / weeks
}

/// The most calls in any 24 hours.
fn most_in_a_day(calls: &[usize]) -> usize {
    let within = |(at, first): (usize, &usize)| {
        calls[at..]
            .iter()
            .take_while(|it| **it < first + WARM_UP_MINUTES)
            .count()
    };
    calls.iter().enumerate().map(within).max().unwrap_or(0)
}

impl Row {
    /// Digits that mean something, so that the same input gives the same text everywhere.
    fn rounded(mut self) -> Self {
        let round =
            |number: f64, digits: i32| (number * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
        self.cost_week_usd = round(self.cost_week_usd, 3);
        self.rejected_share = round(self.rejected_share, 6);
        self.rejected_minutes_week = round(self.rejected_minutes_week, 2);
        self.scalings_day = round(self.scalings_day, 3);
        self.unused_share = self.unused_share.map(|share| round(share, 4));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_calls_of_any_day_are_found() {
        for (calls, most) in [
            (vec![], 0),
            (vec![5], 1),
            (vec![0, 1_439, 1_440, 1_441], 3),
            (vec![0, 2_000, 2_001, 2_002, 5_000], 3),
        ] {
            assert_eq!(most_in_a_day(&calls), most, "{calls:?}");
        }
    }

    #[test]
    fn needed_shards_grow_with_the_tighter_limit_and_the_skew() {
        let load = |bytes: f64, records: f64| Load {
            bytes: bytes * 62_914_560.0,
            records: records * 60_000.0,
        };
        for (load, skew, shards) in [
            (load(0.0, 0.0), 1.0, 1),
            (load(3.0, 1.0), 1.0, 3),
            (load(1.0, 3.2), 1.0, 4),
            (load(4.0, 1.0), 1.25, 5),
        ] {
            assert_eq!(needed(load, skew), shards, "{load:?} at {skew}");
        }
    }
}
