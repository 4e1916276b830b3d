//! Configurations of several files, and `config show`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use kinesis_autoscaler::{
    cli::Output,
    commands::config::render,
    config::{Config, Error, Overrides, Setting},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config::variables;

/// A main file, and others beside it.
const MAIN: &str =
    "include = [\"conf.d/*.toml\"]\n[log]\ntable = \"logs\"\n[[streams]]\nname = \"orders\"\n";

/// Writes files into a folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(path, text).expect("it is written");
    }
    folder
}

fn load(folder: &Path) -> Result<Config, Error> {
    Config::load(&folder.join("config.toml"), Overrides::default())
}

/// The text with the folder as `DIR`.
fn text(folder: &Path, text: impl ToString) -> String {
    text.to_string()
        .replace(&folder.display().to_string(), "DIR")
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let folder = folder(files);
    let error = load(folder.path()).expect_err("it is wrong");
    let problems = error.problems().iter();
    let found: Vec<String> = problems
        .map(|it| {
            let hint = it.hint.as_deref().unwrap_or_default();
            text(folder.path(), format!("{it} | {hint}"))
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "{files:?}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not {expected}");
    }
}

#[test]
fn included_files_add_streams_windows_and_sections_in_the_order_of_their_names() {
    let folder = folder(&[
        ("config.toml", MAIN),
        (
            "conf.d/b.toml",
            "[[streams]]\nname = \"b\"\n[log]\nretention_days = 30\n[defaults]\nmin_shards = 2\n",
        ),
        (
            "conf.d/a.toml",
            "tick_timeout = \"20s\"\n[[streams]]\nname = \"a\"\n[[streams]]\nname = \"a2\"\n\
             [[windows]]\nat = \"2026-11-27T06:00:00Z\"\nfor = \"3h\"\nmin_shards = 8\n",
        ),
        ("conf.d/.hidden.toml", "nonsense = 1\n"),
        ("conf.d/readme.txt", "nonsense\n"),
    ]);
    let config = load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let names = config.subscriptions.iter().map(|it| it.stream.as_deref());
    let names: Vec<&str> = names.flatten().collect();
    assert_eq!(names, ["orders", "a", "a2", "b"]);
    for it in &config.subscriptions {
        assert_eq!((it.min_shards, it.windows.len()), (2, 1), "{it:?}");
    }
    assert_eq!(config.log.retention_days, 30);
    assert_eq!(config.tick_timeout.as_secs(), 20);
    assert_eq!(config.unmatched_includes, [""; 0]);
}

#[test]
fn a_file_is_read_once_and_the_main_file_does_not_include_itself() {
    let main = MAIN.replace(
        "[\"conf.d/*.toml\"]",
        "[\"a.toml\", \"*.toml\", \"none/*.toml\"]",
    );
    let folder = folder(&[
        ("config.toml", &main),
        ("a.toml", "[[streams]]\nname = \"a\"\n"),
    ]);
    let config = load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.subscriptions.len(), 2);
    assert_eq!(config.unmatched_includes, ["none/*.toml"]);
    let warnings = config.warnings();
    let warning = warnings.first().expect("a warning");
    assert_eq!(warning.message, "include: no file matches `none/*.toml`");
}

#[test]
fn problems_name_the_file_that_they_are_in() {
    let a = |text: &'static str| [("config.toml", MAIN), ("conf.d/a.toml", text)];
    check(
        &a("[log]\ntable = \"other\"\n"),
        &[
            "DIR/conf.d/a.toml:2:1: log.table: is already set in DIR/config.toml | remove it from one",
        ],
    );
    check(
        &a("[[streams]]\nname = \"a\"\n[[streams]]\nname = \"b\"\nmax_shards = 0\n"),
        &["DIR/conf.d/a.toml: streams[1].max_shards (b): must be from 1 to 10000"],
    );
    check(
        &a("[[streams]]\nname = \"orders\"\n"),
        &[
            "DIR/conf.d/a.toml: streams[0].name (orders): \"orders\" is already subscribed by streams[0] in DIR/config.toml",
        ],
    );
    check(
        &a("[[streams]]\nname = \"a\"\n[[streams]]\nname = \"a\"\n"),
        &["DIR/conf.d/a.toml: streams[1].name (a): \"a\" is already subscribed by streams[0] |"],
    );
    check(
        &a(
            "[log]\nretention_days = 0\nnonsense = 1\n[[windows]]\nfor = \"1h\"\nat = \"soon\"\nhold = \"up\"\n",
        ),
        &[
            "DIR/conf.d/a.toml: log.nonsense: unknown key",
            "DIR/conf.d/a.toml: log.retention_days: must be from",
            "DIR/conf.d/a.toml: windows[0].at: ",
        ],
    );
    check(
        &a("include = [\"more.toml\"]\n"),
        &["DIR/conf.d/a.toml:1:1: include: only the main file can include others | "],
    );
    check(&a("a b\n"), &["DIR/conf.d/a.toml:1:3: "]);
    check(
        &[
            ("config.toml", MAIN),
            ("conf.d/a.toml", "[log]\nretention_days = 3\n"),
            ("conf.d/b.toml", "[log]\nretention_days = 4\n"),
        ],
        &["DIR/conf.d/b.toml:2:1: log.retention_days: is already set in DIR/conf.d/a.toml"],
    );
}

