//! CloudWatch: alarms and metric data.

use std::{collections::BTreeSet, ops::Bound};

use serde_json::{Map, Value, json};

use super::{
    alarms::seconds,
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};

/// The most alarms on a page, and names in a request.
const PAGE: usize = 100;

/// The most characters of a StateReason.
const MAX_REASON: usize = 1_023;

/// Members of an alarm that PutMetricAlarm leaves unchanged.
const KEPT: [&str; 7] = [
    "AlarmArn",
    "StateValue",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
    "EvaluationState",
];

pub(crate) fn call(
    region: &mut Region,
    operation: &str,
    input: &Map<String, Value>,
    ctx: &Context,
) -> Answer {
    region.catch_up(ctx.now);
    match operation {
        "DescribeAlarms" => describe_alarms(region, input, ctx),
        "PutMetricAlarm" => put_metric_alarm(region, input, ctx),
        "SetAlarmState" => set_alarm_state(region, input, ctx),
        "PutAlarmMuteRule" => super::mute_rules::put(region, input, ctx),
        "ListAlarmMuteRules" => super::mute_rules::list(region, input, ctx),
        "GetMetricData" => super::metric_data::get(region, input, ctx),
        other => Err(ApiError::bad(
            "UnknownOperationException",
            format!("the sandbox does not support cloudwatch:{other}"),
        )),
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationError", message)
}

pub(crate) fn strings<'a>(input: &'a Map<String, Value>, member: &str) -> Vec<&'a str> {
    let list = input.get(member).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn describe_alarms(region: &Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let names: BTreeSet<&str> = strings(input, "AlarmNames").into_iter().collect();
    let prefix = text("AlarmNamePrefix");
    if names.len() > PAGE {
        return Err(invalid(format!("AlarmNames can have at most {PAGE} names")));
    }
    if !names.is_empty() && prefix.is_some() {
        return Err(invalid(
            "AlarmNamePrefix cannot be used together with AlarmNames",
        ));
    }
    let limit = match input.get("MaxRecords").map(Value::as_u64) {
        None => PAGE,
        Some(Some(limit @ 1..=100)) => limit as usize,
        Some(_) => return Err(invalid("MaxRecords must be between 1 and 100")),
    };
    let types = strings(input, "AlarmTypes");
    if !types.is_empty() && !types.contains(&"MetricAlarm") {
        return Ok(json!({"MetricAlarms": [], "CompositeAlarms": []}));
    }
    let after = text("NextToken");
    let found = matching(region, &names, prefix, text("StateValue"), after, limit + 1);
    let page = ctx.page(limit, found.len());
    let alarms: Vec<Value> = found[..page]
        .iter()
        .filter_map(|name| region.alarms.get(name))
        .map(|alarm| Value::Object(alarm.wire.clone()))
        .collect();
    let mut out = json!({"CompositeAlarms": []});
    // In the macro above the alarms would be copied.
    out["MetricAlarms"] = Value::Array(alarms);
    if page < found.len() {
        let last = found[..page].last().copied();
        out["NextToken"] = json!(last.or(after).unwrap_or_default());
    }
    Ok(out)
}

/// Returns up to `limit` names after the token, in order. A request for ALARM only reads the index.
fn matching<'a>(
    region: &'a Region,
    names: &BTreeSet<&'a str>,
    prefix: Option<&'a str>,
    state: Option<&'a str>,
    after: Option<&'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let alarms = &region.alarms;
    let wanted = |name: &&str| {
        after.is_none_or(|after| *name > after) && prefix.is_none_or(|p| name.starts_with(p))
    };
    let in_state = |name: &&str| {
        let alarm = alarms.get(name);
        alarm.is_some_and(|alarm| state.is_none_or(|state| alarm.state() == state))
    };
    if !names.is_empty() {
        let names = names.iter().copied().filter(wanted).filter(in_state);
        return names.take(limit).collect();
    }
    if state == Some("ALARM") {
        return alarms.in_alarm().filter(wanted).take(limit).collect();
    }
    let start = match (after, prefix) {
        (Some(after), Some(prefix)) if prefix > after => Bound::Included(prefix),
        (Some(after), _) => Bound::Excluded(after),
        (None, Some(prefix)) => Bound::Included(prefix),
        (None, None) => Bound::Unbounded,
    };
    alarms
        .from(start)
        .map(|(name, _)| name)
        .take_while(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .filter(in_state)
        .take(limit)
        .collect()
}

fn put_metric_alarm(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let name = check_alarm(input, &region.account)?;
    put(region, name, input.clone(), ctx.now);
    Ok(json!({}))
}

