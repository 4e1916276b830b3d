//! What goes wrong, and what people do meanwhile.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use autoscaler_core::alarm::Direction;
use autoscaler_sandbox::{Call, Fault, Load, RegionHandle, Traffic};
use fastrand::Rng;
use serde_json::json;

use super::{Simulation, promises::open_rows};

/// Faults by kind, counted where they happen.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

thread_local! {
    /// The counters of all fault plans of the run under way.
    static FAULTS: RefCell<Vec<Counts>> = const { RefCell::new(Vec::new()) };
}

impl Simulation {
    /// Sets how the next minute's calls go wrong: mostly not at all, sometimes a few, sometimes
    /// most of one service.
    pub fn faults(&mut self) {
        // Metrics that are late, or so late that they are stale.
        let late = if self.rng.f64() < 0.1 {
            self.rng.u64(2..40)
        } else {
            1
        };
        self.world
            .place
            .set_metric_delay(Duration::from_secs(60 * late));
        let mut rng = self.rng.fork();
        let (rate, only) = match rng.u32(0..10) {
            0..=4 => (0.0, None),
            5..=7 => (0.1, None),
            8 => (0.5, None),
            _ => (
                0.9,
                Some(["dynamodb", "cloudwatch", "kinesis"][rng.usize(0..3)]),
            ),
        };
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let (violations, place) = (self.violations.clone(), self.world.place.clone());
        let touched: BTreeSet<String> = self
            .models
            .iter()
            .filter(|model| model.touched.is_some())
            .map(|model| model.name.clone())
            .collect();
        let seen = counts.clone();
        self.world.sandbox.set_faults(move |call| {
            if call.operation == "UpdateShardCount" {
                in_sync(&place, call, &touched, &violations);
            }
            if rng.f64() >= rate || only.is_some_and(|only| only != call.service) {
                return Fault::None;
            }
            let fault = random_fault(&mut rng);
            let kind = format!("{fault:?}")
                .split([' ', '('])
                .next()
                .unwrap_or_default()
                .to_owned();
            *seen
                .lock()
                .expect("no panic holds it")
                .entry(kind)
                .or_insert(0) += 1;
            fault
        });
        FAULTS.with_borrow_mut(|all| all.push(counts));
    }

    /// A person reshards, edits, disables, deletes, and puts back.
    pub fn operator(&mut self, minute: u32) {
        for model in &mut self.models {
            if model.touched.is_some_and(|at| minute > at + 5) {
                model.touched = None;
            }
            if self.rng.f64() > 0.03 {
                continue;
            }
            let (up, down) = (
                format!("{}-scale-up-alarm", model.name),
                format!("{}-scale-down-alarm", model.name),
            );
            match self.rng.u32(0..8) {
                0 => {
                    let n = self.world.place.stream(&model.name).expect("there").target;
                    let to = self.rng.u32(n.div_ceil(2)..=2 * n);
                    if to != n && self.world.place.reshard_externally(&model.name, to).is_ok() {
                        model.operator_calls += 1;
                        // A scaling that a person undoes before anyone has looked cannot be told
                        // from one that never took effect.
                        let open = open_rows(&self.world, self.hosts.len(), &model.name);
                        model.operator_calls += open.iter().filter(|from| **from == to).count();
                        model.counts.insert(to);
                        model.touched = Some(minute);
                        self.tally.operator_calls += 1;
                    }
                }
                1 => self.world.place.edit_alarm(&up, |alarm| {
                    alarm.insert(
                        "AlarmDescription".to_owned(),
                        json!(format!("edited in minute {minute}")),
                    );
                }),
                2 => self.world.place.edit_alarm(&up, |alarm| {
                    let on = alarm["ActionsEnabled"] == json!(true);
                    alarm.insert("ActionsEnabled".to_owned(), json!(!on));
                }),
                3 => {
                    // A state that flaps.
                    let state = ["OK", "ALARM", "INSUFFICIENT_DATA"][self.rng.usize(0..3)];
                    self.world.place.set_alarm_state(&up, state, "flapping");
                }
                4 => {
                    let behind = !model.consumers_are_behind;
                    model.let_consumers_fall_behind(&self.world, behind);
                }
                5 => model.mute(&self.world, Some(Direction::Up)),
                6 => model.mute(&self.world, Some(Direction::Down)),
                _ => self.world.place.delete_alarm(&down),
            }
            self.tally.edits += 1;
            model.read_definitions(&self.world);
        }
    }

