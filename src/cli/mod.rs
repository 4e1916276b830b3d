//! Flags and subcommands.

pub mod completions;
mod pause;
pub mod run;
mod scale;
mod status;
mod zone;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use autoscaler_core::datetime::parse_datetime;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use jiff::Timestamp;

use crate::{
    commands::backtest::Backtest,
    config::{self, Setting},
    output::{self, error::Exit, logging::Level},
};

pub use self::{
    pause::{Pause, PauseDirection, PausedStreams, Resume},
    scale::{Scale, Step, Target},
    status::Status,
    zone::{Zone, ZoneName},
};

/// Its lines fit 60 columns: clap breaks longer ones without regard to their indent.
const AFTER_HELP: &str = "\
Without a command it runs as a daemon, or for one tick with
--once.

Examples:
  Try it, without an account, network or file:
    kinesis-autoscaler --sandbox
  Check the configuration, then the alarms and streams:
    kinesis-autoscaler check
  Show what one tick would do, and why:
    kinesis-autoscaler --once --dry-run
  Scale by hand, with the alarms kept in sync:
    kinesis-autoscaler scale orders --by +25%
  Let nothing scale it for a time:
    kinesis-autoscaler pause orders --for 2h --reason test
  Show what was scaled:
    kinesis-autoscaler history --since 24h

Environment:
  KINESIS_AUTOSCALER_CONFIG
    The configuration file, unless --config names it
  KINESIS_AUTOSCALER_<KEY>
    One of its keys, with `__` between levels, such as
    KINESIS_AUTOSCALER_LOG__TABLE
  RUST_LOG, NO_COLOR
    A filter for the log; no colour
  AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, ...
    The variables of the AWS SDK

Exit status:
  0   Done, or nothing to do
  1   Something failed
  2   Wrong usage
  78  Wrong configuration";

/// The version, and in a release its commit and date, if the build knew them.
const LONG_VERSION: &str = match option_env!("RELEASE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

const GLOBAL: &str = "Global options";

const PRINT_ALARMS_HELP: &str = "\
Each line of the default form is input for the AWS
CLI. Putting it replaces an
existing alarm with its thresholds and actions: pick streams
that have none with --stream, or use `alarms create`, which
keeps existing alarms.
  kinesis-autoscaler alarms print |
  while read -r alarm; do
    aws cloudwatch put-metric-alarm \\
      --cli-input-json \"$alarm\"
  done";

const INIT_HELP: &str = "\
It needs cloudwatch:DescribeAlarms, and no configuration:
name account and Region by AWS_PROFILE and AWS_REGION, or by
--set aws.region=eu-west-1 --set aws.profile=production.";

const SHARDS_HELP: &str = "\
KEYS is the shard's share of the hash keys, TRAFFIC that of
what was written in the last hour. USAGE is the mean of that
hour, PEAK its busiest minute, of what a shard takes.
They come from the shard-level metrics of enhanced
monitoring, which cost extra and are off by default; without
them only the ranges are shown, with how to turn them on.
It asks CloudWatch for two or three metrics of each shard
($0.01 for a thousand).";

const PRINT_TABLE_HELP: &str = "\
The first line is for
  aws dynamodb create-table --cli-input-json
and the second, when the table is ACTIVE, for
  aws dynamodb update-time-to-live --cli-input-json";

/// Scales provisioned Kinesis data streams by the state of their CloudWatch alarms
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "kinesis-autoscaler", version, long_version = LONG_VERSION)]
#[command(after_help = AFTER_HELP)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: /etc/kinesis-autoscaler/config.toml]
    #[arg(short, long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Run one tick and exit
    #[arg(long)]
    pub once: bool,

    /// Do everything but writes; print what would be done, and why
    #[arg(short = 'n', long, global = true, help_heading = GLOBAL)]
    pub dry_run: bool,

    /// Use an embedded AWS: a few streams under simulated load
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub sandbox: bool,

    /// Form of standard output: text or json (history, backtest: csv too)
    #[arg(short, long, global = true, help_heading = GLOBAL, value_enum, default_value_t)]
    #[arg(value_name = "FORM", hide_possible_values = true)]
    pub output: Output,

    /// Set one key of the configuration, as log.retention_days=30
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "KEY=VALUE")]
    pub set: Vec<Setting>,

    /// Log errors only, unless RUST_LOG says otherwise
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,

    /// Log more, unless RUST_LOG says otherwise
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The form of standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
    /// For `history` and `backtest` only.
    Csv,
}

