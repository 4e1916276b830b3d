//! What the declared keys say about themselves: the commented file, and the list of all keys.

use std::fmt::{self, Write};

use super::{
    keys::{Entry, Globals, WindowKeys},
    layers::{STREAMS, WINDOWS},
    settings::{Key, Settings},
};

/// A table of the configuration, with all its keys.
#[derive(Debug)]
pub struct Table {
    /// Empty for the keys before the first section.
    pub name: &'static str,
    pub about: &'static [&'static str],
    /// The section turns a feature on by being there.
    pub optional: bool,
    pub keys: Vec<Key>,
}

/// All tables in the order of the file; the last two are those of an entry under `[[windows]]` and
/// under `[[streams]]`.
pub fn tables() -> Vec<Table> {
    let mut globals = Globals::default();
    let mut entry = Entry::of(&globals);
    let streams = Table {
        name: STREAMS,
        about: &[
            "One entry for each stream, or for many by a pattern; at least one entry is required.",
        ],
        optional: false,
        keys: entry.groups().iter().flat_map(|it| it.keys()).collect(),
    };
    let windows = Table {
        name: WINDOWS,
        about: &[
            "Times in which other bounds hold for every stream, or nothing is scaled, one entry for each; an",
            "entry under [[streams]] can have its own: windows = [{ when = \"…\", for = \"…\", … }].",
        ],
        optional: true,
        keys: WindowKeys::default().keys(),
    };
    let sections = globals.sections().into_iter().map(|section| Table {
        name: section.name,
        about: section.about,
        optional: section.optional,
        keys: section.groups.iter().flat_map(|it| it.keys()).collect(),
    });
    sections.chain([windows, streams]).collect()
}

/// The path of every known key, `streams.name` for those of an entry under `[[streams]]`.
pub fn known_keys() -> Vec<String> {
    let path = |table: &'static str, key: Key| match table {
        "" => key.name.to_owned(),
        _ => format!("{table}.{}", key.name),
    };
    let tables = tables().into_iter();
    tables
        .flat_map(|table| table.keys.into_iter().map(move |key| path(table.name, key)))
        .collect()
}

/// The text of `config/config.toml`: every key with its default and its documentation.
pub fn commented_file() -> String {
    let mut text = String::from(HEAD);
    for table in tables() {
        let written = match table.name {
            STREAMS => streams(&table, &mut text),
            WINDOWS => windows(table, &mut text),
            _ => section(&table, &mut text),
        };
        // Writing to a string does not fail.
        let _ = written;
    }
    text
}

const HEAD: &str = "\
# kinesis-autoscaler: every key with its default.
#
# A line that starts with `#` and a key shows a default; removing the `#` changes nothing. Durations
# are written as \"90s\", \"15m\" or \"1h 30m\". Each key outside [[streams]] can also be set by a
# variable: KINESIS_AUTOSCALER_LOG__TABLE sets log.table.
";

/// Without this key no configuration is valid, so that the file shows it as set.
const REQUIRED: (&str, &str) = ("log", "table");

fn section(table: &Table, to: &mut String) -> fmt::Result {
    if !table.name.is_empty() {
        writeln!(to)?;
        comment(table.about, to)?;
        let mark = if table.optional { "#" } else { "" };
        match table.name {
            WINDOWS => writeln!(to, "{mark}[[{WINDOWS}]]")?,
            name => writeln!(to, "{mark}[{name}]")?,
        }
    }
    for (i, key) in table.keys.iter().enumerate() {
        // The first key follows its section's line directly.
        if !key.about.is_empty() && (i > 0 || table.name.is_empty()) {
            writeln!(to)?;
        }
        comment(key.about, to)?;
        let mark = if (table.name, key.name) == REQUIRED {
            ""
        } else {
            "#"
        };
        writeln!(to, "{mark}{} = {}", key.name, key.value)?;
    }
    Ok(())
}

/// One entry that recurs, with every key, and one that opens once.
fn windows(mut table: Table, to: &mut String) -> fmt::Result {
    let of_once = ["at", "for", "min_shards"];
    let once = table.keys.iter().filter(|key| of_once.contains(&key.name));
    let once: Vec<String> = once
        .map(|key| format!("#{} = {}\n", key.name, key.value))
        .collect();
    table.keys.retain(|key| key.name != "at");
    section(&table, to)?;
    write!(to, "\n#[[{WINDOWS}]]\n{}", once.concat())
}

/// One entry by name with all that it can override, one by alarm, and one by pattern.
fn streams(table: &Table, to: &mut String) -> fmt::Result {
    let is_name = |key: &&Key| key.name == "name";
    let is_alarm = |key: &&Key| key.name == "alarm";
    let of_pattern = |key: &&Key| ["match", "except"].contains(&key.name);
    writeln!(to)?;
    comment(table.about, to)?;
    for key in table.keys.iter().filter(is_name) {
        comment(key.about, to)?;
        writeln!(to, "#[[{}]]\n#{} = {}", table.name, key.name, key.value)?;
    }
    comment(
        &[" Its own values in place of those in [defaults], [alarms] and [aws]:"],
        to,
    )?;
    for key in table
        .keys
        .iter()
        .filter(|it| !is_name(it) && !is_alarm(it) && !of_pattern(it))
    {
        writeln!(to, "#{} = {}", key.name, key.value)?;
    }
    for key in table.keys.iter().filter(is_alarm) {
        writeln!(to, "\n#[[{}]]\n#{} = {}", table.name, key.name, key.value)?;
    }
    for key in table.keys.iter().filter(of_pattern) {
        if key.name == "match" {
            writeln!(to)?;
            comment(key.about, to)?;
            writeln!(to, "#[[{}]]", table.name)?;
        }
        writeln!(to, "#{} = {}", key.name, key.value)?;
    }
    Ok(())
}

fn comment(lines: &[&str], to: &mut String) -> fmt::Result {
    lines
        .iter()
        .try_for_each(|line| writeln!(to, "# {}", line.trim_start()))
}
