//! The names, types and help of all series, and their values at the time of a scrape.

use crate::{daemon::notify::Outcome, reconcile::discovery};

use super::{
    State, add, health,
    page::{Format, Kind, Page, label, place},
    process,
};

/// About what the series of one stream take.
const BYTES_PER_STREAM: usize = 1200;

/// The whole page.
pub(super) fn encode(state: &State, format: Format) -> String {
    let mut page = Page::new(format, 8192 + state.streams.len() * BYTES_PER_STREAM);
    process::encode(&mut page);
    program(state, &mut page);
    calls(state, &mut page);
    notifications(state, &mut page);
    let quotas = state.quotas.read(&state.context);
    quotas.encode(&mut page);
    let now = state.context.clock.now();
    let pauses = state.context.scaling_log.known_pauses(now);
    let streams = &state.streams;
    streams.encode(&mut page, state.ticks.ended(), now, &pauses);
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
    let healthy = health::judge(&state.context, last).healthy;
    let log_works = last.is_none_or(|last| last.scaling_log_error.is_none());
    let subscriptions = state.context.roster.len();
    let spooled = state.context.scaling_log.spooled();
    for (name, value, help) in [
        (
            "healthy",
            usize::from(healthy),
            "0 while /healthz answers 503",
        ),
        (
            "scaling_log_available",
            usize::from(log_works),
            "0 while the scaling log cannot work until a person fixes it",
        ),
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
    discovered(state, page);
}

/// Also the Regions in which patterns subscribe nothing, because that may be the news.
fn discovered(state: &State, page: &mut Page) {
    let context = &state.context;
    let mut counts = state.streams.discovered();
    for account in discovery::accounts(context) {
        let region = context.aws.clients(account).region.as_str();
        counts.entry((region, account.name())).or_default();
    }
    let help = "Streams that patterns subscribe, by Region and account";
    let mut family = page.family("discovered_streams", Kind::Gauge, help);
    for ((region, account), count) in counts {
        family.sample(&place(region, account), count);
    }
}

fn notifications(state: &State, page: &mut Page) {
    let help = "Deliveries of notifications; failed: one attempt, dropped: given up";
    let mut family = page.family("notifications", Kind::Counter, help);
    for outcome in Outcome::ALL {
        family.sample(
            &label("result", outcome.code()),
            state.notified.get(outcome),
        );
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
