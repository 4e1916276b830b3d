//! `config show`: the configuration in force, and where each value comes from.

pub mod init;

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    cli::Output,
    config::{Origin, Shown, ShownValue},
};

/// From here on a line has its origin.
const ORIGIN_AT: usize = 44;

/// The configuration as TOML with comments, or as JSON.
pub fn render(shown: &Shown, output: Output) -> String {
    match output {
        Output::Json => json(shown).to_string() + "\n",
        _ => text(shown),
    }
}

fn text(shown: &Shown) -> String {
    let mut text =
        String::from("# The configuration in force; behind each value is where it is set.\n");
    for file in &shown.files {
        text += &format!("# File: {}\n", file.display());
    }
    let mut table = "";
    for value in &shown.values {
        if value.table != table {
            table = &value.table;
            text += &match table.split_once('[') {
                Some((array, _)) => format!("\n[[{array}]]\n"),
                None => format!("\n[{table}]\n"),
            };
        }
        let line = format!("{} = {}", value.key, value.value);
        text += &format!("{line:ORIGIN_AT$}  # {}\n", origin(shown, value));
    }
    text
}

/// `default`, `KINESIS_AUTOSCALER_LOG__TABLE`, `config.toml:3`.
fn origin(shown: &Shown, value: &ShownValue) -> String {
    let folder = shown.files.first().and_then(|file| file.parent());
    match &value.origin {
        None => "default".to_owned(),
        Some(Origin::File {
            path: Some(path),
            position,
        }) => {
            let path = path
                .strip_prefix(folder.unwrap_or(Path::new("")))
                .unwrap_or(path);
            let line = position.map(|(line, _)| format!(":{line}"));
            format!("{}{}", path.display(), line.unwrap_or_default())
        }
        Some(Origin::File { path: None, .. }) => "built in".to_owned(),
        Some(origin) => origin.to_string(),
    }
}

/// The names are a promise to users' scripts.
fn json(shown: &Shown) -> Value {
    let value = |value: &ShownValue| {
        let (source, path, line) = match &value.origin {
            None => ("default", None, None),
            Some(Origin::File { path, position }) => {
                ("file", path.clone(), position.map(|(line, _)| line))
            }
            Some(Origin::Variable(_)) => ("environment", None, None),
            Some(Origin::CommandLine) => ("command_line", None, None),
        };
        let variable = match &value.origin {
            Some(Origin::Variable(name)) => Some(name),
            _ => None,
        };
        json!({
            "table": value.table,
            "key": value.key,
            "value": value.json(),
            "source": source,
            "file": path,
            "line": line,
            "variable": variable,
        })
    };
    json!({
        "files": shown.files,
        "values": shown.values.iter().map(value).collect::<Vec<_>>(),
    })
}
