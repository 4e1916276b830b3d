//! TransactWriteItems: all writes or none.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    check_members, invalid,
    item::{self, Kind, Write},
    table::name_of,
};
use crate::{
    region::Region,
    wire::{Answer, ApiError},
};

/// The most writes in a transaction.
const MAX_WRITES: usize = 100;

/// How long a client token makes a transaction idempotent.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(10);

pub(crate) fn write(region: &mut Region, input: &Map<String, Value>, now: Timestamp) -> Answer {
    let list = input.get("TransactItems").and_then(Value::as_array);
    let list = list.filter(|list| (1..=MAX_WRITES).contains(&list.len()));
    let list =
        list.ok_or_else(|| invalid(format!("TransactItems must hold 1 to {MAX_WRITES} writes")))?;
    let token = input.get("ClientRequestToken").and_then(Value::as_str);
    let fresh = now.saturating_sub(TOKEN_LIFE).unwrap_or(Timestamp::MIN);
    let tokens = &mut region.tables.tokens;
    if let Some(before) = token.and_then(|token| tokens.find(token, fresh)) {
        if before.as_array() == Some(list) {
            return Ok(json!({}));
        }
        return Err(ApiError::bad(
            "IdempotentParameterMismatchException",
            "The client token was used with other parameters before",
        ));
    }
    let mut writes: Vec<(String, Kind, Write, bool)> = Vec::new();
    for element in list {
        let (kind, input) = read(element)?;
        let name = name_of(input)?.to_owned();
        let write = item::plan(region.tables.find(&name)?, kind, input)?;
        if writes
            .iter()
            .any(|(table, _, other, _)| *table == name && other.key == write.key)
        {
            return Err(invalid(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
        let shown = input.get("ReturnValuesOnConditionCheckFailure") == Some(&json!("ALL_OLD"));
        writes.push((name, kind, write, shown));
    }
    if writes.iter().any(|(_, _, write, _)| !write.allowed) {
        return Err(cancelled(&writes));
    }
    for (table, kind, write, _) in writes {
        if kind != Kind::Check {
            write.commit(region.tables.find_mut(&table)?);
        }
    }
    if let Some(token) = token {
        let input = Value::Array(list.clone());
        region.tables.tokens.remember(token, now, input);
    }
    Ok(json!({}))
}

fn read(element: &Value) -> Result<(Kind, &Map<String, Value>), ApiError> {
    let members = element.as_object().filter(|members| members.len() == 1);
    let entry = members.and_then(|members| members.iter().next());
    let (name, input) = entry.ok_or_else(|| {
        invalid("TransactItems can only contain one of Check, Put, Update or Delete")
    })?;
    let kind = match name.as_str() {
        "Put" => Kind::Put,
        "Delete" => Kind::Delete,
        "Update" => Kind::Update,
        "ConditionCheck" => Kind::Check,
        other => return Err(invalid(format!("the sandbox does not support {other}"))),
    };
    let input = input.as_object();
    let input = input.ok_or_else(|| invalid(format!("{name} must be a structure")))?;
    let known = [
        "Item",
        "Key",
        "ConditionExpression",
        "UpdateExpression",
        "ReturnValuesOnConditionCheckFailure",
    ];
    check_members(input, &known)?;
    Ok((kind, input))
}

fn cancelled(writes: &[(String, Kind, Write, bool)]) -> ApiError {
    let mut codes = Vec::new();
    let mut reasons = Vec::new();
    for (_, _, write, shown) in writes {
        if write.allowed {
            codes.push("None");
            reasons.push(json!({"Code": "None"}));
            continue;
        }
        codes.push("ConditionalCheckFailed");
        let mut reason = json!({
            "Code": "ConditionalCheckFailed", "Message": "The conditional request failed",
        });
        if let (true, Some(item)) = (shown, &write.before) {
            reason["Item"] = Value::Object(item.clone());
        }
        reasons.push(reason);
    }
    ApiError::bad(
        "TransactionCanceledException",
        format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
    )
    .with("CancellationReasons", Value::Array(reasons))
}
