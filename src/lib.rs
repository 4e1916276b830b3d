//! Scales provisioned Amazon Kinesis data streams by the state of their CloudWatch alarms.
//!
//! # Bird's-eye view
//!
//! Every tick reads which subscribed alarms are in ALARM (one call per account and Region), decides for each such stream on what is read of it,
//! reshards, rewrites the stream's two alarms, and writes the scaling to a DynamoDB log. A tick flows through the modules in this order:
//!
//! | module | what it does |
//! |---|---|
//! | [`schedule`] | wakes the tick by cron, one at a time; stops, reloads |
//! | [`tick`] | one tick: observe -> decide -> apply -> record; its `look` reads and starts, its `memory` is what makes ticks cheap and quiet |
//! | [`observe`] | the poll, and then of each stream, fact by fact, what its decision still needs |
//! | [`audit`] | which streams are looked at although no alarm asks |
//! | [`decide`] | pure: what to do, and why, or the next fact that is needed |
//! | [`apply`] | carries one decision out, with no choices of its own |
//! | [`scaling log`] | intents and outcomes in the log, the spool for rows that DynamoDB does not take |
//! | [`report`] | one rendering of what was decided: text, JSON, log |
//!
//! They stand on values without any I/O, [`config`] (a `Config` cannot be invalid), [`alarm`] (the naming contract), [`observation`] and
//! [`scaling`], and on [`aws`] (the SDK's clients), [`limiters`] (quotas, and who goes first), [`lease`] (one of several hosts acts) and
//! [`clock`]; [`context`] carries what a process has of them.
//!
//! Around them: [`cli`] and [`run`] (from the command line to the work), [`error`] (how errors read, and exit codes), [`logging`],
//! [`systemd`], [`metrics`] (Prometheus and `/healthz`); the operator's commands [`check`], [`status`], [`history`], [`provision`] (alarms and
//! table) and [`scale`], which share [`subscriptions`], [`progress`] and [`output`]; and [`sandbox`], an AWS in memory that answers the real SDK clients.
//!
//! # Invariants
//!
//! - `decide` has no async, clock, I/O or randomness, and computes targets in whole numbers.
//! - No SDK type leaves `aws`; `sandbox` knows the wire protocols, and nothing of the autoscaler but its alarm names and its clock.
//! - Of the tick, only `apply` writes to Kinesis and CloudWatch, and only `scaling log` and `lease` to DynamoDB.
//! - An intent is in the log, or in the spool, before its UpdateShardCount is sent; that call is never retried after a lost answer.
//! - What a process remembers makes ticks cheap and quiet; nothing needs it to be correct.
//! - Missing data never means zero, and a transient shard count is never written anywhere.
//! - Nothing on the way of a tick panics on what comes from outside.

pub mod aws;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod output;
pub mod reconcile;
