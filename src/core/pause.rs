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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{ARN, ago};

    fn pause(of: Paused, hold: Hold) -> Pause {
        Pause {
            of,
            hold,
            owner: "ann".to_owned(),
            reason: "a test".to_owned(),
            since: ago(600),
            until: ago(0),
        }
    }

    fn stream() -> Paused {
        Paused::Stream {
            name: "orders".to_owned(),
            arn: ARN.to_owned(),
        }
    }

    #[test]
    fn a_pause_holds_its_stream_or_all_until_it_ends() {
        for (of, arn, seconds_left, holds) in [
            (stream(), ARN, 1, true),
            (stream(), ARN, 0, false),
            (stream(), ARN, -1, false),
            (stream(), "another", 1, false),
            (Paused::All, "another", 1, true),
            (Paused::All, "another", 0, false),
        ] {
            let pause = pause(of, Hold::Both);
            let found = pause.holds(arn, ago(seconds_left));
            assert_eq!(found, holds, "{arn}, {seconds_left} s left: {pause}");
        }
    }

    #[test]
    fn a_pause_tells_what_is_paused_by_whom_and_how_to_end_it() {
        for (of, hold, text, command) in [
            (
                stream(),
                Hold::Both,
                "the stream is paused until 2026-11-22T12:00:00Z by ann: a test",
                "kinesis-autoscaler resume orders",
            ),
            (
                stream(),
                Hold::Up,
                "the stream is paused for scale-ups until 2026-11-22T12:00:00Z by ann: a test",
                "kinesis-autoscaler resume orders",
            ),
            (
                Paused::All,
                Hold::Down,
                "every stream is paused for scale-downs until 2026-11-22T12:00:00Z by ann: a test",
                "kinesis-autoscaler resume --all",
            ),
        ] {
            let pause = pause(of, hold);
            assert_eq!(
                (pause.to_string().as_str(), pause.resume().as_str()),
                (text, command)
            );
            let constraint = pause.constraint();
            assert_eq!(
                (constraint.hold, constraint.by.as_str()),
                (Some(hold), text)
            );
            assert_eq!((constraint.until, constraint.floor), (Some(ago(0)), None));
        }
    }
}
