//! Finds fields of an alarm that this version does not know.
//!
//! PutMetricAlarm replaces the whole alarm, and the SDK silently drops fields newer than itself. So
//! the raw CBOR reply of DescribeAlarms is compared with the fields that a rewrite copies. An alarm
//! with any other field is refused, unless `ignore_fields` says that the field is not a setting.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_cbor::{Decoder, data::Type, decode::DeserializeError};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

use super::text::clean;

/// What a field holds: a value that the SDK knows in full, or a structure (or a list of them) with
/// known fields of its own.
enum Field {
    Value,
    Structure(&'static [(&'static str, Field)]),
}
use Field::{Structure, Value};

const DIMENSION: &[(&str, Field)] = &[("Name", Value), ("Value", Value)];
const METRIC: &[(&str, Field)] = &[
    ("Namespace", Value),
    ("MetricName", Value),
    ("Dimensions", Structure(DIMENSION)),
];
const METRIC_STAT: &[(&str, Field)] = &[
    ("Metric", Structure(METRIC)),
    ("Period", Value),
    ("Stat", Value),
    ("Unit", Value),
];
const QUERY: &[(&str, Field)] = &[
    ("Id", Value),
    ("MetricStat", Structure(METRIC_STAT)),
    ("Expression", Value),
    ("Label", Value),
    ("ReturnData", Value),
    ("Period", Value),
    ("AccountId", Value),
];
const WINDOW: &[(&str, Field)] = &[
    ("WallClockWindow", Structure(&[("Timezone", Value)])),
    ("SlidingWindow", Structure(&[])),
];
const WARM_UP: &[(&str, Field)] = &[
    ("WarmUpPeriodDurationInMinutes", Value),
    ("OnlyStartEvaluatingAfterWarmUpPeriodEnds", Value),
];
const CRITERIA: &[(&str, Field)] = &[(
    "PromQLCriteria",
    Structure(&[
        ("Query", Value),
        ("PendingPeriod", Value),
        ("RecoveryPeriod", Value),
    ]),
)];
const TAGS_PROPAGATION: &[(&str, Field)] = &[
    ("Enabled", Value),
    ("IncludedTagKeys", Value),
    ("ExcludedTagKeys", Value),
];
const ACTIONS: &[(&str, Field)] = &[("AlarmTagsPropagation", Structure(TAGS_PROPAGATION))];

/// The members of MetricAlarm: first those that PutMetricAlarm takes.
const ALARM: &[(&str, Field)] = &[
    ("AlarmName", Value),
    ("AlarmDescription", Value),
    ("ActionsEnabled", Value),
    ("OKActions", Value),
    ("AlarmActions", Value),
    ("InsufficientDataActions", Value),
    ("MetricName", Value),
    ("Namespace", Value),
    ("Statistic", Value),
    ("ExtendedStatistic", Value),
    ("Dimensions", Structure(DIMENSION)),
    ("Period", Value),
    ("Unit", Value),
    ("EvaluationPeriods", Value),
    ("DatapointsToAlarm", Value),
    ("Threshold", Value),
    ("ComparisonOperator", Value),
    ("TreatMissingData", Value),
    ("EvaluateLowSampleCountPercentile", Value),
    ("Metrics", Structure(QUERY)),
    ("ThresholdMetricId", Value),
    ("EvaluationWindow", Structure(WINDOW)),
    ("WarmUpConfiguration", Structure(WARM_UP)),
    ("EvaluationCriteria", Structure(CRITERIA)),
    ("EvaluationInterval", Value),
    ("ActionConfiguration", Structure(ACTIONS)),
    // In replies only:
    ("AlarmArn", Value),
    ("AlarmConfigurationUpdatedTimestamp", Value),
    ("StateValue", Value),
    ("StateReason", Value),
    ("StateReasonData", Value),
    ("StateUpdatedTimestamp", Value),
    ("StateTransitionedTimestamp", Value),
    ("EvaluationState", Value),
];

/// The fields that the configuration ignores, and those that were reported. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct KnownFields(Arc<Known>);

#[derive(Debug)]
struct Known {
    ignored: Vec<String>,
    reported: Mutex<BTreeSet<String>>,
}

impl KnownFields {
    /// `ignored` has dotted paths, for example `Metrics.Sampling`.
    pub fn new(ignored: &[String]) -> Self {
        Self(Arc::new(Known {
            ignored: ignored.to_vec(),
            reported: Mutex::default(),
        }))
    }

    /// Reports each unknown field once: one that AWS adds is in every alarm.
    fn report(&self, alarm: &str, fields: &[String]) {
        let mut reported = lock(&self.0.reported);
        for field in fields {
            if reported.insert(field.clone()) {
                tracing::error!(
                    %alarm, %field,
                    hint = %format!(
                        "upgrade kinesis-autoscaler; if the field is not a setting, add it to `ignore_fields = [\"{field}\"]` \
                         under [alarms]"
                    ),
                    "alarms have a field that this version does not know: rewriting them would erase it, so their \
                     streams are not scaled"
                );
            }
        }
    }
}

