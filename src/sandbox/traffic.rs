//! The records that producers create for a stream: a function of time alone, so that any minute can
//! be computed at any time.

use std::{collections::BTreeMap, f64::consts::TAU};

use jiff::Timestamp;

use super::{load::Load, producers::Producers};

/// The demand over time, before noise.
#[derive(Clone, Debug)]
enum Shape {
    Nothing,
    Constant(Load),
    Daily {
        low: Load,
        high: Load,
        peak_second: f64,
    },
    /// Sorted by time.
    Steps(Vec<(i64, Load)>),
    Table {
        start: i64,
        step_seconds: i64,
        points: Vec<Load>,
    },
}

impl Shape {
    fn peak(&self) -> Load {
        match self {
            Self::Nothing => Load::default(),
            Self::Constant(load) => *load,
            Self::Daily { low, high, .. } => low.max(*high),
            Self::Steps(steps) => {
                let loads = steps.iter().map(|(_, load)| *load);
                loads.fold(Load::default(), Load::max)
            }
            Self::Table { points, .. } => points.iter().copied().fold(Load::default(), Load::max),
        }
    }

    /// The demand in the minute that begins at `second`.
    fn at(&self, second: i64) -> Option<Load> {
        match self {
            Self::Nothing => None,
            Self::Constant(load) => Some(*load),
            Self::Daily {
                low,
                high,
                peak_second,
            } => {
                let phase = (second.rem_euclid(86_400) as f64 - peak_second) / 86_400.0;
                let share = (1.0 + (phase * TAU).cos()) / 2.0;
                Some(low.plus(high.minus(*low).times(share)))
            }
            Self::Steps(steps) => {
                let past = steps.partition_point(|(at, _)| *at <= second);
                steps.get(past.saturating_sub(1)).map(|(_, load)| *load)
            }
            Self::Table {
                start,
                step_seconds,
                points,
            } => {
                let step = (second - start).div_euclid(*step_seconds);
                let len = i64::try_from(points.len()).ok().filter(|len| *len > 0)?;
                let at = usize::try_from(step.rem_euclid(len)).ok()?;
                points.get(at).copied()
            }
        }
    }
}

/// The demand on one stream by minute, and how its producers behave.
#[derive(Clone, Debug)]
pub struct Traffic {
    shape: Shape,
    noise: f64,
    seed: u64,
    /// Minutes that are set one by one; `None` is a gap in the metrics.
    explicit: BTreeMap<i64, Option<Load>>,
    /// The most bytes and records of any minute.
    peak: Load,
    producers: Producers,
}

impl Traffic {
    fn of(shape: Shape) -> Self {
        Self {
            peak: shape.peak(),
            shape,
            noise: 0.0,
            seed: 0,
            explicit: BTreeMap::new(),
            producers: Producers::default(),
        }
    }

    /// No data except where [`Traffic::point`] sets it.
    pub fn points() -> Self {
        Self::of(Shape::Nothing)
    }

    /// The same load in every minute.
    pub fn constant(load: Load) -> Self {
        Self::of(Shape::Constant(load))
    }

    /// A sine over the day, from `low` to `high` at `peak_hour` o'clock UTC.
    pub fn daily(low: Load, high: Load, peak_hour: f64) -> Self {
        Self::of(Shape::Daily {
            low,
            high,
            peak_second: peak_hour * 3_600.0,
        })
    }

    /// Each load applies from its time on; the first also applies before it.
    pub fn steps(steps: impl IntoIterator<Item = (Timestamp, Load)>) -> Self {
        let mut steps: Vec<_> = steps
            .into_iter()
            .map(|(at, load)| (at.as_second(), load))
            .collect();
        steps.sort_by_key(|(at, _)| *at);
        Self::of(Shape::Steps(steps))
    }

    /// One load (per minute) for each step of time from `start` on, repeated for ever: a trace, or
    /// a day by the hour.
    pub fn table(start: Timestamp, step_seconds: u32, points: Vec<Load>) -> Self {
        Self::of(Shape::Table {
            start: start.as_second(),
            step_seconds: i64::from(step_seconds.max(1)),
            points,
        })
    }

    /// Varies the load by up to `fraction` up or down; the same seed and minute give the same
    /// noise.
    pub fn noise(mut self, fraction: f64, seed: u64) -> Self {
        self.noise = fraction;
        self.seed = seed;
        self
    }

    /// Makes keys uneven: the busiest shard is sent `skew` times the mean, so that the stream
    /// accepts only `shards / skew` shards' worth and rejects the excess.
    pub fn skew(mut self, skew: f64) -> Self {
        self.producers.set_skew(skew);
        self
    }

