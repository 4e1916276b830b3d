//! `config init`: a first configuration, for the pairs of alarms that exist.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use autoscaler_core::alarm::{AlarmNames, Settings};
use serde_json::json;

use crate::{
    cli::Output,
    output::{
        self,
        error::{Exit, Failure, Report},
        table::{counted, wrap},
    },
    reconcile::context::Context,
};

/// The width of comments.
const WIDTH: usize = 80;

/// An alarm as it was found: its settings, its stream, and whether it has a `shardCount`.
#[derive(Clone, Debug)]
pub struct Found {
    pub settings: Settings,
    pub stream: Option<String>,
    pub has_shard_count: bool,
}

/// What was found of the contract in one account and Region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    pub complete: Vec<Pair>,
    /// Alarms that seem to be half of a pair, each with what is wrong.
    pub incomplete: Vec<(String, String)>,
}

/// Two alarms that belong to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub stream: String,
    pub names: AlarmNames,
    /// The SNS topics that either alarm notifies.
    pub topics: Vec<String>,
}

/// Lists the alarms of the account, and writes a configuration for their pairs.
pub async fn run(
    context: &Arc<Context>,
    out: Option<&Path>,
    output: Output,
) -> Result<Exit, Failure> {
    let clients = context.aws.clients(&context.config.home);
    let alarms = clients.cloudwatch.every_alarm().await.map_err(|error| {
        let hint = error.hint();
        let report = Report::new(error);
        Failure::new(Exit::Failed, hint.into_iter().fold(report, Report::hint))
    })?;
    let alarms = alarms.into_iter().map(|definition| Found {
        settings: definition.settings(),
        stream: definition.alarm.streams.first().cloned(),
        has_shard_count: definition.alarm.shard_count.is_some(),
    });
    let pairs = Pairs::of(alarms.collect());
    let config = pairs.config(&clients.region, &context.config.log.table);
    let written = out.filter(|_| !context.dry_run);
    if let Some(path) = written {
        create(path, &config)?;
    }
    let found = format!("{} found", counted(pairs.complete.len(), "pair"));
    output::print(&match (output, written) {
        (Output::Json, _) => pairs.to_json(&config, written),
        (_, Some(path)) => {
            let path = path.display();
            format!("{found}; {path} is written: set log.table, then run `check --config {path}`\n")
        }
        (_, None) => config,
    })?;
    Ok(Exit::Done)
}

/// Writes a new file; one that exists stays as it is.
fn create(path: &Path, text: &str) -> Result<(), Failure> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let written = created.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "it is not overwritten: name another file",
            _ => "name a file in a folder that you can write to",
        };
        let report = Report::new(Unwritten {
            path: path.display().to_string(),
            source: error,
        });
        Failure::new(Exit::Failed, report.hint(hint))
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written")]
struct Unwritten {
    path: String,
    source: io::Error,
}

impl Pairs {
    /// Puts alarms together that differ in nothing but scale-up and scale-down.
    pub fn of(alarms: Vec<Found>) -> Self {
        let named = alarms
            .into_iter()
            .map(|it| (it.settings.alarm_name.clone(), it));
        let alarms: BTreeMap<String, Found> = named.collect();
        let mut pairs = Self::default();
        for (name, alarm) in &alarms {
            let Ok(names) = AlarmNames::from_either(name) else {
                continue;
            };
            let is_up = *name == names.scale_up;
            let other = match is_up {
                true => &names.scale_down,
                false => &names.scale_up,
            };
            match alarms.get(other) {
                // The pair is found with its first alarm.
                Some(down) if is_up => pairs.add(names.clone(), alarm, down),
                Some(_) => {}
                None => {
                    let why = format!("there is no {other}");
                    pairs.incomplete.push((name.clone(), why));
                }
            }
        }
        pairs
    }

