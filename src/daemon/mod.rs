//! What a tick needs to run as a service: schedule, reload, systemd, metrics, notifications.

mod cron;
pub mod metrics;
pub mod notify;
pub mod plan;
pub mod schedule;
pub mod systemd;
