//! One tick, from the poll to the scaling log.

pub mod clock;
pub mod context;
pub mod discovery;
pub mod events;
pub mod execute;
pub mod execution;
pub mod inspect;
pub mod lease;
pub mod lease_guard;
pub mod poll;
pub mod report;
pub mod roster;
pub mod scaling_log;
pub mod shared_metrics;
pub mod spool;
pub mod state_file;
pub mod tick;
