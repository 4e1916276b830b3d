//! What a tick needs to run as a service: schedule, reload, systemd, metrics.

pub mod metrics;
pub mod schedule;
pub mod systemd;
