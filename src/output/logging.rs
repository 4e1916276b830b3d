//! Log lines on standard error: text for people, JSON for machines; each line of a tick carries its
//! stream.

use std::{ffi::OsString, fmt::Result, io};

use tracing_subscriber::{
    EnvFilter, fmt,
    fmt::{format::Writer, time::FormatTime},
    prelude::*,
};

use crate::{config::LogFormat, output::error::wants_colour, reconcile::clock::Clock};

/// What goes to the log unless `RUST_LOG` is set. Warnings of libraries are left to our own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What is done, and how it is decided.
    Debug,
    /// All that is done and held, once.
    Info,
    /// Only what a person has to know: the rest is on standard output.
    Warn,
    Error,
}

/// Lines are dated by the clock that the program goes by, which is simulated in the sandbox.
struct Timer(Clock);

impl FormatTime for Timer {
    fn format_time(&self, writer: &mut Writer<'_>) -> Result {
        write!(writer, "{:.6}", self.0.now())
    }
}

/// Sends this process's log to standard error; `RUST_LOG` filters it. Only the first call has an
/// effect.
pub fn start(format: LogFormat, level: Level, clock: &Clock) {
    let unless_said = match level {
        Level::Debug => "error,kinesis_autoscaler=debug",
        Level::Info => "error,kinesis_autoscaler=info",
        Level::Warn => "error,kinesis_autoscaler=warn",
        Level::Error => "error",
    };
    let (filter, invalid) = filter(std::env::var_os("RUST_LOG"), unless_said);
    let no_color = std::env::var_os("NO_COLOR");
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = lines.with_timer(Timer(clock.clone()));
    let started = match format {
        LogFormat::Json => tracing_subscriber::registry()
            .with(filter)
            .with(lines.json().flatten_event(true).with_span_list(false))
            .try_init(),
        LogFormat::Text => {
            let colour = wants_colour(&io::stderr(), no_color.as_deref());
            tracing_subscriber::registry()
                .with(filter)
                .with(lines.with_ansi(colour))
                .try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("the log is already set up");
    }
    if let Some(error) = invalid {
        tracing::warn!(%error, "RUST_LOG is invalid and ignored");
    }
}

/// The filter that `RUST_LOG` asks for, or that of `default` with what is wrong with the variable.
fn filter(variable: Option<OsString>, default: &str) -> (EnvFilter, Option<String>) {
    let given = match variable.map(OsString::into_string) {
        None => return (EnvFilter::new(default), None),
        Some(Ok(text)) if text.trim().is_empty() => return (EnvFilter::new(default), None),
        Some(Ok(text)) => EnvFilter::try_new(&text)
            .map_err(|error| format!("{text}: {error}; expected for example `debug`")),
        Some(Err(text)) => Err(format!("{text:?} is not UTF-8")),
    };
    match given {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_rust_log_is_reported_and_the_default_used() {
        for (variable, shown, invalid) in [
            (None, "error", false),
            (Some(""), "error", false),
            (Some("debug"), "debug", false),
            (Some("foo=debug"), "foo=debug", false),
            (Some("foo==bar"), "error", true),
            (Some("foo=bar=baz"), "error", true),
        ] {
            let (filter, error) = filter(variable.map(OsString::from), "error");
            assert_eq!(filter.to_string(), shown, "{variable:?}");
            assert_eq!(error.is_some(), invalid, "{variable:?}: {error:?}");
        }
    }
}
