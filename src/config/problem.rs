//! What can be wrong with a configuration, and where it was written.

use std::{
    collections::HashSet,
    fmt::{self, Display},
    io,
    path::PathBuf,
};

use super::{
    layers::{STREAMS, Tree},
    streams::Streams,
};

/// A configuration that cannot be used: everything that is wrong with it, by key path.
#[derive(Debug)]
pub struct Error {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    pub origin: Origin,
    /// For example `streams[2].max_shards`; empty for the file as a whole.
    pub key: String,
    /// The stream (or alarm) of the entry under `[[streams]]`.
    pub stream: Option<String>,
    pub message: String,
    pub hint: Option<String>,
    pub source: Option<io::Error>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, or TOML text without one; `position` is line and column, counted from 1.
    File {
        path: Option<PathBuf>,
        position: Option<(usize, usize)>,
    },
    /// An environment variable.
    Variable(String),
    CommandLine,
}

impl Error {
    /// All problems; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All problems; at least one.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        let named_by_origin = matches!(self.origin, Origin::Variable(_)) && !self.key.contains('[');
        if !self.key.is_empty() && !named_by_origin {
            f.write_str(&self.key)?;
            if let Some(stream) = &self.stream {
                write!(f, " ({stream})")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, position } => {
                match path {
                    Some(path) => write!(f, "{}", path.display())?,
                    None => f.write_str("configuration")?,
                }
                match position {
                    Some((line, column)) => write!(f, ":{line}:{column}"),
                    None => Ok(()),
                }
            }
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// What is wrong with a value, wherever it was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub message: String,
    pub hint: Option<String>,
}

/// A complaint without a hint.
pub(super) fn wrong(message: impl Into<String>) -> Complaint {
    Complaint {
        message: message.into(),
        hint: None,
    }
}

impl Complaint {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn and_hint(mut self, hint: &str) -> Self {
        self.hint = Some(match self.hint {
            Some(first) => format!("{first};\n{hint}"),
            None => hint.to_owned(),
        });
        self
    }
}

/// Collects complaints, at most one for each key path: later ones are consequences of the first.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<(String, Complaint)>,
    /// Problems whose origin is known.
    located: Vec<Problem>,
    settled: HashSet<String>,
}

impl Problems {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.located.is_empty()
    }

    pub(super) fn add(&mut self, key: impl Into<String>, complaint: Complaint) {
        let key = key.into();
        if self.settled.insert(key.clone()) {
            self.found.push((key, complaint));
        }
    }

    pub(super) fn add_located(&mut self, problem: Problem) {
        self.located.push(problem);
    }

    /// Silences later complaints about `key`, for example because a misspelt form of it was found.
    pub(super) fn excuse(&mut self, key: String) {
        self.settled.insert(key);
    }

    pub(super) fn is_settled(&self, key: &str) -> bool {
        self.settled.contains(key)
    }

    /// Whether anything was complained about in this section, or silenced.
    pub(super) fn is_settled_in(&self, section: &str) -> bool {
        let mut settled = self.settled.iter();
        settled.any(|key| segments(key).next() == Some(section))
    }

    /// Finds out where each value was written, and sorts by key path.
    pub(super) fn into_error(self, tree: &Tree, streams: &Streams<'_>) -> Error {
        let mut problems = self.located;
        problems.extend(self.found.into_iter().map(|(key, complaint)| {
            Problem {
                origin: tree.origin(&key),
                stream: entry(&key)
                    .and_then(|i| streams.label(i))
                    .map(str::to_owned),
                key: tree.own_key(&key),
                message: complaint.message,
                hint: complaint.hint,
                source: None,
            }
        }));
        problems.sort_by_cached_key(|problem| {
            segments(&problem.key)
                .map(|segment| (segment.parse::<usize>().ok(), segment.to_owned()))
                .collect::<Vec<_>>()
        });
        Error::from(problems)
    }
}

/// The index of the entry under `[[streams]]` that `key` is part of.
fn entry(key: &str) -> Option<usize> {
    let mut steps = segments(key);
    match (steps.next(), steps.next()) {
        (Some(STREAMS), Some(index)) => index.parse().ok(),
        _ => None,
    }
}

/// The steps of a key path: `streams[2].name` is `streams`, `2`, `name`.
pub(super) fn segments(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '[', ']']).filter(|step| !step.is_empty())
}
