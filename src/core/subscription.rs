//! A subscribed stream, as the configuration describes it.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    alarm::{AlarmNames, ContractError},
    policy::demand::Share,
    window::Window,
};

/// An AWS account and Region; the SDK's own provider chain fills in what is `None`.
///
/// The texts are shared: thousands of streams have the same account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    pub region: Option<Arc<str>>,
    pub profile: Option<Arc<str>>,
    pub role_arn: Option<Arc<str>>,
}

/// A subscription's place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(usize);

impl SubscriptionId {
    /// The subscription at `index`.
    pub fn new(index: usize) -> Self {
        Self(index)
    }

    /// Counted from 0, in the order of the configuration.
    pub fn index(self) -> usize {
        self.0
    }
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
    /// How many of the 10 UpdateShardCount calls a day are reserved for scale-ups.
    pub reserved_scale_ups: u32,
    pub policy: Policy,
    /// The time in which the adaptive policy forgets half of a peak.
    pub memory: Duration,
    /// The usage at which the remembered peak should run; the adaptive policy scales down to that.
    pub fill: Permille,
    /// The smallest reduction for which the adaptive policy scales down.
    pub saving: Permille,
    /// No scale-down while consumers are further behind than this; `None` turns the check off.
    pub max_iterator_age: Option<Duration>,
    /// Whether bytes read by consumers count as usage.
    pub reads: bool,
    /// Those of every stream and its own; thousands of streams share those of every stream.
    pub windows: Arc<[Window]>,
    /// The adaptive policy doubles a stream when more than this share of its records was rejected;
    /// zero ignores rejections.
    pub throttle_share: Share,
    pub origin: Origin,
}

/// What subscribes a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// An entry with the stream's name or alarm.
    #[default]
    Named,
    /// The entry with this pattern.
    Pattern(Arc<str>),
    /// These entries, with different patterns: the stream is not scaled.
    Conflict(Arc<str>),
}

/// How a target shard count is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// As the original Lambdas did: fixed steps up; down by the peak of the last 24 hours.
    #[default]
    Original,
    /// By demand, a fading peak and the season.
    Adaptive,
}

impl Policy {
    /// The name that the configuration has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Adaptive => "adaptive",
        }
    }
}

/// A ratio in whole thousandths, which compares exactly and is computed with in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permille(u32);

impl Permille {
    pub const fn new(thousandths: u32) -> Self {
        Self(thousandths)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Subscription {
    /// The name to show before the stream's name is known.
    pub fn label(&self) -> &str {
        self.stream.as_deref().unwrap_or(&self.alarms.scale_up)
    }

    /// Whether a pattern subscribes it.
    pub fn is_discovered(&self) -> bool {
        self.origin != Origin::Named
    }

    /// An error where several patterns subscribe it.
    pub fn conflict(&self) -> Result<(), ContractError> {
        match &self.origin {
            Origin::Named | Origin::Pattern(_) => Ok(()),
            Origin::Conflict(entries) => Err(ContractError::TwoPatterns {
                stream: self.label().to_owned(),
                entries: entries.to_string(),
            }),
        }
    }
}

impl Account {
    /// What distinguishes it from the other accounts of a configuration: its role's account ID or
    /// its profile. `None` for the account that the SDK finds by itself.
    pub fn name(&self) -> Option<&str> {
        let role = self.role_arn.as_deref();
        role.map(|role| account_id(role).unwrap_or(role))
            .or(self.profile.as_deref())
    }

    /// The name, or `default`.
    pub fn short_name(&self) -> &str {
        self.name().unwrap_or("default")
    }

    /// Whether a person means this account by `name`: its short name, role ARN or profile.
    pub fn is_called(&self, name: &str) -> bool {
        let full = [self.role_arn.as_deref(), self.profile.as_deref()];
        self.short_name() == name || full.contains(&Some(name))
    }
}

/// The account ID in `arn:aws:iam::123456789012:role/name`.
fn account_id(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|id| !id.is_empty())
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str, value: &Option<Arc<str>>| {
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

impl fmt::Display for Permille {
    /// As the configuration has it: `0.55`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::subscription;

    #[test]
    fn a_subscription_is_called_by_its_stream_or_else_by_its_alarm() {
        let mut subscription = subscription();
        assert_eq!(subscription.label(), "orders");
        subscription.stream = None;
        assert_eq!(subscription.label(), "orders-scale-up-alarm");
        assert_eq!(SubscriptionId::new(7).index(), 7);
    }

    #[test]
    fn a_stream_that_two_patterns_subscribe_is_a_conflict() {
        let entries = Arc::from("`prod-*` and `*-eu`");
        for (origin, is_discovered, conflict) in [
            (Origin::Named, false, None),
            (Origin::Pattern(Arc::from("prod-*")), true, None),
            (Origin::Conflict(entries), true, Some("`prod-*` and `*-eu`")),
        ] {
            let subscription = Subscription {
                origin,
                ..subscription()
            };
            assert_eq!(subscription.is_discovered(), is_discovered);
            let found = subscription.conflict().map_err(|error| error.to_string());
            match conflict {
                None => assert_eq!(found, Ok(())),
                Some(entries) => {
                    let error = found.expect_err("two patterns");
                    assert!(error.contains("orders"), "{error}");
                    assert!(error.contains(entries), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_policy_is_named_as_in_the_configuration() {
        assert_eq!(Policy::Original.name(), "original");
        assert_eq!(Policy::Adaptive.name(), "adaptive");
    }

    #[test]
    fn an_account_is_told_by_what_is_set() {
        let account = |region: Option<&str>, profile: Option<&str>, role: Option<&str>| Account {
            region: region.map(Into::into),
            profile: profile.map(Into::into),
            role_arn: role.map(Into::into),
        };
        for (account, text) in [
            (account(None, None, None), "the default AWS account"),
            (account(Some("eu-west-1"), None, None), "Region eu-west-1"),
            (
                account(Some("eu-west-1"), Some("p"), Some("r")),
                "Region eu-west-1, profile p, role r",
            ),
        ] {
            assert_eq!(account.to_string(), text);
        }
    }

    #[test]
    fn an_account_is_named_by_its_role_or_its_profile() {
        let account = |profile: Option<&str>, role: Option<&str>| Account {
            region: None,
            profile: profile.map(Into::into),
            role_arn: role.map(Into::into),
        };
        let role = "arn:aws:iam::123456789012:role/x";
        for (account, name, called) in [
            (account(None, None), None, &["default"][..]),
            (account(Some("p"), None), Some("p"), &["p"]),
            (
                account(Some("p"), Some(role)),
                Some("123456789012"),
                &["123456789012", role, "p"],
            ),
            (account(None, Some("x")), Some("x"), &["x"]),
            (
                account(None, Some("arn:aws:iam:::x")),
                Some("arn:aws:iam:::x"),
                &["arn:aws:iam:::x"],
            ),
        ] {
            assert_eq!(account.name(), name, "{account}");
            assert_eq!(account.short_name(), name.unwrap_or("default"), "{account}");
            assert!(called.iter().all(|it| account.is_called(it)), "{account}");
            assert!(!account.is_called("another"), "{account}");
        }
    }

    #[test]
    fn a_ratio_is_shown_as_the_configuration_has_it() {
        for (thousandths, text) in [(550, "0.55"), (1000, "1"), (5, "0.005"), (0, "0")] {
            let ratio = Permille::new(thousandths);
            assert_eq!(
                (ratio.get(), ratio.to_string().as_str()),
                (thousandths, text)
            );
        }
    }
}
