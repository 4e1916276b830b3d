//! The real binary's protocol with systemd over a real NOTIFY_SOCKET, and the units that ship.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom},
    net::TcpListener,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A port that nobody listens on: AWS is out of reach.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The daemon, run as systemd would run it, in a folder with its configuration.
pub struct Service {
    process: Child,
    socket: UnixDatagram,
    log: File,
    pub folder: TempDir,
}

impl Service {
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write_config(&folder, "orders");
        let log = folder.path().join("log");
        let process = Command::new(BINARY)
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("STATE_DIRECTORY", folder.path().join("state"))
            .env("KINESIS_AUTOSCALER_CONFIG", config(&folder))
            .envs([("AWS_ENDPOINT_URL", NOWHERE), ("AWS_REGION", "eu-west-1")])
            .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
            .envs(variables.iter().copied())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let log = File::open(log).unwrap();
        Self {
            process,
            socket,
            log,
            folder,
        }
    }

    /// The next datagram that a test asks for, by line; others, such as the watchdog's, may come
    /// before.
    #[track_caller]
    fn hears(&mut self, wanted: impl Fn(&[&str]) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut buffer = [0; 4096];
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            if wanted(&lines) {
                return lines.into_iter().map(str::to_owned).collect();
            }
            heard.push(text);
        }
        panic!("not heard, but {heard:?}; the log: {}", self.log());
    }

    #[track_caller]
    pub fn hears_line(&mut self, line: &str) {
        self.hears(|lines| lines == [line]);
    }

    #[track_caller]
    fn hears_status(&mut self) -> String {
        let lines = self.hears(|lines| lines[0].starts_with("STATUS="));
        assert_eq!(lines.len(), 1, "a status is one line");
        lines[0]["STATUS=".len()..].to_owned()
    }

    /// RELOADING and the clock have to come in one datagram.
    #[track_caller]
    fn hears_reloading(&mut self) {
        let lines = self.hears(|lines| lines.contains(&"RELOADING=1"));
        let clock = lines
            .iter()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(
            clock.is_some_and(|it| it.parse::<u64>().is_ok_and(|it| it > 0)),
            "{lines:?}"
        );
    }

    #[track_caller]
    pub fn refuses_a_reload(&mut self) {
        self.signal("HUP");
        self.hears_reloading();
        let status = self.hears_status();
        assert!(status.contains("the old one stays in force"), "{status}");
        self.hears_line("READY=1");
    }

    #[track_caller]
    pub fn takes_a_reload(&mut self) {
        self.signal("HUP");
        self.hears_reloading();
        self.hears_line("READY=1");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Everything logged so far.
    pub fn log(&mut self) -> String {
        let mut text = String::new();
        self.log.seek(SeekFrom::Start(0)).unwrap();
        self.log.read_to_string(&mut text).unwrap();
        text
    }

    /// Sends SIGTERM, and expects the end within the 10 s that the manual promises.
    #[track_caller]
    pub fn stops(mut self, signal: &str) {
        let asked = Instant::now();
        self.signal(signal);
        self.hears_line("STOPPING=1");
        let status: ExitStatus = self.process.wait().unwrap();
        let took = asked.elapsed();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A failing test must not leave a daemon running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(folder: &TempDir) -> PathBuf {
    folder.path().join("config.toml")
}

fn write_config(folder: &TempDir, stream: &str) {
    let text = format!(
        "call_timeout = \"500ms\"\nlog.table = \"autoscaler-log\"\n[[streams]]\nname = \"{stream}\"\n"
    );
    fs::write(config(folder), text).unwrap();
}

#[test]
fn the_sandbox_is_ready_tells_its_tick_in_words_and_stops() {
    let mut service = Service::start(&["--sandbox"], &[]);
    service.hears_line("READY=1");
    let status = service.hears_status();
    assert!(status.starts_with("7 streams"), "{status}");
    service.stops("TERM");
}

#[test]
fn an_outage_of_aws_does_not_keep_it_from_being_ready() {
    let mut service = Service::start(&[], &[]);
    service.hears_line("READY=1");
    let status = service.hears_status();
    assert!(status.contains("1 failed"), "{status}");
    service.stops("INT");
}

#[test]
fn it_stops_in_the_middle_of_calls_that_never_answer() {
    // Connections are accepted and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("KINESIS_AUTOSCALER_CALL_TIMEOUT", "45s"),
    ];
    let mut service = Service::start(&[], &variables);
    service.hears_line("READY=1");
    silent.accept().unwrap();
    service.stops("TERM");
}

#[test]
fn a_single_run_ends_cleanly_on_a_signal() {
    for signal in ["TERM", "INT"] {
        // Each run its own: a run opens several connections at once.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("KINESIS_AUTOSCALER_CALL_TIMEOUT", "45s"),
        ];
        let mut service = Service::start(&["--once", "--output", "json"], &variables);
        let _connection = silent.accept().unwrap();
        let asked = Instant::now();
        service.signal(signal);
        let status = service.process.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", service.log());
        assert!(asked.elapsed() < Duration::from_secs(10));
        let log = service.log();
        assert!(log.contains("stopped by a signal"), "{log}");
    }
}

