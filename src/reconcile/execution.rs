//! What came of carrying out an action, as opposed to what was decided.

use autoscaler_core::{decision::Decision, reason::Reason};

use crate::reconcile::lease_guard::LeaseLost;

/// How the execution of one action ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Execution {
    /// Carried out: both alarms are rewritten, and the row in the scaling log is complete.
    Done,
    /// A smaller scaling than the one decided was started, because no more fits into the account's
    /// quota.
    Reduced {
        instead: Decision,
        /// The error that interrupted it, as in [`Self::Started`] and [`Self::InDoubt`].
        error: Option<String>,
    },
    /// Started, and interrupted by this error; the next inspection of the stream finishes it.
    Started { error: String },
    /// What the decision was based on changed while it waited for a quota; nothing was sent.
    Stale,
    /// Nothing was sent, for this reason.
    NotSent { reason: Reason, detail: String },
    /// AWS refused it, or a read before it failed: a [`Decision::Fail`].
    Refused(Decision),
    /// The answer was lost; the next inspection of the stream finds out whether it took effect.
    InDoubt { error: String },
    /// Another host took over the lease; it finds the rest open in the scaling log.
    LeaseLost,
}

impl Execution {
    /// The same result, for an action that replaced the one decided.
    #[must_use]
    pub fn reduced_to(self, instead: Decision) -> Self {
        match self {
            Self::Done => Self::Reduced {
                instead,
                error: None,
            },
            Self::Started { error } | Self::InDoubt { error } => Self::Reduced {
                instead,
                error: Some(error),
            },
            nothing_done => nothing_done,
        }
    }

    /// What is reported instead of the decision, if something else or nothing was done.
    pub fn replacement(&self) -> Option<Decision> {
        match self {
            Self::Done | Self::Started { .. } | Self::InDoubt { .. } => None,
            Self::Stale => Some(Decision::hold(
                Reason::InProgress,
                "the stream changed while this waited for a quota; \
                 it is decided again at the next tick",
            )),
            Self::NotSent { reason, detail } => Some(Decision::hold(*reason, detail)),
            Self::Refused(decision)
            | Self::Reduced {
                instead: decision, ..
            } => Some(decision.clone()),
            Self::LeaseLost => Some(Decision::hold(Reason::Standby, LeaseLost.to_string())),
        }
    }

    /// The error of an action that was started, or may have been.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Started { error } | Self::InDoubt { error } => Some(error),
            Self::Reduced { error, .. } => error.as_deref(),
            _ => None,
        }
    }
}
