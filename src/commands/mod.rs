//! The operator's commands, a module each, and what they share.

pub mod backtest;
pub mod check;
pub mod config;
pub mod consent;
pub mod history;
mod hot_shard;
pub mod pause;
pub mod provision;
pub mod scale;
pub mod shards;
pub mod status;
pub mod subscriptions;
