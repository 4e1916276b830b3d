//! Rules 1 to 9 one by one: one thing that is not as it should be, and the reason for which it
//! holds.

use crate::{
    alarm::{Alarm, GapFill},
    decision::Action,
    facts::{Facts, Fetched, StreamStatus, StreamSummary, Traffic},
    reason::Reason,
    scaling::{Outcome, RecentScalings},
};

use super::{away, decided, known};
use crate::scene::{ago, down, row, subscription, up};

/// Changes one thing in the facts, and names what it must come to.
type Case = (
    &'static str,
    fn() -> Facts,
    fn(&mut Facts),
    Option<Action>,
    Reason,
);

#[track_caller]
fn check(cases: &[Case]) {
    for (name, scene, change, action, reason) in cases {
        let mut facts = scene();
        change(&mut facts);
        let decision = decided(&subscription(), &facts);
        let (detail, decided) = (decision.detail(), decision.action());
        assert_eq!(
            (decided, decision.reason()),
            (*action, *reason),
            "{name}: {detail}"
        );
        assert!(
            detail.len() > 20,
            "{name}: the reason has to be in words: {detail:?}"
        );
    }
}

fn alarm_of(alarm: &mut Fetched<Alarm>) -> &mut Alarm {
    match alarm {
        Fetched::Found(alarm) => alarm,
        _ => unreachable!("the scene has both"),
    }
}

fn stream_of(facts: &mut Facts) -> &mut StreamSummary {
    match &mut facts.stream {
        Fetched::Found(stream) => stream,
        _ => unreachable!("the scene has one"),
    }
}

fn traffic_of(facts: &mut Facts) -> &mut Traffic {
    facts.traffic.as_mut().expect("the scene has traffic")
}

#[test]
fn a_broken_contract_holds_naming_the_rule() {
    check(&[
        (
            "a missing counterpart",
            || up(4),
            |s| s.down = Fetched::Missing,
            None,
            Reason::Contract,
        ),
        (
            "no shardCount",
            || up(4),
            |s| alarm_of(&mut s.down).shard_count = None,
            None,
            Reason::Contract,
        ),
        (
            "shardCount 0",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("0".into()),
            None,
            Reason::Contract,
        ),
        (
            "shardCount -1",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("-1".into()),
            None,
            Reason::Contract,
        ),
        (
            "shardCount 4.0",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("4.0".into()),
            None,
            Reason::Contract,
        ),
        (
            "shardCount abc",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("abc".into()),
            None,
            Reason::Contract,
        ),
        (
            "no incoming metric",
            || up(4),
            |s| alarm_of(&mut s.down).streams.clear(),
            None,
            Reason::Contract,
        ),
        (
            "no StreamName",
            || up(4),
            |s| alarm_of(&mut s.down).streams = vec![String::new()],
            None,
            Reason::Contract,
        ),
        (
            "another stream",
            || up(4),
            |s| alarm_of(&mut s.down).streams = vec!["clicks".into()],
            None,
            Reason::Contract,
        ),
        (
            "two streams",
            || up(4),
            |s| alarm_of(&mut s.up).streams[1] = "clicks".into(),
            None,
            Reason::Contract,
        ),
        (
            "a field too new",
            || up(4),
            |s| alarm_of(&mut s.down).unknown_fields = vec!["X".into()],
            None,
            Reason::Contract,
        ),
    ]);
}

