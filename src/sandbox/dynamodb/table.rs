//! Tables: keys, time to live, and the items in the order of their keys.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Item, check_members, invalid,
    value::{KeyPart, check, parts},
};
use crate::{
    region::Region,
    wire::{Answer, ApiError},
};

/// The values of the hash key and, if the table has one, of the range key.
pub(crate) type Key = (KeyPart, Option<KeyPart>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) by_name: BTreeMap<String, Table>,
    pub(crate) tokens: Tokens,
}

/// Recent transactions by client token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    inputs: HashMap<String, Value>,
    /// Tokens, oldest first.
    order: VecDeque<(Timestamp, String)>,
}

/// The most tokens that are remembered.
const TOKENS: usize = 10_000;

impl Tokens {
    /// Discards transactions from before `fresh`. Returns the input that came with the token.
    pub(crate) fn find(&mut self, token: &str, fresh: Timestamp) -> Option<&Value> {
        while self.order.front().is_some_and(|(at, _)| *at <= fresh) {
            self.forget_oldest();
        }
        self.inputs.get(token)
    }

    pub(crate) fn remember(&mut self, token: &str, now: Timestamp, input: Value) {
        if self.order.len() == TOKENS {
            self.forget_oldest();
        }
        self.order.push_back((now, token.to_owned()));
        self.inputs.insert(token.to_owned(), input);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, token)) = self.order.pop_front() {
            self.inputs.remove(&token);
        }
    }
}

impl Tables {
    pub(crate) fn get(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name)
    }

    pub(crate) fn insert(&mut self, name: &str, table: Table) {
        self.by_name.insert(name.to_owned(), table);
    }

    /// Stores an item unconditionally. Returns AWS's error if it is refused.
    pub(crate) fn put(&mut self, table: &str, item: Item) -> Result<(), ApiError> {
        let table = self.find_mut(table)?;
        let key = table.key_of_item(&item)?;
        table.items.insert(key, item);
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Table, ApiError> {
        self.by_name.get(name).ok_or_else(not_found)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Result<&mut Table, ApiError> {
        self.by_name.get_mut(name).ok_or_else(not_found)
    }
}

fn not_found() -> ApiError {
    ApiError::bad("ResourceNotFoundException", "Requested resource not found")
}

/// A key attribute's name and type (S, N or B).
#[derive(Clone, Debug)]
pub(crate) struct KeyAttribute {
    pub name: String,
    pub kind: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) hash: KeyAttribute,
    pub(crate) range: Option<KeyAttribute>,
    ttl: Option<String>,
    billing: String,
    created: Timestamp,
    pub(crate) items: BTreeMap<Key, Item>,
}

impl Table {
    /// Creates a pay-per-request table with a string hash key and a string range key.
    pub(crate) fn new(hash: &str, range: &str, ttl: Option<&str>, now: Timestamp) -> Self {
        let attribute = |name: &str| KeyAttribute {
            name: name.to_owned(),
            kind: "S".into(),
        };
        Self {
            hash: attribute(hash),
            range: Some(attribute(range)),
            ttl: ttl.map(str::to_owned),
            billing: "PAY_PER_REQUEST".into(),
            created: now,
            items: BTreeMap::new(),
        }
    }

    /// Returns all items in the order of their keys.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    fn part(attribute: &KeyAttribute, from: &Item) -> Result<KeyPart, ApiError> {
        let name = &attribute.name;
        let value = from.get(name).ok_or_else(|| {
            invalid(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))
        })?;
        check(value).map_err(invalid)?;
        match parts(value) {
            Some((kind, content)) if kind == attribute.kind => {
                if content.as_str() == Some("") {
                    return Err(invalid(format!(
                        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}"
                    )));
                }
                Ok(KeyPart(value.clone()))
            }
            other => Err(invalid(format!(
                "One or more parameter values were invalid: Type mismatch for key {name} expected: {} actual: {}",
                attribute.kind,
                other.map_or("none", |(kind, _)| kind)
            ))),
        }
    }

    /// Returns the key of an item.
    pub(crate) fn key_of_item(&self, item: &Item) -> Result<Key, ApiError> {
        item.values().try_for_each(check).map_err(invalid)?;
        let range = self.range.as_ref();
        let range = range.map(|range| Self::part(range, item)).transpose()?;
        Ok((Self::part(&self.hash, item)?, range))
    }

    /// Returns the key in a request's `Key` member, which must have the key attributes only.
    pub(crate) fn key(&self, key: Option<&Value>) -> Result<Key, ApiError> {
        let key = key.and_then(Value::as_object);
        let key = key.ok_or_else(|| invalid("Key is required"))?;
        if key.len() != 1 + usize::from(self.range.is_some()) {
            return Err(invalid(
                "The provided key element does not match the schema",
            ));
        }
        self.key_of_item(key)
            .map_err(|_| invalid("The provided key element does not match the schema"))
    }

    /// Returns the key attributes of an item.
    pub(crate) fn key_item(&self, key: &Key) -> Item {
        let mut item = Item::new();
        item.insert(self.hash.name.clone(), key.0.0.clone());
        if let (Some(range), Some(part)) = (&self.range, &key.1) {
            item.insert(range.name.clone(), part.0.clone());
        }
        item
    }

    pub(crate) fn is_key(&self, name: &str) -> bool {
        self.hash.name == name || self.range.as_ref().is_some_and(|range| range.name == name)
    }

    fn description(&self, name: &str, arn: &str, status: &str) -> Value {
        let mut schema = vec![json!({"AttributeName": self.hash.name, "KeyType": "HASH"})];
        let mut attributes =
            vec![json!({"AttributeName": self.hash.name, "AttributeType": self.hash.kind})];
        if let Some(range) = &self.range {
            schema.push(json!({"AttributeName": range.name, "KeyType": "RANGE"}));
            attributes.push(json!({"AttributeName": range.name, "AttributeType": range.kind}));
        }
        json!({
            "TableName": name, "TableArn": arn, "TableStatus": status,
            "KeySchema": schema, "AttributeDefinitions": attributes,
            "CreationDateTime": self.created.as_second(),
            "ItemCount": self.items.len(), "TableSizeBytes": 0,
            "BillingModeSummary": {"BillingMode": self.billing},
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
        })
    }
}

