//! The configuration: figment's layers -> what was written -> [`Config`], which cannot be invalid.

mod check;
mod design;
mod format;
mod layers;
mod problem;
mod raw;
mod schema;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use autoscaler_core::subscription::{Account, Subscription};
use serde::Deserialize;

pub use self::{
    design::PairDesign,
    layers::{CONFIG_VARIABLE, Overrides, Setting},
    problem::{Complaint, Error, Origin, Problem},
    schema::{known_keys, nearest},
};

/// Where the configuration is looked for when nothing names another file.
pub const DEFAULT_PATH: &str = "/etc/kinesis-autoscaler/config.toml";

/// A whole, checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Six-field cron expression, seconds first, UTC.
    pub schedule: String,
    /// How often each stream is audited; `None` turns the audit off.
    pub audit_interval: Option<Duration>,
    /// After this a tick stops waiting; what is under way goes on beside the next tick.
    pub tick_timeout: Duration,
    /// Deadline of one AWS call, its retries included.
    pub call_timeout: Duration,
    pub log_format: LogFormat,
    pub state_dir: PathBuf,
    /// Where the log table is, and the default of every subscription.
    pub home: Account,
    /// PEM file of further certificate authorities for the connections to AWS.
    pub ca_bundle: Option<PathBuf>,
    pub log: LogTable,
    pub quotas: Quotas,
    pub high_availability: Option<HighAvailability>,
    pub metrics: Option<Metrics>,
    /// What `alarms print` and `alarms create` make.
    pub alarms: PairDesign,
    /// Reply fields of DescribeAlarms that may be lost when an alarm is rewritten.
    pub ignore_fields: Vec<String>,
    pub subscriptions: Vec<Subscription>,
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The DynamoDB log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTable {
    pub table: String,
    pub retention_days: u32,
}

/// Calls per second that we allow ourselves in one account and Region (defaults: AWS's quotas, less some head-room).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quotas {
    pub describe_alarms: f64,
    pub put_metric_alarm: f64,
    pub set_alarm_state: f64,
    pub describe_stream_summary: f64,
    pub update_shard_count: f64,
}

/// One of several daemons acts; the others stand by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HighAvailability {
    /// A standby takes over when the lease has not moved for so long.
    #[serde(
        deserialize_with = "raw::duration",
        default = "raw::default_lease_duration"
    )]
    pub lease_duration: Duration,
}

/// The Prometheus endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metrics {
    #[serde(default = "raw::default_listen")]
    pub listen: SocketAddr,
}

impl Config {
    /// Every account and Region that is named, the home of the log first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.home).chain(
            self.subscriptions
                .iter()
                .map(|subscription| &subscription.account),
        )
    }

    /// Reads the file at `path`, lays `overrides` over it and checks the whole; all that is wrong comes at once.
    pub fn load(path: &Path, overrides: Overrides) -> Result<Self, Error> {
        let text = layers::read(path)?;
        Self::from_layers(&text, Some(path), &overrides)
    }

    /// Reads TOML text alone: no file, no environment.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::from_layers(text, None, &Overrides::default())
    }

    /// Reads TOML text under the settings of a command line: no file, no environment.
    pub fn from_toml_and(text: &str, settings: Vec<Setting>) -> Result<Self, Error> {
        let overrides = Overrides {
            settings,
            ..Overrides::default()
        };
        Self::from_layers(text, None, &overrides)
    }

    fn from_layers(text: &str, path: Option<&Path>, overrides: &Overrides) -> Result<Self, Error> {
        let (tree, mut problems) = layers::merge(text, path, overrides)?;
        let cleaned = schema::clean(&tree, &mut problems);
        let config = match cleaned.deserialize() {
            Ok(raw) => check::config(raw, &mut problems),
            Err(error) => {
                problems.add(error.path.join("."), problem::wrong(error.to_string()));
                None
            }
        };
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_error(&tree)),
        }
    }
}