/// Creates or replaces an alarm without validation.
pub(crate) fn put(
    region: &mut Region,
    name: &str,
    mut wire: Map<String, Value>,
    now: jiff::Timestamp,
) {
    let mut tags = wire.remove("Tags");
    wire.retain(|_, value| !value.is_null());
    match region.alarms.get(name) {
        Some(old) => {
            // An update ignores tags and keeps the existing ones.
            tags = old.tags.clone();
            for member in KEPT {
                if let Some(value) = old.wire.get(member) {
                    wire.insert(member.into(), value.clone());
                }
            }
        }
        None => {
            let defaults = json!({
                "AlarmArn": region.alarm_arn(name),
                "StateValue": "INSUFFICIENT_DATA",
                "StateReason": "Unchecked: Initial alarm creation",
                "StateUpdatedTimestamp": seconds(now),
                "StateTransitionedTimestamp": seconds(now),
            });
            add_missing(&mut wire, defaults);
        }
    }
    add_missing(
        &mut wire,
        json!({
            "ActionsEnabled": true, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": [],
            "Dimensions": [],
        }),
    );
    let metrics = wire.get_mut("Metrics").and_then(Value::as_array_mut);
    for query in metrics.into_iter().flatten() {
        if let Some(query) = query.as_object_mut() {
            add_missing(query, json!({"ReturnData": true}));
        }
    }
    wire.insert("AlarmConfigurationUpdatedTimestamp".into(), seconds(now));
    region.alarms.insert(name, wire, tags);
}

fn add_missing(wire: &mut Map<String, Value>, defaults: Value) {
    if let Value::Object(defaults) = defaults {
        for (member, value) in defaults {
            wire.entry(member).or_insert(value);
        }
    }
}

/// Validates an alarm as AWS does and returns its name.
fn check_alarm<'a>(input: &'a Map<String, Value>, account: &str) -> Result<&'a str, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let is_set = |member: &&&str| match input.get(**member) {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    let name = text("AlarmName").filter(|name| (1..=255).contains(&name.chars().count()));
    let name = name.ok_or_else(|| invalid("AlarmName must have 1 to 255 characters"))?;
    let kinds = ["MetricName", "Metrics", "EvaluationCriteria"];
    let [kind] = Vec::from_iter(kinds.iter().filter(is_set))[..] else {
        return Err(invalid(
            "Exactly one of MetricName, Metrics and EvaluationCriteria must be specified",
        ));
    };
    let single = [
        "Namespace",
        "MetricName",
        "Dimensions",
        "Period",
        "Unit",
        "Statistic",
        "ExtendedStatistic",
    ];
    if let ("Metrics", Some(member)) = (*kind, single.iter().find(is_set)) {
        return Err(invalid(format!(
            "{member} cannot be specified together with Metrics"
        )));
    }
    if text("AlarmDescription").is_some_and(|text| text.chars().count() > 1_024) {
        return Err(invalid(
            "AlarmDescription must have at most 1024 characters",
        ));
    }
    for member in ["OKActions", "AlarmActions", "InsufficientDataActions"] {
        if strings(input, member).len() > 5 {
            return Err(invalid(format!("{member} can have at most 5 actions")));
        }
    }
    if *kind != "EvaluationCriteria" {
        let watch = super::watch::Watch::read(input, account).map_err(invalid)?;
        let span = watch.period_seconds() * watch.periods() as i64;
        let longest = if watch.period_seconds() >= 3_600 {
            604_800
        } else {
            86_400
        };
        if span > longest {
            return Err(invalid(format!(
                "Metrics cannot be checked across more than {longest} seconds (EvaluationPeriods * Period)"
            )));
        }
    }
    Ok(name)
}

fn set_alarm_state(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let (Some(name), Some(state), Some(reason)) =
        (text("AlarmName"), text("StateValue"), text("StateReason"))
    else {
        return Err(invalid(
            "AlarmName, StateValue and StateReason are required",
        ));
    };
    if !["OK", "ALARM", "INSUFFICIENT_DATA"].contains(&state) {
        return Err(invalid(format!("StateValue cannot be {state}")));
    }
    if reason.chars().count() > MAX_REASON {
        return Err(invalid(format!(
            "StateReason must have at most {MAX_REASON} characters"
        )));
    }
    let data = text("StateReasonData");
    if data.is_some_and(|data| serde_json::from_str::<Value>(data).is_err()) {
        let message = "StateReasonData was not syntactically valid JSON";
        return Err(ApiError::bad("InvalidFormat", message));
    }
    if !region.alarms.set_state(name, state, reason, data, ctx.now) {
        return Err(ApiError::new(
            404,
            "ResourceNotFound",
            format!("Unknown alarm: {name}"),
        ));
    }
    Ok(json!({}))
}
