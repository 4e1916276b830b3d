//! Standard output: data for pipes, a width and colour for terminals.

pub mod chart;
pub mod csv;
pub mod error;
pub mod logging;
pub mod names;
pub mod progress;
pub mod svg;
pub mod table;
pub mod times;

use std::io::{self, IsTerminal, Write};

use crate::output::error::{Exit, Failure, Report, wants_colour};

#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
struct Unwritten(#[source] io::Error);

/// Whether standard output takes colour.
pub fn stdout_colour() -> bool {
    wants_colour(&io::stdout(), std::env::var_os("NO_COLOR").as_deref())
}

/// The width of the terminal that standard output is; a pipe or a file has none.
pub fn terminal_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    io::stdout()
        .is_terminal()
        .then(|| columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0)))?
}

/// The number of lines of the terminal that standard output is.
pub fn terminal_height() -> Option<u16> {
    let lines = std::env::var("LINES")
        .ok()
        .and_then(|lines| lines.parse().ok());
    io::stdout()
        .is_terminal()
        .then(|| lines.or_else(|| terminal_size::terminal_size().map(|(_, height)| height.0)))?
}

/// Writes to standard output; a closed pipe is not a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    print_unless_closed(text).map(drop)
}

/// Writes to standard output, and returns whether anybody still reads it.
pub fn print_unless_closed(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    unless_closed(written.and_then(|()| stdout.flush()))
}

/// What writing to standard output has come to: whether anybody still reads it.
pub fn unless_closed(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free space on the disk that it goes to")
                }
                _ => None,
            };
            let report = Report::new(Unwritten(error));
            let report = hint.into_iter().fold(report, Report::hint);
            Err(Failure::new(Exit::Failed, report))
        }
    }
}
