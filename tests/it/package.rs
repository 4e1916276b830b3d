//! The Debian package: its parts exist, and agree with the program.

use std::{fs, path::Path, process::Command};

use clap::CommandFactory;
use kinesis_autoscaler::{cli::Cli, config};

#[path = "../package/generate.rs"]
mod generate;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_command_has_a_man_page_with_all_its_flags() {
    let folder = tempfile::tempdir().unwrap();
    generate::write_all(folder.path()).unwrap();
    let mut pages = 0;
    let mut command = Cli::command();
    command.build();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        // clap names the program only by itself.
        let name = command
            .get_bin_name()
            .unwrap_or(command.get_name())
            .replace(' ', "-");
        let page = folder.path().join("man").join(format!("{name}.1"));
        let page = fs::read_to_string(page).unwrap().replace('\\', "");
        for flag in command.get_arguments().filter(|it| !it.is_hide_set()) {
            if let Some(long) = flag.get_long() {
                assert!(page.contains(&format!("--{long}")), "{name}: --{long}");
            }
        }
        pages += 1;
        commands.extend(
            command
                .get_subcommands()
                .filter(|it| !it.is_hide_set())
                .cloned(),
        );
    }
    assert_eq!(
        fs::read_dir(folder.path().join("man")).unwrap().count(),
        pages
    );
}

#[test]
fn the_first_man_page_has_the_files_the_signals_and_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    generate::write_all(folder.path()).unwrap();
    let page = fs::read_to_string(folder.path().join("man/kinesis-autoscaler.1")).unwrap();
    let text = page.replace('\\', "");
    for words in [
        ".SH \"EXAMPLES\"",
        ".SH \"ENVIRONMENT\"",
        ".SH \"EXIT STATUS\"",
        ".SH FILES",
        ".SH SIGNALS",
        ".SH UNITS",
        config::DEFAULT_PATH,
        "SIGHUP",
        "KINESIS_AUTOSCALER_CONFIG",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn the_first_man_page_has_every_key_with_its_default() {
    let folder = tempfile::tempdir().unwrap();
    generate::write_all(folder.path()).unwrap();
    let page = fs::read_to_string(folder.path().join("man/kinesis-autoscaler.1")).unwrap();
    let text = page.replace('\\', "");
    let (_, text) = text.split_once(".SH CONFIGURATION\n").unwrap();
    for table in config::tables() {
        for key in table.keys {
            let line = format!("fB{} = {}fR\n", key.name, key.value);
            assert!(text.contains(&line), "{line}: {text}");
            for about in key.about {
                assert!(text.contains(about.trim()), "{about}: {text}");
            }
        }
    }
}

#[test]
fn completions_know_the_commands_and_bash_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    generate::write_all(folder.path()).unwrap();
    for file in [
        "kinesis-autoscaler.bash",
        "_kinesis-autoscaler",
        "kinesis-autoscaler.fish",
    ] {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        for command in Cli::command()
            .get_subcommands()
            .filter(|it| !it.is_hide_set())
        {
            assert!(
                text.contains(command.get_name()),
                "{file}: {}",
                command.get_name()
            );
        }
    }
    let script = "source ./kinesis-autoscaler.bash
        COMP_WORDS=(kinesis-autoscaler sta) COMP_CWORD=1
        _kinesis__autoscaler kinesis-autoscaler sta kinesis-autoscaler
        echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "status", "{output:?}");
}

/// The assets in Cargo.toml, as (source, destination, mode).
fn assets() -> Vec<(String, String, String)> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let (_, list) = manifest.split_once("\nassets = [\n").unwrap();
    let (list, _) = list.split_once("\n]\n").unwrap();
    let asset = |line: &str| {
        let mut texts = line.split('"').skip(1).step_by(2).map(str::to_owned);
        let mut next = || texts.next().unwrap();
        (next(), next(), next())
    };
    list.lines().map(asset).collect()
}

#[test]
fn what_the_package_is_made_of_is_there() {
    for (source, _, _) in assets() {
        if !source.starts_with("target/") {
            assert!(Path::new(ROOT).join(&source).is_file(), "{source}");
        }
    }
}

#[test]
fn every_unit_and_every_configuration_file_ships() {
    let packaged: Vec<String> = assets().into_iter().map(|(source, _, _)| source).collect();
    let files = |folder: &'static str| {
        let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
        entries.map(move |entry| (folder, entry.unwrap()))
    };
    for (folder, entry) in files("systemd").chain(files("config")) {
        let source = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        // cargo-deb finds the unit that is named as the package by itself.
        let found = source == "systemd/kinesis-autoscaler.service" || packaged.contains(&source);
        assert!(found || entry.path().is_dir(), "{source}");
    }
}

#[test]
fn the_configuration_goes_where_the_program_looks_for_it_and_can_be_read_by_its_user() {
    let (_, to, mode) = assets()
        .into_iter()
        .find(|(source, _, _)| source == "config/config.toml")
        .unwrap();
    assert_eq!(
        (format!("/{to}").as_str(), mode.as_str()),
        (config::DEFAULT_PATH, "644")
    );
}

/// The lines that the build script prints about the version in a folder.
fn build_script(folder: &Path, profile: &str) -> Vec<String> {
    let script = folder.join("script");
    let source = Path::new(ROOT).join("src/build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if !script.exists() {
        let mut command = Command::new(rustc);
        command
            .args(["--edition", "2024", "-o"])
            .arg(&script)
            .arg(&source);
        assert!(command.status().unwrap().success());
    }
    let mut command = Command::new(&script);
    command
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder);
    command
        .env("CARGO_PKG_VERSION", "1.2.3")
        .env("PROFILE", profile);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().filter(|line| line.contains("VERSION"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_release_knows_its_commit_and_no_build_needs_git() {
    let folder = tempfile::tempdir().unwrap();
    let none = [""; 0];
    assert_eq!(
        build_script(folder.path(), "release"),
        none,
        "there is no repository"
    );
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args);
        command.env("GIT_COMMITTER_DATE", "2026-11-22T12:00:00Z");
        command.current_dir(folder.path()).output()
    };
    let Ok(made) = git(&["init"]) else {
        eprintln!("git is missing");
        return;
    };
    assert!(made.status.success(), "{made:?}");
    assert_eq!(
        build_script(folder.path(), "release"),
        none,
        "there is no commit"
    );
    let made = git(&["commit", "--allow-empty", "--message", "a"]).unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(build_script(folder.path(), "debug"), none);
    let lines = build_script(folder.path(), "release");
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let version = line.strip_prefix("cargo::rustc-env=RELEASE_VERSION=");
    let version = version.unwrap_or_else(|| panic!("{line}"));
    assert!(
        version.starts_with("1.2.3 (") && version.ends_with(", 2026-11-22)"),
        "{version}"
    );
}