/// An interceptor for one DescribeAlarms call; afterwards it holds the unknown fields by alarm
/// name.
#[derive(Clone, Debug)]
pub(super) struct UnknownFields {
    known: KnownFields,
    found: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl UnknownFields {
    pub fn new(known: KnownFields) -> Self {
        Self {
            known,
            found: Arc::default(),
        }
    }

    /// The unknown fields of `alarm` in the reply, as dotted paths.
    pub fn of(&self, alarm: &str) -> Vec<String> {
        let Some(mut fields) = lock(&self.found).remove(alarm) else {
            return Vec::new();
        };
        fields.retain(|field| !self.known.0.ignored.contains(field));
        let fields: Vec<_> = fields.iter().map(|field| clean(field)).collect();
        self.known.report(&clean(alarm), &fields);
        fields
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for UnknownFields {
    fn name(&self) -> &'static str {
        "UnknownFields"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Ok(_), Some(body)) = (context.output_or_error(), context.response().body().bytes())
        {
            *lock(&self.found) = find(body)?;
        }
        Ok(())
    }
}

/// Reads a DescribeAlarms reply; the result has the alarms with unknown fields only.
fn find(reply: &[u8]) -> Result<BTreeMap<String, Vec<String>>, DeserializeError> {
    let mut found = BTreeMap::new();
    let mut decoder = Decoder::new(reply);
    each_entry(&mut decoder, &mut |decoder, key| {
        if key != "MetricAlarms" {
            return decoder.skip();
        }
        each_element(decoder, &mut |decoder| {
            let name = alarm_name(&mut decoder.clone())?;
            let mut unknown = Vec::new();
            compare(decoder, ALARM, "", &mut unknown)?;
            if !unknown.is_empty() {
                found.insert(name, unknown);
            }
            Ok(())
        })
    })?;
    Ok(found)
}

fn alarm_name(decoder: &mut Decoder<'_>) -> Result<String, DeserializeError> {
    let mut name = String::new();
    each_entry(decoder, &mut |decoder, key| {
        if key != "AlarmName" {
            return decoder.skip();
        }
        name = decoder.string()?;
        Ok(())
    })?;
    Ok(name)
}

/// Collects into `unknown` the dotted paths that `fields` does not list, in a structure or a list
/// of structures.
fn compare(
    decoder: &mut Decoder<'_>,
    fields: &[(&str, Field)],
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), DeserializeError> {
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => each_element(decoder, &mut |decoder| {
            // CloudWatch sends no list in a list. Descending into one could exhaust the stack.
            match decoder.datatype()? {
                Type::Map | Type::MapIndef => compare(decoder, fields, path, unknown),
                _ => decoder.skip(),
            }
        }),
        Type::Map | Type::MapIndef => each_entry(decoder, &mut |decoder, key| {
            let path = if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            };
            match fields.iter().find(|(name, _)| *name == key) {
                Some((_, Structure(inner))) => compare(decoder, inner, &path, unknown),
                Some((_, Value)) => decoder.skip(),
                None => {
                    if !unknown.contains(&path) {
                        unknown.push(path);
                    }
                    decoder.skip()
                }
            }
        }),
        _ => decoder.skip(),
    }
}

type Visit<'a, 'b> = &'a mut dyn FnMut(&mut Decoder<'b>) -> Result<(), DeserializeError>;

fn each_element<'b>(
    decoder: &mut Decoder<'b>,
    visit: Visit<'_, 'b>,
) -> Result<(), DeserializeError> {
    let mut left = decoder.list()?;
    while more(decoder, &mut left)? {
        visit(decoder)?;
    }
    Ok(())
}

fn each_entry<'b>(
    decoder: &mut Decoder<'b>,
    visit: &mut dyn FnMut(&mut Decoder<'b>, &str) -> Result<(), DeserializeError>,
) -> Result<(), DeserializeError> {
    let mut left = decoder.map()?;
    while more(decoder, &mut left)? {
        let key = decoder.str()?;
        visit(decoder, &key)?;
    }
    Ok(())
}

/// Whether there is another element: counts a definite length down, or looks for the break.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, DeserializeError> {
    match left {
        Some(0) => Ok(false),
        Some(n) => {
            *n -= 1;
            Ok(true)
        }
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| false),
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_cbor::Encoder;

    use super::*;

    fn reply(extra_in_alarm: Option<&str>, extra_in_query: Option<&str>) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.begin_map()
            .str("NextToken")
            .null()
            .str("MetricAlarms")
            .array(1)
            .begin_map();
        e.str("AlarmName")
            .str("a-scale-up")
            .str("Metrics")
            .array(1)
            .begin_map();
        e.str("Id").str("shardCount").str("Expression").str("4");
        if let Some(key) = extra_in_query {
            e.str(key).map(1).str("deep").boolean(true);
        }
        e.end();
        if let Some(key) = extra_in_alarm {
            e.str(key).integer(7);
        }
        e.end().end();
        e.into_writer()
    }

    #[test]
    fn only_fields_that_a_rewrite_would_lose_are_found() {
        for (alarm, query, expected) in [
            (None, None, None),
            (Some("Threshold"), Some("Label"), None),
            (Some("Severity"), None, Some(vec!["Severity".to_owned()])),
            (
                None,
                Some("Sampling"),
                Some(vec!["Metrics.Sampling".to_owned()]),
            ),
            (
                Some("X"),
                Some("Y"),
                Some(vec!["Metrics.Y".to_owned(), "X".to_owned()]),
            ),
        ] {
            let found = find(&reply(alarm, query)).expect("the reply is well formed");
            assert_eq!(
                found.get("a-scale-up"),
                expected.as_ref(),
                "alarm {alarm:?}, query {query:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_replies_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = find(&bytes);
        }

        #[test]
        fn damaged_replies_never_panic(at in 0usize..200, byte in proptest::prelude::any::<u8>()) {
            let mut bytes = reply(Some("Severity"), Some("Sampling"));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = find(&bytes);
        }
    }

    #[test]
    fn nested_lists_are_skipped_at_any_depth() {
        let mut e = Encoder::new(Vec::new());
        e.begin_map()
            .str("MetricAlarms")
            .array(1)
            .begin_map()
            .str("Metrics");
        for _ in 0..100_000 {
            e.array(1);
        }
        e.boolean(true).end().end();
        let _ = find(&e.into_writer());
    }
}
