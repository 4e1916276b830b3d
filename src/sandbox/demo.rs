//! The world of `--sandbox`: one Region with seven streams, each in a situation of its own, with a
//! day of traffic behind them and two days ahead.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Load, Pair, RegionHandle, Sandbox, Traffic};
use autoscaler_core::datetime::format_datetime;

/// The demo's Region.
pub const REGION: &str = "eu-west-1";

/// The demo's scaling log.
pub const TABLE: &str = "kinesis-autoscaler-logs-sandbox";

/// The demo's streams.
pub const STREAMS: [&str; 7] = [
    "audit", "carts", "clicks", "orders", "payments", "sensors", "sessions",
];

/// Hours of traffic before the start, and in all; after that it repeats.
const PAST_HOURS: u32 = 24;
const ALL_HOURS: u32 = 72;

/// How long before the start the alarms were written.
pub const AGE_OF_ALARMS: SignedDuration = SignedDuration::from_mins(10);

/// How far the traffic of a minute strays from its curve.
const NOISE: f64 = 0.03;

/// One of the demo's streams.
struct Plan {
    stream: &'static str,
    shards: u32,
    /// The shardCount of its alarms.
    recorded: u32,
    pair: Pair,
    policy: &'static str,
    /// The busiest shard's load over the mean.
    skew: f64,
    /// Hours after the start of the traffic and shards in use, connected by straight lines.
    used: &'static [(f64, f64)],
}

/// A stream with the usual alarms, the original's policy and evenly used shards.
const ORDINARY: Plan = Plan {
    stream: "",
    shards: 4,
    recorded: 4,
    pair: Pair::Usual,
    policy: "original",
    skew: 1.0,
    used: &[],
};

const PLANS: [Plan; 7] = [
    // Nearly full: scaled up at once, and again when the peak comes.
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
        ..ORDINARY
    },
    // Used 2.6 shards at most: scaled down to 6.
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
        ..ORDINARY
    },
    // Its alarms have the wrong shard count, and one fires until they are synced.
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
        ..ORDINARY
    },
    // Full enough for an alarm, but paused.
    Plan {
        stream: "audit",
        used: &[
            (0.0, 2.2),
            (20.0, 3.0),
            (23.0, 3.4),
            (36.0, 3.5),
            (48.0, 2.4),
            (72.0, 2.2),
        ],
        ..ORDINARY
    },
    // At rest, until yesterday's peak leaves the window of 24 hours.
    Plan {
        stream: "sessions",
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
        ..ORDINARY
    },
    // Uneven keys: it rejects records at a usage of 67 %, which only the throttle signal reports.
    Plan {
        stream: "sensors",
        pair: Pair::ThrottleSignal,
        skew: 1.5,
        used: &[
            (0.0, 1.6),
            (18.0, 2.2),
            (24.0, 3.0),
            (30.0, 3.3),
            (36.0, 2.4),
            (72.0, 1.6),
        ],
        ..ORDINARY
    },
    // The adaptive policy: up within minutes, down within hours of each of the day's two peaks.
    Plan {
        stream: "carts",
        shards: 2,
        recorded: 2,
        pair: Pair::Adaptive,
        policy: "adaptive",
        used: &[
            (0.0, 0.8),
            (16.0, 0.7),
            (24.0, 1.75),
            (26.0, 3.4),
            (28.0, 0.7),
            (40.0, 0.6),
            (46.0, 2.9),
            (50.0, 0.8),
            (72.0, 0.8),
        ],
        ..ORDINARY
    },
];

/// The scalings of the week before: stream, hours before the start, shards before and after.
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

/// The `[[streams]]` tables of a configuration that subscribes the demo's streams.
///
/// The quotas of alarms are those of AWS on a clock that is `speed` times as fast as the real one:
/// otherwise ticks would wait for hours.
pub fn config(speed: u32) -> String {
    let table = |name: &str| {
        let plan = PLANS.iter().find(|plan| plan.stream == name);
        let policy = plan.map_or(ORDINARY.policy, |plan| plan.policy);
        format!("[[streams]]\nname = \"{name}\"\npolicy = \"{policy}\"\n")
    };
    let rate = f64::from(speed) * 2.5;
    let quotas = format!("[quotas]\nput_metric_alarm = {rate}\nset_alarm_state = {rate}\n");
    quotas + &STREAMS.map(table).concat()
}

/// Builds the demo in `region` of the default account. `advance` moves the clock forward by
/// [`AGE_OF_ALARMS`].
pub fn build(sandbox: &Sandbox, region: &str, advance: impl FnOnce(SignedDuration)) {
    let now = sandbox.now();
    let region = sandbox.region(region);
    region.create_log_table(TABLE);
    for (seed, plan) in (1..).zip(&PLANS) {
        region.create_stream(plan.stream, plan.shards);
        region.set_past_shards(plan.stream, past(now, plan.stream));
        region.put_pair(plan.pair, plan.stream, plan.recorded);
        let traffic = traffic(now, plan.used).noise(NOISE, seed);
        region.set_traffic(plan.stream, traffic.skew(plan.skew));
    }
    // One stream whose uneven use `shards` shows; the others show what it says without metrics.
    region.enable_shard_metrics("sensors");
    for (stream, hours, from, to) in WEEK {
        // Cannot fail: the table was just created, and an item has both keys.
        let _ = region.put_item(TABLE, row(now, stream, hours, from, to));
    }
    region.edit_alarm("audit-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".into(), json!(false));
    });
    // With the usual threshold of 0.25 at most 2.5 of 10 shards could be in use.
    region.edit_alarm("clicks-scale-down-alarm", |alarm| {
        alarm.insert("Threshold".into(), json!(0.3));
    });
    // The alarms were written a while ago, so that their states apply to their current definition.
    advance(AGE_OF_ALARMS);
    evaluate(&region);
}

/// The counts that a stream has had by its scaling log.
fn past(now: Timestamp, stream: &str) -> Vec<(Timestamp, u32)> {
    let scalings = WEEK.iter().filter(|(name, ..)| *name == stream);
    let mut counts: Vec<(Timestamp, u32)> = scalings
        .clone()
        .map(|(_, hours, _, to)| (now - SignedDuration::from_hours(*hours), *to))
        .collect();
    if let Some((_, _, from, _)) = scalings.clone().next() {
        counts.insert(0, (Timestamp::UNIX_EPOCH, *from));
    }
    counts
}

/// A row of the scaling log, too old to count toward the daily limit.
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

/// Evaluates every alarm from its metrics.
fn evaluate(region: &RegionHandle) {
    for name in region.alarm_names() {
        region.evaluate_alarm(&name);
    }
}

/// The traffic of a plan, with a point every 5 minutes.
fn traffic(now: Timestamp, used: &[(f64, f64)]) -> Traffic {
    let past = SignedDuration::from_hours(i64::from(PAST_HOURS));
    let start = now.saturating_sub(past).unwrap_or(now);
    let points =
        (0..ALL_HOURS * 12).map(|point| Load::of_shards(between(used, f64::from(point) / 12.0)));
    Traffic::table(start, 300, points.collect())
}

/// Interpolates linearly between the points on either side of `hour`.
fn between(points: &[(f64, f64)], hour: f64) -> f64 {
    let pair = points.windows(2).find(|pair| hour < pair[1].0);
    pair.map_or(0.0, |pair| {
        let [(from, a), (to, b)] = [pair[0], pair[1]];
        a + (b - a) * (hour - from) / (to - from)
    })
}
