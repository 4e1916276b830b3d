//! What producers send to a stream: a pure function of time, so that any minute can be asked for at any time.

use std::{collections::BTreeMap, f64::consts::TAU};

use jiff::Timestamp;

/// What one shard takes in a minute: 1 MiB and 1,000 records a second.
const SHARD_BYTES: f64 = 1_048_576.0 * 60.0;
const SHARD_RECORDS: f64 = 1_000.0 * 60.0;

/// What is sent in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub bytes: f64,
    pub records: f64,
}

impl Load {
    /// Bytes and records in a minute.
    pub fn new(bytes: f64, records: f64) -> Self {
        Self { bytes, records }
    }

    /// As many bytes as fill `used` shards, and half as many records.
    pub fn of_shards(used: f64) -> Self {
        Self::new(used * SHARD_BYTES, used * SHARD_RECORDS / 2.0)
    }

    fn scaled(self, factor: f64) -> Self {
        Self::new(self.bytes * factor, self.records * factor)
    }

    /// What `shards` shards take of it; what is over is rejected, bytes and records alike.
    pub(crate) fn delivered(self, shards: u32) -> Self {
        let shards = f64::from(shards);
        let share = |capacity: f64, demand: f64| {
            if demand > capacity {
                capacity / demand
            } else {
                1.0
            }
        };
        let bytes = share(shards * SHARD_BYTES, self.bytes);
        self.scaled(bytes.min(share(shards * SHARD_RECORDS, self.records)))
    }
}

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

/// The demand on one stream, by minute.
#[derive(Clone, Debug)]
pub struct Traffic {
    shape: Shape,
    noise: f64,
    seed: u64,
    /// Minutes that are given one by one; `None` is a gap in the metrics.
    explicit: BTreeMap<i64, Option<Load>>,
}

impl Traffic {
    fn of(shape: Shape) -> Self {
        Self {
            shape,
            noise: 0.0,
            seed: 0,
            explicit: BTreeMap::new(),
        }
    }

    /// No data but what [`Traffic::point`] gives.
    pub fn points() -> Self {
        Self::of(Shape::Nothing)
    }

    /// The same in every minute.
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

    /// Each load from its time on; the first holds before it too.
    pub fn steps(steps: impl IntoIterator<Item = (Timestamp, Load)>) -> Self {
        let mut steps: Vec<_> = steps
            .into_iter()
            .map(|(at, load)| (at.as_second(), load))
            .collect();
        steps.sort_by_key(|(at, _)| *at);
        Self::of(Shape::Steps(steps))
    }

    /// One load (per minute) for each step of time from `start` on, over and over; a trace, or a day by the hour.
    pub fn table(start: Timestamp, step_seconds: u32, points: Vec<Load>) -> Self {
        Self::of(Shape::Table {
            start: start.as_second(),
            step_seconds: i64::from(step_seconds.max(1)),
            points,
        })
    }

    /// Adds noise of up to `fraction` of the load either way, the same for the same seed and minute.
    pub fn noise(mut self, fraction: f64, seed: u64) -> Self {
        self.noise = fraction;
        self.seed = seed;
        self
    }

    /// Sets what is sent in the minute of `at`.
    pub fn point(mut self, at: Timestamp, load: Load) -> Self {
        self.set_point(at, Some(load));
        self
    }

    pub(crate) fn set_point(&mut self, at: Timestamp, load: Option<Load>) {
        self.explicit.insert(minute_of(at), load);
    }

    /// Leaves out the metrics of the minutes in `from..until`.
    pub fn gap(mut self, from: Timestamp, until: Timestamp) -> Self {
        for minute in minute_of(from)..minute_of(until) {
            self.explicit.insert(minute, None);
        }
        self
    }

    /// The demand in `minute` (since the epoch); `None` is a minute without metrics.
    pub(crate) fn demand(&self, minute: i64) -> Option<Load> {
        if let Some(given) = self.explicit.get(&minute) {
            return *given;
        }
        let second = minute * 60;
        let load = match &self.shape {
            Shape::Nothing => return None,
            Shape::Constant(load) => *load,
            Shape::Daily {
                low,
                high,
                peak_second,
            } => {
                let phase = (second.rem_euclid(86_400) as f64 - peak_second) / 86_400.0;
                let share = (1.0 + (phase * TAU).cos()) / 2.0;
                Load::new(
                    low.bytes + share * (high.bytes - low.bytes),
                    low.records + share * (high.records - low.records),
                )
            }
            Shape::Steps(steps) => {
                let past = steps.partition_point(|(at, _)| *at <= second);
                steps.get(past.saturating_sub(1))?.1
            }
            Shape::Table {
                start,
                step_seconds,
                points,
            } => {
                let step = (second - start).div_euclid(*step_seconds);
                let len = i64::try_from(points.len()).ok().filter(|len| *len > 0)?;
                *points.get(usize::try_from(step.rem_euclid(len)).ok()?)?
            }
        };
        let swing = 1.0 + self.noise * noise_of(self.seed, minute);
        Some(load.scaled(swing.max(0.0)))
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
    }

    #[test]
    fn what_shards_cannot_take_is_not_delivered() {
        let delivered = Load::of_shards(3.0).delivered(2);
        assert_eq!(delivered.bytes.round(), 2.0 * SHARD_BYTES);
        assert_eq!(delivered.records.round(), SHARD_RECORDS);
        let records = Load::new(1.0, 4.0 * SHARD_RECORDS).delivered(1);
        assert_eq!(
            (records.bytes, records.records.round()),
            (0.25, SHARD_RECORDS)
        );
    }
}
