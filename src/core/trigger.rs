//! Why a stream is looked at.

use crate::scaling::Scaling;

/// What makes the tick look at a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Trigger {
    /// One of its alarms is in ALARM.
    #[default]
    Alarm,
    /// Its audit is due, whatever its alarms say.
    Audit,
    /// A window with a floor opened, or the stream has not reached its floor yet.
    Schedule,
    /// A scaling was left open, by this process or another.
    ///
    /// The scaling is `None` where two accounts subscribe the stream's name in one Region: which of
    /// them it belongs to is known once the stream's ARN is read.
    Recovery(Option<Box<Scaling>>),
}

impl Trigger {
    /// Whether the stream is inspected even if neither alarm is in ALARM.
    pub fn needs_inspection(&self) -> bool {
        *self != Self::Alarm
    }

    /// Whether the scaling log has to be read, because a scaling may be open.
    pub fn is_recovery(&self) -> bool {
        matches!(self, Self::Recovery(_))
    }

    /// The scaling that was left open, where it is known.
    pub fn open_scaling(&self) -> Option<&Scaling> {
        match self {
            Self::Recovery(scaling) => scaling.as_deref(),
            Self::Alarm | Self::Audit | Self::Schedule => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scaling::Outcome,
        scene::{ago, row},
    };

    #[test]
    fn an_audit_and_a_recovery_inspect_a_stream_at_rest() {
        let open = row(ago(1), 2, 4, Outcome::Open);
        let recovery = Trigger::Recovery(Some(Box::new(open.clone())));
        for (trigger, inspects, recovers, scaling) in [
            (Trigger::Alarm, false, false, None),
            (Trigger::Audit, true, false, None),
            (Trigger::Recovery(None), true, true, None),
            (recovery, true, true, Some(&open)),
        ] {
            assert_eq!(trigger.needs_inspection(), inspects, "{trigger:?}");
            assert_eq!(trigger.is_recovery(), recovers, "{trigger:?}");
            assert_eq!(trigger.open_scaling(), scaling, "{trigger:?}");
        }
    }
}
