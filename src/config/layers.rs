//! figment's layers: built-in defaults, the file, the environment, the command line.
//!
//! The entries under `[[streams]]` and `[[windows]]` of the file are not layered: a layer above the
//! file replaces them as a whole.

use std::{ffi::OsString, str::FromStr};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use toml::de::DeTable;

use super::{
    include::Sources,
    problem::{Origin, Problem, Problems, segments, wrong},
    written::{self, Written},
};

/// Names the configuration file; it is not a key of the configuration itself.
pub const CONFIG_VARIABLE: &str = "KINESIS_AUTOSCALER_CONFIG";

/// The variable in which systemd names the state directory.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

const PREFIX: &str = "KINESIS_AUTOSCALER_";

/// The array of subscribed streams.
pub(super) const STREAMS: &str = "streams";

/// The array of windows, of every stream or of one.
pub(super) const WINDOWS: &str = "windows";

/// What is merged over the file. The default is empty, so that a test does not depend on the
/// machine.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The environment: `KINESIS_AUTOSCALER_*`, and systemd's `STATE_DIRECTORY`; other variables
    /// are ignored.
    pub variables: Vec<(OsString, OsString)>,
    /// The command line.
    pub settings: Vec<Setting>,
}

impl Overrides {
    /// This process's environment and the settings of its command line.
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
                Err("the key must consist of letters, digits, `_` and `.`")
            }
            Some((key, value)) => Ok(Self {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            None => Err("expected KEY=VALUE, for example log.retention_days=30"),
        }
    }
}

fn is_plain(key: &str) -> bool {
    key.bytes()
        .all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'.')
}

/// The layers; a value's metadata has the name of its layer.
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

/// A layer that has been read.
struct Ready(Layer, Dict);

impl Provider for Ready {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.name())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

/// All layers merged, each value with its origin.
pub(super) struct Tree {
    figment: Figment,
    pub(super) merged: Dict,
    pub(super) sources: Sources,
}

impl Tree {
    /// Where the value at `key` was written; the file, if it is missing.
    pub(super) fn origin(&self, key: &str) -> Origin {
        match self.find(key).map(|value| self.layer(value)) {
            Some(Layer::Environment) => Origin::Variable(self.variable(key)),
            Some(Layer::CommandLine) => Origin::CommandLine,
            _ => Origin::File {
                path: self.sources.path_of(key).cloned(),
                position: None,
            },
        }
    }

    /// The key path as it is in the file that it is written in.
    pub(super) fn own_key(&self, key: &str) -> String {
        match self.origin(key) {
            Origin::File { .. } => self.sources.own_key(key),
            Origin::Variable(_) | Origin::CommandLine => key.to_owned(),
        }
    }

    /// What to call an entry of an array in a message about another.
    pub(super) fn entry_beside(&self, array: &str, entry: usize, other: usize) -> String {
        match self.origin(array) {
            Origin::File { .. } => self.sources.entry_beside(array, entry, other),
            Origin::Variable(_) | Origin::CommandLine => format!("{array}[{entry}]"),
        }
    }

    /// What to call an entry of an array in a message by itself.
    pub(super) fn entry_alone(&self, array: &str, entry: usize) -> String {
        match self.origin(array) {
            Origin::File { .. } => self.sources.entry_alone(array, entry),
            Origin::Variable(_) | Origin::CommandLine => format!("{array}[{entry}]"),
        }
    }

    /// Where the value at `key` was set; `None` for a built-in default.
    pub(super) fn set_by(&self, key: &str) -> Option<Origin> {
        match self.layer(self.find(key)?) {
            // The only default that is not built in.
            Layer::Default => Some(Origin::Variable(STATE_DIRECTORY.to_owned())),
            _ => Some(self.origin(key)),
        }
    }

    /// Whether the file has the value at `key`, or the defaults do.
    pub(super) fn is_in_file(&self, key: &str) -> bool {
        matches!(self.origin(key), Origin::File { .. })
    }

    /// A value as it was written.
    pub(super) fn written<'v>(&self, value: &'v Value) -> Written<'v> {
        let layer = self.layer(value);
        let bare = matches!(layer, Layer::Environment | Layer::CommandLine);
        Written::of_layers(value, bare)
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

/// Merges the layers: `file` is what the files have, without streams and windows.
pub(super) fn merge(
    file: &DeTable<'_>,
    sources: Sources,
    overrides: &Overrides,
    problems: &mut Problems,
) -> Tree {
    let file = written::dict(file);
    let environment = environment(overrides, problems);
    let mut figment = Figment::from(Ready(Layer::Default, defaults(overrides)))
        .merge(Ready(Layer::File, file))
        .merge(Ready(Layer::Environment, environment));
    for Setting { key, value } in &overrides.settings {
        let mut dict = Dict::new();
        // This cannot fail: nothing else is in the table.
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
    Tree {
        figment,
        merged,
        sources,
    }
}

/// The defaults that depend on the machine: of systemd's `StateDirectory=` the first is ours.
fn defaults(overrides: &Overrides) -> Dict {
    let directory = overrides.variables.iter().find_map(|(name, value)| {
        let first = value.to_str()?.split(':').next()?;
        (name == STATE_DIRECTORY && !first.is_empty()).then_some(first)
    });
    directory
        .map(|it| ("state_dir".to_owned(), Value::from(it)))
        .into_iter()
        .collect()
}

/// Whether Kubernetes sets the variable: for a Service named `kinesis-autoscaler` each container
/// gets `KINESIS_AUTOSCALER_SERVICE_HOST`, `KINESIS_AUTOSCALER_PORT_9184_TCP` and so on
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_service_link(name: &str) -> bool {
    name == "PORT" || name.starts_with("PORT_") || name.starts_with("SERVICE_")
}

/// Whether an environment variable of this name configures the program.
pub fn is_ours(name: &str) -> bool {
    let key = name.strip_prefix(PREFIX);
    key.is_some_and(|key| !is_service_link(key))
}

/// The `KINESIS_AUTOSCALER_*` variables as a table of texts.
fn environment(overrides: &Overrides, problems: &mut Problems) -> Dict {
    let mut ours: Vec<_> = overrides
        .variables
        .iter()
        .filter(|(name, _)| name != CONFIG_VARIABLE)
        .map(|(name, value)| (name.to_string_lossy(), value))
        .filter(|(name, _)| is_ours(name))
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
