//! The alarm contract of `epsagon/kinesis-autoscaler`: the names of a pair, its `shardCount`, the stream it speaks of.

mod settings;

use jiff::Timestamp;

pub use settings::{Dimension, Metric, MetricStat, Query, Settings};

/// Which way an alarm, or a scaling, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Up,
    Down,
}

/// The names of a stream's two alarms.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmNames {
    pub scale_up: String,
    pub scale_down: String,
}

/// Why a name can be no half of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the alarm name has neither `scale-up` nor `scale-down` in it")]
    Neither,
    #[error("the alarm name has both `scale-up` and `scale-down` in it")]
    Both,
}

impl AlarmNames {
    /// Derives the pair from either name: every `scale-up` against every `scale-down`.
    pub fn from_either(name: &str) -> Result<Self, NameError> {
        match (name.contains("scale-up"), name.contains("scale-down")) {
            (true, true) => Err(NameError::Both),
            (false, false) => Err(NameError::Neither),
            (true, false) => Ok(Self {
                scale_up: name.to_owned(),
                scale_down: name.replace("scale-up", "scale-down"),
            }),
            (false, true) => Ok(Self {
                scale_up: name.replace("scale-down", "scale-up"),
                scale_down: name.to_owned(),
            }),
        }
    }

    /// The alarm of one direction.
    pub fn of(&self, direction: Direction) -> &str {
        match direction {
            Direction::Up => &self.scale_up,
            Direction::Down => &self.scale_down,
        }
    }

    /// Both, scale-up first.
    pub fn both(&self) -> [&str; 2] {
        [&self.scale_up, &self.scale_down]
    }
}

/// An alarm's state as CloudWatch holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    /// The state as AWS writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// What the autoscaler needs to know of one alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub name: String,
    pub state: State,
    /// When the state was set last.
    pub state_updated_at: Option<Timestamp>,
    /// When the definition was written last.
    pub configured_at: Option<Timestamp>,
    pub actions_enabled: bool,
    /// The expression of the query `shardCount`, if there is one.
    pub shard_count: Option<String>,
    /// The `StreamName` of each incoming metric; an incoming metric without one gives an empty name.
    pub streams: Vec<String>,
    /// The newest data point that set the state: usage, as the alarm computes it.
    pub usage: Option<f64>,
    /// Fields that a rewrite by this build would lose.
    pub unknown_fields: Vec<String>,
}

/// What a well-formed alarm says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmContract {
    pub shard_count: u32,
    pub stream: String,
}

/// A broken rule of the contract; the text names the alarm and the rule, [`Self::hint`] the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    #[error("alarm {0} does not exist")]
    Missing(String),
    #[error("alarm {0} has no metric math query with the id `shardCount`")]
    NoShardCount(String),
    #[error(
        "alarm {alarm}: the expression of `shardCount` is `{expression}`, not a positive whole number"
    )]
    BadShardCount { alarm: String, expression: String },
    #[error(
        "alarm {0} has no `incomingBytes` or `incomingRecords` metric with a StreamName dimension"
    )]
    NoIncomingMetric(String),
    #[error("alarm {alarm} measures the stream {named}, not {expected}")]
    OtherStream {
        alarm: String,
        named: String,
        expected: String,
    },
    #[error(
        "alarm {alarm} has the field {field}, which this version does not know and would erase by rewriting the alarm"
    )]
    UnknownField { alarm: String, field: String },
}

impl ContractError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) => "create the pair with `kinesis-autoscaler alarms create`, or mend `alarm_name`".into(),
            Self::NoShardCount(_) => "add a metric math query with the id `shardCount` whose expression is the stream's shard count".into(),
            Self::BadShardCount { .. } => "set the expression of `shardCount` to the stream's open shard count, in decimal digits".into(),
            Self::NoIncomingMetric(_) => {
                "add a query with the id `incomingBytes` or `incomingRecords` on AWS/Kinesis with the stream's StreamName".into()
            }
            Self::OtherStream { .. } => "let both alarms and the subscription name the same stream".into(),
            Self::UnknownField { .. } => "upgrade kinesis-autoscaler, or remove the field from the alarm".into(),
        }
    }
}

