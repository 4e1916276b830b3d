//! Query and Scan.

use serde_json::{Map, Value, json};

use super::{
    Item, check_members,
    expression::{Comparator, Condition, Expression, Operand},
    invalid,
    table::{Key, Table, name_of},
    value::{KeyPart, parts},
};
use crate::{
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};

const MEMBERS: [&str; 7] = [
    "FilterExpression",
    "ProjectionExpression",
    "ConsistentRead",
    "Limit",
    "ExclusiveStartKey",
    "Select",
    "ScanIndexForward",
];

pub(crate) fn query(region: &Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    check_members(input, &[&MEMBERS[..], &["KeyConditionExpression"]].concat())?;
    let table = region.tables.find(name_of(input)?)?;
    let condition = Expression::of(input, "KeyConditionExpression").map_err(invalid)?;
    let condition = condition.ok_or_else(|| invalid("KeyConditionExpression is required"))?;
    let condition = condition.condition().map_err(invalid)?;
    refuse_empty_keys(input)?;
    let hash = KeyPart(hash_value(table, &condition)?.clone());
    let found = table.items.range((hash.clone(), None)..);
    let found = found.take_while(|(key, _)| key.0 == hash);
    let mut found: Vec<(&Key, &Item)> = found.filter(|(_, item)| condition.holds(item)).collect();
    if input.get("ScanIndexForward") == Some(&json!(false)) {
        found.reverse();
    }
    page(table, input, found, ctx)
}

pub(crate) fn scan(region: &Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    check_members(input, &MEMBERS[..6])?;
    let table = region.tables.find(name_of(input)?)?;
    page(table, input, table.items.iter().collect(), ctx)
}

/// Keys are never empty, so DynamoDB refuses a comparison with an empty string.
fn refuse_empty_keys(input: &Map<String, Value>) -> Result<(), ApiError> {
    let condition = input.get("KeyConditionExpression").and_then(Value::as_str);
    let values = input
        .get("ExpressionAttributeValues")
        .and_then(Value::as_object);
    let empty = |(name, value): (&String, &Value)| {
        value.get("S").and_then(Value::as_str) == Some("")
            && condition.is_some_and(|text| text.contains(name))
    };
    if values.into_iter().flatten().any(empty) {
        return Err(invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value",
        ));
    }
    Ok(())
}

/// Returns the value that the hash key must equal. Exactly one equality on it is required, and at
/// most one condition on the range key is allowed.
fn hash_value<'a>(table: &Table, condition: &'a Condition) -> Result<&'a Value, ApiError> {
    let hash_of = |condition: &'a Condition| match condition {
        Condition::Compare(Comparator::Equal, Operand::Attribute(name), Operand::Value(value))
            if *name == table.hash.name =>
        {
            Some(value)
        }
        _ => None,
    };
    let is_range = |condition: &Condition| {
        let name = match condition {
            Condition::Compare(Comparator::NotEqual, ..) => return false,
            Condition::Compare(_, Operand::Attribute(name), Operand::Value(_))
            | Condition::Between(Operand::Attribute(name), _, _)
            | Condition::BeginsWith(name, _) => name,
            _ => return false,
        };
        table
            .range
            .as_ref()
            .is_some_and(|range| range.name == *name)
    };
    let value = match condition {
        Condition::And(a, b) if is_range(b) => hash_of(a),
        Condition::And(a, b) if is_range(a) => hash_of(b),
        only => hash_of(only),
    };
    let value = value.ok_or_else(|| {
        invalid(format!(
            "Query key condition not supported: it must compare {} with = and may set bounds to the range key",
            table.hash.name
        ))
    })?;
    let is_hash = parts(value).is_some_and(|(kind, _)| kind == table.hash.kind);
    let range_values = match condition {
        Condition::And(_, b) if is_range(b) => bounds(b),
        Condition::And(a, _) => bounds(a),
        _ => Vec::new(),
    };
    let range = table.range.as_ref();
    let is_range_kind = |value: &&Value| {
        parts(value).is_some_and(|(kind, _)| range.is_some_and(|range| range.kind == kind))
    };
    match is_hash && range_values.iter().all(is_range_kind) {
        true => Ok(value),
        false => Err(invalid(
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        )),
    }
}

/// The values that a condition on a key compares with.
fn bounds(condition: &Condition) -> Vec<&Value> {
    let operands = match condition {
        Condition::Compare(_, _, value) | Condition::BeginsWith(_, value) => vec![value],
        Condition::Between(_, low, high) => vec![low, high],
        _ => Vec::new(),
    };
    let values = operands.into_iter().filter_map(|operand| match operand {
        Operand::Value(value) => Some(value),
        _ => None,
    });
    values.collect()
}

/// Returns one page of `found`. Like DynamoDB it applies Limit before the filter.
fn page(
    table: &Table,
    input: &Map<String, Value>,
    mut found: Vec<(&Key, &Item)>,
    ctx: &Context,
) -> Answer {
    if let Some(start) = input.get("ExclusiveStartKey") {
        let start = table.key(Some(start))?;
        let forward = input.get("ScanIndexForward") != Some(&json!(false));
        found.retain(|(key, _)| {
            if forward {
                **key > start
            } else {
                **key < start
            }
        });
    }
    let limit = match input.get("Limit").map(Value::as_u64) {
        None => usize::MAX,
        Some(Some(limit @ 1..)) => usize::try_from(limit).unwrap_or(usize::MAX),
        Some(_) => return Err(invalid("Limit must be at least 1")),
    };
    // A partial page without a last key could not be continued.
    let taken = ctx.page(limit, found.len()).max(found.len().min(1));
    let filter = Expression::of(input, "FilterExpression").map_err(invalid)?;
    let filter = filter
        .map(Expression::condition)
        .transpose()
        .map_err(invalid)?;
    let mut items = Vec::new();
    for (_, item) in &found[..taken] {
        if filter.as_ref().is_none_or(|filter| filter.holds(item)) {
            items.push(Value::Object(project(input, item)?));
        }
    }
    let mut out = json!({"Count": items.len(), "ScannedCount": taken});
    if input.get("Select") != Some(&json!("COUNT")) {
        out["Items"] = Value::Array(items);
    }
    // A page that reached Limit has a last key even when nothing follows.
    let full = taken == limit || taken < found.len();
    if let (true, Some((key, _))) = (full, found[..taken].last()) {
        out["LastEvaluatedKey"] = Value::Object(table.key_item(key));
    }
    Ok(out)
}

/// Returns the attributes of `item` that a ProjectionExpression selects.
pub(crate) fn project(input: &Map<String, Value>, item: &Item) -> Result<Item, ApiError> {
    let mut item = item.clone();
    if let Some(expression) = Expression::of(input, "ProjectionExpression").map_err(invalid)? {
        let names = expression.projection().map_err(invalid)?;
        item.retain(|name, _| names.contains(name));
    }
    Ok(item)
}
