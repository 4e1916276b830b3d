//! What is decided about a stream.

use jiff::Timestamp;

use crate::{
    alarm::Direction,
    policy::Sizing,
    reason::Reason,
    scaling::{Scaling, Settlement},
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ScaleUp {
        to: u32,
    },
    ScaleDown {
        to: u32,
    },
    /// Rewrite both alarms to the stream's open shard count, and reset them.
    SyncAlarms {
        to: u32,
    },
}

impl Action {
    /// The stable code of reports and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ScaleUp { .. } => "scale_up",
            Self::ScaleDown { .. } => "scale_down",
            Self::SyncAlarms { .. } => "sync_alarms",
        }
    }

    /// The shard count that the action leads to.
    pub fn target(self) -> u32 {
        match self {
            Self::ScaleUp { to } | Self::ScaleDown { to } | Self::SyncAlarms { to } => to,
        }
    }

    /// The direction of a scaling; a sync has none.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::ScaleUp { .. } => Some(Direction::Up),
            Self::ScaleDown { .. } => Some(Direction::Down),
            Self::SyncAlarms { .. } => None,
        }
    }
}

/// What to do about a stream, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Act {
        action: Action,
        reason: Reason,
        /// The reason in words.
        detail: String,
    },
    /// Nothing is done.
    Hold {
        reason: Reason,
        /// The reason in words, and what a person can do about it.
        detail: String,
        /// Until then, and while its alarms stay as they are, the stream need not be read again.
        recheck_at: Option<Timestamp>,
    },
    /// Nothing can be done until a person fixes something.
    Fail {
        reason: Reason,
        error: String,
        hint: String,
        recheck_at: Option<Timestamp>,
    },
}

impl Decision {
    /// Does `action`.
    pub fn act(action: Action, reason: Reason, detail: impl Into<String>) -> Self {
        Self::Act {
            action,
            reason,
            detail: detail.into(),
        }
    }

    /// Does nothing, for `reason`.
    pub fn hold(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Hold {
            reason,
            detail: detail.into(),
            recheck_at: None,
        }
    }

    /// Does nothing until a person acts on `hint`.
    pub fn fail(reason: Reason, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Fail {
            reason,
            error: error.into(),
            hint: hint.into(),
            recheck_at: None,
        }
    }

    /// The same hold or failure, which stands until `at`.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        match &mut self {
            Self::Act { .. } => {}
            Self::Hold { recheck_at, .. } | Self::Fail { recheck_at, .. } => {
                *recheck_at = Some(at);
            }
        }
        self
    }

    /// What is to be done, if anything is.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Act { action, .. } => Some(*action),
            Self::Hold { .. } | Self::Fail { .. } => None,
        }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Act { reason, .. } | Self::Hold { reason, .. } | Self::Fail { reason, .. } => {
                *reason
            }
        }
    }

    /// When a hold or a failure is judged again, where that is known.
    pub fn recheck_at(&self) -> Option<Timestamp> {
        match self {
            Self::Act { .. } => None,
            Self::Hold { recheck_at, .. } | Self::Fail { recheck_at, .. } => *recheck_at,
        }
    }

    /// The error of a failure.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Fail { error, .. } => Some(error),
            Self::Act { .. } | Self::Hold { .. } => None,
        }
    }

    /// The reason in words; of a failure, what to do about it.
    pub fn detail(&self) -> &str {
        match self {
            Self::Act { detail, .. } | Self::Hold { detail, .. } => detail,
            Self::Fail { hint, .. } => hint,
        }
    }
}

/// A decision, with what came to light on the way to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    pub decision: Decision,
    /// Open shards, where they were read and are not transient.
    pub shards: Option<u32>,
    /// The count that the policy asks for, before `max_shards`, cooldowns and AWS's limits.
    pub wanted: Option<u32>,
    /// What the traffic came to, where the policy tells.
    pub sizing: Option<Sizing>,
    /// Earlier scalings whose end is known now; it is written to the scaling log with the decision.
    pub settlements: Vec<Settlement>,
    /// The open scaling that the action repeats under the same intent, after its first call was
    /// lost.
    pub resumes: Option<Scaling>,
    /// What the row in the scaling log is to say beside it, such as who asked.
    pub note: Option<String>,
}

impl From<Decision> for Conclusion {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            shards: None,
            wanted: None,
            sizing: None,
            settlements: Vec::new(),
            resumes: None,
            note: None,
        }
    }
}

/// A conclusion, or the one fact that is needed to go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Need(Fact),
    Concluded(Box<Conclusion>),
}

/// What can be read about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// Both alarms, by name.
    Pair,
    /// Status, mode and open shards.
    Stream,
    /// Its recent scalings.
    Scalings,
    /// The traffic that its policy decides on.
    Traffic,
    /// How far its consumers are behind.
    Consumers,
    /// What people have switched off for this direction.
    Switches(Direction),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_a_code_a_target_and_a_direction() {
        for (action, code, direction) in [
            (Action::ScaleUp { to: 4 }, "scale_up", Some(Direction::Up)),
            (
                Action::ScaleDown { to: 4 },
                "scale_down",
                Some(Direction::Down),
            ),
            (Action::SyncAlarms { to: 4 }, "sync_alarms", None),
        ] {
            assert_eq!(
                (action.code(), action.target(), action.direction()),
                (code, 4, direction)
            );
        }
    }

    #[test]
    fn a_decision_tells_what_it_knows() {
        let at = Timestamp::UNIX_EPOCH;
        let action = Action::ScaleUp { to: 4 };
        for (decision, acts, recheck, error, detail) in [
            (
                Decision::act(action, Reason::Alarm, "usage"),
                Some(action),
                None,
                None,
                "usage",
            ),
            (
                Decision::hold(Reason::Alarm, "usage"),
                None,
                Some(at),
                None,
                "usage",
            ),
            (
                Decision::fail(Reason::Alarm, "broken", "repair it"),
                None,
                Some(at),
                Some("broken"),
                "repair it",
            ),
        ] {
            assert_eq!(decision.recheck_at(), None, "{decision:?}");
            let decision = decision.until(at);
            assert_eq!(decision.reason(), Reason::Alarm, "{decision:?}");
            assert_eq!(
                (decision.action(), decision.recheck_at()),
                (acts, recheck),
                "{decision:?}"
            );
            assert_eq!(
                (decision.error(), decision.detail()),
                (error, detail),
                "{decision:?}"
            );
        }
    }
}
