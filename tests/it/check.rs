//! `check`: silent on a good setup, and one finding for each fault that is seeded into it.

use autoscaler_sandbox::{Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::Output,
    commands::{
        check::{self, Findings, Scope},
        provision::alarms,
    },
    config::Config,
};
use serde_json::{Map, Value, json};

use crate::world::{REGION, TABLE, World};

mod faults;
mod offline;

const UP: &str = "orders-scale-up-alarm";
const DOWN: &str = "orders-scale-down-alarm";

/// Correct streams and pairs, with traffic, and without actions of others.
fn good() -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.stream("clicks", 1);
    world
        .place
        .set_traffic("orders", Traffic::constant(Load::of_shards(2.0)));
    for alarm in world.place.alarm_names() {
        world.place.edit_alarm(&alarm, |alarm| {
            alarm.insert(
                "AlarmActions".into(),
                json!(["arn:aws:sns:eu-west-1:123456789012:on-call"]),
            );
        });
    }
    world.place.edit_alarm("clicks-scale-down-alarm", |alarm| {
        set(alarm, "ActionsEnabled", json!(false))
    });
    world
}

const STREAMS: &str = "[[streams]]\nname = \"orders\"\n[[streams]]\nalarm = \"clicks-scale-up-alarm\"\nmax_shards = 64\n";

fn set(alarm: &mut Map<String, Value>, field: &str, value: Value) {
    alarm.insert(field.to_owned(), value);
}

/// The query with this id.
fn query<'a>(alarm: &'a mut Map<String, Value>, id: &str) -> &'a mut Value {
    let queries = alarm.get_mut("Metrics").and_then(Value::as_array_mut);
    let mut queries = queries.expect("a metric math alarm").iter_mut();
    queries
        .find(|query| query["Id"] == id)
        .expect("a query with this id")
}

fn drop_query(alarm: &mut Map<String, Value>, id: &str) {
    let queries = alarm.get_mut("Metrics").and_then(Value::as_array_mut);
    queries
        .expect("a metric math alarm")
        .retain(|query| query["Id"] != id);
}

/// The findings where pairs are not expected to react to rejected records.
async fn examine(world: &World, streams: &str) -> Findings {
    examine_config(world, world.config(streams)).await
}

async fn examine_config(world: &World, mut config: Config) -> Findings {
    config.alarms.throttle_share = 0.0;
    check::examine(&world.context(config, false).await, Scope::Chosen).await
}

