//! Alarm mute rules, which mute the actions of alarms for a time.

use std::{convert::Infallible, time::Duration};

use autoscaler_core::{
    constraints::{Constraint, Hold, Source},
    datetime::at,
};
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmMuteRuleSummary};
use jiff::Timestamp;

use super::{CloudWatch, timestamp};
use crate::aws::{Error, Operation, shared_read::SHARED_FOR, text::clean};

/// For how long it is believed that some rule is active.
const ANY_FOR: Duration = Duration::from_mins(5);

/// A mute rule that is active now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteRule {
    pub name: String,
    /// When the rule expires, if it does.
    pub until: Option<Timestamp>,
}

impl CloudWatch {
    /// Reads the mute rules that mute `alarm` now (ListAlarmMuteRules).
    ///
    /// Whether any rule of the account is active is asked first, once a second: few accounts have
    /// one, so that in a storm one call does for all streams.
    pub async fn active_mute_rules(
        &self,
        alarm: &str,
        now: Timestamp,
    ) -> Result<Vec<MuteRule>, Error> {
        match self.has_active_mute_rules(now).await? {
            true => self.mute_rules(Some(alarm)).await,
            false => Ok(Vec::new()),
        }
    }

    /// Whether any mute rule of the account mutes something now.
    ///
    /// Where one does, that is believed for longer: the rules of each alarm are read all the same.
    pub async fn has_active_mute_rules(&self, now: Timestamp) -> Result<bool, Error> {
        let holds = |read: &Result<bool, Error>| match read {
            Ok(true) => ANY_FOR,
            Ok(false) | Err(_) => SHARED_FOR,
        };
        // A failure is shared, too, so that the streams of a storm do not fail one after the other.
        let read = async {
            let rules = self.mute_rules(None).await;
            Ok::<_, Infallible>(rules.map(|rules| !rules.is_empty()))
        };
        match self.has_mute_rules.get_for(now, holds, read).await {
            Ok(read) => read,
            Err(never) => match never {},
        }
    }

    /// The active rules of an alarm; without one, at least one active rule if there is any.
    async fn mute_rules(&self, alarm: Option<&str>) -> Result<Vec<MuteRule>, Error> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let request = self
                .client
                .list_alarm_mute_rules()
                .set_alarm_name(alarm.map(str::to_owned))
                .statuses(AlarmMuteRuleStatus::Active)
                .set_next_token(next.take());
            let reply = Box::pin(request.send())
                .await
                .map_err(|error| Error::from_sdk(Operation::ListAlarmMuteRules, error))?;
            found.extend(reply.alarm_mute_rule_summaries().iter().map(MuteRule::read));
            next = reply.next_token.filter(|token| !token.is_empty());
            let is_enough = alarm.is_none() && !found.is_empty();
            if next.is_none() || is_enough {
                return Ok(found);
            }
        }
    }
}

impl MuteRule {
    /// What the rule means for the scaling that `alarm` asks for.
    pub fn constraint(&self, alarm: &str, hold: Hold) -> Constraint {
        let Self { name, until } = self;
        let expiry = match until {
            Some(until) => format!("which expires at {}", at(*until)),
            None => "which has no expiry date".to_owned(),
        };
        Constraint {
            source: Source::MuteRule,
            floor: None,
            cap: None,
            hold: Some(hold),
            until: *until,
            by: format!("{alarm} is muted by the CloudWatch alarm mute rule {name}, {expiry}"),
        }
    }

    /// A summary names the rule in its ARN alone: `arn:aws:cloudwatch:…:alarm-mute-rule:NAME`.
    fn read(summary: &AlarmMuteRuleSummary) -> Self {
        let arn = summary.alarm_mute_rule_arn().unwrap_or_default();
        let name = arn.splitn(7, ':').last().unwrap_or_default();
        Self {
            name: clean(name),
            until: summary.expire_date().and_then(timestamp),
        }
    }
}
