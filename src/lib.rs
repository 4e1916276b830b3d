//! Scales provisioned Amazon Kinesis data streams by the state of their CloudWatch alarms.
//!
//! # Architecture
//!
//! Three crates, whose borders the compiler checks:
//!
//! | crate | what it is | what it may use |
//! |---|---|---|
//! | [`autoscaler_core`], `src/core` | the alarm contract, facts, decisions, policies, limits | values: no tokio, AWS, clock or I/O |
//! | [`autoscaler_sandbox`], `src/sandbox` | an AWS in memory that answers the real SDK clients | the core |
//! | this one, `src` | the program | both |
//!
//! A tick flows through the program like this:
//!
//! ```text
//! daemon::schedule        wakes it by cron, one tick at a time
//!   reconcile::tick       all subscriptions, streams side by side
//!     discovery           which streams the patterns of the configuration subscribe
//!     poll                which alarms are in ALARM: one call for each account and Region
//!     inspect             reads what a decision needs, one fact after the other
//!       core::decide      (Subscription, Trigger, Facts, now) -> Decision: Act, Hold or Fail
//!     execute             intent, UpdateShardCount, both alarms, outcome -> Execution
//!     report              what was decided and done, enums until it is serialized
//! ```
//!
//! What a window, a pause, a mute rule or a bound imposes on a decision is one type,
//! `core::constraints`. Windows are in the configuration, pauses in the scaling log's table.
//! Which streams are subscribed is a value, `reconcile::roster`: those of the configuration, and
//! those that `reconcile::discovery` finds by pattern.
//!
//! | folder | what is in it |
//! |---|---|
//! | [`aws`] | SDK clients, errors with hints, rate limits; the only files that name `aws_sdk_*` |
//! | [`reconcile`] | one tick, the scaling log in DynamoDB with its spool, the lease between hosts |
//! | [`commands`] | `check`, `status`, `history`, `scale`, …: a module each, and what they share |
//! | [`daemon`] | start-up ([`daemon::plan`]), schedule, reload, systemd, metrics, health and notifications |
//! | [`config`] | figment's layers -> raw -> `Config`, which cannot be invalid |
//! | [`cli`], [`output`] | flags and wiring; tables, errors and progress on the terminal |
//!
//! Start reading with `reconcile/tick.rs`, then `core/decide.rs`, then `reconcile/execute.rs`.
//!
//! # Invariants
//!
//! - `core` computes targets in whole numbers, and is a function of its arguments, `now` included.
//! - No SDK type leaves `aws`.
//! - Of the tick, only `execute` writes to Kinesis and CloudWatch, and only `scaling_log` and `lease`
//!   to DynamoDB.
//! - An intent is in the scaling log, or in the spool, before its UpdateShardCount is sent. After a lost
//!   answer only the same target is asked for again, and only while the stream is ACTIVE at the old count.
//! - What a process remembers makes ticks cheap and quiet. Nothing needs it to be correct.
//! - A subscription's id stays that of its stream for as long as the process runs; the roster of
//!   subscriptions is a value that the tick replaces.
//! - A transient shard count is never written anywhere.
//! - No input from outside makes a tick panic.

pub mod aws;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod output;
pub mod reconcile;
