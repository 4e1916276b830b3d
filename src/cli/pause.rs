//! The arguments of `pause` and `resume`.

use std::time::Duration;

use clap::{Args, ValueEnum};

const PAUSE_HELP: &str = "\
The pause is an item in the log table: every host and every
`--once` run that uses the table keeps to it, and it ends by
itself. A new pause of a stream takes the place of the old.
  kinesis-autoscaler pause orders --for 2h --reason test
  kinesis-autoscaler pause --all --direction down --for 8h \\
    --reason \"sale\"
  kinesis-autoscaler resume orders";

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = PAUSE_HELP)]
pub struct Pause {
    #[command(flatten)]
    pub streams: PausedStreams,

    /// How long, as 2h or 30m; a pause always ends
    #[arg(long = "for", value_name = "TIME", value_parser = pause_length)]
    pub length: Duration,

    /// Why; `status` and `history` show it
    #[arg(long, value_name = "TEXT", value_parser = pause_reason)]
    pub reason: String,

    /// What is held: scale-ups, scale-downs, or both
    #[arg(long, value_enum, default_value_t)]
    pub direction: PauseDirection,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Resume {
    #[command(flatten)]
    pub streams: PausedStreams,
}

/// What is paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PausedStreams {
    /// The stream; `*` and `?` match any letters
    #[arg(value_name = "STREAM", required_unless_present = "all")]
    pub stream: Option<String>,

    /// Every stream whose scalings are in the same log table
    #[arg(long, conflicts_with_all = ["stream", "region"])]
    pub all: bool,

    /// The stream's Region, where several have a stream of this name
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// The directions that a pause holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PauseDirection {
    Up,
    Down,
    #[default]
    Both,
}

fn pause_length(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    match humantime::parse_duration(text) {
        Ok(length) if length < Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        Ok(length) if length > LONGEST => Err("must be at most 366 days".to_owned()),
        Ok(length) => Ok(length),
        Err(error) => Err(format!("{error} (expected for example 30m, 2h or 1day)")),
    }
}

fn pause_reason(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("say why, for example --reason \"load test\""),
        reason => Ok(reason.to_owned()),
    }
}