/// Returns the table that TableName specifies, by name or by ARN.
pub(crate) fn name_of(input: &Map<String, Value>) -> Result<&str, ApiError> {
    let name = input.get("TableName").and_then(Value::as_str);
    let name = name.ok_or_else(|| invalid("TableName is required"))?;
    Ok(name.rsplit('/').next().unwrap_or(name))
}

pub(crate) fn create(region: &mut Region, input: &Map<String, Value>, now: Timestamp) -> Answer {
    check_members(
        input,
        &[
            "KeySchema",
            "AttributeDefinitions",
            "BillingMode",
            "ProvisionedThroughput",
            "Tags",
            "SSESpecification",
            "DeletionProtectionEnabled",
            "TableClass",
        ],
    )?;
    let name = name_of(input)?;
    if region.tables.by_name.contains_key(name) {
        return Err(ApiError::bad(
            "ResourceInUseException",
            format!("Table already exists: {name}"),
        ));
    }
    let list = |member: &str| {
        input
            .get(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let kind_of = |name: &str| {
        let found = list("AttributeDefinitions").find(|a| a["AttributeName"] == name);
        found.and_then(|a| a["AttributeType"].as_str())
    };
    let key = |role: &str| -> Result<Option<KeyAttribute>, ApiError> {
        let Some(found) = list("KeySchema").find(|key| key["KeyType"] == role) else {
            return Ok(None);
        };
        let name = found["AttributeName"].as_str().unwrap_or_default();
        let kind = kind_of(name).ok_or_else(|| {
            invalid(format!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}]"
            ))
        })?;
        Ok(Some(KeyAttribute {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }))
    };
    let billing = input.get("BillingMode").and_then(Value::as_str);
    let table = Table {
        hash: key("HASH")?.ok_or_else(|| invalid("No Hash Key specified in schema"))?,
        range: key("RANGE")?,
        ttl: None,
        billing: billing.unwrap_or("PROVISIONED").to_owned(),
        created: now,
        items: BTreeMap::new(),
    };
    // Callers that do not wait until the table is ACTIVE fail against AWS, so it is CREATING first.
    let description = table.description(name, &region.table_arn(name), "CREATING");
    region.tables.insert(name, table);
    Ok(json!({"TableDescription": description}))
}

pub(crate) fn describe(region: &Region, input: &Map<String, Value>) -> Answer {
    let name = name_of(input)?;
    let table = region.tables.get(name).ok_or_else(|| {
        let message = format!("Requested resource not found: Table: {name} not found");
        ApiError::bad("ResourceNotFoundException", message)
    })?;
    let description = table.description(name, &region.table_arn(name), "ACTIVE");
    Ok(json!({"Table": description}))
}

pub(crate) fn update_ttl(region: &mut Region, input: &Map<String, Value>) -> Answer {
    let specification = input
        .get("TimeToLiveSpecification")
        .cloned()
        .unwrap_or_default();
    let (Some(enabled), Some(attribute)) = (
        specification["Enabled"].as_bool(),
        specification["AttributeName"].as_str(),
    ) else {
        return Err(invalid("TimeToLiveSpecification is required"));
    };
    let table = region.tables.find_mut(name_of(input)?)?;
    match (enabled, &table.ttl) {
        (true, Some(_)) => return Err(invalid("TimeToLive is already enabled")),
        (false, None) => return Err(invalid("TimeToLive is already disabled")),
        _ => table.ttl = enabled.then(|| attribute.to_owned()),
    }
    Ok(json!({"TimeToLiveSpecification": specification}))
}

pub(crate) fn describe_ttl(region: &Region, input: &Map<String, Value>) -> Answer {
    let table = region.tables.find(name_of(input)?)?;
    let description = match &table.ttl {
        Some(attribute) => json!({"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}),
        None => json!({"TimeToLiveStatus": "DISABLED"}),
    };
    Ok(json!({"TimeToLiveDescription": description}))
}
