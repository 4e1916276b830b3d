//! Scaling that people switch off for a time: alarm mute rules and pauses.

use std::time::Duration;

use autoscaler_sandbox::{Call, Fault};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::{Cli, Command},
    commands::{
        history::{self, Span},
        pause, status,
    },
    output::error::Exit,
};

use crate::world::{TABLE, World, acted, failed, held, named, of, tick};

const WAIT: Duration = Duration::from_secs(3600);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Orders with 4 shards, whose alarm of one direction is in ALARM.
async fn firing(direction: &str) -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.pass(MINUTE * 10).await;
    world.fire("orders", direction);
    world
}

/// Mutes the alarm of one direction for an hour.
fn mute(world: &World, direction: &str) {
    let alarm = format!("orders-{direction}-alarm");
    let hour = Duration::from_secs(3600);
    world
        .place
        .mute("night", &[&alarm], world.clock.now(), hour);
}

fn asked(world: &World) -> u64 {
    let calls = world.sandbox.calls();
    calls.get("ListAlarmMuteRules").copied().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_muted_alarm_does_not_scale_its_stream_until_the_rule_ends() {
    for (direction, action, to) in [("scale-up", "scale_up", 6), ("scale-down", "scale_down", 2)] {
        let world = firing(direction).await;
        mute(&world, direction);
        let mut autoscaler = world.start(&named(&["orders"])).await;
        for minute in 0..60 {
            let report = tick(&mut autoscaler).await;
            held(&report, "orders", "muted");
            let detail = &of(&report, "orders").detail;
            let says = |text: &str| assert!(detail.contains(text), "{minute}: {detail}");
            says(&format!("orders-{direction}-alarm is muted"));
            says("mute rule night");
            assert_eq!(of(&report, "orders").shards_before.unwrap_or(4), 4);
            world.pass(MINUTE).await;
        }
        world.pass(MINUTE * 5).await;
        let report = tick(&mut autoscaler).await;
        acted(&report, "orders", action, 4, to);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_rule_of_the_other_alarm_holds_nothing() {
    let world = firing("scale-up").await;
    mute(&world, "scale-down");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_follows_within_a_minute_of_the_end_of_a_mute_rule() {
    let world = firing("scale-up").await;
    mute(&world, "scale-up");
    let mut autoscaler = world.start(&named(&["orders"])).await;
    held(&tick(&mut autoscaler).await, "orders", "muted");
    world.place.unmute("night");
    world.pass(MINUTE).await;
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
}

#[tokio::test(start_paused = true)]
async fn mute_rules_are_asked_for_only_when_the_stream_is_about_to_be_scaled() {
    let world = firing("scale-up").await;
    world.fire("orders", "scale-down");
    for (config, calls) in [
        ("max_shards = 4", 0),
        ("min_shards = 4\nmax_shards = 4", 0),
        ("cooldown_up = \"5m\"", 1),
    ] {
        world.sandbox.reset_calls();
        let config = format!("{}{config}", named(&["orders"]));
        let mut autoscaler = world.start(&config).await;
        tick(&mut autoscaler).await;
        assert_eq!(asked(&world), calls, "{config}");
        let again = tick(&mut autoscaler).await;
        assert_eq!(asked(&world), calls, "{config}: {again:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_ask_together_whether_any_mute_rule_is_active() {
    for (muted, calls) in [(None, 1), (Some("s3"), 1 + 20)] {
        let world = World::new();
        let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
        for name in &names {
            world.stream(name, 4);
        }
        world.pass(MINUTE * 10).await;
        for name in &names {
            world.fire(name, "scale-up");
        }
        if let Some(name) = muted {
            let alarm = format!("{name}-scale-up-alarm");
            let now = world.clock.now();
            world.place.mute("night", &[&alarm], now, WAIT);
        }
        world.sandbox.reset_calls();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let report = tick(&mut world.start(&named(&names)).await).await;
        assert_eq!(asked(&world), calls, "muted: {muted:?}");
        for name in names {
            match muted == Some(name) {
                true => held(&report, name, "muted"),
                false => acted(&report, name, "scale_up", 4, 6),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_to_read_mute_rules_stops_no_scaling() {
    for (direction, action, to) in [("scale-up", "scale_up", 6), ("scale-down", "scale_down", 2)] {
        let world = firing(direction).await;
        mute(&world, direction);
        world.sandbox.deny("cloudwatch:ListAlarmMuteRules");
        let mut autoscaler = world.start(&named(&["orders"])).await;
        acted(&tick(&mut autoscaler).await, "orders", action, 4, to);
    }
}

#[tokio::test(start_paused = true)]
async fn mute_rules_that_do_not_answer_hold_a_scale_down_alone() {
    let away = |call: &Call| match call.operation.as_str() {
        "ListAlarmMuteRules" => Fault::HangBefore,
        _ => Fault::None,
    };
    let world = firing("scale-down").await;
    world.sandbox.set_faults(away);
    let mut autoscaler = world.start(&named(&["orders"])).await;
    let report = tick(&mut autoscaler).await;
    failed(&report, "orders", "aws_error", "ListAlarmMuteRules");
    world.fire("orders", "scale-up");
    let before = world.clock.now();
    acted(&tick(&mut autoscaler).await, "orders", "scale_up", 4, 6);
    let took = world.clock.now().duration_since(before);
    assert!(took < SignedDuration::from_secs(3), "it took {took:#}");
}

/// Runs the command line's `pause` or `resume` against the world.
async fn person(world: &World, line: &str) -> Result<Exit, String> {
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let words = std::iter::once("kinesis-autoscaler").chain(line.split(' '));
    let cli = Cli::try_from_args(words).map_err(|error| error.to_string())?;
    let done = match &cli.command {
        Some(Command::Pause(args)) => pause::pause(&context, args, cli.output).await,
        Some(Command::Resume(args)) => pause::resume(&context, args, cli.output).await,
        other => panic!("{other:?}"),
    };
    done.map_err(|failure| failure.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_its_directions_until_it_ends_by_itself() {
    for (direction, line, holds) in [
        ("scale-up", "pause orders --for 1h --reason test", true),
        ("scale-down", "pause orders --for 1h --reason test", true),
        ("scale-down", "pause --all --for 1h --reason test", true),
        (
            "scale-up",
            "pause orders --direction up --for 1h --reason test",
            true,
        ),
        (
            "scale-up",
            "pause orders --direction down --for 1h --reason test",
            false,
        ),
        (
            "scale-down",
            "pause --all --direction up --for 1h --reason test",
            false,
        ),
    ] {
        let world = firing(direction).await;
        person(&world, line).await.expect("the table takes it");
        let mut autoscaler = world.start(&named(&["orders"])).await;
        for _ in 0..60 {
            let report = tick(&mut autoscaler).await;
            if !holds {
                assert!(of(&report, "orders").acts(), "{line}: {report:#?}");
                break;
            }
            held(&report, "orders", "paused");
            let detail = &of(&report, "orders").detail;
            for part in ["paused", "until 2026-11-22T13:10:00Z", ": test"] {
                assert!(detail.contains(part), "{line}: {detail}");
            }
            world.pass(MINUTE).await;
        }
        world.pass(MINUTE * 5).await;
        let report = tick(&mut autoscaler).await;
        assert!(
            !holds || of(&report, "orders").acts(),
            "{line}: {report:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_scales_within_a_minute_of_resume_also_in_single_runs() {
    for (begin, end) in [
        ("pause orders", "resume orders"),
        ("pause ord*", "resume o*"),
        ("pause orders", "resume --all"),
        ("pause --all", "resume --all"),
    ] {
        let world = firing("scale-up").await;
        let begin = format!("{begin} --for 1h --reason test");
        person(&world, &begin).await.expect("the table takes it");
        let mut once = world.start(&named(&["orders"])).await;
        let report = once.run_once(WAIT, WAIT).await;
        held(&report, "orders", "paused");
        person(&world, end).await.expect("the table takes it");
        assert_eq!(world.rows().len(), 0, "{begin}");
        world.pass(MINUTE).await;
        let mut once = world.start(&named(&["orders"])).await;
        acted(&once.run_once(WAIT, WAIT).await, "orders", "scale_up", 4, 6);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_log_table_a_paused_stream_grows_and_never_shrinks() {
    let away = |call: &Call| match call.service {
        "dynamodb" => Fault::HangBefore,
        _ => Fault::None,
    };
    for (direction, reason) in [("scale-up", "alarm"), ("scale-down", "log_unavailable")] {
        let world = firing(direction).await;
        let line = "pause orders --for 1h --reason test";
        person(&world, line).await.expect("the table takes it");
        world.sandbox.set_faults(away);
        let mut autoscaler = world.start(&named(&["orders"])).await;
        let report = tick(&mut autoscaler).await;
        assert_eq!(of(&report, "orders").reason.code(), reason, "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_alone_that_cannot_be_read_hold_a_scale_down() {
    // The first Query reads the scalings, the second one the pauses.
    let away = |from: usize| {
        let mut queries = 0;
        move |call: &Call| {
            queries += usize::from(call.operation == "Query");
            match call.operation == "Query" && queries >= from {
                true => Fault::HangBefore,
                false => Fault::None,
            }
        }
    };
    let world = firing("scale-down").await;
    let mut autoscaler = world.start(&named(&["orders"])).await;
    // Upkeep has read the open scalings.
    autoscaler.tick(Duration::ZERO).await;
    world.pass(MINUTE).await;
    world.sandbox.set_faults(away(2));
    let report = tick(&mut autoscaler).await;
    let entry = of(&report, "orders");
    let detail = &entry.detail;
    assert_eq!(entry.reason.code(), "log_unavailable", "{report:#?}");
    assert!(detail.contains("pauses cannot be read"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_new_pause_takes_the_place_of_the_old_and_expires_in_the_table_too() {
    let world = firing("scale-up").await;
    for line in [
        "pause orders --for 3h --reason test",
        "pause orders --for 1h --direction down --reason other",
    ] {
        person(&world, line).await.expect("the table takes it");
    }
    let items = world.place.items(TABLE);
    let pauses = items
        .iter()
        .filter(|item| item["stream_name"]["S"] == "#pause");
    let pauses: Vec<_> = pauses.collect();
    let [pause] = pauses[..] else {
        panic!("one pause: {pauses:#?}")
    };
    let end = (world.clock.now() + SignedDuration::from_hours(1)).as_second();
    assert_eq!(pause["expiration_datetime"]["N"], end.to_string());
    assert_eq!(pause["reason"]["S"], "other");
    assert_eq!(pause["direction"]["S"], "down");
}

#[tokio::test(start_paused = true)]
async fn a_pause_without_an_end_or_of_an_unknown_stream_is_an_error() {
    let world = firing("scale-up").await;
    for (line, says) in [
        ("pause orders --reason test", "--for <TIME>"),
        ("pause orders --for 0s --reason test", "must be at least 1s"),
        (
            "pause orders --for soon --reason test",
            "expected for example 30m, 2h or 1day",
        ),
        (
            "pause orders --for 900days --reason test",
            "must be at most 366 days",
        ),
        ("pause orders --for 1h", "--reason <TEXT>"),
        ("pause --for 1h --reason test", "<STREAM>"),
        (
            "pause orders --all --for 1h --reason test",
            "cannot be used with",
        ),
        ("pause order --for 1h --reason test", "did you mean orders?"),
        ("pause nothing --for 1h --reason test", "subscribe it first"),
        (
            "pause n* --for 1h --reason test",
            "no subscription matches n*",
        ),
        (
            "pause orders --region us-west-9 --for 1h --reason test",
            "not subscribed in the Region",
        ),
        ("resume order", "did you mean orders?"),
        ("resume", "<STREAM>"),
    ] {
        let error = person(&world, line).await.expect_err(line);
        assert!(error.contains(says), "{line}: {error}");
    }
    assert_eq!(world.place.items(TABLE).len(), 0, "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn status_and_history_show_pauses_and_mute_rules() {
    let world = firing("scale-down").await;
    mute(&world, "scale-up");
    let line = "pause orders --for 1h --reason test";
    person(&world, line).await.expect("the table takes it");
    let context = world
        .context(world.config(&named(&["orders"])), false)
        .await;
    let status = status::gather(&context).await;
    let json: serde_json::Value = serde_json::from_str(&status.to_json()).expect("JSON");
    let constraints = &json["streams"][0]["constraints"];
    let seen = |i: usize| (&constraints[i]["source"], &constraints[i]["hold"]);
    assert_eq!(
        seen(0),
        (&"pause".into(), &"both".into()),
        "{constraints:#}"
    );
    assert_eq!(
        seen(1),
        (&"mute_rule".into(), &"up".into()),
        "{constraints:#}"
    );
    let text = status.to_text(Some(100));
    for part in ["the stream is paused until", "mute rule night"] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(part), "{text}");
    }
    let span = Span {
        since: world.clock.now() - SignedDuration::from_hours(1),
        until: world.clock.now(),
    };
    let log = history::read(&context, &[], span)
        .await
        .expect("the log is there");
    let text = log.to_text(None, true);
    let paused = "orders (eu-west-1): the stream is paused until 2026-11-22T13:10:00Z by ";
    assert!(text.contains(paused), "{text}");
    let json: serde_json::Value = serde_json::from_str(&log.to_json()).expect("JSON");
    assert_eq!(json["pauses"][0]["reason"], "test", "{json:#}");
}
