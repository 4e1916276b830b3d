//! Log lines on standard error: text for people, JSON for machines; each line of a tick carries its stream.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{config::LogFormat, output::error::wants_colour};

/// What goes to the log unless `RUST_LOG` is set. Warnings of libraries are left to our own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All that is done and held, once.
    Info,
    /// Only what a person has to know: the rest is on standard output.
    Warn,
}

/// Sends this process's log to standard error; `RUST_LOG` filters it. Only the first call has an effect.
pub fn start(format: LogFormat, level: Level) {
    let unless_said = match level {
        Level::Info => "error,kinesis_autoscaler=info",
        Level::Warn => "error,kinesis_autoscaler=warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_said));
    let no_color = std::env::var_os("NO_COLOR");
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
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
}