    /// Puts back what the operator took away. Some alarms are muted until the end, and some
    /// consumers stay behind. Muted streams get the load that sets the muted alarm to ALARM; some
    /// others get more load, which has to be followed, or less.
    pub fn operator_mends(&mut self) {
        for model in &mut self.models {
            let (up, down) = (
                format!("{}-scale-up-alarm", model.name),
                format!("{}-scale-down-alarm", model.name),
            );
            if self.world.place.alarm(&down).is_none() {
                let before = self.world.place.alarm(&up).expect("never deleted");
                let count = *model.counts.first().expect("at least one");
                self.world.place.put_pair(model.pair, &model.name, count);
                self.world.place.put_alarm(before);
                self.world.place.edit_alarm(&down, |alarm| {
                    alarm.insert("ActionsEnabled".to_owned(), json!(count > 1));
                });
            }
            self.world.place.edit_alarm(&up, |alarm| {
                alarm.insert("ActionsEnabled".to_owned(), json!(true));
            });
            model.read_definitions(&self.world);
            let muted = [None, None, Some(Direction::Up), Some(Direction::Down)];
            model.mute(&self.world, muted[self.rng.usize(0..4)]);
            let usage = match (model.muted, self.rng.u32(0..3)) {
                (Some(Direction::Up), _) | (None, 0) => Some(1.5),
                (Some(Direction::Down), _) | (None, 1) => Some(0.1),
                _ => None,
            };
            if let Some(usage) = usage {
                let load = Load::of_shards(usage * f64::from(self.world.shards(&model.name)));
                let traffic = Traffic::constant(load);
                self.world.place.set_traffic(&model.name, traffic);
            }
        }
    }
}

/// No stream is scaled twice for one alarm: when UpdateShardCount goes out, both alarms speak of
/// the count that the stream has.
fn in_sync(
    place: &RegionHandle,
    call: &Call,
    touched: &BTreeSet<String>,
    violations: &Mutex<Vec<String>>,
) {
    let name = call
        .resource
        .as_deref()
        .unwrap_or_default()
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let Some(stream) = place.stream(name) else {
        return;
    };
    if stream.status != "ACTIVE" || touched.contains(name) {
        return;
    }
    for direction in ["scale-up", "scale-down"] {
        let Some(alarm) = place.alarm(&format!("{name}-{direction}-alarm")) else {
            continue;
        };
        let queries = alarm["Metrics"].as_array().cloned().unwrap_or_default();
        let recorded = queries
            .iter()
            .find(|query| query["Id"] == "shardCount")
            .map(|query| query["Expression"].clone());
        if recorded != Some(json!(stream.open_shards.to_string())) {
            let text = format!(
                "{name} is scaled although its {direction} alarm records {recorded:?} and it has {}",
                stream.open_shards
            );
            violations.lock().expect("no panic holds it").push(text);
        }
    }
}

fn random_fault(rng: &mut Rng) -> Fault {
    let refuse = |status, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "by the simulation".to_owned(),
    };
    match rng.u32(0..11) {
        0 => Fault::HangBefore,
        1 => Fault::HangAfter,
        2 => Fault::ResetBefore,
        3 => Fault::ResetAfter,
        4 => Fault::Throttle,
        5 => Fault::Twice,
        6 => Fault::PartialPage,
        7 => Fault::Slow(Duration::from_millis(rng.u64(100..20_000))),
        8 => refuse(500, "InternalFailure"),
        9 => refuse(400, "TransactionConflictException"),
        _ => refuse(400, "ValidationException"),
    }
}

/// The faults of the run that ends, by kind.
pub fn counted() -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for all in FAULTS.take() {
        for (kind, n) in all.lock().expect("no panic holds it").iter() {
            *total.entry(kind.clone()).or_default() += n;
        }
    }
    total
}
