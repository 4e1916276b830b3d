//! What outlasts a tick, a process and a reload.

use std::sync::Arc;

use kinesis_autoscaler::{
    daemon::metrics::{Format, Metrics},
    reconcile::{context::Role, tick::Autoscaler},
};

use super::*;

async fn run(world: &World, config: &str) -> Report {
    let context = world.process(world.config(config), Role::Once, false).await;
    let mut autoscaler = Autoscaler::new(context, true);
    autoscaler.resume(world.state.path());
    let within = Duration::from_secs(3600);
    let report = autoscaler.run_once(Duration::from_secs(50), within).await;
    autoscaler.save_state(world.state.path());
    report
}

#[tokio::test(start_paused = true)]
async fn single_runs_list_the_alarms_once_in_each_audit_interval() {
    let world = World::new();
    for i in 0..60 {
        world.stream(&format!("prod-{i}"), 2);
    }
    let config = format!("audit_interval = \"1h\"\n{PROD}");
    let first = run(&world, &config).await;
    assert_eq!(first.streams.len(), 60);
    assert_eq!(
        first.api_calls["DescribeStreamSummary"], 60,
        "each is audited"
    );
    world.pass(SignedDuration::from_secs(10)).await;
    let second = run(&world, &config).await;
    assert_eq!(second.streams.len(), 60, "they are known");
    one_poll(&second);
    // An alarm in ALARM is enough.
    world.stream("prod-new", 2);
    world.fire("prod-new", "scale-up");
    acted(&run(&world, &config).await, "prod-new", "scale_up", 2, 4);
    world.pass(minutes(61)).await;
    world.place.delete_alarm("prod-0-scale-up-alarm");
    world.place.delete_alarm("prod-0-scale-down-alarm");
    assert!(!run(&world, &config).await.failed());
    world.pass(SignedDuration::from_secs(10)).await;
    assert_eq!(
        run(&world, &config).await.streams.len(),
        60,
        "one came, one went"
    );
    // Other patterns know nothing of it.
    let other = config.replace("prod-*", "*-1");
    assert_eq!(streams(&run(&world, &other).await), ["prod-1"]);
}

