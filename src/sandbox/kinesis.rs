//! The operations of Kinesis, with AWS's limits.

use autoscaler_core::limits::{CALLS_PER_DAY, MAX_SHARDS};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    metrics::SHARD_LEVEL,
    region::Region,
    stream::{Mode, Stream},
    wire::{Answer, ApiError},
    world::Context,
};

/// The most streams on a page of ListStreams.
const PAGE: usize = 100;

pub(crate) fn call(
    region: &mut Region,
    operation: &str,
    input: &Map<String, Value>,
    ctx: &Context,
) -> Answer {
    match operation {
        "DescribeStreamSummary" => describe(region, input, ctx.now),
        "UpdateShardCount" => update_shard_count(region, input, ctx.now),
        "ListStreams" => list(region, input, ctx),
        "ListShards" => super::list_shards::call(region, input, ctx),
        "EnableEnhancedMonitoring" => enable_monitoring(region, input),
        "DescribeLimits" => Ok(limits(region, ctx.now)),
        other => Err(ApiError::bad(
            "UnknownOperationException",
            format!("the sandbox does not support kinesis:{other}"),
        )),
    }
}

/// Returns the name of the stream that StreamName or StreamARN specifies.
pub(crate) fn name_of<'a>(
    region: &Region,
    input: &'a Map<String, Value>,
) -> Result<&'a str, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = text("StreamName");
    let Some(arn) = text("StreamARN") else {
        return name
            .ok_or_else(|| invalid("Either StreamName or StreamARN should be specified".into()));
    };
    let prefix = region.stream_arn("");
    match (arn.strip_prefix(&prefix), name) {
        (None, _) => Err(ApiError::bad(
            "ResourceNotFoundException",
            format!(
                "Stream {arn} is not found in account {} and Region {}.",
                region.account, region.name
            ),
        )),
        (Some(found), Some(name)) if found != name => Err(invalid(format!(
            "StreamName {name} does not match StreamARN {arn}"
        ))),
        (Some(found), _) => Ok(found),
    }
}

pub(crate) fn invalid(message: String) -> ApiError {
    ApiError::bad("InvalidArgumentException", message)
}

fn limit(message: String) -> ApiError {
    ApiError::bad("LimitExceededException", message)
}

pub(crate) fn not_found(name: &str, account: &str) -> ApiError {
    ApiError::bad(
        "ResourceNotFoundException",
        format!("Stream {name} under account {account} not found."),
    )
}

fn describe(region: &mut Region, input: &Map<String, Value>, now: Timestamp) -> Answer {
    let name = name_of(region, input)?;
    let arn = region.stream_arn(name);
    let account = &region.account;
    let stream = region
        .streams
        .get_mut(name)
        .ok_or_else(|| not_found(name, account))?;
    stream.settle(now);
    Ok(json!({"StreamDescriptionSummary": {
        "StreamName": name,
        "StreamARN": arn,
        "StreamStatus": stream.status(),
        "StreamModeDetails": {"StreamMode": mode(stream)},
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": stream.created.as_second(),
        "EnhancedMonitoring": [{"ShardLevelMetrics": stream.shard_metrics}],
        "EncryptionType": "NONE",
        "OpenShardCount": stream.open_shards(),
        "ConsumerCount": 0,
    }}))
}

fn mode(stream: &Stream) -> &'static str {
    match stream.mode {
        Mode::Provisioned => "PROVISIONED",
        Mode::OnDemand => "ON_DEMAND",
    }
}

fn update_shard_count(region: &mut Region, input: &Map<String, Value>, now: Timestamp) -> Answer {
    let name = name_of(region, input)?;
    let target = input.get("TargetShardCount").and_then(Value::as_i64);
    let target = target.ok_or_else(|| invalid("TargetShardCount is required".into()))?;
    match input.get("ScalingType").and_then(Value::as_str) {
        Some("UNIFORM_SCALING") => {}
        other => {
            return Err(invalid(format!(
                "ScalingType must be UNIFORM_SCALING, not {other:?}"
            )));
        }
    }
    let current = reshard(region, name, target, now)?;
    Ok(json!({
        "StreamName": name,
        "StreamARN": region.stream_arn(name),
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }))
}

/// Checks every limit and starts the resharding. Returns the current count.
pub(crate) fn reshard(
    region: &mut Region,
    name: &str,
    target: i64,
    now: Timestamp,
) -> Result<u32, ApiError> {
    let open = region.open_shards(now);
    let (account, window, shard_limit) =
        (&region.account, region.update_window, region.shard_limit);
    let stream = region
        .streams
        .get_mut(name)
        .ok_or_else(|| not_found(name, account))?;
    if stream.mode == Mode::OnDemand {
        return Err(ApiError::bad(
            "ValidationException",
            format!(
                "Request is invalid. Stream {name} under account {account} is in On-Demand mode."
            ),
        ));
    }
    if stream.status() != "ACTIVE" {
        return Err(ApiError::bad(
            "ResourceInUseException",
            format!(
                "Stream {name} under account {account} not ACTIVE, instead in state {}",
                stream.status()
            ),
        ));
    }
    let current = i64::from(stream.shards);
    check_target(current, target)?;
    if stream.updates_within_a_day(now) >= CALLS_PER_DAY {
        return Err(limit(format!(
            "Stream {name} under account {account} has exceeded the limit of {CALLS_PER_DAY} UpdateShardCount calls in 24 hours."
        )));
    }
    let more = (target - current).max(0);
    if i64::from(open) + more > i64::from(shard_limit) {
        return Err(limit(format!(
            "This request would exceed the shard limit for the account {account} in {}. Current shard count for the account: {open}. \
             Limit: {shard_limit}. Number of additional shards that would have resulted from this request: {more}. \
             Refer to the AWS Service Limits page for current limits and how to request higher limits.",
            region.name
        )));
    }
    let to = u32::try_from(target).map_err(|e| invalid(e.to_string()))?;
    let from = stream.shards;
    stream.start_update(now, to, window);
    Ok(from)
}

