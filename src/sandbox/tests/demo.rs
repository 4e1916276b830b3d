use serde_json::Value;

use super::*;
use crate::demo;

#[tokio::test(start_paused = true)]
async fn the_demo_starts_in_the_situations_it_is_meant_to_show() {
    let world = World::new();
    demo::build(&world.sandbox, demo::REGION, |by| world.clock.jump(by));
    let region = world.sandbox.region(demo::REGION);
    let cases = [
        ("orders", 2, "2", "ALARM", "OK"),
        ("clicks", 10, "10", "OK", "ALARM"),
        ("payments", 3, "2", "ALARM", "OK"),
        ("audit", 4, "4", "ALARM", "OK"),
        ("sessions", 4, "4", "OK", "OK"),
        ("sensors", 4, "4", "ALARM", "OK"),
        ("carts", 2, "2", "ALARM", "OK"),
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
    let since =
        autoscaler_core::datetime::format_datetime(world.now() - SignedDuration::from_hours(24));
    for row in region.items(demo::TABLE) {
        let at = row["scaling_datetime"]["S"].as_str().unwrap();
        assert!(
            at < since.as_str(),
            "{row} leaves less of the day's scalings"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_demos_streams_accepted_what_the_shards_of_their_scaling_log_take() {
    let world = World::new();
    demo::build(&world.sandbox, demo::REGION, |by| world.clock.jump(by));
    let region = world.sandbox.region(demo::REGION);
    let rows = region.items(demo::TABLE);
    assert!(rows.len() > 10);
    for row in rows {
        let text = |member: &str, kind: &str| row[member][kind].as_str().unwrap().to_owned();
        let at = autoscaler_core::datetime::parse_datetime(&text("scaling_datetime", "S"));
        let minute = at.unwrap().as_second().div_euclid(60);
        let stream = text("stream_name", "S");
        for (minute, member) in [
            (minute - 1, "shard_count"),
            (minute + 1, "target_shard_count"),
        ] {
            let shards: f64 = text(member, "N").parse().unwrap();
            let world = region.sandbox().world();
            let place = &world.places[&("123456789012".to_owned(), demo::REGION.to_owned())];
            let total = place.streams[&stream].intake(minute).unwrap().total();
            let full = Load::of_shards(shards).bytes;
            assert!(total.accepted.bytes <= full, "{row} at {minute}");
            let rejects = total.rejected.bytes > 0.0;
            assert!(
                !rejects || total.accepted.bytes > 0.99 * full,
                "{row} at {minute}"
            );
        }
    }
}

/// Scales roughly by the states of the alarms for a day and returns the scalings.
fn scalings(region: &RegionHandle, clock: &Clock) -> Vec<(String, u32, u32)> {
    let mut done = Vec::new();
    for _ in 0..24 * 60 {
        clock.jump(SignedDuration::from_mins(1));
        for stream in demo::STREAMS {
            let names = [
                format!("{stream}-scale-up-alarm"),
                format!("{stream}-scale-down-alarm"),
            ];
            let [up, down] = [&names[0], &names[1]].map(|name| {
                let alarm = region.alarm(name).unwrap();
                alarm["StateValue"] == "ALARM" && alarm["ActionsEnabled"] == true
            });
            let view = region.stream(stream).unwrap();
            let n = view.open_shards;
            if view.status != "ACTIVE" || !(up || down) {
                continue;
            }
            let target = if up {
                n + n.div_ceil(2)
            } else {
                n.div_ceil(2).max(2)
            };
            if target != n && region.reshard_externally(stream, target).is_ok() {
                done.push((stream.to_owned(), n, target));
            }
            for name in &names {
                region.edit_alarm(name, |alarm| {
                    alarm["Metrics"][0]["Expression"] = target.to_string().into()
                });
                region.set_alarm_state(name, "INSUFFICIENT_DATA", "rewritten");
            }
        }
    }
    done
}

#[tokio::test(start_paused = true)]
async fn the_demos_day_has_ups_and_downs() {
    let world = World::new();
    demo::build(&world.sandbox, demo::REGION, |by| world.clock.jump(by));
    let region = world.sandbox.region(demo::REGION);
    let done = scalings(&region, &world.clock);
    let ups = done.iter().filter(|(_, from, to)| to > from).count();
    assert!((3..=12).contains(&ups), "{done:?}");
    assert!((2..=6).contains(&(done.len() - ups)), "{done:?}");
    assert!(
        done.iter().all(|(stream, ..)| stream != "audit"),
        "{done:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_demos_clicks_used_2_6_shards_at_most() {
    use aws_sdk_cloudwatch::{
        primitives::DateTime,
        types::{Dimension, Metric, MetricDataQuery, MetricStat},
    };
    let world = World::new();
    demo::build(&world.sandbox, demo::REGION, |by| world.clock.jump(by));
    let dimension = Dimension::builder()
        .name("StreamName")
        .value("clicks")
        .build();
    let metric = Metric::builder()
        .namespace("AWS/Kinesis")
        .metric_name("IncomingBytes")
        .dimensions(dimension);
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(300)
        .stat("Sum")
        .build();
    let now = world.now().as_second();
    let call = world.cloudwatch().get_metric_data().metric_data_queries(
        MetricDataQuery::builder()
            .id("bytes")
            .metric_stat(stat)
            .build(),
    );
    let call = call
        .start_time(DateTime::from_secs(now - 86_400))
        .end_time(DateTime::from_secs(now));
    let result = call
        .send()
        .await
        .unwrap()
        .metric_data_results
        .unwrap()
        .remove(0);
    assert!(result.values().len() >= 287);
    let most = result.values().iter().copied().fold(0.0, f64::max) / (1_048_576.0 * 300.0);
    assert!((2.51..=2.99).contains(&most), "{most}");
}
