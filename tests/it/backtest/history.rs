//! Backtests of the history that CloudWatch has.

use autoscaler_core::datetime::parse_datetime;
use autoscaler_sandbox::{Fault, Load, Pair, Traffic};
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    cli::{self, Cli},
    commands::{
        backtest::{Finished, Row, replay_history},
        consent::Consent,
    },
    output::error::{Failure, Report},
};

use crate::world::{World, named, tick};

/// The result of a run over the history of the world's streams.
async fn history(
    world: &World,
    config: &str,
    flags: &[&str],
    consent: Consent,
) -> Result<(Vec<Finished>, Vec<Report>), Failure> {
    let words = ["kinesis-autoscaler", "backtest"];
    let cli = Cli::try_from_args(words.iter().chain(flags)).expect("the flags are right");
    let Some(cli::Command::Backtest(args)) = cli.command else {
        panic!("it is a backtest");
    };
    let context = world.context(world.config(config), false).await;
    replay_history(&context, &args, consent).await
}

fn told(report: &Report) -> String {
    let mut text = Vec::new();
    report.write(&mut text, false).expect("memory takes it");
    String::from_utf8(text).expect("UTF-8")
}

const FLEET: &str = "[[streams]]\nname = \"uneven\"\n[[streams]]\nname = \"managed\"\n\
    [[streams]]\nname = \"silent\"\n[[streams]]\nname = \"gone\"\n[[streams]]\nname = \"new\"\n";

