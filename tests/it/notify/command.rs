//! Commands that work, fail, hang, and talk too much.
//!
//! Tokio's time is paused. It stands still while a test waits for a real process on a thread of
//! its own, and runs where a test sleeps.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use kinesis_autoscaler::daemon::notify::{ONCE_WITHIN, Outcome, STOP_WITHIN};
use serde_json::Value;

use super::{Process, until};
use crate::world::{World, named};

/// Only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell's script, and what it writes.
struct Script {
    body: String,
    output: PathBuf,
}

impl Script {
    /// `body` may write to `$0`.
    fn new(world: &World, body: &str) -> Self {
        Self {
            body: body.to_owned(),
            output: world.state.path().join("output"),
        }
    }

    fn config(&self) -> String {
        let Self { body, output } = self;
        format!(
            "[notify]\ncommand = [\"/bin/sh\", \"-c\", {body:?}, {output:?}, \"--urgent\"]\n{}max_shards = 4\n",
            named(&["orders"])
        )
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A stream that is at its maximum.
async fn world() -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    world
}

/// In real time.
async fn really(what: &'static str, is_so: impl Fn() -> bool + Send + 'static) {
    let waited = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "it never came about: {what}");
            std::thread::yield_now();
        }
    });
    waited.await.expect("it came about");
}

fn alive(process: &str) -> bool {
    // A zombie has no command line.
    let command = fs::read(format!("/proc/{}/cmdline", process.trim()));
    command.is_ok_and(|it| !it.is_empty())
}

#[tokio::test(start_paused = true)]
async fn the_command_gets_its_arguments_and_the_event() {
    let world = world().await;
    let body =
        "echo \"$@\" >> $0; cat >> $0; echo >> $0; env | grep -c NOTIFY_SOCKET >> $0; exit 0";
    let script = Script::new(&world, body);
    let mut process = Process::start(&world, &script.config()).await;
    process.tick().await;
    let counts = process.counts.clone();
    really("it is run", move || counts.get(Outcome::Sent) == 1).await;
    let lines = script.lines();
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("--urgent", "0"));
    let event: Value = serde_json::from_str(&lines[1]).expect("JSON");
    assert_eq!(
        (&event["kind"], &event["stream"]),
        (&"at_max_shards".into(), &"orders".into())
    );
    process.tick().await;
    process.stop().await;
    assert_eq!(script.lines().len(), 3, "it is run once");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_is_run_again_also_after_a_restart() {
    let world = world().await;
    let script = Script::new(&world, "echo failed >> $0; exit 3");
    let mut process = Process::start(&world, &script.config()).await;
    process.tick().await;
    let counts = process.counts.clone();
    let output = script.output.clone();
    really("it is run", move || output.exists()).await;
    until("three attempts", || counts.get(Outcome::Failed) == 3).await;
    process.stop().await;
    let script = Script::new(&world, "cat > $0");
    let process = Process::start(&world, &script.config()).await;
    let counts = process.counts.clone();
    really("it is run", move || counts.get(Outcome::Sent) == 1).await;
    assert!(script.lines()[0].contains("\"at_max_shards\""));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_is_killed_with_what_it_has_started() {
    let world = world().await;
    let body = "sleep 1000 & echo $$ $! > $0; wait";
    let script = Script::new(&world, body);
    let mut process = Process::start(&world, &script.config()).await;
    process.tick().await;
    let output = script.output.clone();
    let ids = move || fs::read_to_string(&output).unwrap_or_default();
    let started = ids.clone();
    really("it hangs", move || started().ends_with('\n')).await;
    let hanging = ids();
    let counts = process.counts.clone();
    assert_eq!(counts.get(Outcome::Failed), 0);
    let began = tokio::time::Instant::now();
    until("it is killed", || counts.get(Outcome::Failed) > 0).await;
    let waited = began.elapsed();
    assert!(waited <= Duration::from_secs(11), "{waited:?}");
    really("nothing is left of it", move || {
        !hanging.split(' ').any(alive)
    })
    .await;

    process.stop().await;
    // Nor of the one that runs when the daemon or a single run stops.
    for within in [STOP_WITHIN, ONCE_WITHIN] {
        fs::remove_file(&script.output).expect("its output");
        let process = Process::start(&world, &script.config()).await;
        let started = ids.clone();
        really("it hangs again", move || started().ends_with('\n')).await;
        let hanging = ids();
        let began = tokio::time::Instant::now();
        process.notifier.end(within).await;
        assert!(began.elapsed() <= within + Duration::from_millis(100));
        really("nothing is left", move || !hanging.split(' ').any(alive)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_does_not_hold_up_the_topic() {
    let world = world().await;
    super::topic(&world);
    let script = Script::new(&world, "sleep 1000");
    let topic = "sns_topic = \"arn:aws:sns:eu-west-1:123456789012:kinesis-scaling\"";
    let config = script
        .config()
        .replacen("[notify]", &format!("[notify]\n{topic}"), 1);
    let mut process = Process::start(&world, &config).await;
    process.tick().await;
    let counts = process.counts.clone();
    until("it is published", || counts.get(Outcome::Sent) == 1).await;
    assert_eq!(super::told(&world), ["+at_max_shards"]);
    assert_eq!(process.counts.get(Outcome::Failed), 0);
    // After a restart only the command has it before it.
    process.stop().await;
    let record = world.state.path().join("notifications.json");
    let record = fs::read_to_string(record).expect("the record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let waiting = |target: &str| record["waiting"][target].as_array().map(Vec::len);
    assert_eq!(
        (waiting("sns_topic"), waiting("command")),
        (Some(0), Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_given_up_after_a_day() {
    let world = world().await;
    let config = format!(
        "[notify]\ncommand = [\"/nonexistent/page\"]\n{}",
        named(&["orders"])
    );
    let mut process = Process::start(&world, &config).await;
    let mut report = process.tick().await;
    // Scalings make room first.
    let failed = kinesis_autoscaler::reconcile::report::StreamReport {
        error: Some("broken".to_owned()),
        subscription: "other".to_owned(),
        reason: autoscaler_core::reason::Reason::Contract,
        ..report.streams[0].clone()
    };
    report.streams.push(failed);
    for _ in 0..1_005 {
        process.notifier.ticked(&report);
    }
    assert_eq!(process.counts.get(Outcome::Dropped), 7);
    process.notifier.end(Duration::ZERO).await;
    let text = fs::read_to_string(world.state.path().join("notifications.json")).expect("a file");
    assert!(text.contains("\"failed\""), "{text}");
    world.pass(jiff::SignedDuration::from_hours(25)).await;
    let process = Process::start(&world, &config).await;
    let counts = process.counts.clone();
    until("all is given up", || counts.get(Outcome::Dropped) >= 1_000).await;
}
