use serde_json::Value;

use super::*;
use crate::sandbox::demo;

#[tokio::test(start_paused = true)]
async fn the_demo_starts_in_the_situations_it_is_meant_to_show() {
    let world = World::new();
    demo::build(&world.sandbox, demo::REGION);
    let region = world.sandbox.region(demo::REGION);
    let cases = [
        ("orders", 2, "2", "ALARM", "OK"),
        ("clicks", 10, "10", "OK", "ALARM"),
        ("payments", 3, "2", "ALARM", "OK"),
        ("audit", 4, "4", "ALARM", "OK"),
        ("sessions", 4, "4", "OK", "OK"),
    ];
    for minutes in [0, 1, 2] {
        world.pass(minutes);
        for (stream, shards, recorded, up, down) in cases {
            assert_eq!(
                region.stream(stream).unwrap().open_shards,
                shards,
                "{stream}"
            );
            for (direction, state) in [("up", up), ("down", down)] {
                let alarm = region
                    .alarm(&format!("{stream}-scale-{direction}-alarm"))
                    .unwrap();
                assert_eq!(
                    alarm["StateValue"], state,
                    "{stream} {direction} after {minutes} min"
                );
                assert_eq!(
                    alarm["Metrics"][0]["Expression"], recorded,
                    "{stream} {direction}"
                );
                let enabled = (stream, direction) != ("audit", "up");
                assert_eq!(
                    alarm["ActionsEnabled"],
                    Value::Bool(enabled),
                    "{stream} {direction}"
                );
            }
        }
    }
    assert!(region.items(demo::TABLE).is_empty());
}
