//! The subcommands as processes: exit codes, and what becomes of standard output and input that are not there.

use std::process::{Command, Output, Stdio};

fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
    command
        .args(line.split_whitespace())
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    program(line).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code, words of standard output, words of standard error.
#[track_caller]
fn check(line: &str, code: i32, stdout: &[&str], stderr: &[&str]) {
    let output = run(line);
    let (told, logged) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line}\n{told}\n{logged}");
    for words in stdout {
        assert!(told.contains(words), "{line}: {words:?} in\n{told}");
    }
    for words in stderr {
        assert!(logged.contains(words), "{line}: {words:?} in\n{logged}");
    }
    if stdout.is_empty() {
        assert_eq!(told, "", "{line}: nothing is data");
    }
}

const COMMANDS: [&str; 7] = [
    "check",
    "alarms print",
    "alarms create",
    "table print",
    "table create",
    "scale orders --to 4",
    "scale orders --to 4 --dry-run",
];

#[test]
fn without_a_configuration_every_command_says_so_and_exits_with_78() {
    for command in COMMANDS {
        let line = format!("{command} --config /nonexistent/config.toml");
        check(
            &line,
            78,
            &[],
            &[
                "error: /nonexistent/config.toml: there is no such file",
                "hint: ",
            ],
        );
    }
}

#[test]
fn the_sandbox_serves_every_command() {
    check(
        "check --sandbox",
        0,
        &["checked 5 streams", "not tried"],
        &[],
    );
    check(
        "check --sandbox --policy",
        0,
        &["\"kinesis:UpdateShardCount\""],
        &[],
    );
    check("check --sandbox --output json", 0, &["\"findings\":["], &[]);
    check(
        "alarms print --sandbox --stream orders",
        0,
        &["\"AlarmName\":\"orders-scale-up-alarm\""],
        &[],
    );
    check(
        "alarms print --sandbox --shards 3 --format cloudformation",
        0,
        &["AWS::CloudWatch::Alarm"],
        &[],
    );
    check(
        "alarms create --sandbox",
        0,
        &["orders-scale-up-alarm", "exists", "--replace"],
        &[],
    );
    check("table print --sandbox", 0, &["\"scaling_datetime\""], &[]);
    check(
        "table create --sandbox",
        0,
        &["exists, with its keys and its TTL"],
        &[],
    );
    check(
        "scale sessions --by +1 --yes --sandbox",
        0,
        &["its alarms are in sync"],
        &["in 1 call"],
    );
    check(
        "scale sessions --by +1 --dry-run --sandbox",
        0,
        &["dry run, nothing was changed"],
        &[],
    );
    check(
        "scale sessions --by +1 --dry-run --output json --sandbox",
        0,
        &["\"dry_run\":true"],
        &[],
    );
}

#[test]
fn wrong_wishes_fail_with_a_hint() {
    check(
        "scale session --to 4 --yes --sandbox",
        1,
        &[],
        &[
            "no subscription has the stream session",
            "did you mean sessions?",
        ],
    );
    check(
        "alarms print --stream ordes --sandbox",
        1,
        &[],
        &["did you mean orders?"],
    );
    check(
        "alarms create --up-threshold 80 --sandbox",
        2,
        &[],
        &["--up-threshold: must be above 0 and at most 1"],
    );
}

#[test]
fn without_a_terminal_nothing_is_scaled_unless_told_so() {
    check(
        "scale sessions --by +1 --sandbox",
        2,
        &[],
        &["there is no terminal", "hint: add --yes"],
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for command in [
        "check --policy",
        "alarms print",
        "alarms create",
        "table print",
        "table create",
    ] {
        let mut child = program(&format!("{command} --sandbox"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command}: {}",
            text(&output.stderr)
        );
        assert!(!text(&output.stderr).contains("panic"), "{command}");
    }
}