impl Alarm {
    /// Reads the contract's terms; `expected` is the stream that the alarm has to speak of, where that is known.
    pub fn terms(&self, expected: Option<&str>) -> Result<AlarmContract, ContractError> {
        let alarm = || self.name.clone();
        if let Some(field) = self.unknown_fields.first() {
            return Err(ContractError::UnknownField {
                alarm: alarm(),
                field: field.clone(),
            });
        }
        let Some(expression) = &self.shard_count else {
            return Err(ContractError::NoShardCount(alarm()));
        };
        let Some(shard_count) = parse_shard_count(expression) else {
            return Err(ContractError::BadShardCount {
                alarm: alarm(),
                expression: expression.clone(),
            });
        };
        let Some(stream) = self.streams.first().filter(|name| !name.is_empty()) else {
            return Err(ContractError::NoIncomingMetric(alarm()));
        };
        let expected = expected.unwrap_or(stream);
        if let Some(named) = self.streams.iter().find(|name| *name != expected) {
            let (named, expected) = (named.clone(), expected.to_owned());
            return Err(ContractError::OtherStream {
                alarm: alarm(),
                named,
                expected,
            });
        }
        Ok(AlarmContract {
            shard_count,
            stream: stream.clone(),
        })
    }

    /// The shard count that the alarm records, if it is one.
    pub fn recorded_count(&self) -> Option<u32> {
        self.shard_count.as_deref().and_then(parse_shard_count)
    }
}

/// A decimal integer of at least 1; signs, fractions and expressions are none.
fn parse_shard_count(expression: &str) -> Option<u32> {
    let digits = expression.trim();
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    decimal
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|n| *n > 0)
}

/// Whether the scale-down alarm's actions are to be on after a rewrite to `to`.
///
/// At 1 shard there is nothing to scale down to, so the contract turns them off; on leaving 1 it turns them on again. An alarm whose
/// recorded count is not 1 was turned off by a person, and stays so.
pub fn actions_after_rewrite(alarm: &Alarm, direction: Direction, to: u32) -> bool {
    match direction {
        Direction::Up => alarm.actions_enabled,
        Direction::Down if to == 1 => false,
        Direction::Down => alarm.actions_enabled || alarm.recorded_count() == Some(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn either_name_gives_the_pair() {
        for (name, pair) in [
            (
                "orders-scale-up-alarm",
                Ok(("orders-scale-up-alarm", "orders-scale-down-alarm")),
            ),
            (
                "orders-scale-down-alarm",
                Ok(("orders-scale-up-alarm", "orders-scale-down-alarm")),
            ),
            (
                "scale-up/x/scale-up",
                Ok(("scale-up/x/scale-up", "scale-down/x/scale-down")),
            ),
            ("orders-alarm", Err(NameError::Neither)),
            ("orders-Scale-Up", Err(NameError::Neither)),
            ("scale-up-scale-down", Err(NameError::Both)),
        ] {
            let pair = pair.map(|(up, down)| AlarmNames {
                scale_up: up.to_owned(),
                scale_down: down.to_owned(),
            });
            assert_eq!(AlarmNames::from_either(name), pair, "{name}");
        }
    }

    #[test]
    fn a_shard_count_is_decimal_digits() {
        for (expression, count) in [
            ("1", Some(1)),
            (" 12 ", Some(12)),
            ("010", Some(10)),
            ("10000", Some(10_000)),
            ("0", None),
            ("+4", None),
            ("-4", None),
            ("4.0", None),
            ("4e0", None),
            ("0x4", None),
            ("2*2", None),
            ("", None),
            ("99999999999", None),
            ("٣", None),
        ] {
            assert_eq!(parse_shard_count(expression), count, "{expression:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_alarms_never_panic(
            name in any::<String>(), shard_count in any::<Option<String>>(),
            streams in any::<Vec<String>>(), unknown_fields in any::<Vec<String>>(), expected in any::<Option<String>>(),
        ) {
            let alarm = Alarm {
                name: name.clone(), state: State::Alarm, state_updated_at: None, configured_at: None, actions_enabled: true,
                shard_count, streams, usage: Some(f64::NAN), unknown_fields,
            };
            if let Err(error) = alarm.terms(expected.as_deref()) {
                prop_assert!(error.to_string().contains(&name), "an error names its alarm");
            }
            let _ = AlarmNames::from_either(&name);
        }
    }
}
