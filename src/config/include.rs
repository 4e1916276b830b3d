//! The files of a configuration: the main one, and those that its key `include` names.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    file,
    layers::{STREAMS, WINDOWS},
    problem::{Error, Origin, Problem, Problems},
};
use autoscaler_core::glob::{is_pattern, matches};

/// The key of the main file that names the others.
pub(super) const INCLUDE: &str = "include";

/// One file, or a text without one.
#[derive(Debug)]
pub(super) struct File {
    pub path: Option<PathBuf>,
    pub text: String,
}

/// All files with their texts, the main one first.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<File>,
    /// The patterns that no file matches.
    pub unmatched: Vec<String>,
}

/// Where a key, or an entry of an array, is written: the number of its file, and the offset there.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: usize,
}

/// Where everything is written that the files have.
#[derive(Debug, Default)]
pub(super) struct Sources {
    paths: Vec<Option<PathBuf>>,
    keys: HashMap<String, Place>,
    /// The entries of each array of tables, with their number in their own file.
    entries: HashMap<&'static str, Vec<(Place, usize)>>,
}

/// The contents of all files as if they were one.
pub(super) struct Merged<'t> {
    pub table: DeTable<'t>,
    pub sources: Sources,
}

impl Files {
    /// A text without a file, or that of the only file.
    pub(super) fn of_text(text: &str, path: Option<&Path>) -> Self {
        let file = File {
            path: path.map(Path::to_owned),
            text: text.to_owned(),
        };
        Self {
            files: vec![file],
            unmatched: Vec::new(),
        }
    }

    /// Reads the main file and those that it includes; the error has all that cannot be read.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = file::read(path)?;
        let main = file::parse(&text, Some(path))?;
        let mut files = Self::of_text(&text, Some(path));
        let mut problems = Vec::new();
        // A value of another kind is reported with the other keys.
        let patterns = main.get(INCLUDE).and_then(|it| it.get_ref().as_array());
        let patterns = patterns.into_iter().flatten();
        let mut read: BTreeSet<PathBuf> = [path.to_owned()].into();
        for pattern in patterns.filter_map(|it| it.get_ref().as_str()) {
            let found = match expand(path.parent().unwrap_or(Path::new("")), pattern) {
                Ok(found) => found,
                Err(message) => {
                    problems.push(problem(path, INCLUDE, &message));
                    continue;
                }
            };
            if found.is_empty() {
                files.unmatched.push(pattern.to_owned());
            }
            for found in found {
                if !read.insert(found.clone()) {
                    continue;
                }
                match file::read(&found) {
                    Ok(text) => files.files.push(File {
                        path: Some(found),
                        text,
                    }),
                    Err(error) => problems.extend(error.into_problems().into_iter().map(|it| {
                        let hint = format!("`{INCLUDE}` in {} names it", path.display());
                        Problem {
                            hint: Some(hint),
                            ..it
                        }
                    })),
                }
            }
        }
        match problems.is_empty() {
            true => Ok(files),
            false => Err(Error::from(problems)),
        }
    }

    /// The file with this number.
    pub(super) fn get(&self, number: usize) -> Option<&File> {
        self.files.get(number)
    }

    /// The files, without a text that is none.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter_map(|file| file.path.clone())
            .collect()
    }

    /// Parses all files and puts them together. What two files set is added to `problems`.
    ///
    /// # Errors
    /// For what is not TOML, in any of the files.
    pub(super) fn merge(&self, problems: &mut Problems) -> Result<Merged<'_>, Error> {
        let parsed = self.files.iter();
        let parsed = parsed.map(|file| file::parse(&file.text, file.path.as_deref()));
        let (tables, wrong): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
        let wrong = wrong.into_iter().filter_map(Result::err);
        let wrong: Vec<Problem> = wrong.flat_map(Error::into_problems).collect();
        if !wrong.is_empty() {
            return Err(Error::from(wrong));
        }
        let mut merging = Merging {
            files: self,
            number: 0,
            sources: Sources {
                paths: self.files.iter().map(|file| file.path.clone()).collect(),
                ..Sources::default()
            },
            problems,
        };
        let mut merged = DeTable::new();
        for (number, table) in tables.into_iter().filter_map(Result::ok).enumerate() {
            merging.number = number;
            merging.add(&mut merged, table, "");
        }
        Ok(Merged {
            table: merged,
            sources: merging.sources,
        })
    }
}

/// Files that are being put together.
struct Merging<'a> {
    files: &'a Files,
    /// That of the file that is added.
    number: usize,
    sources: Sources,
    problems: &'a mut Problems,
}

