//! The names, types and help of all series, and their values at the time of a scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{Shared, State, Stream, add};
use autoscaler_core::decide::calls_left;

type Labels<'a> = Vec<(&'static str, &'a str)>;
type Samples<'a, T> = Vec<(Labels<'a>, T)>;

impl Collector for Shared {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.lock();
        let mut page = Page(encoder);
        process(&state, &mut page)?;
        streams(&state, &mut page)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, samples: Samples<'_, u64>) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in &samples {
            if labels.is_empty() {
                metric.encode_counter::<NoLabelSet, u64, u64>(value, None)?;
            } else {
                let mut sample = metric.encode_family(labels)?;
                sample.encode_counter::<NoLabelSet, u64, u64>(value, None)?;
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, samples: Samples<'_, f64>) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in &samples {
            if labels.is_empty() {
                metric.encode_gauge(value)?;
            } else {
                metric.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }
}

fn one<T>(value: T) -> Samples<'static, T> {
    vec![(Vec::new(), value)]
}

fn process(state: &State, page: &mut Page<'_>) -> fmt::Result {
    let ticks = state.ticks;
    let version = vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    page.gauge("build_info", "The version that runs", version)?;
    let results = [("ok", ticks.good), ("failed", ticks.failed)];
    let results = results.map(|(result, count)| (vec![("result", result)], count));
    page.counter(
        "ticks",
        "Ticks that ended; failed: at least one stream failed",
        results.into(),
    )?;
    page.counter(
        "late_ticks",
        "Ticks that were delayed by the one before",
        one(ticks.late),
    )?;
    let last = state.last_tick.as_ref();
    let last_at = last.map(|last| (Vec::new(), last.ended_at(&state.context)));
    page.gauge(
        "last_tick_timestamp_seconds",
        "When the last tick ended, in seconds since 1970",
        last_at.into_iter().collect(),
    )?;
    let standby = last.is_some_and(|last| last.standby.is_some());
    page.gauge(
        "standby",
        "1 while another host holds the lease",
        one(f64::from(u8::from(standby))),
    )?;
    page.gauge(
        "config_last_reload_successful",
        "0 after a reload that was refused: the old configuration is in force",
        one(f64::from(u8::from(!state.reload_refused))),
    )?;
    let count = |n: usize| one(n as f64);
    page.gauge(
        "subscriptions",
        "Subscribed streams",
        count(state.context.config.subscriptions.len()),
    )?;
    page.gauge(
        "spool_rows",
        "Rows of the log that wait on disk for DynamoDB",
        count(state.context.scaling_log.spooled()),
    )?;
    calls(state, page)
}

fn calls(state: &State, page: &mut Page<'_>) -> fmt::Result {
    let mut counts = state.earlier.clone();
    let now = state.context.aws.meter.read();
    add(&mut counts.calls, now.calls);
    add(&mut counts.errors, now.errors);
    for (name, help, counts) in [
        (
            "api_calls",
            "Requests to AWS, retries included",
            counts.calls,
        ),
        ("api_errors", "Requests to AWS that failed", counts.errors),
    ] {
        let samples = counts.iter();
        let samples = samples.map(|(operation, n)| (vec![("operation", operation.as_str())], *n));
        page.counter(name, help, samples.collect())?;
    }
    Ok(())
}

fn streams(state: &State, page: &mut Page<'_>) -> fmt::Result {
    let gauge = |value: &dyn Fn(&Stream) -> Option<f64>| {
        let samples = state.streams.iter();
        let samples = samples.filter_map(|(key, stream)| Some((of(key), value(stream)?)));
        samples.collect::<Samples<'_, f64>>()
    };
    page.gauge(
        "stream_shards",
        "Open shards as last seen, or the count that a resharding under way leads to",
        gauge(&|stream| stream.shards.map(f64::from)),
    )?;
    page.gauge(
        "stream_target_shards",
        "The shard count last decided on",
        gauge(&|stream| stream.target.map(f64::from)),
    )?;
    let now = state.context.clock.now();
    page.gauge(
        "stream_daily_budget_left",
        "Of the 10 scalings that AWS allows in 24 h, how many are left; known once the log was read",
        gauge(&|stream| {
            let calls = stream.calls.as_ref()?;
            Some(calls_left(calls.iter().copied(), now) as f64)
        }),
    )?;
    let by_label = |label: &'static str, counts: &dyn Fn(&Stream) -> Vec<(&'static str, u64)>| {
        let mut samples: Samples<'_, u64> = Vec::new();
        for (key, stream) in &state.streams {
            for (value, count) in counts(stream) {
                let mut labels = of(key);
                labels.push((label, value));
                samples.push((labels, count));
            }
        }
        samples
    };
    page.counter(
        "scalings",
        "Scalings, by direction",
        by_label("direction", &|stream| {
            vec![("up", stream.scalings_up), ("down", stream.scalings_down)]
        }),
    )?;
    page.counter(
        "holds",
        "Ticks in which the stream was held, by reason; a stream at rest is not",
        by_label("reason", &|stream| {
            stream.holds.clone().into_iter().collect()
        }),
    )?;
    let counter = |value: &dyn Fn(&Stream) -> u64| {
        let samples = state.streams.iter();
        let samples = samples.map(|(key, stream)| (of(key), value(stream)));
        samples.collect::<Samples<'_, u64>>()
    };
    page.counter(
        "alarm_syncs",
        "Times that both alarms were set to the stream's real count",
        counter(&|stream| stream.syncs),
    )?;
    page.counter(
        "stream_failures",
        "Ticks in which the stream failed",
        counter(&|stream| stream.failures),
    )
}

fn of((stream, region): &(String, String)) -> Labels<'_> {
    vec![("stream", stream), ("region", region)]
}
