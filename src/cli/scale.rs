//! The arguments of `scale`.

use std::{fmt, str::FromStr};

use clap::Args;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Scale {
    /// The stream
    #[arg(value_name = "STREAM")]
    pub stream: String,

    #[command(flatten)]
    pub target: Target,

    /// The stream's Region, where several have a stream of this name
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The stream's account, by its ID, role ARN or profile, where several have a stream of this name
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,

    /// Wait until the stream is ACTIVE again
    #[arg(long)]
    pub wait: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Why, for the scaling log
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Scale beyond max_shards on purpose, up to M, which is logged; without it there is a warning
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub force_max: Option<u32>,
}

/// Where to scale to; clap sees to it that just one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// Shard count to scale to
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub to: Option<u32>,

    /// Shards or percent to add or take away: +4, -4, 25%, -25%
    #[arg(long, value_name = "+N|-N|P%", allow_hyphen_values = true)]
    pub by: Option<Step>,
}

/// A change of the shard count; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Shards(i32),
    Percent(i32),
}

impl FromStr for Step {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `parse` takes a second sign for what it is: no number.
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        if !percent && !number.starts_with(['+', '-']) {
            return Err("write +4 or -4 for shards, 25% or -25% for percent; --to takes a count");
        }
        let number: i32 = number
            .parse()
            .map_err(|_| "expected +N, -N, P% or -P%, in whole numbers")?;
        match (number, percent) {
            (0, _) => Err("this changes nothing"),
            (-50..=100, true) => Ok(Self::Percent(number)),
            (_, true) => Err("AWS allows from -50% to 100%"),
            (-10_000..=10_000, false) => Ok(Self::Shards(number)),
            (_, false) => Err("a stream has at most 10000 shards"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shards(shards) => write!(f, "{shards:+}"),
            Self::Percent(percent) => write!(f, "{percent:+}%"),
        }
    }
}