#[tokio::test(start_paused = true)]
async fn single_runs_do_not_ask_for_half_a_pair_again_and_again() {
    let world = World::new();
    let half = |name: &str| {
        world.stream(name, 2);
        world
            .place
            .delete_alarm(&format!("{name}-scale-down-alarm"));
    };
    half("prod-half");
    let config = format!("audit_interval = \"1h\"\n{PROD}[[streams]]\nmatch = \"other-*\"\n");
    assert!(streams(&run(&world, &config).await).is_empty());
    // No listing has seen this one.
    half("prod-late");
    world.pass(minutes(1)).await;
    for name in ["prod-half", "prod-late"] {
        world.fire(name, "scale-up");
    }
    let first: u64 = run(&world, &config).await.api_calls.values().sum();
    assert!(first > 1, "it looks for the other half of one: {first}");
    for _ in 0..10 {
        world.pass(minutes(1)).await;
        let report = run(&world, &config).await;
        assert!(
            streams(&report).is_empty() && !report.failed(),
            "{report:#?}"
        );
        one_poll(&report);
    }
    // After a while it may have become a pair.
    world.place.pair("prod-late", 2);
    world.pass(minutes(10)).await;
    world.fire("prod-late", "scale-up");
    acted(&run(&world, &config).await, "prod-late", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_waits_for_a_long_listing() {
    let world = World::new();
    for i in 0..1_200 {
        world.place.pair(&format!("prod-{i}"), 2);
    }
    let config = format!("[quotas]\ndescribe_alarms = 2\n{PROD}");
    let report = run(&world, &config).await;
    assert_eq!(report.streams.len(), 1_200);
    assert!(report.unlisted.is_empty(), "{:?}", report.unlisted);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_whose_listing_does_not_end_fails() {
    let world = World::new();
    world.stream("prod-a", 2);
    refuse_alarms(&world.sandbox, |call| call != 2);
    let report = run(&world, PROD).await;
    assert!(report.failed() && report.streams.is_empty(), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_a_stream_stays_when_others_come_and_go() {
    let world = World::new();
    for name in ["prod-b", "prod-c"] {
        world.stream(name, 1);
    }
    world.pass(minutes(10)).await;
    for name in ["prod-b", "prod-c"] {
        world.fire(name, "scale-down");
    }
    let mut autoscaler = world.start(PROD).await;
    for name in ["prod-b", "prod-c"] {
        held(&tick(&mut autoscaler).await, name, "at_min_shards");
    }
    world.pass(minutes(1)).await;
    one_poll(&tick(&mut autoscaler).await);
    // It would be the first by name.
    world.stream("prod-a", 2);
    world.fire("prod-a", "scale-up");
    let report = tick(&mut autoscaler).await;
    acted(&report, "prod-a", "scale_up", 2, 4);
    assert_eq!(
        report.api_calls["DescribeStreamSummary"], 1,
        "the others are held"
    );
    for alarm in ["prod-b-scale-up-alarm", "prod-b-scale-down-alarm"] {
        world.place.delete_alarm(alarm);
    }
    world.pass(minutes(10)).await;
    let report = tick(&mut autoscaler).await;
    held(&report, "prod-c", "at_min_shards");
}

#[tokio::test(start_paused = true)]
async fn a_reload_goes_on_with_the_streams_that_were_known() {
    let world = World::new();
    for name in ["prod-a", "prod-b"] {
        world.stream(name, 2);
    }
    let mut before = world.start(PROD).await;
    tick(&mut before).await;
    for (config, known) in [
        (PROD.to_owned(), &["prod-a", "prod-b"][..]),
        (format!("{PROD}max_shards = 7\n"), &["prod-a", "prod-b"]),
        (PROD.replace("prod-*", "*-a"), &[]),
    ] {
        let mut after = world.start(&config).await;
        after.adopt(&before);
        refuse_alarms(&world.sandbox, |call| call == 1);
        let report = tick(&mut after).await;
        assert_eq!(streams(&report), known, "{config}");
        assert!(report.failed(), "the listing failed");
        world.sandbox.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_and_health_speak_of_discovered_streams() {
    let world = World::new();
    world.stream("prod-a", 2);
    let config = format!(
        "audit_interval = \"15m\"\n{PROD}[[streams]]\nmatch = \"*\"\nregion = \"us-east-1\"\n"
    );
    let context = world
        .process(world.config(&config), Role::Daemon, false)
        .await;
    let metrics = Metrics::new(context.clone());
    let mut autoscaler = Autoscaler::new(context, false);
    let lines = |expected: &[&str]| {
        let text = metrics.exposition(Format::Text);
        for line in expected {
            let name = format!("kinesis_autoscaler_{line}");
            assert!(text.lines().any(|it| it == name), "no {name} in\n{text}");
        }
        text
    };
    lines(&[
        "subscriptions 0",
        "discovered_streams{region=\"eu-west-1\"} 0",
    ]);
    refuse_alarms(&world.sandbox, |call| call <= 2);
    metrics.ticked(&tick(&mut autoscaler).await);
    let health = metrics.health();
    let reason = health.reason.unwrap_or_default();
    assert!(
        !health.healthy && reason.contains("alarms could not be listed"),
        "{reason}"
    );
    lines(&["healthy 0", "ticks_total{result=\"failed\"} 1"]);
    world.pass(minutes(1)).await;
    metrics.ticked(&tick(&mut autoscaler).await);
    assert!(metrics.health().healthy);
    world.pass(minutes(1)).await;
    world.fire("prod-a", "scale-up");
    metrics.ticked(&tick(&mut autoscaler).await);
    let counter = "scalings_total{stream=\"prod-a\",region=\"eu-west-1\",direction=\"up\"} 1";
    let expected = [
        "subscriptions 1",
        "discovered_streams{region=\"eu-west-1\"} 1",
        "discovered_streams{region=\"us-east-1\"} 0",
        "stream_watched{stream=\"prod-a\",region=\"eu-west-1\"} 1",
        counter,
    ];
    lines(&expected);
    // A reload keeps the counts until the streams are listed again.
    let context = world
        .process(world.config(&config), Role::Daemon, false)
        .await;
    metrics.adopt(context.clone());
    let mut reloaded = Autoscaler::new(context, false);
    reloaded.adopt(&autoscaler);
    metrics.ticked(&tick(&mut reloaded).await);
    lines(&[counter]);
    for alarm in ["prod-a-scale-up-alarm", "prod-a-scale-down-alarm"] {
        world.place.delete_alarm(alarm);
    }
    world.pass(minutes(15)).await;
    metrics.ticked(&tick(&mut reloaded).await);
    let text = lines(&[
        "subscriptions 0",
        "discovered_streams{region=\"eu-west-1\"} 0",
    ]);
    assert!(!text.contains("prod-a"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_standby_lists_nothing_until_it_takes_over() {
    let world = World::new();
    world.stream("prod-a", 2);
    let config = format!("[high_availability]\nlease_duration = \"30s\"\n{PROD}");
    let (one, other) = (
        world.start_on("one", &config).await,
        world.start_on("other", &config).await,
    );
    let beat = async |context: &Arc<kinesis_autoscaler::reconcile::context::Context>| {
        context.lease.clone().expect("a lease").beat().await;
    };
    beat(&one).await;
    beat(&other).await;
    let mut standby = Autoscaler::new(other.clone(), true);
    let report = tick(&mut standby).await;
    assert!(report.standby.is_some() && !report.failed(), "{report:#?}");
    assert_eq!(describe_alarms(&world.sandbox), 0);
    for _ in 0..8 {
        world.pass(SignedDuration::from_secs(10)).await;
        beat(&other).await;
    }
    let report = tick(&mut standby).await;
    assert_eq!(streams(&report), ["prod-a"], "{report:#?}");
}
