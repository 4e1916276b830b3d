use autoscaler_core::decision::{Action, Decision};

use super::*;
use crate::reconcile::report::{Done, NO_KNOWN_HOST, Report, Seen, StreamReport};

const HOST: &str = "bastion-1";

fn time(tick: usize) -> Timestamp {
    let tick = i64::try_from(tick).expect("small");
    Timestamp::from_second(1_800_000_000 + 10 * tick).expect("a time")
}

fn look(tick: usize) -> Look<'static> {
    Look {
        now: time(tick),
        host: HOST,
        region: "eu-west-1",
        rest_is_quiet: true,
    }
}

fn hold(reason: Reason) -> StreamReport {
    StreamReport::of_two_shards("orders", &Decision::hold(reason, "it is held"))
}

fn fail(reason: Reason) -> StreamReport {
    StreamReport::of_two_shards(
        "orders",
        &Decision::fail(reason, "it is broken", "repair it"),
    )
}

fn up() -> StreamReport {
    let up = Decision::act(Action::ScaleUp { to: 4 }, Reason::Alarm, "an alarm asks");
    StreamReport::of_two_shards("orders", &up)
}

fn watched(report: StreamReport) -> StreamReport {
    let seen = Seen {
        watched: Some(true),
        ..Seen::default()
    };
    StreamReport { seen, ..report }
}

fn report(streams: Vec<StreamReport>) -> Report {
    Report {
        streams,
        ..Report::of_nothing(Timestamp::UNIX_EPOCH, false)
    }
}

fn told(events: &[Event]) -> Vec<String> {
    let state = |event: &Event| match event.state {
        Some(State::Begin) => "+",
        Some(State::End) => "-",
        None => "",
    };
    let told = events.iter();
    told.map(|it| format!("{}{}", state(it), it.kind.code()))
        .collect()
}

/// The report of each tick on one stream, or none, and what is told of it, in words.
#[track_caller]
fn check(ticks: &[(Option<StreamReport>, &str)]) {
    let mut conditions = Conditions::default();
    for (number, (stream, expected)) in ticks.iter().enumerate() {
        let report = report(stream.clone().into_iter().collect());
        let events = conditions.take_in(&report, &look(number));
        assert_eq!(told(&events).join(" "), *expected, "tick {number}");
        // A restart forgets nothing, but whether this process was the one that acted.
        let json = serde_json::to_string(&conditions).expect("JSON");
        let restored: Conditions = serde_json::from_str(&json).expect("conditions");
        assert_eq!(serde_json::to_string(&restored).expect("JSON"), json);
        conditions = restored;
    }
}

#[test]
fn a_condition_is_told_when_it_begins_and_when_it_ends() {
    for (reason, kind) in [
        (Reason::AtMaxShards, "at_max_shards"),
        (Reason::DailyLimit, "daily_limit"),
        (Reason::ConsumersBehind, "consumers_behind"),
    ] {
        let (begins, ends) = (format!("+{kind}"), format!("-{kind}"));
        let at = || Some(hold(reason));
        check(&[(at(), &begins), (at(), ""), (None, &ends), (None, "")]);
        check(&[(at(), &begins), (Some(hold(Reason::AtTarget)), &ends)]);
        check(&[(at(), &begins), (Some(up()), &format!("scaled {ends}"))]);
        // What was not judged has not ended.
        for unknown in [
            hold(Reason::InProgress),
            hold(Reason::Updating),
            hold(Reason::Settling),
            hold(Reason::LogUnavailable),
        ] {
            let log = match unknown.reason {
                Reason::LogUnavailable => ["+log_unavailable", "-log_unavailable"],
                _ => ["", ""],
            };
            check(&[(at(), &begins), (Some(unknown), log[0]), (at(), log[1])]);
        }
        let failing = Some(fail(Reason::AwsError));
        check(&[(at(), &begins), (failing, "+failed"), (at(), "-failed")]);
    }
    let refused = || Some(fail(Reason::AccountLimit));
    check(&[
        (refused(), "+account_limit"),
        (refused(), ""),
        (None, "-account_limit"),
    ]);
    let limited = Some(fail(Reason::DailyLimit));
    check(&[
        (refused(), "+account_limit"),
        (limited, "-account_limit +daily_limit"),
    ]);
    let nothing = [
        Reason::NoAlarm,
        Reason::Cooldown,
        Reason::Paused,
        Reason::AtTarget,
    ];
    for reason in nothing {
        check(&[(Some(hold(reason)), ""), (None, "")]);
    }
}

