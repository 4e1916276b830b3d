//! Scales provisioned Amazon Kinesis data streams by the state of their CloudWatch alarms.

pub mod alarm;
pub mod apply;
pub mod audit;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
pub mod error;
pub mod journal;
pub mod lease;
pub mod logging;
pub mod observe;
pub mod pace;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod schedule;
pub mod systemd;
pub mod tick;