#[test]
fn a_single_run_says_once_what_lasts_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |endpoint: &str| {
        let state = folder.path().to_str().unwrap();
        // Long enough for the connection to be refused, so that the text is the same each time.
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("STATE_DIRECTORY", state),
            ("KINESIS_AUTOSCALER_CALL_TIMEOUT", "30s"),
        ];
        let mut service = Service::start(&["--once"], &variables);
        assert_eq!(service.process.wait().unwrap().code(), Some(1));
        service.log()
    };
    let first = run(NOWHERE);
    let line = "region=\"eu-west-1\" streams=1";
    assert!(first.contains(line), "{first}");
    assert_eq!(first.matches("DescribeAlarms").count(), 1, "{first}");
    let second = run(NOWHERE);
    assert!(!second.contains("DescribeAlarms"), "it was told: {second}");
}

#[test]
fn the_watchdog_is_pinged_as_often_as_systemd_asks() {
    let mut service = Service::start(&[], &[("WATCHDOG_USEC", "300000")]);
    service.hears_line("READY=1");
    for _ in 0..5 {
        service.hears_line("WATCHDOG=1");
    }
    service.stops("TERM");
}

#[test]
fn the_watchdog_of_another_process_is_not_pinged() {
    let other = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let mut service = Service::start(&[], &other);
    service.hears(|lines| {
        assert_ne!(lines, ["WATCHDOG=1"]);
        lines[0].starts_with("STATUS=")
    });
    service.stops("TERM");
}

#[test]
fn a_reload_puts_a_new_configuration_in_force_and_keeps_the_old_one_when_it_is_wrong() {
    let mut service = Service::start(&[], &[]);
    service.hears_line("READY=1");
    service.hears_status();

    write_config(&service.folder, "clicks");
    service.takes_a_reload();
    let log = service.log();
    assert!(log.contains("the new configuration is in force"), "{log}");

    for wrong in ["nonsense = 1\n", "[[[", ""] {
        fs::write(config(&service.folder), wrong).unwrap();
        service.refuses_a_reload();
    }
    fs::remove_file(config(&service.folder)).unwrap();
    service.refuses_a_reload();
    let log = service.log();
    assert_eq!(
        log.matches("the old one stays in force").count(),
        4,
        "{log}"
    );
    assert!(log.contains("nonsense"), "the wrong key is named: {log}");

    write_config(&service.folder, "orders");
    service.takes_a_reload();
    let log = service.log();
    let taken = log.matches("the new configuration is in force").count();
    assert_eq!(taken, 2, "{log}");
    service.stops("TERM");
}

