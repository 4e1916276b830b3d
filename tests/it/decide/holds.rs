//! One thing that is not as it should be at a time, and the reason for which it holds.

use autoscaler_core::{
    alarm::Alarm,
    decide::Action,
    facts::{Fetched, Observation, Series, StreamStatus, StreamSummary, Traffic},
    reason::Reason,
    scaling::{Log, Outcome},
};

use super::{away, decided, known, row};
use crate::scene::{ago, down, subscription, up};

/// Changes one thing in an observation, and names what it must come to.
type Case = (
    &'static str,
    fn() -> Observation,
    fn(&mut Observation),
    Action,
    Reason,
);

#[test]
fn holds_each_with_its_reason() {
    fn alarm_of(seen: &mut Fetched<Alarm>) -> &mut Alarm {
        match seen {
            Fetched::Found(alarm) => alarm,
            _ => unreachable!("the scene has both"),
        }
    }
    fn stream_of(seen: &mut Observation) -> &mut StreamSummary {
        match &mut seen.stream {
            Fetched::Found(stream) => stream,
            _ => unreachable!("the scene has one"),
        }
    }
    fn traffic_of(seen: &mut Observation) -> &mut Traffic {
        seen.traffic.as_mut().expect("the scene has traffic")
    }
    let cases: &[Case] = &[
        (
            "a missing counterpart",
            || up(4),
            |s| s.down = Fetched::Missing,
            Action::Hold,
            Reason::Contract,
        ),
        (
            "no shardCount",
            || up(4),
            |s| alarm_of(&mut s.down).shard_count = None,
            Action::Hold,
            Reason::Contract,
        ),
        (
            "shardCount 0",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("0".into()),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "shardCount -1",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("-1".into()),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "shardCount 4.0",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("4.0".into()),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "shardCount abc",
            || up(4),
            |s| alarm_of(&mut s.up).shard_count = Some("abc".into()),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "no incoming metric",
            || up(4),
            |s| alarm_of(&mut s.down).streams.clear(),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "no StreamName",
            || up(4),
            |s| alarm_of(&mut s.down).streams = vec![String::new()],
            Action::Hold,
            Reason::Contract,
        ),
        (
            "another stream",
            || up(4),
            |s| alarm_of(&mut s.down).streams = vec!["clicks".into()],
            Action::Hold,
            Reason::Contract,
        ),
        (
            "two streams",
            || up(4),
            |s| alarm_of(&mut s.up).streams[1] = "clicks".into(),
            Action::Hold,
            Reason::Contract,
        ),
        (
            "a field too new",
            || up(4),
            |s| alarm_of(&mut s.down).unknown_fields = vec!["X".into()],
            Action::Hold,
            Reason::Contract,
        ),
        (
            "up paused",
            || up(4),
            |s| alarm_of(&mut s.up).actions_enabled = false,
            Action::Hold,
            Reason::Paused,
        ),
        (
            "down paused",
            || down(4, 0.0),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            Action::Hold,
            Reason::Paused,
        ),
        (
            "the other paused",
            || up(4),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "down off at 1",
            || down(1, 0.0),
            |s| alarm_of(&mut s.down).actions_enabled = false,
            Action::Hold,
            Reason::AtMinShards,
        ),
        (
            "no stream",
            || up(4),
            |s| s.stream = Fetched::Missing,
            Action::Hold,
            Reason::StreamMissing,
        ),
        (
            "updating",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Updating,
            Action::Hold,
            Reason::Updating,
        ),
        (
            "updating, transient count",
            || up(4),
            |s| {
                stream_of(s).status = StreamStatus::Updating;
                stream_of(s).open_shards = 7
            },
            Action::Hold,
            Reason::Updating,
        ),
        (
            "creating",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Creating,
            Action::Hold,
            Reason::Updating,
        ),
        (
            "deleting",
            || up(4),
            |s| stream_of(s).status = StreamStatus::Deleting,
            Action::Hold,
            Reason::Updating,
        ),
        (
            "on demand",
            || up(4),
            |s| stream_of(s).on_demand = true,
            Action::Hold,
            Reason::OnDemand,
        ),
        (
            "resharded by hand",
            || up(4),
            |s| stream_of(s).open_shards = 5,
            Action::SyncAlarms { to: 5 },
            Reason::OutOfSync,
        ),
        (
            "one alarm off",
            || up(4),
            |s| alarm_of(&mut s.down).shard_count = Some("3".into()),
            Action::SyncAlarms { to: 4 },
            Reason::OutOfSync,
        ),
        (
            "sync before freshness",
            || up(4),
            |s| {
                stream_of(s).open_shards = 5;
                alarm_of(&mut s.up).configured_at = Some(ago(1))
            },
            Action::SyncAlarms { to: 5 },
            Reason::OutOfSync,
        ),
        (
            "stale state",
            || up(4),
            |s| alarm_of(&mut s.up).configured_at = Some(ago(30)),
            Action::Hold,
            Reason::StaleAlarm,
        ),
        (
            "stale for 3 minutes at most",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(500));
                alarm_of(&mut s.up).configured_at = Some(ago(180))
            },
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "stale when it was polled, long before",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(500));
                alarm_of(&mut s.up).configured_at = Some(ago(220));
                s.polled_at = Some(ago(200))
            },
            Action::Hold,
            Reason::StaleAlarm,
        ),
        (
            "polled before a scaling that is old by now",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = Some(ago(510));
                s.polled_at = Some(ago(500));
                s.log = Some(Log::whole(vec![row(ago(200), 2, 4, Outcome::Done)]))
            },
            Action::Hold,
            Reason::StaleAlarm,
        ),
        (
            "older than the last scaling",
            || up(4),
            |s| s.log = Some(Log::whole(vec![row(ago(50), 2, 4, Outcome::Done)])),
            Action::Hold,
            Reason::StaleAlarm,
        ),
        (
            "newer than the last scaling",
            || up(4),
            |s| s.log = Some(Log::whole(vec![row(ago(70), 2, 4, Outcome::Done)])),
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "no times at all",
            || up(4),
            |s| {
                alarm_of(&mut s.up).state_updated_at = None;
                alarm_of(&mut s.up).configured_at = None
            },
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "no data",
            || down(4, 0.0),
            |s| {
                *traffic_of(s) = Traffic {
                    bytes: Series {
                        points: vec![],
                        complete: true,
                    },
                    records: Series {
                        points: vec![],
                        complete: true,
                    },
                }
            },
            Action::Hold,
            Reason::NoData,
        ),
        (
            "half the data",
            || down(4, 0.0),
            |s| traffic_of(s).records.points.clear(),
            Action::Hold,
            Reason::NoData,
        ),
        (
            "a partial answer",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.complete = false,
            Action::Hold,
            Reason::NoData,
        ),
        (
            "NaN",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = f64::NAN,
            Action::Hold,
            Reason::NoData,
        ),
        (
            "infinite",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = f64::INFINITY,
            Action::Hold,
            Reason::NoData,
        ),
        (
            "negative",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points[0].1 = -1.0,
            Action::Hold,
            Reason::NoData,
        ),
        (
            "stale data",
            || down(4, 0.0),
            |s| traffic_of(s).bytes.points.retain(|(at, _)| *at < ago(1300)),
            Action::Hold,
            Reason::NoData,
        ),
        (
            "down without a log",
            || down(4, 0.0),
            |s| s.log = Some(away()),
            Action::Hold,
            Reason::LogUnavailable,
        ),
        (
            "up without a log",
            || up(4),
            |s| s.log = Some(away()),
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "up without a log, and an answer lost half a minute ago",
            || up(4),
            |s| s.log = Some(known(vec![row(ago(30), 4, 6, Outcome::Open)])),
            Action::Hold,
            Reason::Settling,
        ),
        (
            "up without a log, and AWS's limit met ten minutes ago",
            || up(4),
            |s| s.log = Some(known(vec![row(ago(600), 4, 6, Outcome::Refused)])),
            Action::Hold,
            Reason::DailyLimit,
        ),
        (
            "a row from the far future",
            || up(4),
            |s| s.log = Some(Log::whole(vec![row(ago(-40_000_000), 2, 4, Outcome::Done)])),
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
        (
            "a row from the future, and no cooldown",
            || up(4),
            |s| s.log = Some(Log::whole(vec![row(ago(-600), 2, 4, Outcome::Done)])),
            Action::ScaleUp { to: 6 },
            Reason::Alarm,
        ),
    ];
    for (name, scene, change, action, reason) in cases {
        let mut seen = scene();
        change(&mut seen);
        let decision = decided(&subscription(), &seen);
        assert_eq!(
            (decision.action, decision.reason),
            (*action, *reason),
            "{name}: {}",
            decision.detail
        );
        assert!(
            decision.detail.len() > 20,
            "{name}: the reason has to be in words: {:?}",
            decision.detail
        );
    }
}
