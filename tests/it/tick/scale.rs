//! Scaling, both ways, from the alarm to the row.

use std::time::Duration;

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;
use serde_json::json;

use super::{minutes, unchanging, used};
use crate::world::{World, acted, held, named, of, tick};

#[tokio::test(start_paused = true)]
async fn a_scale_up_reshards_rewrites_both_alarms_resets_them_and_is_logged() {
    let world = World::new();
    world.stream("orders", 2);
    let before = ["orders-scale-up-alarm", "orders-scale-down-alarm"]
        .map(|name| world.place.alarm(name).expect("there"));
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "orders", "scale_up", 2, 4);
    assert!(!report.failed());
    assert_eq!(world.shards("orders"), 4, "the stream is being resharded");
    for before in before {
        let name = before["AlarmName"].as_str().expect("a name");
        let after = world.place.alarm(name).expect("still there");
        assert_eq!(
            unchanging(after),
            unchanging(before.clone()),
            "every other field of {name} stays"
        );
        assert_eq!(world.recorded(name), "4", "{name}");
        assert_eq!(world.state_of(name), "INSUFFICIENT_DATA", "{name}");
    }
    let rows = world.rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let row = &rows[0];
    assert_eq!(row["stream_name"], json!({"S": "orders"}));
    assert_eq!(
        row["scaling_datetime"],
        json!({"S": "2026-11-22T12:10:00.000000+0000"})
    );
    assert_eq!(row["shard_count"], json!({"N": "2"}));
    assert_eq!(row["target_shard_count"], json!({"N": "4"}));
    assert_eq!(row["scaling_type"], json!({"S": "SCALE_UP"}));
    assert_eq!(
        row["expiration_datetime"],
        json!({"N": "1796559000"}),
        "14 days ahead"
    );
    assert_eq!(row["outcome"], json!({"S": "done"}));
    assert_eq!(
        world.place.items(crate::world::TABLE).len(),
        1,
        "no marker is left"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_goes_by_the_last_day_and_one_shard_switches_the_alarm_off() {
    let world = World::new();
    for (name, shards) in [("clicks", 10), ("tiny", 2)] {
        world.stream(name, shards);
    }
    used(&world, "clicks", 2.6);
    used(&world, "tiny", 0.1);
    world.pass(minutes(10)).await;
    world.fire("clicks", "scale-down");
    world.fire("tiny", "scale-down");
    let mut autoscaler = world.start(&named(&["clicks", "tiny"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "clicks", "scale_down", 10, 6);
    acted(&report, "tiny", "scale_down", 2, 1);
    let enabled = |name: &str| world.place.alarm(name).expect("there")["ActionsEnabled"].clone();
    assert_eq!(enabled("clicks-scale-down-alarm"), json!(true));
    assert_eq!(
        enabled("tiny-scale-down-alarm"),
        json!(false),
        "there is nothing below 1 shard"
    );
    assert_eq!(enabled("tiny-scale-up-alarm"), json!(true));

    world.pass(minutes(10)).await;
    world.fire("tiny", "scale-up");
    acted(&tick(&mut autoscaler).await, "tiny", "scale_up", 1, 2);
    assert_eq!(
        enabled("tiny-scale-down-alarm"),
        json!(true),
        "on again on leaving 1"
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_during_and_after_the_update_change_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    tick(&mut autoscaler).await;
    let after_first = [
        world.place.alarm("orders-scale-up-alarm"),
        world.place.alarm("orders-scale-down-alarm"),
    ];

    world.pass(minutes(1)).await;
    held(&tick(&mut autoscaler).await, "orders", "no_alarm");
    // A stubborn alarm does not change that: the count is in flux.
    world.fire("orders", "scale-up");
    held(&tick(&mut autoscaler).await, "orders", "updating");
    assert_eq!(
        world.recorded("orders-scale-up-alarm"),
        "4",
        "a transient count is never written"
    );

    world
        .place
        .set_alarm_state("orders-scale-up-alarm", "INSUFFICIENT_DATA", "reset");
    world.pass(minutes(5)).await;
    held(&tick(&mut autoscaler).await, "orders", "no_alarm");
    let now = [
        world.place.alarm("orders-scale-up-alarm"),
        world.place.alarm("orders-scale-down-alarm"),
    ];
    assert_eq!(
        now.map(|alarm| unchanging(alarm.expect("there"))),
        after_first.map(|alarm| unchanging(alarm.expect("there")))
    );
    assert_eq!(world.shards("orders"), 4);
    assert_eq!(world.rows().len(), 1, "one scaling, one row");
}

#[tokio::test(start_paused = true)]
async fn bounds_hold_from_end_to_end() {
    let world = World::new();
    world.stream("up", 4);
    world.stream("down", 10);
    used(&world, "down", 0.1);
    world.pass(minutes(10)).await;
    world.fire("up", "scale-up");
    world.fire("down", "scale-down");
    let config = "[[streams]]\nname = \"up\"\nmax_shards = 5\n[[streams]]\nname = \"down\"\nmin_shards = 7\n";
    let report = tick(&mut world.start(config).await).await;
    acted(&report, "up", "scale_up", 4, 5);
    acted(&report, "down", "scale_down", 10, 7);
    assert_eq!((world.shards("up"), world.shards("down")), (5, 7));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_by_alarm_finds_its_stream() {
    let world = World::new();
    world.stream("clicks", 3);
    world.pass(minutes(10)).await;
    world.fire("clicks", "scale-up");
    let mut autoscaler = world
        .start("[[streams]]\nalarm = \"clicks-scale-down-alarm\"\n")
        .await;
    acted(&tick(&mut autoscaler).await, "clicks", "scale_up", 3, 6);
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_of_days_lasts_for_days() {
    let world = World::new();
    world.stream("clicks", 10);
    used(&world, "clicks", 0.1);
    world.pass(minutes(10)).await;
    let mut autoscaler = world
        .start("[[streams]]\nname = \"clicks\"\ncooldown_down = \"3d\"\n")
        .await;
    let mut fired = async |expected: &str, pass: i64| {
        world.pass(SignedDuration::from_hours(pass)).await;
        world.fire("clicks", "scale-down");
        let report = tick(&mut autoscaler).await;
        assert_eq!(of(&report, "clicks").reason.code(), expected, "{report:#?}");
    };
    fired("alarm", 0).await;
    fired("cooldown", 30).await;
    fired("alarm", 50).await;
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_stream_grows_to_twice_its_demand_and_shrinks_to_its_faded_peak() {
    let world = World::new();
    world.stream("carts", 4);
    world
        .place
        .set_traffic("carts", Traffic::constant(Load::of_shards(3.4)));
    let adaptive = "[[streams]]\nname = \"carts\"\npolicy = \"adaptive\"\n";
    let mut autoscaler = world.start(adaptive).await;
    world.pass(minutes(10)).await;
    world.fire("carts", "scale-up");
    let report = tick(&mut autoscaler).await;
    acted(&report, "carts", "scale_up", 4, 7);
    let detail = &of(&report, "carts").detail;
    assert!(
        detail.contains("used 3.4"),
        "it says what is used: {detail}"
    );

    // The load is gone, but its peak is remembered, and half of it forgotten every 12 hours.
    let loads = (0..600).map(|i| if i < 290 { 3.4 } else { 0.2 });
    let day_ago = world.clock.now() - SignedDuration::from_hours(24);
    let points = loads.map(Load::of_shards).collect();
    world
        .place
        .set_traffic("carts", Traffic::table(day_ago, 300, points));
    let mut shrunk_after = None;
    for hour in 1..=48 {
        world.pass(minutes(60)).await;
        world.fire("carts", "scale-down");
        let report = tick(&mut autoscaler).await;
        if of(&report, "carts").acts() {
            shrunk_after = Some(hour);
            break;
        }
    }
    let hour = shrunk_after.expect("it shrinks within two days");
    assert!(hour >= 2, "not at once, but after {hour} hours");
    assert!(
        world.shards("carts") < 7,
        "{} shards",
        world.shards("carts")
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_stream_shrinks_where_its_alarm_fills_gaps_with_zero() {
    let world = World::new();
    world.stream("dead", 4);
    let mut autoscaler = world.start(&named(&["dead"])).await;
    world.pass(minutes(10)).await;
    world.fire("dead", "scale-down");
    let report = tick(&mut autoscaler).await;
    acted(&report, "dead", "scale_down", 4, 2);
}

#[tokio::test(start_paused = true)]
async fn no_stream_shrinks_while_its_consumers_are_behind() {
    let world = World::new();
    world.stream("orders", 4);
    let config = "[[streams]]\nname = \"orders\"\nmax_iterator_age = \"10m\"\n";
    let mut autoscaler = world.start(config).await;
    world.pass(minutes(20)).await;
    let now = world.clock.now();
    let behind = |age: Duration| move |i| (now - minutes(i), age);
    let late = Duration::from_secs(900);
    world
        .place
        .set_iterator_age("orders", (0..30).map(behind(late)));
    world.fire("orders", "scale-down");
    held(&tick(&mut autoscaler).await, "orders", "consumers_behind");
    world
        .place
        .set_iterator_age("orders", (0..30).map(behind(Duration::from_secs(5))));
    world.pass(minutes(6)).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_down", 4, 2);
}
