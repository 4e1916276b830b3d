//! The sample command for Slack, the units, the binary, and what `check` says.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use kinesis_autoscaler::{
    cli::Output,
    commands::check::{self, Scope},
    config::{Config, Notify},
};
use serde_json::{Value, json};

use super::{TOPIC, topic};
use crate::world::{World, named};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BINARY: &str = env!("CARGO_BIN_EXE_kinesis-autoscaler");

/// Runs the script with a curl that writes down how it was called, and returns its success, what
/// curl was given, and standard error.
fn slack(event: &str, url: Option<&str>) -> (bool, String, String) {
    let folder = tempfile::tempdir().expect("a directory");
    let curl = folder.path().join("curl");
    let said = folder.path().join("said");
    let stub = format!("#!/bin/bash\n{{ printf '%s\\n' \"$@\"; cat; }} > {said:?}\n");
    fs::write(&curl, stub).expect("it is written");
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).expect("it is executable");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let mut child = Command::new(Path::new(ROOT).join("config/notify-slack.sh"))
        .env_clear()
        .env("PATH", path)
        .envs(url.map(|url| ("SLACK_WEBHOOK_URL", url)))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    // Without a URL it reads nothing.
    let _ = input.write_all(event.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    (
        output.status.success(),
        fs::read_to_string(said).unwrap_or_default(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_sample_for_slack_posts_the_event() {
    let script = Path::new(ROOT).join("config/notify-slack.sh");
    let parses = Command::new("bash").arg("-n").arg(&script).status();
    assert!(parses.expect("bash").success());
    let mode = fs::metadata(&script)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111, "it can be executed");
    let event = json!({
        "id": "a/1/0", "kind": "failed", "state": "begin", "summary": "orders (eu-west-1): failing",
        "stream": "orders", "region": "eu-west-1",
        "detail": "a \"quoted\" text & <b>\\ with\nlines, \"summary\":\"no\", ü \u{1}",
        "hint": null, "time": "2026-11-26T12:00:00Z", "since": null, "host": "bastion-1",
    });
    let url = "https://hooks.slack.com/services/T0/B0/secret";
    let (success, said, error) = slack(&event.to_string(), Some(url));
    assert!(success, "{error}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.last(), Some(&format!("url = \"{url}\"").as_str()));
    let arguments = &lines[..lines.len() - 1];
    assert!(!arguments.concat().contains("secret"), "{said}");
    assert!(arguments.contains(&"--max-time"), "{said}");
    let data = arguments.iter().position(|it| *it == "--data-raw");
    let data = arguments[data.expect("data") + 1];
    let posted: Value = serde_json::from_str(data).expect("JSON");
    let text = "*orders (eu-west-1): failing*\na \"quoted\" text &amp; &lt;b&gt;\\ with\nlines, \
                \"summary\":\"no\", ü \u{1}\n_bastion-1, 2026-11-26T12:00:00Z_";
    assert_eq!(posted, json!({ "text": text }));
    let hinted = json!({"summary": "s", "detail": "d", "hint": "h", "host": "x", "time": "t"});
    let (_, said, _) = slack(&hinted.to_string(), Some(url));
    assert!(said.contains(r#"{"text":"*s*\nd\nh\n_x, t_"}"#), "{said}");

    let (success, said, error) = slack("{}", None);
    assert!(!success && said.is_empty());
    assert!(error.contains("SLACK_WEBHOOK_URL"), "{error}");
}

#[test]
fn the_units_let_a_command_run_and_reach_the_network() {
    for unit in [
        "kinesis-autoscaler.service",
        "kinesis-autoscaler-once.service",
    ] {
        let text = fs::read_to_string(Path::new(ROOT).join("systemd").join(unit)).expect("a unit");
        for refused in [
            "NoExecPaths",
            "InaccessiblePaths=/usr",
            "PrivateNetwork",
            "IPAddressDeny",
        ] {
            assert!(!text.contains(refused), "{unit}: {refused}");
        }
        // fork, execve and pipes are in @system-service; a shell needs no more.
        for needed in [
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n",
            "SystemCallFilter=@system-service\n",
            "SystemCallFilter=~@privileged @resources\n",
            "KillMode=mixed\n",
        ] {
            assert!(text.contains(needed), "{unit}: {needed}");
        }
    }
}

#[test]
fn the_binary_notifies_and_a_dry_run_does_not() {
    let folder = tempfile::tempdir().expect("a directory");
    let (script, output) = (folder.path().join("page"), folder.path().join("output"));
    let text = format!("#!/bin/sh\ncat >> {output:?}\necho >> {output:?}\n");
    fs::write(&script, text).expect("it is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is executable");
    let command = format!("notify.command=[{script:?}]");
    let run = |flags: &[&str]| {
        let ran = Command::new(BINARY)
            .args(["--sandbox", "--once", "--set", &command])
            .args(flags)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .expect("it runs");
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        let text = fs::read_to_string(&output).unwrap_or_default();
        let events = text
            .lines()
            .map(|it| serde_json::from_str(it).expect("JSON"));
        events.collect::<Vec<Value>>()
    };
    assert_eq!(run(&["--dry-run"]), Vec::<Value>::new());
    let events = run(&[]);
    let told: Vec<_> = events
        .iter()
        .map(|it| (it["kind"].as_str(), it["stream"].as_str()))
        .collect();
    for stream in ["orders", "clicks", "carts", "sensors"] {
        assert!(told.contains(&(Some("scaled"), Some(stream))), "{told:?}");
    }
    let time = events[0]["time"].as_str().expect("a time");
    assert!(time.parse::<Timestamp>().is_ok(), "{time}");
}

async fn checked(world: &World, notify: &str) -> (Vec<(&'static str, String)>, String) {
    let config = format!("{notify}{}", named(&["orders"]));
    let context = world.context(world.config(&config), false).await;
    let found = check::examine(&context, Scope::Chosen).await;
    let notify = found
        .all
        .iter()
        .filter(|it| it.rule.starts_with("topic_") || it.rule == "notify_command");
    let notify = notify.map(|it| (it.rule, it.fix.clone())).collect();
    (notify, found.render(Output::Text, None, false, None))
}

#[tokio::test(start_paused = true)]
async fn check_looks_for_the_topic_and_the_command() {
    let world = World::new();
    world.stream("orders", 4);
    let create = "create the topic, or correct `sns_topic` under [notify]";
    let (found, _) = checked(&world, TOPIC).await;
    assert_eq!(found, [("topic_missing", create.to_owned())]);
    topic(&world);
    let (found, text) = checked(&world, TOPIC).await;
    assert_eq!(found, []);
    assert!(text.contains("sns:Publish"), "{text}");
    world.sandbox.deny("sns:GetTopicAttributes");
    let (found, text) = checked(&world, TOPIC).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("sns:GetTopicAttributes"), "{found:?}");
    assert!(
        text.contains("not verified: reading the topic is not allowed"),
        "{text}"
    );
    let (_, text) = checked(&world, "").await;
    assert!(!text.contains("sns:"), "{text}");
    for (program, expected) in [
        ("/bin/sh", ""),
        ("/etc/passwd", "make it executable (chmod 755)"),
        (
            "/nonexistent",
            "create it on each host that runs the program, or correct `command`",
        ),
    ] {
        let notify = format!("[notify]\ncommand = [{program:?}]\n");
        let (found, _) = checked(&world, &notify).await;
        let fixes: Vec<_> = found.iter().map(|(_, fix)| fix.as_str()).collect();
        assert_eq!(fixes.concat(), expected, "{program}");
    }
    assert!(world.place.published("kinesis-scaling").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_policy_names_the_topic_or_leaves_it_out() {
    let world = World::new();
    for (notify, expected) in [
        (
            TOPIC,
            Some("arn:aws:sns:eu-west-1:123456789012:kinesis-scaling"),
        ),
        ("", None),
    ] {
        let config: Config = world.config(&format!("{notify}{}", named(&["orders"])));
        assert_eq!(config.notify.is_some(), expected.is_some());
        let region = config.notify.as_ref().and_then(Notify::region);
        assert_eq!(region.is_some(), expected.is_some());
        let policy = check::policy(&config, "eu-west-1");
        let policy: Value = serde_json::from_str(&policy).expect("JSON");
        let statements = policy["Statement"].as_array().expect("a list");
        let topic = statements.iter().find(|it| it["Sid"] == "Notify");
        let resource = topic.and_then(|it| it["Resource"].as_str());
        assert_eq!(resource, expected);
    }
}
