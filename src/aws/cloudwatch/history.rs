//! Keeps long histories of traffic in memory, so that a second look reads only what is new.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use autoscaler_core::{
    datetime::after,
    facts::{Series, Traffic},
};
use jiff::{SignedDuration, Timestamp};

use super::metrics::{Extra, StreamMetrics, Window};

/// A shorter window fits on one page for many streams.
const KEPT_FROM: SignedDuration = SignedDuration::from_hours(48);
/// Younger sums may still change, because CloudWatch publishes metrics late.
const FINAL_AFTER: SignedDuration = SignedDuration::from_hours(3);
/// The most streams that are kept: 64 KiB each for a week of four metrics.
const MAX_STREAMS: usize = 500;

/// The histories of streams of one account and Region. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<HashMap<String, Kept>>>);

#[derive(Debug)]
struct Kept {
    from: Timestamp,
    /// When it was read last.
    until: Timestamp,
    period_seconds: i64,
    bytes: Sums,
    records: Sums,
    rejected: Option<Sums>,
    outgoing: Option<Sums>,
}

/// One metric; NaN where a period has no point.
#[derive(Debug)]
struct Sums {
    /// The start of the first period.
    first: Timestamp,
    sums: Vec<f64>,
}

impl History {
    /// The time up to which a window need not be read again; `None` if all of it has to be read.
    pub(super) fn known_until(
        &self,
        stream: &str,
        extra: Extra,
        window: Window,
    ) -> Option<Timestamp> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(stream)?;
        let covers = kept.period_seconds == i64::from(window.period_seconds)
            && kept.from <= window.from
            && (kept.rejected.is_some() || !extra.rejected)
            && (kept.outgoing.is_some() || !extra.outgoing);
        let known_until = start_of_period(after(kept.until, -FINAL_AFTER), window);
        // A clock that was set back gives no window that was read before.
        let in_order = window.from < known_until && kept.until <= window.until;
        (covers && in_order).then_some(known_until)
    }

    /// Puts what was kept before the newly `read` points, and keeps all of it.
    pub(super) fn complete(
        &self,
        stream: &str,
        extra: Extra,
        window: Window,
        mut read: StreamMetrics,
    ) -> StreamMetrics {
        if window.until.duration_since(window.from) < KEPT_FROM {
            return read;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let traffic = &mut read.traffic;
        let new_from = std::mem::replace(&mut traffic.from, window.from);
        if new_from > window.from
            && let Some(kept) = all.get(stream)
        {
            let old = window.from..new_from;
            let period = kept.period_seconds;
            let add = |series: &mut Series, sums: &Sums| {
                let points = sums.points(period);
                series
                    .points
                    .extend(points.filter(|(at, _)| old.contains(at)));
            };
            add(&mut traffic.bytes, &kept.bytes);
            add(&mut traffic.records, &kept.records);
            for (series, sums) in [
                (Some(&mut traffic.rejected), &kept.rejected),
                (traffic.outgoing.as_mut(), &kept.outgoing),
            ] {
                if let (Some(series), Some(sums)) = (series, sums) {
                    add(series, sums);
                }
            }
        }
        match Kept::of(traffic, extra, window) {
            Some(kept) => {
                if all.len() >= MAX_STREAMS && !all.contains_key(stream) {
                    let oldest = all.iter().min_by_key(|(_, kept)| kept.until);
                    let oldest = oldest.map(|(stream, _)| stream.clone());
                    oldest.map(|oldest| all.remove(&oldest));
                }
                all.insert(stream.to_owned(), kept);
            }
            None => {
                all.remove(stream);
            }
        }
        read
    }
}

impl Kept {
    /// `None` for an answer that is not whole.
    fn of(traffic: &Traffic, extra: Extra, window: Window) -> Option<Self> {
        let sums = |series: &Series| Sums::of(series, window);
        let rejected = extra.rejected.then(|| sums(&traffic.rejected));
        let outgoing = traffic.outgoing.as_ref().map(sums);
        Some(Self {
            from: window.from,
            until: window.until,
            period_seconds: i64::from(window.period_seconds),
            bytes: sums(&traffic.bytes)?,
            records: sums(&traffic.records)?,
            rejected: rejected.map_or(Some(None), |it| it.map(Some))?,
            outgoing: outgoing.map_or(Some(None), |it| it.map(Some))?,
        })
    }
}

impl Sums {
    fn of(series: &Series, window: Window) -> Option<Self> {
        let period = i64::from(window.period_seconds);
        let index = |at: &Timestamp| {
            let seconds = at.duration_since(window.from).as_secs();
            usize::try_from(seconds.div_euclid(period)).ok()
        };
        let periods = index(&window.until)?.checked_add(1)?;
        let mut sums = vec![f64::NAN; periods];
        for (at, sum) in &series.points {
            if let Some(slot) = index(at).and_then(|i| sums.get_mut(i)) {
                *slot = *sum;
            }
        }
        let usable = series.complete && series.points.iter().all(|(_, sum)| sum.is_finite());
        usable.then_some(Self {
            first: window.from,
            sums,
        })
    }

    fn points(&self, period_seconds: i64) -> impl Iterator<Item = (Timestamp, f64)> {
        let starts = (0..).map(move |i| {
            let offset = SignedDuration::from_secs(period_seconds.saturating_mul(i));
            after(self.first, offset)
        });
        let points = starts.zip(self.sums.iter().copied());
        points.filter(|(_, sum)| !sum.is_nan())
    }
}

fn start_of_period(at: Timestamp, window: Window) -> Timestamp {
    let second = at.as_second();
    let past = second.rem_euclid(i64::from(window.period_seconds).max(1));
    Timestamp::from_second(second - past).unwrap_or(at)
}