#[tokio::test(start_paused = true)]
async fn each_stream_of_a_fleet_is_replayed_or_its_trouble_is_told() {
    let world = World::new();
    let now = world.clock.now();
    for stream in ["uneven", "silent", "new"] {
        world.stream(stream, 4);
    }
    world.place.create_on_demand_stream("managed");
    let constant = |used| Traffic::constant(Load::of_shards(used));
    // 1.5 times the mean on the busiest shard: 4 shards take 2.67, and reject the rest for ever.
    world.place.set_traffic("uneven", constant(2.8).skew(1.5));
    world.place.set_traffic("managed", constant(1.0));
    let young = now - SignedDuration::from_hours(3);
    let before = now - SignedDuration::from_hours(24 * 16);
    world
        .place
        .set_traffic("new", constant(1.0).gap(before, young));

    let (finished, failed) = history(&world, FLEET, &["--days", "2"], Consent::Impossible)
        .await
        .expect("some can be replayed");
    let names: Vec<&str> = finished.iter().map(|it| it.stream.as_str()).collect();
    assert_eq!(names, ["uneven", "managed"]);
    let notes = |number: usize| finished[number].notes.join("\n");
    assert!(notes(0).contains("1.5 times the mean load"), "{}", notes(0));
    assert!(notes(0).contains("without a pause"), "{}", notes(0));
    assert!(notes(1).contains("on-demand mode"), "{}", notes(1));
    for one in &finished {
        let rows: Vec<&str> = one.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            rows[..3],
            ["configured", "original", "adaptive"],
            "{}",
            one.stream
        );
    }
    // Its own pair has no throttle signal, and never fires below 75 % usage.
    assert!(finished[0].rows[0].rejected_minutes_week > 9_000.0);
    assert!(finished[0].rows[2].rejected_minutes_week < 100.0);

    let failed: String = failed.iter().map(told).collect();
    for says in [
        "silent (eu-west-1)\ncaused by: CloudWatch has no data of the last 2 days",
        "gone (eu-west-1)",
        "new (eu-west-1)\ncaused by: the demand covers 3.0 h",
    ] {
        assert!(failed.contains(says), "{says:?} is not in {failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_reading_and_costs_that_nobody_agreed_to_are_errors() {
    let world = World::new();
    world.stream("orders", 2);
    let traffic = Traffic::constant(Load::of_shards(1.0));
    world.place.set_traffic("orders", traffic);
    let config = "[[streams]]\nname = \"orders\"\n";
    world.sandbox.deny("cloudwatch:GetMetricData");
    let (finished, failed) = history(&world, config, &["--days", "2"], Consent::Impossible)
        .await
        .expect("the denial is this stream's");
    assert!(finished.is_empty());
    let failed = told(&failed[0]);
    assert!(failed.contains("cloudwatch:GetMetricData"), "{failed}");

    let dear = format!("[prices]\nmetrics_thousand = 500\n{config}");
    let refused = history(&world, &dear, &["--days", "63"], Consent::Impossible).await;
    let refused = refused.expect_err("nobody has agreed");
    assert_eq!(refused.exit as u8, 2);
    let refused = told(&refused.reports[0]);
    assert!(
        refused.contains("about $1.50") && refused.contains("--yes"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_younger_than_the_days_asked_for_is_replayed_from_its_beginning() {
    let world = World::new();
    let now = world.clock.now();
    world.stream("orders", 2);
    let begun = now - SignedDuration::from_hours(30);
    let before = now - SignedDuration::from_hours(24 * 15);
    let traffic = Traffic::constant(Load::of_shards(1.0)).gap(before, begun);
    world.place.set_traffic("orders", traffic);
    let (finished, failed) = history(&world, &named(&["orders"]), &[], Consent::Impossible)
        .await
        .expect("it can be replayed");
    assert!(failed.is_empty(), "{}", told(&failed[0]));
    assert_eq!(finished[0].from, begun);
    let notes = finished[0].notes.join("\n");
    let says = "begins at 2026-11-21 06:00 UTC, not 14 days ago";
    assert!(notes.contains(says), "{notes}");
}

#[tokio::test(start_paused = true)]
async fn each_call_that_is_refused_is_told_or_done_without() {
    // The action, what the failure says, and if there is none, what the result notes.
    for (action, fails, notes) in [
        (
            "cloudwatch:DescribeAlarms",
            Some("cloudwatch:DescribeAlarms"),
            "",
        ),
        (
            "kinesis:DescribeStreamSummary",
            Some("kinesis:DescribeStreamSummary"),
            "",
        ),
        (
            "cloudwatch:GetMetricData",
            Some("cloudwatch:GetMetricData"),
            "",
        ),
        ("dynamodb:Query", None, "The scaling log cannot be read"),
    ] {
        let world = World::new();
        world.stream("orders", 2);
        let traffic = Traffic::constant(Load::of_shards(1.0));
        world.place.set_traffic("orders", traffic);
        world.sandbox.deny(action);
        let flags = ["--days", "2"];
        let (finished, failed) = history(&world, &named(&["orders"]), &flags, Consent::Impossible)
            .await
            .expect("the denial is this stream's");
        let failed: Vec<String> = failed.iter().map(told).collect();
        match fails {
            Some(says) => assert!(failed.concat().contains(says), "{action}: {failed:?}"),
            None => {
                assert!(failed.is_empty(), "{action}: {failed:?}");
                let told = finished[0].notes.join("\n");
                assert!(told.contains(notes), "{action}: {told}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_metrics_is_not_taken_for_the_whole() {
    let world = World::new();
    world.stream("orders", 2);
    let traffic = Traffic::constant(Load::of_shards(1.0));
    world.place.set_traffic("orders", traffic);
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "GetMetricData" => Fault::PartialPage,
            _ => Fault::None,
        });
    let flags = ["--days", "2"];
    let (finished, failed) = history(&world, &named(&["orders"]), &flags, Consent::Impossible)
        .await
        .expect("the fault is this stream's");
    assert!(finished.is_empty());
    assert!(
        told(&failed[0]).contains("only a part"),
        "{}",
        told(&failed[0])
    );
}

/// Of 500 streams one is old enough to be replayed; the metrics of all are read, page by page.
#[tokio::test(start_paused = true)]
async fn the_history_of_500_streams_is_read_in_pages_once_somebody_has_agreed() {
    let world = World::new();
    let names: Vec<String> = (0..500).map(|number| format!("stream-{number}")).collect();
    let now = world.clock.now();
    for name in &names {
        world.stream(name, 2);
        let minutes = (2..122).map(|it| now - SignedDuration::from_mins(it));
        let young = minutes.fold(Traffic::points(), |traffic, at| {
            traffic.point(at, Load::of_shards(1.0))
        });
        world.place.set_traffic(name, young);
    }
    let old = Traffic::constant(Load::of_shards(1.0));
    world.place.set_traffic("stream-123", old);
    // Three metrics of 120 points are 4 pages, those of 2 days 87.
    world.place.set_points_per_page(100);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reads = || {
        let log = world.sandbox.request_log().into_iter();
        let metrics = log.map(|call| call.metrics).filter(|it| *it > 0);
        metrics.collect::<Vec<_>>()
    };

    // 500 requests for 3 metrics at a dollar for a thousand.
    let dear = format!("[prices]\nmetrics_thousand = 1\n{}", named(&names));
    let flags = ["--days", "2"];
    let refused = history(&world, &dear, &flags, Consent::Impossible).await;
    let refused = refused.expect_err("nobody has agreed");
    assert_eq!(refused.exit as u8, 2);
    let refused = told(&refused.reports[0]);
    assert!(refused.contains("about $1.50"), "{refused}");
    assert_eq!(reads(), [0; 0], "what is read costs");

    world.sandbox.reset_calls();
    let (finished, failed) = history(&world, &dear, &flags, Consent::Given)
        .await
        .expect("somebody has agreed");
    assert_eq!(reads(), [3; 499 * 4 + 87]);
    assert_eq!(failed.len(), 499);
    for report in &failed {
        let report = told(report);
        assert!(report.contains("the demand covers 2.0 h"), "{report}");
    }
    let streams: Vec<&str> = finished.iter().map(|it| it.stream.as_str()).collect();
    assert_eq!(streams, ["stream-123"]);
    // Its last minute has not arrived.
    let length = finished[0].to.duration_since(finished[0].from);
    assert_eq!(length, SignedDuration::from_mins(2 * 24 * 60 - 1));
    // Below a dollar nobody is asked.
    let cheap = named(&names[..5]);
    let asked = history(&world, &cheap, &flags, Consent::Impossible).await;
    assert!(asked.is_ok());
}

/// Two days of a daemon that ticks every minute, and then the backtest of the same days.
#[tokio::test(start_paused = true)]
async fn a_backtest_scales_as_the_daemon_did_on_the_same_days() {
    let world = World::new();
    for (stream, pair, high) in [("orders", Pair::Usual, 5.5), ("carts", Pair::Adaptive, 4.0)] {
        world.place.create_stream(stream, 4);
        world.place.put_pair(pair, stream, 4);
        let traffic = Traffic::daily(Load::of_shards(0.5), Load::of_shards(high), 9.0);
        world.place.set_traffic(stream, traffic);
    }
    let config = "[[streams]]\nname = \"carts\"\npolicy = \"adaptive\"\n\
                  [[streams]]\nname = \"orders\"\n";
    let started = world.clock.now();
    let mut daemon = world.start(config).await;
    for _ in 0..2 * 24 * 60 + 3 {
        tick(&mut daemon).await;
        world.pass(SignedDuration::from_mins(1)).await;
    }
    let flags = ["--days", "2", "--metric-delay", "1m", "--resharding", "2m"];
    let (finished, failed) = history(&world, config, &flags, Consent::Impossible)
        .await
        .expect("both can be replayed");
    assert!(failed.is_empty(), "{}", told(&failed[0]));

    let scored = started + SignedDuration::from_hours(25);
    let until = started + SignedDuration::from_hours(48);
    for one in &finished {
        let row: &Row = &one.rows[0];
        assert_eq!(row.name, "configured");
        let replayed = row.scalings.iter().map(|it| (it.at, it.shards));
        let replayed: Vec<_> = replayed
            .filter(|it| it.0 >= scored && it.0 < until)
            .collect();
        let logged = world
            .rows()
            .into_iter()
            .filter(|row| row["stream_name"]["S"] == *one.stream);
        let logged = logged.map(|row| {
            let at = row["scaling_datetime"]["S"]
                .as_str()
                .and_then(parse_datetime);
            let to = row["target_shard_count"]["N"].as_str();
            // The daemon's calls wait for the quotas, which takes it some seconds.
            let minute = at.expect("a time").as_second().div_euclid(60) * 60;
            let at = Timestamp::from_second(minute).expect("a time");
            (at, to.and_then(|to| to.parse().ok()).expect("a count"))
        });
        let logged: Vec<(Timestamp, u32)> =
            logged.filter(|it| it.0 >= scored && it.0 < until).collect();
        assert_eq!(replayed, logged, "{}", one.stream);
        assert_eq!(
            logged.is_empty(),
            one.stream == "orders",
            "{}: {logged:?}",
            one.stream
        );
    }
}
