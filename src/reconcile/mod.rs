//! One tick, from the poll to the scaling log.

pub mod clock;
pub mod context;
pub mod execute;
pub mod inspect;
pub mod lease;
pub mod report;
pub mod scaling_log;
pub mod spool;
pub mod tick;
