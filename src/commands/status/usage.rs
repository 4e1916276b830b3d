//! How much of a stream is used, for its row.

use autoscaler_core::{decide::shards_used, facts::Traffic, limits::PERIOD_SECONDS};
use jiff::{SignedDuration, Timestamp};

/// How late metrics may arrive; a younger period may be incomplete.
const METRICS_LATE_BY: SignedDuration = SignedDuration::from_mins(2);
/// An older period is not "now".
const NOW_IS_WITHIN: SignedDuration = SignedDuration::from_mins(20);

/// Usage of `shards` now, and at the busiest time of the last 24 h; `None`, never zero, for missing
/// or partial data.
pub(super) fn usage(
    traffic: Option<&Traffic>,
    shards: u32,
    now: Timestamp,
) -> (Option<f64>, Option<f64>) {
    let complete = |it: &&Traffic| {
        let outgoing = it.outgoing.as_ref();
        it.bytes.complete && it.records.complete && outgoing.is_none_or(|it| it.complete)
    };
    let Some(traffic) = traffic.filter(complete) else {
        return (None, None);
    };
    let period = SignedDuration::from_secs(i64::from(PERIOD_SECONDS));
    let whole = |at: Timestamp| at + period + METRICS_LATE_BY <= now;
    let times = [&traffic.bytes, &traffic.records]
        .into_iter()
        .flat_map(|series| series.points.iter().map(|(at, _)| *at));
    let newest = times
        .filter(|at| whole(*at) && now.duration_since(*at) <= NOW_IS_WITHIN)
        .max();
    let shards = f64::from(shards.max(1));
    let of = |traffic: &Traffic| {
        let none = traffic.bytes.points.is_empty() && traffic.records.points.is_empty();
        (!none).then(|| shards_used(traffic) / shards)
    };
    let now = newest.and_then(|newest| {
        let mut then = traffic.clone();
        let outgoing = then.outgoing.iter_mut();
        for series in [&mut then.bytes, &mut then.records]
            .into_iter()
            .chain(outgoing)
        {
            series.points.retain(|(at, _)| *at == newest);
        }
        of(&then)
    });
    (now, of(traffic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoscaler_core::facts::Series;

    #[test]
    fn usage_is_of_the_newest_whole_period_and_missing_data_is_none() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        // Minutes ago, MiB/s in the period that began then.
        let check = |points: &[(i64, f64)], complete, expected: (Option<f64>, Option<f64>)| {
            let mib = |mib_per_second: f64| mib_per_second * 1_048_576.0 * 300.0;
            let at = |minutes| now - SignedDuration::from_mins(minutes);
            let points = points.iter().map(|(ago, rate)| (at(*ago), mib(*rate)));
            let traffic = Traffic {
                bytes: Series {
                    points: points.collect(),
                    complete,
                },
                records: Series {
                    points: Vec::new(),
                    complete: true,
                },
                rejected: Series::default(),
                ..Traffic::default()
            };
            let found = usage(Some(&traffic), 4, now);
            assert_eq!(found, expected, "{traffic:?}");
        };
        check(&[], true, (None, None));
        check(&[(8, 2.0)], false, (None, None));
        check(&[(8, 2.0)], true, (Some(0.5), Some(0.5)));
        check(&[(3, 4.0), (8, 2.0)], true, (Some(0.5), Some(1.0)));
        check(
            &[(600, 3.0), (13, 1.0), (8, 2.0)],
            true,
            (Some(0.5), Some(0.75)),
        );
        check(&[(600, 3.0)], true, (None, Some(0.75)));
        check(&[(8, 0.0)], true, (Some(0.0), Some(0.0)));
        assert_eq!(usage(None, 4, now), (None, None), "nothing was read");
    }
}
