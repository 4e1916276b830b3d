//! A person's pause: nothing is scaled in one direction or both, for a time.

use jiff::Timestamp;

use crate::{
    constraints::{Constraint, Hold, Source},
    datetime::at,
};

/// A pause, which always ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub of: Paused,
    pub hold: Hold,
    pub owner: String,
    pub reason: String,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Every stream whose scalings are in the same scaling log.
    All,
    Stream {
        name: String,
        arn: String,
    },
}

impl Pause {
    /// Whether it holds the stream with this ARN at `now`.
    pub fn holds(&self, stream_arn: &str, now: Timestamp) -> bool {
        let concerns = match &self.of {
            Paused::All => true,
            Paused::Stream { arn, .. } => arn == stream_arn,
        };
        concerns && now < self.until
    }

    /// What it means for the scaling of a stream.
    pub fn constraint(&self) -> Constraint {
        Constraint {
            source: Source::Pause,
            floor: None,
            cap: None,
            hold: Some(self.hold),
            until: Some(self.until),
            by: self.to_string(),
        }
    }

    /// The command that ends it.
    pub fn resume(&self) -> String {
        let what = match &self.of {
            Paused::All => "--all",
            Paused::Stream { name, .. } => name,
        };
        format!("kinesis-autoscaler resume {what}")
    }
}

impl std::fmt::Display for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { owner, reason, .. } = self;
        let what = match self.of {
            Paused::All => "every stream is paused",
            Paused::Stream { .. } => "the stream is paused",
        };
        let directions = match self.hold {
            Hold::Up => " for scale-ups",
            Hold::Down => " for scale-downs",
            Hold::Both => "",
        };
        let until = at(self.until);
        write!(f, "{what}{directions} until {until} by {owner}: {reason}")
    }
}
