//! Writes the man pages and shell completions of the package into a folder, from the definitions of
//! the command line and of the configuration.

use std::{ffi::OsString, fs, io, path::Path, process::ExitCode};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use kinesis_autoscaler::{
    cli::Cli,
    config::{Table, tables},
};

const NAME: &str = "kinesis-autoscaler";

const FILES: &[(&str, &str)] = &[
    (
        "/etc/kinesis-autoscaler/config.toml",
        "The configuration. The services run as dynamic users, so that it has to be readable by all.",
    ),
    (
        "/etc/default/kinesis-autoscaler",
        "Environment of the services: Region, credentials, RUST_LOG.",
    ),
    (
        "/var/lib/kinesis-autoscaler",
        "Rows of the scaling log that wait while DynamoDB does not answer.",
    ),
    (
        "/usr/share/doc/kinesis-autoscaler",
        "A guide, a small example configuration, and the IAM policy.",
    ),
];

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGHUP",
        "The daemon reads its configuration again. If that is wrong, the log says why, and the old one stays in effect.",
    ),
    (
        "SIGTERM, SIGINT",
        "The daemon stops within 10 seconds, with exit status 0. The next start completes any interrupted work.",
    ),
];

const UNITS: &[(&str, &str)] = &[
    (
        "kinesis-autoscaler.service",
        "The daemon: systemctl enable --now kinesis-autoscaler. Reload it after you change its configuration.",
    ),
    (
        "kinesis-autoscaler-once.timer",
        "One tick a minute, in place of the daemon: systemctl enable --now kinesis-autoscaler-once.timer.",
    ),
    (
        "cron",
        "Without systemd, in /etc/cron.d: * * * * * root kinesis-autoscaler --once >/dev/null",
    ),
];

#[allow(dead_code, reason = "the tests include this file for write_all alone")]
fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: generate FOLDER");
        return ExitCode::from(2);
    };
    match write_all(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}

/// Writes `man/*.1` and one file of completions for each shell.
pub fn write_all(folder: &Path) -> io::Result<()> {
    let pages = folder.join("man");
    // The page of a command that has been removed must not be packaged.
    if pages.exists() {
        fs::remove_dir_all(&pages)?;
    }
    fs::create_dir_all(&pages)?;
    let mut command = Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, NAME, folder)?;
    }
    command.build();
    page(&command, &pages)
}

/// Writes the page of a command, then those of its subcommands.
fn page(command: &Command, folder: &Path) -> io::Result<()> {
    let top = command.get_name() == NAME;
    // The page of `kinesis-autoscaler alarms create` is kinesis-autoscaler-alarms-create.
    let title = command.get_bin_name().unwrap_or(NAME).replace(' ', "-");
    let man = Man::new(command.clone().after_help(None::<&str>))
        .title(title.to_uppercase())
        .section("1")
        .source(concat!("kinesis-autoscaler ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut text = Vec::new();
    man.render(&mut text)?;
    if top {
        let more = command.get_after_help().map(ToString::to_string);
        preformatted(&more.unwrap_or_default(), &mut text)?;
        configuration(&mut text)?;
        for (heading, entries) in [("FILES", FILES), ("SIGNALS", SIGNALS), ("UNITS", UNITS)] {
            section(heading, entries, &mut text)?;
        }
    }
    let mut file = OsString::from(title);
    file.push(".1");
    fs::write(folder.join(file), text)?;
    let shown = |it: &&Command| !it.is_hide_set();
    command
        .get_subcommands()
        .filter(shown)
        .try_for_each(|subcommand| page(subcommand, folder))
}

/// Writes the paragraphs below the help as sections, with their line breaks: `Examples:`,
/// `Environment:`, `Exit status: …`.
fn preformatted(text: &str, to: &mut dyn io::Write) -> io::Result<()> {
    for paragraph in text.split("\n\n") {
        let (heading, body) = match paragraph.split_once(':') {
            Some((heading, body)) if !heading.contains('.') => (heading, body),
            _ => ("Modes", paragraph),
        };
        let heading = heading.trim().to_uppercase();
        writeln!(to, ".SH \"{heading}\"\n.nf")?;
        let body = body.strip_prefix('\n').unwrap_or(body.trim_start());
        for line in body.lines() {
            writeln!(
                to,
                "{}",
                plain(line.strip_prefix("  ").unwrap_or(line).trim_end())
            )?;
        }
        writeln!(to, ".fi")?;
    }
    Ok(())
}

fn section(heading: &str, entries: &[(&str, &str)], to: &mut dyn io::Write) -> io::Result<()> {
    writeln!(to, ".SH {heading}")?;
    entries
        .iter()
        .try_for_each(|(term, text)| writeln!(to, ".TP\n\\fB{}\\fR\n{}", plain(term), plain(text)))
}

/// Lists every key of the configuration with its default and its documentation.
fn configuration(to: &mut dyn io::Write) -> io::Result<()> {
    writeln!(to, ".SH CONFIGURATION")?;
    for table in tables() {
        if !table.name.is_empty() {
            writeln!(
                to,
                ".SS {}\n{}",
                plain(&header(&table)),
                joined(table.about)
            )?;
        }
        for (i, key) in table.keys.iter().enumerate() {
            // Keys without documentation of their own are explained with the one before them.
            let tag = match i == 0 || !key.about.is_empty() {
                true => ".TP",
                false => ".TQ",
            };
            let line = plain(&format!("{} = {}", key.name, key.value));
            writeln!(to, "{tag}\n\\fB{line}\\fR")?;
            let ends = table
                .keys
                .get(i + 1)
                .is_none_or(|next| !next.about.is_empty());
            let first = table.keys[..=i]
                .iter()
                .rev()
                .find(|it| !it.about.is_empty());
            if let (true, Some(first)) = (ends, first) {
                writeln!(to, "{}", joined(first.about))?;
            }
        }
    }
    Ok(())
}

fn header(table: &Table) -> String {
    match table.name {
        array @ ("streams" | "windows") => format!("[[{array}]]"),
        name => format!("[{name}]"),
    }
}

fn joined(about: &[&str]) -> String {
    let lines: Vec<&str> = about.iter().map(|line| line.trim()).collect();
    plain(&lines.join(" "))
}

/// Text that roff takes for text, also at the start of a line.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
