//! What the simulation knows about a stream, and what holds for it at all times.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use autoscaler_core::alarm::Direction;
use autoscaler_sandbox::Pair;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{BEHIND, MINUTES_TO_FOLLOW};
use crate::world::World;

/// What the simulation knows about one stream in addition to AWS.
pub struct Model {
    pub name: String,
    /// Counts that the stream had, or was being resharded to: only these may be in an alarm.
    pub counts: BTreeSet<u32>,
    pub operator_calls: usize,
    /// The alarms as the operator wrote them, without what a scaling changes.
    pub definitions: BTreeMap<String, Value>,
    /// Minute of the operator's last resharding.
    pub touched: Option<u32>,
    pub pair: Pair,
    /// The direction whose alarm is muted.
    pub muted: Option<Direction>,
    pub consumers_are_behind: bool,
}

impl Model {
    pub fn new(world: &World, name: &str, shards: u32, pair: Pair) -> Self {
        let mut model = Self {
            name: name.to_owned(),
            counts: BTreeSet::from([shards]),
            operator_calls: 0,
            definitions: BTreeMap::new(),
            touched: None,
            pair,
            muted: None,
            consumers_are_behind: false,
        };
        model.let_consumers_fall_behind(world, false);
        model.read_definitions(world);
        model
    }

    /// The entry of the configuration. Alarms and policy mostly go together, but need not.
    pub fn config(&self, rng: &mut Rng) -> String {
        let adaptive = (self.pair == Pair::Adaptive) != (rng.u32(0..10) == 0);
        let policy = if adaptive { "adaptive" } else { "original" };
        let name = &self.name;
        let subscribes = if rng.u32(0..3) == 0 { "match" } else { "name" };
        format!(
            "[[streams]]\n{subscribes} = \"{name}\"\npolicy = \"{policy}\"\nmax_iterator_age = \"10m\"\n"
        )
    }

    pub fn let_consumers_fall_behind(&mut self, world: &World, behind: bool) {
        let age = if behind { BEHIND } else { Duration::ZERO };
        world
            .place
            .set_iterator_age(&self.name, [(world.clock.now(), age)]);
        self.consumers_are_behind = behind;
    }

    /// Mutes the alarm of this direction alone, or none.
    pub fn mute(&mut self, world: &World, direction: Option<Direction>) {
        world.place.unmute(&self.name);
        let word = match direction {
            None => None,
            Some(Direction::Up) => Some("scale-up"),
            Some(Direction::Down) => Some("scale-down"),
        };
        if let Some(word) = word {
            let alarm = format!("{}-{word}-alarm", self.name);
            let day = Duration::from_secs(86_400);
            let now = world.clock.now();
            world.place.mute(&self.name, &[&alarm], now, day);
        }
        self.muted = direction;
    }

    /// A scale-up alarm is followed, unless it is muted, the day's calls are used, or the account has
    /// no room.
    pub fn is_not_stuck(
        &self,
        world: &World,
        scalings: usize,
        has_room: bool,
    ) -> Result<(), String> {
        let name = &self.name;
        let alarm = format!("{name}-scale-up-alarm");
        let wire = world.place.alarm(&alarm).expect("never deleted");
        let since = wire["StateUpdatedTimestamp"].as_f64().expect("a time");
        let minutes = (world.clock.now().as_second() - since as i64) / 60;
        let calls = world.place.stream(name).expect("never deleted");
        let limited = scalings.max(calls.update_calls_24h) >= 10;
        let follows = !limited && self.muted != Some(Direction::Up) && has_room;
        if follows && wire["StateValue"] == "ALARM" && minutes >= MINUTES_TO_FOLLOW {
            return Err(format!(
                "{alarm} has been in ALARM for {minutes} minutes, and nothing scales"
            ));
        }
        Ok(())
    }

    pub fn read_definitions(&mut self, world: &World) {
        let names =
            ["scale-up", "scale-down"].map(|direction| format!("{}-{direction}-alarm", self.name));
        self.definitions = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), lasting(&name, world.place.alarm(&name)?))))
            .collect();
    }

    /// No alarm ever records a transient count, and nothing else in it changes.
    pub fn alarms_are_sound(&self, world: &World, minute: u32) -> Result<(), String> {
        for (name, definition) in &self.definitions {
            let recorded = world.recorded(name);
            if !recorded
                .parse()
                .is_ok_and(|count| self.counts.contains(&count))
            {
                return Err(format!(
                    "minute {minute}: {name} records {recorded}, which {} never had: {:?}",
                    self.name, self.counts
                ));
            }
            let now = lasting(
                name,
                world
                    .place
                    .alarm(name)
                    .ok_or_else(|| format!("minute {minute}: {name} is gone"))?,
            );
            let enabled = &world.place.alarm(name).expect("it is there")["ActionsEnabled"];
            if name.contains("scale-down") && *enabled != json!(recorded != "1") {
                return Err(format!(
                    "minute {minute}: {name} records {recorded}, and its ActionsEnabled is {enabled}"
                ));
            }
            if &now != definition {
                return Err(format!(
                    "minute {minute}: {name} was changed from {definition:#} to {now:#}"
                ));
            }
        }
        Ok(())
    }
}

/// An alarm without its state, its times, its `shardCount`, and the scale-down alarm's
/// ActionsEnabled, which is ours and checked separately.
fn lasting(name: &str, alarm: Value) -> Value {
    let mut alarm = crate::tick::unchanging(alarm);
    if name.contains("scale-down") {
        alarm
            .as_object_mut()
            .expect("an alarm")
            .remove("ActionsEnabled");
    }
    alarm
}
