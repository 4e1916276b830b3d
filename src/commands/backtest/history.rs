//! What CloudWatch and the scaling log tell of a stream: its demand, its shards, and how evenly its
//! keys fill them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    args::Backtest,
    demand::{Demand, Load, Measured},
};
use crate::{
    aws::{Extra, Window},
    commands::subscriptions::{OnStream, Pair, failed_call},
    config::Prices,
    output::{error::Report, table::counted},
    reconcile::context::Context,
};
use autoscaler_core::{
    facts::{StreamStatus, StreamSummary, Traffic},
    scaling::{Outcome, Scaling},
    subscription::Subscription,
};

/// Metrics that are read of each stream.
const METRICS: usize = 3;
/// Points that CloudWatch returns for one request; further pages are further requests.
const POINTS_PER_PAGE: usize = 100_800;
/// Fewer periods with rejections say nothing about the keys.
const FEWEST_PERIODS: usize = 3;
/// Shards that are filled to this share are full: rejections need no other explanation.
const FULL: f64 = 0.95;
/// For so long after a call of UpdateShardCount it is not known which count was in force.
const RESHARDING: i64 = 15 * 60;
/// A history that begins later than this after the time asked for is told.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// One stream's history, ready to be replayed.
#[derive(Debug)]
pub struct History {
    pub demand: Demand,
    /// The stream's own pair, as PutMetricAlarm takes it; `None` where it is not whole.
    pub alarms: Option<Vec<Value>>,
    /// Open shards when the history begins; `None` for a stream in on-demand mode.
    pub shards: Option<u32>,
    pub skew: Option<Skew>,
    /// What a reader of the result has to know.
    pub notes: Vec<String>,
}

/// How unevenly the keys fill the shards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    pub ratio: f64,
    /// In how many periods it showed.
    pub periods: usize,
}

/// What a reading of the metrics asks of CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bill {
    pub streams: usize,
    pub requests: usize,
    pub dollars: f64,
}

impl Bill {
    /// The bill for this number of streams.
    pub fn of(args: &Backtest, streams: usize, prices: &Prices) -> Self {
        let seconds = usize::try_from(args.period_seconds()).unwrap_or(60);
        let points = METRICS * args.days as usize * 86_400 / seconds;
        let requests = streams * points.div_ceil(POINTS_PER_PAGE);
        let metrics = (requests * METRICS) as f64;
        Self {
            streams,
            requests,
            dollars: metrics / 1_000.0 * prices.metrics_thousand,
        }
    }

    /// One line, before the first request.
    pub fn text(&self, args: &Backtest) -> String {
        format!(
            "Reading {METRICS} metrics of {} over {} days by {} s: {} to GetMetricData for {} \
             metrics, about ${:.2}.\n",
            counted(self.streams, "stream"),
            args.days,
            args.period_seconds(),
            counted(self.requests, "request"),
            self.requests * METRICS,
            // Rounded up, so that it is never told as free.
            (self.dollars * 100.0).ceil() / 100.0
        )
    }
}

/// A stream whose history can be read.
#[derive(Clone, Debug)]
pub struct Source {
    pub subscription: Subscription,
    pub name: String,
    pub pair: Pair,
    pub summary: StreamSummary,
}

