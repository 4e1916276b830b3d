//! Why a decision is as it is: stable codes for reports, logs and metrics.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a decision is as it is; the codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl serde::Serialize for Reason {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.code())
            }
        }

        impl<'de> serde::Deserialize<'de> for Reason {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::from_code(&code)
                    .ok_or_else(|| serde::de::Error::custom(format!("unknown reason `{code}`")))
            }
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason with this code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }

            /// The stable code of reports, logs and metrics.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// An alarm asks for it.
    Alarm = "alarm",
    /// A person asks for it.
    Manual = "manual",
    /// The alarms record another count than the stream has.
    OutOfSync = "out_of_sync",
    /// An earlier scaling that was cut short is brought to its end.
    Recovered = "recovered",
    /// Neither alarm is in ALARM.
    NoAlarm = "no_alarm",
    /// An alarm breaks the contract.
    Contract = "contract",
    /// The alarm's actions are disabled, or a person paused the stream.
    Paused = "paused",
    /// A window asks for more shards.
    Scheduled = "scheduled",
    /// A window of the configuration holds this direction.
    Window = "window",
    /// A CloudWatch alarm mute rule mutes the alarm.
    Muted = "muted",
    /// The stream is not there.
    StreamMissing = "stream_missing",
    /// The stream is being created, resharded or deleted.
    Updating = "updating",
    /// The stream is in on-demand mode.
    OnDemand = "on_demand",
    /// An earlier scaling is not settled yet.
    Settling = "settling",
    /// The alarm's state is older than its definition.
    StaleAlarm = "stale_alarm",
    /// The stream has fewer shards than `min_shards`.
    BelowMin = "below_min",
    AtMinShards = "at_min_shards",
    AtMaxShards = "at_max_shards",
    Cooldown = "cooldown",
    /// The calls that AWS allows in a day are used up.
    DailyLimit = "daily_limit",
    /// Consumers are further behind than `max_iterator_age`.
    ConsumersBehind = "consumers_behind",
    /// The account's quota of shards in the Region leaves no room for a scale-up, or only for a smaller one.
    AccountLimit = "account_limit",
    /// The metrics are missing, partial, stale or not numbers.
    NoData = "no_data",
    /// Usage asks for the count that the stream has.
    AtTarget = "at_target",
    /// The log does not answer, and without it nothing is scaled down.
    LogUnavailable = "log_unavailable",
    /// Work on the stream from an earlier tick goes on.
    InProgress = "in_progress",
    /// Another host holds the lease.
    Standby = "standby",
    /// A call to AWS failed.
    AwsError = "aws_error",
}

impl Reason {
    /// What a person can do about it; the README has the same words.
    pub fn what_to_do(self) -> &'static str {
        match self {
            Self::Alarm
            | Self::Manual
            | Self::Recovered
            | Self::NoAlarm
            | Self::Scheduled
            | Self::BelowMin
            | Self::InProgress
            | Self::Standby => "nothing",
            Self::OutOfSync => "nothing, unless it recurs: who else reshards?",
            Self::Contract => "fix the alarm that is named",
            Self::Paused => "enable the actions, or run kinesis-autoscaler resume",
            Self::Window => "wait until it closes, or change it",
            Self::Muted => "delete the rule, or wait until it ends",
            Self::StreamMissing => "create it, or remove its subscription",
            Self::Updating => "wait",
            Self::OnDemand => "switch it to provisioned, or unsubscribe it",
            Self::Settling => "wait a minute",
            Self::StaleAlarm => "wait 3 minutes",
            Self::AtMinShards => "lower min_shards to allow fewer shards",
            Self::AtMaxShards => "raise max_shards: the stream may be throttling",
            Self::Cooldown => "wait, or shorten cooldown_up or cooldown_down",
            Self::DailyLimit => "scale in larger steps by hand; ask AWS for a higher limit",
            Self::ConsumersBehind => "let them catch up, or raise max_iterator_age",
            Self::AccountLimit => {
                "request the number of shards that the error names in Service Quotas"
            }
            Self::NoData => "see whether anything writes to the stream, and timedatectl",
            Self::AtTarget => "nothing; or move the scale-down threshold",
            Self::LogUnavailable => "run kinesis-autoscaler check, which tells why",
            Self::AwsError => "the error tells; it is tried again",
        }
    }

    /// Whether a person has to do something, or the stream may throttle or stay too large.
    pub fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::Contract
                | Self::StreamMissing
                | Self::OnDemand
                | Self::AtMaxShards
                | Self::DailyLimit
                | Self::ConsumersBehind
                | Self::AccountLimit
                | Self::NoData
                | Self::LogUnavailable
                | Self::AwsError
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_needs_a_person_says_what_to_do() {
        for reason in Reason::ALL {
            let what = reason.what_to_do();
            let nothing = what.starts_with("nothing");
            assert!(!(reason.needs_a_person() && nothing), "{reason:?}: {what}");
            assert!(nothing || what.len() >= 4, "{reason:?}: {what}");
        }
        let contract = Reason::Contract;
        assert!(contract.needs_a_person());
        assert_eq!(contract.what_to_do(), "fix the alarm that is named");
    }
}
