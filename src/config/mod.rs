//! The configuration: layers, then declared keys, then a [`Config`], which cannot be invalid.
//!
//! To add a key, declare it in `keys.rs`.

mod array;
mod check;
mod cron;
mod design;
mod file;
mod format;
mod keys;
mod kind;
mod layers;
mod problem;
mod read;
mod reference;
mod settings;
mod streams;
mod template;
mod windows;
mod written;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use autoscaler_core::subscription::{Account, Subscription};

use self::{
    array::Array,
    check::Present,
    layers::{STREAMS, WINDOWS},
    problem::Problems,
    streams::Streams,
};
pub use self::{
    keys::{HighAvailability, Metrics, PairDesign, Prices, Quotas},
    layers::{CONFIG_VARIABLE, Overrides, Setting},
    problem::{Complaint, Error, Origin, Problem},
    read::nearest,
    reference::{Table, commented_file, known_keys, tables},
    settings::Key,
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
    /// After this a tick stops waiting; work in progress continues beside the next tick.
    pub tick_timeout: Duration,
    /// Deadline of one AWS call, including its retries.
    pub call_timeout: Duration,
    pub log_format: LogFormat,
    pub state_dir: PathBuf,
    /// Account and Region of the scaling log, and the default of every subscription.
    pub home: Account,
    /// PEM file of further certificate authorities for the connections to AWS.
    pub ca_bundle: Option<PathBuf>,
    pub log: LogTable,
    pub quotas: Quotas,
    pub high_availability: Option<HighAvailability>,
    pub metrics: Option<Metrics>,
    /// What AWS charges; only `backtest` computes with it.
    pub prices: Prices,
    /// The alarms that `alarms print` and `alarms create` make.
    pub alarms: PairDesign,
    /// Reply fields of DescribeAlarms that may be lost when an alarm is rewritten.
    pub ignore_fields: Vec<String>,
    pub subscriptions: Vec<Subscription>,
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Config {
    /// Every account and Region that is named, that of the scaling log first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.home).chain(
            self.subscriptions
                .iter()
                .map(|subscription| &subscription.account),
        )
    }

    /// Reads the file at `path`, merges `overrides` over it, and checks the result. The error has
    /// everything that is wrong.
    pub fn load(path: &Path, overrides: Overrides) -> Result<Self, Error> {
        let text = file::read(path)?;
        Self::from_layers(&text, Some(path), &overrides)
    }

    /// Reads TOML text: no file, no environment.
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

    /// What is valid, but probably a mistake.
    pub fn warnings(&self) -> Vec<Complaint> {
        check::warnings(self)
    }

    fn from_layers(text: &str, path: Option<&Path>, overrides: &Overrides) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let mut file = file::parse(text, path)?;
        let (in_file, windows) = (file.remove(STREAMS), file.remove(WINDOWS));
        let tree = layers::merge(&file, path, overrides, &mut problems);
        let globals = read::globals(&tree, &mut problems);
        let streams = Streams::new(&tree, in_file);
        let windows = Array::new(&tree, WINDOWS, windows, &windows::SHAPE);
        let max_shards = globals.defaults.max_shards;
        let windows = windows::of_all(&windows, max_shards, &mut problems);
        let subscriptions = streams.read(&globals, windows, &mut problems);
        let present = Present {
            high_availability: tree.merged.contains_key("high_availability"),
            metrics: tree.merged.contains_key("metrics"),
        };
        match check::config(globals, &present, subscriptions, &mut problems) {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_error(&tree, &streams)),
        }
    }
}