/// Reads one stream's history.
///
/// # Errors
/// Where CloudWatch does not answer, or has too little to replay.
pub async fn read(context: &Context, source: &Source, args: &Backtest) -> Result<History, Report> {
    let Source {
        subscription,
        name,
        pair,
        summary,
    } = source;
    let clients = context.clients_of(subscription);
    let wrong = |text: String| OnStream::new(name, &clients.region, text);
    let step = args.period_seconds();
    let end = floor(context.clock.now(), step);
    let start = end - SignedDuration::from_hours(24 * i64::from(args.days));
    let extra = Extra {
        rejected: true,
        ..Extra::default()
    };
    let window = Window {
        from: start,
        until: end,
        period_seconds: step,
    };
    let traffic = clients.cloudwatch.traffic_once(name, extra, window).await;
    let traffic = traffic.map_err(|error| failed_call(name, &clients.region, error))?;
    let whole = [&traffic.bytes, &traffic.records, &traffic.rejected];
    if !whole.iter().all(|it| it.complete || it.points.is_empty()) {
        let text = "CloudWatch returned only a part of the metrics".to_owned();
        return Err(Report::new(wrong(text)).hint("try again in some minutes"));
    }
    let periods = periods(&traffic);
    let Some(first) = periods.first().map(|it| it.at) else {
        let text = format!("CloudWatch has no data of the last {} days", args.days);
        return Err(
            Report::new(wrong(text)).hint("nothing was written to it; see its name and Region")
        );
    };
    let step = i64::from(step);
    let demand = Demand::of_periods(name.clone(), &periods, step, args.model.tries);
    let demand = demand.map_err(|text| {
        Report::new(wrong(text))
            .hint("the stream is too young: try again when it has run for two days")
    })?;
    let (scalings, unread) = context.scaling_log.recent(name, &summary.arn, start).await;
    let log = Counts {
        scalings: scalings.scalings,
        now: summary.open_shards,
    };
    let mut notes = Vec::new();
    let late = Timestamp::from_second(first).unwrap_or(start);
    if late.duration_since(start) > LATE {
        notes.push(format!(
            "The history begins at {} UTC, not {} days ago: the stream is younger, or nothing was \
             written to it before.",
            late.strftime("%Y-%m-%d %H:%M"),
            args.days
        ));
    }
    if let Some(error) = unread {
        notes.push(format!(
            "The scaling log cannot be read ({error}), so the stream is taken to have had {} all \
             the time.",
            counted(summary.open_shards, "shard")
        ));
    }
    if summary.on_demand {
        notes.push(
            "The stream is in on-demand mode; the other rows show what it would cost provisioned."
                .to_owned(),
        );
    }
    let provisioned = !summary.on_demand && summary.status == StreamStatus::Active;
    let skew = provisioned.then(|| estimate(&periods, step, |at| log.during(at, step)));
    notes.extend(unfilled(pair, &demand));
    Ok(History {
        alarms: own_alarms(pair),
        shards: provisioned.then(|| log.at(first)),
        skew: skew.flatten(),
        demand,
        notes,
    })
}

fn floor(at: Timestamp, step: i32) -> Timestamp {
    let seconds = at.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(i64::from(step))).unwrap_or(at)
}

/// The periods in which there was anything, oldest first.
fn periods(traffic: &Traffic) -> Vec<Measured> {
    let mut periods = std::collections::BTreeMap::new();
    let empty = |at: i64| Measured {
        at,
        accepted: Load::default(),
        rejected_records: 0.0,
    };
    for (series, set) in [
        (
            &traffic.bytes,
            (|it, sum| it.accepted.bytes = sum) as fn(&mut Measured, f64),
        ),
        (&traffic.records, |it, sum| it.accepted.records = sum),
        (&traffic.rejected, |it, sum| it.rejected_records = sum),
    ] {
        for (at, sum) in &series.points {
            let at = at.as_second();
            // A sum that is not a finite number would spoil every row.
            if sum.is_finite() && *sum >= 0.0 {
                set(periods.entry(at).or_insert_with(|| empty(at)), *sum);
            }
        }
    }
    periods.into_values().collect()
}

/// The stream's shards over time, by the scaling log and the count of now.
struct Counts {
    /// Oldest first.
    scalings: Vec<Scaling>,
    now: u32,
}

impl Counts {
    fn at(&self, second: i64) -> u32 {
        let done = |it: &&Scaling| matches!(it.outcome, Outcome::Done | Outcome::Open);
        let next = self.scalings.iter().filter(done);
        let next = next.clone().find(|it| it.at.as_second() > second);
        next.map_or(self.now, |it| it.from)
    }

    /// The count in all of a period; `None` where a resharding may have been under way.
    fn during(&self, second: i64, step: i64) -> Option<u32> {
        let unknown = |it: &Scaling| {
            let called = it.at.as_second();
            (second - RESHARDING < called) && (called < second + step)
        };
        (!self.scalings.iter().any(unknown)).then(|| self.at(second))
    }
}

