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
    facts::{self, Facts, Series, Sightings},
    scaling::RecentScalings,
    subscription::{self, Subscription},
};

/// A larger sum is not traffic. Every whole number below it is exact in floating point.
const MAX_SUM: f64 = 9_007_199_254_740_992.0;

/// How long a scaling takes at most, where nobody has seen its end.
const SCALED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The policy that a subscription names, with its settings.
pub fn policy_of(subscription: &Subscription) -> Box<dyn Policy + Send + Sync> {
    match subscription.policy {
        subscription::Policy::Original => Box::new(Original),
        subscription::Policy::Adaptive => Box::new(Adaptive {
            memory_seconds: subscription.memory.as_secs().max(1),
            fill: Share::from(subscription.fill),
            saving: Share::from(subscription.saving),
            throttle_share: subscription.throttle_share,
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
        scaled_at: recent.calls().max(),
        active_since: active_since(facts.sightings, recent, now),
        calls_left: calls_left(recent.calls(), now),
    };
    let Some(reads) = policy.reads(direction, now) else {
        return Ok(input);
    };
    let read = facts.traffic.as_ref().filter(|read| covers(read, reads));
    let traffic = window(read.ok_or(reads)?, reads, facts.down.found(), now);
    match direction {
        // By a wrong clock the last minutes are others; without them the stream grows by a step.
        Direction::Up if facts.clock_off().is_some() => {}
        Direction::Up => input.recent = traffic,
        Direction::Down => input.history = traffic,
    }
    Ok(input)
}

/// When the stream was ACTIVE again after its last resharding; `None` if none is known of.
///
/// It is the first time that it was seen so. Where nobody looked in time, a scaling is taken to end
/// within [`SCALED_WITHIN`], or when it was last seen at work.
fn active_since(
    Sightings { busy_at, active_at }: Sightings,
    recent: &RecentScalings,
    now: Timestamp,
) -> Option<Timestamp> {
    let scaled_at = recent.calls().max();
    let began = scaled_at.max(busy_at)?;
    let ends = scaled_at.map(|at| after(at, SCALED_WITHIN));
    let lasted = busy_at.is_some_and(|busy| ends.is_none_or(|ends| busy >= ends));
    let seen = active_at.filter(|at| *at >= began);
    match seen {
        Some(seen) if lasted => Some(seen),
        seen => ends.max(busy_at).map(|end| end.min(seen.unwrap_or(now))),
    }
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
    let later = traffic.index(now) + 1;
    let sums = |series: &Series, gaps_are_zero| sums(series, &traffic, later, gaps_are_zero);
    let bytes = sums(&read.bytes, fills.bytes);
    let records = sums(&read.records, fills.records);
    let rejected = match reads.rejected {
        true => sums(&read.rejected, true),
        false => Sums::default(),
    };
    let outgoing = read.outgoing.as_ref();
    let outgoing = outgoing.map(|it| sums(it, fills.outgoing));
    (traffic.bytes, traffic.records) = (bytes, records);
    (traffic.rejected, traffic.outgoing) = (rejected, outgoing);
    traffic
}

/// All points from after `now` fall in the period `later`: the policy sees that there are some, and
/// holds.
fn sums(series: &Series, window: &Traffic, later: usize, gaps_are_zero: bool) -> Sums {
    let mut sums = Sums {
        sums: vec![None; later + 1],
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
        if let Some(slot) = sums.sums.get_mut(window.index(*at).min(later)) {
            // Rounded up, so that no traffic is lost; below 2^53 the casts are exact, and those of
            // signed numbers are the fast ones.
            let whole = *sum as i64;
            *slot = Some(whole.unsigned_abs() + u64::from((whole as f64) < *sum));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::traffic::Period;

    #[test]
    fn points_become_whole_sums_of_the_periods_since_the_start_of_the_window() {
        let at = |second: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        let read = facts::Traffic {
            from: at(3000),
            period_seconds: 60,
            bytes: Series {
                points: vec![
                    (at(3000), 7.0),
                    (at(3179), 0.5),
                    (at(3120), 2.25),
                    (at(3239), 9.0),
                ],
                complete: true,
            },
            records: Series {
                // The period under way, and two times from after it.
                points: vec![(at(3180), 1.0), (at(3240), 2.0), (at(999_999), 3.0)],
                complete: false,
            },
            rejected: Series {
                points: vec![(at(3060), -1.0), (at(3120), MAX_SUM), (at(3180), f64::NAN)],
                complete: true,
            },
            outgoing: None,
        };
        let reads = Reads {
            from: at(3030),
            period: Period::Minute,
            rejected: true,
        };
        let sums = |sums: [Option<u64>; 5], answer, gaps_are_zero| Sums {
            sums: sums.to_vec(),
            answer,
            gaps_are_zero,
        };
        let most = Some(1 << 53);
        let expected = Traffic {
            start: at(3000),
            period: Period::Minute,
            bytes: sums(
                [Some(7), None, Some(3), Some(9), None],
                Answer::Whole,
                false,
            ),
            records: sums([None, None, None, Some(1), Some(3)], Answer::Partial, false),
            rejected: sums([None, None, most, None, None], Answer::NotANumber, true),
            outgoing: None,
        };
        assert_eq!(window(&read, reads, None, at(3200)), expected);
    }

    #[test]
    fn a_stream_is_active_since_it_was_seen_so_or_ten_minutes_after_its_scaling() {
        let at = |minute: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        let check = |scaled: Option<i64>, busy: Option<i64>, active: Option<i64>, expected| {
            let sightings = Sightings {
                busy_at: busy.map(at),
                active_at: active.map(at),
            };
            let recent = RecentScalings {
                unreadable: scaled
                    .map(|minute| crate::scaling::UnreadableRow {
                        stream_name: String::new(),
                        stream_arn: String::new(),
                        at: Some(at(minute)),
                    })
                    .into_iter()
                    .collect(),
                ..RecentScalings::default()
            };
            let found = active_since(sightings, &recent, at(100));
            assert_eq!(found, Option::map(expected, at), "{sightings:?}");
        };
        // Nothing is known of any resharding.
        check(None, None, None, None);
        check(None, None, Some(50), None);
        // Only the row is known.
        check(Some(50), None, None, Some(60));
        check(Some(95), None, None, Some(100));
        check(Some(50), None, Some(40), Some(60));
        // Its end was seen.
        check(Some(50), Some(53), Some(54), Some(54));
        check(Some(50), None, Some(54), Some(54));
        check(Some(50), Some(63), Some(64), Some(64));
        // It lasted, and nobody looked when it ended.
        check(Some(50), Some(63), None, Some(63));
        check(Some(50), Some(53), Some(90), Some(60));
        // Somebody else resharded it.
        check(None, Some(53), Some(54), Some(54));
    }
}
