//! How many calls a tick makes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::minutes;
use crate::world::{World, acted, held, named, tick};

#[tokio::test(start_paused = true)]
async fn an_idle_tick_is_one_call_however_many_streams_there_are() {
    for streams in [1, 100, 10_000] {
        let world = World::new();
        let names: Vec<String> = (0..streams).map(|i| format!("stream-{i}")).collect();
        // A pair for some; the others' alarms are missing, which only an audit sees.
        names
            .iter()
            .take(100)
            .for_each(|name| world.stream(name, 2));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut autoscaler = world.start(&named(&names)).await;
        tick(&mut autoscaler).await;
        for _ in 0..3 {
            world.pass(minutes(1)).await;
            let report = tick(&mut autoscaler).await;
            assert_eq!(
                report.api_calls,
                BTreeMap::from([("DescribeAlarms".to_owned(), 1)]),
                "{streams} streams"
            );
            assert_eq!(report.streams.len(), streams, "all are reported");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_unrelated_alarms_make_the_poll_ask_by_name() {
    let world = World::new();
    world.stream("orders", 2);
    for i in 0..950 {
        world.place.pair(&format!("unrelated-{i}"), 2);
        world.fire(&format!("unrelated-{i}"), "scale-up");
    }
    let mut autoscaler = world.start(&named(&["orders"])).await;
    tick(&mut autoscaler).await;
    for _ in 0..10 {
        world.pass(minutes(1)).await;
        let report = tick(&mut autoscaler).await;
        assert_eq!(
            report.api_calls,
            BTreeMap::from([("DescribeAlarms".to_owned(), 1)]),
            "2 names are one call, 950 alarms ten"
        );
    }
    world.pass(minutes(1)).await;
    world.fire("orders", "scale-up");
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_alarm_costs_no_further_calls() {
    let world = World::new();
    for (name, shards) in [("one", 1), ("paused", 4), ("full", 4), ("blind", 4)] {
        world.stream(name, shards);
    }
    world.place.edit_alarm("paused-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), json!(false));
    });
    // Without FILL a gap in the metric is not zero.
    world.place.edit_alarm("blind-scale-down-alarm", |alarm| {
        let text = Value::Object(alarm.clone()).to_string();
        let bare = text
            .replace("FILL(incomingBytes,0)", "incomingBytes")
            .replace("FILL(incomingRecords,0)", "incomingRecords");
        *alarm = serde_json::from_str(&bare).expect("still an alarm");
    });
    world.pass(minutes(10)).await;
    for (name, direction) in [
        ("one", "scale-down"),
        ("paused", "scale-up"),
        ("full", "scale-up"),
        ("blind", "scale-down"),
    ] {
        world.fire(name, direction);
    }
    let streams =
        named(&["one", "paused", "blind"]) + "[[streams]]\nname = \"full\"\nmax_shards = 4\n";
    let mut autoscaler = world.start(&streams).await;
    for (i, reason) in [
        ("one", "at_min_shards"),
        ("paused", "paused"),
        ("full", "at_max_shards"),
        ("blind", "no_data"),
    ] {
        held(&tick(&mut autoscaler).await, i, reason);
    }
    world.pass(minutes(1)).await;
    let report = tick(&mut autoscaler).await;
    assert_eq!(
        report.api_calls,
        BTreeMap::from([("DescribeAlarms".to_owned(), 1)])
    );
    held(&report, "full", "at_max_shards");
}
