//! What is known of each stream.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use autoscaler_core::{
    decide::calls_left,
    pause::{Pause, Paused},
    policy::{Sizing, demand::Demand},
    reason::Reason,
    subscription::Subscription,
    window::Window,
};
use jiff::Timestamp;

use super::page::{Kind, Page, label};
use crate::reconcile::{
    context::Context,
    report::{Done, StreamReport},
};

/// Identifies a subscription from tick to tick, and over reloads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    subscription: String,
    region: String,
    account: Option<String>,
}

/// Every subscribed stream.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<Key, Stream>);

#[derive(Debug, Default)]
struct Stream {
    /// `None` until a subscription by alarm was read.
    name: Option<String>,
    region: String,
    windows: Arc<[Window]>,
    min_shards: u32,
    max_shards: u32,
    /// Whether a pattern subscribes it.
    discovered: bool,
    watched: bool,
    shards: Option<u32>,
    target: Option<u32>,
    /// What is asked of the stream, and the tick that has last told.
    asked: Asked,
    asked_in: u64,
    /// The calls of the last day, where the log was read.
    calls: Option<Vec<Timestamp>>,
    holds: BTreeMap<&'static str, u64>,
    scalings_up: u64,
    scalings_down: u64,
    syncs: u64,
    failures: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    wanted: Option<u32>,
    sizing: Option<Sizing>,
    usage: Option<f64>,
    rejected: Option<u64>,
}

impl Streams {
    /// The streams of a configuration; what is known of those that it had before stays.
    pub fn adopt(&mut self, context: &Context) {
        let before = std::mem::take(&mut self.0);
        let fits = |name: &String| context.config.by_pattern(name).is_some();
        // They are discovered again with the first listing.
        let (discovered, others) = before
            .into_iter()
            .partition(|(_, it)| it.discovered && it.name.as_ref().is_some_and(fits));
        self.0 = others;
        self.follow(context);
        let known: BTreeMap<Key, Stream> = discovered;
        for (key, stream) in known {
            self.0.entry(key).or_insert(stream);
        }
        // The pairs may be others now.
        self.0
            .values_mut()
            .for_each(|stream| stream.watched = false);
    }

    /// The streams that are subscribed now; what is known of those that were before stays.
    pub fn follow(&mut self, context: &Context) {
        let mut before = std::mem::take(&mut self.0);
        for subscription in context.roster.subscriptions() {
            let key = Key::new(subscription, context);
            let mut stream = before.remove(&key).unwrap_or_default();
            stream.name = subscription.stream.clone().or(stream.name);
            stream.region.clone_from(&key.region);
            stream.windows = subscription.windows.clone();
            stream.min_shards = subscription.min_shards;
            stream.max_shards = subscription.max_shards;
            stream.discovered = subscription.is_discovered();
            self.0.insert(key, stream);
        }
    }

    /// How many of them patterns have discovered, by Region and account.
    pub fn discovered(&self) -> BTreeMap<(&str, Option<&str>), usize> {
        let mut counts = BTreeMap::new();
        for (key, _) in self.0.iter().filter(|(_, it)| it.discovered) {
            let place = (key.region.as_str(), key.account.as_deref());
            *counts.entry(place).or_default() += 1;
        }
        counts
    }

    /// Another host knows better by now.
    pub fn forget(&mut self) {
        for stream in self.0.values_mut() {
            stream.watched = false;
            stream.asked = Asked::default();
            (stream.shards, stream.target, stream.calls) = (None, None, None);
        }
    }

    /// Takes in what the tick of this number has reported.
    pub fn take_in(&mut self, report: &StreamReport, tick: u64, dry_run: bool) {
        let key = Key {
            subscription: report.subscription.clone(),
            region: report.region.clone(),
            account: report.account.clone(),
        };
        // Work on a stream may end after its subscription has.
        let Some(stream) = self.0.get_mut(&key) else {
            return;
        };
        stream.name = report.stream.clone().or(stream.name.take());
        stream.take_in(report, tick, dry_run);
    }

