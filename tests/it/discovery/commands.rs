//! Commands list the pairs themselves, and treat discovered streams as named ones.

use std::sync::Arc;

use kinesis_autoscaler::{
    cli::{self, Output},
    commands::{
        check::{self, Findings, Scope, Severity},
        provision::alarms,
        scale, status, subscriptions,
    },
    config::Config,
    output::error::{Exit, Failure},
    reconcile::{context::Context, context::Role, discovery::discover},
};

use super::*;

async fn context(world: &World, config: &str) -> Arc<Context> {
    world.context(world.config(config), false).await
}

async fn findings(world: &World, config: &str) -> Findings {
    check::examine(&context(world, config).await, Scope::All).await
}

/// The findings of these rules, as `severity subject: message; fix`.
fn told(findings: &Findings, rule: &str) -> Vec<String> {
    let found = findings.all.iter().filter(|it| it.rule == rule);
    found
        .map(|it| {
            format!(
                "{:?} {}: {}; {}",
                it.severity, it.subject, it.message, it.fix
            )
        })
        .collect()
}

fn text(failure: &Failure) -> String {
    format!("{:?}", failure.reports)
}

#[tokio::test(start_paused = true)]
async fn check_tells_what_a_pattern_misses() {
    let world = World::new();
    for name in ["prod-a", "prod-half", "stray"] {
        world.stream(name, 2);
    }
    world.place.delete_alarm("prod-half-scale-up-alarm");
    let config = format!(
        "{PROD}[[streams]]\nmatch = \"none-*\"\n[[streams]]\nmatch = \"*\"\nregion = \"us-east-1\"\n"
    );
    let found = findings(&world, &config).await;
    assert_eq!(found.streams, 1, "prod-a");
    for (rule, expected) in [
        (
            "half_pair",
            &[
                "Warning prod-half-scale-down-alarm: alarm prod-half-scale-up-alarm does not exist, so \
               streams[0] (match = \"prod-*\") does not subscribe the stream; create the pair with \
               `kinesis-autoscaler alarms create --stream prod-half`, or delete the alarm",
            ][..],
        ),
        (
            "pattern_matches_nothing",
            &[
                "Warning streams[1] (match = \"none-*\"): it subscribes no stream in eu-west-1; correct \
                 `match`, or create the alarms of the streams: <stream>-scale-up-alarm and its scale-down alarm",
                "Warning streams[2] (match = \"*\"): it subscribes no stream in us-east-1; correct `match`, \
                 or create the alarms of the streams: <stream>-scale-up-alarm and its scale-down alarm",
            ],
        ),
        (
            "pattern_matches_everything",
            &[
                "Info streams[2] (match = \"*\"): it matches every stream that has a pair of alarms; leave \
               streams out with `except`, or give a prefix, if that is not meant",
            ],
        ),
    ] {
        assert_eq!(told(&found, rule), expected);
    }
    let stray = |name: &str| (name.to_owned(), REGION.to_owned());
    assert_eq!(found.unsubscribed, [stray("prod-half"), stray("stray")]);
}