#[test]
fn what_only_an_inspection_finds_ends_with_an_inspection() {
    for reason in [Reason::Contract, Reason::StreamMissing] {
        check(&[
            (Some(fail(reason)), "+failed"),
            (None, ""),
            (Some(hold(Reason::NoAlarm)), ""),
            (Some(hold(Reason::Paused)), ""),
            (Some(watched(hold(Reason::NoAlarm))), "-failed"),
        ]);
    }
    let mut audited = fail(Reason::AwsError);
    check(&[(Some(audited.clone()), "+failed"), (None, "-failed")]);
    audited.seen.unasked = true;
    check(&[
        (Some(audited.clone()), "+failed"),
        (None, ""),
        // The poll fails, and works again: that is no look at the stream.
        (Some(fail(Reason::AwsError)), ""),
        (None, ""),
        (Some(audited), ""),
        (Some(watched(up())), "scaled -failed"),
    ]);
}

#[test]
fn a_scaling_is_told_once_and_an_interrupted_one_when_it_is_finished() {
    check(&[(Some(up()), "scaled"), (None, ""), (Some(up()), "scaled")]);
    let started = StreamReport {
        error: Some("no answer".to_owned()),
        ..up()
    };
    let sync = Action::SyncAlarms { to: 4 };
    let recovered = Decision::act(sync, Reason::Recovered, "it took effect");
    let recovered = StreamReport::of_two_shards("orders", &recovered);
    assert_eq!(recovered.action, Done::SyncAlarms);
    check(&[
        (Some(started), "+failed"),
        (Some(hold(Reason::Updating)), ""),
        (Some(recovered), "scaled -failed"),
    ]);
    let synced = Decision::act(sync, Reason::OutOfSync, "the alarms record 3");
    check(&[(Some(StreamReport::of_two_shards("orders", &synced)), "")]);
    // Less than was asked for was scaled; the limit is known already.
    let reduced = Decision::act(Action::ScaleUp { to: 3 }, Reason::AccountLimit, "3 fit");
    let reduced = || Some(StreamReport::of_two_shards("orders", &reduced));
    check(&[(reduced(), "scaled"), (None, "")]);
    check(&[
        (Some(fail(Reason::AccountLimit)), "+account_limit"),
        (reduced(), "scaled"),
    ]);
}

#[test]
fn the_scaling_log_is_one_condition() {
    let mut conditions = Conditions::default();
    let mut tick = |number, trouble: Option<&str>, held: bool| {
        let held = held.then(|| hold(Reason::LogUnavailable));
        let report = Report {
            scaling_log_trouble: trouble.map(str::to_owned),
            ..report(held.into_iter().collect())
        };
        let events = conditions.take_in(&report, &look(number));
        let details = events.iter().map(|it| it.detail.clone());
        told(&events).into_iter().zip(details).collect::<Vec<_>>()
    };
    let one = |kind: &str, detail: &str| vec![(kind.to_owned(), detail.to_owned())];
    assert_eq!(tick(0, None, false), []);
    assert_eq!(tick(1, Some("away"), true), one("+log_unavailable", "away"));
    assert_eq!(tick(2, None, true), []);
    let ends = one("-log_unavailable", "DynamoDB answers again");
    assert_eq!(tick(3, None, false), ends);
    assert_eq!(tick(4, None, true), one("+log_unavailable", "it is held"));
}

#[test]
fn a_takeover_is_told_by_both_hosts_and_what_is_open_by_the_one_that_acts() {
    let mut conditions = Conditions::default();
    let standby = |holder: &str| Report {
        standby: Some(holder.to_owned()),
        ..report(Vec::new())
    };
    let full = || report(vec![hold(Reason::AtMaxShards)]);
    let mut tick = |number, report: Report| {
        let events = conditions.take_in(&report, &look(number));
        let summaries = events.iter().map(|it| it.summary.clone());
        summaries.collect::<Vec<_>>()
    };
    let full_words = "orders (eu-west-1): at max_shards, and more shards are needed";
    // A host that starts as a standby has taken over from nobody.
    assert!(tick(0, standby("bastion-2/17/1")).is_empty());
    assert_eq!(
        tick(1, full()),
        ["bastion-1 has taken over from bastion-2", full_words]
    );
    // Not renewed in time, and renewed.
    assert!(tick(2, standby(NO_KNOWN_HOST)).is_empty());
    assert!(tick(3, full()).is_empty());
    assert_eq!(
        tick(4, standby("bastion-2/17/1")),
        ["bastion-2 has taken over from bastion-1"]
    );
    assert!(tick(5, standby("bastion-2/17/1")).is_empty());
    assert!(tick(6, standby("bastion-3/1/1")).is_empty());
    assert_eq!(
        tick(7, full()),
        ["bastion-1 has taken over from bastion-3", full_words]
    );
}

