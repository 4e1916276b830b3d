//! Build script: tells a release the commit that it is built from, and its date.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=PROFILE");
    let text = |name: &str| env::var(name).unwrap_or_default();
    let git = Path::new(&text("CARGO_MANIFEST_DIR")).join(".git");
    // Any other build would be compiled anew after each commit.
    if text("PROFILE") != "release" || !git.exists() {
        return;
    }
    if let Some(heads) = output(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={heads}");
    }
    // Without git the version is all that is known.
    let commit = output(&["rev-parse", "--short=12", "HEAD"]);
    let date = output(&["show", "--no-patch", "--format=%cs", "HEAD"]);
    if let (Some(commit), Some(date)) = (commit, date) {
        let version = text("CARGO_PKG_VERSION");
        // `cargo run` passes it on, and the program reads KINESIS_AUTOSCALER_* as configuration.
        println!("cargo::rustc-env=RELEASE_VERSION={version} ({commit}, {date})");
    }
}

/// What git prints on one line; `None` where it fails or is missing.
fn output(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}
