//! Notifications: what is told, how often, and where it goes.

use std::{sync::Arc, time::Duration};

use autoscaler_sandbox::Fault;
use jiff::SignedDuration;
use kinesis_autoscaler::{
    daemon::notify::{Counts, Notifier, ONCE_WITHIN, Outcome, STOP_WITHIN},
    reconcile::{
        context::{Context, Role},
        events::Event,
        report::Report,
        tick::Autoscaler,
    },
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, acted, named, tick};

mod command;
mod shipped;
mod storm;

const TOPIC: &str =
    "[notify]\nsns_topic = \"arn:aws:sns:eu-west-1:123456789012:kinesis-scaling\"\n";
const TICK: SignedDuration = SignedDuration::from_secs(10);

/// A daemon, as far as its ticks and notifications go.
struct Process {
    context: Arc<Context>,
    autoscaler: Autoscaler,
    notifier: Notifier,
    counts: Counts,
}

impl Process {
    async fn start(world: &World, config: &str) -> Self {
        let config = world.config(config);
        let context = world.process(config, Role::Daemon, false).await;
        Self::of(context)
    }

    fn of(context: Arc<Context>) -> Self {
        let counts = Counts::default();
        let notifier = Notifier::start(&context, &counts).expect("something to notify");
        let mut autoscaler = Autoscaler::new(context.clone(), false);
        autoscaler.inspect_all();
        Self {
            context,
            autoscaler,
            notifier,
            counts,
        }
    }

    async fn tick(&mut self) -> Report {
        let report = tick(&mut self.autoscaler).await;
        self.notifier.ticked(&report);
        report
    }

    /// Ticks for so long.
    async fn ticks(&mut self, world: &World, count: usize) {
        for _ in 0..count {
            self.tick().await;
            world.pass(TICK).await;
        }
    }

    async fn stop(self) {
        self.notifier.end(STOP_WITHIN).await;
    }
}

fn topic(world: &World) {
    world.place.create_topic("kinesis-scaling");
}

/// The messages that the topic has, in their order.
fn published(world: &World) -> Vec<Value> {
    let messages = world.place.published("kinesis-scaling").into_iter();
    messages
        .map(|it| serde_json::from_str(&it.message).expect("JSON"))
        .collect()
}

/// Kind and state of each message.
fn told(world: &World) -> Vec<String> {
    let state = |message: &Value| match message["state"].as_str() {
        Some("begin") => "+",
        Some("end") => "-",
        _ => "",
    };
    let kind = |message: &Value| message["kind"].as_str().expect("a kind").to_owned();
    let messages = published(world);
    messages
        .iter()
        .map(|it| format!("{}{}", state(it), kind(it)))
        .collect()
}