    /// Adds the series of every stream, as of the tick of this number.
    pub fn encode(&self, page: &mut Page, tick: u64, now: Timestamp, pauses: &[Pause]) {
        let labelled = self.0.iter().map(|(key, it)| (key.labels(it), it));
        let mut streams = Labelled(labelled.collect());
        // Two subscriptions of the same stream would be the same series twice.
        streams.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        streams.0.dedup_by(|(one, _), (other, _)| one == other);
        streams.gauges(page, tick, now);
        streams.limits(page, now, pauses);
        streams.counters(page);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Key {
    fn new(subscription: &Subscription, context: &Context) -> Self {
        Self {
            subscription: subscription.label().to_owned(),
            region: context.clients_of(subscription).region.clone(),
            account: subscription.account.name().map(str::to_owned),
        }
    }

    fn labels(&self, stream: &Stream) -> String {
        let name = stream.name.as_ref().unwrap_or(&self.subscription);
        let mut labels = label("stream", name);
        let account = self.account.as_deref().map(|account| ("account", account));
        for (name, value) in [Some(("region", self.region.as_str())), account]
            .into_iter()
            .flatten()
        {
            labels.push(',');
            labels.push_str(&label(name, value));
        }
        labels
    }
}

impl Stream {
    fn take_in(&mut self, report: &StreamReport, tick: u64, dry_run: bool) {
        self.shards = report.shards_before.or(self.shards);
        self.target = report.shards_after.or(report.shards_before).or(self.target);
        self.watched = report.seen.watched.unwrap_or(self.watched);
        self.ask(report, tick);
        if let Some(calls) = &report.calls {
            self.calls = Some(calls.clone());
        }
        if report.error.is_some() {
            self.failures += 1;
        }
        match (report.action, report.reason) {
            // A stream at rest is not held.
            (Done::Hold, Reason::NoAlarm) => {}
            (Done::Hold, reason) => *self.holds.entry(reason.code()).or_default() += 1,
            _ if dry_run || report.error.is_some() => {}
            (Done::SyncAlarms, _) => self.syncs += 1,
            (action, _) => {
                match action {
                    Done::ScaleUp => self.scalings_up += 1,
                    _ => self.scalings_down += 1,
                }
                // AWS takes minutes; until the next look this is the count to reckon with.
                self.shards = report.shards_after;
            }
        }
    }

    /// A hold that lasts is not decided again, so the values that it was decided on are kept.
    fn ask(&mut self, report: &StreamReport, tick: u64) {
        if self.asked_in + 1 < tick {
            self.asked = Asked::default();
        }
        if report.reason == Reason::NoAlarm {
            return;
        }
        self.asked_in = tick;
        self.asked = Asked {
            wanted: report.seen.wanted.or(self.asked.wanted),
            sizing: report.seen.sizing.or(self.asked.sizing),
            usage: report.seen.usage.or(self.asked.usage),
            rejected: report.seen.rejected.or(self.asked.rejected),
        };
    }

    /// How long the stream is still paused.
    fn paused_seconds(&self, pauses: &[Pause], now: Timestamp) -> Option<f64> {
        let ours = |pause: &&Pause| match &pause.of {
            Paused::All => true,
            Paused::Stream { name, arn } => {
                self.name.as_ref() == Some(name) && arn.split(':').nth(3) == Some(&self.region)
            }
        };
        let left = pauses.iter().filter(ours).map(|it| it.until);
        let left = left.map(|until| until.duration_since(now).as_secs_f64());
        left.reduce(f64::max)
    }

    /// What is asked of the stream, unless it is at rest since.
    fn asked(&self, tick: u64) -> Asked {
        match self.asked_in == tick {
            true => self.asked,
            false => Asked::default(),
        }
    }
}

/// The labels of each stream, and what is known of it.
struct Labelled<'a>(Vec<(String, &'a Stream)>);

impl<'a> Labelled<'a> {
    fn gauge(
        &self,
        page: &mut Page,
        name: &str,
        help: &str,
        value: impl Fn(&Stream) -> Option<f64>,
    ) {
        let mut family = page.family(name, Kind::Gauge, help);
        for (labels, stream) in &self.0 {
            if let Some(value) = value(stream) {
                family.sample(labels, value);
            }
        }
    }

