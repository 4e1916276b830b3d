//! Streams whose alarms keep going off, as CloudWatch's do under load, and what must be true of all
//! that daemons did about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::harness::{Emulator, TABLE, World};

/// How often a stream is scaled at most: AWS's limit is 10 a day.
const SCALINGS: usize = 9;
/// Counts stay small.
const MOST_SHARDS: u32 = 12;
const FIRST_SHARDS: u32 = 2;
/// The key id of the test's own calls.
const TEST: &str = "test";
const BETWEEN_STEPS: Duration = Duration::from_millis(300);

/// One call, as the recorder noted it; its effects are set only if it was carried out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Call {
    pub operation: String,
    pub key: String,
    pub status: u16,
    pub received: f64,
    pub carried_out: f64,
    pub stream: Option<String>,
    pub from: u32,
    pub to: u32,
    pub alarm: Option<String>,
    pub shards: Option<String>,
    pub state: Option<String>,
    pub lease: Option<String>,
    pub rows: Vec<Row>,
}

/// A row of the log that a transaction put.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub outcome: String,
    pub intent: String,
}

impl Call {
    /// The stream whose count or alarm was written by a daemon.
    pub fn acts_on(&self) -> Option<&str> {
        let writes = ["UpdateShardCount", "PutMetricAlarm", "SetAlarmState"];
        if self.key == TEST || self.status != 200 || !writes.contains(&self.operation.as_str()) {
            return None;
        }
        self.stream
            .as_deref()
            .or_else(|| self.alarm.as_deref().map(stream_of))
    }
}

/// Seconds since 1970, as the recorder's.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs_f64()
}

fn stream_of(alarm: &str) -> &str {
    alarm.split("-scale-").next().unwrap_or(alarm)
}

fn alarms_of(stream: &str) -> [String; 2] {
    ["up", "down"].map(|direction| format!("{stream}-scale-{direction}-alarm"))
}

/// When a scaling was begun, and its counts before and after.
type LoggedScaling = (String, (u32, u32));

/// The state of a stream after all calls so far.
#[derive(Clone, Debug)]
struct Stream {
    shards: u32,
    scalings: Vec<(u32, u32)>,
    in_alarm: BTreeSet<String>,
    /// An alarm was set since the last scaling.
    asked: bool,
}

pub struct Play {
    world: World,
    pub calls: Vec<Call>,
    streams: BTreeMap<String, Stream>,
    /// Intents whose end is not logged.
    open: BTreeSet<String>,
    rng: Rng,
    pub problems: Vec<String>,
}

impl Play {
    /// Creates the log table and `streams` streams, whose traffic is low enough to scale down at
    /// any time.
    pub fn begin(emulator: &Emulator, streams: usize, rng: Rng) -> Self {
        let names: Vec<String> = (1..=streams).map(|n| format!("s{n}")).collect();
        let traffic = [[30_000_000, 10]; 20];
        let seed = |name: &String| json!({ "name": name, "shards": FIRST_SHARDS, "up": {}, "down": {}, "traffic": traffic, "periods_ahead": 10 });
        emulator.seed_table(vec![]);
        emulator.seed_streams(names.iter().map(seed).collect());
        let fresh = Stream {
            shards: FIRST_SHARDS,
            scalings: vec![],
            in_alarm: BTreeSet::new(),
            asked: false,
        };
        Self {
            world: emulator.serve(),
            calls: vec![],
            streams: names
                .into_iter()
                .map(|name| (name, fresh.clone()))
                .collect(),
            open: BTreeSet::new(),
            rng,
            problems: vec![],
        }
    }

    /// The streams' part of a configuration.
    pub fn config(&self) -> String {
        let entry = |name: &String| format!("[[streams]]\nname = \"{name}\"\n");
        self.streams.keys().map(entry).collect()
    }

    /// How many scalings have taken effect.
    pub fn scalings(&self) -> usize {
        self.streams
            .values()
            .map(|stream| stream.scalings.len())
            .sum()
    }

    /// How many intents have no end yet.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Reads what was called since, and checks it.
    pub fn look(&mut self) {
        let new = self.world.ask("calls", json!({ "from": self.calls.len() }));
        let new: Vec<Call> = serde_json::from_value(new).expect("the recorder's notes");
        for call in new {
            if call.status == 200 {
                self.take(&call);
            }
            self.calls.push(call);
        }
    }

    fn take(&mut self, call: &Call) {
        for row in &call.rows {
            match row.outcome.as_str() {
                "open" => self.open.insert(row.intent.clone()),
                _ => self.open.remove(&row.intent),
            };
        }
        let named = call
            .stream
            .as_deref()
            .or_else(|| call.alarm.as_deref().map(stream_of));
        let Some((name, stream)) = named.and_then(|name| Some((name, self.streams.get_mut(name)?)))
        else {
            return;
        };
        match (call.operation.as_str(), &call.alarm, &call.state) {
            ("UpdateShardCount", ..) if call.from != call.to => {
                if !stream.asked {
                    self.problems
                        .push(format!("{name} was scaled twice for one alarm: {call:?}"));
                }
                stream.asked = false;
                stream.scalings.push((call.from, call.to));
                stream.shards = call.to;
            }
            ("PutMetricAlarm", ..)
                if call.key != TEST && call.shards != Some(stream.shards.to_string()) =>
            {
                self.problems.push(format!(
                    "{name} has {} shards, but its alarm was set to another count: {call:?}",
                    stream.shards
                ));
            }
            ("SetAlarmState", Some(alarm), Some(state)) if state == "ALARM" => {
                stream.asked = true;
                stream.in_alarm.insert(alarm.clone());
            }
            ("SetAlarmState", Some(alarm), _) => {
                stream.in_alarm.remove(alarm);
            }
            _ => {}
        }
    }

