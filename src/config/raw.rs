//! The configuration as it was written: keys and kinds are right, nothing is compared yet.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use super::{HighAvailability, LogFormat, Metrics, PairDesign, Quotas};
use autoscaler_core::subscription::{Account, Permille, Policy};

#[derive(Debug, Deserialize)]
pub(super) struct Raw {
    pub schedule: String,
    #[serde(deserialize_with = "duration")]
    pub audit_interval: Duration,
    #[serde(deserialize_with = "duration")]
    pub tick_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub call_timeout: Duration,
    pub log_format: LogFormat,
    pub state_dir: PathBuf,
    pub aws: RawAws,
    pub log: RawLog,
    pub quotas: Quotas,
    pub high_availability: Option<HighAvailability>,
    pub metrics: Option<Metrics>,
    pub alarms: RawAlarms,
    pub defaults: RawDefaults,
    #[serde(default)]
    pub streams: Vec<RawStream>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawAws {
    #[serde(flatten)]
    pub account: Account,
    pub ca_bundle: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawAlarms {
    #[serde(flatten)]
    pub design: PairDesign,
    pub ignore_fields: Vec<String>,
    pub reads: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawLog {
    pub table: Option<String>,
    pub retention_days: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawDefaults {
    pub alarm_name: String,
    pub min_shards: u32,
    pub max_shards: u32,
    #[serde(deserialize_with = "duration")]
    pub cooldown_up: Duration,
    #[serde(deserialize_with = "duration")]
    pub cooldown_down: Duration,
    pub reserved_scale_ups: u32,
    pub policy: Policy,
    #[serde(deserialize_with = "duration")]
    pub memory: Duration,
    #[serde(deserialize_with = "permille")]
    pub fill: Permille,
    #[serde(deserialize_with = "permille")]
    pub saving: Permille,
    #[serde(deserialize_with = "duration")]
    pub max_iterator_age: Duration,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawStream {
    pub name: Option<String>,
    pub alarm: Option<String>,
    pub alarm_name: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub role_arn: Option<String>,
    pub min_shards: Option<u32>,
    pub max_shards: Option<u32>,
    #[serde(default, deserialize_with = "some_duration")]
    pub cooldown_up: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    pub cooldown_down: Option<Duration>,
    pub reserved_scale_ups: Option<u32>,
    pub policy: Option<Policy>,
    #[serde(default, deserialize_with = "some_duration")]
    pub memory: Option<Duration>,
    #[serde(default, deserialize_with = "some_permille")]
    pub fill: Option<Permille>,
    #[serde(default, deserialize_with = "some_permille")]
    pub saving: Option<Permille>,
    #[serde(default, deserialize_with = "some_duration")]
    pub max_iterator_age: Option<Duration>,
    pub reads: Option<bool>,
}

fn permille<'de, D: Deserializer<'de>>(from: D) -> Result<Permille, D::Error> {
    let ratio = f64::deserialize(from)?;
    Ok(Permille::new((ratio * 1000.0).round() as u32))
}

fn some_permille<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Permille>, D::Error> {
    permille(from).map(Some)
}

/// Reads a duration in humantime's notation.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(text.trim()).map_err(serde::de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

pub(super) fn default_lease_duration() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9184).into()
}
