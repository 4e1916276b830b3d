//! The process from outside: exit codes, output, signals.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");

/// The binary with an environment of its own: a closed port in place of AWS, and made-up credentials
/// ones.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().stdin(Stdio::null());
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("HOME", "/nonexistent");
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A configuration file with one stream, and a state directory beside it. The time for a call is
/// longer than what the SDK waits between its attempts.
fn config(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("config.toml");
    let state = folder.path().join("state");
    let text = format!(
        "state_dir = {state:?}\ncall_timeout = \"10s\"\n[aws]\nregion = \"eu-west-1\"\n[log]\ntable = \"logs\"\n[[streams]]\nname = \"orders\"\n"
    );
    std::fs::write(&path, text).expect("it is written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_first_command_of_the_readme_scales_streams() {
    let output = run(&["--sandbox", "--once"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for row in [
        "audit     hold: paused",
        "carts     scale up        2 -> 4",
        "clicks    scale down      10 -> 6",
        "orders    scale up        2 -> 4",
        "payments  sync alarms     3",
        "sensors   scale up        4 -> 6",
        "sessions  hold: no_alarm",
    ] {
        assert!(table.contains(row), "{row:?} is not in\n{table}");
    }
    assert!(
        !table.contains('\x1b') && !text(&output.stderr).contains('\x1b'),
        "a pipe gets no colour"
    );
}

#[test]
fn the_json_report_is_one_object_with_the_promised_fields() {
    let output = run(&["--sandbox", "--once", "--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for field in [
        "started_at",
        "duration_ms",
        "dry_run",
        "api_calls",
        "streams",
    ] {
        assert!(
            report.get(field).is_some(),
            "{field} is missing: {report:#}"
        );
    }
    let streams = report["streams"].as_array().expect("a list");
    let seen: Vec<_> = streams
        .iter()
        .map(|entry| {
            (
                entry["stream"].as_str(),
                entry["action"].as_str(),
                entry["shards_after"].as_u64(),
            )
        })
        .collect();
    let expected = [
        ("audit", "hold", None),
        ("carts", "scale_up", Some(4)),
        ("clicks", "scale_down", Some(6)),
        ("orders", "scale_up", Some(4)),
        ("payments", "sync_alarms", Some(3)),
        ("sensors", "scale_up", Some(6)),
        ("sessions", "hold", None),
    ];
    assert_eq!(
        seen,
        expected.map(|(stream, action, after)| (Some(stream), Some(action), after))
    );
    for entry in streams {
        let fields: Vec<&String> = entry.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            [
                "action",
                "detail",
                "error",
                "reason",
                "region",
                "shards_after",
                "shards_before",
                "stream",
                "subscription"
            ]
        );
    }
}

#[test]
fn the_sandbox_says_which_variables_it_ignores() {
    const CONFIG: (&str, &str) = ("KINESIS_AUTOSCALER_CONFIG", "/nonexistent/config.toml");
    const POLICY: (&str, &str) = ("KINESIS_AUTOSCALER_DEFAULTS__POLICY", "adaptive");
    // Kubernetes sets this one for a service of the same name.
    const SERVICE: (&str, &str) = ("KINESIS_AUTOSCALER_PORT", "tcp://10.0.0.1:9184");
    let warning = |what: &str| {
        format!(
            "warning: --sandbox reads no configuration file or variable (--set works): {what} ignored\n"
        )
    };
    let one = warning("KINESIS_AUTOSCALER_CONFIG is");
    let two = warning("KINESIS_AUTOSCALER_CONFIG, KINESIS_AUTOSCALER_DEFAULTS__POLICY are");
    for (variables, args, expected) in [
        (
            &[CONFIG][..],
            &["--sandbox", "table", "print"][..],
            one.as_str(),
        ),
        (&[POLICY, CONFIG], &["--sandbox", "table", "print"], &two),
        (&[SERVICE], &["--sandbox", "table", "print"], ""),
        (&[CONFIG], &["--sandbox", "table", "print", "-q"], ""),
    ] {
        let mut command = program(args);
        command.envs(variables.iter().copied());
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), expected, "{args:?}");
    }
}

#[test]
fn the_sandbox_notifies_without_a_warning() {
    let output = run(&[
        "--sandbox",
        "--once",
        "--set",
        "notify.command=[\"/bin/true\"]",
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn standard_output_that_cannot_be_written_is_named() {
    for arguments in [
        &["--sandbox", "table", "print"][..],
        &["--help"],
        &["status", "-h"],
        &["--version"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut command = program(arguments);
        command.stdout(full.expect("a device that is always full"));
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(
            text(&output.stderr),
            "error: standard output cannot be written\n\
             caused by: No space left on device (os error 28)\n\
             hint: free space on the disk that it goes to\n",
            "{arguments:?}"
        );
    }
}

#[test]
fn each_failure_has_its_exit_code_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a directory");
    let good = config(&folder);
    let bad = folder.path().join("bad.toml");
    std::fs::write(
        &bad,
        "schedul = \"* * * * * *\"\n[[streams]]\nname = \"a b\"\n",
    )
    .expect("it is written");
    let bad = bad.to_str().expect("UTF-8").to_owned();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (
            &["--once", "--config", "/nonexistent/config.toml"],
            78,
            &["error: ", "/nonexistent/config.toml", "hint: "],
        ),
        (
            &["--once", "--config", &bad],
            78,
            &[
                "schedul",
                "did you mean",
                "schedule",
                "streams[0].name",
                "log.table",
            ],
        ),
        (
            &["check", "--offline", "--config", &bad],
            78,
            &["error: ", "streams[0].name"],
        ),
        (&["--onec"], 2, &["--once"]),
        (&["scale", "orders"], 2, &["--to"]),
        (
            &["--once", "--config", &good],
            1,
            &["cannot be reached", "AWS_ENDPOINT_URL"],
        ),
        (&["check", "--offline", "--config", &good], 0, &[]),
        (&["--version"], 0, &[]),
    ];
    for (args, code, said) in cases {
        let output = run(args);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {errors}");
        for text in *said {
            assert!(
                errors.contains(text),
                "{args:?}: {text:?} is not in\n{errors}"
            );
        }
    }
}

#[test]
fn without_credentials_it_says_where_they_are_looked_for() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut command = program(&["--once", "--output", "json", "--config", &config(&folder)]);
    let output = command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report all the same");
    let entry = &report["streams"][0];
    assert!(
        entry["error"]
            .as_str()
            .unwrap_or_default()
            .contains("credentials"),
        "{entry:#}"
    );
    assert!(
        entry["detail"]
            .as_str()
            .unwrap_or_default()
            .contains("AWS_PROFILE"),
        "{entry:#}"
    );
    let detail = entry["detail"].as_str().unwrap_or_default();
    let tried = detail.lines().filter(|line| line.starts_with("- "));
    assert!(tried.count() >= 4, "one provider a line: {detail}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = program(&["--sandbox", "--once"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
}

/// Waits until the daemon has said `words` on standard error.
fn until_it_says(child: &mut Child, words: &str) -> BufReader<impl Read + use<>> {
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while errors.read_line(&mut line).expect("UTF-8") > 0 {
        if line.contains(words) {
            return errors;
        }
        line.clear();
    }
    panic!("it ended without saying {words:?}");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

#[test]
fn sigterm_and_sigint_stop_the_daemon_cleanly() {
    for name in ["TERM", "INT"] {
        let mut child = program(&["--sandbox"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut errors = until_it_says(&mut child, "scale_up");
        let stopping = std::time::Instant::now();
        signal(&child, name);
        let mut rest = String::new();
        errors.read_to_string(&mut rest).expect("UTF-8");
        assert_eq!(
            child.wait().expect("it ends").code(),
            Some(0),
            "SIG{name}: {rest}"
        );
        assert!(rest.contains("stopped"), "SIG{name}: {rest}");
        // Not a claim of speed: systemd kills what has not stopped by then.
        assert!(stopping.elapsed() < Duration::from_secs(10), "SIG{name}");
    }
}

#[test]
fn one_state_directory_has_one_daemon() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = config(&folder);
    let mut first = program(&["--config", &config])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(until_it_says(&mut first, "started"));
    let second = run(&["--config", &config]);
    let once = run(&["--once", "--output", "json", "--config", &config]);
    signal(&first, "KILL");
    first.wait().expect("it ends");
    assert_eq!(second.status.code(), Some(1), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("another kinesis-autoscaler uses the state directory"));
    assert_eq!(
        once.status.code(),
        Some(0),
        "a run from cron leaves the work to the one under way"
    );
    let report: Value = serde_json::from_slice(&once.stdout).expect("one JSON object all the same");
    assert_eq!(report["streams"], Value::Array(Vec::new()));
    let skipped = report["skipped"].as_str().unwrap_or_default();
    assert!(
        skipped.starts_with("another kinesis-autoscaler uses the state directory /"),
        "{report:#}"
    );
    assert!(
        text(&once.stderr).contains("another run is under way"),
        "{}",
        text(&once.stderr)
    );
}

#[test]
fn a_dry_run_reads_every_stream_and_fails_on_a_missing_one() {
    let missing = "streams=[{name=\"missing\"}]";
    let output = run(&["--sandbox", "--once", "--dry-run", "--set", missing]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(!table.contains("no_alarm"), "{table}");
}

#[test]
fn the_daemon_reads_every_stream_at_its_start() {
    let missing = "streams=[{name=\"missing\"}]";
    let no_audit = "audit_interval=0s";
    let demo = ["--sandbox", "--set", missing, "--set", no_audit];
    for dry_run in [&[][..], &["--dry-run"]] {
        let mut child = program(&[&demo, dry_run].concat())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let lines = lines.by_ref().map(|line| line.expect("UTF-8"));
        // This line follows the first tick.
        let first_tick = lines.take_while(|line| !line.contains("in the sandbox, shards"));
        let errors = first_tick.filter(|line| line.contains("ERROR")).count();
        signal(&child, "TERM");
        child.wait().expect("it ends");
        assert_eq!(errors, 1, "{dry_run:?}");
    }
}

#[test]
fn a_planted_lock_is_not_written_through() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = config(&folder);
    let target = folder.path().join("target");
    fs::write(&target, "precious").expect("it is written");
    fs::create_dir(folder.path().join("state")).expect("it is made");
    symlink(&target, folder.path().join("state/lock")).expect("a link");
    let output = run(&["--once", "--config", &config]);
    let errors = text(&output.stderr);
    assert!(errors.contains("state directory"), "{errors}");
    assert_eq!(fs::read_to_string(&target).expect("it is read"), "precious");
}

#[test]
fn the_sandbox_keeps_its_state_to_itself_and_removes_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut child = program(&["--sandbox"])
        .env("TMPDIR", folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut errors = until_it_says(&mut child, "scale_up");
    let entries = || fs::read_dir(folder.path()).expect("it is read");
    let states: Vec<_> = entries().map(|it| it.expect("an entry")).collect();
    assert_eq!(states.len(), 1, "{states:?}");
    let name = states[0].file_name().to_string_lossy().into_owned();
    assert!(!name.ends_with(&child.id().to_string()), "{name}");
    let mode = states[0].metadata().expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    signal(&child, "TERM");
    errors.read_to_string(&mut String::new()).expect("UTF-8");
    child.wait().expect("it ends");
    assert_eq!(entries().count(), 0, "nothing is left behind");
}

#[test]
fn a_dry_run_daemon_says_so_at_its_start() {
    for (args, says_so) in [(&["--dry-run"][..], true), (&[], false)] {
        let mut child = program(&[&["--sandbox"], args].concat())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("UTF-8"));
        let started = lines.find(|line| line.contains("started"));
        signal(&child, "TERM");
        child.wait().expect("it ends");
        let started = started.expect("it says that it has started");
        assert_eq!(started.contains("dry run"), says_so, "{started}");
    }
}

/// The hour in `2026-11-26T04:06:29.000000Z  INFO Thu 04:00 in the sandbox, shards: …`, as the line
/// is dated and as it says.
fn hours(line: &str) -> Option<(String, String)> {
    let (before, _) = line.split_once(":00 in the sandbox, shards")?;
    let told = before.rsplit(' ').next()?;
    Some((line.get(11..13)?.to_owned(), told.to_owned()))
}

#[test]
fn the_log_of_the_sandbox_is_dated_by_its_own_clock() {
    let mut child = program(&["--sandbox"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut seen = Vec::new();
    for line in lines.map(|line| line.expect("UTF-8")) {
        seen.extend(hours(&line));
        if seen.len() == 2 {
            break;
        }
    }
    signal(&child, "TERM");
    child.wait().expect("it ends");
    assert_eq!(seen.len(), 2, "an hour passes in 15 seconds");
    assert!(seen.iter().all(|(dated, told)| dated == told), "{seen:?}");
}
