//! Whole ticks through the real SDK clients against the sandbox.

use std::{collections::BTreeMap, time::Duration};

use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::reconcile::tick::Autoscaler;
use serde_json::{Value, json};

use crate::world::{World, acted, failed, held, named, of, tick};

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

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    world.place.create_stream("payments", 3);
    world.place.pair("payments", 2);
    world.pass(minutes(10)).await;
    world.fire("orders", "scale-up");
    world.fire("payments", "scale-up");
    let context = world
        .context(world.config(&named(&["orders", "payments"])), true)
        .await;
    let report = tick(&mut Autoscaler::new(context, true)).await;
    acted(&report, "orders", "scale_up", 2, 4);
    acted(&report, "payments", "sync_alarms", 3, 3);
    let reads = [
        "DescribeAlarms",
        "DescribeStreamSummary",
        "GetMetricData",
        "ListAlarmMuteRules",
        "Query",
        "GetItem",
    ];
    assert!(
        report
            .api_calls
            .keys()
            .all(|call| reads.contains(&call.as_str())),
        "{:?}",
        report.api_calls
    );
    assert_eq!((world.shards("orders"), world.rows().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn broken_contracts_and_missing_things_are_told_by_name_and_change_nothing() {
    type Break = fn(&World);
    let cases: &[(&str, Break, &str)] = &[
        (
            "contract",
            |w| w.place.delete_alarm("s-scale-down-alarm"),
            "alarm s-scale-down-alarm does not exist",
        ),
        (
            "contract",
            |w| shard_count(w, "abc"),
            "not a positive whole number",
        ),
        (
            "contract",
            |w| shard_count(w, "0"),
            "not a positive whole number",
        ),
        (
            "contract",
            |w| without_query(w, "shardCount"),
            "id `shardCount`",
        ),
        (
            "contract",
            |w| {
                without_query(w, "incomingBytes");
                without_query(w, "incomingRecords")
            },
            "no `incomingBytes` or `incomingRecords`",
        ),
        (
            "contract",
            |w| other_stream(w),
            "measures the stream other, not s",
        ),
        (
            "contract",
            |w| {
                w.place.edit_alarm("s-scale-down-alarm", |a| {
                    a.insert("Severity".into(), json!(1));
                })
            },
            "has the field Severity",
        ),
        (
            "stream_missing",
            |w| w.place.delete_stream("s"),
            "stream s does not exist",
        ),
        (
            "aws_error",
            |w| w.sandbox.deny("kinesis:DescribeStreamSummary"),
            "not authorized to perform: kinesis:DescribeStreamSummary",
        ),
        (
            "aws_error",
            |w| w.sandbox.deny("cloudwatch:DescribeAlarms"),
            "not authorized to perform: cloudwatch:DescribeAlarms",
        ),
    ];
    for (reason, break_it, error) in cases {
        let world = World::new();
        world.stream("s", 2);
        world.stream("other", 2);
        world.pass(minutes(10)).await;
        break_it(&world);
        world.fire("s", "scale-up");
        let alarm = world.place.alarm("s-scale-up-alarm");
        let report = tick(&mut world.start(&named(&["s"])).await).await;
        failed(&report, "s", reason, error);
        assert!(report.failed());
        assert_eq!(
            world.place.alarm("s-scale-up-alarm"),
            alarm,
            "{error}: the alarm is left alone"
        );
        assert_eq!(world.rows().len(), 0, "{error}: nothing is logged");
    }
}

fn shard_count(world: &World, expression: &str) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        for query in alarm["Metrics"].as_array_mut().expect("queries") {
            if query["Id"] == "shardCount" {
                query["Expression"] = json!(expression);
            }
        }
    });
}

fn without_query(world: &World, id: &str) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        alarm["Metrics"]
            .as_array_mut()
            .expect("queries")
            .retain(|query| query["Id"] != id);
    });
}

fn other_stream(world: &World) {
    world.place.edit_alarm("s-scale-up-alarm", |alarm| {
        let text = serde_json::to_string(&alarm["Metrics"])
            .expect("JSON")
            .replace("\"Value\":\"s\"", "\"Value\":\"other\"");
        alarm["Metrics"] = serde_json::from_str(&text).expect("JSON");
    });
}

