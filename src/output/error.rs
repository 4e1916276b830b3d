//! Errors as a person reads them: `error:`, `caused by:`, `hint:`, and the exit code.

use std::{
    error::Error,
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde_json::json;

use crate::config;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// At least one stream failed, or what was asked for could not be done.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// The configuration is wrong: `EX_CONFIG` of sysexits.h.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What ends a command: an exit code, and one report or several.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub reports: Vec<Report>,
}

/// One error with its sources, and what to do about it.
#[derive(Debug)]
pub struct Report {
    pub error: Box<dyn Error + Send + Sync>,
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure with one report.
    pub fn new(exit: Exit, error: impl Into<Report>) -> Self {
        Self {
            exit,
            reports: vec![error.into()],
        }
    }

    /// The object that stands on standard output in place of data, for `--output json`.
    pub fn to_json(&self) -> String {
        let report =
            |report: &Report| json!({"message": chain(&*report.error), "hints": report.hints});
        let reports: Vec<_> = self.reports.iter().map(report).collect();
        let message = self.reports.first().map(|report| chain(&*report.error));
        json!({"error": message, "errors": reports, "exit_status": self.exit as u8}).to_string()
            + "\n"
    }

    /// Writes the reports to standard error, in colour on a terminal that wants it.
    pub fn print(&self) {
        let mut stderr = io::stderr().lock();
        let colour = wants_colour(&stderr, std::env::var_os("NO_COLOR").as_deref());
        // With standard error closed there is nowhere to report to.
        let _ = self.write(&mut stderr, colour);
    }

    /// Writes the reports, one below the other.
    pub fn write(&self, to: &mut dyn Write, colour: bool) -> io::Result<()> {
        self.reports
            .iter()
            .try_for_each(|report| report.write(to, colour))
    }
}

/// The error and its sources on one line, for logs and tables.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Whether a stream is a terminal, and `NO_COLOR` is unset or empty.
pub fn wants_colour(stream: &impl IsTerminal, no_color: Option<&std::ffi::OsStr>) -> bool {
    stream.is_terminal() && no_color.is_none_or(|it| it.is_empty())
}

impl Report {
    /// An error without a hint.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a line of advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Writes the chain; each text is indented below its label when it has several lines.
    pub fn write(&self, to: &mut dyn Write, colour: bool) -> io::Result<()> {
        const RED: &str = "\x1b[1;31m";
        const CYAN: &str = "\x1b[1;36m";
        let mut line = |style: &str, label: &str, text: &str| {
            let text = text
                .trim_end()
                .replace('\n', &format!("\n{:1$}", "", label.len() + 2));
            let (on, off) = if colour { (style, "\x1b[0m") } else { ("", "") };
            writeln!(to, "{on}{label}:{off} {text}")
        };
        line(RED, "error", &self.error.to_string())?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            line(RED, "caused by", &cause.to_string())?;
            source = cause.source();
        }
        self.hints
            .iter()
            .try_for_each(|hint| line(CYAN, "hint", hint))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text, false).map_err(|_| fmt::Error)?;
        f.write_str(String::from_utf8_lossy(&text).trim_end())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Report {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let report = |mut problem: config::Problem| {
            let hint = problem.hint.take();
            Report {
                hints: hint.into_iter().collect(),
                error: Box::new(problem),
            }
        };
        Self {
            exit: Exit::Config,
            reports: error.into_problems().into_iter().map(report).collect(),
        }
    }
}
