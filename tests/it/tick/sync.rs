//! Work that no alarm asks for: alarms out of sync, and the audit.

use std::collections::BTreeMap;

use super::minutes;
use crate::world::{World, acted, held, named, tick};

#[tokio::test(start_paused = true)]
async fn what_is_out_of_sync_is_synced_once_and_stops_there() {
    let world = World::new();
    world.place.create_stream("payments", 3);
    world.place.pair("payments", 2);
    world.pass(minutes(10)).await;
    world.fire("payments", "scale-up");
    let mut autoscaler = world.start(&named(&["payments"])).await;
    acted(
        &tick(&mut autoscaler).await,
        "payments",
        "sync_alarms",
        3,
        3,
    );
    for name in ["payments-scale-up-alarm", "payments-scale-down-alarm"] {
        assert_eq!(
            (world.recorded(name).as_str(), world.state_of(name).as_str()),
            ("3", "INSUFFICIENT_DATA"),
            "{name}"
        );
    }
    assert_eq!(world.rows().len(), 0, "a sync is no scaling");
    held(&tick(&mut autoscaler).await, "payments", "no_alarm");
}

#[tokio::test(start_paused = true)]
async fn the_audit_finds_what_no_alarm_tells() {
    let world = World::new();
    world.place.create_stream("drifted", 3);
    world.place.pair("drifted", 2);
    world.stream("fine", 4);
    world.stream("broken", 4);
    world.place.delete_alarm("broken-scale-down-alarm");
    let config = format!(
        "audit_interval = \"15m\"\n{}",
        named(&["drifted", "fine", "broken"])
    );
    let mut autoscaler = world.start(&config).await;
    let mut found = BTreeMap::new();
    for _ in 0..16 {
        let report = tick(&mut autoscaler).await;
        for entry in report
            .streams
            .iter()
            .filter(|entry| entry.reason.code() != "no_alarm")
        {
            let what = (entry.action.code(), entry.reason.code());
            found.insert(entry.name().to_owned(), what);
        }
        world.pass(minutes(1)).await;
    }
    let expected = [
        ("broken", ("hold", "contract")),
        ("drifted", ("sync_alarms", "out_of_sync")),
    ];
    assert_eq!(
        found,
        expected.map(|(name, what)| (name.to_owned(), what)).into()
    );
    assert_eq!(world.recorded("drifted-scale-up-alarm"), "3");
}
