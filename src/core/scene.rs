//! One stream with everything about it read, for the decision's tests and benchmarks.

use std::sync::Arc;

use autoscaler_core::{
    alarm::{Alarm, AlarmNames, GapFill, State},
    facts::{Facts, Fetched, Series, StreamStatus, StreamSummary, Switches, Traffic},
    policy::demand::Share,
    scaling::{Outcome, RecentScalings, Scaling},
    subscription::{Account, Origin, Permille, Policy, Subscription},
};
use jiff::{SignedDuration, Timestamp};

pub const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
/// Shards used, in 300 s of bytes.
pub const SHARD_BYTES: f64 = 1_048_576.0 * 300.0;

pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub fn subscription() -> Subscription {
    Subscription {
        stream: Some("orders".to_owned()),
        alarms: AlarmNames::from_either("orders-scale-up-alarm").expect("a name of the contract"),
        account: Account::default(),
        min_shards: 1,
        max_shards: 10_000,
        cooldown_up: std::time::Duration::ZERO,
        cooldown_down: std::time::Duration::ZERO,
        reserved_scale_ups: 3,
        policy: Policy::Original,
        memory: std::time::Duration::from_secs(12 * 60 * 60),
        fill: Permille::new(550),
        saving: Permille::new(300),
        max_iterator_age: None,
        reads: false,
        windows: Arc::default(),
        throttle_share: Share(5_000),
        origin: Origin::Named,
    }
}

pub fn alarm(name: &str, state: State, count: u32) -> Alarm {
    Alarm {
        name: name.to_owned(),
        state,
        state_updated_at: Some(ago(60)),
        configured_at: Some(ago(86_400)),
        actions_enabled: true,
        shard_count: Some(count.to_string()),
        streams: vec!["orders".to_owned(), "orders".to_owned()],
        usage: None,
        other_account: None,
        further_dimensions: Vec::new(),
        evaluation_state: None,
        fills_gaps: GapFill {
            bytes: true,
            records: true,
            outgoing: true,
        },
        unknown_fields: Vec::new(),
    }
}

/// Everything read: a stream with `n` shards in sync, `used` shards at its busiest time, and the
/// given states.
pub fn scene(n: u32, up: State, down: State, used: f64) -> Facts {
    let series = |sum: f64| Series {
        points: vec![(ago(3600), 0.0), (ago(600), sum), (ago(300), 0.0)],
        complete: true,
    };
    Facts {
        up: Fetched::Found(alarm("orders-scale-up-alarm", up, n)),
        down: Fetched::Found(alarm("orders-scale-down-alarm", down, n)),
        stream: Fetched::Found(StreamSummary {
            arn: ARN.to_owned(),
            status: StreamStatus::Active,
            on_demand: false,
            open_shards: n,
            created_at: None,
        }),
        scalings: Some(RecentScalings::default()),
        traffic: Some(Traffic {
            from: ago(86_400),
            period_seconds: 300,
            bytes: series(used * SHARD_BYTES),
            records: series(0.0),
            rejected: series(0.0),
            outgoing: None,
        }),
        switches: Some(Switches::default()),
        ..Facts::default()
    }
}

pub fn up(n: u32) -> Facts {
    scene(n, State::Alarm, State::Ok, 0.0)
}

pub fn down(n: u32, used: f64) -> Facts {
    scene(n, State::Ok, State::Alarm, used)
}

/// A row of the scaling log.
pub fn row(at: Timestamp, from: u32, to: u32, outcome: Outcome) -> Scaling {
    Scaling {
        stream_name: "orders".to_owned(),
        at,
        from,
        to,
        expires_at: now(),
        outcome,
        stream_arn: ARN.to_owned(),
        reason: None,
        alarm: None,
        usage: None,
        note: None,
        host: None,
        version: None,
        intent_id: None,
    }
}
