//! `status`: its rows, its calls, and its output.

use std::sync::Arc;

use autoscaler_core::subscription::SubscriptionId;
use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::Target,
    commands::{
        history, scale,
        status::{Row, Status, gather},
    },
    reconcile::{context::Context, tick::Autoscaler},
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, named, of, tick};

async fn status(world: &World, config: &str) -> Status {
    gather(&context(world, config, false).await).await
}

async fn context(world: &World, config: &str, dry_run: bool) -> Arc<Context> {
    world.context(world.config(config), dry_run).await
}

#[track_caller]
fn row<'a>(status: &'a Status, stream: &str) -> &'a Row {
    let found = status.streams.iter().find(|row| row.stream == stream);
    found.unwrap_or_else(|| panic!("{stream} is not in the status: {status:#?}"))
}

fn used(world: &World, stream: &str, shards: f64) {
    let traffic = Traffic::constant(Load::of_shards(shards));
    world.place.set_traffic(stream, traffic);
}

/// A row of the log, as the original wrote it.
fn log_row(stream: &str, at: &str, from: u32, to: u32) -> Value {
    json!({
        "stream_name": {"S": stream},
        "scaling_datetime": {"S": at},
        "shard_count": {"N": from.to_string()},
        "target_shard_count": {"N": to.to_string()},
        "scaling_type": {"S": if to >= from { "SCALE_UP" } else { "SCALE_DOWN" }},
        "expiration_datetime": {"N": "1800000000"},
    })
}