#[test]
fn streams_that_are_not_listed_or_not_subscribed() {
    let mut conditions = Conditions::default();
    let partial = |number| Look {
        rest_is_quiet: false,
        ..look(number)
    };
    let full = report(vec![hold(Reason::AtMaxShards)]);
    assert_eq!(conditions.take_in(&full, &partial(0)).len(), 1);
    let nothing = conditions.take_in(&report(Vec::new()), &partial(1));
    assert_eq!(nothing, [], "it was not reached");
    let is_other = |it: &str| it != key(None, "eu-west-1", "orders");
    assert_eq!(conditions.forget(is_other, &look(2)), []);
    let ends = conditions.forget(|it| !is_other(it), &look(3));
    assert_eq!(told(&ends), ["-at_max_shards"]);
    assert_eq!(ends[0].stream.as_deref(), Some("orders"));
    assert_eq!(ends[0].since, Some(time(0)));
    assert_eq!(ends[0].detail, "the stream is no longer subscribed");
}

#[test]
fn many_streams_with_the_same_to_say_share_an_event() {
    let mut conditions = Conditions::default();
    let failed = |number: usize| {
        let failure = Decision::fail(Reason::AwsError, "away", "wait");
        let stream = StreamReport::of_two_shards(&format!("stream-{number}"), &failure);
        let account = (number % 2 == 1).then(|| "123".to_owned());
        StreamReport { account, ..stream }
    };
    let streams: Vec<StreamReport> = (0..2 * 600).map(failed).collect();
    let events = conditions.take_in(&report(streams), &look(0));
    let summaries: Vec<&str> = events.iter().map(|it| it.summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "600 streams (eu-west-1): failing",
            "600 streams (123, eu-west-1): failing"
        ]
    );
    for event in &events {
        assert_eq!((event.count, event.streams.len()), (Some(600), 500));
        assert_eq!((&event.stream, event.shards_before), (&None, None));
        assert!(event.detail.starts_with("for example stream-"), "{event:?}");
        assert_eq!(event.hint.as_deref(), Some("wait"));
    }
    assert_ne!(events[0].id, events[1].id);
    let few: Vec<StreamReport> = (0..20).map(|it| failed(2 * it)).collect();
    let events = Conditions::default().take_in(&report(few), &look(0));
    assert_eq!(events.len(), 20);
    // They end apart, too.
    let events = conditions.take_in(&report(Vec::new()), &look(1));
    assert_eq!(events.len(), 2);
}

#[test]
fn an_event_says_what_happened_and_what_to_do() {
    let mut conditions = Conditions::default();
    let mut first = |stream: StreamReport| {
        let events = conditions.take_in(&report(vec![stream]), &look(7));
        events.into_iter().next().expect("an event")
    };
    let scaled = first(up());
    assert_eq!(
        scaled.summary,
        "orders (eu-west-1): scaled up from 2 to 4 shards"
    );
    let shards = (scaled.shards_before, scaled.shards_after);
    assert_eq!((shards, scaled.state), ((Some(2), Some(4)), None));
    assert_eq!((scaled.time, scaled.host.as_str()), (time(7), HOST));
    assert_eq!(scaled.id, "bastion-1/1800000070000000/0");
    let failed = first(fail(Reason::Contract));
    let words = (failed.detail.as_str(), failed.hint.as_deref());
    assert_eq!(words, ("it is broken", Some("repair it")));
    assert_eq!(failed.reason, Some(Reason::Contract));
    let full = first(hold(Reason::AtMaxShards));
    let words = (full.detail.as_str(), full.hint.as_deref());
    let hint = "raise `max_shards` to let the stream grow";
    assert_eq!(words, ("it is held", Some(hint)));
}

#[test]
fn a_subject_is_short_printable_ascii() {
    let stream = format!("größe\n{}", "x".repeat(128));
    let report = report(vec![StreamReport::of_two_shards(
        &stream,
        &Decision::fail(Reason::AwsError, "e", ""),
    )]);
    let events = Conditions::default().take_in(&report, &look(0));
    let subject = events[0].subject();
    assert_eq!(subject.len(), 99);
    assert!(
        subject.starts_with("kinesis-autoscaler: gr??e?xxx") && subject.ends_with("xxx..."),
        "{subject}"
    );
    assert_eq!(events[0].hint, None);
    let long = Decision::fail(Reason::AwsError, "ß".repeat(10_000), "");
    let report = super::tests::report(vec![StreamReport::of_two_shards("orders", &long)]);
    let events = Conditions::default().take_in(&report, &look(0));
    assert_eq!(events[0].detail.chars().count(), 4_000);
}
