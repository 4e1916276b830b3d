//! The subcommands as processes: exit codes, and closed or missing standard output or
//! standard input.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

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

const COMMANDS: [&str; 12] = [
    "config show",
    "shards orders",
    "status",
    "history",
    "history --stream orders --output csv",
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
        &["checked 7 streams", "not verified"],
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
        "status --sandbox",
        0,
        &["orders", "scale up to 4", "7 streams: 3 to scale up"],
        &[],
    );
    check("status --sandbox --output json", 0, &["\"streams\":["], &[]);
    check(
        "history --sandbox",
        0,
        &["TIME (UTC)", "12 -> 18", "12 scalings of 3 streams"],
        &[],
    );
    check(
        "history --sandbox --output csv",
        0,
        &["at,stream,", ",SCALE_DOWN,18,10,done,alarm,"],
        &[],
    );
    check(
        "history --sandbox --stream clicks --output json",
        0,
        &["\"shards_after\":18"],
        &[],
    );
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
    let shown = [
        "[log]\n",
        "table = \"kinesis-autoscaler-logs-sandbox\"",
        "# default",
    ];
    check("config show --sandbox", 0, &shown, &[]);
    let init = ["region = \"eu-west-1\"", "[[streams]]\nname = \"carts\""];
    check("config init --sandbox", 0, &init, &[]);
    let json = "config show --sandbox --output json";
    check(json, 0, &["\"values\":["], &[]);
    let page = [
        "orders (eu-west-1), ACTIVE: 2 shards",
        "next tick    scale up to 4",
    ];
    check("status orders --sandbox", 0, &page, &[]);
    check(
        "status --problems --sandbox",
        0,
        &["no problems; 7 streams"],
        &[],
    );
    let hot = ["hot: shardId-000000000000", "split-shard", "REJECTED"];
    check("shards sensors --sandbox", 0, &hot, &[]);
    let unmeasured = ["4 open shards", "enable-enhanced-monitoring"];
    check("shards audit --sandbox", 0, &unmeasured, &[]);
    let json = "shards sensors --output json --sandbox";
    check(json, 0, &["\"verdict\":\"hot\""], &[]);
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
        &["both alarms record the new count"],
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
fn a_watch_appends_to_a_pipe_and_ends_with_0_by_a_signal_or_a_closed_pipe() {
    for (flags, lines) in [
        ("", ["", "every 1s"]),
        (" --output json", ["{", "\"orders\""]),
    ] {
        let command = format!("status orders --watch 1s --sandbox{flags}");
        let mut child = program(&command)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut seen = 0;
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut read = stdout.lines().map_while(Result::ok);
        while seen < 2 {
            let line = read.next().expect("it goes on");
            assert!(!line.contains('\x1b'), "{line:?}");
            let is_next = line.starts_with(lines[0]) && line.contains(lines[1]);
            seen += u32::from(is_next);
        }
        if flags.is_empty() {
            let id = child.id().to_string();
            let sent = Command::new("kill")
                .args(["-INT", &id])
                .status()
                .expect("kill");
            assert!(sent.success());
        }
        drop(read);
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{command}");
    }
}

#[test]
fn one_stream_can_be_looked_at_alone() {
    check(
        "status --stream clicks --sandbox",
        0,
        &["1 stream: 1 to scale down"],
        &[],
    );
    check(
        "check --stream clicks --sandbox",
        0,
        &["checked 1 stream,"],
        &[],
    );
    for command in ["status", "check"] {
        let line = format!("{command} --stream click --sandbox");
        check(&line, 1, &[], &["did you mean clicks?"]);
    }
}

#[test]
fn the_configuration_alone_is_told_in_both_forms() {
    check("check --offline --sandbox", 0, &["is good"], &[]);
    let good = "check --offline --output json --sandbox";
    check(good, 0, &["\"streams\":7", "\"errors\":0"], &[]);
    let odd = "check --offline --sandbox --set aws.region=eu-west1";
    check(
        odd,
        0,
        &["warning", "`eu-west1` is not named", "is good"],
        &[],
    );
    check(&format!("{odd} --strict"), 1, &["with 1 warning"], &[]);
    let odd = format!("{odd} --output json");
    check(&odd, 0, &["\"warnings\":1", "`eu-west1` is not named"], &[]);
    check(&format!("{odd} --strict"), 1, &["\"warnings\":1"], &[]);
    let wrong = "--set log.retention_days=0 --set nonsense=1";
    let text = format!("check --offline --sandbox {wrong}");
    check(
        &text,
        78,
        &[],
        &["log.retention_days", "nonsense: unknown key"],
    );
    let output = run(&format!("{text} --output json"));
    assert_eq!(output.status.code(), Some(78));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["errors"], 2, "{json}");
    assert_eq!(json["findings"][0]["rule"], "configuration", "{json}");
}

#[test]
fn a_demo_removes_nothing_but_its_own_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "").expect("it is written");
    let line = format!(
        "--sandbox --once --set state_dir={}",
        folder.path().display()
    );
    check(&line, 0, &["scale up"], &[]);
    assert!(kept.exists(), "what a person names as state_dir is theirs");
}

#[test]
fn a_far_scaling_in_the_sandbox_is_a_matter_of_seconds() {
    check(
        "scale orders --to 16 --wait --yes --sandbox",
        0,
        &["orders (eu-west-1) has 16 shards"],
        &["in 3 calls"],
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
        "history --stream session --sandbox",
        1,
        &[],
        &["the stream session", "did you mean sessions?"],
    );
    check(
        "history --svg /nonexistent/picture.svg --sandbox",
        1,
        &[],
        &[
            "error: the picture cannot be written to /nonexistent/picture.svg",
            "caused by: ",
        ],
    );
    check(
        "shards sensor --sandbox",
        1,
        &[],
        &[
            "no subscription has the stream sensor",
            "did you mean sensors?",
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
        "status",
        "status --output json",
        "history",
        "history --output csv",
        "check --policy",
        "shards sensors",
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
