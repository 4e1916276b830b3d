//! The configuration: layers, then declared keys, then a [`Config`], which cannot be invalid.
//!
//! To add a key, declare it in `keys.rs`.

mod array;
mod check;
mod cron;
mod design;
mod file;
mod format;
mod include;
mod keys;
mod kind;
mod layers;
mod problem;
mod read;
mod reference;
mod settings;
mod show;
mod streams;
mod template;
mod windows;
mod written;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use autoscaler_core::{
    pattern::Pattern,
    subscription::{Account, Subscription},
};

use self::{
    array::Array,
    check::Present,
    include::{Files, INCLUDE},
    keys::StreamSettings,
    layers::{STREAMS, WINDOWS},
    problem::{Problems, wrong},
    settings::Settings as _,
    streams::Streams,
};
pub use self::{
    keys::{HighAvailability, Metrics, Notify, PairDesign, Prices, Quotas},
    layers::{CONFIG_VARIABLE, Overrides, Setting, is_ours},
    problem::{Complaint, Error, Origin, Problem},
    read::nearest,
    reference::{Table, commented_file, known_keys, tables},
    settings::Key,
    show::{Shown, ShownValue},
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
    pub notify: Option<Notify>,
    /// What AWS charges; `backtest` and `shards` compute with it.
    pub prices: Prices,
    /// The alarms that `alarms print` and `alarms create` make.
    pub alarms: PairDesign,
    /// Reply fields of DescribeAlarms that may be lost when an alarm is rewritten.
    pub ignore_fields: Vec<String>,
    /// The entries that name a stream or its alarm.
    pub subscriptions: Vec<Subscription>,
    /// The entries with `match`.
    pub patterns: Vec<Pattern>,
    /// The patterns under `include` that no file matches.
    pub unmatched_includes: Vec<String>,
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

/// The keys of `[defaults]`, with the values that a subscription has.
pub fn stream_keys(subscription: &Subscription) -> Vec<Key> {
    StreamSettings::of(subscription).keys()
}

impl Config {
    /// Every account and Region that is named, that of the scaling log first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        let patterns = self.patterns.iter().map(|it| &it.settings);
        let entries = self.subscriptions.iter().chain(patterns);
        std::iter::once(&self.home).chain(entries.map(|it| &it.account))
    }

    /// The subscription of a stream by the first pattern that matches it, whether or not its alarms
    /// exist.
    pub fn by_pattern(&self, stream: &str) -> Option<Subscription> {
        let mut patterns = self.patterns.iter().filter(|it| it.matches(stream));
        patterns.find_map(|it| it.subscription(stream))
    }

    /// The number under `[[streams]]` of the entry of a subscription.
    pub fn entry(&self, subscription: usize) -> usize {
        let patterns = self.patterns.iter().map(|it| it.entry);
        patterns.fold(subscription, |number, pattern| {
            number + usize::from(pattern <= number)
        })
    }

    /// Reads the file at `path`, merges `overrides` over it, and checks the result. The error has
    /// everything that is wrong.
    pub fn load(path: &Path, overrides: Overrides) -> Result<Self, Error> {
        Self::from_layers(&Files::read(path)?, &overrides)
    }

    /// Reads TOML text: no file, no environment.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::from_layers(&Files::of_text(text, None), &Overrides::default())
    }

    /// Reads TOML text under the settings of a command line: no file, no environment.
    pub fn from_toml_and(text: &str, settings: Vec<Setting>) -> Result<Self, Error> {
        let overrides = Overrides {
            settings,
            ..Overrides::default()
        };
        Self::from_layers(&Files::of_text(text, None), &overrides)
    }

    /// What is valid, but probably a mistake.
    pub fn warnings(&self) -> Vec<Complaint> {
        check::warnings(self)
    }

    fn from_layers(files: &Files, overrides: &Overrides) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let mut merged = files.merge(&mut problems)?;
        let (in_file, windows) = (merged.table.remove(STREAMS), merged.table.remove(WINDOWS));
        let tree = layers::merge(&merged.table, merged.sources, overrides, &mut problems);
        let globals = read::globals(&tree, &mut problems);
        let has_path = files.get(0).is_some_and(|file| file.path.is_some());
        let can_include = has_path && tree.is_in_file(INCLUDE);
        if !can_include && !globals.general.include.is_empty() {
            problems.add(
                INCLUDE,
                wrong("only the configuration file can include others"),
            );
        }
        let streams = Streams::new(&tree, in_file);
        let windows = Array::new(&tree, WINDOWS, windows, &windows::SHAPE);
        let max_shards = globals.defaults.max_shards;
        let windows = windows::of_all(&windows, max_shards, &mut problems);
        let entries = streams.read(&globals, windows, &mut problems);
        let present = Present {
            high_availability: tree.merged.contains_key("high_availability"),
            metrics: tree.merged.contains_key("metrics"),
            notify: tree.merged.contains_key("notify"),
        };
        match check::config(globals, &present, entries, &mut problems) {
            Some(config) if problems.is_empty() => Ok(Self {
                unmatched_includes: files.unmatched.clone(),
                ..config
            }),
            _ => Err(problems.into_error(&tree, &streams)),
        }
    }
}