/// Streams in all kinds of situations.
fn situations(world: &World) -> Vec<&'static str> {
    let streams = [
        "busy", "idle", "paused", "manual", "broken", "gone", "moving", "demand",
    ];
    for name in streams {
        world.stream(name, 4);
    }
    for name in [
        "busy", "paused", "manual", "broken", "gone", "moving", "demand",
    ] {
        world.fire(name, "scale-up");
    }
    world.fire("idle", "scale-down");
    used(world, "idle", 0.5);
    world.place.edit_alarm("paused-scale-up-alarm", |alarm| {
        alarm.insert("ActionsEnabled".to_owned(), Value::Bool(false));
    });
    world.place.edit_alarm("manual-scale-down-alarm", |alarm| {
        for query in alarm["Metrics"].as_array_mut().into_iter().flatten() {
            if query["Id"] == "shardCount" {
                query["Expression"] = json!("3");
            }
        }
    });
    world.place.delete_alarm("broken-scale-down-alarm");
    world.place.delete_stream("gone");
    world
        .place
        .reshard_externally("moving", 5)
        .expect("resharded");
    world.place.delete_stream("demand");
    world.place.create_on_demand_stream("demand");
    streams.into()
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_the_one_that_the_tick_has() {
    let world = World::new();
    let streams = situations(&world);
    world.pass(SignedDuration::from_secs(30)).await;
    let config = named(&streams);
    let status = status(&world, &config).await;
    let mut dry = Autoscaler::new(context(&world, &config, true).await, true);
    let report = tick(&mut dry).await;
    for stream in streams {
        let (row, told) = (row(&status, stream), of(&report, stream));
        assert_eq!(
            (row.action, row.target, row.reason, &row.detail, &row.error),
            (
                told.action.code(),
                told.shards_after,
                told.reason.code(),
                &told.detail,
                &told.error
            ),
            "{stream}"
        );
    }
    let reasons: Vec<_> = status.streams.iter().map(|row| row.reason).collect();
    let expected = [
        "alarm",
        "alarm",
        "paused",
        "out_of_sync",
        "contract",
        "stream_missing",
        "updating",
        "on_demand",
    ];
    assert_eq!(reasons, expected, "{status:#?}");
    assert!(
        status.failed(),
        "a broken contract and a missing stream are failures"
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_has_usage_alarms_last_scaling_and_what_is_left_of_the_day() {
    let world = World::new();
    world.stream("orders", 4);
    used(&world, "orders", 3.0);
    for (hour, from, to) in [(2, 1, 2), (5, 2, 4)] {
        let at = format!("2026-11-22T0{hour}:00:00.000000+0000");
        world
            .place
            .put_item(TABLE, log_row("orders", &at, from, to))
            .expect("a row");
    }
    world.stream("quiet", 1);
    let old = log_row("quiet", "2026-11-15T02:00:00.000456+0000", 2, 1);
    world.place.put_item(TABLE, old).expect("a row");
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");

    let config = "[[streams]]\nname = \"orders\"\nmax_shards = 64\n[[streams]]\nalarm = \"quiet-scale-down-alarm\"\n";
    let status = status(&world, config).await;
    let orders = row(&status, "orders");
    assert_eq!(
        (orders.shards, orders.min_shards, orders.max_shards),
        (Some(4), 1, 64)
    );
    for (usage, what) in [(orders.usage_now, "now"), (orders.usage_peak_24h, "peak")] {
        let usage = usage.expect("traffic");
        assert!((usage - 0.75).abs() < 0.01, "{what}: {usage}");
    }
    assert_eq!(orders.scalings_left, Some(8));
    let last = orders.last_scaling.as_ref().expect("a row of the last day");
    assert_eq!(
        (last.shards_before, last.shards_after, last.outcome),
        (2, 4, "done")
    );
    assert_eq!(orders.scale_up_alarm.state, Some("ALARM"));
    assert_eq!(orders.scale_up_alarm.since, Some(status.at));
    assert_eq!(orders.scale_down_alarm.state, Some("OK"));
    assert_eq!((orders.action, orders.target), ("scale_up", Some(6)));

    let quiet = row(&status, "quiet");
    assert_eq!(quiet.scalings_left, Some(10));
    let last = quiet.last_scaling.as_ref().expect("a row of last week");
    assert_eq!((last.shards_before, last.shards_after), (2, 1));
    assert_eq!(
        (quiet.usage_now, quiet.usage_peak_24h),
        (None, None),
        "no data is no usage"
    );
    assert!(!status.failed(), "{status:#?}");

    let json: Value = serde_json::from_str(&status.to_json()).expect("JSON");
    assert_eq!(json["streams"][0]["scale_up_alarm"]["state"], "ALARM");
    assert_eq!(json["streams"][0]["last_scaling"]["shards_after"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_no_row_explains_is_not_by_us() {
    let world = World::new();
    for name in ["ours", "theirs", "undone"] {
        world.stream(name, 4);
    }
    world.pass(SignedDuration::from_hours(30)).await;
    for (name, from, to) in [("ours", 2, 4), ("theirs", 5, 10), ("undone", 8, 10)] {
        let row = log_row(name, "2026-11-22T13:00:00.000000+0000", from, to);
        world.place.put_item(TABLE, row).expect("a row");
    }
    let row = log_row("undone", "2026-11-23T13:00:00.000000+0000", 5, 4);
    world.place.put_item(TABLE, row).expect("a row");
    // A stream that was deleted and created again with another count.
    world.stream("again", 4);
    let row = log_row("again", "2026-11-22T13:00:00.000000+0000", 5, 10);
    world.place.put_item(TABLE, row).expect("a row");
    world.pass(SignedDuration::from_mins(10)).await;
    let config = named(&["ours", "theirs", "undone", "again"]);
    // The rows have no ARN: with another Region they may be those of a stream there.
    let elsewhere = format!("{config}[[streams]]\nname = \"theirs\"\nregion = \"us-east-1\"\n");
    let two = status(&world, &elsewhere).await;
    assert!(
        two.streams.iter().all(|row| row.external.is_empty()),
        "{two:#?}"
    );
    let status = status(&world, &config).await;
    let now = status.at;
    let text = status.to_text(None);
    for (name, note) in [
        ("ours", None),
        ("again", None),
        (
            "theirs",
            Some(format!("10 -> 4 between 2026-11-22T13:00:00Z and {now}")),
        ),
        (
            "undone",
            Some("10 -> 5 between 2026-11-22T13:00:00Z and 2026-11-23T13:00:00Z".to_owned()),
        ),
    ] {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing: {text}"));
        let told = line.split("; not by us: ").nth(1);
        let told = told.map(|told| told.split("; ").next().unwrap_or_default().to_owned());
        assert_eq!(told, note, "{name}: {text}");
    }
    assert!(
        text.contains("hint: no row of the scaling log explains"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&status.to_json()).expect("JSON");
    let theirs = &json["streams"][1]["not_by_us"][0];
    assert_eq!(
        (&theirs["shards_before"], &theirs["shards_after"]),
        (&json!(10), &json!(4))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_is_a_row_with_its_error() {
    let world = World::new();
    world.stream("good", 2);
    world.stream("bad", 2);
    world.sandbox.set_faults(|call| {
        let bad = call
            .resource
            .as_deref()
            .is_some_and(|name| name.contains("bad"));
        if bad && call.operation == "DescribeStreamSummary" {
            return Fault::Refuse {
                status: 400,
                code: "AccessDeniedException".to_owned(),
                message: "not this one".to_owned(),
            };
        }
        Fault::None
    });
    let status = status(&world, &named(&["bad", "good"])).await;
    let bad = row(&status, "bad");
    assert_eq!((bad.reason, bad.shards), ("aws_error", None));
    assert!(
        bad.error
            .as_deref()
            .is_some_and(|error| error.contains("not this one")),
        "{bad:#?}"
    );
    assert_eq!(
        (row(&status, "good").reason, row(&status, "good").shards),
        ("no_alarm", Some(2))
    );
    assert!(status.failed());
    let text = status.to_text(Some(80));
    assert!(text.contains("error: DescribeStreamSummary"), "{text}");
    assert!(text.contains("1 at rest, 1 failed"), "{text}");
    assert!(
        text.contains("hint: allow the action `kinesis:DescribeStreamSummary`"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_rights_or_table_every_row_still_comes() {
    let check = async |deny: &[&str], table: bool, expected: &[&str]| {
        let world = World::new();
        world.stream("orders", 2);
        world.fire("orders", "scale-up");
        for action in deny {
            world.sandbox.deny(action);
        }
        let mut config = world.config(&named(&["orders"]));
        if !table {
            config.log.table = "not-there".to_owned();
        }
        let status = gather(&world.context(config, false).await).await;
        assert!(status.failed(), "{deny:?}");
        for width in [None, Some(80), Some(40), Some(10)] {
            let text = status.to_text(width);
            let words: Vec<&str> = text.split_whitespace().collect();
            for part in expected {
                let part: Vec<&str> = part.split_whitespace().collect();
                let found = words.windows(part.len()).any(|it| it == part);
                assert!(found, "{part:?} is not in\n{text}");
            }
        }
    };
    check(
        &["cloudwatch:DescribeAlarms"],
        true,
        &[
            "orders",
            "hint: allow the action `cloudwatch:DescribeAlarms`",
        ],
    )
    .await;
    check(
        &["kinesis:DescribeStreamSummary"],
        true,
        &[
            "orders",
            "hint: allow the action `kinesis:DescribeStreamSummary`",
        ],
    )
    .await;
    check(
        &["cloudwatch:GetMetricData"],
        true,
        &[
            "orders",
            "hint: allow the action `cloudwatch:GetMetricData`",
        ],
    )
    .await;
    check(
        &["dynamodb:Query"],
        true,
        &[
            "error: the log cannot be read: Query:",
            "hint: allow the action `dynamodb:Query`",
        ],
    )
    .await;
    check(
        &[],
        false,
        &[
            "error: the log cannot be read: Query:",
            "`kinesis-autoscaler table create`",
        ],
    )
    .await;
    let all = [
        "cloudwatch:DescribeAlarms",
        "kinesis:DescribeStreamSummary",
        "cloudwatch:GetMetricData",
        "dynamodb:Query",
    ];
    check(&all, true, &["orders", "1 stream: 1 failed"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_are_read_within_the_quotas() {
    let world = World::new();
    let names: Vec<String> = (0..1000)
        .map(|number| format!("stream-{number:04}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        world.stream(name, 2);
    }
    for name in &names[..10] {
        used(&world, name, 1.0);
    }
    world.sandbox.enforce_quotas(true);
    let status = status(&world, &named(&names)).await;
    assert!(
        !status.failed(),
        "{:#?}",
        status.streams.iter().find(|row| row.error.is_some())
    );
    assert_eq!(status.streams.len(), 1000);
    assert!(
        status.streams[..10]
            .iter()
            .all(|row| row.usage_peak_24h.is_some())
    );
    let calls = world.sandbox.calls();
    let of = |operation: &str| calls.get(operation).copied().unwrap_or(0);
    assert_eq!(of("DescribeAlarms"), 20, "50 pairs a call");
    assert_eq!(of("DescribeStreamSummary"), 1000);
    assert_eq!(of("GetMetricData"), 10, "100 streams a call: {calls:?}");
    assert!(
        of("Query") <= 2001,
        "two a stream, and the pauses: {calls:?}"
    );
    assert!(
        world.sandbox.throttled().is_empty(),
        "{:?}",
        world.sandbox.throttled()
    );
}

#[tokio::test(start_paused = true)]
async fn the_table_fits_the_terminal_and_a_pipe_has_a_line_for_each_stream() {
    let world = World::new();
    let mut streams = situations(&world);
    let long = "a-stream-with-a-name-that-is-far-too-long-for-any-column-of-a-terminal-of-80";
    world.stream(long, 10_000);
    used(&world, long, 9_000.0);
    streams.push(long);
    world.pass(SignedDuration::from_mins(10)).await;
    let status = status(&world, &named(&streams)).await;
    for width in [20_u16, 40, 63, 64, 72, 80, 100, 200] {
        let text = status.to_text(Some(width));
        for line in text.lines() {
            // A word is never broken, so that it can be copied.
            let fits =
                line.chars().count() <= usize::from(width) || line.split_whitespace().count() == 1;
            assert!(fits || width < 40, "{width} columns: {line:?}\n{text}");
            assert_eq!(line, line.trim_end(), "no space at the end of a line");
        }
        for stream in &streams {
            assert!(
                text.contains(stream),
                "{stream} at {width} columns:\n{text}"
            );
        }
    }
    let text = status.to_text(None);
    for stream in &streams {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{stream} ")));
        assert_eq!(lines.count(), 1, "{stream}:\n{text}");
    }
    assert!(text.contains("[#########-]  90%"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_aws_is_told_within_a_minute_however_many_streams_there_are() {
    let world = World::new();
    let names: Vec<String> = (0..500).map(|number| format!("stream-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.sandbox.set_faults(|_| Fault::HangBefore);
    let context = context(&world, &named(&names), false).await;
    let started = tokio::time::Instant::now();
    let status = gather(&context).await;
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    assert!(status.streams.iter().all(|row| row.error.is_some()));

    let started = tokio::time::Instant::now();
    let until = world.clock.now();
    let since = until - SignedDuration::from_hours(7 * 24);
    let failure = history::read(&context, &[], history::Span { since, until }).await;
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    let failure = failure.expect_err("nothing was read").to_string();
    assert!(
        failure.contains("no answer within the deadline"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_metrics_the_reason_stays_and_usage_is_unknown() {
    let world = World::new();
    world.stream("orders", 2);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    world.sandbox.deny("cloudwatch:GetMetricData");
    let status = status(&world, &named(&["orders"])).await;
    let orders = row(&status, "orders");
    assert_eq!(
        (orders.action, orders.reason),
        ("scale_up", "alarm"),
        "{orders:#?}"
    );
    assert_eq!((&orders.error, orders.usage_now), (&None, None));
    assert!(status.failed(), "something could not be read");
    let text = status.to_text(Some(100));
    assert!(text.contains("scale up to 4: alarm"), "{text}");
    assert!(
        text.contains("error: the metrics cannot be read: GetMetricData"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_needs_attention_comes_first() {
    let world = World::new();
    let names = ["at-rest", "scales", "held", "failed"];
    names.iter().for_each(|name| world.stream(name, 2));
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("scales", "scale-up");
    world.fire("held", "scale-up");
    world.place.delete_alarm("failed-scale-up-alarm");
    let mut config = world.config(&named(&names));
    config.subscriptions[2].max_shards = 2;
    let status = gather(&world.context(config, false).await).await;
    for width in [None, Some(50), Some(80), Some(220)] {
        let text = status.to_text(width);
        let place = |name: &&str| match text.starts_with(name) {
            true => Some(0),
            false => text.find(&format!("\n{name}")),
        };
        let mut places: Vec<_> = names.iter().map(|name| (place(name), *name)).collect();
        places.sort_unstable();
        let order: Vec<&str> = places.iter().map(|(_, name)| *name).collect();
        assert_eq!(
            order,
            ["failed", "held", "scales", "at-rest"],
            "{width:?}\n{text}"
        );
    }
    let text = status.to_text(Some(220));
    let line = text.lines().find(|line| line.starts_with("scales"));
    assert!(
        line.is_some_and(|line| line.contains("scale up to 4")),
        "one line each: {text}"
    );
}

#[tokio::test(start_paused = true)]
async fn rejected_records_are_counted_and_at_low_usage_called_a_hot_shard() {
    let world = World::new();
    world.stream("orders", 2);
    let hot = Traffic::constant(Load::of_shards(1.4)).hot_key(1.0);
    world.place.set_traffic("orders", hot);
    world.pass(SignedDuration::from_mins(120)).await;
    let status = status(&world, &named(&["orders"])).await;
    let orders = row(&status, "orders");
    let (hour, day) = (
        orders.rejected_1h.expect("read"),
        orders.rejected_24h.expect("read"),
    );
    assert!(hour > 0 && day > hour, "{orders:#?}");
    let text = status.to_text(Some(100));
    assert!(text.contains(" rejected in the last hour, "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_rejects_records_at_low_usage_is_said_to_have_a_hot_shard() {
    let world = World::new();
    world.stream("orders", 10);
    let hot = Traffic::constant(Load::of_shards(3.5)).hot_key(0.3);
    world.place.set_traffic("orders", hot);
    world.pass(SignedDuration::from_mins(120)).await;
    let found = status(&world, &named(&["orders"])).await;
    let orders = row(&found, "orders");
    assert!(orders.rejected_at_low_usage_24h > Some(0), "{orders:#?}");
    let text = found.to_text(None);
    println!("{text}");
    let says = "it rejects records at so low a usage that a shard is hot";
    assert!(text.contains(says), "{text}");
    assert!(text.contains("`kinesis-autoscaler shards`"), "{text}");
    // Rejected because all shards are full: more of them would help.
    let full = Traffic::constant(Load::of_shards(12.0));
    world.place.set_traffic("orders", full);
    let found = status(&world, &named(&["orders"])).await;
    assert_eq!(row(&found, "orders").rejected_at_low_usage_24h, Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_an_adaptive_stream_and_its_next_look_are_shown() {
    let world = World::new();
    world.stream("orders", 7);
    let steady = Traffic::constant(Load::of_shards(2.3));
    world.place.set_traffic("orders", steady);
    world.pass(SignedDuration::from_mins(120)).await;
    world.fire("orders", "scale-down");
    let config = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"\n";
    let found = status(&world, config).await;
    let orders = row(&found, "orders");
    assert_eq!((orders.policy, orders.reason), ("adaptive", "at_target"));
    let look = orders.next_look.expect("its peak fades by a law");
    // From 2.3 shards to what 4 shards carry at 55 % takes 46 min; looks are at half-hours.
    assert_eq!(look.to_string(), "2026-11-22T15:00:00Z");
    let text = found.to_text(None);
    let says = "; adaptive, next look 2026-11-22T15:00:00Z";
    assert!(text.contains(says), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_without_data_does_not_read_like_the_reason_no_data() {
    let world = World::new();
    world.stream("orders", 2);
    world.place.set_alarm_state(
        "orders-scale-up-alarm",
        "INSUFFICIENT_DATA",
        "the test says so",
    );
    let text = status(&world, &named(&["orders"])).await.to_text(None);
    assert!(
        text.contains("insufficient 0s") && !text.contains("no data"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_stream_is_said_to_be_missing_and_not_its_alarms() {
    let world = World::new();
    let config = named(&["nosuch"]);
    let status = status(&world, &config).await;
    let row = row(&status, "nosuch");
    assert_eq!(row.reason, "stream_missing", "{row:#?}");
    assert_eq!(row.error.as_deref(), Some("stream nosuch does not exist"));
    let hint = "create the stream and then its alarms, or correct the name under [[streams]]";
    assert_eq!(row.detail, hint);
    let mut autoscaler = world.start(&config).await;
    autoscaler.inspect_all();
    let report = tick(&mut autoscaler).await;
    let told = of(&report, "nosuch");
    assert_eq!(
        (told.reason.code(), told.detail.as_str()),
        ("stream_missing", hint)
    );
    let context = context(&world, &config, false).await;
    let target = Target {
        to: Some(4),
        by: None,
    };
    let failure = scale::plan(&context, SubscriptionId::new(0), target).await;
    let failure = failure.expect_err("there is nothing to scale").to_string();
    assert!(
        failure.contains("stream nosuch does not exist") && failure.contains(hint),
        "{failure}"
    );
    // Where only the alarms are missing, they are what has to be created.
    world.place.create_stream("nosuch", 2);
    let failure = scale::plan(&context, SubscriptionId::new(0), target).await;
    let failure = failure.expect_err("it has no alarms").to_string();
    assert!(failure.contains("alarms create"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_cloudwatch_could_not_evaluate_is_shown_with_what_it_means() {
    let world = World::new();
    world.stream("orders", 2);
    world.stream("clicks", 2);
    world.pass(SignedDuration::from_mins(10)).await;
    world.place.edit_alarm("orders-scale-up-alarm", |alarm| {
        alarm.insert("EvaluationState".to_owned(), json!("PARTIAL_DATA"));
    });
    let status = status(&world, &named(&["clicks", "orders"])).await;
    let json: Value = serde_json::from_str(&status.to_json()).expect("JSON");
    let states: Vec<&Value> = json["streams"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| &row["scale_up_alarm"]["evaluation_state"])
        .collect();
    assert_eq!(states, [&Value::Null, &json!("PARTIAL_DATA")]);
    let said =
        "orders-scale-up-alarm is in PARTIAL_DATA: CloudWatch could not read all of its metrics";
    for width in [None, Some(200), Some(120)] {
        let text = status.to_text(width);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{width:?}: {text}");
        let (orders, clicks) = (text.find("\norders"), text.find("\nclicks"));
        assert!(orders < clicks, "it comes first: {text}");
    }
}
