//! Which facts are read, and in which order.

use crate::{
    alarm::{Alarm, Direction, State},
    decide::{Inquiry, ReadTwice, decide},
    decision::{Fact, Verdict},
    facts::{Facts, Fetched},
    scene::{down, now, scene, subscription, up},
    subscription::Subscription,
    trigger::Trigger,
};

#[test]
fn no_fact_is_asked_for_twice() {
    let (subscription, facts) = (subscription(), Facts::default());
    let mut inquiry = Inquiry::new(&subscription, &Trigger::Audit);
    let first = inquiry.next(&facts, now());
    assert_eq!(first, Ok(Verdict::Need(Fact::Pair)));
    // Nothing was read into the facts.
    let second = inquiry.next(&facts, now());
    assert_eq!(second, Err(ReadTwice(Fact::Pair)));
}

#[test]
fn nothing_is_read_that_an_earlier_rule_makes_unnecessary() {
    let of_poll = |direction: fn(u32) -> Facts, n: u32| {
        let whole = direction(n);
        let in_alarm = |seen: Fetched<Alarm>| {
            if seen.found().is_some_and(|a| a.state == State::Alarm) {
                seen
            } else {
                Fetched::Unread
            }
        };
        Facts {
            up: in_alarm(whole.up),
            down: in_alarm(whole.down),
            ..Facts::default()
        }
    };
    let reads = |trigger: &Trigger, min_shards: u32, mut seen: Facts, whole: &Facts| {
        let subscription = Subscription {
            min_shards,
            ..subscription()
        };
        let mut reads = Vec::new();
        while let Verdict::Need(fact) = decide(&subscription, trigger, &seen, now()) {
            match fact {
                Fact::Pair => (seen.up, seen.down) = (whole.up.clone(), whole.down.clone()),
                Fact::Stream => seen.stream = whole.stream.clone(),
                Fact::Scalings => seen.scalings = whole.scalings.clone(),
                Fact::Traffic => seen.traffic = whole.traffic.clone(),
                Fact::Consumers => seen.iterator_ages = whole.iterator_ages.clone(),
                Fact::Switches(_) => seen.switches = whole.switches.clone(),
            }
            reads.push(fact);
        }
        reads
    };
    let low = |n| down(n, 0.0);
    let resting = scene(4, State::Ok, State::Ok, 0.0);
    let mut resharded = resting.clone();
    if let Fetched::Found(stream) = &mut resharded.stream {
        stream.open_shards = 5;
    }
    let mut broken = of_poll(up, 4);
    if let Fetched::Found(alarm) = &mut broken.up {
        alarm.shard_count = None;
    }
    let nothing = Facts::default();
    let to_the_log = &[Fact::Pair, Fact::Stream, Fact::Scalings][..];
    let to_the_stream = &to_the_log[..2];
    let switches = Fact::Switches;
    let all_up = &[
        Fact::Pair,
        Fact::Stream,
        Fact::Scalings,
        switches(Direction::Up),
    ];
    let all_down = &[
        Fact::Pair,
        Fact::Stream,
        Fact::Scalings,
        Fact::Traffic,
        switches(Direction::Down),
    ];
    let (alarm, audit, recovery) = (Trigger::Alarm, Trigger::Audit, Trigger::Recovery(None));
    for (what, trigger, min_shards, seen, whole, expected) in [
        (
            "a stream at rest",
            &alarm,
            1,
            nothing.clone(),
            &up(4),
            &[][..],
        ),
        (
            "a scale-down alarm stuck at 1 shard",
            &alarm,
            1,
            of_poll(low, 1),
            &low(1),
            &[],
        ),
        (
            "a scale-down alarm stuck at the minimum",
            &alarm,
            4,
            of_poll(low, 4),
            &low(4),
            &[],
        ),
        ("a broken alarm", &alarm, 1, broken, &up(4), &[]),
        ("a scale-up", &alarm, 1, of_poll(up, 4), &up(4), all_up),
        (
            "a scale-down",
            &alarm,
            1,
            of_poll(low, 4),
            &low(4),
            all_down,
        ),
        (
            "an audit",
            &audit,
            1,
            nothing.clone(),
            &resting,
            to_the_stream,
        ),
        (
            "an audit at the minimum",
            &audit,
            4,
            nothing.clone(),
            &resting,
            to_the_stream,
        ),
        (
            "an audit below the minimum",
            &audit,
            5,
            nothing.clone(),
            &resting,
            all_up,
        ),
        (
            "an audit out of sync",
            &audit,
            1,
            nothing.clone(),
            &resharded,
            to_the_log,
        ),
        (
            "a recovery",
            &recovery,
            1,
            nothing.clone(),
            &resting,
            to_the_log,
        ),
    ] {
        assert_eq!(reads(trigger, min_shards, seen, whole), expected, "{what}");
    }
}
