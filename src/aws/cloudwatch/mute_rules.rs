//! Alarm mute rules, which mute the actions of alarms for a time.

use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmMuteRuleSummary};
use jiff::Timestamp;

use super::{CloudWatch, timestamp};
use crate::aws::{Error, Operation, text::clean};

/// A mute rule that is active now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteRule {
    pub name: String,
    /// When the rule expires, if it does.
    pub until: Option<Timestamp>,
}

impl CloudWatch {
    /// Reads the mute rules that mute `alarm` now (ListAlarmMuteRules).
    pub async fn active_mute_rules(&self, alarm: &str) -> Result<Vec<MuteRule>, Error> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let request = self
                .client
                .list_alarm_mute_rules()
                .alarm_name(alarm)
                .statuses(AlarmMuteRuleStatus::Active)
                .set_next_token(next.take());
            let reply = Box::pin(request.send())
                .await
                .map_err(|error| Error::from_sdk(Operation::ListAlarmMuteRules, error))?;
            found.extend(reply.alarm_mute_rule_summaries().iter().map(MuteRule::read));
            next = reply.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }
}

impl MuteRule {
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
