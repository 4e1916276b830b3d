//! What the tests of ticks are built on: a sandbox with its clock, and autoscalers that start and die
//! as processes do.

use std::{
    io::Write,
    sync::{Arc, LazyLock, Mutex},
};

use autoscaler_sandbox::{RegionHandle, Sandbox};
use jiff::{SignedDuration, Timestamp};
use kinesis_autoscaler::{
    aws::{Aws, Transport},
    config::Config,
    reconcile::{
        clock::Clock,
        context::{Context, Process, Role},
        discovery::discover,
        report::{Report, StreamReport},
        tick::Autoscaler,
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::fmt::MakeWriter;

pub const TABLE: &str = "kinesis-autoscaler-logs-test";
pub const REGION: &str = "eu-west-1";

/// A sandbox, and a directory for state.
pub struct World {
    pub clock: Clock,
    pub sandbox: Sandbox,
    pub place: RegionHandle,
    pub state: TempDir,
}

impl World {
    /// An empty Region with a log table, at noon of a fixed day. Tokio's time has to be paused.
    pub fn new() -> Self {
        Self::at("2026-11-22T12:00:00Z")
    }

    /// The same, at another time.
    pub fn at(start: &str) -> Self {
        let start: Timestamp = start.parse().expect("a time");
        let clock = Clock::simulated(start, 1);
        let sandbox = Sandbox::new(clock.reader());
        let place = sandbox.region(REGION);
        place.create_log_table(TABLE);
        Self {
            clock,
            sandbox,
            place,
            state: tempfile::tempdir().expect("a directory"),
        }
    }

    /// A provisioned stream in sync with its pair, both alarms OK since long ago.
    pub fn stream(&self, name: &str, shards: u32) {
        self.place.create_stream(name, shards);
        self.place.pair(name, shards);
    }

    /// Sets the alarm of one direction to ALARM, as of now.
    pub fn fire(&self, stream: &str, direction: &str) {
        self.place.set_alarm_state(
            &format!("{stream}-{direction}-alarm"),
            "ALARM",
            "the test says so",
        );
    }

    /// The `shardCount` that an alarm records.
    pub fn recorded(&self, alarm: &str) -> String {
        let alarm = self.place.alarm(alarm).expect("the alarm is there");
        let queries = alarm["Metrics"]
            .as_array()
            .expect("a metric math alarm")
            .clone();
        let query = queries
            .iter()
            .find(|query| query["Id"] == "shardCount")
            .expect("a shardCount")
            .clone();
        query["Expression"].as_str().expect("text").to_owned()
    }

    /// The stream's shards, or what a resharding under way leads to.
    pub fn shards(&self, stream: &str) -> u32 {
        self.place
            .stream(stream)
            .expect("the stream is there")
            .target
    }

    pub fn state_of(&self, alarm: &str) -> String {
        self.place.alarm(alarm).expect("the alarm is there")["StateValue"]
            .as_str()
            .expect("text")
            .to_owned()
    }

    /// The rows of the log, without markers and leases.
    pub fn rows(&self) -> Vec<Value> {
        let is_row = |item: &Value| {
            !item["stream_name"]["S"]
                .as_str()
                .unwrap_or("#")
                .starts_with('#')
        };
        self.place.items(TABLE).into_iter().filter(is_row).collect()
    }

    /// The configuration with `streams`, and whatever else, without an audit unless it is asked
    /// for.
    pub fn config(&self, text: &str) -> Config {
        let audit = if text.contains("audit_interval") {
            ""
        } else {
            "audit_interval = \"0s\"\n"
        };
        let text = format!(
            "{audit}state_dir = {:?}\n{}\n[aws]\nregion = \"{REGION}\"\n[log]\ntable = \"{TABLE}\"\n{}",
            self.state.path(),
            text.split_once("[[").map_or(text, |(top, _)| top),
            text.split_once("[[")
                .map_or(String::new(), |(_, streams)| format!("[[{streams}")),
        );
        Config::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// The context of a command.
    pub async fn context(&self, config: Config, dry_run: bool) -> Arc<Context> {
        let context = self.process(config, Role::Command, dry_run).await;
        Arc::new(discover((*context).clone(), &[]).await)
    }

    /// The program's own wiring, on the embedded AWS. The host is named after its state directory.
    pub async fn process(&self, config: Config, role: Role, dry_run: bool) -> Arc<Context> {
        let transport = Transport::embedded(self.sandbox.http_client());
        let aws = Aws::connect(&config, transport)
            .await
            .expect("the Region is set");
        let host = config.state_dir.file_name().expect("a directory");
        let process = Process {
            host: host.to_string_lossy().into_owned(),
            role,
            dry_run,
        };
        Arc::new(Context::new(config, aws, self.clock.apart(), process))
    }

    /// A process that has just started, and inspects only streams whose alarm is in ALARM.
    pub async fn start(&self, text: &str) -> Autoscaler {
        let context = self.process(self.config(text), Role::Daemon, false).await;
        Autoscaler::new(context, true)
    }

    /// A process on one of several hosts, each with a state directory of its own.
    pub async fn start_on(&self, host: &str, text: &str) -> Arc<Context> {
        let mut config = self.config(text);
        config.state_dir.push(host);
        self.process(config, Role::Daemon, false).await
    }

    pub async fn pass(&self, time: SignedDuration) {
        tokio::time::advance(time.unsigned_abs()).await;
    }
}

/// What is logged in this thread for as long as the guard lives.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn capture() -> (Self, DefaultGuard) {
        // With a single subscriber in the process, a call site that another test's thread reaches
        // first is off in every thread.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("unpoisoned")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// `[[streams]]` entries by name.
pub fn named(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("[[streams]]\nname = \"{name}\"\n"))
        .collect()
}

/// One tick with all the time it needs.
pub async fn tick(autoscaler: &mut Autoscaler) -> Report {
    autoscaler.tick(std::time::Duration::from_secs(3600)).await
}

/// The report of one stream.
pub fn of<'a>(report: &'a Report, stream: &str) -> &'a StreamReport {
    let found = report.streams.iter().find(|entry| entry.name() == stream);
    found.unwrap_or_else(|| panic!("{stream} is not in the report: {report:#?}"))
}

/// The stream was scaled, from one count to another.
#[track_caller]
pub fn acted(report: &Report, stream: &str, action: &str, before: u32, after: u32) {
    let entry = of(report, stream);
    let seen = (
        entry.action.code(),
        entry.shards_before,
        entry.shards_after,
        entry.error.as_deref(),
    );
    assert_eq!(
        seen,
        (action, Some(before), Some(after), None),
        "{stream}: {entry:#?}"
    );
}

/// Nothing was done, for this reason.
#[track_caller]
pub fn held(report: &Report, stream: &str, reason: &str) {
    let entry = of(report, stream);
    assert_eq!(
        (
            entry.action.code(),
            entry.reason.code(),
            entry.error.as_deref()
        ),
        ("hold", reason, None),
        "{stream}: {entry:#?}"
    );
}

/// Nothing was done, for this reason, and the error says so.
#[track_caller]
pub fn failed(report: &Report, stream: &str, reason: &str, error: &str) {
    let entry = of(report, stream);
    assert_eq!(
        (entry.action.code(), entry.reason.code()),
        ("hold", reason),
        "{stream}: {entry:#?}"
    );
    let told = entry.error.as_deref().unwrap_or_default();
    assert!(
        told.contains(error),
        "{stream}: the error has to say {error:?}: {entry:#?}"
    );
}
