//! The demo's world: one Region, five streams, each in another situation, with a day of traffic behind them and two
//! before them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Load, RegionHandle, Sandbox, Traffic};
use autoscaler_core::datetime::format_datetime;

/// The demo's Region, unless another is asked for.
pub const REGION: &str = "eu-west-1";

/// The demo's log table.
pub const TABLE: &str = "kinesis-autoscaler-logs-sandbox";

/// The demo's streams.
pub const STREAMS: [&str; 5] = ["audit", "clicks", "orders", "payments", "sessions"];

/// Hours of traffic before the start, and in all; then it begins anew.
const PAST_HOURS: u32 = 24;
const ALL_HOURS: u32 = 72;

/// How long before the start the alarms were written.
pub const AGE_OF_ALARMS: SignedDuration = SignedDuration::from_mins(10);

/// How much the traffic of a minute strays.
const NOISE: f64 = 0.03;

/// One of the demo's streams.
struct Plan {
    stream: &'static str,
    shards: u32,
    /// The shardCount of its alarms.
    recorded: u32,
    /// Hours after the start of the traffic -> shards in use; straight lines between them.
    used: &'static [(f64, f64)],
}

/// In order: 2 shards nearly full, scaled to 4 at once and to 6 when the peak comes. 10 shards of which 2.6 were used
/// at most, scaled to 6. 3 shards whose alarms say 2, so that one is in ALARM until they are brought in sync. Full
/// enough for an alarm, but paused. At rest, until yesterday's peak leaves the window of 24 hours.
const PLANS: [Plan; 5] = [
    Plan {
        stream: "orders",
        shards: 2,
        recorded: 2,
        used: &[
            (0.0, 0.7),
            (10.0, 0.9),
            (22.0, 1.2),
            (24.0, 1.75),
            (28.0, 3.3),
            (31.0, 2.4),
            (33.0, 1.1),
            (60.0, 1.0),
            (72.0, 0.7),
        ],
    },
    Plan {
        stream: "clicks",
        shards: 10,
        recorded: 10,
        used: &[
            (0.0, 1.4),
            (14.0, 2.0),
            (15.0, 2.6),
            (17.0, 2.6),
            (19.0, 1.8),
            (24.0, 1.6),
            (38.0, 2.2),
            (41.0, 4.9),
            (44.0, 2.5),
            (60.0, 1.8),
            (72.0, 1.4),
        ],
    },
    Plan {
        stream: "payments",
        shards: 3,
        recorded: 2,
        used: &[
            (0.0, 0.9),
            (12.0, 1.1),
            (23.0, 1.7),
            (26.0, 1.7),
            (34.0, 2.5),
            (38.0, 1.2),
            (72.0, 0.9),
        ],
    },
    Plan {
        stream: "audit",
        shards: 4,
        recorded: 4,
        used: &[
            (0.0, 2.2),
            (20.0, 3.0),
            (23.0, 3.4),
            (36.0, 3.5),
            (48.0, 2.4),
            (72.0, 2.2),
        ],
    },
    Plan {
        stream: "sessions",
        shards: 4,
        recorded: 4,
        used: &[
            (0.0, 2.0),
            (3.0, 2.4),
            (6.0, 0.9),
            (12.0, 0.6),
            (24.0, 0.8),
            (36.0, 0.7),
            (42.0, 1.8),
            (46.0, 2.6),
            (52.0, 1.2),
            (72.0, 2.0),
        ],
    },
];

/// The week before: stream, hours before the start, shards before and after.
const WEEK: [(&str, i64, u32, u32); 12] = [
    ("orders", 164, 2, 4),
    ("orders", 150, 4, 2),
    ("orders", 92, 2, 4),
    ("orders", 90, 4, 6),
    ("orders", 78, 6, 3),
    ("orders", 54, 3, 2),
    ("clicks", 140, 5, 8),
    ("clicks", 116, 8, 12),
    ("clicks", 68, 12, 18),
    ("clicks", 44, 18, 10),
    ("sessions", 118, 4, 6),
    ("sessions", 94, 6, 4),
];

/// Builds the demo in `region` of the default account; `advance` moves the clock forward by [`AGE_OF_ALARMS`].
pub fn build(sandbox: &Sandbox, region: &str, advance: impl FnOnce(SignedDuration)) {
    let now = sandbox.now();
    let region = sandbox.region(region);
    region.create_log_table(TABLE);
    for (seed, plan) in (1..).zip(&PLANS) {
        region.create_stream(plan.stream, plan.shards);
        region.pair(plan.stream, plan.recorded);
        region.set_traffic(plan.stream, traffic(now, plan.used).noise(NOISE, seed));
    }
    for (stream, hours, from, to) in WEEK {
        // The table is there, and each row has a key of its own.
        let _ = region.put_item(TABLE, row(now, stream, hours, from, to));
    }
    region.edit_alarm("audit-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".into(), json!(false));
    });
    // At the usual threshold of 0.25 no more than 2.5 of 10 shards may be in use.
    region.edit_alarm("clicks-scale-down-alarm", |alarm| {
        alarm.insert("Threshold".into(), json!(0.3));
    });
    // The alarms were written a while ago: what they say now, they say of their present definition.
    advance(AGE_OF_ALARMS);
    evaluate(&region);
}

/// A row of the log; too old to count to the day's scalings.
fn row(now: Timestamp, stream: &str, hours: i64, from: u32, to: u32) -> Value {
    let at = now - SignedDuration::from_hours(hours);
    let expires = (at + SignedDuration::from_hours(14 * 24)).as_second();
    let (kind, direction) = match to > from {
        true => ("SCALE_UP", "up"),
        false => ("SCALE_DOWN", "down"),
    };
    json!({
        "stream_name": {"S": stream},
        "scaling_datetime": {"S": format_datetime(at)},
        "shard_count": {"N": from.to_string()},
        "target_shard_count": {"N": to.to_string()},
        "scaling_type": {"S": kind},
        "expiration_datetime": {"N": expires.to_string()},
        "outcome": {"S": "done"},
        "reason": {"S": "alarm"},
        "alarm": {"S": format!("{stream}-scale-{direction}-alarm")},
    })
}

/// Gives every alarm the state that its metrics call for.
fn evaluate(region: &RegionHandle) {
    for name in region.alarm_names() {
        region.evaluate_alarm(&name);
    }
}

/// A table of a point for every 5 minutes.
fn traffic(now: Timestamp, used: &[(f64, f64)]) -> Traffic {
    let past = SignedDuration::from_hours(i64::from(PAST_HOURS));
    let start = now.saturating_sub(past).unwrap_or(now);
    let points =
        (0..ALL_HOURS * 12).map(|point| Load::of_shards(between(used, f64::from(point) / 12.0)));
    Traffic::table(start, 300, points.collect())
}

/// The straight line through the points on either side of `hour`.
fn between(points: &[(f64, f64)], hour: f64) -> f64 {
    let pair = points.windows(2).find(|pair| hour < pair[1].0);
    pair.map_or(0.0, |pair| {
        let [(from, a), (to, b)] = [pair[0], pair[1]];
        a + (b - a) * (hour - from) / (to - from)
    })
}
