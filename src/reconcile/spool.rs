//! Rows that DynamoDB has not accepted yet, in a file in the state directory.
//!
//! One line per row and state: a checksum, a space, the row as JSON. A later line of the same row
//! replaces the earlier one. A last line that a crash cut short is dropped; other damaged lines are
//! kept in `spool.damaged`. Every write is on disk before it counts.
//!
//! A command may run beside the daemon that owns this spool. It has a file of its own, which it
//! locks while it runs, and which the daemon takes over and removes afterwards.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::reconcile::state_file;
use autoscaler_core::scaling::{Outcome, Scaling};

/// The names of commands' files have the process id between these two.
const APART: &str = "spool-";
const LINES: &str = "jsonl";

/// The most rows that one spool holds. A DynamoDB outage of this length needs a person.
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
    #[error("this process keeps no spool")]
    None,
}

/// The rows that wait, by their key.
#[derive(Debug)]
pub struct Spool {
    /// `None` if nothing may be written.
    path: Option<PathBuf>,
    rows: BTreeMap<(String, Timestamp), Scaling>,
    /// A command's own file, locked once it has a row.
    own: Option<Own>,
}

#[derive(Debug)]
enum Own {
    Unopened,
    Locked(#[expect(dead_code, reason = "it is held for its lock")] File),
}

impl Spool {
    /// Reads the spool of a state directory. A missing spool counts as empty; nothing is created.
    pub fn open(state_dir: &Path) -> Result<Self, SpoolError> {
        let path = spool_file(state_dir);
        let text = match state_file::read(&path) {
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
            own: None,
        };
        if torn {
            tracing::warn!("the last line of the spool was cut short; its write never counted");
        }
        let keep_aside = || {
            tracing::error!(lines = damaged.len(), kept_in = %aside.display(), "the spool has damaged lines");
            append(&aside, &damaged.join("\n"))
        };
        let kept = if damaged.is_empty() {
            Ok(())
        } else {
            keep_aside()
        };
        if let Err(error) = kept.and_then(|()| {
            if torn || !damaged.is_empty() {
                spool.write_all()
            } else {
                Ok(())
            }
        }) {
            // Scaling goes on with a full disk. The damaged lines are skipped again next
            // time.
            tracing::error!(error = %error, "could not repair the spool");
        }
        Ok(spool)
    }

