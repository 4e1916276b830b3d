//! Rows that DynamoDB has not taken yet, in a file of the state directory.
//!
//! One line per row and state: a checksum, a space, the row as JSON. A later line of the same row replaces the earlier one. A last line that a
//! crash cut short is dropped; any other damaged line is kept aside in `spool.damaged`. Every write is on disk before it counts.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{row::Scaling, spool_file};

/// Rows that one spool holds; DynamoDB being away for so long wants a person.
const MOST_ROWS: usize = 10_000;

/// The spool file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool {path} cannot be {doing}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the spool {0} is full: {MOST_ROWS} rows wait for DynamoDB")]
    Full(PathBuf),
    #[error("this command keeps no spool; the daemon does")]
    None,
}

/// The rows that wait, by their key.
#[derive(Debug)]
pub struct Spool {
    /// `None` for commands that run beside a daemon, whose file they must not touch.
    path: Option<PathBuf>,
    rows: BTreeMap<(String, Timestamp), Scaling>,
}

impl Spool {
    /// Reads the spool of a state directory; where there is none, it is empty and nothing is created.
    pub fn open(state_dir: &Path) -> Result<Self, SpoolError> {
        let path = spool_file(state_dir);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                String::new()
            }
            Err(source) => {
                return Err(SpoolError::Io {
                    doing: "read",
                    path,
                    source,
                });
            }
        };
        let Parsed {
            rows,
            damaged,
            torn,
        } = parse(&text);
        let aside = path.with_extension("damaged");
        let spool = Self {
            path: Some(path),
            rows,
        };
        if !damaged.is_empty() {
            tracing::error!(lines = damaged.len(), kept_in = %aside.display(), "the spool has damaged lines");
            append(&aside, &damaged.join("\n"))?;
        }
        if torn || !damaged.is_empty() {
            spool.write_all()?;
        }
        Ok(spool)
    }

    /// What can be read of a spool that another process may be writing; it takes nothing, and is never mended.
    pub fn peek(state_dir: &Path) -> Self {
        let path = spool_file(state_dir);
        let bytes = fs::read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(%error, path = %path.display(), "the spool cannot be read");
            }
            Vec::new()
        });
        let rows = parse(&String::from_utf8_lossy(&bytes)).rows;
        Self { path: None, rows }
    }

    /// A spool that takes nothing.
    pub fn none() -> Self {
        Self {
            path: None,
            rows: BTreeMap::new(),
        }
    }

    fn path(&self) -> Result<&Path, SpoolError> {
        self.path.as_deref().ok_or(SpoolError::None)
    }

    /// The rows that wait, oldest first for each stream.
    pub fn rows(&self) -> impl Iterator<Item = &Scaling> {
        self.rows.values()
    }

    /// Whether a state of this row waits.
    pub fn has(&self, row: &Scaling) -> bool {
        self.rows.contains_key(&key(row))
    }

    /// Adds a row, or its newer state, and puts it on disk.
    pub fn put(&mut self, row: Scaling) -> Result<(), SpoolError> {
        if self.rows.len() >= MOST_ROWS && !self.has(&row) {
            return Err(SpoolError::Full(self.path()?.to_owned()));
        }
        append(self.path()?, &line(&row))?;
        self.rows.insert(key(&row), row);
        Ok(())
    }

    /// Takes a delivered row out, unless a newer state of it has come meanwhile.
    pub fn remove(&mut self, delivered: &Scaling) -> Result<(), SpoolError> {
        if self.rows.get(&key(delivered)) == Some(delivered) {
            self.rows.remove(&key(delivered));
            self.write_all()?;
        }
        Ok(())
    }

    /// Replaces the file by one with just the rows that wait.
    fn write_all(&self) -> Result<(), SpoolError> {
        let path = self.path()?;
        let replace = || {
            let new = path.with_extension("new");
            let text: String = self.rows.values().map(|row| line(row) + "\n").collect();
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            path.parent()
                .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        replace().map_err(|source| SpoolError::Io {
            doing: "written",
            path: path.to_owned(),
            source,
        })
    }
}

fn append(path: &Path, line: &str) -> Result<(), SpoolError> {
    let append = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        // The leading line end closes a line that a full disk may have cut short.
        file.write_all(format!("\n{line}\n").as_bytes())?;
        file.sync_all()
    };
    append().map_err(|source| SpoolError::Io {
        doing: "written",
        path: path.to_owned(),
        source,
    })
}

fn key(row: &Scaling) -> (String, Timestamp) {
    // The ARN tells apart streams of the same name in two Regions.
    (format!("{} {}", row.stream_name, row.stream_arn), row.at)
}

fn line(row: &Scaling) -> String {
    // A row is strings and numbers under string keys, which JSON always takes.
    let json = serde_json::to_string(row).unwrap_or_default();
    format!("{:08x} {json}", crc32fast::hash(json.as_bytes()))
}

#[derive(Debug, Default)]
struct Parsed {
    rows: BTreeMap<(String, Timestamp), Scaling>,
    damaged: Vec<String>,
    /// The last line was cut short; the write of it never counted.
    torn: bool,
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut lines = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    while let Some(line) = lines.next() {
        match parse_line(line) {
            Some(row) => {
                parsed.rows.insert(key(&row), row);
            }
            None if lines.peek().is_none() => parsed.torn = true,
            None => parsed.damaged.push(line.to_owned()),
        }
    }
    parsed
}

fn parse_line(line: &str) -> Option<Scaling> {
    let (checksum, json) = line.split_once(' ')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    (checksum == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}
