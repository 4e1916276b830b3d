//! From what was read of a stream to what its policy decides on.

use jiff::{SignedDuration, Timestamp};

use super::{
    Input, Policy, Reads,
    adaptive::Adaptive,
    demand::Share,
    original::Original,
    traffic::{Answer, Sums, Traffic},
};
use crate::{
    alarm::{Alarm, Direction},
    datetime::after,
    decide::calls_left,
    facts::{self, Facts, Series},
    scaling::RecentScalings,
    subscription::{self, Permille, Subscription},
};

/// Beyond this a sum is no traffic. Every whole number below it is exact in floating point.
const MAX_SUM: f64 = 9_007_199_254_740_992.0;

/// The policy that a subscription names, with its settings.
pub fn policy_of(subscription: &Subscription) -> Box<dyn Policy + Send + Sync> {
    let share = |ratio: Permille| Share(ratio.get().saturating_mul(1_000));
    match subscription.policy {
        subscription::Policy::Original => Box::new(Original),
        subscription::Policy::Adaptive => Box::new(Adaptive {
            memory_seconds: subscription.memory.as_secs().max(1),
            fill: share(subscription.fill),
            saving: share(subscription.saving),
            ..Adaptive::default()
        }),
    }
}

/// What `policy` decides on, or the traffic that still has to be read for it.
pub fn input(
    policy: &dyn Policy,
    direction: Direction,
    facts: &Facts,
    recent: &RecentScalings,
    shards: u32,
    now: Timestamp,
) -> Result<Input, Reads> {
    let mut input = Input {
        now,
        shards,
        history: Traffic::default(),
        recent: Traffic::default(),
        created_at: None,
        scaled_at: recent.calls().max(),
        active_since: None,
        calls_left: calls_left(recent.calls(), now),
    };
    let Some(reads) = policy.reads(direction, now) else {
        return Ok(input);
    };
    let read = facts.traffic.as_ref().filter(|read| covers(read, reads));
    let traffic = window(read.ok_or(reads)?, reads, facts.down.found(), now);
    match direction {
        Direction::Up => input.recent = traffic,
        Direction::Down => input.history = traffic,
    }
    Ok(input)
}

/// Where a window that begins at `from` starts to be read: at the start of a period, so that the
/// first sum is whole.
pub fn window_start(reads: Reads) -> Timestamp {
    let period = reads.period.seconds();
    let second = reads.from.as_second().div_euclid(period) * period;
    Timestamp::from_second(second).unwrap_or(reads.from)
}

fn covers(read: &facts::Traffic, reads: Reads) -> bool {
    let period = SignedDuration::from_secs(reads.period.seconds());
    read.period_seconds == reads.period.seconds() && read.from <= after(window_start(reads), period)
}

fn window(read: &facts::Traffic, reads: Reads, down: Option<&Alarm>, now: Timestamp) -> Traffic {
    let fills = down.map(|alarm| alarm.fills_gaps).unwrap_or_default();
    let mut traffic = Traffic {
        start: read.from,
        period: reads.period,
        ..Traffic::default()
    };
    let periods = traffic.index(now) + 1;
    let sums = |series: &Series, gaps_are_zero| sums(series, &traffic, periods, gaps_are_zero);
    let bytes = sums(&read.bytes, fills.bytes);
    let records = sums(&read.records, fills.records);
    let rejected = sums(&read.rejected, true);
    (traffic.bytes, traffic.records, traffic.rejected) = (bytes, records, rejected);
    traffic
}

fn sums(series: &Series, window: &Traffic, periods: usize, gaps_are_zero: bool) -> Sums {
    let mut sums = Sums {
        sums: vec![None; periods],
        gaps_are_zero,
        answer: match series.complete {
            true => Answer::Whole,
            false => Answer::Partial,
        },
    };
    for (at, sum) in &series.points {
        if !(0.0..=MAX_SUM).contains(sum) {
            sums.answer = Answer::NotANumber;
            continue;
        }
        // A point from after `now`, however far: the policy sees it and holds.
        let i = window.index(*at).min(2 * periods);
        if i >= sums.sums.len() {
            sums.sums.resize(i + 1, None);
        }
        if let Some(slot) = sums.sums.get_mut(i) {
            // Rounded up, so that no traffic is lost; below 2^53 the cast is exact.
            *slot = Some(sum.ceil() as u64);
        }
    }
    sums
}