#[test]
fn a_switched_off_direction_holds_and_the_other_goes_on() {
    check(&[
        (
            "up paused",
            || up(4),
            |s| alarm_of(&mut s.up).actions_enabled = false,
            None,
            Reason::Paused,
        ),
        (
            "down paused",
            || down(4, 0.0),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            None,
            Reason::Paused,
        ),
        (
            "the other paused",
            || up(4),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
        (
            "down off at 1",
            || down(1, 0.0),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            None,
            Reason::AtMinShards,
        ),
    ]);
}

#[test]
fn a_stream_that_is_not_active_and_provisioned_holds() {
    check(&[
        (
            "no stream",
            || up(4),
            |s| s.stream = Fetched::Missing,
            None,
            Reason::StreamMissing,
        ),
        (
            "updating",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Updating,
            None,
            Reason::Updating,
        ),
        (
            "updating, transient count",
            || up(4),
            |s| {
                stream_of(s).status = StreamStatus::Updating;
                stream_of(s).open_shards = 7
            },
            None,
            Reason::Updating,
        ),
        (
            "creating",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Creating,
            None,
            Reason::Updating,
        ),
        (
            "deleting",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Deleting,
            None,
            Reason::Updating,
        ),
        (
            "on demand",
            || up(4),
            |s| stream_of(s).on_demand = true,
            None,
            Reason::OnDemand,
        ),
    ]);
}

#[test]
fn alarms_out_of_sync_are_corrected_before_anything_else() {
    check(&[
        (
            "resharded by hand",
            || up(4),
            |s| stream_of(s).open_shards = 5,
            Some(Action::SyncAlarms { to: 5 }),
            Reason::OutOfSync,
        ),
        (
            "one alarm off",
            || up(4),
            |s| alarm_of(&mut s.down).shard_count = Some("3".into()),
            Some(Action::SyncAlarms { to: 4 }),
            Reason::OutOfSync,
        ),
        (
            "sync before freshness",
            || up(4),
            |s| {
                stream_of(s).open_shards = 5;
                alarm_of(&mut s.up).configured_at = Some(ago(1))
            },
            Some(Action::SyncAlarms { to: 5 }),
            Reason::OutOfSync,
        ),
    ]);
}

#[test]
fn a_state_older_than_its_definition_holds_for_three_minutes_at_most() {
    check(&[
        (
            "stale state",
            || up(4),
            |s| alarm_of(&mut s.up).configured_at = Some(ago(30)),
            None,
            Reason::StaleAlarm,
        ),
        (
            "stale for 3 minutes at most",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(500));
                alarm_of(&mut s.up).configured_at = Some(ago(180))
            },
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
        (
            "stale when it was polled, long before",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(500));
                alarm_of(&mut s.up).configured_at = Some(ago(220));
                s.alarms_read_at = Some(ago(200))
            },
            None,
            Reason::StaleAlarm,
        ),
        (
            "polled before a scaling that is old by now",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(510));
                s.alarms_read_at = Some(ago(500));
                s.scalings = Some(RecentScalings::complete(vec![row(
                    ago(200),
                    2,
                    4,
                    Outcome::Done,
                )]))
            },
            None,
            Reason::StaleAlarm,
        ),
        (
            "older than the last scaling",
            || up(4),
            |s| {
                s.scalings = Some(RecentScalings::complete(vec![row(
                    ago(50),
                    2,
                    4,
                    Outcome::Done,
                )]))
            },
            None,
            Reason::StaleAlarm,
        ),
        (
            "newer than the last scaling",
            || up(4),
            |s| {
                s.scalings = Some(RecentScalings::complete(vec![row(
                    ago(70),
                    2,
                    4,
                    Outcome::Done,
                )]))
            },
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
        (
            "no times at all",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = None;
                alarm_of(&mut s.up).configured_at = None
            },
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
    ]);
}

#[test]
fn a_gap_means_what_the_alarm_says_and_bad_data_holds_a_scale_down() {
    check(&[
        (
            "no data, and the alarm does not fill gaps",
            || down(4, 0.0),
            |s| {
                traffic_of(s).bytes.points.clear();
                traffic_of(s).records.points.clear();
                alarm_of(&mut s.down).fills_gaps = GapFill::default();
            },
            None,
            Reason::NoData,
        ),
        (
            "no data, and the alarm fills gaps with zero: the stream is idle",
            || down(4, 0.0),
            |s| {
                traffic_of(s).bytes.points.clear();
                traffic_of(s).records.points.clear();
            },
            Some(Action::ScaleDown { to: 2 }),
            Reason::Alarm,
        ),
        (
            "half the data, and the alarm does not fill the other half",
            || down(4, 0.0),
            |s| {
                traffic_of(s).records.points.clear();
                alarm_of(&mut s.down).fills_gaps.records = false;
            },
            None,
            Reason::NoData,
        ),
        (
            "a partial answer",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.complete = false,
            None,
            Reason::NoData,
        ),
        (
            "NaN",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = f64::NAN,
            None,
            Reason::NoData,
        ),
        (
            "infinite",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = f64::INFINITY,
            None,
            Reason::NoData,
        ),
        (
            "negative",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = -1.0,
            None,
            Reason::NoData,
        ),
        (
            "an end without data, which the alarm does not fill",
            || down(4, 0.0),
            |s| {
                traffic_of(s).bytes.points.retain(|(at, _)| *at < ago(1300));
                alarm_of(&mut s.down).fills_gaps = GapFill::default();
            },
            None,
            Reason::NoData,
        ),
    ]);
}

#[test]
fn without_the_scaling_log_only_scale_ups_go_on() {
    check(&[
        (
            "down without a log",
            || down(4, 0.0),
            |s| s.scalings = Some(away()),
            None,
            Reason::LogUnavailable,
        ),
        (
            "up without a log",
            || up(4),
            |s| s.scalings = Some(away()),
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
        (
            "up without a log, and an answer lost half a minute ago",
            || up(4),
            |s| s.scalings = Some(known(vec![row(ago(30), 4, 6, Outcome::Open)])),
            None,
            Reason::Settling,
        ),
        (
            "up without a log, and AWS's limit met ten minutes ago",
            || up(4),
            |s| s.scalings = Some(known(vec![row(ago(600), 4, 6, Outcome::Refused)])),
            None,
            Reason::DailyLimit,
        ),
    ]);
}

#[test]
fn a_row_from_the_future_does_not_hold() {
    check(&[
        (
            "a row from the far future",
            || up(4),
            |s| {
                s.scalings = Some(RecentScalings::complete(vec![row(
                    ago(-40_000_000),
                    2,
                    4,
                    Outcome::Done,
                )]))
            },
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
        (
            "a row from the future, and no cooldown",
            || up(4),
            |s| {
                s.scalings = Some(RecentScalings::complete(vec![row(
                    ago(-600),
                    2,
                    4,
                    Outcome::Done,
                )]))
            },
            Some(Action::ScaleUp { to: 6 }),
            Reason::Alarm,
        ),
    ]);
}