/// Where records were rejected although the shards were not full, the busiest shard was: its load
/// over the mean, as the median of such periods. `shards` has the count in a period, where it is
/// known.
pub fn estimate(
    periods: &[Measured],
    step: i64,
    shards: impl Fn(i64) -> Option<u32>,
) -> Option<Skew> {
    let minutes = step as f64 / 60.0;
    let uneven = |it: &Measured| {
        let (used, shards) = (it.accepted.shards() / minutes, f64::from(shards(it.at)?));
        (it.is_short() && used > 0.0 && used < FULL * shards).then(|| shards / used)
    };
    let mut ratios: Vec<f64> = periods.iter().filter_map(uneven).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2)?;
    (ratios.len() >= FEWEST_PERIODS).then(|| Skew {
        ratio: (median.clamp(1.0, 1_000.0) * 100.0).round() / 100.0,
        periods: ratios.len(),
    })
}

/// The pair as it is in CloudWatch, for the replay; both alarms or none.
fn own_alarms(pair: &Pair) -> Option<Vec<Value>> {
    let own = [pair.up.as_ref()?, pair.down.as_ref()?];
    let values = own.map(|it| serde_json::to_value(it.settings()));
    values.into_iter().map(Result::ok).collect()
}

/// A gap counts as no demand in every row; whether it is zero for the alarms depends on their FILL.
fn unfilled(pair: &Pair, demand: &Demand) -> Option<String> {
    let fills = pair.down.as_ref()?.alarm.fills_gaps;
    (demand.gaps() > 0 && !(fills.bytes && fills.records)).then(|| {
        "The stream's own alarms do not fill gaps with zero: in them, and for scale-downs, a gap \
         is missing data."
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_still_being_resharded_says_nothing_about_its_keys() {
        let minute = |minute: i64| Timestamp::from_second(minute * 60).expect("a time");
        let log = Counts {
            scalings: vec![Scaling {
                stream_name: "orders".to_owned(),
                at: minute(60),
                from: 2,
                to: 4,
                expires_at: Timestamp::MAX,
                outcome: Outcome::Done,
                stream_arn: String::new(),
                reason: None,
                alarm: None,
                usage: None,
                note: None,
                host: None,
                version: None,
                intent_id: None,
            }],
            now: 4,
        };
        for (at, step, count) in [
            (59, 1, Some(2)),
            (60, 1, None),
            (74, 1, None),
            (75, 1, Some(4)),
            (55, 5, Some(2)),
            (56, 5, None),
            (75, 5, Some(4)),
        ] {
            assert_eq!(log.during(at * 60, step * 60), count, "{at} + {step}");
        }
        // Two shards were full until the resharding had ended.
        let full = |at: i64| Measured {
            at: at * 60,
            accepted: Load {
                bytes: 2.0 * 62_914_560.0,
                records: 1_000.0,
            },
            rejected_records: 100.0,
        };
        let periods: Vec<Measured> = (50..68).map(full).collect();
        let skew = estimate(&periods, 60, |at| log.during(at, 60));
        assert_eq!(skew, None);
        assert!(estimate(&periods, 60, |at| Some(log.at(at))).is_some());
    }

    #[test]
    fn keys_are_uneven_where_records_are_rejected_below_full_usage() {
        let shard = 62_914_560.0;
        let period = |at: i64, used: f64, rejected_records: f64| Measured {
            at: at * 60,
            accepted: Load {
                bytes: used * shard,
                records: 1_000.0,
            },
            rejected_records,
        };
        let check = |used: &[(f64, f64)], expected: Option<(f64, usize)>| {
            let periods = (0..)
                .zip(used)
                .map(|(at, (used, no))| period(at, *used, *no));
            let periods: Vec<Measured> = periods.collect();
            let skew = estimate(&periods, 60, |_| Some(4)).map(|it| (it.ratio, it.periods));
            assert_eq!(skew, expected, "{used:?}");
        };
        let uneven = (8.0 / 3.0, 100.0);
        check(
            &[uneven, uneven, uneven, (1.0, 0.0), (4.0, 50.0)],
            Some((1.5, 3)),
        );
        check(&[uneven, uneven], None);
        // Full shards reject whatever the keys are, and a few rejected records mean nothing.
        check(&[(4.0, 50.0), (3.9, 50.0), (4.0, 9.0), (2.0, 1.0)], None);
        check(&[], None);
    }
}
