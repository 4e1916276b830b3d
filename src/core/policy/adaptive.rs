//! The adaptive policy: grow to twice the demand, shrink to a peak that fades.

use jiff::{SignedDuration, Timestamp};

use super::{
    Input, Policy, Reads, Sizing, Verdict,
    demand::{Demand, Share},
    original::{self, known_demand, no_data},
    peak::{Fade, Peak},
    traffic::{Answer, DataError, Period, Sums},
};
use crate::{
    alarm::Direction,
    datetime::{after, at},
    reason::Reason,
};

const PEAK_WINDOW: SignedDuration = SignedDuration::from_hours(4 * 24);
const HISTORY: SignedDuration = SignedDuration::from_hours(7 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const SEASON: SignedDuration = SignedDuration::from_hours(6);
/// What the same hours needed before may fill this much of the shards.
const SEASON_FILL: Share = Share::percent(80);
/// A scale-down waits this long after a scaling and after a rejected record.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
/// Calls that a scale-down leaves for scale-ups.
const KEPT_CALLS: usize = 3;
/// The last minutes, with the delay of CloudWatch before them.
const RECENT: SignedDuration = SignedDuration::from_mins(10);
/// A look reads metrics, which cost money. All streams are looked at by the same half-hours, so that
/// one call reads the metrics of many.
const LOOK_SECONDS: i64 = 30 * 60;
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// The settings of the policy.
#[derive(Clone, Copy, Debug)]
pub struct Adaptive {
    /// In which half of a peak is forgotten.
    pub memory_seconds: u64,
    /// How much of the shards the faded peak may fill.
    pub fill: Share,
    /// The least part of the shards that a scale-down must save.
    pub saving: Share,
    /// A greater part of the records rejected doubles the shards; zero ignores rejections.
    pub throttle_share: Share,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            memory_seconds: 12 * 3600,
            fill: Share::percent(55),
            saving: Share::percent(30),
            throttle_share: Share(5_000),
        }
    }
}

impl Policy for Adaptive {
    fn reads(&self, direction: Direction, now: Timestamp) -> Option<Reads> {
        let (window, period) = match direction {
            Direction::Up => (RECENT, Period::Minute),
            Direction::Down => (HISTORY, Period::FiveMinutes),
        };
        Some(Reads {
            from: after(now, -window),
            period,
            rejected: true,
        })
    }

    fn scale_up(&self, input: &Input) -> Verdict {
        let n = input.shards;
        let Some(last) = Minutes::read(input) else {
            let to = original::step_up(n);
            let detail = format!("recent traffic cannot be read; the next step is {to} shards");
            return Verdict::Scale {
                to,
                detail,
                sizing: None,
            };
        };
        let (demand, rejected) = (last.demand, last.rejected);
        let half_full = demand >= Demand::carried_by(n, Share::percent(50));
        let throttled = half_full && last.throttled(self.throttle_share);
        let needed = demand.shards_at(Share::percent(50));
        let least = match throttled {
            true => n.saturating_mul(2),
            false => n.saturating_add(1),
        };
        let mut detail = format!(
            "the last 3 minutes used {demand} of {n} shards, which calls for {needed} at 50 % usage"
        );
        if needed < least {
            detail += &match throttled {
                true => format!("; {rejected} rejected records call for {least}"),
                false => format!("; a scale-up adds at least one shard, to {least}"),
            };
        }
        let peak = None;
        Verdict::Scale {
            to: needed.max(least),
            detail,
            sizing: Some(Sizing { peak, needed }),
        }
    }

    fn scale_down(&self, input: &Input) -> Verdict {
        match Needs::read(self, input) {
            Ok(needs) => self.judge(&needs, input),
            Err(error) => no_data(error, input.now),
        }
    }
}

/// The first look that is not before `at`.
fn next_look(at: Timestamp) -> Timestamp {
    let looks = at
        .as_second()
        .saturating_add(LOOK_SECONDS - 1)
        .div_euclid(LOOK_SECONDS);
    Timestamp::from_second(looks.saturating_mul(LOOK_SECONDS)).unwrap_or(Timestamp::MAX)
}

/// The last three minutes of which there is traffic.
struct Minutes {
    demand: Demand,
    records: u64,
    /// Only in minutes that began after the stream was ACTIVE again.
    rejected: u64,
}

impl Minutes {
    /// `None` if the traffic cannot be read.
    fn read(input: &Input) -> Option<Self> {
        let traffic = &input.recent;
        traffic.check(traffic.used(), input.now).ok()?;
        let last = |metric: &Sums| metric.sums.iter().rposition(Option::is_some);
        let newest = traffic.used().filter_map(last).max()?;
        if traffic.start_of(newest) < after(input.now, -RECENT) {
            return None;
        }
        let sum = |sums: &[Option<u64>], from: usize| {
            let minutes = sums.iter().take(newest + 1).skip(from).flatten();
            minutes.fold(0_u64, |sum, minute| sum.saturating_add(*minute))
        };
        let first = newest.saturating_sub(2);
        let (bytes, records) = (
            sum(&traffic.bytes.sums, first),
            sum(&traffic.records.sums, first),
        );
        let read = traffic.outgoing.as_ref().map(|it| sum(&it.sums, first));
        let demand = Demand::of(bytes, records, 180);
        let counts_from = (first..=newest)
            .find(|i| {
                let active = input.active_since;
                active.is_none_or(|active| traffic.start_of(*i) >= active)
            })
            .unwrap_or(newest + 1);
        let rejected = match traffic.rejected.answer {
            Answer::NotANumber => 0,
            Answer::Whole | Answer::Partial => sum(&traffic.rejected.sums, counts_from),
        };
        Some(Self {
            demand: demand.max(Demand::of_reads(read.unwrap_or(0), 180)),
            records,
            rejected,
        })
    }

