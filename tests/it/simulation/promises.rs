//! What holds after each minute, and what has to hold in the end.

use std::collections::BTreeSet;

use autoscaler_core::alarm::Direction;
use serde_json::Value;

use super::{Simulation, disorder};
use crate::world::{TABLE, World};

impl Simulation {
    /// No stream is scaled in a direction that is muted, or down while its consumers are behind.
    pub fn switches_hold(&self, before: &[u32]) -> Result<(), String> {
        for ((model, before), after) in self.models.iter().zip(before).zip(self.targets()) {
            let (name, muted) = (&model.name, model.muted);
            let held_up = muted == Some(Direction::Up);
            let held_down = muted == Some(Direction::Down) || model.consumers_are_behind;
            if (after > *before && held_up) || (after < *before && held_down) {
                let behind = model.consumers_are_behind;
                return Err(format!(
                    "{name} was scaled from {before} to {after}; muted: {muted:?}, consumers behind: {behind}"
                ));
            }
        }
        Ok(())
    }

    pub fn safe(&mut self, minute: u32) -> Result<(), String> {
        if let Some(violation) = self.violations.lock().expect("no panic holds it").first() {
            return Err(format!("minute {minute}: {violation}"));
        }
        let holders = self
            .hosts
            .iter()
            .flatten()
            .filter(|host| host.holds_the_lease())
            .count();
        if holders > 1 {
            return Err(format!("minute {minute}: {holders} hosts hold the lease"));
        }
        let rows = self.world.rows();
        let spooled = spooled(&self.world, self.hosts.len());
        for model in &mut self.models {
            let stream = self.world.place.stream(&model.name).expect("never deleted");
            model.counts.insert(stream.target);
            let ours = stream.update_calls_24h.saturating_sub(model.operator_calls);
            let counted = |row: &&Value| {
                let outcome = row["outcome"]["S"].as_str().unwrap_or_default();
                row["stream_name"]["S"] == model.name.as_str()
                    && ["open", "done", "superseded"].contains(&outcome)
            };
            let logged = rows.iter().filter(counted).count();
            let waiting: BTreeSet<&str> = spooled
                .lines()
                .filter(|line| line.contains(&format!("\"{}\"", model.name)))
                .filter_map(|line| line.split("\"at\":").nth(1)?.split(',').next())
                .collect();
            if ours > logged + waiting.len() {
                return Err(format!(
                    "minute {minute}: {} was resharded {ours} times by us, but only {logged} are logged and {} wait",
                    model.name,
                    waiting.len()
                ));
            }
            model.alarms_are_sound(&self.world, minute)?;
        }
        Ok(())
    }

    pub fn converged(&mut self) -> Result<(), String> {
        self.tally.faults = disorder::counted();
        let rows = self.world.rows();
        let is_marker = |item: &Value| item["stream_name"]["S"] == "#open";
        if let Some(marker) = self
            .world
            .place
            .items(TABLE)
            .iter()
            .find(|item| is_marker(item))
        {
            return Err(format!("a scaling is still open: {marker:#}"));
        }
        let has_room = self.targets().iter().sum::<u32>() < self.quota;
        for model in &self.models {
            let stream = self.world.place.stream(&model.name).expect("never deleted");
            let ours = stream.update_calls_24h.saturating_sub(model.operator_calls);
            let of_stream = |row: &&Value| row["stream_name"]["S"] == model.name.as_str();
            let outcomes: Vec<&str> = rows
                .iter()
                .filter(of_stream)
                .filter_map(|row| row["outcome"]["S"].as_str())
                .collect();
            let took_effect = outcomes
                .iter()
                .filter(|outcome| ["done", "superseded"].contains(outcome))
                .count();
            self.tally.scalings += ours as u64;
            if took_effect < ours || outcomes.contains(&"open") {
                return Err(format!(
                    "{}: {ours} scalings of ours took effect, the log has {outcomes:?}",
                    model.name
                ));
            }
            if stream.status != "ACTIVE" {
                continue;
            }
            model.is_not_stuck(&self.world, took_effect, has_room)?;
            for alarm in model.definitions.keys() {
                if self.world.recorded(alarm) != stream.open_shards.to_string() {
                    return Err(format!(
                        "{alarm} records {}, the stream has {}",
                        self.world.recorded(alarm),
                        stream.open_shards
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The lines of all hosts' spools.
fn spooled(world: &World, hosts: usize) -> String {
    let spool = |number| {
        world
            .state
            .path()
            .join(format!("host-{number}/spool.jsonl"))
    };
    let text = |number| std::fs::read_to_string(spool(number)).unwrap_or_default();
    (0..hosts).map(text).collect()
}

/// The counts from which the stream's scalings began that are open, in the table or in a spool.
pub fn open_rows(world: &World, hosts: usize, stream: &str) -> Vec<u32> {
    let of_table = world.rows();
    let of_table = of_table
        .iter()
        .filter(|row| row["outcome"]["S"] == "open" && row["stream_name"]["S"] == stream)
        .filter_map(|row| row["shard_count"]["N"].as_str()?.parse().ok());
    let spooled = spooled(world, hosts);
    let of_spool = spooled
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.split_once(' ')?.1).ok())
        .filter(|row| row["outcome"] == "open" && row["stream_name"] == stream)
        .filter_map(|row| u32::try_from(row["from"].as_u64()?).ok());
    of_table.chain(of_spool).collect()
}