#[tokio::test(start_paused = true)]
async fn a_good_setup_is_silent_but_for_the_summary() {
    let world = good();
    world.sandbox.enforce_quotas(true);
    let found = examine(&world, STREAMS).await;
    assert_eq!(found.all, []);
    let text = found.render(Output::Text, None, false, None);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "checked 2 streams, their alarms and the log table: all is well"
    );
    assert!(
        lines[1].starts_with("not verified, because that would modify resources: permission for "),
        "{text}"
    );
    for action in [
        "kinesis:UpdateShardCount",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:SetAlarmState",
        "dynamodb:PutItem",
    ] {
        assert!(lines[1].contains(action), "{action} in {text}");
    }
    assert!(!lines[1].contains("Describe"), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
    let json: Value =
        serde_json::from_str(&found.render(Output::Json, None, false, None)).expect("JSON");
    assert_eq!(
        (&json["streams"], &json["errors"], &json["findings"]),
        (&json!(2), &json!(0), &json!([]))
    );
    let scaling_log = world.sandbox.request_log();
    let wrote = |operation: &str| {
        !["Describe", "List", "Get", "Query"]
            .iter()
            .any(|read| operation.starts_with(read))
    };
    assert!(
        scaling_log.iter().all(|call| !wrote(&call.operation)),
        "a check only reads: {scaling_log:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn bounds_twice_named_streams_and_the_table_are_checked_by_the_configuration() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "[[streams]]\nname = \"orders\"\nmax_shards = 3\n",
            "out_of_bounds",
            "orders has 4 shards, above max_shards = 3",
        ),
        (
            "[[streams]]\nname = \"orders\"\nmin_shards = 5\n",
            "out_of_bounds",
            "orders has 4 shards, below min_shards = 5",
        ),
        (
            "[[streams]]\nname = \"orders\"\nalarm_name = \"x-{direction}\"\n[[streams]]\nalarm = \"orders-scale-up-alarm\"\n",
            "subscribed_twice",
            "streams[0]",
        ),
    ];
    for (streams, rule, words) in cases {
        let world = good();
        for (from, to) in [(UP, "x-scale-up"), (DOWN, "x-scale-down")] {
            let mut alarm = world.place.alarm(from).expect("there");
            alarm["AlarmName"] = json!(to);
            world.place.put_alarm(alarm);
        }
        let found = examine(&world, streams).await;
        let rules: Vec<&str> = found.all.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [*rule], "{:#?}", found.all);
        assert!(
            found
                .render(Output::Text, None, false, None)
                .contains(words),
            "{:#?}",
            found.all
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_room_for_the_next_scale_up_is_checked_where_nothing_else_bounds_it() {
    let world = good();
    world.place.set_shard_limit(6);
    let found = examine(&world, "[[streams]]\nname = \"orders\"\n").await;
    let text = found.render(Output::Text, None, false, None);
    let line = "warning: orders: the next scale-up from 4 to 6 does not fit: 5 of the account's 6 shards are open";
    assert!(text.starts_with(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn where_only_the_log_is_only_the_log_is_checked() {
    let world = good();
    let streams = "[[streams]]\nname = \"orders\"\nregion = \"us-east-1\"\n";
    let far = world.sandbox.region("us-east-1");
    far.create_stream("orders", 2);
    far.pair("orders", 2);
    let found = examine(&world, streams).await;
    let rules: Vec<&str> = found.all.iter().map(|it| it.rule).collect();
    assert_eq!(rules, ["old_topic", "old_topic"], "{:#?}", found.all);
    let scaling_log = world.sandbox.request_log();
    let home: Vec<_> = scaling_log
        .iter()
        .filter(|call| call.region == REGION)
        .map(|call| call.service)
        .collect();
    assert!(
        home.iter().all(|service| *service == "dynamodb"),
        "{home:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_log_table_is_held_against_what_the_log_needs() {
    let cases: &[(&str, &str, Option<&str>, &str, &str)] = &[
        (
            "stream_name",
            "scaling_datetime",
            None,
            "table_ttl",
            "table create",
        ),
        (
            "stream_name",
            "scaling_datetime",
            Some("expires"),
            "table_ttl",
            "goes by expires",
        ),
        (
            "stream_name",
            "when",
            Some("expiration_datetime"),
            "table_keys",
            "stream_name and when",
        ),
        ("", "", None, "table_missing", "table create"),
    ];
    for (hash, range, ttl, rule, words) in cases {
        let world = good();
        if !hash.is_empty() {
            world.place.create_table("other", hash, range, *ttl);
        }
        let mut config = world.config(STREAMS);
        config.log.table = "other".to_owned();
        let found = examine_config(&world, config).await;
        let told: Vec<_> = found
            .all
            .iter()
            .map(|it| (it.rule, it.subject.as_str()))
            .collect();
        assert_eq!(told, [(*rule, "other")], "{:#?}", found.all);
        assert!(
            found
                .render(Output::Text, None, false, None)
                .contains(words),
            "{:#?}",
            found.all
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_is_named_with_its_type() {
    for kind in ["N", "B"] {
        let world = good();
        world.place.create_table_of_kind("other", kind);
        let mut config = world.config(STREAMS);
        config.log.table = "other".to_owned();
        let found = examine_config(&world, config).await;
        let text = found.render(Output::Text, None, false, None);
        let line =
            format!("error: other: its key scaling_datetime has the type {kind}, not S; name");
        assert!(text.starts_with(&line), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_are_checked_within_the_quotas() {
    let world = World::new();
    let mut streams = String::new();
    for number in 0..1_000 {
        let name = format!("s{number:04}");
        world.stream(&name, 2);
        streams += &format!("[[streams]]\nname = \"{name}\"\n");
    }
    for alarm in world.place.alarm_names() {
        world
            .place
            .edit_alarm(&alarm, |alarm| set(alarm, "AlarmActions", json!([])));
    }
    world.place.delete_alarm("s0500-scale-down-alarm");
    world.sandbox.enforce_quotas(true);
    let found = examine(&world, &streams).await;
    assert_eq!(found.all.len(), 1, "{:#?}", found.all);
    assert_eq!(found.all[0].stream.as_deref(), Some("s0500"));
    assert_eq!(world.sandbox.throttled(), Default::default());
    let calls = world.sandbox.calls();
    assert_eq!(
        (calls["DescribeAlarms"], calls["DescribeStreamSummary"]),
        (20, 1_000),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_told_once_whatever_the_number_of_streams() {
    let world = good();
    world.sandbox.deny("kinesis:DescribeStreamSummary");
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    let streams: String = (0..200)
        .map(|n| format!("[[streams]]\nname = \"s{n}\"\n"))
        .collect();
    let found = examine(&world, &streams).await;
    assert_eq!(found.all.len(), 2, "{:#?}", found.all);
    assert_eq!(
        world.sandbox.calls()["DescribeAlarms"],
        1,
        "it is not asked again for every 50 streams"
    );
}

#[tokio::test(start_paused = true)]
async fn findings_name_the_region_where_there_are_several() {
    let world = good();
    world.sandbox.region("us-east-1").create_stream("far", 1);
    let streams = format!("{STREAMS}[[streams]]\nname = \"far\"\nregion = \"us-east-1\"\n");
    let text = examine(&world, &streams)
        .await
        .render(Output::Text, None, false, None);
    let line = "error: far-scale-up-alarm (us-east-1), far-scale-down-alarm (us-east-1): does not exist; create the pair with";
    assert!(text.starts_with(line), "{text}");
    assert!(!text.contains(REGION) && !text.contains(TABLE), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_does_not_see_rejected_records_is_recommended_the_signal() {
    let world = good();
    let context = world.context(world.config(STREAMS), false).await;
    let found = check::examine(&context, Scope::Chosen).await;
    let rules: Vec<_> = found.all.iter().map(|it| (it.rule, it.severity)).collect();
    assert_eq!(rules, [("no_throttle_signal", check::Severity::Info); 4]);
    let text = found.render(Output::Text, None, false, None);
    assert!(text.starts_with("info: orders-scale-up-alarm,"), "{text}");
    assert!(text.contains("alarms create --replace"), "{text}");
    assert!(
        text.contains("compare MAX([FILL(incomingBytes,0)/(1024*1024*60*5*shardCount)"),
        "{text}"
    );
    assert!(text.contains("IF((FILL(throttled,0) > 0.005*("), "{text}");
    let given = kinesis_autoscaler::cli::Design::default();
    let made = alarms::create(&context, &[], true, &given, Output::Json, None).await;
    assert!(made.expect("it runs").failures.is_empty());
    assert_eq!(
        check::examine(&context, Scope::Chosen).await.all,
        [],
        "after --replace"
    );
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_stream_is_held_against_the_numbers_of_its_policy() {
    let world = good();
    let adaptive = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"\n";
    let found = examine(&world, adaptive).await;
    let told: Vec<_> = found
        .all
        .iter()
        .map(|it| (it.rule, it.subject.as_str()))
        .collect();
    let expected = [UP, DOWN, DOWN].map(|alarm| ("adaptive_alarms", alarm));
    assert_eq!(told, expected, "{:#?}", found.all);
    for alarm in [UP, DOWN] {
        world.place.delete_alarm(alarm);
    }
    let context = world.context(world.config(adaptive), false).await;
    let given = kinesis_autoscaler::cli::Design::default();
    let made = alarms::create(&context, &[], false, &given, Output::Json, None).await;
    assert!(made.expect("it runs").failures.is_empty());
    assert_eq!(
        check::examine(&context, Scope::Chosen).await.all,
        [],
        "with the policy's pair"
    );
}

#[tokio::test(start_paused = true)]
async fn a_high_scale_up_threshold_of_an_adaptive_stream_is_said_to_scale_late() {
    let world = good();
    let adaptive = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"\n";
    for (threshold, is_late) in [(0.75, false), (0.76, true), (1.2, true)] {
        world.place.edit_alarm(UP, |alarm| {
            alarm.insert("Threshold".to_owned(), json!(threshold));
        });
        let found = examine(&world, adaptive).await;
        let late = |it: &check::Finding| {
            it.subject == UP && it.message.contains("scale-ups come later, and more")
        };
        assert_eq!(
            found.all.iter().any(late),
            is_late,
            "{threshold}: {:#?}",
            found.all
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_the_adaptive_policy_are_said_in_words() {
    let world = good();
    for (settings, expected) in [
        ("", None),
        ("memory = \"12h\"\nfill = 0.55\nsaving = 0.3", None),
        (
            "fill = 0.7\nsaving = 0.1",
            Some(
                "fill is 0.7: after a scale-down the remembered peak uses up to 70 % of the shards, and 30 % are spare; \
                 saving is 0.1: a scale-down removes at least 10 % of the shards",
            ),
        ),
        (
            "fill = 0.701\nsaving = 0.283",
            Some(
                "fill is 0.701: after a scale-down the remembered peak uses up to 70.1 % of the shards, and 29.9 % are spare; \
                 saving is 0.283: a scale-down removes at least 28.3 % of the shards",
            ),
        ),
        (
            "memory = \"1day\"",
            Some(
                "memory is 1day: half of a peak is forgotten in 1day, so that after a peak of twice the usual demand \
                 the shards for it are kept about that long",
            ),
        ),
    ] {
        let entry = "[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"";
        let found = examine(&world, &format!("{entry}\n{settings}\n")).await;
        let finding = found.all.iter().find(|it| it.rule == "adaptive_settings");
        let message = finding.map(|it| it.message.as_str());
        assert_eq!(message, expected, "{settings}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_rejects_records_at_low_usage_has_a_hot_shard() {
    let world = good();
    let hot = Traffic::constant(Load::of_shards(1.5)).hot_key(1.0);
    world.place.set_traffic("orders", hot);
    world.pass(SignedDuration::from_mins(60)).await;
    let found = examine(&world, STREAMS).await;
    let finding = found.all.iter().find(|it| it.rule == "hot_shard");
    let finding = finding.unwrap_or_else(|| panic!("{:#?}", found.all));
    println!("{} {}: {}", finding.subject, finding.message, finding.fix);
    assert!(
        finding
            .message
            .starts_with("it rejects records at so low a usage")
    );
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_of_an_adaptive_stream_must_not_lead_to_its_scale_up_threshold() {
    let world = good();
    let fill = |fill: &str| {
        format!("[[streams]]\nname = \"orders\"\npolicy = \"adaptive\"\nfill = {fill}\n")
    };
    for (value, flaps) in [
        ("0.55", false),
        ("0.74", false),
        ("0.75", true),
        ("0.9", true),
    ] {
        let found = examine(&world, &fill(value)).await;
        let flapping = found.all.iter().find(|it| it.rule == "flapping");
        assert_eq!(flapping.is_some(), flaps, "{value}: {:#?}", found.all);
    }
}

#[tokio::test(start_paused = true)]
async fn provisioned_streams_that_nothing_subscribes_are_listed() {
    let world = good();
    world.place.create_stream("stray", 2);
    world.place.create_on_demand_stream("elastic");
    let context = world.context(world.config(STREAMS), false).await;
    let found = check::examine(&context, Scope::All).await;
    let stray = ("stray".to_owned(), REGION.to_owned());
    assert_eq!(found.unsubscribed, [stray]);
    let text = found.render(Output::Text, None, false, None);
    assert!(
        text.contains("\nnot subscribed: stray (eu-west-1)\n"),
        "{text}"
    );
    let chosen = check::examine(&context, Scope::Chosen).await;
    assert!(chosen.unsubscribed.is_empty(), "--stream asks for less");
}

#[tokio::test(start_paused = true)]
async fn the_summary_counts_lines_and_strict_makes_warnings_fail() {
    let world = World::new();
    let names: Vec<String> = (0..11).map(|n| format!("s{n:02}")).collect();
    names.iter().for_each(|name| world.stream(name, 2));
    let streams: String = names
        .iter()
        .map(|name| format!("[[streams]]\nname = \"{name}\"\n"))
        .collect();
    let found = examine(&world, &streams).await;
    let text = found.render(Output::Text, None, false, None);
    let lines = text
        .lines()
        .filter(|line| line.starts_with("warning: "))
        .count();
    assert!(
        text.contains(&format!("the log table: {lines} warnings\n")),
        "{text}"
    );
    assert!(
        names.iter().all(|name| text.contains(name.as_str())),
        "{text}"
    );
    assert_eq!((found.failed(false), found.failed(true)), (false, true));
}

#[tokio::test(start_paused = true)]
async fn scale_ups_that_are_held_are_reported_with_what_to_do() {
    let check = async |config: &str, calls: i64, expected: &[&str]| {
        let world = good();
        world.pass(SignedDuration::from_mins(10)).await;
        world.fire("orders", "scale-up");
        for call in 1..=calls {
            let at = world.clock.now() - SignedDuration::from_mins(60 * call);
            let at = at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string();
            let row = json!({"stream_name": {"S": "orders"}, "scaling_datetime": {"S": at}});
            world.place.put_item(TABLE, row).expect("a row");
        }
        let streams = format!("[[streams]]\nname = \"orders\"\n{config}");
        let text = examine(&world, &streams)
            .await
            .render(Output::Text, None, false, None);
        for part in expected {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert_eq!(text.contains("is held"), !expected.is_empty(), "{text}");
    };
    check("", 9, &[]).await;
    check(
        "",
        10,
        &[
            "warning: orders: its scale-up is held (daily_limit)",
            "AWS Support",
        ],
    )
    .await;
    check(
        "max_shards = 4\n",
        0,
        &["warning: orders: its scale-up is held (at_max_shards)"],
    )
    .await;
    check(
        "cooldown_up = \"2h\"\n",
        1,
        &["info: orders: its scale-up is held (cooldown)"],
    )
    .await;
}
