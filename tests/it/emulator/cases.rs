//! The streams of the emulated world, and the result that each must have.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use Expected::{Failed, Held, Scaled, Synced};

/// The codes of the report.
pub mod reason {
    pub const ALARM: &str = "alarm";
    pub const OUT_OF_SYNC: &str = "out_of_sync";
    pub const NO_ALARM: &str = "no_alarm";
    pub const CONTRACT: &str = "contract";
    pub const PAUSED: &str = "paused";
    pub const STREAM_MISSING: &str = "stream_missing";
    pub const ON_DEMAND: &str = "on_demand";
    pub const UPDATING: &str = "updating";
    pub const AT_MIN_SHARDS: &str = "at_min_shards";
    pub const AT_MAX_SHARDS: &str = "at_max_shards";
    pub const COOLDOWN: &str = "cooldown";
    pub const DAILY_LIMIT: &str = "daily_limit";
    pub const AT_TARGET: &str = "at_target";
    pub const LOG_UNAVAILABLE: &str = "log_unavailable";
}

/// The result that a stream must have after one tick.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// This action, to this many shards.
    Scaled(&'static str, u32),
    /// The alarms are rewritten to the stream's own count.
    Synced,
    /// Nothing is done, for this reason.
    Held(&'static str),
    /// Nothing is done, for this reason, and a person has to fix something.
    Failed(&'static str),
}

/// One stream: how it is seeded and subscribed, and its expected result.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    /// `None` if the stream does not exist.
    pub shards: Option<u32>,
    /// What `world.py` gets in addition to the name and the shards.
    seed: Value,
    /// Further lines of the stream's configuration.
    settings: &'static str,
    alarm_name: &'static str,
    /// How many minutes ago each scaling was that the log has already.
    scaled_minutes_ago: &'static [i64],
    pub expected: Expected,
}

const UP: &str = "scale_up";
const DOWN: &str = "scale_down";
/// One each 10 min, which spends the day's calls.
const TEN_TIMES: &[i64] = &[10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// The 5 min periods of a day.
const PERIODS: usize = 288;
/// As many as scale-downs may use.
const SEVEN_TIMES: &[i64] = &[10, 20, 30, 40, 50, 60, 70];

/// The whole world. Every stream has two sound alarms in OK unless its line says otherwise.
pub fn all() -> Vec<Case> {
    let quiet = || json!({ "up": {}, "down": {} });
    let mut cases = vec![
        // Up by the original's steps.
        case(
            "up-1",
            1,
            json!({ "up": alarm(), "down": { "actions_enabled": false } }),
            Scaled(UP, 2),
        ),
        case("up-2", 2, up(), Scaled(UP, 4)),
        case("up-3", 3, up(), Scaled(UP, 6)),
        case("up-4", 4, up(), Scaled(UP, 6)),
        case("up-7", 7, up(), Scaled(UP, 11)),
        case("up-50", 50, up(), Scaled(UP, 75)),
        case("up-51", 51, up(), Scaled(UP, 64)),
        case("up-100", 100, up(), Scaled(UP, 125)),
        // Down by the busiest 5 min of the last day, in tenths of a shard.
        case("down-to-8", 10, down(40), Scaled(DOWN, 8)),
        case("down-to-6", 10, down(26), Scaled(DOWN, 6)),
        case("down-to-half", 10, down(1), Scaled(DOWN, 5)),
        case("down-whole-day", 10, whole_day(), Scaled(DOWN, 6)),
        case("down-by-records", 10, down_by_records(26), Scaled(DOWN, 6)),
        case("down-not", 10, down(50), Held(reason::AT_TARGET)),
        case("down-never-up", 10, down(70), Held(reason::AT_TARGET)),
        case("down-3", 3, down(0), Scaled(DOWN, 2)),
        case("down-2", 2, down(0), Scaled(DOWN, 1)),
        case("down-1", 1, down(0), Held(reason::AT_MIN_SHARDS)),
        case(
            "down-1-switched-off",
            1,
            json!({ "up": {}, "down": off() }),
            Held(reason::AT_MIN_SHARDS),
        ),
        case(
            "both",
            4,
            json!({ "up": alarm(), "down": alarm() }),
            Scaled(UP, 6),
        ),
        case(
            "both-at-1",
            1,
            json!({ "up": alarm(), "down": off() }),
            Scaled(UP, 2),
        ),
        case("at-rest", 4, quiet(), Held(reason::NO_ALARM)),
        case(
            "insufficient",
            4,
            json!({ "up": state("INSUFFICIENT_DATA"), "down": state("INSUFFICIENT_DATA") }),
            Held(reason::NO_ALARM),
        ),
        // The alarms fill gaps with zero, so a stream without data is idle.
        case(
            "no-data",
            10,
            json!({ "up": {}, "down": alarm() }),
            Scaled(DOWN, 5),
        ),
        case("stale-data", 10, stale(), Scaled(DOWN, 6)),
        // The operator's off switch, and what must stay unchanged.
        case(
            "paused-up",
            4,
            json!({ "up": off(), "down": {} }),
            Held(reason::PAUSED),
        ),
        case(
            "paused-down",
            10,
            merged(down(1), json!({ "down": off() })),
            Held(reason::PAUSED),
        ),
        case(
            "up-stays-paused-down",
            4,
            json!({ "up": alarm(), "down": { "actions_enabled": false } }),
            Scaled(UP, 6),
        ),
        case(
            "down-stays-paused-up",
            10,
            merged(down(26), json!({ "up": { "actions_enabled": false } })),
            Scaled(DOWN, 6),
        ),
        case(
            "on-demand",
            4,
            json!({ "mode": "ON_DEMAND", "up": alarm(), "down": {} }),
            Held(reason::ON_DEMAND),
        ),
        // Alarms that record another count.
        case(
            "sync-both",
            3,
            json!({ "up": counted("ALARM", "2"), "down": counted("OK", "2") }),
            Synced,
        ),
        case(
            "sync-one",
            3,
            json!({ "up": counted("OK", "3"), "down": counted("ALARM", "4") }),
            Synced,
        ),
        case(
            "sync-to-1",
            1,
            json!({ "up": counted("ALARM", "2"), "down": counted("OK", "2") }),
            Synced,
        ),
        case(
            "sync-from-1",
            2,
            json!({ "up": counted("ALARM", "1"), "down": merged(counted("OK", "1"), off()) }),
            Synced,
        ),
        // Every other setting of an alarm outlives its rewriting.
        case(
            "kept",
            4,
            json!({ "up": merged(alarm(), unusual()), "down": unusual() }),
            Scaled(UP, 6),
        ),
        case(
            "kept-bare",
            4,
            json!({ "up": merged(alarm(), bare()), "down": bare() }),
            Scaled(UP, 6),
        ),
        case("clicks", 2, up(), Scaled(UP, 4))
            .named("clicks-{direction}-prod")
            .settings("alarm = \"clicks-scale-down-prod\""),
        // Bounds, the log's past, and the account's limits.
        case("max-clamps", 10, up(), Scaled(UP, 12)).settings("max_shards = 12"),
        case("max-holds", 4, up(), Held(reason::AT_MAX_SHARDS)).settings("max_shards = 4"),
        case("min-clamps", 10, down(1), Scaled(DOWN, 7)).settings("min_shards = 7"),
        case("min-holds", 5, down(1), Held(reason::AT_MIN_SHARDS)).settings("min_shards = 5"),
        case("cooling-up", 4, up(), Held(reason::COOLDOWN))
            .settings("cooldown_up = \"1h\"")
            .after(&[30]),
        case("cooled-down", 10, down(26), Scaled(DOWN, 6))
            .settings("cooldown_down = \"1h\"")
            .after(&[90]),
        case("spent-up", 4, up(), Held(reason::DAILY_LIMIT)).after(TEN_TIMES),
        case("spent-down", 10, down(26), Held(reason::DAILY_LIMIT)).after(SEVEN_TIMES),
        case("reserved-up", 4, up(), Scaled(UP, 6)).after(SEVEN_TIMES),
        Case {
            shards: None,
            ..case("gone", 1, up(), Failed(reason::STREAM_MISSING))
        },
    ];
    cases.extend(broken_contracts());
    cases
}

/// Streams without an alarm in ALARM, which only the audit finds.
pub fn audited() -> Vec<Case> {
    let unsynced = json!({ "up": counted("OK", "2"), "down": counted("OK", "2") });
    let missing = json!({ "up": null, "down": null });
    let broken = json!({ "up": {}, "down": { "shard_count": "four" } });
    vec![
        case("unsynced", 3, unsynced, Synced),
        case("alarmless", 4, missing, Failed(reason::CONTRACT)),
        case("broken", 4, broken, Failed(reason::CONTRACT)),
        case(
            "sound",
            4,
            json!({ "up": {}, "down": {} }),
            Held(reason::NO_ALARM),
        ),
    ]
}

/// Each of these fails without affecting the streams above.
fn broken_contracts() -> impl Iterator<Item = Case> {
    let none = Value::Null;
    let with = |key: &str, value: Value| merged(alarm(), json!({ key: value }));
    [
        case(
            "no-down-alarm",
            4,
            json!({ "up": alarm(), "down": none }),
            Failed(reason::CONTRACT),
        ),
        case(
            "no-up-alarm",
            4,
            json!({ "up": none, "down": alarm() }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-missing",
            4,
            json!({ "up": with("shard_count", none.clone()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-word",
            4,
            json!({ "up": with("shard_count", "abc".into()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-zero",
            4,
            json!({ "up": with("shard_count", "0".into()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-negative",
            4,
            json!({ "up": with("shard_count", "-1".into()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-fraction",
            4,
            json!({ "up": with("shard_count", "4.5".into()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "count-broken-down",
            4,
            json!({ "up": alarm(), "down": { "shard_count": "four" } }),
            Failed(reason::CONTRACT),
        ),
        case(
            "other-stream",
            4,
            json!({ "up": with("stream", "at-rest".into()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
        case(
            "other-stream-down",
            4,
            json!({ "up": alarm(), "down": { "stream": "at-rest" } }),
            Failed(reason::CONTRACT),
        ),
        case(
            "unmeasured",
            4,
            json!({ "up": with("stream", none.clone()), "down": {} }),
            Failed(reason::CONTRACT),
        ),
    ]
    .into_iter()
}

/// One stream with alarms of the usual names.
pub fn case(name: &'static str, shards: u32, seed: Value, expected: Expected) -> Case {
    Case {
        name,
        shards: Some(shards),
        seed,
        settings: "",
        alarm_name: "{stream}-{direction}-alarm",
        scaled_minutes_ago: &[],
        expected,
    }
}

impl Case {
    fn settings(mut self, toml: &'static str) -> Self {
        self.settings = toml;
        self
    }

    fn named(mut self, alarm_name: &'static str) -> Self {
        self.alarm_name = alarm_name;
        self
    }

    fn after(mut self, scaled_minutes_ago: &'static [i64]) -> Self {
        self.scaled_minutes_ago = scaled_minutes_ago;
        self
    }

    /// The stream as `world.py` takes it.
    pub fn seed(&self) -> Value {
        merged(
            self.seed.clone(),
            json!({ "name": self.name, "shards": self.shards, "alarm_name": self.alarm_name }),
        )
    }

    /// The stream's entry in the configuration: by its name, unless the settings name an alarm.
    pub fn config(&self) -> String {
        let name = if self.settings.starts_with("alarm =") {
            String::new()
        } else {
            format!("name = \"{}\"\n", self.name)
        };
        format!("[[streams]]\n{name}{}\n\n", self.settings)
    }

    /// The alarms that there are, by direction.
    pub fn alarms(&self) -> impl Iterator<Item = (&'static str, String)> {
        [("scale-up", "up"), ("scale-down", "down")]
            .into_iter()
            .filter(|(_, key)| !self.seed[key].is_null())
            .map(|(direction, _)| {
                (
                    direction,
                    self.alarm_name
                        .replace("{stream}", self.name)
                        .replace("{direction}", direction),
                )
            })
    }

    /// The count that both alarms must record afterwards, if they are to be rewritten.
    pub fn rewritten_to(&self) -> Option<u32> {
        match self.expected {
            Scaled(_, to) => Some(to),
            Synced => self.shards,
            Held(_) | Failed(_) => None,
        }
    }

    /// The log's past, in rows as the original wrote them.
    pub fn past_rows(&self, now: Timestamp) -> Vec<Value> {
        let row = |minutes: &i64| {
            let at = now - SignedDuration::from_mins(*minutes);
            let expires = (at + SignedDuration::from_hours(14 * 24)).as_second();
            json!({
                "stream_name": { "S": self.name },
                "scaling_datetime": { "S": at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string() },
                "shard_count": { "N": "2" },
                "target_shard_count": { "N": "4" },
                "scaling_type": { "S": "SCALE_UP" },
                "expiration_datetime": { "N": expires.to_string() },
            })
        };
        self.scaled_minutes_ago.iter().map(row).collect()
    }
}

fn state(state: &str) -> Value {
    json!({ "state": state })
}

fn alarm() -> Value {
    state("ALARM")
}

/// In ALARM, but switched off.
fn off() -> Value {
    json!({ "state": "ALARM", "actions_enabled": false })
}

fn counted(state: &str, shard_count: &str) -> Value {
    json!({ "state": state, "shard_count": shard_count })
}

/// The scale-up alarm is in ALARM.
pub fn up() -> Value {
    json!({ "up": alarm(), "down": {} })
}

/// The scale-down alarm is in ALARM; the busiest 5 min used this many tenths of a shard in bytes.
pub fn down(tenths: u64) -> Value {
    json!({ "up": {}, "down": alarm(), "traffic": day(tenths, [1_048_576 * 300, 10]) })
}

fn down_by_records(tenths: u64) -> Value {
    json!({ "up": {}, "down": alarm(), "traffic": day(tenths, [10, 1_000 * 300]) })
}

/// The traffic ended 2 h ago.
fn stale() -> Value {
    let mut traffic = day(26, [1_048_576 * 300, 10]);
    traffic.extend([const { Value::Null }; 24]);
    json!({ "up": {}, "down": alarm(), "traffic": traffic })
}

/// A day of 5 min sums that ends now: one peak, and a tenth of it else. `one` is what one shard
/// takes, or is meant to.
///
/// There is a sum every hour and in the last period; moto takes seconds for each question about
/// more than that.
fn day(tenths: u64, one: [u64; 2]) -> Vec<Value> {
    const PEAK: usize = 96;
    let sums =
        |period: usize| json!(one.map(|one| one * tenths / if period == PEAK { 10 } else { 100 }));
    (0..PERIODS)
        .map(|period| {
            if period % 12 == 0 || period == PERIODS - 1 {
                sums(period)
            } else {
                Value::Null
            }
        })
        .collect()
}

/// A sum in every period of the day.
fn whole_day() -> Value {
    let mut down = down(26);
    let traffic = down["traffic"].as_array_mut().expect("traffic is a list");
    traffic
        .iter_mut()
        .filter(|sums| sums.is_null())
        .for_each(|sums| *sums = json!([1_048_576, 10]));
    down
}

/// Settings that few alarms have, each of which PutMetricAlarm would erase if it were left out.
fn unusual() -> Value {
    let topics = [1, 2, 3, 4, 5].map(|n| format!("arn:aws:sns:eu-west-1:123456789012:topic-{n}"));
    json!({ "fields": {
        "AlarmDescription": "Zeile 1\nrow 2 \u{2192} \u{1f30a} \"quoted\" \\ <&>",
        "Threshold": 0.1 + 0.2,
        "EvaluationPeriods": 12,
        "DatapointsToAlarm": 9,
        "TreatMissingData": "notBreaching",
        "EvaluateLowSampleCountPercentile": "ignore",
        "ThresholdMetricId": "usage",
        "EvaluationInterval": 60,
        "WarmUpConfiguration": { "WarmUpPeriodDurationInMinutes": 7 },
        "EvaluationWindow": { "WallClockWindow": { "Timezone": "Europe/Vienna" } },
        "ActionConfiguration": { "AlarmTagsPropagation": { "Enabled": true, "IncludedTagKeys": ["team"] } },
        "OKActions": [],
        "AlarmActions": topics,
    } })
}

/// No description, no actions, no rule for missing data.
fn bare() -> Value {
    json!({ "fields": {
        "AlarmDescription": "",
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "DatapointsToAlarm": null,
        "TreatMissingData": null,
    } })
}

/// `base` with the fields of `more` in it, at the first level and in objects below.
fn merged(mut base: Value, more: Value) -> Value {
    match (&mut base, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (key, value) in more {
                let field = fields.entry(key).or_insert(Value::Null);
                *field = merged(field.take(), value);
            }
            base
        }
        (_, more) => more,
    }
}