#[tokio::test(start_paused = true)]
async fn check_tells_of_streams_that_are_subscribed_twice() {
    let world = World::new();
    world.stream("prod-a", 2);
    let two = format!("{PROD}[[streams]]\nmatch = \"*-a\"\n");
    let found = findings(&world, &two).await;
    let conflict = told(&found, "two_patterns");
    assert!(
        conflict.len() == 1
            && conflict[0].contains("streams[0] (match = \"prod-*\") and streams[1]"),
        "{conflict:?}"
    );
    for direction in ["scale-up", "scale-down"] {
        let name = format!("prod-a-{direction}-alarm");
        let mut alarm = world.place.alarm(&name).expect("the alarm is there");
        alarm["AlarmName"] = format!("mine-{direction}").into();
        world.place.put_alarm(alarm);
    }
    // The number of an entry is not that of its subscription.
    let by_alarm =
        format!("[[streams]]\nmatch = \"x-*\"\n[[streams]]\nalarm = \"mine-scale-up\"\n{PROD}");
    let twice = told(&findings(&world, &by_alarm).await, "subscribed_twice");
    assert!(
        twice.len() == 1
            && twice[0].contains("Error streams[2] (match = \"prod-*\")")
            && twice[0].contains("subscribed by streams[1] already"),
        "{twice:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_listed_is_told_by_every_command() {
    let world = World::new();
    world.stream("prod-a", 2);
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    let found = findings(&world, PROD).await;
    assert!(found.count(Severity::Error) > 0, "{found:#?}");
    let chosen = check::examine(&context(&world, PROD).await, Scope::Chosen).await;
    assert!(chosen.count(Severity::Error) > 0, "{chosen:#?}");
    assert_eq!(
        told(&found, "pattern_matches_nothing"),
        [""; 0],
        "nobody knows"
    );
    let context = context(&world, PROD).await;
    let failure = subscriptions::select(&context, &["prod-a".to_owned()]).await;
    let failure = text(&failure.expect_err("it is not known"));
    assert!(failure.contains("could not be listed"), "{failure}");
    assert!(failure.contains("eu-west-1: DescribeAlarms"), "{failure}");
    let done = subscriptions::of_what_is_known(&context, Exit::Done);
    assert_eq!(
        done,
        Exit::Failed,
        "`alarms create` has not seen all streams"
    );
    let seen = status::gather(&context).await;
    assert_eq!(seen.unlisted.len(), 1, "{}", seen.to_json());
    let problems = cli::Status {
        problems: true,
        ..cli::Status::default()
    };
    let times = problems.zone.times();
    let shown = seen.show(&problems, Output::Text, None, &times);
    assert!(shown.starts_with("streams may be missing"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn status_and_scale_know_discovered_streams() {
    let world = World::new();
    for name in ["prod-a", "prod-b"] {
        world.stream(name, 2);
    }
    let context = context(
        &world,
        &format!("{}{PROD}max_shards = 64\n", named(&["prod-b"])),
    )
    .await;
    let status = status::gather(&context).await;
    let rows: Vec<_> = status
        .streams
        .iter()
        .map(|it| (it.stream.as_str(), it.max_shards))
        .collect();
    assert_eq!(rows, [("prod-b", 10_000), ("prod-a", 64)]);
    let ids = subscriptions::select(&context, &["prod-a".to_owned()]).await;
    let [id] = ids.expect("it is subscribed")[..] else {
        panic!("one stream")
    };
    let plan = scale::plan(
        &context,
        id,
        cli::Target {
            to: Some(4),
            by: None,
        },
    )
    .await;
    assert!(plan.is_ok(), "{plan:?}");
}

#[tokio::test(start_paused = true)]
async fn the_alarms_of_a_stream_that_a_pattern_matches_can_be_created() {
    let world = World::new();
    world.place.create_stream("prod-new", 3);
    let config = format!("{PROD}alarm_name = \"x-{{stream}}-{{direction}}\"\n");
    let known = context(&world, &config).await;
    let failure = subscriptions::select(&known, &["prod-new".to_owned()]).await;
    let failure = text(&failure.expect_err("it is not subscribed"));
    assert!(
        failure.contains("alarms create --stream prod-new"),
        "{failure}"
    );
    let names = ["prod-new".to_owned()];
    let process = world
        .process(world.config(&config), Role::Command, false)
        .await;
    let nominated = Arc::new(discover((*process).clone(), &names).await);
    let given = cli::Design::default();
    alarms::create(&nominated, &names, false, &given, Output::Json, None)
        .await
        .expect("they are created");
    assert_eq!(world.recorded("x-prod-new-scale-down"), "3");
    let report = tick(&mut world.start(&config).await).await;
    assert_eq!(streams(&report), ["prod-new"]);
}

#[test]
fn a_stream_without_alarms_has_the_settings_of_its_pattern() {
    let text = format!("[log]\ntable = \"logs\"\n{PROD}max_shards = 9\n");
    let config = Config::from_toml(&text).expect("it is right");
    let found = config.by_pattern("prod-a").expect("it matches");
    assert_eq!((found.label(), found.max_shards), ("prod-a", 9));
    assert_eq!(config.by_pattern("stage-a"), None);
}