    /// Reads as much as possible of a spool that another process may be writing. This one accepts
    /// no rows and repairs nothing.
    pub fn peek(state_dir: &Path) -> Self {
        let path = spool_file(state_dir);
        let bytes = state_file::read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(%error, path = %path.display(), "the spool cannot be read");
            }
            Vec::new()
        });
        let rows = parse(&String::from_utf8_lossy(&bytes)).rows;
        Self {
            path: None,
            rows,
            own: None,
        }
    }

    /// The same for a command, which writes its own rows to a separate file.
    pub fn apart(state_dir: &Path) -> Self {
        let file = format!("{APART}{}.{LINES}", std::process::id());
        Self {
            path: Some(state_dir.join(file)),
            own: Some(Own::Unopened),
            ..Self::peek(state_dir)
        }
    }

    /// A spool that accepts no rows.
    pub fn none() -> Self {
        Self {
            path: None,
            rows: BTreeMap::new(),
            own: None,
        }
    }

    fn path(&self) -> Result<&Path, SpoolError> {
        self.path.as_deref().ok_or(SpoolError::None)
    }

    /// The rows that wait, oldest first for each stream.
    pub fn rows(&self) -> impl Iterator<Item = &Scaling> {
        self.rows.values()
    }

    /// Whether any state of this row is in the spool.
    pub fn has(&self, row: &Scaling) -> bool {
        self.rows.contains_key(&key(row))
    }

    /// Adds a row, or its newer state, and puts it on disk.
    pub fn put(&mut self, row: Scaling) -> Result<(), SpoolError> {
        if self.rows.len() >= MOST_ROWS && !self.has(&row) {
            return Err(SpoolError::Full(self.path()?.to_owned()));
        }
        if let Some(own @ Own::Unopened) = &mut self.own {
            let path = self.path.as_deref().ok_or(SpoolError::None)?;
            *own = Own::Locked(locked(path)?);
        }
        append(self.path()?, &line(&row))?;
        self.rows.insert(key(&row), row);
        Ok(())
    }

    /// Takes over the rows of commands that no longer run.
    pub fn take_in(&mut self) -> Result<(), SpoolError> {
        let Some(folder) = self.path.as_deref().and_then(Path::parent) else {
            return Ok(());
        };
        // Without the directory there is nothing to take over.
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let left = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(APART) && name.ends_with(LINES)
        });
        let mut failed = Ok(());
        for path in left.collect::<Vec<_>>() {
            // A file that cannot be read must not hold up the others.
            if let Err(error) = self.take_in_file(&path) {
                failed = Err(error);
            }
        }
        failed
    }

    fn take_in_file(&mut self, path: &Path) -> Result<(), SpoolError> {
        let io = |doing| {
            move |source| SpoolError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let file = state_file::options()
            .read(true)
            .open(path)
            .map_err(io("read"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(io("locked")(error)),
        }
        let text = state_file::read(path).map_err(io("read"))?;
        for row in parse(&String::from_utf8_lossy(&text)).rows.into_values() {
            let known = self.rows.get(&key(&row)).map(|known| known.outcome);
            // A scaling that is known to have ended does not become open again.
            if known.is_none_or(|known| known == Outcome::Open) {
                self.put(row)?;
            }
        }
        fs::remove_file(path).map_err(io("removed"))
    }

    /// Removes delivered rows, except those that have a newer state by now.
    pub fn remove(&mut self, delivered: &[Scaling]) -> Result<(), SpoolError> {
        let before = self.rows.len();
        for row in delivered {
            if self.rows.get(&key(row)) == Some(row) {
                self.rows.remove(&key(row));
            }
        }
        if self.rows.len() == before {
            Ok(())
        } else {
            self.write_all()
        }
    }

    /// Replaces the file with one that has just the rows in the spool.
    fn write_all(&self) -> Result<(), SpoolError> {
        let path = self.path()?;
        let text: String = self.rows.values().map(|row| line(row) + "\n").collect();
        state_file::replace(path, text.as_bytes()).map_err(|source| SpoolError::Io {
            doing: "written",
            path: path.to_owned(),
            source,
        })
    }
}

fn ino(file: &File) -> Option<u64> {
    file.metadata().ok().map(|metadata| metadata.ino())
}

/// Creates a command's file, locked for as long as the result lives.
fn locked(path: &Path) -> Result<File, SpoolError> {
    let lock = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        loop {
            let file = state_file::options().create(true).append(true).open(path)?;
            file.lock()?;
            // The daemon may run as another user, and has to read it.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            // The daemon may have taken over and removed the file before it was locked.
            if fs::metadata(path).is_ok_and(|now| Some(now.ino()) == ino(&file)) {
                return Ok(file);
            }
        }
    };
    lock().map_err(|source| SpoolError::Io {
        doing: "written",
        path: path.to_owned(),
        source,
    })
}

fn append(path: &Path, line: &str) -> Result<(), SpoolError> {
    let append = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = state_file::options().create(true).append(true).open(path)?;
        // The leading line break ends a line that a full disk may have cut short.
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
    // The ARN distinguishes streams of the same name in two Regions.
    (format!("{} {}", row.stream_name, row.stream_arn), row.at)
}

fn line(row: &Scaling) -> String {
    // A row is strings and numbers under string keys, which JSON always takes.
    let json = serde_json::to_string(row).unwrap_or_default();
    format!("{:08x} {json}", crc32fast::hash(json.as_bytes()))
}

/// Where the spool of a state directory is.
pub fn spool_file(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("spool.jsonl")
}

#[derive(Debug, Default)]
struct Parsed {
    rows: BTreeMap<(String, Timestamp), Scaling>,
    damaged: Vec<String>,
    /// The last line was cut short, so its write never counted.
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
            // A line with a line break was written completely, so it is damaged if it cannot be
            // read.
            None if lines.peek().is_none() && !text.ends_with('\n') => parsed.torn = true,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(stream: &str, second: i64, outcome: Outcome) -> Scaling {
        Scaling {
            stream_name: stream.to_owned(),
            at: Timestamp::from_second(second).expect("a time"),
            from: 2,
            to: 4,
            expires_at: Timestamp::MAX,
            outcome,
            stream_arn: format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{stream}"),
            reason: Some("alarm".to_owned()),
            alarm: None,
            usage: Some(0.9),
            note: None,
            host: None,
            version: None,
            intent_id: Some("host/1/2/3".to_owned()),
        }
    }

    fn waiting(folder: &Path) -> Vec<(String, Outcome)> {
        let spool = Spool::open(folder).expect("it can be read");
        spool
            .rows()
            .map(|row| (row.stream_name.clone(), row.outcome))
            .collect()
    }