#[tokio::test(start_paused = true)]
async fn denied_rights_name_the_action_that_is_missing() {
    for (action, hint) in [
        ("kinesis:UpdateShardCount", "kinesis:UpdateShardCount"),
        ("cloudwatch:PutMetricAlarm", "cloudwatch:PutMetricAlarm"),
        ("cloudwatch:SetAlarmState", "cloudwatch:SetAlarmState"),
    ] {
        let world = World::new();
        world.stream("orders", 2);
        world.pass(minutes(10)).await;
        world.fire("orders", "scale-up");
        world.sandbox.deny(action);
        let report = tick(&mut world.start(&named(&["orders"])).await).await;
        let entry = of(&report, "orders");
        assert!(
            entry.error.as_deref().unwrap_or_default().contains(hint),
            "{action}: {entry:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_stream_that_hangs_or_fails_delays_no_other() {
    let world = World::new();
    for name in ["hangs", "fails", "fine"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    ["hangs", "fails", "fine"]
        .iter()
        .for_each(|name| world.fire(name, "scale-up"));
    world.sandbox.set_faults(
        |call| match (call.operation.as_str(), call.resource.as_deref()) {
            ("DescribeStreamSummary", Some(name)) if name.ends_with("hangs") => Fault::HangBefore,
            ("DescribeStreamSummary", Some(name)) if name.ends_with("fails") => Fault::Refuse {
                status: 500,
                code: "InternalFailure".to_owned(),
                message: "broken".to_owned(),
            },
            _ => Fault::None,
        },
    );
    let mut autoscaler = world.start(&named(&["hangs", "fails", "fine"])).await;
    let report = tick(&mut autoscaler).await;
    acted(&report, "fine", "scale_up", 2, 4);
    failed(
        &report,
        "hangs",
        "aws_error",
        "no answer within the deadline",
    );
    failed(&report, "fails", "aws_error", "InternalFailure");
    let fine_done = world
        .sandbox
        .request_log()
        .iter()
        .find(|call| call.operation == "UpdateShardCount")
        .map(|call| call.at);
    let started: jiff::Timestamp = "2026-11-22T12:10:00Z".parse().expect("a time");
    assert_eq!(fine_done, Some(started), "the healthy stream did not wait");
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
async fn what_outlasts_a_tick_is_told_and_goes_on() {
    let world = World::new();
    world.stream("slow", 2);
    world.pass(minutes(10)).await;
    world.fire("slow", "scale-up");
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "PutMetricAlarm" => Fault::Slow(Duration::from_secs(4)),
            _ => Fault::None,
        });
    let mut autoscaler = world.start(&named(&["slow"])).await;
    held(
        &autoscaler.tick(Duration::from_secs(2)).await,
        "slow",
        "in_progress",
    );
    world.pass(minutes(1)).await;
    acted(&tick(&mut autoscaler).await, "slow", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_from_cron_sees_new_alarms_while_it_waits_for_the_quota() {
    let world = World::new();
    for name in ["early", "late"] {
        world.stream(name, 2);
    }
    world.pass(minutes(10)).await;
    world.fire("early", "scale-up");
    let slow = "[quotas]\nput_metric_alarm = 0.005\n";
    let mut autoscaler = world
        .start(&format!("{slow}{}", named(&["early", "late"])))
        .await;
    let started = world.clock.now();
    let (wait, within) = (Duration::from_secs(50), Duration::from_secs(3600));
    let run = autoscaler.run_once(wait, within);
    let alarm = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.fire("late", "scale-up");
    };
    let (report, ()) = tokio::join!(run, alarm);
    acted(&report, "early", "scale_up", 2, 4);
    acted(&report, "late", "scale_up", 2, 4);
    let scaling_log = world.sandbox.request_log();
    let reshardings = scaling_log
        .iter()
        .filter(|call| call.operation == "UpdateShardCount")
        .map(|call| call.at.duration_since(started).as_secs());
    assert_eq!(
        reshardings.collect::<Vec<_>>(),
        [0, 50],
        "seconds into the run, whose alarm rewriting takes 600 s"
    );
    assert_eq!(autoscaler.under_way(), 0, "it has waited for its work");
    let polls = report.api_calls["DescribeAlarms"];
    assert!(
        polls > 10,
        "one report of all its ticks, with {polls} polls"
    );
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
