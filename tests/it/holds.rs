//! What people switch off, and for how long: alarm mute rules.

use std::time::Duration;

use crate::world::{World, acted, failed, held, named, of, tick};
use jiff::SignedDuration;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Orders with 4 shards, whose alarm of one direction is in ALARM.
async fn firing(direction: &str) -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.pass(MINUTE * 10).await;
    world.fire("orders", direction);
    world
}

/// Mutes the alarm of one direction for an hour.
fn mute(world: &World, direction: &str) {
    let alarm = format!("orders-{direction}-alarm");
    let hour = Duration::from_secs(3600);
    world
        .place
        .mute("night", &[&alarm], world.clock.now(), hour);
}

fn asked(world: &World) -> u64 {
    let calls = world.sandbox.calls();
    calls.get("ListAlarmMuteRules").copied().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_muted_alarm_does_not_scale_its_stream_until_the_rule_ends() {
    for (direction, action, to) in [("scale-up", "scale_up", 6), ("scale-down", "scale_down", 2)] {
        let world = firing(direction).await;
        mute(&world, direction);
        let mut autoscaler = world.start(&named(&["orders"])).await;
        for minute in 0..60 {
            let report = tick(&mut autoscaler).await;
            held(&report, "orders", "muted");
            let detail = &of(&report, "orders").detail;
            let says = |text: &str| assert!(detail.contains(text), "{minute}: {detail}");
            says(&format!("orders-{direction}-alarm is muted"));
            says("mute rule night");
            assert_eq!(of(&report, "orders").shards_before.unwrap_or(4), 4);
            world.pass(MINUTE).await;
        }
        world.pass(MINUTE * 5).await;
        let report = tick(&mut autoscaler).await;
        acted(&report, "orders", action, 4, to);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_rule_of_the_other_alarm_holds_nothing() {
    let world = firing("scale-up").await;
    mute(&world, "scale-down");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_follows_within_a_minute_of_the_end_of_a_mute_rule() {
    let world = firing("scale-up").await;
    mute(&world, "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    held(&tick(&mut autoscaler).await, "orders", "muted");
    world.place.unmute("night");
    world.pass(MINUTE).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
}

#[tokio::test(start_paused = true)]
async fn mute_rules_are_asked_for_only_when_the_stream_is_about_to_be_scaled() {
    let world = firing("scale-up").await;
    world.fire("orders", "scale-down");
    for (config, calls) in [
        ("max_shards = 4", 0),
        ("min_shards = 4\nmax_shards = 4", 0),
        ("cooldown_up = \"5m\"", 1),
    ] {
        world.sandbox.reset_calls();
        let config = format!("{}{config}", named(&["orders"]));
        let mut autoscaler = world.start(&config).await;
        tick(&mut autoscaler).await;
        assert_eq!(asked(&world), calls, "{config}");
        let again = tick(&mut autoscaler).await;
        assert_eq!(asked(&world), calls, "{config}: {again:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_to_read_mute_rules_stops_no_scaling() {
    for (direction, action, to) in [("scale-up", "scale_up", 6), ("scale-down", "scale_down", 2)] {
        let world = firing(direction).await;
        mute(&world, direction);
        world.sandbox.deny("cloudwatch:ListAlarmMuteRules");
        let mut autoscaler = world.start(&named(&["orders"])).await;
        acted(&tick(&mut autoscaler).await, "orders", action, 4, to);
    }
}

#[tokio::test(start_paused = true)]
async fn mute_rules_that_do_not_answer_hold_a_scale_down_alone() {
    use autoscaler_sandbox::{Call, Fault};
    let away = |call: &Call| match call.operation.as_str() {
        "ListAlarmMuteRules" => Fault::HangBefore,
        _ => Fault::None,
    };
    let world = firing("scale-down").await;
    world.sandbox.set_faults(away);
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    failed(&report, "orders", "aws_error", "ListAlarmMuteRules");
    world.fire("orders", "scale-up");
    let before = world.clock.now();
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
    let took = world.clock.now().duration_since(before);
    assert!(took < SignedDuration::from_secs(3), "it took {took:#}");
}
