//! The flags of `backtest`, and the model of AWS that they describe.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{cli::Streams, config::Setting};

/// CloudWatch keeps sums of a minute for 15 days, and those of 5 minutes for 63.
const DAYS_OF_MINUTES: u32 = 15;
const MOST_DAYS: u32 = 63;

#[derive(Clone, Debug, PartialEq, Args)]
pub struct Backtest {
    #[command(flatten)]
    pub streams: Streams,

    /// How many days of CloudWatch's metrics to replay: by the minute up to 15, else by 5 minutes
    #[arg(
        long,
        value_name = "N",
        default_value_t = 14,
        conflicts_with = "demand"
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_DAYS)))]
    pub days: u32,

    /// Do not ask before requests to CloudWatch that cost more than a dollar
    #[arg(short, long)]
    pub yes: bool,

    /// Read the demand from a CSV file in place of CloudWatch: `time,bytes,records[,rejected]` for
    /// each period. The stream is called as the file is, unless --stream names it
    #[arg(long, value_name = "FILE")]
    pub demand: Option<PathBuf>,

    /// Open shards at the start [default: as the stream had when the history begins; with
    /// --demand, what the first day's peak fills to half]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub shards: Option<u32>,

    /// One more row: the stream as it is configured (else the defaults) with another setting;
    /// several settings are separated by commas
    #[arg(long, value_name = "KEY=VALUE")]
    pub variant: Vec<String>,

    /// Draw demand and capacity into an SVG file; of several streams, one file each
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub model: Model,
}

impl Backtest {
    /// How many replays a stream has; one more if it is in the configuration.
    pub fn candidates(&self, configured: bool) -> usize {
        2 + usize::from(configured) + self.variant.len()
    }

    /// The length of the periods that are read from CloudWatch.
    pub fn period_seconds(&self) -> i32 {
        match self.days <= DAYS_OF_MINUTES {
            true => 60,
            false => 300,
        }
    }
}

/// How AWS and the producers behave.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Model {
    /// How long a resharding takes [default: 30 s for each 10 shards, 2 to 8 min, half as much
    /// again where the target is not a multiple of 25 % of the count]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub resharding: Option<Duration>,

    /// Load of the busiest shard over the mean of all shards [default: estimated where the history
    /// has rejections below full usage, else 1]
    #[arg(long, value_name = "RATIO", value_parser = skew)]
    pub skew: Option<f64>,

    /// How long after the end of its minute a metric can be read
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    #[arg(value_parser = humantime::parse_duration)]
    pub metric_delay: Duration,

    /// How often a rejected record of the history was tried, on average
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = tries)]
    pub tries: f64,

    /// Applications that read every record; on-demand streams pay for what is read
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = amount)]
    pub consumers: f64,
}

impl Model {
    /// The load of the busiest shard over the mean.
    pub fn skew(&self) -> f64 {
        self.skew.unwrap_or(1.0)
    }

    /// How long a resharding from one count to another takes.
    pub fn resharding_time(&self, from: u32, to: u32) -> Duration {
        if let Some(time) = self.resharding {
            return time;
        }
        let shards = from.max(to);
        let seconds = (u64::from(shards) * 3).clamp(120, 480);
        // AWS recommends targets that are multiples of 25 % of the count; others take longer.
        let on_grid = (4 * u64::from(to)).is_multiple_of(u64::from(from.max(1)));
        let seconds = if on_grid { seconds } else { seconds * 3 / 2 };
        Duration::from_secs(seconds)
    }
}

/// One variant's settings: `memory=24h` or `memory=24h,fill=0.6`.
pub fn settings_of(variant: &str) -> Result<Vec<(String, String)>, String> {
    let parse = |one: &str| {
        let setting: Setting = one.trim().parse().map_err(str::to_owned)?;
        Ok((setting.key, setting.value))
    };
    variant.split(',').map(parse).collect()
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    number
        .is_finite()
        .then_some(number)
        .ok_or_else(|| "expected a finite number".to_owned())
}

fn amount(text: &str) -> Result<f64, String> {
    number(text).and_then(|it| match it {
        0.0.. => Ok(it),
        _ => Err("must not be negative".to_owned()),
    })
}

fn skew(text: &str) -> Result<f64, String> {
    number(text).and_then(|it| match it {
        1.0..=1_000.0 => Ok(it),
        _ => Err("must be from 1, where keys are even, to 1000".to_owned()),
    })
}

fn tries(text: &str) -> Result<f64, String> {
    number(text).and_then(|it| match it {
        1.0..=1_000.0 => Ok(it),
        _ => Err("must be from 1 to 1000".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        backtest: Backtest,
    }

    #[test]
    fn a_resharding_takes_longer_for_many_shards_and_off_the_grid() {
        let Command { backtest } = Command::parse_from(["backtest"]);
        for (from, to, seconds) in [
            (1, 2, 120),
            (20, 30, 120),
            (100, 125, 375),
            (100, 126, 567),
            (1_000, 1_250, 480),
            (1_000, 1_001, 720),
        ] {
            let time = backtest.model.resharding_time(from, to);
            assert_eq!(time.as_secs(), seconds, "{from} to {to}");
        }
        let Command { backtest } = Command::parse_from(["backtest", "--resharding", "30s"]);
        assert_eq!(backtest.model.resharding_time(1_000, 1_001).as_secs(), 30);
    }

    #[test]
    fn impossible_models_are_refused() {
        for wrong in [
            ["--skew", "0.5"],
            ["--skew", "NaN"],
            ["--days", "64"],
            ["--consumers", "-1"],
            ["--tries", "0"],
            ["--shards", "0"],
        ] {
            let parsed = Command::try_parse_from(["backtest"].into_iter().chain(wrong));
            assert!(parsed.is_err(), "{wrong:?} is accepted");
        }
    }
}
