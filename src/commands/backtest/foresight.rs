//! The cheapest plan that rejects nothing, with the demand known beforehand: a dynamic program
//! over blocks of 15 minutes.
//!
//! It knows of the doubling and halving limit and of 10 changes in each 24 hours from the first
//! scored minute on. It ignores that resharding takes time and is billed at the larger count, and
//! that AWS's day is a rolling one: so no plan that rejects nothing can be much cheaper.

use std::collections::VecDeque;

use super::{
    demand::{Demand, WARM_UP_MINUTES},
    score::{Call, Plan, needed},
};
use autoscaler_core::limits::{CALLS_PER_DAY, MAX_SHARDS};

pub const BLOCK_MINUTES: usize = 15;
const BLOCKS_A_DAY: usize = 24 * 60 / BLOCK_MINUTES;
/// Counts that the program distinguishes; larger streams are planned in multiples of shards.
const MOST_LEVELS: u32 = 1_000;
const UNREACHED: u64 = u64::MAX;

/// A level, and how many changes led to it on this day.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    changes: u8,
    level: u16,
}

/// The cost in shard-minutes of the best way to each state, by changes and level, and for each block
/// the state before it.
struct Table {
    cost: Vec<Vec<u64>>,
    origins: Vec<Vec<Vec<State>>>,
}

/// The plan of perfect foresight; the first day, which is not scored, has what its peak needs.
pub fn plan(demand: &Demand, skew: f64) -> Plan {
    let minutes = demand.minutes.len();
    let needs: Vec<u32> = (0..minutes)
        .map(|minute| needed(demand.at(minute), skew).min(MAX_SHARDS))
        .collect();
    let blocks: Vec<(u32, usize)> = needs[WARM_UP_MINUTES..]
        .chunks(BLOCK_MINUTES)
        .map(|block| (block.iter().copied().max().unwrap_or(1), block.len()))
        .collect();
    let counts = cheapest(&blocks);
    let first_day = needs[..WARM_UP_MINUTES].iter().copied().max().unwrap_or(1);
    let mut plan = Plan::constant(first_day, WARM_UP_MINUTES);
    let mut before = counts.first().copied();
    for (number, (count, (_, length))) in counts.iter().zip(&blocks).enumerate() {
        if before != Some(*count) {
            plan.calls.push(Call {
                minute: WARM_UP_MINUTES + number * BLOCK_MINUTES,
                target: *count,
            });
        }
        before = Some(*count);
        plan.serving.extend(std::iter::repeat_n(*count, *length));
    }
    plan.billed.clone_from(&plan.serving);
    plan
}

/// The cheapest counts for blocks of a need and a length each.
fn cheapest(blocks: &[(u32, usize)]) -> Vec<u32> {
    let highest = blocks.iter().map(|(need, _)| *need).max().unwrap_or(1);
    let unit = highest.div_ceil(MOST_LEVELS);
    let levels = highest.div_ceil(unit) as usize;
    let mut table = Table {
        cost: vec![vec![UNREACHED; levels + 1]; CALLS_PER_DAY + 1],
        origins: Vec::with_capacity(blocks.len()),
    };
    table.cost[0].fill(0);
    for (number, (need, length)) in blocks.iter().enumerate() {
        let need = need.div_ceil(unit) as usize;
        let new_day = number > 0 && number.is_multiple_of(BLOCKS_A_DAY);
        table.step(need, *length as u64, new_day);
    }
    table
        .path()
        .into_iter()
        .map(|level| u32::from(level) * unit)
        .collect()
}

impl Table {
    /// Adds a block that needs `need`; on a new day the changes are counted from 0.
    fn step(&mut self, need: usize, length: u64, new_day: bool) {
        let levels = self.cost[0].len();
        let yesterday = new_day.then(|| self.forget_changes());
        let state = |level: usize, changes: usize| State {
            changes: yesterday.as_ref().map_or(changes as u8, |made| made[level]),
            level: level as u16,
        };
        let mut origin = vec![vec![State::default(); levels]; CALLS_PER_DAY + 1];
        let mut next = vec![vec![UNREACHED; levels]; CALLS_PER_DAY + 1];
        for changes in 0..=CALLS_PER_DAY {
            let fewer = changes.checked_sub(1);
            let reach = fewer.map(|fewer| (fewer, reachable(&self.cost[fewer])));
            for level in need.max(1)..levels {
                let mut best = self.cost[changes][level];
                let mut from = state(level, changes);
                if let Some((fewer, reach)) = &reach
                    && self.cost[*fewer][reach[level]] < best
                {
                    best = self.cost[*fewer][reach[level]];
                    from = state(reach[level], *fewer);
                }
                if best != UNREACHED {
                    next[changes][level] = best + level as u64 * length;
                    origin[changes][level] = from;
                }
            }
        }
        self.cost = next;
        self.origins.push(origin);
    }