    fn add(&mut self, names: AlarmNames, up: &Found, down: &Found) {
        let without_count = [up, down].into_iter().find(|it| !it.has_shard_count);
        let why = match (&up.stream, &down.stream) {
            _ if without_count.is_some() => "an alarm has no query with the id shardCount",
            (Some(stream), Some(other)) if stream == other && !stream.is_empty() => {
                let actions = [up, down]
                    .into_iter()
                    .flat_map(|it| &it.settings.alarm_actions);
                let topics = actions.filter(|action| action.contains(":sns:"));
                let mut topics: Vec<String> = topics.cloned().collect();
                topics.sort();
                topics.dedup();
                let stream = stream.clone();
                self.complete.push(Pair {
                    stream,
                    names,
                    topics,
                });
                return;
            }
            (Some(_), Some(_)) => "its two alarms are of different streams",
            _ => "an alarm has no query incomingBytes or incomingRecords with a StreamName",
        };
        self.incomplete.push((names.scale_up, why.to_owned()));
    }

    /// The commented configuration.
    pub fn config(&self, region: &str, table: &str) -> String {
        let mut text = comment(
            "kinesis-autoscaler, for the pairs of alarms that exist; `check` says what is wrong \
             with them. The package's config.toml has every key with its default.",
        );
        text.push('\n');
        text += &format!("[aws]\nregion = {region:?}\n\n");
        text += &comment(
            "The scaling log. Name the table of epsagon/kinesis-autoscaler to keep its rows, or \
             create one: kinesis-autoscaler table create",
        );
        text += &format!("[log]\ntable = {table:?}\n");
        text += "\n[defaults]\n# min_shards = 1\n# max_shards = 64\n";
        for pair in &self.complete {
            text.push('\n');
            text += &pair.entry();
        }
        if self.complete.is_empty() {
            text.push('\n');
            text += &comment(
                "No pair of alarms was found. Name the streams, then create their alarms: \
                 kinesis-autoscaler alarms create",
            );
            text += "# [[streams]]\n# name = \"orders\"\n";
        }
        if !self.incomplete.is_empty() {
            text += "\n# These alarms are no complete pairs:\n";
        }
        for (alarm, why) in &self.incomplete {
            text += &comment(&format!("{alarm}: {why}"));
        }
        text
    }

    /// The object that `--output json` prints; its names are a promise to users' scripts.
    pub fn to_json(&self, config: &str, written: Option<&Path>) -> String {
        let pair = |pair: &Pair| {
            json!({
                "stream": pair.stream,
                "scale_up_alarm": pair.names.scale_up,
                "scale_down_alarm": pair.names.scale_down,
                "sns_topics": pair.topics,
            })
        };
        let incomplete = self.incomplete.iter();
        let incomplete = incomplete.map(|(alarm, why)| json!({"alarm": alarm, "problem": why}));
        let object = json!({
            "pairs": self.complete.iter().map(pair).collect::<Vec<_>>(),
            "incomplete": incomplete.collect::<Vec<_>>(),
            "written": written,
            "config": config,
        });
        object.to_string() + "\n"
    }
}

impl Pair {
    /// The entry under `[[streams]]`, by name where the alarms have the default names.
    fn entry(&self) -> String {
        let mut text = String::new();
        let (topics, that) = match &self.topics[..] {
            [topic] => (topic.clone(), "that"),
            topics => (topics.join(", "), "one of these"),
        };
        if !topics.is_empty() {
            text += &comment(&format!(
                "Its alarms notify {topics}: if {that} starts the Lambda of \
                 epsagon/kinesis-autoscaler, stop the Lambda or remove the action, or each alarm \
                 scales the stream twice"
            ));
        }
        let Self { stream, names, .. } = self;
        text + &match names.scale_up == format!("{stream}-scale-up-alarm") {
            true => format!("[[streams]]\nname = {stream:?}\n"),
            false => format!(
                "[[streams]]\nalarm = {:?}  # of the stream {stream}\n",
                names.scale_up
            ),
        }
    }
}

fn comment(text: &str) -> String {
    wrap(text, "# ", "# ", WIDTH)
}
