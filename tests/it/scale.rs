//! `scale`: refusals, targets that take several calls, and what an interrupted scaling leaves.

mod refusals;

use std::sync::Arc;

use autoscaler_core::subscription::SubscriptionId;
use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::{Output, Scale, Step, Target},
    commands::{
        consent::Consent,
        scale::{self, OutOfRange},
    },
    output::error::{Exit, Failure},
    reconcile::context::Context,
};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{TABLE, World, named, tick};

fn to(count: u32) -> Target {
    Target {
        to: Some(count),
        by: None,
    }
}

fn by(step: &str) -> Target {
    Target {
        to: None,
        by: Some(step.parse::<Step>().expect("a step")),
    }
}

fn args(stream: &str, target: Target) -> Scale {
    Scale {
        stream: stream.to_owned(),
        target,
        region: None,
        account: None,
        wait: false,
        yes: true,
        note: None,
        force_max: None,
    }
}

async fn context(world: &World, text: &str) -> Arc<Context> {
    world.context(world.config(text), false).await
}

async fn scaled(world: &World, stream: &str, target: Target) -> Result<Exit, Failure> {
    let context = context(world, &named(&["orders"])).await;
    scale::run(
        &context,
        &args(stream, target),
        Output::Text,
        Consent::Given,
    )
    .await
}

#[test]
fn targets_are_counts_differences_or_percentages_rounded_up() {
    let cases: &[(u32, Target, Result<u32, OutOfRange>)] = &[
        (4, to(9), Ok(9)),
        (4, to(4), Ok(4)),
        (4, by("+4"), Ok(8)),
        (4, by("-3"), Ok(1)),
        (
            4,
            by("-4"),
            Err(OutOfRange {
                from: 4,
                step: "-4".to_owned(),
                to: 0,
            }),
        ),
        (
            9_999,
            by("+2"),
            Err(OutOfRange {
                from: 9_999,
                step: "+2".to_owned(),
                to: 10_001,
            }),
        ),
        (4, by("25%"), Ok(5)),
        (2, by("25%"), Ok(3)),
        (3, by("100%"), Ok(6)),
        (10, by("-25%"), Ok(8)),
        (7, by("-50%"), Ok(4)),
        (1, by("-50%"), Ok(1)),
        (
            9_000,
            by("100%"),
            Err(OutOfRange {
                from: 9_000,
                step: "+100%".to_owned(),
                to: 18_000,
            }),
        ),
    ];
    for (n, target, expected) in cases {
        assert_eq!(scale::target(*n, *target), *expected, "{n} {target:?}");
    }
}

