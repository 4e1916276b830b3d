//! PutItem, GetItem, DeleteItem, UpdateItem.

use serde_json::{Map, Value, json};

use super::{
    Item, check_members,
    expression::{self, Expression},
    invalid,
    read::project,
    table::{Key, Table, name_of},
};
use crate::{
    region::Region,
    wire::{Answer, ApiError},
};

/// The result of a write to one item.
pub(crate) struct Write {
    pub key: Key,
    pub before: Option<Item>,
    /// The new item; `None` deletes it.
    pub after: Option<Item>,
    /// Whether the condition is met.
    pub allowed: bool,
}

impl Write {
    pub(crate) fn commit(self, table: &mut Table) {
        match self.after {
            Some(item) => table.items.insert(self.key, item),
            None => table.items.remove(&self.key),
        };
    }
}

/// The kinds of writes, also within a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Delete,
    Update,
    Check,
}

/// Computes the result of a write without applying it.
pub(crate) fn plan(
    table: &Table,
    kind: Kind,
    input: &Map<String, Value>,
) -> Result<Write, ApiError> {
    let key = match kind {
        Kind::Put => {
            let item = input.get("Item").and_then(Value::as_object);
            table.key_of_item(item.ok_or_else(|| invalid("Item is required"))?)?
        }
        _ => table.key(input.get("Key"))?,
    };
    let before = table.items.get(&key).cloned();
    let condition = Expression::of(input, "ConditionExpression").map_err(invalid)?;
    let condition = condition.map(Expression::condition).transpose();
    let nothing = Item::new();
    let seen = before.as_ref().unwrap_or(&nothing);
    let allowed = condition
        .map_err(invalid)?
        .is_none_or(|condition| condition.holds(seen));
    let after = match kind {
        Kind::Put => input.get("Item").and_then(Value::as_object).cloned(),
        Kind::Delete => None,
        Kind::Check => before.clone(),
        // DynamoDB checks the condition before it evaluates the update.
        Kind::Update if !allowed => None,
        Kind::Update => {
            let old = before.clone().unwrap_or_else(|| table.key_item(&key));
            let changes = Expression::of(input, "UpdateExpression").map_err(invalid)?;
            let changes = changes
                .map(Expression::update)
                .transpose()
                .map_err(invalid)?;
            let changes = changes.unwrap_or_default();
            if let Some(name) = changes.iter().map(changed).find(|name| table.is_key(name)) {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
                )));
            }
            Some(expression::apply(&changes, &old).map_err(invalid)?)
        }
    };
    Ok(Write {
        key,
        before,
        after,
        allowed,
    })
}

fn changed(change: &expression::Change) -> &str {
    match change {
        expression::Change::Set(name, _)
        | expression::Change::Remove(name)
        | expression::Change::Add(name, _) => name,
    }
}

pub(crate) fn put(region: &mut Region, input: &Map<String, Value>) -> Answer {
    write(region, Kind::Put, input, &["Item"])
}

pub(crate) fn delete(region: &mut Region, input: &Map<String, Value>) -> Answer {
    write(region, Kind::Delete, input, &["Key"])
}

pub(crate) fn update(region: &mut Region, input: &Map<String, Value>) -> Answer {
    write(region, Kind::Update, input, &["Key", "UpdateExpression"])
}

fn write(region: &mut Region, kind: Kind, input: &Map<String, Value>, known: &[&str]) -> Answer {
    let members = [
        known,
        &[
            "ConditionExpression",
            "ReturnValues",
            "ReturnValuesOnConditionCheckFailure",
        ],
    ];
    check_members(input, &members.concat())?;
    let table = region.tables.find_mut(name_of(input)?)?;
    let write = plan(table, kind, input)?;
    if !write.allowed {
        let error = ApiError::bad(
            "ConditionalCheckFailedException",
            "The conditional request failed",
        );
        let wanted = input.get("ReturnValuesOnConditionCheckFailure");
        return Err(match write.before {
            Some(item) if wanted.is_some_and(|w| w == "ALL_OLD") => {
                error.with("Item", Value::Object(item))
            }
            _ => error,
        });
    }
    let returned = returned(input, kind, &write)?;
    write.commit(table);
    Ok(match returned {
        Some(item) if !item.is_empty() => json!({"Attributes": item}),
        _ => json!({}),
    })
}

fn returned(
    input: &Map<String, Value>,
    kind: Kind,
    write: &Write,
) -> Result<Option<Item>, ApiError> {
    let differing = |of: &Option<Item>, from: &Option<Item>| {
        let mut item = of.clone()?;
        item.retain(|name, value| from.as_ref().and_then(|from| from.get(name)) != Some(value));
        Some(item)
    };
    let wanted = input.get("ReturnValues").and_then(Value::as_str);
    match (wanted.unwrap_or("NONE"), kind) {
        ("NONE", _) => Ok(None),
        ("ALL_OLD", _) => Ok(write.before.clone()),
        ("ALL_NEW", Kind::Update) => Ok(write.after.clone()),
        ("UPDATED_NEW", Kind::Update) => Ok(differing(&write.after, &write.before)),
        ("UPDATED_OLD", Kind::Update) => Ok(differing(&write.before, &write.after)),
        _ => Err(invalid("Return values set to invalid value")),
    }
}

pub(crate) fn get(region: &Region, input: &Map<String, Value>) -> Answer {
    check_members(input, &["Key", "ConsistentRead", "ProjectionExpression"])?;
    let table = region.tables.find(name_of(input)?)?;
    let key = table.key(input.get("Key"))?;
    match table.items.get(&key) {
        Some(item) => Ok(json!({"Item": project(input, item)?})),
        None => Ok(json!({})),
    }
}
