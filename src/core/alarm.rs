//! The alarm contract of `epsagon/kinesis-autoscaler`: the names of a pair, its `shardCount`, and
//! the metric that names the stream.

mod settings;

use jiff::Timestamp;

pub use settings::{Dimension, Metric, MetricStat, Query, Settings};

/// The direction of an alarm or a scaling.
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

/// Why a name cannot belong to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the alarm name contains neither `scale-up` nor `scale-down`")]
    Neither,
    #[error("the alarm name contains both `scale-up` and `scale-down`")]
    Both,
}

impl AlarmNames {
    /// Derives the pair from either name: every `scale-up` is replaced by `scale-down`, or vice
    /// versa.
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

    /// Both names, scale-up first.
    pub fn both(&self) -> [&str; 2] {
        [&self.scale_up, &self.scale_down]
    }
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    /// The name that AWS has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// What kept CloudWatch from evaluating an alarm, so that its state cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EvaluationState {
    /// Not all metrics could be read.
    PartialData,
    /// The configuration of the alarm is wrong.
    EvaluationError,
    /// CloudWatch itself failed.
    EvaluationFailure,
}

impl EvaluationState {
    /// The name that AWS has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PartialData => "PARTIAL_DATA",
            Self::EvaluationError => "EVALUATION_ERROR",
            Self::EvaluationFailure => "EVALUATION_FAILURE",
        }
    }

    /// What it means, to go after the alarm's name.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PartialData => "CloudWatch could not read all of its metrics",
            Self::EvaluationError => {
                "CloudWatch cannot evaluate it, because its configuration is wrong"
            }
            Self::EvaluationFailure => "CloudWatch failed to evaluate it, and will try again",
        }
    }
}

/// What the autoscaler needs to know of one alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub name: String,
    pub state: State,
    /// When the state was last set.
    pub state_updated_at: Option<Timestamp>,
    /// When the definition was last written.
    pub configured_at: Option<Timestamp>,
    pub actions_enabled: bool,
    /// The expression of the query `shardCount`, if there is one.
    pub shard_count: Option<String>,
    /// The `StreamName` of each incoming metric; an incoming metric without one gives an empty
    /// name.
    pub streams: Vec<String>,
    /// The account of an incoming metric, if it is not the alarm's own.
    pub other_account: Option<String>,
    /// What narrows an incoming metric down besides StreamName, as `ShardId =
    /// shardId-000000000001`.
    pub further_dimensions: Vec<String>,
    /// Set if CloudWatch could not evaluate the alarm as it should.
    pub evaluation_state: Option<EvaluationState>,
    /// The highest data point behind the state: usage, as the alarm computes it.
    pub usage: Option<f64>,
    /// Which metrics' gaps its expressions fill with zero.
    pub fills_gaps: GapFill,
    /// Fields that a rewrite by this version would erase.
    pub unknown_fields: Vec<String>,
}

/// Whether an alarm takes missing data of a metric for zero, as in `FILL(incomingBytes,0)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapFill {
    pub bytes: bool,
    pub records: bool,
    pub outgoing: bool,
}

impl GapFill {
    /// Reads an alarm's expressions; `has` tells the ids of its queries. A metric that the alarm
    /// lacks takes the rule of one that it has.
    pub fn of(expressions: &[&str], has: impl Fn(&str) -> bool) -> Self {
        let fills = |id: &str| {
            let filled = format!("FILL({id},0)");
            let compact = |text: &&str| text.split_whitespace().collect::<String>();
            expressions.iter().any(|it| compact(it).contains(&filled))
        };
        let rule = |id: &str, other: &str| fills(if has(id) { id } else { other });
        let bytes = rule("incomingBytes", "incomingRecords");
        Self {
            bytes,
            records: rule("incomingRecords", "incomingBytes"),
            outgoing: if has("outgoing") {
                fills("outgoing")
            } else {
                bytes
            },
        }
    }
}

/// What a well-formed alarm says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmContract {
    pub shard_count: u32,
    pub stream: String,
}

/// A broken rule of the contract: the text names the alarm and the rule, [`Self::hint`] the fix.
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
    #[error("alarm {alarm} measures the stream of another account, {account}")]
    OtherAccount { alarm: String, account: String },
    #[error(
        "alarm {alarm} has the field {field}, which this version does not know: rewriting the alarm would erase it, so \
         its stream is not scaled"
    )]
    UnknownField { alarm: String, field: String },
    #[error("the stream {stream} is subscribed by several patterns: {entries}")]
    TwoPatterns { stream: String, entries: String },
}

impl ContractError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) => "create the pair with `kinesis-autoscaler alarms create`, or correct `alarm_name`".into(),
            Self::NoShardCount(_) => "add a metric math query with the id `shardCount` whose expression is the stream's shard count".into(),
            Self::BadShardCount { .. } => "set the expression of `shardCount` to the stream's open shard count, in decimal digits".into(),
            Self::NoIncomingMetric(_) => {
                "add a query with the id `incomingBytes` or `incomingRecords` on AWS/Kinesis with the stream's StreamName".into()
            }
            Self::OtherStream { .. } => "make both alarms and the subscription name the same stream".into(),
            Self::OtherAccount { .. } => {
                "remove `AccountId` from the queries, or subscribe the stream in that account with `role_arn`, and have the alarms there".into()
            }
            Self::UnknownField { field, .. } => format!(
                "upgrade kinesis-autoscaler; if the field is not a setting, add it to `ignore_fields = [\"{field}\"]` under [alarms]"
            ),
            Self::TwoPatterns { stream, .. } => format!(
                "add `except = [\"{stream}\"]` to all but one of them, or an entry with `name = \"{stream}\"`"
            ),
        }
    }
}