    /// Sets an alarm of a stream that is at rest.
    pub fn step(&mut self) {
        self.look();
        let ready =
            |stream: &Stream| stream.in_alarm.is_empty() && stream.scalings.len() < SCALINGS;
        let names: Vec<&String> = self
            .streams
            .iter()
            .filter(|(_, stream)| ready(stream))
            .map(|(name, _)| name)
            .collect();
        let Some(name) = self.rng.choice(names) else {
            return;
        };
        let shards = self.streams[name].shards;
        let up = shards == 1 || (shards < MOST_SHARDS && self.rng.bool());
        let [up_alarm, down_alarm] = alarms_of(name);
        let alarm = if up { up_alarm } else { down_alarm };
        self.world
            .ask("state", json!({ "alarms": { alarm: "ALARM" } }));
    }

    /// Goes on with the play until something has happened; how many seconds that took since
    /// `since`, or `None` after `limit`.
    pub fn until(
        &mut self,
        since: f64,
        limit: Duration,
        happened: impl Fn(&Self) -> Option<f64>,
    ) -> Option<f64> {
        let end = Instant::now() + limit;
        loop {
            self.step();
            if let Some(at) = happened(self) {
                return Some(at - since);
            }
            if Instant::now() > end {
                return None;
            }
            thread::sleep(BETWEEN_STEPS);
        }
    }

    /// Goes on with the play until a daemon has begun a scaling after now.
    pub fn until_begins(&mut self, name: &str, limit: Duration) -> Option<f64> {
        let at = now();
        self.until(at, limit, |play| {
            let intent = |call: &&Call| {
                call.key == name
                    && call.received > at
                    && call.rows.iter().any(|row| row.outcome == "open")
            };
            play.calls.iter().find(intent).map(|call| call.received)
        })
    }

    /// Sets no more alarms, and waits until all that were set are answered and nothing is open.
    pub fn until_quiet(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            self.look();
            let waiting: Vec<&String> = self
                .streams
                .iter()
                .filter(|(_, stream)| !stream.in_alarm.is_empty())
                .map(|(name, _)| name)
                .collect();
            if waiting.is_empty() && self.open.is_empty() {
                return;
            }
            if Instant::now() > end {
                let problem = format!(
                    "not quiet after {limit:?}: in ALARM {waiting:?}, open {:?}",
                    self.open
                );
                self.problems.push(problem);
                return;
            }
            thread::sleep(BETWEEN_STEPS);
        }
    }

    /// What must be true at the end; returns how many rows there are of each outcome.
    pub fn check(&mut self) -> BTreeMap<String, usize> {
        self.look();
        let dump = self
            .world
            .ask("dump", json!({ "table": { "name": TABLE } }));
        let items = dump["items"].as_array().cloned().unwrap_or_default();
        let mut outcomes = BTreeMap::new();
        let mut logged: BTreeMap<&str, BTreeSet<LoggedScaling>> = BTreeMap::new();
        for item in &items {
            let name = item["stream_name"]["S"].as_str().unwrap_or_default();
            let outcome = item["outcome"]["S"].as_str().unwrap_or_default();
            if name == "#open" {
                self.problems.push(format!("a marker is left: {item}"));
            } else if !name.starts_with('#') {
                *outcomes.entry(outcome.to_owned()).or_default() += 1;
            }
            if outcome == "done" {
                logged.entry(name).or_default().insert(row_of(item));
            }
            if outcome == "open" {
                self.problems.push(format!("a row is open: {item}"));
            }
        }
        for (name, stream) in &self.streams {
            let rows = logged.remove(name.as_str()).unwrap_or_default();
            let rows: Vec<(u32, u32)> = rows.into_iter().map(|(_, counts)| counts).collect();
            if rows != stream.scalings {
                self.problems.push(format!(
                    "{name}: scaled {:?}, logged {rows:?}",
                    stream.scalings
                ));
            }
            check_counts(name, stream, &dump, &mut self.problems);
        }
        outcomes
    }
}

fn row_of(item: &Value) -> LoggedScaling {
    let number = |name: &str| {
        let digits = item[name]["N"].as_str().unwrap_or_default();
        digits.parse().unwrap_or(0)
    };
    let at = item["scaling_datetime"]["S"].as_str().unwrap_or_default();
    (
        at.to_owned(),
        (number("shard_count"), number("target_shard_count")),
    )
}

/// The stream and both of its alarms have the count that the last scaling led to.
fn check_counts(name: &str, stream: &Stream, dump: &Value, problems: &mut Vec<String>) {
    let open = &dump["streams"][name]["OpenShardCount"];
    if *open != stream.shards {
        problems.push(format!("{name} has {open} shards, not {}", stream.shards));
    }
    for alarm in alarms_of(name) {
        let queries = dump["alarms"][&alarm]["Metrics"].as_array();
        let count = queries
            .into_iter()
            .flatten()
            .find(|query| query["Id"] == "shardCount")
            .map(|query| query["Expression"].clone());
        if count != Some(stream.shards.to_string().into()) {
            problems.push(format!(
                "{alarm} records {count:?}, but {name} has {} shards",
                stream.shards
            ));
        }
    }
}
