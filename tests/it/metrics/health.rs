//! The answers to health checks.

use jiff::SignedDuration;
use kinesis_autoscaler::reconcile::report::{NO_KNOWN_HOST, Report};

use super::Process;
use crate::world::{World, named};

#[tokio::test(start_paused = true)]
async fn health_tells_the_truth() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!(
        "schedule = \"0 * * * * *\"\ntick_timeout = \"50s\"\n{}",
        named(&["orders"])
    );
    let mut process = Process::new(&world, &config).await;
    let health = |process: &Process| {
        let health = process.metrics.health();
        (health.healthy, health.reason.unwrap_or_default())
    };
    assert_eq!(
        health(&process),
        (false, "no tick has ended yet".to_owned())
    );

    process.tick().await;
    assert_eq!(health(&process), (true, String::new()), "after a tick");
    assert_eq!(process.metrics.health().limit_seconds, 170.0);
    world.pass(SignedDuration::from_secs(170)).await;
    assert_eq!(health(&process), (true, String::new()), "at the limit");
    world.pass(SignedDuration::from_secs(1)).await;
    let (healthy, reason) = health(&process);
    assert!(!healthy && reason.contains("171 s ago"), "{reason}");

    process.tick().await;
    assert_eq!(
        health(&process),
        (true, String::new()),
        "after the next tick"
    );

    // A failing stream is not a fault of the daemon; AWS out of reach is one that a check has to
    // see.
    world.place.delete_alarm("orders-scale-down-alarm");
    world.fire("orders", "scale-up");
    let report = process.tick().await;
    assert!(report.failed(), "{report:#?}");
    assert_eq!(
        health(&process),
        (true, String::new()),
        "with a failing stream"
    );
    world.sandbox.deny("cloudwatch:DescribeAlarms");
    process.tick().await;
    let (healthy, reason) = health(&process);
    assert!(
        !healthy && reason.contains("eu-west-1") && reason.contains("AccessDenied"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_holder_or_a_scaling_log_the_daemon_is_unhealthy() {
    let world = World::new();
    world.stream("orders", 2);
    let mut process = Process::new(&world, &named(&["orders"])).await;
    let good = process.tick().await;
    let reason = |change: &dyn Fn(&mut Report)| {
        let mut report = good.clone();
        change(&mut report);
        process.metrics.ticked(&report);
        process.metrics.health().reason.unwrap_or_default()
    };
    assert_eq!(reason(&|_| {}), "");
    let another = reason(&|report| report.standby = Some("another".to_owned()));
    assert_eq!(another, "", "another host acts");
    let nobody = reason(&|report| report.standby = Some(NO_KNOWN_HOST.to_owned()));
    assert!(nobody.contains("lease"), "{nobody}");
    let log = reason(&|report| report.scaling_log_error = Some("no table".to_owned()));
    assert!(log.contains("no table"), "{log}");
}