    /// Sends `share` of the traffic to one key. Its shard rejects what is above the limits of one
    /// shard, the others do not.
    pub fn hot_key(mut self, share: f64) -> Self {
        self.producers.set_hot_share(share);
        self
    }

    /// Sets which share of the rejected records is sent again in the next minute; initially half.
    pub fn retries(mut self, share: f64) -> Self {
        self.producers.set_retry_share(share);
        self
    }

    /// Sets what is sent in the minute of `at`.
    pub fn point(mut self, at: Timestamp, load: Load) -> Self {
        self.set_point(at, Some(load));
        self
    }

    pub(crate) fn set_point(&mut self, at: Timestamp, load: Option<Load>) {
        self.peak = self.peak.max(load.unwrap_or_default());
        self.explicit.insert(minute_of(at), load);
    }

    /// Leaves out the metrics of the minutes in `from..until`.
    pub fn gap(mut self, from: Timestamp, until: Timestamp) -> Self {
        for minute in minute_of(from)..minute_of(until) {
            self.explicit.insert(minute, None);
        }
        self
    }

    pub(crate) fn producers(&self) -> &Producers {
        &self.producers
    }

    /// An upper bound of the demand in any minute, noise included.
    pub(crate) fn peak(&self) -> Load {
        self.peak.times(1.0 + self.noise.abs())
    }

    /// The new records in `minute` (since the epoch); `None` is a minute without metrics.
    pub(crate) fn demand(&self, minute: i64) -> Option<Load> {
        if let Some(given) = self.explicit.get(&minute) {
            return *given;
        }
        let load = self.shape.at(minute * 60)?;
        let swing = 1.0 + self.noise * noise_of(self.seed, minute);
        Some(load.times(swing.max(0.0)))
    }
}

/// Minutes since the epoch.
pub(crate) fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// A number in -1..1, by splitmix64.
fn noise_of(seed: u64, minute: i64) -> f64 {
    let mut x = seed
        .wrapping_add(minute.cast_unsigned())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = (x ^ (x >> 31)) >> 11;
    bits as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn check(traffic: &Traffic, expected: &[(i64, Option<f64>)]) {
        for (minute, bytes) in expected {
            let got = traffic.demand(*minute).map(|load| load.bytes.round());
            assert_eq!(got, *bytes, "minute {minute} of {traffic:?}");
        }
    }

    #[test]
    fn each_shape_is_a_function_of_the_minute() {
        let load = |bytes| Load::new(bytes, 0.0);
        check(
            &Traffic::constant(load(7.0)),
            &[(-5, Some(7.0)), (0, Some(7.0))],
        );
        let daily = Traffic::daily(load(0.0), load(100.0), 12.0);
        check(
            &daily,
            &[
                (0, Some(0.0)),
                (720, Some(100.0)),
                (360, Some(50.0)),
                (1440, Some(0.0)),
            ],
        );
        let steps = Traffic::steps([(at(10), load(2.0)), (at(5), load(1.0))]);
        check(
            &steps,
            &[
                (0, Some(1.0)),
                (5, Some(1.0)),
                (9, Some(1.0)),
                (10, Some(2.0)),
                (99, Some(2.0)),
            ],
        );
        let table = Traffic::table(at(10), 120, vec![load(1.0), load(2.0)]);
        check(
            &table,
            &[
                (10, Some(1.0)),
                (11, Some(1.0)),
                (12, Some(2.0)),
                (14, Some(1.0)),
                (9, Some(2.0)),
            ],
        );
        check(&Traffic::table(at(0), 60, vec![]), &[(0, None)]);
        let points = Traffic::points().point(at(3), load(9.0)).gap(at(4), at(6));
        check(&points, &[(2, None), (3, Some(9.0)), (4, None)]);
        let gap = Traffic::constant(load(1.0)).gap(at(4), at(6));
        check(
            &gap,
            &[(3, Some(1.0)), (4, None), (5, None), (6, Some(1.0))],
        );
    }

    #[test]
    fn noise_is_bounded_and_repeats() {
        let noisy = Traffic::constant(Load::new(1_000.0, 0.0)).noise(0.1, 42);
        let series = || (0..2_000).map(|m| noisy.demand(m).unwrap().bytes);
        assert!(series().all(|b| (900.0..=1_100.0).contains(&b)));
        assert!(series().any(|b| b > 1_080.0) && series().any(|b| b < 920.0));
        assert!(series().eq(series()));
        assert!(series().all(|bytes| bytes <= noisy.peak().bytes));
    }
}
