//! figment's layers: built-in defaults, the file, the environment, the command line.

use std::{
    ffi::OsString,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::problem::{Error, Origin, Problem, Problems, segments, wrong};

/// Names the configuration file; it is no key of the configuration itself.
pub const CONFIG_VARIABLE: &str = "KINESIS_AUTOSCALER_CONFIG";

const PREFIX: &str = "KINESIS_AUTOSCALER_";

/// What holds where no other layer speaks. `[high_availability]` and `[metrics]` are missing: a section that is there is on.
const DEFAULTS: &str = r#"
schedule = "*/10 * * * * *"
audit_interval = "15m"
tick_timeout = "50s"
call_timeout = "10s"
log_format = "text"
state_dir = "/var/lib/kinesis-autoscaler"

[aws]

[log]
retention_days = 14

[quotas]
describe_alarms = 8.0
put_metric_alarm = 2.5
set_alarm_state = 2.5
describe_stream_summary = 16.0
update_shard_count = 8.0

[alarms]
up_threshold = 0.75
down_threshold = 0.25
up_periods = 1
down_periods = 288
period_seconds = 300
throttle_share = 0.005
ignore_fields = []
reads = false

[defaults]
alarm_name = "{stream}-{direction}-alarm"
min_shards = 1
max_shards = 10000
cooldown_up = "0s"
cooldown_down = "0s"
reserved_scale_ups = 3
policy = "original"
memory = "12h"
fill = 0.55
saving = 0.3
max_iterator_age = "0s"
"#;

/// What lies over the file. The default is nothing at all, so that a test does not depend on the machine.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The environment: `KINESIS_AUTOSCALER_*`, and systemd's `STATE_DIRECTORY`; other variables are left alone.
    pub variables: Vec<(OsString, OsString)>,
    /// The command line.
    pub settings: Vec<Setting>,
}

impl Overrides {
    /// This process's environment, and what its command line sets.
    pub fn from_env(settings: Vec<Setting>) -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            settings,
        }
    }
}

/// One key set on the command line: `log.retention_days=30`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Key path with dots.
    pub key: String,
    pub value: String,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, _)) if !is_plain(key.trim()) || key.trim().is_empty() => {
                Err("the key is not of letters, digits, `_` and `.`")
            }
            Some((key, value)) => Ok(Self {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            None => Err("expected KEY=VALUE, as log.retention_days=30"),
        }
    }
}

fn is_plain(key: &str) -> bool {
    key.bytes()
        .all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'.')
}

/// The layers, named: a value's metadata leads back to its layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Default,
    File,
    Environment,
    CommandLine,
}

impl Layer {
    const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        }
    }
}

/// A layer that was read already.
struct Ready(Layer, Dict);

impl Provider for Ready {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.name())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

/// All layers as one, each value with its origin.
pub(super) struct Tree {
    figment: Figment,
    pub(super) merged: Dict,
    pub(super) defaults: Dict,
    path: Option<PathBuf>,
}

impl Tree {
    /// Where the value at `key` was written. What is missing is missing in the file.
    pub(super) fn origin(&self, key: &str) -> Origin {
        match self.find(key).map(|value| self.layer(value)) {
            Some(Layer::Environment) => Origin::Variable(self.variable(key)),
            Some(Layer::CommandLine) => Origin::CommandLine,
            _ => Origin::File {
                path: self.path.clone(),
                position: None,
            },
        }
    }

    /// The name (or alarm) of the entry under `streams` that `key` lies in.
    pub(super) fn stream(&self, key: &str) -> Option<String> {
        let mut steps = segments(key);
        let index: usize = match (steps.next(), steps.next()) {
            (Some("streams"), Some(index)) => index.parse().ok()?,
            _ => return None,
        };
        let entry = self.merged.get("streams")?.as_array()?.get(index)?;
        let name = ["name", "alarm"].map(|key| entry.as_dict()?.get(key)?.as_str());
        name.into_iter().flatten().next().map(str::to_owned)
    }