#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Check the configuration, then its alarms, streams and log table
    Check {
        /// Check the configuration and its windows only; ask AWS nothing
        #[arg(long, conflicts_with = "stream")]
        offline: bool,

        /// Print the IAM policy that the autoscaler needs, too
        #[arg(long, conflicts_with = "offline")]
        policy: bool,

        /// Exit with status 1 if there is a warning
        #[arg(long)]
        strict: bool,

        #[command(flatten)]
        streams: Streams,
    },
    /// Show the configuration in force, and where each value comes from
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show every subscription as it stands now, or all about one stream
    Status(Status),
    /// Show the log of scalings
    History(History),
    /// Print the alarm pair of each subscription, or create it in CloudWatch
    Alarms {
        #[command(subcommand)]
        command: AlarmsCommand,
    },
    /// Scale a stream by hand: alarms are kept in sync, and it is logged
    Scale(Scale),
    /// Show a stream's shards, how evenly they are used, and whether more would help
    Shards(Shards),
    /// Keep a stream from being scaled, for a time
    Pause(Pause),
    /// End a pause
    Resume(Resume),
    /// Replay a stream's demand: what each policy and AWS mode would have cost and rejected
    Backtest(Box<Backtest>),
    /// Print the log table's definition, or create the table
    Table {
        #[command(subcommand)]
        command: TableCommand,
    },
    /// Print a script that completes commands and flags in a shell
    Completions {
        #[arg(value_name = "SHELL")]
        shell: completions::Shell,
    },
}

/// The streams that a command is about; all of them when none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Streams {
    /// This stream only; `*` and `?` match any letters. Can be repeated
    #[arg(id = "stream", short, long = "stream", value_name = "NAME")]
    pub names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct History {
    #[command(flatten)]
    pub streams: Streams,

    /// How far to look back: a duration such as 12h, or a time such as 2026-11-20T06:00:00Z
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: Moment,

    /// Where to stop, in the same forms [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,

    /// Draw the shard counts into an SVG file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print every value with where it is set: default, file, variable or command line
    Show,
    /// Print a first configuration for the pairs of alarms that exist in the account
    #[command(after_help = INIT_HELP)]
    Init {
        /// Write it to this file, which must not exist yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum AlarmsCommand {
    /// Print the pairs: JSON, one alarm a line, or a template
    #[command(after_help = PRINT_ALARMS_HELP)]
    Print {
        #[command(flatten)]
        streams: Streams,

        /// Shard count to write into the alarms; without it AWS is asked
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        shards: Option<u32>,

        /// Form of the definition
        #[arg(long, value_enum, default_value_t)]
        format: Format,

        #[command(flatten)]
        design: Design,
    },
    /// Create the pairs that are missing
    Create {
        #[command(flatten)]
        streams: Streams,

        /// Bring existing alarms up to date: their queries are replaced; thresholds, windows,
        /// actions and texts stay, unless given here
        #[arg(long)]
        replace: bool,

        #[command(flatten)]
        design: Design,
    },
}

impl AlarmsCommand {
    /// The streams that are named.
    pub fn streams(&self) -> &[String] {
        match self {
            Self::Print { streams, .. } | Self::Create { streams, .. } => &streams.names,
        }
    }
}

/// The numbers of a pair; the others are those under `[alarms]` in the configuration, and for
/// streams with `policy = "adaptive"` those of the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Args)]
pub struct Design {
    /// Usage from which to scale up [default: 0.75]
    #[arg(long, value_name = "RATIO")]
    pub up_threshold: Option<f64>,

    /// Usage from which to scale down [default: 0.25]
    #[arg(long, value_name = "RATIO")]
    pub down_threshold: Option<f64>,

    /// Periods before scaling up [default: 1]
    #[arg(long, value_name = "N")]
    pub up_periods: Option<u32>,

    /// Periods before scaling down [default: 288]
    #[arg(long, value_name = "N")]
    pub down_periods: Option<u32>,

    /// Length of a period [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub period_seconds: Option<u32>,
}

/// The form of a definition that is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Input for the AWS CLI, one JSON object a line
    #[default]
    Json,
    /// Commands of the AWS CLI
    Cli,
    /// A CloudFormation template
    Cloudformation,
    /// Terraform resources
    Terraform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum TableCommand {
    /// Print the table's definition, as JSON or a template
    #[command(after_help = PRINT_TABLE_HELP)]
    Print {
        /// Form of the definition
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Create the table, pay per request, with its TTL
    Create,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = SHARDS_HELP)]
pub struct Shards {
    /// The stream
    #[arg(value_name = "STREAM")]
    pub stream: String,

    /// Show the closed shards, too
    #[arg(long)]
    pub closed: bool,

    /// The stream's Region, where several have a stream of this name
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The stream's account, by its ID, role ARN or profile, where several have a stream of this name
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
}

/// A time in the past, by itself or by how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Ago(Duration),
    At(Timestamp),
}

