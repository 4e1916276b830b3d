//! The configuration in force, value by value, each with where it was set.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Config, Error, Origin, Overrides, Setting,
    array::Array,
    file,
    include::Files,
    layers::{self, STREAMS, Tree, WINDOWS},
    problem::Problems,
    read, streams, windows,
    written::{to_toml, value_of},
};

/// All values that are in force.
#[derive(Debug)]
pub struct Shown {
    /// The main file first; empty for a text without one.
    pub files: Vec<PathBuf>,
    /// In the order of the reference: sections, windows, streams.
    pub values: Vec<ShownValue>,
}

/// One value.
#[derive(Debug)]
pub struct ShownValue {
    /// `log`, or `streams[2]`; empty for the keys before the first section.
    pub table: String,
    pub key: String,
    /// As TOML.
    pub value: String,
    /// `None` for the built-in default.
    pub origin: Option<Origin>,
}

impl ShownValue {
    /// The value for machines; a date, which no key takes, is null.
    pub fn json(&self) -> serde_json::Value {
        let parsed = DeValue::parse(&self.value);
        let value = parsed.map(|value| serde_json::to_value(value_of(value.get_ref())));
        value.ok().and_then(Result::ok).unwrap_or_default()
    }
}

impl Config {
    /// What [`Self::load`] makes of the file and `overrides`.
    ///
    /// # Errors
    /// For a configuration that cannot be used.
    pub fn show(path: &Path, overrides: &Overrides) -> Result<Shown, Error> {
        show(&Files::read(path)?, overrides)
    }

    /// What [`Self::from_toml_and`] makes of the text and settings.
    ///
    /// # Errors
    /// For a configuration that cannot be used.
    pub fn show_toml(text: &str, settings: Vec<Setting>) -> Result<Shown, Error> {
        let overrides = Overrides {
            settings,
            ..Overrides::default()
        };
        show(&Files::of_text(text, None), &overrides)
    }
}

fn show(files: &Files, overrides: &Overrides) -> Result<Shown, Error> {
    Config::from_layers(files, overrides)?;
    // It is good, so that nothing is added.
    let mut problems = Problems::default();
    let mut merged = files.merge(&mut problems)?;
    let (streams, windows) = (merged.table.remove(STREAMS), merged.table.remove(WINDOWS));
    let tree = layers::merge(&merged.table, merged.sources, overrides, &mut problems);
    let mut values = sections(&tree, files, &mut problems);
    for (name, in_file, shape) in [
        (WINDOWS, windows, &windows::SHAPE),
        (STREAMS, streams, &streams::SHAPE),
    ] {
        let array = Array::new(&tree, name, in_file, shape);
        let entries = array.entries().ok().flatten().into_iter().flatten();
        let tables = entries.enumerate();
        let tables = tables.filter_map(|(i, entry)| Some((i, entry.get_ref().as_table()?)));
        values.extend(tables.flat_map(|(i, table)| entry(&tree, files, name, i, table)));
    }
    Ok(Shown {
        files: files.paths(),
        values,
    })
}

/// The values of the sections; those that a section has only if it is written, and keys without a
/// value, are left out.
fn sections(tree: &Tree, files: &Files, problems: &mut Problems) -> Vec<ShownValue> {
    let mut globals = read::globals(tree, problems);
    let mut values = Vec::new();
    for section in globals.sections() {
        if section.optional && !tree.merged.contains_key(section.name) {
            continue;
        }
        for key in section.groups.iter().flat_map(|group| group.keys()) {
            let path = match section.name {
                "" => key.name.to_owned(),
                section => format!("{section}.{}", key.name),
            };
            let origin = tree
                .set_by(&path)
                .map(|origin| placed(origin, tree.sources.place_of(&path), files));
            if origin.is_some() || !key.is_example {
                values.push(ShownValue {
                    table: section.name.to_owned(),
                    key: key.name.to_owned(),
                    value: key.value,
                    origin,
                });
            }
        }
    }
    values
}

/// What an entry of an array sets.
fn entry(
    tree: &Tree,
    files: &Files,
    array: &str,
    number: usize,
    table: &DeTable<'_>,
) -> Vec<ShownValue> {
    let path = format!("{array}[{number}]");
    let (origin, place) = (tree.origin(array), tree.sources.place_of(&path));
    let value = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let place = place.map(|(file, _)| (file, name.span().start));
        ShownValue {
            table: path.clone(),
            key: name.get_ref().to_string(),
            value: to_toml(value.get_ref()),
            origin: Some(placed(origin.clone(), place, files)),
        }
    };
    table.iter().map(value).collect()
}

/// The same origin, with the file and the position where a file has it at `place`.
fn placed(origin: Origin, place: Option<(usize, usize)>, files: &Files) -> Origin {
    let file = place.and_then(|(file, offset)| Some((files.get(file)?, offset)));
    match (origin, file) {
        (Origin::File { .. }, Some((in_file, offset))) => Origin::File {
            path: in_file.path.clone(),
            position: Some(file::position(&in_file.text, offset)),
        },
        (origin, _) => origin,
    }
}