fn check_target(current: i64, target: i64) -> Result<(), ApiError> {
    let counts = format!("Current open shard count: {current} Target shard count: {target}");
    if target < 1 {
        return Err(invalid(format!(
            "TargetShardCount must be at least 1. {counts}"
        )));
    }
    if target == current {
        return Err(invalid(format!(
            "Target shard count is equal to the current open shard count. {counts}"
        )));
    }
    if target > i64::from(MAX_SHARDS) {
        return Err(limit(format!(
            "UpdateShardCount cannot scale a stream beyond {MAX_SHARDS} shards. {counts}"
        )));
    }
    if target > 2 * current {
        return Err(limit(format!(
            "UpdateShardCount cannot scale up over double your current open shard count. {counts}"
        )));
    }
    if 2 * target < current {
        return Err(limit(format!(
            "UpdateShardCount cannot scale down below half your current open shard count. {counts}"
        )));
    }
    Ok(())
}

fn list(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let after = text("NextToken").or(text("ExclusiveStartStreamName"));
    let limit = input.get("Limit").and_then(Value::as_u64);
    let limit = limit.map_or(PAGE, |n| usize::try_from(n).unwrap_or(PAGE));
    let names: Vec<String> = region
        .streams
        .keys()
        .filter(|name| after.is_none_or(|after| name.as_str() > after))
        .cloned()
        .collect();
    let page = ctx.page(limit.clamp(1, 10_000), names.len());
    let mut summaries = Vec::new();
    for name in &names[..page] {
        let arn = region.stream_arn(name);
        if let Some(stream) = region.streams.get_mut(name) {
            stream.settle(ctx.now);
            summaries.push(json!({
                "StreamName": name,
                "StreamARN": arn,
                "StreamStatus": stream.status(),
                "StreamModeDetails": {"StreamMode": mode(stream)},
                "StreamCreationTimestamp": stream.created.as_second(),
            }));
        }
    }
    let mut out = json!({
        "StreamNames": names[..page],
        "HasMoreStreams": page < names.len(),
        "StreamSummaries": summaries,
    });
    if page < names.len() {
        let last = names[..page].last().map(String::as_str);
        out["NextToken"] = json!(last.or(after).unwrap_or_default());
    }
    Ok(out)
}

/// Enables the requested shard-level metrics that the sandbox supports.
fn enable_monitoring(region: &mut Region, input: &Map<String, Value>) -> Answer {
    let name = name_of(region, input)?.to_owned();
    let account = region.account.clone();
    let stream = region.streams.get_mut(&name);
    let stream = stream.ok_or_else(|| not_found(&name, &account))?;
    let before = stream.shard_metrics.clone();
    let wanted = input.get("ShardLevelMetrics").and_then(Value::as_array);
    let wanted = wanted.map_or(&[][..], Vec::as_slice);
    let is_wanted = |metric: &&&str| wanted.iter().any(|it| it == "ALL" || it == **metric);
    stream
        .shard_metrics
        .extend(SHARD_LEVEL.iter().filter(is_wanted));
    Ok(json!({
        "StreamName": name,
        "CurrentShardLevelMetrics": before,
        "DesiredShardLevelMetrics": stream.shard_metrics,
    }))
}

fn limits(region: &mut Region, now: Timestamp) -> Value {
    let on_demand = region.streams.values().filter(|s| s.mode == Mode::OnDemand);
    json!({
        "OnDemandStreamCount": on_demand.count(),
        "ShardLimit": region.shard_limit,
        "OpenShardCount": region.open_shards(now),
        "OnDemandStreamCountLimit": 50,
    })
}

/// How long a resharding takes by default.
pub(crate) const UPDATE_WINDOW: SignedDuration = SignedDuration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_held_to_half_and_double() {
        let (limit, invalid) = ("LimitExceededException", "InvalidArgumentException");
        let cases = [
            (2, 4, None),
            (2, 1, None),
            (3, 2, None),
            (10, 5, None),
            (5_000, 10_000, None),
            (2, 5, Some(limit)),
            (3, 1, Some(limit)),
            (11, 5, Some(limit)),
            (6_000, 10_001, Some(limit)),
            (2, 2, Some(invalid)),
            (1, 0, Some(invalid)),
            (1, -1, Some(invalid)),
        ];
        for (current, target, expected) in cases {
            let code = check_target(current, target).err().map(|e| e.code);
            assert_eq!(code.as_deref(), expected, "{current} -> {target}");
        }
    }
}