#[test]
fn a_wrong_configuration_is_never_ready_and_exits_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_nonblocking(true).unwrap();
    fs::write(config(&folder), "nonsense = 1").unwrap();
    let output = Command::new(BINARY)
        .args(["--config".as_ref(), config(&folder).as_os_str()])
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let heard = socket.recv(&mut [0; 64]);
    assert_eq!(heard.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_refused_reload_shows_in_the_status_until_one_is_taken() {
    let every_second = [("KINESIS_AUTOSCALER_SCHEDULE", "* * * * * *")];
    let mut service = Service::start(&[], &every_second);
    service.hears_line("READY=1");
    let refused = "the last reload was refused";
    assert!(!service.hears_status().contains(refused));
    let good = fs::read_to_string(config(&service.folder)).unwrap();
    // The lock and the rows that wait are in the old one.
    let elsewhere = format!("state_dir = \"/nonexistent\"\n{good}");
    for wrong in ["nonsense = 1\n", elsewhere.as_str()] {
        fs::write(config(&service.folder), wrong).unwrap();
        service.refuses_a_reload();
        let status = service.hears_status();
        assert!(status.contains(refused), "{status}");
    }
    let log = service.log();
    assert!(log.contains("state_dir cannot change while"), "{log}");
    fs::write(config(&service.folder), good).unwrap();
    service.takes_a_reload();
    let status = service.hears_status();
    assert!(!status.contains(refused), "{status}");
    service.stops("TERM");
}

/// The lines of a unit that are settings, in order.
fn settings(unit: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(UNITS).join(unit)).unwrap();
    let kept = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(kept).map(str::to_owned).collect()
}

#[test]
fn both_services_have_the_same_user_and_the_same_hardening() {
    let shared = |unit: &str| {
        let lines = settings(unit);
        let from = lines
            .iter()
            .position(|it| it.starts_with("EnvironmentFile="));
        let to = lines.iter().position(|it| it == "[Install]");
        lines[from.unwrap()..to.unwrap_or(lines.len())].to_vec()
    };
    let daemon = shared("kinesis-autoscaler.service");
    assert!(daemon.len() > 30, "{daemon:?}");
    assert_eq!(daemon, shared("kinesis-autoscaler-once.service"));
}

#[test]
fn the_units_keep_what_is_promised() {
    for (unit, lines) in [
        (
            "kinesis-autoscaler.service",
            &[
                "Type=notify",
                "WatchdogSec=60s",
                "Restart=on-failure",
                "RestartPreventExitStatus=78",
                "EnvironmentFile=-/etc/default/kinesis-autoscaler",
                "DynamicUser=yes",
                "StateDirectory=kinesis-autoscaler",
                "ProtectSystem=strict",
                "CapabilityBoundingSet=",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
                "SystemCallFilter=@system-service",
            ][..],
        ),
        ("kinesis-autoscaler-once.service", &["Type=oneshot"]),
        (
            "kinesis-autoscaler-once.timer",
            &[
                "OnUnitInactiveSec=60s",
                "AccuracySec=1s",
                "RandomizedDelaySec=5s",
            ],
        ),
    ] {
        let settings = settings(unit);
        for line in lines {
            assert!(settings.iter().any(|it| it == line), "{unit}: {line}");
        }
    }
}

/// `systemd-analyze`; a machine without it is reported on standard error.
fn systemd_analyze(arguments: &[&str]) -> Option<String> {
    let output = match Command::new("systemd-analyze").args(arguments).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!(
                "\n!!! systemd-analyze is MISSING: the units are NOT verified (apt-get install systemd)\n"
            );
            return None;
        }
        output => output.unwrap(),
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    Some(text)
}

/// The units with the path of the built program, because systemd-analyze checks that it is
/// there.
fn units_of_this_build() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for entry in fs::read_dir(UNITS).unwrap() {
        let path = entry.unwrap().path();
        let ends = |extension: &str| path.extension().is_some_and(|it| it == extension);
        if ends("service") || ends("timer") {
            let text = fs::read_to_string(&path).unwrap();
            let copy = folder.path().join(path.file_name().unwrap());
            fs::write(&copy, text.replace("/usr/bin/kinesis-autoscaler", BINARY)).unwrap();
            copies.push(copy.to_str().unwrap().to_owned());
        }
    }
    assert_eq!(copies.len(), 3);
    (folder, copies)
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    let (_folder, units) = units_of_this_build();
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(units.iter().map(String::as_str));
    if let Some(said) = systemd_analyze(&arguments) {
        assert_eq!(said, "");
    }
}

#[test]
fn systemd_rates_the_exposure_of_the_services_at_one_and_a_half_or_less() {
    let (_folder, units) = units_of_this_build();
    for unit in units.iter().filter(|it| it.ends_with(".service")) {
        // Exits with an error above the threshold, which counts in tenths.
        systemd_analyze(&["security", "--offline=true", "--threshold=15", unit]);
    }
}
