//! The arguments of `status`.

use std::time::Duration;

use clap::Args;

use super::{Streams, Zone};

const HELP: &str = "\
With a stream, all that is known of it: why it is held or
what is about to be done, since when, what to do about it,
its alarms, windows, pauses and last scalings.
  kinesis-autoscaler status orders
  kinesis-autoscaler status --problems --watch 30s
CloudWatch bills the metrics behind the usage, so --watch
reads them every 5 minutes only, and lists the streams of
patterns once a minute.";

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(after_help = HELP)]
pub struct Status {
    /// Show a page about this stream; `*` and `?` match any letters
    #[arg(id = "page", value_name = "STREAM", conflicts_with = "stream")]
    pub page: Option<String>,

    #[command(flatten)]
    pub streams: Streams,

    /// Show only what fails, or is held for a reason that a person has to act on
    #[arg(long)]
    pub problems: bool,

    /// Read it again and again, as every 10s, until Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = interval)]
    pub watch: Option<Duration>,

    #[command(flatten)]
    pub zone: Zone,
}

impl Status {
    /// The streams that it is about; all of them where there is none.
    pub fn names(&self) -> Vec<String> {
        match &self.page {
            Some(stream) => vec![stream.clone()],
            None => self.streams.names.clone(),
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    match humantime::parse_duration(text) {
        Ok(time) if time < SHORTEST => Err("must be at least 1s".to_owned()),
        Ok(time) if time > LONGEST => Err("must be at most 1day".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error} (expected for example 10s or 1m)")),
    }
}