impl Merging<'_> {
    fn add<'t>(&mut self, into: &mut DeTable<'t>, table: DeTable<'t>, prefix: &str) {
        for (name, value) in table {
            let key = match prefix {
                "" => name.get_ref().to_string(),
                _ => format!("{prefix}.{}", name.get_ref()),
            };
            let place = Place {
                file: self.number,
                offset: name.span().start,
            };
            if key == INCLUDE && self.number > 0 {
                self.complain(
                    place,
                    key,
                    "only the main file can include others".to_owned(),
                );
                continue;
            }
            let array = [STREAMS, WINDOWS].into_iter().find(|array| *array == key);
            let Some(old) = into.get_mut(name.get_ref().as_ref()) else {
                if let (Some(array), DeValue::Array(entries)) = (array, value.get_ref()) {
                    self.note(array, entries.iter().map(|it| it.span().start));
                }
                self.note_keys(&key, place, value.get_ref());
                into.insert(name, value);
                continue;
            };
            match (old.get_mut(), value.into_inner()) {
                (DeValue::Table(old), DeValue::Table(new)) => self.add(old, new, &key),
                (DeValue::Array(old), DeValue::Array(new)) if array.is_some() => {
                    let entries = new.iter().map(|it| it.span().start);
                    self.note(array.unwrap_or_default(), entries);
                    new.into_iter().for_each(|entry| old.push(entry));
                }
                _ => {
                    let first = self.sources.keys.get(&key).map_or(0, |it| it.file);
                    let first = self.sources.path(first);
                    let first = first.map_or_else(String::new, |it| it.display().to_string());
                    self.complain(place, key, format!("is already set in {first}"));
                }
            }
        }
    }

    fn note(&mut self, array: &'static str, offsets: impl Iterator<Item = usize>) {
        let file = self.number;
        let places = offsets.map(|offset| Place { file, offset }).zip(0..);
        self.sources
            .entries
            .entry(array)
            .or_default()
            .extend(places);
    }

    fn note_keys(&mut self, key: &str, place: Place, value: &DeValue<'_>) {
        self.sources.keys.insert(key.to_owned(), place);
        for (name, value) in value.as_table().into_iter().flatten() {
            let offset = name.span().start;
            let key = format!("{key}.{}", name.get_ref());
            self.note_keys(&key, Place { offset, ..place }, value.get_ref());
        }
    }

    fn complain(&mut self, place: Place, key: String, message: String) {
        let text = self.files.get(place.file).map_or("", |file| &file.text);
        self.problems.add_located(Problem {
            origin: Origin::File {
                path: self.sources.path(place.file).cloned(),
                position: Some(file::position(text, place.offset)),
            },
            key,
            stream: None,
            message,
            hint: Some("remove it from one of the two files".to_owned()).filter(|_| place.file > 0),
            source: None,
        });
    }
}

impl Sources {
    fn path(&self, number: usize) -> Option<&PathBuf> {
        self.paths.get(number)?.as_ref()
    }

    /// The file that has `key`; the main one where none has it.
    pub(super) fn path_of(&self, key: &str) -> Option<&PathBuf> {
        self.path(self.place(key).map_or(0, |place| place.file))
    }

    /// The number of the file that has `key`, and the offset of the key there.
    pub(super) fn place_of(&self, key: &str) -> Option<(usize, usize)> {
        self.place(key).map(|place| (place.file, place.offset))
    }

    /// The key as it is in its own file: entries of an array are numbered file by file.
    pub(super) fn own_key(&self, key: &str) -> String {
        match self.entry(key) {
            Some((array, (_, number), rest)) => format!("{array}[{number}]{rest}"),
            None => key.to_owned(),
        }
    }

    /// What to call an entry in a message about another: by its file, too, where that differs.
    pub(super) fn entry_beside(&self, array: &str, entry: usize, other: usize) -> String {
        let key = |entry| format!("{array}[{entry}]");
        let file = |entry| self.place(&key(entry)).map(|place| place.file);
        let name = self.own_key(&key(entry));
        match self.path_of(&key(entry)) {
            Some(path) if file(entry) != file(other) => format!("{name} in {}", path.display()),
            _ => name,
        }
    }

    /// What to call an entry in a message by itself: by its file, too, where there are several.
    pub(super) fn entry_alone(&self, array: &str, entry: usize) -> String {
        // No file has an entry of this number.
        let nowhere = usize::MAX;
        let other = if self.paths.len() > 1 { nowhere } else { entry };
        self.entry_beside(array, entry, other)
    }

    fn place(&self, key: &str) -> Option<Place> {
        if let Some((_, (place, _), _)) = self.entry(key) {
            return Some(place);
        }
        let mut key = key;
        loop {
            match (self.keys.get(key), key.rsplit_once('.')) {
                (Some(place), _) => return Some(*place),
                (None, Some((above, _))) => key = above,
                (None, None) => return None,
            }
        }
    }

    /// The entry of an array that `key` is in, and the rest of the key.
    fn entry<'k>(&self, key: &'k str) -> Option<(&'k str, (Place, usize), &'k str)> {
        let (array, rest) = key.split_once('[')?;
        let (number, rest) = rest.split_once(']')?;
        let entries = self.entries.get(array)?;
        Some((array, *entries.get(number.parse::<usize>().ok()?)?, rest))
    }
}

/// The files that a pattern stands for, sorted. Only the name of the file can have wildcards.
fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let whole = folder.join(pattern);
    let name = whole
        .file_name()
        .map(|it| it.to_string_lossy().into_owned());
    let (Some(name), Some(parent)) = (name, whole.parent()) else {
        return Err(format!("`{pattern}` names no file"));
    };
    if is_pattern(&parent.to_string_lossy()) && is_pattern(pattern.trim_end_matches(&name)) {
        return Err(format!(
            "`{pattern}`: only the last part of a path can have `*` or `?`"
        ));
    }
    if !is_pattern(&name) {
        return Ok(vec![whole]);
    }
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let folder = parent.display();
            return Err(format!("the folder {folder} cannot be read: {error}"));
        }
    };
    let found = entries.filter_map(Result::ok).filter(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        !file.starts_with('.') && matches(&name, &file) && entry.path().is_file()
    });
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn problem(path: &Path, key: &str, message: &str) -> Problem {
    Problem {
        origin: Origin::File {
            path: Some(path.to_owned()),
            position: None,
        },
        key: key.to_owned(),
        stream: None,
        message: message.to_owned(),
        hint: None,
        source: None,
    }
}