    /// Keeps the cheapest way to each level, as one without changes; returns how many it had.
    fn forget_changes(&mut self) -> Vec<u8> {
        let levels = self.cost[0].len();
        let cheapest = |level: usize| {
            let costs = self.cost.iter().map(|of_changes| of_changes[level]);
            let (cost, changes) = costs.zip(0_u8..).min().unwrap_or((UNREACHED, 0));
            (cost, changes)
        };
        let (costs, made) = (0..levels).map(cheapest).unzip();
        self.cost
            .iter_mut()
            .for_each(|of_changes| of_changes.fill(UNREACHED));
        self.cost[0] = costs;
        made
    }

    /// The levels of the cheapest way through all blocks.
    fn path(&self) -> Vec<u16> {
        let ends = self
            .cost
            .iter()
            .zip(0_u8..)
            .flat_map(|(of_changes, changes)| {
                let costs = of_changes.iter().zip(0_u16..);
                costs.map(move |(cost, level)| (*cost, changes, level))
            });
        let Some((_, changes, level)) = ends.min() else {
            return Vec::new();
        };
        let mut at = State { changes, level };
        let mut path = Vec::with_capacity(self.origins.len());
        for origin in self.origins.iter().rev() {
            path.push(at.level);
            at = origin[usize::from(at.changes)][usize::from(at.level)];
        }
        path.reverse();
        path
    }
}

/// For each level the cheapest one that it can be reached from: half of it up to twice as much.
fn reachable(cost: &[u64]) -> Vec<usize> {
    let mut window: VecDeque<usize> = VecDeque::new();
    let mut next = 1;
    let mut reach = vec![0; cost.len()];
    for (level, best) in reach.iter_mut().enumerate().skip(1) {
        while next < cost.len() && next <= 2 * level {
            while window.back().is_some_and(|last| cost[*last] > cost[next]) {
                window.pop_back();
            }
            window.push_back(next);
            next += 1;
        }
        while window.front().is_some_and(|first| 2 * first < level) {
            window.pop_front();
        }
        *best = window.front().copied().unwrap_or(level);
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needs: &[u32], expected: &[u32]) {
        let blocks: Vec<(u32, usize)> = needs.iter().map(|need| (*need, 15)).collect();
        assert_eq!(cheapest(&blocks), expected, "{needs:?}");
    }

    #[test]
    fn a_rise_is_prepared_in_steps_of_two_and_a_fall_follows_in_halves() {
        check(&[1, 1, 1, 8, 1, 1, 1], &[1, 2, 4, 8, 4, 2, 1]);
        check(&[3, 3, 3], &[3, 3, 3]);
        check(&[7], &[7]);
        check(&[], &[]);
    }

    /// The least cost of all ways that begin at `level`, or at any level if that is 0.
    fn least(needs: &[u32], level: u32, highest: u32) -> u32 {
        let Some((need, rest)) = needs.split_first() else {
            return 0;
        };
        let reachable = |next: &u32| level == 0 || (level <= 2 * next && *next <= 2 * level);
        let ways = (*need..=highest).filter(reachable);
        let costs = ways.filter_map(|next| least(rest, next, highest).checked_add(next));
        costs.min().unwrap_or(u32::MAX)
    }

    #[test]
    fn no_way_through_a_short_demand_is_cheaper() {
        const LENGTH: u32 = 5;
        const MOST: u32 = 5;
        for number in 0..MOST.pow(LENGTH) {
            let need = |block| number / MOST.pow(block) % MOST + 1;
            let needs: Vec<u32> = (0..LENGTH).map(need).collect();
            let blocks: Vec<(u32, usize)> = needs.iter().map(|need| (*need, 1)).collect();
            let counts = cheapest(&blocks);
            assert!(
                counts.iter().zip(&needs).all(|(count, need)| count >= need),
                "{needs:?}: {counts:?}"
            );
            assert_eq!(
                counts.iter().sum::<u32>(),
                least(&needs, 0, MOST),
                "{needs:?}: {counts:?}"
            );
        }
    }

    #[test]
    fn only_ten_changes_fit_into_a_day() {
        // Nine bursts would take 17 changes; five of them can be left after.
        let needs: Vec<u32> = (0..96).map(|it| if it % 10 == 5 { 2 } else { 1 }).collect();
        let blocks: Vec<(u32, usize)> = needs.iter().map(|need| (*need, 15)).collect();
        let counts = cheapest(&blocks);
        let changes = counts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, CALLS_PER_DAY);
        assert!(counts.iter().zip(&needs).all(|(count, need)| count >= need));
        // The next day has ten more.
        let two_days = [blocks.clone(), blocks].concat();
        let counts = cheapest(&two_days);
        let changes = counts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 2 * CALLS_PER_DAY);
    }
}
