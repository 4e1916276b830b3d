//! The names, types and help of all series, and their values at the time of a scrape.

use super::{
    State, Stream, add,
    page::{Format, Kind, Page, label},
    process,
};
use autoscaler_core::decide::calls_left;

/// About what the series of one stream take.
const BYTES_PER_STREAM: usize = 1500;

/// The whole page.
pub(super) fn encode(state: &State, format: Format) -> String {
    let mut page = Page::new(format, 8192 + state.streams.len() * BYTES_PER_STREAM);
    process::encode(&mut page);
    program(state, &mut page);
    calls(state, &mut page);
    streams(state, &mut page);
    page.finish()
}

fn program(state: &State, page: &mut Page) {
    let last = state.last_tick.as_ref();
    page.family("build_info", Kind::Gauge, "The version that runs")
        .sample(&label("version", env!("CARGO_PKG_VERSION")), 1);
    let help = "Ticks that ended; failed: at least one stream failed";
    page.family("ticks", Kind::Counter, help)
        .sample("result=\"ok\"", state.ticks.good)
        .sample("result=\"failed\"", state.ticks.failed);
    state.tick_durations.encode(page);
    let help = "Ticks that were delayed by the one before";
    page.family("late_ticks", Kind::Counter, help)
        .sample("", state.ticks.late);
    let help = "When the last tick ended, in seconds since 1970";
    let mut ended = page.family("last_tick_timestamp_seconds", Kind::Gauge, help);
    if let Some(last) = last {
        ended.sample("", last.ended_at(&state.context));
    }
    let standby = last.is_some_and(|last| last.standby.is_some());
    let subscriptions = state.context.config.subscriptions.len();
    let spooled = state.context.scaling_log.spooled();
    for (name, value, help) in [
        (
            "standby",
            usize::from(standby),
            "1 while another host holds the lease",
        ),
        (
            "config_last_reload_successful",
            usize::from(!state.reload_refused),
            "0 after a reload that was refused: the old configuration is in force",
        ),
        ("subscriptions", subscriptions, "Subscribed streams"),
        (
            "spool_rows",
            spooled,
            "Rows of the log that wait on disk for DynamoDB",
        ),
    ] {
        page.family(name, Kind::Gauge, help).sample("", value);
    }
}

fn calls(state: &State, page: &mut Page) {
    let mut counts = state.earlier.clone();
    let now = state.context.aws.meter.read();
    add(&mut counts.calls, now.calls);
    add(&mut counts.errors, now.errors);
    let requests = "Requests to AWS, retries included";
    let errors = "Requests to AWS that failed";
    for (name, help, counts) in [
        ("api_calls", requests, counts.calls),
        ("api_errors", errors, counts.errors),
    ] {
        let mut family = page.family(name, Kind::Counter, help);
        for (operation, count) in counts {
            family.sample(&label("operation", &operation), count);
        }
    }
}

/// The labels of each stream, and what is known of it.
struct Streams<'a>(Vec<(String, &'a Stream)>);

impl Streams<'_> {
    fn gauge<T: Into<f64>>(
        &self,
        page: &mut Page,
        (name, help): (&str, &str),
        value: impl Fn(&Stream) -> Option<T>,
    ) {
        let mut family = page.family(name, Kind::Gauge, help);
        for (labels, stream) in &self.0 {
            if let Some(value) = value(stream) {
                family.sample(labels, value.into());
            }
        }
    }

    fn counter(&self, page: &mut Page, name: &str, help: &str, value: impl Fn(&Stream) -> u64) {
        let mut family = page.family(name, Kind::Counter, help);
        for (labels, stream) in &self.0 {
            family.sample(labels, value(stream));
        }
    }

    /// A counter with one more label.
    fn counter_by<'a, I: IntoIterator<Item = (&'a str, u64)>>(
        &'a self,
        page: &mut Page,
        (name, by, help): (&str, &str, &str),
        values: impl Fn(&'a Stream) -> I,
    ) {
        let mut family = page.family(name, Kind::Counter, help);
        for (labels, stream) in &self.0 {
            for (value, count) in values(stream) {
                family.sample(&format!("{labels},{}", label(by, value)), count);
            }
        }
    }
}

fn streams(state: &State, page: &mut Page) {
    let labelled = state.streams.iter().map(|((stream, region), known)| {
        let labels = format!("{},{}", label("stream", stream), label("region", region));
        (labels, known)
    });
    let streams = Streams(labelled.collect());
    let shards = "Open shards as last seen, or the count that a resharding under way leads to";
    streams.gauge(page, ("stream_shards", shards), |it| it.shards);
    let target = "The shard count last decided on";
    streams.gauge(page, ("stream_target_shards", target), |it| it.target);
    let budget = "Of the 10 scalings that AWS allows in 24 h, how many are left; known once the log was read";
    let now = state.context.clock.now();
    streams.gauge(page, ("stream_daily_budget_left", budget), |it| {
        let left = calls_left(it.calls.as_ref()?.iter().copied(), now);
        u32::try_from(left).ok()
    });
    let scalings = ("scalings", "direction", "Scalings, by direction");
    streams.counter_by(page, scalings, |it| {
        [("up", it.scalings_up), ("down", it.scalings_down)]
    });
    let help = "Ticks in which the stream was held, by reason; a stream at rest is not";
    streams.counter_by(page, ("holds", "reason", help), |it| {
        it.holds.iter().map(|(reason, count)| (*reason, *count))
    });
    let help = "Times that both alarms were set to the stream's real count";
    streams.counter(page, "alarm_syncs", help, |it| it.syncs);
    let help = "Ticks in which the stream failed";
    streams.counter(page, "stream_failures", help, |it| it.failures);
}
