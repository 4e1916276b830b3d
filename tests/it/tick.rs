//! Whole ticks through the real SDK clients against the sandbox.

mod calls;
mod failures;
mod runs;
mod scale;
mod sync;

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::World;

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// Traffic that used `shards` shards, in bytes, for the last day.
fn used(world: &World, stream: &str, shards: f64) {
    world
        .place
        .set_traffic(stream, Traffic::constant(Load::of_shards(shards)));
}

/// An alarm without what a scaling may change.
pub fn unchanging(mut alarm: Value) -> Value {
    for field in [
        "StateValue",
        "StateReason",
        "StateReasonData",
        "StateUpdatedTimestamp",
        "StateTransitionedTimestamp",
        "AlarmConfigurationUpdatedTimestamp",
    ] {
        alarm.as_object_mut().expect("an alarm").remove(field);
    }
    for query in alarm["Metrics"]
        .as_array_mut()
        .expect("a metric math alarm")
    {
        if query["Id"] == "shardCount" {
            query["Expression"] = json!("*");
        }
    }
    alarm
}
