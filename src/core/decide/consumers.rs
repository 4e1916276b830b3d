//! Rule 10: no scale-down while consumers are behind.

use std::time::Duration;

use jiff::Timestamp;

use crate::facts::Series;

/// The shortest retention that a stream can have, in milliseconds. For a minute after a resharding
/// an iterator age can jump to the retention.
const SHORTEST_RETENTION: f64 = 86_400_000.0;

/// The highest iterator age, without single points at the retention between two lower ones.
pub(super) fn highest_age(ages: &Series) -> Option<Duration> {
    let mut points: Vec<(Timestamp, f64)> = ages.points.clone();
    points.sort_by_key(|(at, _)| *at);
    let at_retention = |age: f64| age >= SHORTEST_RETENTION;
    let neighbours = |i: usize| [i.checked_sub(1), Some(i + 1)];
    let is_artefact = |i: usize| {
        let lower = |at: &Option<usize>| {
            let point = at.and_then(|at| points.get(at));
            point.is_some_and(|(_, age)| !at_retention(*age))
        };
        at_retention(points[i].1) && neighbours(i).iter().all(lower)
    };
    let real = (0..points.len()).filter(|i| !is_artefact(*i));
    let highest = real.map(|i| points[i].1).filter(|age| age.is_finite());
    let highest = highest.fold(None, |highest: Option<f64>, age| {
        Some(highest.map_or(age, |highest| highest.max(age)))
    })?;
    // The cast saturates; less than a millisecond does not matter.
    Some(Duration::from_millis(highest.max(0.0) as u64))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[track_caller]
    fn check(minutes: &[f64], expected: Option<u64>) {
        let at = |i: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(i);
        let points = (0..).zip(minutes).map(|(i, age)| (at(i), *age));
        let ages = Series {
            points: points.collect(),
            complete: true,
        };
        let highest = highest_age(&ages).map(|age| age.as_secs());
        assert_eq!(highest, expected, "{minutes:?}");
    }

    #[test]
    fn a_single_point_at_the_retention_is_an_artefact_of_resharding() {
        const DAY: f64 = SHORTEST_RETENTION;
        check(&[], None);
        check(&[1_000.0, 61_000.0, 2_000.0], Some(61));
        check(&[1_000.0, DAY, 2_000.0], Some(2));
        check(&[1_000.0, DAY, DAY, 2_000.0], Some(86_400));
        // Without a lower point on either side it may be real.
        check(&[1_000.0, DAY], Some(86_400));
        check(&[DAY, 1_000.0], Some(86_400));
        check(&[f64::NAN, 3_000.0], Some(3));
    }
}