    #[test]
    fn a_later_state_of_a_row_replaces_the_earlier_one_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(folder.path()).expect("there is none yet");
        for (stream, outcome) in [
            ("a", Outcome::Open),
            ("b", Outcome::Open),
            ("a", Outcome::Done),
        ] {
            spool.put(row(stream, 1, outcome)).expect("it is written");
        }
        drop(spool);
        assert_eq!(
            waiting(folder.path()),
            [
                ("a".to_owned(), Outcome::Done),
                ("b".to_owned(), Outcome::Open)
            ]
        );
        let mut spool = Spool::open(folder.path()).expect("it can be read");
        spool
            .remove(&[row("a", 1, Outcome::Open)])
            .expect("it is written");
        assert_eq!(
            spool.rows().count(),
            2,
            "an older state was delivered: the newer one still waits"
        );
        spool
            .remove(&[row("a", 1, Outcome::Done)])
            .expect("it is written");
        assert_eq!(waiting(folder.path()), [("b".to_owned(), Outcome::Open)]);
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_other_damage_kept_aside() {
        let folder = tempfile::tempdir().expect("a directory");
        let good = line(&row("good", 1, Outcome::Done));
        for (text, left, damaged) in [
            (format!("{good}\n{}", &good[..good.len() - 5]), 1, false),
            (
                format!("{}\n{good}\n", good.replace("\"to\":4", "\"to\":9")),
                1,
                true,
            ),
            (format!("nonsense\n{good}\n"), 1, true),
            (format!("{good}\nnonsense\n"), 1, true),
            (good[..20].to_owned(), 0, false),
        ] {
            fs::write(spool_file(folder.path()), &text).expect("it is written");
            let aside = spool_file(folder.path()).with_extension("damaged");
            let _ = fs::remove_file(&aside);
            assert_eq!(waiting(folder.path()).len(), left, "{text}");
            assert_eq!(aside.exists(), damaged, "{text}");
            assert_eq!(
                waiting(folder.path()).len(),
                left,
                "a second look finds it repaired: {text}"
            );
        }
    }

    #[test]
    fn what_a_command_leaves_is_taken_in_when_it_has_ended() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut daemon = Spool::open(folder.path()).expect("there is none yet");
        let mut command = Spool::apart(folder.path());
        command
            .put(row("a", 1, Outcome::Open))
            .expect("it is written");
        daemon.take_in().expect("it can be read");
        assert_eq!(daemon.rows().count(), 0, "the command still runs");
        command
            .put(row("a", 1, Outcome::Done))
            .expect("it is written");
        drop(command);
        for _ in 0..2 {
            daemon.take_in().expect("it can be read");
            let rows: Vec<Outcome> = daemon.rows().map(|row| row.outcome).collect();
            assert_eq!(rows, [Outcome::Done], "once, in its last state");
        }
        assert_eq!(
            waiting(folder.path()),
            [("a".to_owned(), Outcome::Done)],
            "on disk"
        );
        let files = fs::read_dir(folder.path()).expect("a directory");
        assert_eq!(files.count(), 1, "the command's file is gone");
        // A file that cannot be read does not hold up the others.
        fs::create_dir(folder.path().join("spool-0.jsonl")).expect("a folder");
        let mut late = Spool::apart(folder.path());
        late.put(row("a", 1, Outcome::Open)).expect("it is written");
        drop(late);
        assert!(daemon.take_in().is_err(), "one is no file");
        let left = fs::read_dir(folder.path()).expect("a directory").count();
        assert_eq!(left, 2, "the spool, and what is no file");
        let open = daemon.rows().filter(|row| row.outcome == Outcome::Open);
        assert_eq!(open.count(), 0, "what has ended does not begin again");
    }

    #[test]
    fn a_full_spool_says_so() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(folder.path()).expect("there is none yet");
        let rows =
            (0..MOST_ROWS).map(|i| row("s", i64::try_from(i).expect("small"), Outcome::Done));
        spool.rows = rows.map(|row| (key(&row), row)).collect();
        let more = spool.put(row("t", 1, Outcome::Done));
        assert!(matches!(more, Err(SpoolError::Full(_))), "{more:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let folder = tempfile::tempdir().expect("a directory");
            fs::write(spool_file(folder.path()), bytes).expect("it is written");
            prop_assert!(Spool::open(folder.path()).is_ok());
        }

        #[test]
        fn one_damaged_byte_costs_one_row_at_most(at in 0usize..2000, byte in any::<u8>()) {
            let folder = tempfile::tempdir().expect("a directory");
            let mut text: Vec<u8> = (0..4).flat_map(|i| (line(&row("s", i, Outcome::Done)) + "\n").into_bytes()).collect();
            let place = at % text.len();
            text[place] = byte;
            fs::write(spool_file(folder.path()), &text).expect("it is written");
            // An extra line break damages one or two lines; a lost one damages two.
            prop_assert!(Spool::open(folder.path()).expect("it can be read").rows().count() >= 2);
        }
    }
}
