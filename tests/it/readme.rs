//! The README's promises are true, and its explanations complete.

use std::process::Command;

use autoscaler_core::reason::Reason;
use kinesis_autoscaler::output::error::Exit;

const README: &str = include_str!("../../README.md");
const CI: &str = include_str!("../../.ci/run");

#[test]
fn every_reason_is_explained() {
    for reason in Reason::ALL {
        let begin = format!("| `{}` |", reason.code());
        let row = README.lines().find(|line| line.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("the README has no row {begin}"));
        let end = format!("| {} |", reason.what_to_do());
        let plain = row.replace(['`', '*'], "");
        assert!(plain.ends_with(&end), "`status` says {end}: {row}");
    }
}

#[test]
fn every_exit_code_is_explained() {
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Config] {
        let row = format!("| {} |", exit as u8);
        assert!(README.contains(&row), "the README has no row {row}");
    }
}

#[test]
fn ci_runs_the_test_command() {
    assert!(
        README.contains("$ cargo test\n"),
        "the README tells the test command"
    );
    assert!(CI.contains("\ncargo test --locked\n"), "CI runs it");
}

#[test]
fn the_backtest_prints_what_is_shown() {
    let start = README.find("$ awk 'BEGIN").expect("a demand is made");
    let example = &README[start..];
    let example = &example[..example.find("\n```").expect("it ends")];
    let (demand, rest) = example[2..]
        .split_once("\n$ kinesis-autoscaler ")
        .expect("a demand and a command");
    let (command, shown) = rest.split_once('\n').expect("a command and its output");
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-c", demand])
        .current_dir(&folder)
        .status();
    assert!(made.expect("a shell runs").success());
    let output = Command::new(env!("CARGO_BIN_EXE_kinesis-autoscaler"))
        .args(command.split(' '))
        .current_dir(&folder)
        .env_remove("KINESIS_AUTOSCALER_CONFIG")
        .output()
        .expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.starts_with(shown),
        "the README shows\n{shown}\nand this is printed:\n{printed}"
    );
    assert!(folder.path().join("orders.svg").exists());
}