impl Moment {
    /// The time, where it is `now`; never before 1970, so that years have four digits.
    pub fn before(self, now: Timestamp) -> Timestamp {
        let at = match self {
            Self::Ago(duration) => now.checked_sub(duration).ok(),
            Self::At(at) => Some(at),
        };
        at.unwrap_or(Timestamp::UNIX_EPOCH)
            .max(Timestamp::UNIX_EPOCH)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(at) = parse_datetime(text) {
            return Ok(Self::At(at));
        }
        match humantime::parse_duration(text) {
            Ok(duration) if duration.is_zero() => Err("must be longer than 0s".to_owned()),
            Ok(duration) => Ok(Self::Ago(duration)),
            Err(error) => Err(format!(
                "{error} (expected for example 24h, 7d or 2026-11-20T06:00:00Z)"
            )),
        }
    }
}

impl Cli {
    /// Parses this process's command line; on wrong usage, `--help` and `--version` it prints and
    /// exits.
    pub fn from_env() -> Self {
        Self::try_from_args(std::env::args_os()).unwrap_or_else(|error| {
            if error.use_stderr() {
                error.exit();
            }
            // Where help cannot be written, clap's own `exit` says nothing and ends with 0.
            let written = error.print().and_then(|()| io::stdout().flush());
            let exit = output::unless_closed(written).map_or_else(
                |failure| {
                    failure.print();
                    failure.exit
                },
                |_| Exit::Done,
            );
            std::process::exit(exit as i32)
        })
    }

    /// Parses `args`, the program's name first.
    pub fn try_from_args<I, A>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString> + Clone,
    {
        let cli = Self::try_parse_from(args)?;
        let conflict = |message| Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        // clap compares flags of one level only, and these may stand before and after the command.
        if cli.sandbox && cli.config.is_some() {
            return conflict("--sandbox reads no configuration file: omit --config");
        }
        let writes_config = matches!(
            cli.command,
            Some(Command::Config {
                command: ConfigCommand::Init { .. }
            })
        );
        if writes_config && cli.config.is_some() {
            return conflict(
                "config init reads no configuration file: name the file that it writes with --out",
            );
        }
        if cli.quiet && cli.verbose {
            return conflict("--quiet and --verbose contradict each other: omit one");
        }
        if cli.once && cli.command.is_some() {
            return conflict("--once runs a tick, so no command can stand beside it");
        }
        let tabular = matches!(
            cli.command,
            Some(Command::History(_) | Command::Backtest(_))
        );
        if cli.output == Output::Csv && !tabular {
            return conflict("--output csv is for history and backtest only: use text or json");
        }
        Ok(cli)
    }

    /// What goes to the log, where without a flag it would be `usual`.
    pub fn log_level(&self, usual: Level) -> Level {
        match (self.quiet, self.verbose, usual) {
            (true, _, _) => Level::Error,
            (_, true, Level::Error | Level::Warn) => Level::Info,
            (_, true, Level::Info | Level::Debug) => Level::Debug,
            _ => usual,
        }
    }

    /// The configuration file: `--config`, else `variable` (`KINESIS_AUTOSCALER_CONFIG`, unless
    /// empty), else the default.
    pub fn config_path(&self, variable: Option<&OsStr>) -> PathBuf {
        let named = self.config.as_deref().map(|path| path.as_os_str());
        named
            .or(variable.filter(|it| !it.is_empty()))
            .unwrap_or(OsStr::new(config::DEFAULT_PATH))
            .into()
    }
}