#[test]
fn what_cannot_be_included_says_why() {
    let main = |include: &str| MAIN.replace("[\"conf.d/*.toml\"]", include);
    for (include, expected) in [
        (
            "[\"none.toml\", \"nor.toml\"]",
            &[
                "DIR/none.toml: there is no such file | `include` in DIR/config.toml names it",
                "DIR/nor.toml: there is no such file",
            ][..],
        ),
        (
            "[\"*/a.toml\"]",
            &["DIR/config.toml: include: `*/a.toml`: only the last part"],
        ),
        (
            "\"a.toml\"",
            &["DIR/config.toml: include: expected an array of strings"],
        ),
        (
            "[1]",
            &["DIR/config.toml: include: expected an array of strings"],
        ),
    ] {
        check(&[("config.toml", &main(include))], expected);
    }
    let folder = folder(&[("config.toml", &main("[]"))]);
    let of = variables(&[("KINESIS_AUTOSCALER_INCLUDE", "[\"a.toml\"]")]);
    let error = Config::load(&folder.path().join("config.toml"), of).expect_err("it is wrong");
    let told = "KINESIS_AUTOSCALER_INCLUDE: only the configuration file can include others";
    assert_eq!(error.to_string(), told);
    let error = Config::from_toml(MAIN)
        .expect_err("it is wrong")
        .to_string();
    assert_eq!(
        error,
        "configuration: include: only the configuration file can include others"
    );
}

/// A configuration with a value from everywhere.
fn everywhere() -> (TempDir, Overrides) {
    let folder = folder(&[
        (
            "config.toml",
            &MAIN.replace("[log]", "log_format = \"json\"\n[log]"),
        ),
        (
            "conf.d/a.toml",
            "[metrics]\nlisten = \"127.0.0.1:9184\"\n[[windows]]\nat = \"2026-11-27T06:00:00Z\"\n\
             for = \"3h\"\nmin_shards = 8\n[[streams]]\nname = \"a\"\nmax_shards = 0x40\n\
             windows = [{ when = \"0 30 7 * * *\", for = \"1h\", hold = \"up\" }]\n",
        ),
    ]);
    let mut overrides = variables(&[
        ("KINESIS_AUTOSCALER_LOG__RETENTION_DAYS", "30"),
        ("STATE_DIRECTORY", "/var/lib/one:/var/lib/two"),
    ]);
    overrides.settings = vec![
        "aws.region=eu-west-1"
            .parse::<Setting>()
            .expect("a setting"),
    ];
    (folder, overrides)
}

