//! Starts the emulators, fills and reads them, and runs the program against them.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub const REGION: &str = "eu-west-1";
pub const TABLE: &str = "kinesis-autoscaler-logs-test";

/// The variable that lets the tests pass without the emulators.
const WITHOUT: &str = "KINESIS_AUTOSCALER_TESTS_WITHOUT_EMULATORS";
/// Where the emulators are installed, in place of `target/emulators`.
const FOLDER: &str = "KINESIS_AUTOSCALER_TESTS_EMULATORS";
/// The program is ended after this, so that a hang is a failure.
const DEADLINE_SECONDS: &str = "300";

/// Which Kinesis the program meets.
#[derive(Clone, Copy, PartialEq)]
pub enum Kinesis {
    /// Resharding takes no time.
    Moto,
    /// The same, with a record of each call.
    Recorded {
        /// How long a call to Kinesis or DynamoDB takes.
        moto_latency_ms: u32,
        cloudwatch_latency_ms: u32,
    },
    /// How long a resharded stream is UPDATING.
    Local { update_seconds: u32 },
}

/// Running emulators, empty at first, and a folder for the program's files. Ends with its owner.
pub struct Emulator {
    server: Child,
    pub(super) services: Value,
    pub(super) folder: TempDir,
}

/// A `world.py` that goes on from one command to the next.
pub struct World {
    process: Child,
    answers: BufReader<ChildStdout>,
    services: Value,
}

/// A topic with a queue that subscribes it.
pub struct Topic {
    pub arn: String,
    queue: String,
}

/// One tick of the program.
pub struct Tick {
    pub report: Value,
    pub exit: Option<i32>,
    pub log: String,
}

impl Emulator {
    /// Starts the emulators; `None` if the tests run without them.
    pub fn start(kinesis: Kinesis) -> Option<Self> {
        Self::launch(kinesis, false)
    }

    /// The same, with STS, SNS and SQS by MiniStack.
    pub fn start_with_ministack(kinesis: Kinesis) -> Option<Self> {
        Self::launch(kinesis, true)
    }

    fn launch(kinesis: Kinesis, with_ministack: bool) -> Option<Self> {
        if std::env::var_os(WITHOUT).is_some_and(|value| value == "1") {
            eprintln!("skipped: {WITHOUT} is set");
            return None;
        }
        let installed = installed();
        let mut command = python(installed, "gateway.py");
        match kinesis {
            Kinesis::Moto => {}
            Kinesis::Recorded {
                moto_latency_ms,
                cloudwatch_latency_ms,
            } => {
                command
                    .args(["--record", "--moto-latency-ms"])
                    .arg(moto_latency_ms.to_string())
                    .arg("--cloudwatch-latency-ms")
                    .arg(cloudwatch_latency_ms.to_string());
            }
            Kinesis::Local { update_seconds } => {
                let package = installed.join("node/node_modules/kinesis-local");
                command
                    .arg("--kinesis-local")
                    .arg(package)
                    .args(["--update-seconds", &update_seconds.to_string()]);
            }
        }
        if with_ministack {
            let python = installed.join("ministack/bin/python");
            command.arg("--ministack").arg(python);
        }
        // The gateway ends when its standard input does, even if this process is killed.
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the gateway writes");
        let urls: Value = serde_json::from_str(&line).expect("the gateway tells where it listens");
        let stream_service = match kinesis {
            Kinesis::Local { .. } => "kinesis_local",
            _ => "moto",
        };
        let services = json!({
            "region": REGION,
            "kinesis": urls[stream_service],
            "cloudwatch": urls["cloudwatch"],
            "dynamodb": urls["moto"],
            "sts": urls["ministack"],
            "sns": urls["ministack"],
            "sqs": urls["ministack"],
            "calls": urls["calls"],
        });
        Some(Self {
            server,
            services,
            folder: TempDir::new().expect("a folder for the program"),
        })
    }

    /// Starts a `world.py` for many commands.
    pub fn serve(&self) -> World {
        let mut process = python(installed(), "world.py")
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("world.py starts");
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        World {
            process,
            answers,
            services: self.services.clone(),
        }
    }

    /// Creates streams with their alarms and traffic, as `world.py` describes them.
    pub fn seed_streams(&self, streams: Vec<Value>) {
        self.world("seed", json!({ "streams": streams }));
    }

    /// Creates the log table with `items` in it.
    pub fn seed_table(&self, items: Vec<Value>) {
        self.world(
            "seed",
            json!({ "table": { "name": TABLE, "items": items } }),
        );
    }

    /// Everything there is: `streams` and `alarms` by name, and `items` of the log table.
    pub fn dump(&self) -> Value {
        self.world("dump", json!({ "table": { "name": TABLE } }))
    }

    /// Streams and alarms without a log table.
    pub fn dump_without_table(&self) -> Value {
        self.world("dump", json!({}))
    }

    /// Sets the state of one alarm.
    pub fn set_alarm_state(&self, alarm: &str, state: &str) {
        self.world("state", json!({ "alarms": { alarm: state } }));
    }

    /// Waits until the stream is ACTIVE.
    pub fn until_active(&self, stream: &str) {
        self.world("active", json!({ "streams": [{ "name": stream }] }));
    }

