//! Windows: floors, holds, and a fortnight with everything at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use autoscaler_core::{
    constraints::Hold,
    pause::{Pause, Paused},
};
use jiff::{SignedDuration, Timestamp, civil::Weekday};
use kinesis_autoscaler::{
    cli,
    commands::{check, status},
    output::times::Times,
    reconcile::{
        context::Context,
        report::{Report, StreamReport},
        tick::Autoscaler,
    },
};
use serde_json::{Value, json};

use crate::world::{World, held, of, tick};

const TICK: SignedDuration = SignedDuration::from_secs(10);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const WAIT: Duration = Duration::from_secs(3600);

/// At 12:30, half an hour after the world begins, for an hour.
const HALF_PAST: &str =
    "[[windows]]\nat = \"2026-11-22T12:30:00Z\"\nfor = \"1h\"\nmin_shards = 11\n";
const ORDERS: &str = "[[streams]]\nname = \"orders\"\n";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The count that each scaling of a report leads to, and its reason.
fn scalings(report: &Report) -> Vec<(u32, &'static str)> {
    let acts = report.streams.iter().filter(|stream| stream.acts());
    let scaling = |stream: &StreamReport| Some((stream.shards_after?, stream.reason.code()));
    acts.filter_map(scaling).collect()
}

#[tokio::test(start_paused = true)]
async fn a_window_scales_its_stream_up_in_as_many_calls_as_it_takes_and_idle_ticks_stay_one_call() {
    let world = World::new();
    world.stream("orders", 2);
    let mut autoscaler = world.start(&format!("{HALF_PAST}{ORDERS}")).await;
    autoscaler.inspect_all();
    tick(&mut autoscaler).await;
    let (mut seen, mut calls, mut reached) = (Vec::new(), Vec::new(), None);
    while world.clock.now() < at("2026-11-22T14:00:00Z") {
        world.pass(TICK).await;
        let now = world.clock.now();
        let report = tick(&mut autoscaler).await;
        seen.extend(scalings(&report));
        let all: u64 = report.api_calls.values().sum();
        calls.push((now, all));
        if world.shards("orders") == 11 && reached.is_none() {
            reached = Some(now);
        }
    }
    let expected = [(4, "scheduled"), (8, "scheduled"), (11, "scheduled")];
    assert_eq!(seen, expected);
    let reached = reached.expect("it has 11 shards");
    let settled = reached + MINUTE * 2;
    let start = at("2026-11-22T12:30:00Z");
    // The log is read for open scalings once in a quarter of an hour.
    let idle = |(now, _): &&(Timestamp, u64)| *now < start || *now > settled;
    let idle: Vec<_> = calls.iter().filter(idle).collect();
    let more: Vec<_> = idle.iter().filter(|(_, calls)| *calls > 1).collect();
    assert!(
        more.len() <= 8,
        "idle ticks with more than a call: {more:?}"
    );
    println!(
        "11 shards {:#} after the start",
        reached.duration_since(start)
    );
}

#[tokio::test(start_paused = true)]
async fn single_runs_reach_the_floor_and_then_cost_one_call_each() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!("{HALF_PAST}{ORDERS}");
    let (mut seen, mut idle) = (Vec::new(), BTreeMap::new());
    for _ in 0..60 {
        let mut once = world.start(&config).await;
        once.resume(world.state.path());
        let report = once.run_once(WAIT, WAIT).await;
        once.save_state(world.state.path());
        seen.extend(scalings(&report));
        let all: u64 = report.api_calls.values().sum();
        *idle.entry(all).or_insert(0) += 1;
        world.pass(MINUTE).await;
    }
    let expected = [(4, "scheduled"), (8, "scheduled"), (11, "scheduled")];
    assert_eq!(seen, expected);
    assert!(idle[&1] >= 45, "runs by their number of calls: {idle:?}");
}

