//! ListShards.

use serde_json::{Map, Value, json};

use super::{
    kinesis::{invalid, name_of, not_found},
    region::Region,
    shards::{self, Shard, shard_id, shard_number},
    wire::{Answer, ApiError},
    world::Context,
};

/// The most shards on a page.
const PAGE: usize = 1_000;

pub(crate) fn call(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let (name, after) = match text("NextToken") {
        Some(token) => read_token(input, token)?,
        None => (
            name_of(region, input)?.to_owned(),
            text("ExclusiveStartShardId").map(number).transpose()?,
        ),
    };
    let account = region.account.clone();
    let stream = region.streams.get_mut(&name);
    let stream = stream.ok_or_else(|| not_found(&name, &account))?;
    stream.settle(ctx.now);
    let mut found = shards::listed(stream.history(), ctx.now.as_second());
    if let Some(filter) = input.get("ShardFilter").filter(|filter| !filter.is_null()) {
        apply_filter(&mut found, filter)?;
    }
    found.retain(|shard| after.is_none_or(|after| shard.number > after));
    let limit = input.get("MaxResults").and_then(Value::as_u64);
    let limit = limit.map_or(PAGE, |n| usize::try_from(n).unwrap_or(PAGE));
    let page = ctx.page(limit.clamp(1, PAGE), found.len());
    let mut out = json!({"Shards": found[..page].iter().map(wire).collect::<Vec<_>>()});
    if page < found.len() {
        let last = found[..page].last().map(|shard| shard.number).or(after);
        let last = last.map(shard_id).unwrap_or_default();
        out["NextToken"] = json!(format!("{name}/{last}"));
    }
    Ok(out)
}

fn number(id: &str) -> Result<u64, ApiError> {
    shard_number(id).ok_or_else(|| invalid(format!("{id} is not a shard id")))
}

/// Returns the stream and the last shard of the previous page.
fn read_token(input: &Map<String, Value>, token: &str) -> Result<(String, Option<u64>), ApiError> {
    if input.contains_key("StreamName") || input.contains_key("ExclusiveStartShardId") {
        return Err(invalid(
            "NextToken and StreamName cannot be provided together.".into(),
        ));
    }
    let Some((name, last)) = token.split_once('/') else {
        return Err(invalid("NextToken is invalid".into()));
    };
    let after = (!last.is_empty()).then(|| number(last)).transpose()?;
    Ok((name.to_owned(), after))
}

fn apply_filter(shards: &mut Vec<Shard>, filter: &Value) -> Result<(), ApiError> {
    match filter["Type"].as_str() {
        Some("AT_LATEST") => shards.retain(|shard| shard.closed.is_none()),
        Some("FROM_TRIM_HORIZON") => {}
        other => {
            return Err(invalid(format!(
                "the sandbox does not support the ShardFilter type {other:?}"
            )));
        }
    }
    Ok(())
}

fn wire(shard: &Shard) -> Value {
    let sequence = |seconds: i64| format!("49{seconds:054}");
    let mut out = json!({
        "ShardId": shard_id(shard.number),
        "HashKeyRange": {
            "StartingHashKey": shard.first_key.to_string(),
            "EndingHashKey": shard.last_key.to_string(),
        },
        "SequenceNumberRange": {"StartingSequenceNumber": sequence(shard.opened)},
    });
    for (member, parent) in ["ParentShardId", "AdjacentParentShardId"]
        .into_iter()
        .zip(&shard.parents)
    {
        out[member] = json!(shard_id(*parent));
    }
    if let Some(closed) = shard.closed {
        out["SequenceNumberRange"]["EndingSequenceNumber"] = json!(sequence(closed));
    }
    out
}
