//! What the adaptive policy has computed for a stream.

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;

use super::{Process, has, lacks};
use crate::world::World;

/// The value of the series that `line` begins.
#[track_caller]
fn value(text: &str, line: &str) -> f64 {
    let name = format!("kinesis_autoscaler_{line}");
    let value = text.lines().find_map(|it| it.strip_prefix(&name));
    value.and_then(|it| it.parse().ok()).expect("a number")
}

#[tokio::test(start_paused = true)]
async fn what_the_adaptive_policy_needs_is_told_while_an_alarm_asks() {
    let world = World::new();
    for name in ["orders", "clicks", "plain"] {
        world.stream(name, 8);
    }
    for (name, used) in [("orders", 3.0), ("clicks", 5.0), ("plain", 3.0)] {
        let traffic = Traffic::constant(Load::of_shards(used));
        world.place.set_traffic(name, traffic);
    }
    world.pass(SignedDuration::from_mins(20)).await;
    let adaptive = |name| format!("[[streams]]\nname = \"{name}\"\npolicy = \"adaptive\"\n");
    let config = adaptive("orders") + &adaptive("clicks") + "[[streams]]\nname = \"plain\"\n";
    let mut process = Process::new(&world, &config).await;
    let set = |name: &str, direction: &str, state: &str| {
        let alarm = format!("{name}-scale-{direction}-alarm");
        world
            .place
            .set_alarm_state(&alarm, state, "the test says so");
    };
    let all = [("orders", "down"), ("clicks", "up"), ("plain", "down")];
    for (name, direction) in all {
        set(name, direction, "OK");
    }
    process.tick().await;
    for metric in ["stream_peak_shards{", "stream_needed_shards{"] {
        lacks(&process.text(), metric);
    }
    for (name, direction) in all {
        set(name, direction, "ALARM");
    }
    process.tick().await;
    let clicks = "stream_needed_shards{stream=\"clicks\",region=\"eu-west-1\"} 10";
    has(&process.text(), &[clicks]);
    // 6 shards carry a peak of 3 at 55 %, and do not save enough: the hold stands.
    for _ in 0..2 {
        let text = process.text();
        let line = |name: &str, stream: &str, value: &str| {
            let labels = format!("stream=\"{stream}\",region=\"eu-west-1\"");
            format!("stream_{name}_shards{{{labels}}} {value}")
        };
        has(&text, &[&line("needed", "orders", "6")]);
        let peak = value(&text, &line("peak", "orders", ""));
        // 3 shards that have faded for a few minutes.
        assert!((2.95..3.0).contains(&peak), "{peak}");
        lacks(&text, "stream_needed_shards{stream=\"plain\"");
        lacks(&text, "stream_peak_shards{stream=\"plain\"");
        lacks(&text, "stream_peak_shards{stream=\"clicks\"");
        process.tick().await;
    }
    set("orders", "down", "OK");
    process.tick().await;
    lacks(&process.text(), "stream_peak_shards{");
    lacks(&process.text(), "stream_needed_shards{stream=\"orders\"");
}