#[tokio::test(start_paused = true)]
async fn a_single_run_reports_a_floor_that_is_kept_back_also_where_it_does_not_look_again() {
    let world = World::new();
    world.stream("orders", 2);
    world.pass(MINUTE * 40).await;
    let config = format!("{HALF_PAST}{ORDERS}");
    let context = world.context(world.config(&config), false).await;
    pause(&context, Hold::Up, world.clock.now()).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let mut once = world.start(&config).await;
        once.resume(world.state.path());
        let report = once.run_once(WAIT, WAIT).await;
        once.save_state(world.state.path());
        held(&report, "orders", "paused");
        calls.push(report.api_calls.values().sum::<u64>());
        world.pass(TICK).await;
    }
    assert_eq!(calls[1..], [1, 1], "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_start_and_another_host_go_on_where_the_floor_is_not_reached() {
    let world = World::new();
    world.stream("orders", 2);
    let config = format!("{HALF_PAST}{ORDERS}");
    world.pass(MINUTE * 40).await;
    let mut first = world.start(&config).await;
    let report = tick(&mut first).await;
    assert_eq!(scalings(&report), [(4, "scheduled")]);
    drop(first);
    // It dies, and the next one starts without its state while the stream is UPDATING.
    let mut next = world.start(&config).await;
    let mut seen = Vec::new();
    for _ in 0..60 {
        seen.extend(scalings(&tick(&mut next).await));
        world.pass(TICK).await;
    }
    assert_eq!(seen, [(8, "scheduled"), (11, "scheduled")]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_pattern_finds_while_a_window_is_open_reaches_the_floor() {
    for alarm in [Some("scale-up"), None] {
        let world = World::new();
        let pattern = "[[streams]]\nmatch = \"prod-*\"\n";
        let config = format!("audit_interval = \"15m\"\n{HALF_PAST}{pattern}");
        let mut autoscaler = world.start(&config).await;
        autoscaler.inspect_all();
        tick(&mut autoscaler).await;
        world.pass(MINUTE * 40).await;
        tick(&mut autoscaler).await;
        world.stream("prod-new", 2);
        world.pass(MINUTE * 5).await;
        if let Some(direction) = alarm {
            world.fire("prod-new", direction);
        }
        let mut seen = Vec::new();
        for _ in 0..12 * 15 {
            seen.extend(scalings(&tick(&mut autoscaler).await));
            world.pass(TICK / 2).await;
        }
        let first = alarm.map_or("scheduled", |_| "alarm");
        let expected = [(4, first), (8, "scheduled"), (11, "scheduled")];
        assert_eq!(seen, expected, "{alarm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_shrinks_below_an_open_floor_and_a_cap_and_a_hold_are_told_with_their_window() {
    for (window, direction, reason, says) in [
        (
            "min_shards = 4",
            "scale-down",
            "at_min_shards",
            "min_shards of the window at",
        ),
        (
            "max_shards = 4",
            "scale-up",
            "at_max_shards",
            "max_shards of the window at",
        ),
        (
            "hold = \"up\"",
            "scale-up",
            "window",
            "no scale-up: the window at",
        ),
        (
            "hold = \"down\"",
            "scale-down",
            "window",
            "no scale-down: the window at",
        ),
        (
            "hold = \"both\"",
            "scale-down",
            "window",
            "holds it until 2026-11-22T13:00:00Z",
        ),
    ] {
        let world = World::new();
        world.stream("orders", 4);
        world.pass(MINUTE * 10).await;
        world.fire("orders", direction);
        let config =
            format!("[[windows]]\nat = \"2026-11-22T12:00:00Z\"\nfor = \"1h\"\n{window}\n{ORDERS}");
        let mut autoscaler = world.start(&config).await;
        let report = tick(&mut autoscaler).await;
        held(&report, "orders", reason);
        let detail = &of(&report, "orders").detail;
        assert!(detail.contains(says), "{window}: {detail}");
        // Once the window is closed, the alarm is followed.
        while world.clock.now() < at("2026-11-22T13:00:00Z") {
            world.pass(MINUTE * 10).await;
            let report = tick(&mut autoscaler).await;
            let open = world.clock.now() < at("2026-11-22T13:00:00Z");
            assert_eq!(scalings(&report).is_empty(), open, "{window}: {report:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_and_a_mute_rule_keep_a_floor_from_being_reached_and_a_cooldown_does_not() {
    let world = World::new();
    world.stream("orders", 4);
    let up = "orders-scale-up-alarm";
    world.place.mute(
        "deploy",
        &[up],
        world.clock.now(),
        Duration::from_secs(2400),
    );
    let config = format!("{HALF_PAST}{ORDERS}cooldown_up = \"3h\"\n");
    let mut autoscaler = world.start(&config).await;
    tick(&mut autoscaler).await;
    let mut seen = Vec::new();
    while world.clock.now() < at("2026-11-22T12:50:00Z") {
        world.pass(MINUTE).await;
        for (to, reason) in scalings(&tick(&mut autoscaler).await) {
            seen.push((to, reason, world.clock.now() >= at("2026-11-22T12:40:00Z")));
        }
    }
    assert_eq!(seen, [(8, "scheduled", true), (11, "scheduled", true)]);
}

#[tokio::test(start_paused = true)]
async fn status_shows_the_open_window_and_the_next_and_check_what_cannot_work() {
    let world = World::new();
    world.stream("orders", 4);
    let config = format!(
        "{ORDERS}max_shards = 8\nwindows = [{{ when = \"0 0 * * * *\", for = \"10m\", hold = \"down\" }}]\n\
         [[windows]]\nat = \"2026-11-22T11:30:00Z\"\nfor = \"1h\"\nmin_shards = 6\n\
         [[windows]]\nat = \"2020-01-01T00:00:00Z\"\nfor = \"1h\"\nhold = \"up\"\n\
         [[windows]]\nat = \"2027-01-01T00:00:00Z\"\nfor = \"1h\"\nmin_shards = 20\n\
         [[windows]]\nwhen = \"0 0 */2 * * *\"\nfor = \"1h\"\nmin_shards = 8\n"
    );
    let context = world.context(world.config(&config), false).await;
    let shown = status::gather(&context).await;
    let all: Value = serde_json::from_str(&shown.to_json()).expect("JSON");
    let row = &all["streams"][0];
    let sources = row["constraints"].as_array().expect("a list");
    let sources: Vec<_> = sources.iter().map(|it| it["source"].as_str()).collect();
    assert_eq!(sources, [Some("window"); 3], "{row:#}");
    assert_eq!(row["next_window"]["opens_at"], "2026-11-22T13:00:00Z");
    assert_eq!(
        (&row["min_shards"], &row["max_shards"]),
        (&json!(1), &json!(8))
    );
    let every_other = "the window \"0 0 */2 * * *\" (UTC) until 2026-11-22T13:00:00Z";
    let in_force = json!({"min_shards": 8, "min_by": every_other, "max_shards": 8, "max_by": null});
    assert_eq!(row["bounds_in_force"], in_force);
    let of_orders = cli::Status {
        page: Some("orders".to_owned()),
        ..cli::Status::default()
    };
    for (args, says) in [
        (&cli::Status::default(), "8-8".to_owned()),
        (&of_orders, "allowed are 8 to 8".to_owned()),
        (
            &of_orders,
            format!("bounds       min_shards is 8 by {every_other}; its own are 1 to 8"),
        ),
    ] {
        let text = shown.show(args, cli::Output::Text, None, &Times::utc());
        assert!(text.contains(&says), "{says}: {text}");
    }
    let findings = check::examine(&context, check::Scope::All).await;
    let text = findings.render(cli::Output::Text, None, false, None);
    for says in [
        "the window at 2020-01-01T00:00:00Z has passed and never opens again",
        "asks for 20 shards at 2027-01-01T00:00:00Z, and max_shards is 8",
        "asks for 8 shards, which from 4 take 12 UpdateShardCount calls in a day; AWS allows 10",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

/// Two hosts, of which one acts.
struct Hosts {
    config: String,
    hosts: Vec<(Arc<Context>, Autoscaler)>,
}

impl Hosts {
    async fn start(&mut self, world: &World, name: &str) {
        let context = world.start_on(name, &self.config).await;
        let mut autoscaler = Autoscaler::new(context.clone(), true);
        autoscaler.inspect_all();
        self.hosts.push((context, autoscaler));
    }

    async fn tick(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        for (context, autoscaler) in &mut self.hosts {
            context.lease.as_ref().expect("a lease").beat().await;
            reports.push(tick(autoscaler).await);
        }
        reports
    }
}

/// Mid-March to the end of March 2027: New York changes on the 14th, Berlin on the 28th.
const FORTNIGHT: &str = r#"
[high_availability]
lease_duration = "7m"

[[windows]]
when = "0 30 7 * * MON-FRI"
for = "10h"
timezone = "Europe/Berlin"
ahead = "45m"
min_shards = 20

[[windows]]
when = "0 30 2 * * SUN"
for = "2h"
timezone = "America/New_York"
hold = "both"

[[windows]]
at = "2027-03-20T12:00:00Z"
for = "3h"
ahead = "45m"
min_shards = 24

[[streams]]
name = "orders"
min_shards = 2
reserved_scale_ups = 0
"#;

/// Shortly before a window closes, and for 8 hours.
const PAUSED_AT: &str = "2027-03-17T16:00:00Z";
const MUTED_AT: &str = "2027-03-24T16:00:00Z";

/// The windows of the fortnight by the local clocks: what must not shrink, and the floor.
fn expected(now: Timestamp) -> (bool, u32) {
    let berlin = now.in_tz("Europe/Berlin").expect("a zone");
    let (day, minute) = (
        berlin.weekday(),
        i32::from(berlin.hour()) * 60 + i32::from(berlin.minute()),
    );
    let works = !matches!(day, Weekday::Saturday | Weekday::Sunday);
    let open = works && (450..1050).contains(&minute);
    let once = (at("2027-03-20T12:00:00Z")..at("2027-03-20T15:00:00Z")).contains(&now);
    let floor = [(open, 20), (once, 24)]
        .into_iter()
        .filter(|(open, _)| *open);
    let floor = floor.map(|(_, floor)| floor).max().unwrap_or(2);
    let held = [
        // 02:30 does not exist on the 14th: 03:00 EDT is 07:00 UTC.
        ("2027-03-14T07:00:00Z", "2027-03-14T09:00:00Z"),
        ("2027-03-21T06:30:00Z", "2027-03-21T08:30:00Z"),
        ("2027-03-28T06:30:00Z", "2027-03-28T08:30:00Z"),
        // The pause and the mute rule.
        (PAUSED_AT, "2027-03-18T00:00:00Z"),
        (MUTED_AT, "2027-03-25T00:00:00Z"),
    ];
    let held = held
        .iter()
        .any(|(from, to)| (at(from)..at(to)).contains(&now));
    (held, floor)
}

#[tokio::test(start_paused = true)]
async fn a_fortnight_of_windows_a_pause_and_a_mute_rule_keeps_every_promise() {
    let world = World::at("2027-03-13T12:00:00Z");
    world.stream("orders", 2);
    let mut hosts = Hosts {
        config: FORTNIGHT.to_owned(),
        hosts: Vec::new(),
    };
    hosts.start(&world, "a").await;
    hosts.start(&world, "b").await;
    let step = MINUTE * 5;
    let end = at("2027-03-30T00:00:00Z");
    let (mut before, mut floor_before) = (2, 2);
    let (mut reached, mut early): (Option<Timestamp>, Vec<String>) = (None, Vec::new());
    let (mut number, mut paused, mut muted) = (0, false, false);
    while world.clock.now() < end {
        world.pass(step).await;
        let now = world.clock.now();
        number += 1;
        if now >= at(PAUSED_AT) && !paused {
            paused = true;
            pause(&hosts.hosts[0].0, Hold::Down, at(PAUSED_AT)).await;
        }
        if now >= at(MUTED_AT) && !muted {
            muted = true;
            let alarm = "orders-scale-down-alarm";
            let length = Duration::from_secs(8 * 3600);
            world.place.mute("sale", &[alarm], at(MUTED_AT), length);
        }
        // The traffic is gone, and the alarm says so every half an hour.
        if number % 6 == 0 {
            world.fire("orders", "scale-down");
        }
        // A host crashes now and then, also on the way to a floor.
        if number % 397 == 0 {
            hosts.hosts.remove(0);
            let name = format!("host-{number}");
            hosts.start(&world, &name).await;
        }
        for report in hosts.tick().await {
            for stream in &report.streams {
                assert_eq!(stream.error, None, "{now}: {stream:#?}");
            }
        }
        let (held, floor) = expected(now);
        let shards = world.shards("orders");
        assert!(
            shards >= floor,
            "{now}: {shards} shards, the floor is {floor}"
        );
        assert!(
            !held || shards >= before,
            "{now}: from {before} to {shards} in a hold"
        );
        assert!(shards <= 24, "{now}: {shards}");
        if shards >= 20 && before < 20 {
            reached = Some(now);
        }
        if floor > floor_before {
            let ready = reached.map_or(SignedDuration::ZERO, |it| now.duration_since(it));
            early.push(format!("{ready:#}"));
        }
        (before, floor_before) = (shards, floor);
    }
    assert_eq!(world.shards("orders"), 2, "everything is back to normal");
    assert_eq!(early.len(), 12, "11 working days and once: {early:?}");
    println!(
        "the floors were reached before their time by: {}",
        early.join(", ")
    );
    most_calls_in_a_day(&world);
}

async fn pause(context: &Context, hold: Hold, now: Timestamp) {
    let pause = Pause {
        of: Paused::All,
        hold,
        owner: "ann".to_owned(),
        reason: "load test".to_owned(),
        since: now,
        until: now + SignedDuration::from_hours(8),
    };
    context
        .scaling_log
        .pause(&pause)
        .await
        .expect("the table takes it");
}

/// AWS allows ten calls in any 24 h, and would refuse the eleventh.
fn most_calls_in_a_day(world: &World) {
    let calls = world.sandbox.request_log();
    let calls = calls
        .iter()
        .filter(|call| call.operation == "UpdateShardCount");
    let calls: Vec<_> = calls.collect();
    let refused: Vec<_> = calls.iter().filter(|call| call.outcome != "ok").collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let day = SignedDuration::from_hours(24);
    let in_day = |first: usize| {
        let from = calls[first].at;
        calls[first..]
            .iter()
            .filter(|it| it.at.duration_since(from) < day)
            .count()
    };
    let most = (0..calls.len()).map(in_day).max();
    assert!(most <= Some(10), "{most:?} calls in a day");
    println!(
        "{} calls, at most {} in 24 h",
        calls.len(),
        most.unwrap_or(0)
    );
}