    fn throttled(&self, share: Share) -> bool {
        let all = u128::from(self.records) + u128::from(self.rejected);
        share.0 > 0 && u128::from(self.rejected) * 1_000_000 > all * u128::from(share.0)
    }
}

/// What a scale-down is judged by.
struct Needs {
    peak: Peak,
    season: Demand,
    /// The end of the last period in the shifted hours that needs more than may be kept, as of
    /// today.
    season_blocks_until: Option<Timestamp>,
    rejected_at: Option<Timestamp>,
}

impl Needs {
    fn read(policy: &Adaptive, input: &Input) -> Result<Self, DataError> {
        let (traffic, now) = (&input.history, input.now);
        traffic.check(traffic.used().chain([&traffic.rejected]), now)?;
        let period = traffic.period.seconds();
        let fade = Fade::new(period.unsigned_abs(), policy.memory_seconds);
        let newest = traffic.index(now);
        let mut peak = Peak::default();
        for i in traffic.index(after(now, -PEAK_WINDOW))..=newest {
            peak = peak.faded(fade).max(known_demand(traffic, i, input)?, i);
        }
        let kept = Demand::carried_by(policy.allowed(input.shards), SEASON_FILL);
        let (mut season, mut season_blocks_until) = (Demand::default(), None);
        for shift in [DAY, HISTORY] {
            let from = after(now, -shift);
            for i in traffic.index(from)..=traffic.index(after(from, SEASON)) {
                let demand = known_demand(traffic, i, input)?;
                season = season.max(demand);
                if demand > kept {
                    season_blocks_until =
                        season_blocks_until.max(Some(after(traffic.start_of(i + 1), shift)));
                }
            }
        }
        let rejected = &traffic.rejected.sums;
        let rejected_at = rejected
            .iter()
            .rposition(|sum| sum.is_some_and(|sum| sum > 0));
        Ok(Self {
            peak,
            season,
            season_blocks_until,
            rejected_at: rejected_at.map(|i| traffic.start_of(i + 1)),
        })
    }
}

impl Adaptive {
    /// The most shards that leave the saving.
    fn allowed(&self, n: u32) -> u32 {
        let kept = u64::from(n) * u64::from(Share::WHOLE.0.saturating_sub(self.saving.0));
        u32::try_from(kept / u64::from(Share::WHOLE.0)).unwrap_or(n)
    }

    fn judge(&self, needs: &Needs, input: &Input) -> Verdict {
        let (n, now, peak) = (input.shards, input.now, needs.peak.demand());
        let half = n.div_ceil(2).max(1);
        let needed = peak
            .shards_at(self.fill)
            .max(needs.season.shards_at(SEASON_FILL));
        let sizing = Some(Sizing {
            peak: Some(peak),
            needed,
        });
        let need = half.max(needed);
        let limit = match needed < half {
            true => format!(" (one call leaves at least {half})"),
            false => String::new(),
        };
        let allowed = self.allowed(n);
        let detail = format!(
            "the peak of {} shards at {} has faded to {peak}, and the next 6 h used up to {} before: \
             {needed} of {n} shards are needed{limit}, at most {allowed} save enough; {} calls are left \
             today",
            needs.peak.source,
            at(input.history.start_of(needs.peak.index)),
            needs.season,
            input.calls_left
        );
        let hold = |reason, recheck_at| Verdict::Hold {
            reason,
            detail: detail.clone(),
            recheck_at,
            sizing,
        };
        if half > allowed {
            return hold(Reason::AtTarget, Some(after(now, QUIET)));
        }
        let quiet_from = input
            .scaled_at
            .max(needs.rejected_at)
            .map(|last| after(last, QUIET));
        let quiet = quiet_from.filter(|from| *from > now);
        if need > allowed {
            let fades = self.fades_at(needs.peak, Demand::carried_by(allowed, self.fill), input);
            let opens = fades.max(needs.season_blocks_until).max(quiet);
            let recheck_at = Some(next_look(opens.unwrap_or(now).max(after(now, SOON))));
            let fades =
                fades.map(|it| format!("; the peak alone allows a scale-down from {}", at(it)));
            return Verdict::Hold {
                reason: Reason::AtTarget,
                detail: detail + &fades.unwrap_or_default(),
                recheck_at,
                sizing,
            };
        }
        if quiet.is_some() {
            return hold(Reason::Cooldown, quiet);
        }
        if input.calls_left <= KEPT_CALLS {
            return hold(Reason::DailyLimit, Some(after(now, QUIET)));
        }
        Verdict::Scale {
            to: need,
            detail,
            sizing,
        }
    }

    /// When the peak has faded to `limit`, or has left the window.
    fn fades_at(&self, peak: Peak, limit: Demand, input: &Input) -> Option<Timestamp> {
        let traffic = &input.history;
        let fade = Fade::new(traffic.period.seconds().unsigned_abs(), self.memory_seconds);
        let leaves = traffic.index(after(traffic.start_of(peak.index), PEAK_WINDOW)) + 1;
        let (mut left, mut i) = (peak, traffic.index(input.now));
        if left.demand() <= limit {
            return None;
        }
        while left.demand() > limit && i < leaves {
            left = left.faded(fade);
            i += 1;
        }
        Some(traffic.start_of(i))
    }
}