    /// Creates a topic, and a queue that gets its messages.
    pub fn topic(&self, name: &str) -> Topic {
        let made = self.world("topic", json!({ "name": name }));
        let text = |key: &str| made[key].as_str().expect("a text").to_owned();
        Topic {
            arn: text("arn"),
            queue: text("queue"),
        }
    }

    /// What a topic has delivered.
    pub fn messages(&self, topic: &Topic) -> Vec<Value> {
        let bodies = self.world("messages", json!({ "queue": topic.queue }));
        bodies.as_array().expect("a list").clone()
    }

    /// All calls so far, as the recorder has noted them.
    pub fn calls(&self) -> Vec<Value> {
        let calls = self.world("calls", json!({ "from": 0 }));
        calls.as_array().expect("a list").clone()
    }

    /// Runs one tick; `streams` is the configuration's TOML from the first `[[streams]]` on.
    pub fn tick(&self, streams: &str, flags: &[&str]) -> Tick {
        let output = self.run(streams, &[&["--once", "--output", "json"], flags].concat());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "no report ({error}), {}:\n{}\n{log}",
                output.status,
                text(&output.stdout)
            )
        });
        Tick {
            report,
            exit: output.status.code(),
            log,
        }
    }

    /// Runs the program to its end with the configuration of [`Emulator::tick`].
    pub fn run(&self, streams: &str, args: &[&str]) -> Output {
        let config = self.folder.path().join("config.toml");
        std::fs::write(&config, self.config(streams)).expect("the configuration is written");
        let mut program = self.program();
        let program = program.arg("--config").arg(&config).args(args);
        program.output().expect("the program runs")
    }

    /// Every stream is audited in every tick but the first, and nothing is paced: the emulators
    /// have no quotas.
    fn config(&self, streams: &str) -> String {
        let state = self.folder.path().join("state");
        std::fs::create_dir_all(&state).expect("the state folder is made");
        format!(
            "audit_interval = \"1ms\"\nstate_dir = {state:?}\n\n[aws]\nregion = \"{REGION}\"\n\n[log]\ntable = \"{TABLE}\"\n\n\
             [quotas]\ndescribe_alarms = 1000\nput_metric_alarm = 1000\nset_alarm_state = 1000\n\
             describe_stream_summary = 1000\nupdate_shard_count = 1000\n\n{streams}"
        )
    }

    /// The program with nothing but the emulators in its environment.
    fn program(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args([DEADLINE_SECONDS, env!("CARGO_BIN_EXE_kinesis-autoscaler")]);
        self.surround(&mut command, "test");
        command
    }

    /// Sets the environment of a program that meets AWS under a key id.
    pub(super) fn surround(&self, command: &mut Command, key_id: &str) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", key_id)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        for service in ["kinesis", "cloudwatch", "dynamodb", "sts", "sns"] {
            if let Some(url) = self.services[service].as_str() {
                let variable = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
                command.env(variable, url);
            }
        }
    }

    /// Runs one command of `world.py`.
    fn world(&self, command: &str, mut spec: Value) -> Value {
        let services = self.services.as_object().expect("services by name").clone();
        spec.as_object_mut()
            .expect("a specification has keys")
            .extend(services);
        let mut process = python(installed(), "world.py")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("world.py starts");
        let mut input = process.stdin.take().expect("stdin is piped");
        input
            .write_all(spec.to_string().as_bytes())
            .expect("world.py reads");
        drop(input);
        let output = process.wait_with_output().expect("world.py ends");
        assert!(
            output.status.success(),
            "world.py {command}: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("world.py writes JSON")
    }
}

impl World {
    /// Runs one command.
    pub fn ask(&mut self, command: &str, mut spec: Value) -> Value {
        let fields = spec.as_object_mut().expect("a specification has keys");
        fields.extend(self.services.as_object().expect("services by name").clone());
        fields.insert("command".to_owned(), command.into());
        let input = self.process.stdin.as_mut().expect("stdin is piped");
        writeln!(input, "{spec}").expect("world.py reads");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("world.py writes");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("world.py {command}: {error}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The end of its input ends the gateway and what it started, which killing it would leave
        // behind.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

impl Tick {
    /// The entry of one stream.
    pub fn of(&self, stream: &str) -> Option<&Value> {
        self.report["streams"]
            .as_array()?
            .iter()
            .find(|entry| entry["stream"] == stream)
    }

    /// How many calls of an operation were made.
    pub fn calls(&self, operation: &str) -> u64 {
        self.report["api_calls"][operation].as_u64().unwrap_or(0)
    }
}

/// Installs the emulators once, or finds them installed.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("emulators");
        let folder = std::env::var_os(FOLDER).unwrap_or_else(|| target.into());
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("sh")
            .arg(script("setup.sh"))
            .arg(folder)
            .output()
            .expect("a shell runs");
        assert!(
            status.success(),
            "the emulators are not installed\n{}",
            text(&stderr)
        );
        PathBuf::from(text(&stdout).trim())
    })
}

/// A script in the environment's Python, cut off from the caller's AWS settings and proxies.
fn python(installed: &Path, name: &str) -> Command {
    let mut command = Command::new(installed.join("venv/bin/python"));
    command
        .arg(script(name))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn script(name: &str) -> OsString {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/emulators")
        .join(name)
        .into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