    /// A counter, with a label more where `by` names one.
    fn counter<L: AsRef<str>, I: IntoIterator<Item = (L, u64)>>(
        &self,
        page: &mut Page,
        name: &str,
        help: &str,
        values: impl Fn(&'a Stream) -> I,
    ) {
        let mut family = page.family(name, Kind::Counter, help);
        for (labels, stream) in &self.0 {
            for (label, count) in values(stream) {
                family.sample_with(labels, label.as_ref(), count);
            }
        }
    }

    fn gauges(&self, page: &mut Page, tick: u64, now: Timestamp) {
        let help =
            "1 if the pair fits the contract and the stream exists, as of the last look at both";
        self.gauge(page, "stream_watched", help, |it| {
            Some(f64::from(u8::from(it.watched)))
        });
        let help = "Open shards as last seen, or the count that a resharding under way leads to";
        self.gauge(page, "stream_shards", help, |it| it.shards.map(f64::from));
        let help = "The shard count last decided on";
        self.gauge(page, "stream_target_shards", help, |it| {
            it.target.map(f64::from)
        });
        let help = "The shard count that the policy asks for, before max_shards, cooldowns and the limits \
                    of AWS; the open shards while no alarm asks";
        self.gauge(page, "stream_wanted_shards", help, |it| {
            it.asked(tick).wanted.or(it.shards).map(f64::from)
        });
        let help = "Shards that the traffic calls for by the policy adaptive, before bounds and the limits \
                    of a single step; absent while no alarm asks";
        self.gauge(page, "stream_needed_shards", help, |it| {
            it.asked(tick).sizing.map(|it| it.needed.into())
        });
        let help = "The peak of the last 4 days in shards, faded by memory, by which the policy adaptive \
                    judges a scale-down; absent while no scale-down alarm asks";
        self.gauge(page, "stream_peak_shards", help, |it| {
            it.asked(tick).sizing?.peak.map(Demand::in_shards)
        });
        let help = "min_shards of the configuration";
        self.gauge(page, "stream_min_shards", help, |it| {
            Some(it.min_shards.into())
        });
        let help = "max_shards of the configuration";
        self.gauge(page, "stream_max_shards", help, |it| {
            Some(it.max_shards.into())
        });
        let help = "Usage as the alarm in ALARM computed it, 1 for all that the shards take; absent while \
                    no alarm asks";
        self.gauge(page, "stream_usage", help, |it| {
            it.asked(tick).usage.filter(|usage| usage.is_finite())
        });
        let help = "Records that the stream rejected in the hour before the decision, as far as that read \
                    the traffic; absent while no alarm asks";
        self.gauge(page, "stream_rejected_records", help, |it| {
            it.asked(tick).rejected.map(|records| records as f64)
        });
        let help = "Of the 10 scalings that AWS allows in 24 h, how many are left; known once the log was \
                    read";
        self.gauge(page, "stream_daily_budget_left", help, |it| {
            let left = calls_left(it.calls.as_ref()?.iter().copied(), now);
            Some(left as f64)
        });
    }

    /// What people have set for a time.
    fn limits(&self, page: &mut Page, now: Timestamp, pauses: &[Pause]) {
        // Thousands of streams share their windows.
        let known: RefCell<BTreeMap<usize, Option<u32>>> = RefCell::default();
        let floor = |windows: &[Window]| {
            let constraints = windows.iter().filter_map(|it| it.constraint(now));
            constraints.filter_map(|it| it.floor).max()
        };
        let help = "min_shards of the open windows; absent while none is open";
        self.gauge(page, "window_floor", help, |it| {
            let key = it.windows.as_ptr().addr();
            let mut known = known.borrow_mut();
            let floor = known.entry(key).or_insert_with(|| floor(&it.windows));
            floor.map(f64::from)
        });
        let help = "Seconds until the pause of the stream ends, as of the last reading of the log table; \
                    absent while it is not paused";
        self.gauge(page, "paused", help, |it| it.paused_seconds(pauses, now));
    }

    fn counters(&self, page: &mut Page) {
        let help = "Scalings, by direction";
        self.counter(page, "scalings", help, |it| {
            [
                ("direction=\"up\"", it.scalings_up),
                ("direction=\"down\"", it.scalings_down),
            ]
        });
        let help = "Ticks in which the stream was held, by reason; a stream at rest is not";
        self.counter(page, "holds", help, |it| {
            it.holds
                .iter()
                .map(|(reason, count)| (label("reason", reason), *count))
        });
        let help = "Times that both alarms were set to the stream's real count";
        self.counter(page, "alarm_syncs", help, |it| [("", it.syncs)]);
        let help = "Ticks in which the stream failed";
        self.counter(page, "stream_failures", help, |it| [("", it.failures)]);
    }
}
