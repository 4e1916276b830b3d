//! `status STREAM`, `--problems` and `--watch`: what they show.

use std::sync::Arc;

use autoscaler_core::{
    constraints::Hold,
    pause::{Pause, Paused},
};
use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::{SignedDuration, tz::TimeZone};
use kinesis_autoscaler::{
    cli::{self, Output},
    commands::status::{Known, Status, Watched, gather, gather_again},
    output::times::Times,
    reconcile::discovery::discover,
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, named};

const HELD: &str = "\
orders (eu-west-1), ACTIVE: 4 shards, allowed are 1 to 4

next tick    hold: at_max_shards: orders-scale-up-alarm asks for 6 shards; the
             stream has 4 and max_shards is 4; raise max_shards to let the
             stream grow
since        2026-11-22T12:10:00Z (7m ago)
what to do   raise max_shards: the stream may be throttling
next look    2026-11-22T12:22:00Z
usage        [#########-] 88% now, 88% in the busiest 5 minutes of 24 h
up alarm     orders-scale-up-alarm: ALARM for 7m, records 4
down alarm   orders-scale-down-alarm: OK for 16m, records 4
policy       original
windows      the window at 2026-11-27T06:00:00Z opens at 2026-11-27T06:00:00Z
pauses       every stream is paused for scale-downs until 2026-11-22T20:17:00Z
             by ann: load test
scalings     8 of the day's 10 are left
             2026-11-22T06:40:00Z 2 -> 4 (alarm)
             2026-11-22T06:30:00Z 2 -> 4 (refused, alarm)
             2026-11-22T05:00:00Z 1 -> 2 (alarm)
";

const SCALED: &str = "\
orders (eu-west-1), ACTIVE: 2 shards, allowed are 1 to 10000

next tick    scale up to 4: alarm: orders-scale-up-alarm has been in ALARM since
             2026-11-22T12:10:00Z; usage calls for more than 2 shards; the next
             step is 4
since        2026-11-22T12:10:00Z (0s ago)
what to do   nothing
usage        [#########-] 90% now, 90% in the busiest 5 minutes of 24 h
up alarm     orders-scale-up-alarm: ALARM for 0s, records 2
down alarm   orders-scale-down-alarm: OK for 9m, records 2
policy       original
scalings     10 of the day's 10 are left
";

const BROKEN: &str = "\
orders (eu-west-1), ACTIVE: 2 shards, allowed are 1 to 10000

next tick    error: alarm orders-scale-down-alarm does not exist
what to do   create the pair with `kinesis-autoscaler alarms create`, or correct
             `alarm_name`
next look    2026-11-22T12:05:00Z
usage        ? now, ? in the busiest 5 minutes of 24 h
up alarm     orders-scale-up-alarm: INSUFFICIENT_DATA for 0s, records 2
down alarm   orders-scale-down-alarm: MISSING
policy       original
scalings     10 of the day's 10 are left
error        the metrics cannot be read: GetMetricData: AccessDenied: User:
             arn:aws:iam::123456789012:user/sandbox is not authorized to
             perform: cloudwatch:GetMetricData on resource: * because no
             identity-based policy allows the cloudwatch:GetMetricData action

hint: allow the action `cloudwatch:GetMetricData` in the IAM policy of the role
      that runs this (`kinesis-autoscaler check --policy` prints the whole
      policy)
";

fn page(stream: &str) -> cli::Status {
    cli::Status {
        page: Some(stream.to_owned()),
        ..cli::Status::default()
    }
}

fn problems() -> cli::Status {
    cli::Status {
        problems: true,
        ..cli::Status::default()
    }
}

async fn read(world: &World, config: &str) -> Status {
    gather(&world.context(world.config(config), false).await).await
}

#[track_caller]
fn check(status: &Status, args: &cli::Status, expected: &str) {
    let text = status.show(args, Output::Text, Some(80), &Times::utc());
    assert_eq!(text, expected, "\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

fn used(world: &World, stream: &str, shards: f64) {
    let traffic = Traffic::constant(Load::of_shards(shards));
    world.place.set_traffic(stream, traffic);
}

#[tokio::test(start_paused = true)]
async fn the_page_of_a_held_stream_says_by_what_and_what_to_do() {
    let world = World::new();
    world.stream("orders", 4);
    used(&world, "orders", 3.5);
    let row = |at: &str, from: u32, to: u32, outcome: &str| {
        json!({
            "stream_name": {"S": "orders"},
            "scaling_datetime": {"S": format!("2026-11-22T{at}.000000+0000")},
            "shard_count": {"N": from.to_string()},
            "target_shard_count": {"N": to.to_string()},
            "scaling_type": {"S": "SCALE_UP"},
            "expiration_datetime": {"N": "1800000000"},
            "outcome": {"S": outcome},
            "reason": {"S": "alarm"},
        })
    };
    for row in [
        row("05:00:00", 1, 2, "done"),
        row("06:30:00", 2, 4, "refused"),
        row("06:40:00", 2, 4, "done"),
    ] {
        world.place.put_item(TABLE, row).expect("a row");
    }
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    world.pass(SignedDuration::from_mins(7)).await;
    let config = "[[streams]]\nname = \"orders\"\nmax_shards = 4\n\
        windows = [{ at = \"2026-11-27T06:00:00Z\", for = \"3h\", min_shards = 3 }]\n";
    let context = world.context(world.config(config), false).await;
    let pause = Pause {
        of: Paused::All,
        hold: Hold::Down,
        owner: "ann".to_owned(),
        reason: "load test".to_owned(),
        since: world.clock.now(),
        until: world.clock.now() + SignedDuration::from_hours(8),
    };
    let written = context.scaling_log.pause(&pause).await;
    written.expect("the table takes it");
    let status = gather(&context).await;
    check(&status, &page("orders"), HELD);
    let json: Value =
        serde_json::from_str(&status.show(&page("orders"), Output::Json, None, &Times::utc()))
            .expect("JSON");
    let row = &json["streams"][0];
    assert_eq!(row["since"], "2026-11-22T12:10:00Z");
    assert_eq!(
        row["what_to_do"],
        "raise max_shards: the stream may be throttling"
    );
    assert_eq!(row["scalings"][0]["reason"], "alarm");
    assert_eq!(row["scalings"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_page_of_a_stream_that_is_about_to_be_scaled_says_so() {
    let world = World::new();
    world.stream("orders", 2);
    used(&world, "orders", 1.8);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    check(
        &read(&world, &named(&["orders"])).await,
        &page("orders"),
        SCALED,
    );
}

#[tokio::test(start_paused = true)]
async fn the_page_of_a_broken_stream_has_the_fix() {
    let world = World::new();
    world.stream("orders", 2);
    world.place.delete_alarm("orders-scale-down-alarm");
    world.sandbox.deny("cloudwatch:GetMetricData");
    check(
        &read(&world, &named(&["orders"])).await,
        &page("orders"),
        BROKEN,
    );
}

#[tokio::test(start_paused = true)]
async fn problems_are_what_fails_and_what_a_person_has_to_act_on() {
    let world = World::new();
    let names = ["calm", "full", "gone", "paused", "cooling", "hot", "blind"];
    names.iter().for_each(|name| world.stream(name, 2));
    used(&world, "hot", 0.9);
    let hot = Traffic::constant(Load::of_shards(1.4)).hot_key(1.0);
    world.stream("hot", 4);
    world.place.set_traffic("hot", hot);
    world.pass(SignedDuration::from_mins(30)).await;
    world.place.delete_stream("gone");
    for name in ["full", "paused", "cooling"] {
        world.fire(name, "scale-up");
    }
    world.place.edit_alarm("paused-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), Value::Bool(false));
    });
    world.place.edit_alarm("blind-scale-up-alarm", |alarm| {
        alarm.insert("EvaluationState".to_owned(), json!("PARTIAL_DATA"));
    });
    let mut config = world.config(&named(&names));
    config.subscriptions[1].max_shards = 2;
    let context = world.context(config, false).await;
    let status = gather(&context).await;
    let shown: Value =
        serde_json::from_str(&status.show(&problems(), Output::Json, None, &Times::utc()))
            .expect("JSON");
    let shown = shown["streams"].as_array().cloned().unwrap_or_default();
    let shown: Vec<&str> = shown
        .iter()
        .filter_map(|row| row["stream"].as_str())
        .collect();
    assert_eq!(shown, ["full", "gone", "hot", "blind"]);
    let text = status.show(&problems(), Output::Text, Some(80), &Times::utc());
    assert!(
        text.starts_with("gone\n") && text.contains("4 streams: "),
        "{text}"
    );
    let calm = read(&world, &named(&["calm", "paused"])).await;
    let text = calm.show(&problems(), Output::Text, Some(80), &Times::utc());
    assert_eq!(text, "no problems; 2 streams: 1 held, 1 at rest\n");
    let json: Value =
        serde_json::from_str(&calm.show(&problems(), Output::Json, None, &Times::utc()))
            .expect("JSON");
    assert_eq!(json["streams"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn metrics_are_read_every_5_minutes_however_often_the_rest_is() {
    let world = World::new();
    world.stream("orders", 2);
    used(&world, "orders", 1.0);
    world.pass(SignedDuration::from_mins(10)).await;
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let mut known = Known::default();
    let mut reads = Vec::new();
    for _ in 0..12 {
        world.sandbox.reset_calls();
        let status = gather_again(&context, &mut known).await;
        assert_eq!(status.streams[0].usage_peak_24h, Some(0.5));
        let calls = world.sandbox.calls();
        assert!(calls.contains_key("DescribeStreamSummary"), "{calls:?}");
        reads.push(calls.get("GetMetricData").copied().unwrap_or(0));
        world.pass(SignedDuration::from_secs(60)).await;
    }
    assert_eq!(reads, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
    // What could not be read is read again at once.
    world.pass(SignedDuration::from_mins(10)).await;
    world.sandbox.set_faults(|call| match &*call.operation {
        "GetMetricData" => Fault::Throttle,
        _ => Fault::None,
    });
    let status = gather_again(&context, &mut known).await;
    assert!(status.streams[0].metrics_error.is_some());
    world.sandbox.clear_faults();
    let status = gather_again(&context, &mut known).await;
    assert_eq!(status.streams[0].metrics_error, None);
}

#[tokio::test(start_paused = true)]
async fn watching_shows_the_streams_that_a_pattern_has_by_then() {
    let world = World::new();
    world.stream("prod-a", 2);
    used(&world, "prod-a", 1.0);
    world.pass(SignedDuration::from_mins(10)).await;
    let context = world
        .context(world.config("[[streams]]\nmatch = \"prod-*\"\n"), false)
        .await;
    let context = Arc::new(discover((*context).clone(), &[]).await);
    let mut all = Watched::new(&context, vec![]);
    let mut some = Watched::new(&context, vec!["prod-?".to_owned()]);
    let names = |status: &Status| -> Vec<String> {
        let names = status.streams.iter().map(|row| row.stream.clone());
        names.collect()
    };
    assert_eq!(names(&all.look().await), ["prod-a"]);
    assert_eq!(names(&some.look().await), ["prod-a"]);
    for name in ["prod-b", "prod-new"] {
        world.stream(name, 2);
        used(&world, name, 1.0);
    }
    world.pass(SignedDuration::from_mins(10)).await;
    let status = all.look().await;
    assert_eq!(names(&status), ["prod-a", "prod-b", "prod-new"]);
    let peaks = status.streams.iter().map(|row| row.usage_peak_24h);
    assert_eq!(peaks.collect::<Vec<_>>(), [Some(0.5); 3]);
    assert_eq!(names(&some.look().await), ["prod-a", "prod-b"]);
    // Where the alarms cannot be listed, the streams stay.
    world.pass(SignedDuration::from_mins(2)).await;
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    let status = all.look().await;
    assert_eq!((status.streams.len(), status.unlisted.len()), (3, 1));
    world.sandbox.allow("cloudwatch:DescribeAlarms");
    world.place.delete_alarm("prod-a-scale-up-alarm");
    world.pass(SignedDuration::from_mins(2)).await;
    let status = all.look().await;
    assert_eq!(names(&status), ["prod-b", "prod-new"]);
    assert_eq!(status.unlisted.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn times_are_shown_in_a_zone_of_ones_own() {
    let world = World::new();
    world.stream("orders", 2);
    used(&world, "orders", 1.8);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    let status = read(&world, &named(&["orders"])).await;
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    let berlin = Times::of(zone);
    for args in [page("orders"), cli::Status::default()] {
        for width in [None, Some(50), Some(80), Some(220)] {
            let text = status.show(&args, Output::Text, width, &berlin);
            assert!(text.contains("2026-11-22T13:10:00+01:00"), "{text}");
            assert!(!text.contains("00Z"), "{text}");
        }
        let utc = status.show(&args, Output::Json, None, &Times::utc());
        assert_eq!(
            status.show(&args, Output::Json, None, &berlin),
            utc,
            "JSON stays as it is"
        );
    }
}