    /// The bare text of a variable or of the command line: its key decides what it is read as.
    pub(super) fn bare_text<'v>(&self, value: &'v Value) -> Option<&'v str> {
        let bare = matches!(self.layer(value), Layer::Environment | Layer::CommandLine);
        value.as_str().filter(|_| bare)
    }

    /// Whether the value, or the first in a table, comes from the environment.
    pub(super) fn is_variable(&self, value: &Value) -> bool {
        self.layer(value) == Layer::Environment
    }

    fn layer(&self, value: &Value) -> Layer {
        let tag = first_leaf(value).unwrap_or(value).tag();
        let name = self.figment.get_metadata(tag).map(|it| &*it.name);
        [Layer::File, Layer::Environment, Layer::CommandLine]
            .into_iter()
            .find(|layer| name == Some(layer.name()))
            .unwrap_or(Layer::Default)
    }

    /// The value at `key`, or the text that `key` was read from.
    fn find(&self, key: &str) -> Option<&Value> {
        let mut steps = segments(key);
        let mut value = self.merged.get(steps.next()?)?;
        for step in steps {
            value = match value {
                Value::Dict(_, dict) => dict.get(step)?,
                Value::Array(_, array) => array.get(step.parse::<usize>().ok()?)?,
                _ => break,
            };
        }
        Some(value)
    }

    /// The variable that sets `key`, or a key above it.
    fn variable(&self, key: &str) -> String {
        let mut path = Vec::new();
        let mut dict = Some(&self.merged);
        let mut steps = segments(key);
        while let Some(level) = dict {
            // An unknown section is named by the first variable in it.
            let step = steps.next().map(str::to_owned);
            let Some(step) = step.or_else(|| level.keys().next().cloned()) else {
                break;
            };
            dict = level.get(&step).and_then(Value::as_dict);
            path.push(step);
        }
        variable_name(path.iter().map(String::as_str))
    }
}

/// The variable for a key path.
pub(super) fn variable_name<'s>(steps: impl Iterator<Item = &'s str>) -> String {
    let steps: Vec<_> = steps.collect();
    format!("{PREFIX}{}", steps.join("__").to_uppercase())
}

fn first_leaf(value: &Value) -> Option<&Value> {
    match value {
        Value::Dict(_, dict) => dict.values().next().and_then(first_leaf),
        leaf => Some(leaf),
    }
}

/// Lays the layers over each other. Fails only when the TOML cannot be read.
pub(super) fn merge(
    text: &str,
    path: Option<&Path>,
    overrides: &Overrides,
) -> Result<(Tree, Problems), Error> {
    let mut problems = Problems::default();
    let file = Toml::from_str::<Dict>(text)
        .map_err(|error| vec![syntax(text, path, error.message(), error.span())])?;
    let environment = environment(overrides, &mut problems);
    let defaults = defaults(overrides);
    let mut figment = Figment::from(Ready(Layer::Default, defaults.clone()))
        .merge(Ready(Layer::File, file))
        .merge(Ready(Layer::Environment, environment));
    for Setting { key, value } in &overrides.settings {
        let mut dict = Dict::new();
        // Into an empty table anything fits.
        let _ = insert(&mut dict, &key.split('.').collect::<Vec<_>>(), value);
        figment = figment.merge(Ready(Layer::CommandLine, dict));
    }
    let merged = match figment.find_value("").map(Value::into_dict) {
        Ok(merged) => merged.unwrap_or_default(),
        Err(error) => {
            problems.add("", wrong(error.to_string()));
            Dict::new()
        }
    };
    let tree = Tree {
        figment,
        merged,
        defaults,
        path: path.map(Path::to_owned),
    };
    Ok((tree, problems))
}