#[test]
fn config_show_has_each_value_with_where_it_is_set() {
    let (folder, overrides) = everywhere();
    let path = folder.path().join("config.toml");
    let shown = Config::show(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
    let told = text(folder.path(), render(&shown, Output::Text));
    let in_part: Vec<&str> = told
        .lines()
        .filter(|line| !line.ends_with("# default"))
        .collect();
    assert_eq!(in_part.join("\n"), SHOWN, "\n{told}");
    for line in [
        "schedule = \"*/10 * * * * *\"                   # default",
        "audit_interval = \"15m\"                        # default",
        "max_shards = 10000                            # default",
    ] {
        assert!(told.lines().any(|it| it == line), "{line:?} in\n{told}");
    }
    // Optional keys without a value, and sections that are not there.
    for absent in ["profile", "role_arn", "[high_availability]"] {
        assert!(!told.contains(absent), "{absent} in\n{told}");
    }
}

const SHOWN: &str = r##"# The configuration in force; behind each value is where it is set.
# File: DIR/config.toml
# File: DIR/conf.d/a.toml
log_format = "json"                           # config.toml:2
state_dir = "/var/lib/one"                    # STATE_DIRECTORY
include = ["conf.d/*.toml"]                   # config.toml:1

[aws]
region = "eu-west-1"                          # --set

[log]
table = "logs"                                # config.toml:4
retention_days = 30                           # KINESIS_AUTOSCALER_LOG__RETENTION_DAYS

[quotas]

[metrics]
listen = "127.0.0.1:9184"                     # conf.d/a.toml:2

[prices]

[alarms]

[defaults]

[[windows]]
at = "2026-11-27T06:00:00Z"                   # conf.d/a.toml:4
for = "3h"                                    # conf.d/a.toml:5
min_shards = 8                                # conf.d/a.toml:6

[[streams]]
name = "orders"                               # config.toml:6

[[streams]]
name = "a"                                    # conf.d/a.toml:8
max_shards = 64                               # conf.d/a.toml:9
windows = [{ when = "0 30 7 * * *", for = "1h", hold = "up" }]  # conf.d/a.toml:10"##;

#[test]
fn what_config_show_prints_is_a_configuration_with_the_same_meaning() {
    let (folder, overrides) = everywhere();
    let path = folder.path().join("config.toml");
    let shown = Config::show(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
    let printed = render(&shown, Output::Text);
    let printed: String = printed
        .lines()
        .filter(|line| !line.starts_with("include = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let again = Config::from_toml(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again, Config::load(&path, overrides).expect("it loads"));
}

#[test]
fn config_show_has_a_form_for_machines() {
    let (folder, overrides) = everywhere();
    let path = folder.path().join("config.toml");
    let shown = Config::show(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
    let told = text(folder.path(), render(&shown, Output::Json));
    let json: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        json["files"],
        json!(["DIR/config.toml", "DIR/conf.d/a.toml"])
    );
    let of = |table: &str, key: &str| {
        let values = json["values"].as_array().into_iter().flatten();
        let found = values
            .clone()
            .find(|it| it["table"] == table && it["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{table}.{key} in {json:#}"));
        [
            &found["value"],
            &found["source"],
            &found["file"],
            &found["line"],
            &found["variable"],
        ]
        .map(Clone::clone)
    };
    let null = || Value::Null;
    for (table, key, expected) in [
        (
            "",
            "schedule",
            [
                json!("*/10 * * * * *"),
                json!("default"),
                null(),
                null(),
                null(),
            ],
        ),
        (
            "log",
            "table",
            [
                json!("logs"),
                json!("file"),
                json!("DIR/config.toml"),
                json!(4),
                null(),
            ],
        ),
        (
            "log",
            "retention_days",
            [
                json!(30),
                json!("environment"),
                null(),
                null(),
                json!("KINESIS_AUTOSCALER_LOG__RETENTION_DAYS"),
            ],
        ),
        (
            "aws",
            "region",
            [
                json!("eu-west-1"),
                json!("command_line"),
                null(),
                null(),
                null(),
            ],
        ),
        (
            "streams[1]",
            "max_shards",
            [
                json!(64),
                json!("file"),
                json!("DIR/conf.d/a.toml"),
                json!(9),
                null(),
            ],
        ),
    ] {
        assert_eq!(of(table, key), expected, "{table}.{key}");
    }
}

#[test]
fn config_show_of_a_wrong_configuration_is_its_problems() {
    let folder = folder(&[("config.toml", "nonsense = 1\n")]);
    let path = folder.path().join("config.toml");
    let error = Config::show(&path, &Overrides::default()).expect_err("it is wrong");
    assert!(error.problems().len() >= 2, "{error}");
}

/// A process that is killed when its test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reload_reads_the_included_files_again() {
    let state = tempfile::tempdir().expect("a folder");
    let top = format!("state_dir = {:?}\ncall_timeout = \"1s\"\n", state.path());
    let main = top + MAIN + "[aws]\nregion = \"eu-west-1\"\n";
    let folder = folder(&[("config.toml", &main)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"));
    command
        .arg("--config")
        .arg(folder.path().join("config.toml"));
    command.env_clear().envs([
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("HOME", "/nonexistent"),
    ]);
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut daemon = Daemon(spawned.expect("it starts"));
    let stderr = BufReader::new(daemon.0.stderr.take().expect("a pipe"));
    let mut lines = stderr.lines().map_while(Result::ok);
    let mut until = |words: &str| {
        let found = lines.any(|line| line.contains(words));
        assert!(found, "the log ends without {words:?}");
    };
    let reload = || {
        let id = daemon.0.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status();
        assert!(sent.expect("kill").success());
    };
    until("started");
    let added = folder.path().join("conf.d/a.toml");
    fs::create_dir(folder.path().join("conf.d")).expect("it is made");
    for (text, words) in [
        (
            "[[streams]]\nname = \"orders\"\n",
            "conf.d/a.toml: streams[0].name (orders)",
        ),
        (
            "[[streams]]\nname = \"a\"\n",
            "the new configuration is in force",
        ),
    ] {
        fs::write(&added, text).expect("it is written");
        reload();
        until(words);
    }
}
