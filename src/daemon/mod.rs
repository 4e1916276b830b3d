//! What a tick needs to run as a service: schedule, reload, systemd, metrics.

mod cron;
pub mod metrics;
pub mod plan;
pub mod schedule;
pub mod systemd;