/// In virtual time.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came about: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_told_once_when_it_begins_and_once_when_it_ends() {
    let world = World::new();
    topic(&world);
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    let config = format!("{TOPIC}{}max_shards = 4\n", named(&["orders"]));
    let mut process = Process::start(&world, &config).await;
    process.ticks(&world, 30).await;
    assert_eq!(told(&world), ["+at_max_shards"]);
    let up = "orders-scale-up-alarm";
    world.place.set_alarm_state(up, "OK", "the test says so");
    process.ticks(&world, 3).await;
    process.stop().await;
    assert_eq!(told(&world), ["+at_max_shards", "-at_max_shards"]);
    let messages = world.place.published("kinesis-scaling");
    let subject = messages[0].subject.as_deref().expect("a subject");
    assert_eq!(
        subject,
        "kinesis-autoscaler: orders (eu-west-1): at max_shards, and more shards are needed"
    );
    let [begin, end] = &published(&world)[..] else {
        panic!("two messages")
    };
    let host = world.state.path().file_name().expect("a directory");
    let expected = json!({
        "id": begin["id"],
        "kind": "at_max_shards",
        "state": "begin",
        "summary": "orders (eu-west-1): at max_shards, and more shards are needed",
        "stream": "orders",
        "region": "eu-west-1",
        "shards_before": 4,
        "shards_after": null,
        "reason": "at_max_shards",
        "detail": "orders-scale-up-alarm asks for 6 shards; the stream has 4 and max_shards is 4; \
                   raise max_shards to let the stream grow",
        "hint": "raise `max_shards` to let the stream grow",
        "time": begin["time"],
        "since": null,
        "host": host.to_string_lossy(),
    });
    assert_eq!(*begin, expected);
    assert_eq!(end["since"], begin["time"]);
    assert_eq!(
        (&end["reason"], &end["hint"]),
        (&json!("no_alarm"), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn scalings_failures_and_the_scaling_log_are_told() {
    let world = World::new();
    topic(&world);
    for name in ["orders", "clicks"] {
        world.stream(name, 4);
    }
    world.place.delete_alarm("clicks-scale-down-alarm");
    world.fire("orders", "scale-up");
    let config = format!(
        "audit_interval = \"5m\"\n{TOPIC}{}",
        named(&["orders", "clicks"])
    );
    let mut process = Process::start(&world, &config).await;
    acted(&process.tick().await, "orders", "scale_up", 4, 6);
    process.ticks(&world, 60).await;
    assert_eq!(told(&world), ["scaled", "+failed"]);
    let scaled = &published(&world)[0];
    assert_eq!(
        scaled["summary"],
        "orders (eu-west-1): scaled up from 4 to 6 shards"
    );
    assert_eq!(
        (&scaled["shards_before"], &scaled["shards_after"]),
        (&json!(4), &json!(6))
    );
    let failed = &published(&world)[1];
    assert_eq!(
        (&failed["stream"], &failed["reason"]),
        (&json!("clicks"), &json!("contract"))
    );
    assert!(failed["hint"].is_string(), "{failed}");

    // The log does not answer: the next read of open scalings finds out.
    world.sandbox.deny("dynamodb:Query");
    process.ticks(&world, 40).await;
    world.sandbox.allow("dynamodb:Query");
    world.place.delete_alarm("clicks-scale-up-alarm");
    world.place.pair("clicks", 4);
    process.ticks(&world, 60).await;
    process.stop().await;
    let rest = told(&world).split_off(2);
    let expected = ["+log_unavailable", "-log_unavailable", "-failed"];
    assert_eq!(rest, expected);
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_nothing_and_delivers_what_waits() {
    let world = World::new();
    topic(&world);
    for name in ["orders", "gone"] {
        world.stream(name, 4);
        world.place.delete_alarm("gone-scale-up-alarm");
    }
    world.fire("orders", "scale-up");
    let config = format!("{TOPIC}{}max_shards = 4\n", named(&["gone", "orders"]));
    world.sandbox.deny("sns:Publish");
    let mut first = Process::start(&world, &config).await;
    first.ticks(&world, 12).await;
    assert!(first.counts.get(Outcome::Failed) > 1, "it is tried again");
    assert_eq!(first.counts.get(Outcome::Sent), 0);
    first.stop().await;
    world.sandbox.allow("sns:Publish");
    // Not even a kill loses what was saved before.
    let mut killed = Process::start(&world, &config).await;
    killed.ticks(&world, 3).await;
    assert_eq!(told(&world), ["+failed", "+at_max_shards"]);
    let record = world.state.path().join("notifications.json");
    let saved = || std::fs::read_to_string(&record).is_ok_and(|it| it.contains("\"sns_topic\":[]"));
    until("the record is saved", saved).await;
    drop(killed);
    for _ in 0..3 {
        let mut next = Process::start(&world, &config).await;
        next.ticks(&world, 3).await;
        assert_eq!(next.counts.get(Outcome::Sent), 0);
        next.stop().await;
    }
    // It ends while nothing runs.
    let up = "orders-scale-up-alarm";
    world.place.set_alarm_state(up, "OK", "the test says so");
    let mut last = Process::start(&world, &config).await;
    last.ticks(&world, 3).await;
    let all = ["+failed", "+at_max_shards", "-at_max_shards"];
    last.stop().await;
    assert_eq!(told(&world), all);
    // The other is subscribed no more.
    let config = format!("{TOPIC}{}", named(&["orders"]));
    let mut other = Process::start(&world, &config).await;
    other.ticks(&world, 1).await;
    other.stop().await;
    assert_eq!(told(&world)[3..], ["-failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_missing_or_denied_is_told_with_a_hint_and_tried_again() {
    let world = World::new();
    world.stream("orders", 4);
    let config = world.config(&format!("{TOPIC}{}", named(&["orders"])));
    let context = world.process(config, Role::Daemon, false).await;
    let publish = || async {
        let topic = context.aws.topic.as_ref().expect("a topic");
        let error = topic.publish("id", "subject", "message").await;
        let error = error.expect_err("it cannot be published to");
        (error.kind.code(), error.hint().unwrap_or_default())
    };
    let (kind, hint) = publish().await;
    assert_eq!(kind, "not_found");
    assert_eq!(
        hint,
        "create the topic, or correct `sns_topic` under [notify]"
    );
    topic(&world);
    world.sandbox.deny("sns:Publish");
    let (kind, hint) = publish().await;
    assert_eq!(kind, "access_denied");
    assert!(hint.contains("allow the action `sns:Publish`"), "{hint}");
    world.sandbox.allow("sns:Publish");
    world.sandbox.set_faults(|call| match &*call.operation {
        "Publish" => Fault::HangBefore,
        _ => Fault::None,
    });
    world.fire("orders", "scale-up");
    let mut process = Process::of(context.clone());
    process.tick().await;
    let counts = process.counts.clone();
    until("two attempts hang", || counts.get(Outcome::Failed) == 2).await;
    world.sandbox.set_faults(|_| Fault::None);
    until("it is sent", || counts.get(Outcome::Sent) == 1).await;
    assert_eq!(told(&world), ["scaled"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_another_region_is_published_to_there() {
    let world = World::new();
    let place = world.sandbox.region("us-east-1");
    let arn = place.create_topic("all.fifo");
    world.stream("orders", 2);
    world.fire("orders", "scale-up");
    let config = format!("[notify]\nsns_topic = \"{arn}\"\n{}", named(&["orders"]));
    let mut process = Process::start(&world, &config).await;
    process.tick().await;
    process.stop().await;
    assert_eq!(place.published("all.fifo").len(), 1);
}

/// One tick of a process of its own. Returns how long it waited for its notifications at the end.
async fn single_run(world: &World, config: &str) -> Duration {
    let context = world.process(world.config(config), Role::Once, false).await;
    let notifier = Notifier::start(&context, &Counts::default()).expect("a topic");
    let mut once = Autoscaler::new(context, true);
    once.resume(world.state.path());
    let wait = Duration::from_secs(3600);
    let notify = |report: &Report| notifier.reported(report);
    once.run_once_and(wait, wait, notify).await;
    once.save_state(world.state.path());
    let ended = tokio::time::Instant::now();
    notifier.end(ONCE_WITHIN).await;
    ended.elapsed()
}

#[tokio::test(start_paused = true)]
async fn that_the_daily_limit_keeps_a_floor_back_is_told_once() {
    let window = "[[windows]]\nat = \"2026-11-22T12:05:30Z\"\nfor = \"2h\"\nmin_shards = 7\n";
    let config = format!("{TOPIC}{window}{}", named(&["orders"]));
    for is_daemon in [true, false] {
        let world = World::new();
        topic(&world);
        world.stream("orders", 2);
        for hours in 1..=10 {
            let at = world.clock.now() - SignedDuration::from_hours(hours);
            let at = at.strftime("%Y-%m-%dT%H:%M:%S.000000+0000").to_string();
            let row = json!({"stream_name": {"S": "orders"}, "scaling_datetime": {"S": at}});
            world.place.put_item(TABLE, row).expect("it is a row");
        }
        if is_daemon {
            let mut process = Process::start(&world, &config).await;
            process.ticks(&world, 40 * 6).await;
            process.stop().await;
        } else {
            for _ in 0..40 {
                single_run(&world, &config).await;
                world.pass(SignedDuration::from_secs(60)).await;
            }
        }
        assert_eq!(told(&world), ["+daily_limit"], "{is_daemon}");
    }
}

#[tokio::test(start_paused = true)]
async fn single_runs_tell_everything_once_and_do_not_wait_long() {
    let world = World::new();
    topic(&world);
    world.stream("orders", 4);
    world.stream("small", 2);
    world.fire("orders", "scale-up");
    let window = "[[windows]]\nat = \"2026-11-22T12:00:00Z\"\nfor = \"1h\"\nmin_shards = 7\n";
    let config = format!(
        "{TOPIC}{window}[[streams]]\nname = \"small\"\n[[streams]]\nname = \"orders\"\nmax_shards = 4\n"
    );
    let run = async || single_run(&world, &config).await;
    world.sandbox.set_faults(|call| match &*call.operation {
        "Publish" => Fault::HangBefore,
        _ => Fault::None,
    });
    let waited = run().await;
    assert!(
        waited <= ONCE_WITHIN + Duration::from_millis(100),
        "{waited:?}"
    );
    assert_eq!(told(&world), Vec::<String>::new());
    world.sandbox.set_faults(|_| Fault::None);
    for _ in 0..10 {
        world.pass(SignedDuration::from_secs(60)).await;
        let waited = run().await;
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    }
    // 2 to 4 to 7, and what holds the other.
    assert_eq!(told(&world), ["scaled", "+at_max_shards", "scaled"]);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_told_and_a_standby_tells_nothing_else() {
    const LEASE: &str = "[high_availability]\nlease_duration = \"30s\"\n";
    let world = World::new();
    topic(&world);
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    let config = format!("{LEASE}{TOPIC}{}max_shards = 4\n", named(&["orders"]));
    let mut a = Process::of(world.start_on("a", &config).await);
    let mut b = Process::of(world.start_on("b", &config).await);
    let beat = async |process: &Process| {
        let lease = process.context.lease.as_ref().expect("a lease");
        lease.beat().await;
    };
    for _ in 0..3 {
        beat(&a).await;
        beat(&b).await;
        a.ticks(&world, 1).await;
        b.ticks(&world, 1).await;
    }
    assert_eq!(told(&world), ["+at_max_shards"]);
    a.context.lease.as_ref().expect("a lease").release().await;
    for _ in 0..3 {
        beat(&b).await;
        b.ticks(&world, 1).await;
    }
    let all = ["+at_max_shards", "standby_taken_over", "+at_max_shards"];
    assert_eq!(told(&world), all);
    assert_eq!(published(&world)[1]["summary"], "b has taken over from a");
    beat(&a).await;
    a.ticks(&world, 1).await;
    let last = published(&world).pop().expect("a message");
    assert_eq!(last["summary"], "b has taken over from a");
    assert_eq!(last["host"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_a_configuration_without_notify_tell_nothing() {
    let world = World::new();
    for (notify, dry_run, starts) in [
        (TOPIC, false, true),
        (TOPIC, true, false),
        ("", false, false),
    ] {
        let config = world.config(&format!("{notify}{}", named(&["orders"])));
        let context = world.process(config, Role::Daemon, dry_run).await;
        let notifier = Notifier::start(&context, &Counts::default());
        assert_eq!(notifier.is_some(), starts, "{notify} {dry_run}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_goes_on_with_what_is_open_and_what_waits() {
    let world = World::new();
    topic(&world);
    let other = world.place.create_topic("other");
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    let streams = format!("{}max_shards = 4\n", named(&["orders"]));
    world.sandbox.deny("sns:Publish");
    let mut process = Process::start(&world, &format!("{TOPIC}{streams}")).await;
    process.ticks(&world, 2).await;
    world.sandbox.allow("sns:Publish");
    let config = format!("[notify]\nsns_topic = \"{other}\"\n{streams}");
    let context = world
        .process(world.config(&config), Role::Daemon, false)
        .await;
    process.notifier = process.notifier.adopt(&context).expect("another topic");
    process.ticks(&world, 2).await;
    let silent = world
        .process(world.config(&streams), Role::Daemon, false)
        .await;
    assert!(process.notifier.adopt(&silent).is_none());
    assert_eq!(told(&world), Vec::<String>::new());
    assert_eq!(world.place.published("other").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_damaged_or_cannot_be_written_does_not_stop_anything() {
    let world = World::new();
    topic(&world);
    world.stream("orders", 4);
    world.fire("orders", "scale-up");
    let record = world.state.path().join("notifications.json");
    std::fs::write(&record, "{\"conditions\":").expect("it is written");
    let config = format!("{TOPIC}{}max_shards = 4\n", named(&["orders"]));
    let mut process = Process::start(&world, &config).await;
    process.ticks(&world, 2).await;
    process.stop().await;
    std::fs::remove_file(&record).expect("it is there");
    std::fs::create_dir(&record).expect("a directory in its place");
    let mut process = Process::start(&world, &config).await;
    process.ticks(&world, 2).await;
    process.stop().await;
    assert_eq!(told(&world), ["+at_max_shards", "+at_max_shards"]);
}

#[test]
fn the_example_of_the_readme_is_an_event() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```json\n{\"id\"").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let event: Event = serde_json::from_str(&format!("{{\"id\"{example}")).expect("an event");
    let (written, shown): (Value, Value) = (
        serde_json::from_str(&event.to_json()).expect("JSON"),
        serde_json::from_str(&format!("{{\"id\"{example}")).expect("JSON"),
    );
    assert_eq!(written, shown);
}
