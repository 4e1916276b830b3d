//! Scales provisioned Amazon Kinesis data streams by the state of their CloudWatch alarms.

pub mod alarm;
pub mod clock;
pub mod config;
pub mod sandbox;