/// The built-in values; `STATE_DIRECTORY` is systemd's `StateDirectory=`, of which the first is ours.
fn defaults(overrides: &Overrides) -> Dict {
    // A test loads this constant.
    let mut defaults = Toml::from_str::<Dict>(DEFAULTS).unwrap_or_default();
    let directory = overrides.variables.iter().find_map(|(name, value)| {
        let first = value.to_str()?.split(':').next()?;
        (name == "STATE_DIRECTORY" && !first.is_empty()).then_some(first)
    });
    if let Some(directory) = directory {
        defaults.insert("state_dir".to_owned(), Value::from(directory));
    }
    defaults
}

/// The `KINESIS_AUTOSCALER_*` variables as one table of texts.
fn environment(overrides: &Overrides, problems: &mut Problems) -> Dict {
    let mut ours: Vec<_> = overrides
        .variables
        .iter()
        .filter(|(name, _)| name != CONFIG_VARIABLE)
        .map(|(name, value)| (name.to_string_lossy(), value))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    let mut dict = Dict::new();
    for (name, value) in ours {
        let key = name[PREFIX.len()..].to_lowercase();
        let steps: Vec<&str> = key.split("__").collect();
        let result = match value.to_str() {
            _ if !is_plain(&key) || key.contains('.') => Err("no key has this variable"),
            Some(value) => insert(&mut dict, &steps, value),
            None => Err("its value is not UTF-8"),
        };
        if let Err(message) = result {
            problems.add_located(Problem {
                origin: Origin::Variable(name.into_owned()),
                key: steps.join("."),
                stream: None,
                message: message.to_owned(),
                hint: None,
                source: None,
            });
        }
    }
    dict
}

fn insert(dict: &mut Dict, steps: &[&str], text: &str) -> Result<(), &'static str> {
    const TWICE: &str = "another variable sets the same key, or a part of it";
    match steps {
        [] => Ok(()),
        [last] => match dict.insert((*last).to_owned(), Value::from(text)) {
            Some(_) => Err(TWICE),
            None => Ok(()),
        },
        [first, rest @ ..] => {
            let section = dict
                .entry((*first).to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            match section {
                Value::Dict(_, section) => insert(section, rest, text),
                _ => Err(TWICE),
            }
        }
    }
}

/// Reads the file, and says what to do when that fails.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let failed = |position, message: &str, hint: &str, source| {
        Error::from(vec![Problem {
            origin: Origin::File {
                path: Some(path.to_owned()),
                position,
            },
            key: String::new(),
            stream: None,
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
            source,
        }])
    };
    const NAME_ANOTHER: &str = "name the file with --config or in KINESIS_AUTOSCALER_CONFIG;\n\
        --sandbox tries the program without any";
    let bytes = fs::read(path).map_err(|error| {
        let (message, hint) = match error.kind() {
            io::ErrorKind::NotFound => ("there is no such file", NAME_ANOTHER),
            io::ErrorKind::IsADirectory => (
                "this is a directory, not a configuration file",
                NAME_ANOTHER,
            ),
            io::ErrorKind::PermissionDenied => (
                "the configuration file may not be read",
                "let the user that runs kinesis-autoscaler read it, or name another with --config or in\n\
                 KINESIS_AUTOSCALER_CONFIG; --sandbox tries the program without any",
            ),
            _ => ("the configuration file cannot be read", NAME_ANOTHER),
        };
        failed(None, message, hint, Some(error))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        failed(
            Some(position(&before, valid)),
            "the file is not UTF-8 from here on",
            "save it as UTF-8, as TOML demands",
            None,
        )
    })
}

fn syntax(text: &str, path: Option<&Path>, message: &str, span: Option<Range<usize>>) -> Problem {
    Problem {
        origin: Origin::File {
            path: path.map(Path::to_owned),
            position: span.map(|span| position(text, span.start)),
        },
        key: String::new(),
        stream: None,
        message: message.trim().replace('\n', "; "),
        hint: None,
        source: None,
    }
}

/// Line and column, counted from 1, of the byte at `offset`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
