//! The README's promises are true, and its explanations complete.

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
