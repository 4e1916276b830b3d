//! What `scale` refuses, warns of, and asks about.

use super::*;

type Seed = fn(&World);

/// What is seeded, the stream, the target, and words of the refusal.
const REFUSALS: &[(&str, Seed, &str, u32, &[&str])] = &[
    (
        "an unknown stream",
        |_| (),
        "ordres",
        4,
        &[
            "no subscription has the stream ordres",
            "did you mean orders?",
        ],
    ),
    (
        "a stream in flux",
        |w| w.place.reshard_externally("orders", 3).expect("it may"),
        "orders",
        4,
        &["UPDATING", "try again"],
    ),
    (
        "an on-demand stream",
        |w| w.place.create_on_demand_stream("orders"),
        "orders",
        8,
        &["on-demand"],
    ),
    (
        "no stream",
        |w| w.place.delete_stream("orders"),
        "orders",
        4,
        &["does not exist"],
    ),
    (
        "no alarm",
        |w| w.place.delete_alarm("orders-scale-down-alarm"),
        "orders",
        4,
        &["orders-scale-down-alarm does not exist", "alarms create"],
    ),
    (
        "no right to reshard",
        |w| w.sandbox.deny("kinesis:UpdateShardCount"),
        "orders",
        4,
        &[
            "stopped at 2 shards, 0 of 1 calls done",
            "kinesis:UpdateShardCount",
        ],
    ),
    (
        "no right to read alarms",
        |w| w.sandbox.deny("cloudwatch:DescribeAlarms"),
        "orders",
        4,
        &["allow the action `cloudwatch:DescribeAlarms`"],
    ),
    (
        "no right to describe",
        |w| w.sandbox.deny("kinesis:DescribeStreamSummary"),
        "orders",
        4,
        &["allow the action `kinesis:DescribeStreamSummary`"],
    ),
    (
        "no log to scale down by",
        |w| w.sandbox.deny("dynamodb:Query"),
        "orders",
        1,
        &[
            "no scale-down while the scaling log cannot be read",
            "check",
        ],
    ),
];

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_with_a_hint_and_nothing_is_resharded() {
    for (what, seed, stream, count, words) in REFUSALS {
        let world = World::new();
        world.stream("orders", 2);
        seed(&world);
        let before = world.place.stream("orders");
        let failure = scaled(&world, stream, to(*count)).await.expect_err(what);
        let text = failure.to_string();
        for words in *words {
            assert!(text.contains(words), "{what}: {words:?} in {text}");
        }
        assert_eq!(failure.exit, Exit::Failed, "{what}");
        assert_eq!(world.place.stream("orders"), before, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_days_calls_are_counted_and_a_way_that_needs_more_is_refused() {
    let world = World::new();
    world.stream("orders", 2);
    for _ in 0..4 {
        for count in [4, 2] {
            scaled(&world, "orders", to(count)).await.expect("it works");
            world.pass(SignedDuration::from_mins(10)).await;
        }
    }
    let failure = scaled(&world, "orders", to(16))
        .await
        .expect_err("two calls are left, three needed");
    let text = failure.to_string();
    for words in [
        "takes 3 of the 10",
        "2 are left",
        "--to 8 can be reached now",
        "frees at 2026-11-23T12:0",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert_eq!(world.shards("orders"), 2);
    scaled(&world, "orders", to(8))
        .await
        .expect("two calls are left");
}

#[tokio::test(start_paused = true)]
async fn without_consent_nothing_happens() {
    let world = World::new();
    world.stream("orders", 2);
    let context = context(&world, &named(&["orders"])).await;
    let refused = scale::run(
        &context,
        &args("orders", to(4)),
        Output::Text,
        Consent::Impossible,
    )
    .await;
    let failure = refused.expect_err("there is no terminal");
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.to_string().contains("--yes"), "{failure}");
    assert_eq!(world.shards("orders"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_person_is_warned_and_not_stopped() {
    type Warning = (&'static str, Seed, u32, &'static str);
    let cases: &[Warning] = &[
        ("max_shards = 8", |_| (), 10, "10 is above max_shards = 8"),
        ("min_shards = 6", |_| (), 5, "5 is below min_shards = 6"),
        (
            "reserved_scale_ups = 10",
            |_| (),
            7,
            "9 of the day's 10 calls will be left",
        ),
        (
            "",
            |w| w.place.set_shard_limit(7),
            10,
            "the account would have 10 open shards, and its limit is 7",
        ),
        (
            "",
            |w| w.fire("orders", "scale-down"),
            7,
            "orders-scale-down-alarm is in ALARM",
        ),
        (
            "",
            |w| w.fire("orders", "scale-up"),
            5,
            "orders-scale-up-alarm is in ALARM",
        ),
        (
            "",
            |w| {
                w.place
                    .set_traffic("orders", Traffic::constant(Load::of_shards(4.5)))
            },
            4,
            "used up to 4.50 shards, so that 4 would throttle",
        ),
        (
            "",
            |w| w.sandbox.deny("dynamodb:Query"),
            7,
            "the scaling log cannot be read",
        ),
    ];
    for (setting, seed, count, words) in cases {
        let world = World::new();
        world.stream("orders", 6);
        seed(&world);
        let context = context(&world, &format!("{}{setting}\n", named(&["orders"]))).await;
        let plan = scale::plan(&context, SubscriptionId::new(0), to(*count))
            .await
            .expect("it can be planned");
        let text = plan.to_text(None);
        assert_eq!(plan.warnings.len(), 1, "{text}");
        assert!(text.contains(words), "{words:?} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn force_max_goes_beyond_max_shards_up_to_its_number_and_is_logged() {
    let world = World::new();
    world.stream("orders", 8);
    let config = "[[streams]]\nname = \"orders\"\nmax_shards = 8\n";
    let context = world.context(world.config(config), false).await;
    let forced = |count, most| Scale {
        force_max: Some(most),
        ..args("orders", to(count))
    };
    let run = async |args: Scale| scale::run(&context, &args, Output::Json, Consent::Given).await;
    let failure = run(forced(13, 12))
        .await
        .expect_err("it is too far")
        .to_string();
    assert!(
        failure.contains("13 is above --force-max, which is 12"),
        "{failure}"
    );
    assert_eq!(world.shards("orders"), 8);
    // Within the bounds there is nothing to force.
    for (count, said) in [(7, false), (12, true)] {
        run(forced(count, 12)).await.expect("it works");
        world.pass(SignedDuration::from_mins(5)).await;
        assert_eq!(world.shards("orders"), count);
        let note = world.rows().last().expect("a row")["note"]["S"].clone();
        let note = note.as_str().unwrap_or_default();
        let beyond = note.ends_with(", beyond max_shards = 8 by --force-max");
        assert_eq!(beyond, said, "{note}");
    }
}