#[test]
fn the_way_doubles_and_halves() {
    let cases: &[(u32, u32, &[u32])] = &[
        (2, 4, &[4]),
        (2, 3, &[3]),
        (2, 5, &[4, 5]),
        (1, 10, &[2, 4, 8, 10]),
        (10, 5, &[5]),
        (10, 4, &[5, 4]),
        (7, 1, &[4, 2, 1]),
        (
            1,
            10_000,
            &[
                2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 10_000,
            ],
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(scale::steps(*from, *to), *expected, "{from} -> {to}");
    }
}

proptest! {
    #[test]
    fn every_step_is_one_that_aws_takes(from in 1_u32..=10_000, to in 1_u32..=10_000) {
        let steps = scale::steps(from, to);
        prop_assert_eq!(steps.last().copied().unwrap_or(from), to);
        prop_assert!(steps.len() <= 14);
        let mut at = from;
        for step in steps {
            prop_assert!(step != at && step <= 2 * at && step >= at.div_ceil(2));
            at = step;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_reshards_syncs_both_alarms_and_is_logged_as_manual() {
    let world = World::new();
    world.stream("orders", 4);
    scaled(&world, "orders", by("25%")).await.expect("it works");
    assert_eq!(world.shards("orders"), 5);
    for alarm in ["orders-scale-up-alarm", "orders-scale-down-alarm"] {
        assert_eq!(world.recorded(alarm), "5", "{alarm}");
        assert_eq!(world.state_of(alarm), "INSUFFICIENT_DATA", "{alarm}");
    }
    let rows = world.rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    for (key, value) in [
        ("shard_count", json!({"N": "4"})),
        ("target_shard_count", json!({"N": "5"})),
        ("scaling_type", json!({"S": "SCALE_UP"})),
        ("reason", json!({"S": "manual"})),
        ("outcome", json!({"S": "done"})),
    ] {
        assert_eq!(rows[0][key], value, "{key}");
    }
    assert_eq!(world.place.items(TABLE).len(), 1, "no marker is left");
}

#[tokio::test(start_paused = true)]
async fn a_far_count_takes_several_calls_each_on_an_active_stream() {
    for (from, to, calls) in [(2, 16, 3), (9, 2, 3)] {
        let world = World::new();
        world.stream("orders", from);
        let context = context(&world, &named(&["orders"])).await;
        let mut far = args("orders", self::to(to));
        far.wait = true;
        scale::run(&context, &far, Output::Json, Consent::Given)
            .await
            .expect("it works");
        let stream = world.place.stream("orders").expect("there");
        assert_eq!(
            (
                stream.status.as_str(),
                stream.open_shards,
                stream.update_calls_24h
            ),
            ("ACTIVE", to, calls)
        );
        assert_eq!(world.recorded("orders-scale-up-alarm"), to.to_string());
        assert_eq!(world.rows().len(), calls);
        assert!(world.rows().iter().all(|row| row["outcome"]["S"] == "done"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_named_by_its_alarm_and_found_by_it() {
    let world = World::new();
    world.stream("clicks", 2);
    for name in ["clicks", "clicks-scale-down-alarm"] {
        let before = world.shards("clicks");
        let context = context(&world, "[[streams]]\nalarm = \"clicks-scale-up-alarm\"\n").await;
        let mut one = args(name, by("+1"));
        one.wait = true;
        scale::run(&context, &one, Output::Text, Consent::Given)
            .await
            .expect("it works");
        assert_eq!(world.shards("clicks"), before + 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    let context = world.context(world.config(&named(&["orders"])), true).await;
    for output in [Output::Text, Output::Json] {
        scale::run(&context, &args("orders", to(16)), output, Consent::Given)
            .await
            .expect("it is planned");
    }
    assert_eq!((world.shards("orders"), world.rows().len()), (2, 0));
    assert!(!world.sandbox.calls().contains_key("PutMetricAlarm"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_the_count_already_needs_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    let exit = scaled(&world, "orders", to(2)).await;
    assert_eq!(exit.expect("there is nothing to refuse"), Exit::Done);
    assert_eq!(world.rows().len(), 0, "nothing is logged");
    let calls = world.sandbox.calls();
    assert!(!calls.contains_key("UpdateShardCount"), "{calls:?}");
    assert!(!calls.contains_key("PutMetricAlarm"), "{calls:?}");
    // A person has resharded, and asks for the count that it has now.
    world.place.reshard_externally("orders", 3).expect("ACTIVE");
    world.pass(SignedDuration::from_mins(5)).await;
    let context = context(&world, &named(&["orders"])).await;
    let plan = scale::plan(&context, SubscriptionId::new(0), to(3))
        .await
        .expect("it may");
    let text = plan.to_text(None);
    for words in ["has 3 shards already", "its alarms record 2"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_scaling_has_left_open_is_settled_first() {
    let world = World::new();
    world.stream("orders", 2);
    // The answer is lost, and the process is gone with the row open and the alarms at the old
    // count.
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "UpdateShardCount" => Fault::ResetAfter,
            _ => Fault::None,
        });
    let failure = scaled(&world, "orders", to(4))
        .await
        .expect_err("it is in doubt")
        .to_string();
    assert!(
        failure.contains("the next look at the stream finds out"),
        "{failure}"
    );
    world.sandbox.clear_faults();
    assert_eq!(world.rows()[0]["outcome"]["S"], "open");
    let failure = scaled(&world, "orders", to(6))
        .await
        .expect_err("it is UPDATING")
        .to_string();
    assert!(failure.contains("UPDATING"), "{failure}");
    world.pass(SignedDuration::from_mins(5)).await;
    scaled(&world, "orders", to(6))
        .await
        .expect("settled, then scaled");
    let outcomes: Vec<_> = world
        .rows()
        .iter()
        .map(|row| (row["shard_count"]["N"].clone(), row["outcome"]["S"].clone()))
        .collect();
    assert_eq!(
        outcomes,
        [(json!("2"), json!("done")), (json!("4"), json!("done"))]
    );
    assert_eq!(world.recorded("orders-scale-up-alarm"), "6");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_resharding_between_two_calls_stops_it() {
    let world = World::new();
    world.stream("orders", 2);
    let place = world.place.clone();
    let mut looks = 0;
    world.sandbox.set_faults(move |call| {
        // The second read after the first call finds the stream ACTIVE; then a
        // person is faster.
        if call.operation == "DescribeStreamSummary"
            && place
                .stream("orders")
                .is_some_and(|it| it.status == "ACTIVE" && it.open_shards == 4)
        {
            looks += 1;
            if looks == 2 {
                place.reshard_externally("orders", 5).expect("it may");
            }
        }
        Fault::None
    });
    let failure = scaled(&world, "orders", to(16))
        .await
        .expect_err("it stops")
        .to_string();
    assert!(
        failure.contains("UPDATING") || failure.contains("somebody else"),
        "{failure}"
    );
    assert_eq!(world.shards("orders"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_goes_on_without_the_log_and_the_daemon_delivers_its_row() {
    let world = World::new();
    world.stream("orders", 2);
    let denied = ["dynamodb:Query", "dynamodb:PutItem"];
    denied.iter().for_each(|action| world.sandbox.deny(action));
    let command = context(&world, &named(&["orders"])).await;
    let args = args("orders", to(4));
    let scaled = scale::run(&command, &args, Output::Text, Consent::Given).await;
    assert_eq!(scaled.expect("it goes on"), Exit::Done);
    assert_eq!(world.recorded("orders-scale-up-alarm"), "4");
    let mut daemon = world.start(&named(&["orders"])).await;
    tick(&mut daemon).await;
    assert_eq!(world.rows().len(), 0, "the log takes nothing yet");
    drop(command);
    denied.iter().for_each(|action| world.sandbox.allow(action));
    tick(&mut daemon).await;
    let rows = world.rows();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (&row["outcome"]["S"], &row["reason"]["S"]))
        .collect();
    assert_eq!(told, [(&json!("done"), &json!("manual"))], "{rows:#?}");
}

#[tokio::test(start_paused = true)]
async fn streams_of_the_same_name_are_told_apart_by_region() {
    let world = World::new();
    world.stream("orders", 2);
    let far = world.sandbox.region("us-east-1");
    far.create_stream("orders", 2);
    far.pair("orders", 2);
    let streams = named(&["orders"]) + "[[streams]]\nname = \"orders\"\nregion = \"us-east-1\"\n";
    let context = context(&world, &streams).await;
    let mut one = args("orders", to(4));
    let failure = scale::run(&context, &one, Output::Text, Consent::Given)
        .await
        .expect_err("which?");
    assert!(
        failure.exit == Exit::Usage && failure.to_string().contains("--region"),
        "{failure}"
    );
    one.region = Some("mars-1".to_owned());
    scale::run(&context, &one, Output::Text, Consent::Given)
        .await
        .expect_err("not there");
    one.region = Some("us-east-1".to_owned());
    scale::run(&context, &one, Output::Text, Consent::Given)
        .await
        .expect("it works");
    assert_eq!(
        (
            world.shards("orders"),
            far.stream("orders").expect("there").target
        ),
        (2, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn streams_of_the_same_name_are_told_apart_by_account() {
    const ROLE: &str = "arn:aws:iam::210987654321:role/kinesis-autoscaler";
    let world = World::new();
    world.stream("orders", 2);
    let other = world.sandbox.place("210987654321", crate::world::REGION);
    other.create_stream("orders", 8);
    other.pair("orders", 8);
    let streams =
        named(&["orders"]) + &format!("[[streams]]\nname = \"orders\"\nrole_arn = \"{ROLE}\"\n");
    let context = context(&world, &streams).await;
    let mut one = args("orders", to(4));
    let run = async |args: &Scale| scale::run(&context, args, Output::Text, Consent::Given).await;
    let failure = run(&one).await.expect_err("which?");
    let text = failure.to_string();
    assert_eq!(failure.exit, Exit::Usage);
    for words in [
        "2 subscriptions have the stream orders",
        "--region eu-west-1 --account default (orders-scale-up-alarm)",
        "--region eu-west-1 --account 210987654321 (orders-scale-up-alarm)",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    one.account = Some("123".to_owned());
    let text = run(&one).await.expect_err("not there").to_string();
    assert!(text.contains("not subscribed in the account 123"), "{text}");
    for (account, target, here, there) in [
        ("default", 4, 4, 8),
        ("210987654321", 10, 4, 10),
        (ROLE, 12, 4, 12),
    ] {
        one = args("orders", to(target));
        one.account = Some(account.to_owned());
        run(&one).await.expect("it works");
        let far = other.stream("orders").expect("there").target;
        assert_eq!((world.shards("orders"), far), (here, there), "{account}");
        world.pass(SignedDuration::from_mins(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_out_of_sync_is_corrected_before_the_scaling() {
    let world = World::new();
    world.place.create_stream("orders", 3);
    world.place.pair("orders", 2);
    scaled(&world, "orders", to(5)).await.expect("it is scaled");
    assert_eq!(world.shards("orders"), 5);
    assert_eq!(world.recorded("orders-scale-up-alarm"), "5");
    assert_eq!(world.recorded("orders-scale-down-alarm"), "5");
    assert_eq!(world.rows()[0]["outcome"]["S"], "done");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_became_stale_while_the_person_was_asked_is_not_carried_out() {
    let world = World::new();
    world.stream("orders", 4);
    let context = context(&world, &named(&["orders"])).await;
    let id = SubscriptionId::new(0);
    let plan = scale::plan(&context, id, by("+1")).await.expect("a plan");
    // The autoscaler doubles the stream while the question is on the screen.
    world.place.reshard_externally("orders", 8).expect("it may");
    world.pass(SignedDuration::from_mins(5)).await;
    let (done, result) = scale::carry_out(&context, id, &plan, "by a test".into(), false).await;
    assert!(done.is_empty(), "no call was made: {done:?}");
    let failure = result.expect_err("the plan was for 4 shards").to_string();
    assert!(failure.contains("has 8 shards now"), "{failure}");
    assert_eq!(world.shards("orders"), 8, "nothing was shrunk");
}

#[tokio::test(start_paused = true)]
async fn a_manual_scaling_is_logged_with_its_note_and_without_an_alarm() {
    let world = World::new();
    world.stream("orders", 2);
    let context = context(&world, &named(&["orders"])).await;
    let args = Scale {
        note: Some("for the launch".to_owned()),
        ..args("orders", to(4))
    };
    scale::run(&context, &args, Output::Json, Consent::Given)
        .await
        .expect("it is scaled");
    let row = &world.rows()[0];
    let note = row["note"]["S"].as_str().unwrap_or_default();
    assert!(note.ends_with(": for the launch"), "{row}");
    assert_eq!(row["reason"]["S"], "manual");
    assert!(row.get("alarm").is_none(), "no alarm asked for it: {row}");
}
