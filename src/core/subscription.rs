//! A subscribed stream, as the configuration has it.

use std::time::Duration;

use serde::Deserialize;

use crate::alarm::AlarmNames;

/// An AWS account and Region as the SDK finds it; what is `None` is left to the SDK's own chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Account {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub role_arn: Option<String>,
}

/// One subscribed stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// `None` when the configuration names an alarm only: then the alarm names the stream.
    pub stream: Option<String>,
    pub alarms: AlarmNames,
    pub account: Account,
    pub min_shards: u32,
    pub max_shards: u32,
    pub cooldown_up: Duration,
    pub cooldown_down: Duration,
    /// Of the 10 UpdateShardCount calls a day, how many are kept for scale-ups.
    pub reserved_scale_ups: u32,
}

impl Subscription {
    /// What to call it before its stream's name is known.
    pub fn label(&self) -> &str {
        self.stream.as_deref().unwrap_or(&self.alarms.scale_up)
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name} {value}"))
        };
        let parts = [
            named("Region", &self.region),
            named("profile", &self.profile),
            named("role", &self.role_arn),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            f.write_str("the default AWS account")
        } else {
            f.write_str(&parts.join(", "))
        }
    }
}
