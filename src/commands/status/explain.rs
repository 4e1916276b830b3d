//! What a row means for a person: since when it is as it is, and what to do about it.

use autoscaler_core::reason::Reason;
use jiff::Timestamp;

use super::{AlarmRow, Row};

impl Row {
    /// Whether something fails, or a person has to act on the reason for which it is held.
    pub fn is_problem(&self) -> bool {
        let reason = Reason::from_code(self.reason);
        let unread = [&self.error, &self.log_error, &self.metrics_error];
        unread.into_iter().any(Option::is_some)
            || (self.action == "hold" && reason.is_some_and(Reason::needs_a_person))
            || self.alarms().any(|alarm| alarm.evaluation_state.is_some())
            || self.has_hot_shard()
    }

    fn alarms(&self) -> impl Iterator<Item = &AlarmRow> {
        [&self.scale_up_alarm, &self.scale_down_alarm].into_iter()
    }

    /// The alarm that asks for something; scaling up goes first.
    pub(super) fn firing(&self) -> Option<&AlarmRow> {
        self.alarms().find(|alarm| alarm.state == Some("ALARM"))
    }

    /// Adds since when it is as it is, and what to do about it.
    pub(super) fn explained(self) -> Self {
        Self {
            since: self.begin(),
            what_to_do: self.remedy(),
            ..self
        }
    }

    fn begin(&self) -> Option<Timestamp> {
        let scaled = self.last_scaling.as_ref().map(|last| last.at);
        match (self.status, self.firing()) {
            (Some("UPDATING"), _) => scaled,
            (_, Some(alarm)) => alarm.since,
            // Nothing tells since when something fails.
            (_, None) if self.error.is_some() => None,
            (_, None) => self.alarms().filter_map(|alarm| alarm.since).max(),
        }
    }

    fn remedy(&self) -> String {
        match (&self.error, Reason::from_code(self.reason)) {
            // The detail of a failure is its hint.
            (Some(error), _) if *error != self.detail && self.reason != "no_alarm" => {
                self.detail.clone()
            }
            (_, Some(reason)) => reason.what_to_do().to_owned(),
            (_, None) => String::new(),
        }
    }
}