impl Alarm {
    /// Reads what the contract asks for; `expected` is the stream that the alarm has to measure, if
    /// known.
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
        if let Some(account) = &self.other_account {
            return Err(ContractError::OtherAccount {
                alarm: alarm(),
                account: account.clone(),
            });
        }
        Ok(AlarmContract {
            shard_count,
            stream: stream.clone(),
        })
    }

    /// The shard count that the alarm records, if it is a count.
    pub fn recorded_count(&self) -> Option<u32> {
        self.shard_count.as_deref().and_then(parse_shard_count)
    }
}

/// Parses a decimal integer of at least 1; signs, fractions and expressions are not counts.
fn parse_shard_count(expression: &str) -> Option<u32> {
    let digits = expression.trim();
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    decimal
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|n| *n > 0)
}

/// Returns ActionsEnabled of the alarm after a rewrite to `to` shards.
///
/// A stream with 1 shard cannot be scaled down, so the contract disables the actions of its
/// scale-down alarm, and enables them when the stream leaves 1. If the alarm records another count,
/// a person has disabled its actions, and they stay disabled.
pub fn actions_after_rewrite(alarm: &Alarm, direction: Direction, to: u32) -> bool {
    match direction {
        Direction::Up => alarm.actions_enabled,
        Direction::Down if to == 1 => false,
        Direction::Down => alarm.actions_enabled || alarm.recorded_count() == Some(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::scene::alarm;

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
    fn a_pair_names_the_alarm_of_each_direction() {
        let pair = AlarmNames::from_either("x-scale-down").expect("a name of the contract");
        assert_eq!(pair.of(Direction::Up), "x-scale-up");
        assert_eq!(pair.of(Direction::Down), "x-scale-down");
        assert_eq!(pair.both(), ["x-scale-up", "x-scale-down"]);
    }

    #[test]
    fn states_are_called_as_aws_does() {
        let states = [State::Ok, State::Alarm, State::InsufficientData];
        assert_eq!(
            states.map(State::name),
            ["OK", "ALARM", "INSUFFICIENT_DATA"]
        );
        for (state, name, meaning) in [
            (
                EvaluationState::PartialData,
                "PARTIAL_DATA",
                "could not read all",
            ),
            (
                EvaluationState::EvaluationError,
                "EVALUATION_ERROR",
                "configuration is wrong",
            ),
            (
                EvaluationState::EvaluationFailure,
                "EVALUATION_FAILURE",
                "will try again",
            ),
        ] {
            assert_eq!(state.name(), name);
            assert!(
                state.meaning().contains(meaning),
                "{name}: {}",
                state.meaning()
            );
        }
    }

    #[test]
    fn a_metric_that_the_alarm_lacks_takes_the_rule_of_one_that_it_has() {
        let both = ["incomingBytes", "incomingRecords"];
        let gaps = |bytes, records, outgoing| GapFill {
            bytes,
            records,
            outgoing,
        };
        for (expressions, ids, expected) in [
            (
                &["FILL(incomingBytes,0)", "FILL( incomingRecords , 0 )"][..],
                &both[..],
                gaps(true, true, true),
            ),
            (&["FILL(incomingBytes,0)/4"], &both, gaps(true, false, true)),
            (
                &["FILL(incomingRecords,0)/4"],
                &both,
                gaps(false, true, false),
            ),
            (
                &["FILL(incomingBytes,REPEAT)", "incomingRecords/4"],
                &both,
                gaps(false, false, false),
            ),
            (
                &["FILL(incomingBytes,0)"],
                &both[..1],
                gaps(true, true, true),
            ),
            (
                &["FILL(incomingRecords,0)"],
                &both[1..],
                gaps(true, true, true),
            ),
            (&["incomingRecords"], &both[1..], gaps(false, false, false)),
            (
                &["FILL(incomingBytes,0)"],
                &["incomingBytes", "outgoing"],
                gaps(true, true, false),
            ),
            (
                &["FILL(outgoing,0)"],
                &["incomingBytes", "outgoing"],
                gaps(false, false, true),
            ),
        ] {
            let found = GapFill::of(expressions, |id| ids.contains(&id));
            assert_eq!(found, expected, "{expressions:?} of {ids:?}");
        }
    }

    #[test]
    fn only_the_scale_down_alarm_of_one_shard_has_its_actions_switched() {
        use Direction::{Down, Up};
        for (direction, recorded, enabled, to, after) in [
            (Up, 2, true, 1, true),
            (Up, 1, false, 2, false),
            (Down, 2, true, 1, false),
            (Down, 2, true, 4, true),
            // Disabled by the rule, and enabled when the stream leaves 1.
            (Down, 1, false, 2, true),
            (Down, 1, false, 1, false),
            // Disabled by a person.
            (Down, 2, false, 4, false),
        ] {
            let alarm = Alarm {
                actions_enabled: enabled,
                ..alarm("x", State::Ok, recorded)
            };
            let what = format!("{direction:?}, {enabled}, from {recorded} to {to}");
            assert_eq!(
                actions_after_rewrite(&alarm, direction, to),
                after,
                "{what}"
            );
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
            name in any::<String>(), shard_count in any::<Option<String>>(), other_account in any::<Option<String>>(),
            streams in vec(any::<String>(), 0..4), unknown_fields in vec(any::<String>(), 0..2),
            expected in any::<Option<String>>(),
        ) {
            let alarm = Alarm {
                name: name.clone(), shard_count, streams, unknown_fields, other_account, usage: Some(f64::NAN),
                ..alarm("orders-scale-up-alarm", State::Alarm, 4)
            };
            if let Err(error) = alarm.terms(expected.as_deref()) {
                prop_assert!(error.to_string().contains(&name), "an error names its alarm");
            }
            let _ = AlarmNames::from_either(&name);
        }
    }
}
