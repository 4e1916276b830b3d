//! DynamoDB: one table with a hash and a range key of type S, as items of strings and numbers.

use std::{collections::BTreeMap, collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, Delete, KeySchemaElement,
        KeyType, Put, ScalarAttributeType, TimeToLiveSpecification, TimeToLiveStatus,
        TransactWriteItem,
    },
};
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_types::timeout::TimeoutConfig;

use super::{Error, Kind, Operation, text::clean};

/// The longest that a call to the log may take: a scale-up waits for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits before a transaction that met another one is tried again.
const CONFLICT_PAUSES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(320),
];

/// The hash key's attribute.
pub const HASH_KEY: &str = "stream_name";
/// The range key's attribute.
pub const RANGE_KEY: &str = "scaling_datetime";
/// The attribute that time-to-live goes by.
pub const TTL_ATTRIBUTE: &str = "expiration_datetime";

/// The attributes of one item; types other than string and number are not read.
pub type Item = BTreeMap<String, Value>;

/// A string (S) or a number (N, in decimal digits).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Value {
    S(String),
    N(String),
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put {
        item: Item,
        condition: Option<Condition>,
    },
    Delete {
        hash: String,
        range: String,
        condition: Option<Condition>,
    },
    Check {
        hash: String,
        range: String,
        condition: Condition,
    },
}

/// A condition expression with its `:values`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub expression: &'static str,
    pub values: Item,
}

/// What DescribeTable and DescribeTimeToLive return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    pub hash_key: Option<Key>,
    pub range_key: Option<Key>,
    pub active: bool,
    /// The attribute that time-to-live goes by, where it is on.
    pub ttl_attribute: Option<String>,
}

/// A key attribute of a table, with DynamoDB's code for its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub attribute_type: String,
}

impl TableState {
    /// What is wrong with the keys, unless they are those of the original's table.
    pub fn wrong_keys(&self) -> Option<String> {
        let found = [&self.hash_key, &self.range_key];
        let ours = [HASH_KEY, RANGE_KEY];
        let named =
            |(key, name): (&Option<Key>, &str)| key.as_ref().is_some_and(|key| key.name == name);
        if !found.into_iter().zip(ours).all(named) {
            let [hash, range] = found.map(|key| key.as_ref().map_or("none", |key| &key.name));
            let text = format!("its keys are {hash} and {range}, not {HASH_KEY} and {RANGE_KEY}");
            return Some(text);
        }
        let wrong = found
            .into_iter()
            .flatten()
            .find(|key| key.attribute_type != "S")?;
        let Key {
            name,
            attribute_type,
        } = wrong;
        Some(format!(
            "its key {name} has the type {attribute_type}, not S"
        ))
    }
}

/// The log table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    pub name: String,
}

impl Table {
    pub(super) fn new(
        sdk: &SdkConfig,
        interceptor: SharedInterceptor,
        name: &str,
        call_timeout: Duration,
    ) -> Self {
        let timeout = call_timeout.min(CALL_TIMEOUT);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timeout / 3)
            .operation_attempt_timeout(timeout / 2)
            .operation_timeout(timeout)
            .build();
        let config = aws_sdk_dynamodb::config::Builder::from(sdk)
            .interceptor(interceptor)
            .timeout_config(timeouts)
            .build();
        Self {
            client: Client::from_conf(config),
            name: name.to_owned(),
        }
    }

    /// Carries out all of `writes`, or none: [`Kind::Condition`] when a condition did not hold.
    ///
    /// Two transactions that meet on an item, as an intent's and a heartbeat's on the lease, are no
    /// outage: one of them is told so, and the SDK does not try it again.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), Error> {
        let items = writes
            .into_iter()
            .map(|write| self.transact_item(write))
            .collect::<Result<Vec<_>, _>>()?;
        let mut pauses = CONFLICT_PAUSES.into_iter();
        loop {
            let request = self.client.transact_write_items();
            let request = request.set_transact_items(Some(items.clone()));
            let sent = Box::pin(request.send()).await;
            let Err(error) = sent else { return Ok(()) };
            let error = Error::from_sdk(Operation::TransactWriteItems, error);
            match pauses.next() {
                Some(pause) if error.kind == Kind::Conflict => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    fn transact_item(&self, write: Write) -> Result<TransactWriteItem, Error> {
        let item = TransactWriteItem::builder();
        let name = &self.name;
        let built = match write {
            Write::Put {
                item: attributes,
                condition,
            } => {
                let (expression, values) = split(condition);
                let put = Put::builder()
                    .table_name(name)
                    .set_item(Some(to_sdk(attributes)));
                let put = put
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                put.build().map(|put| item.put(put))
            }
            Write::Delete {
                hash,
                range,
                condition,
            } => {
                let (expression, values) = split(condition);
                let delete = Delete::builder()
                    .table_name(name)
                    .set_key(Some(key(hash, range)));
                let delete = delete
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                delete.build().map(|delete| item.delete(delete))
            }
            Write::Check {
                hash,
                range,
                condition,
            } => {
                let (expression, values) = split(Some(condition));
                let check = ConditionCheck::builder()
                    .table_name(name)
                    .set_key(Some(key(hash, range)));
                let check = check
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                check.build().map(|check| item.condition_check(check))
            }
        };
        let built =
            built.map_err(|error| Error::unsendable(Operation::TransactWriteItems, &error))?;
        Ok(built.build())
    }

    /// Reads the items under one hash key, consistently, in the order of their range keys, which
    /// are at least `from`.
    ///
    /// DynamoDB takes no empty key value, so `from` has to have a character.
    pub async fn query(&self, hash: &str, from: &str) -> Result<Vec<Item>, Error> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("stream_name = :hash AND scaling_datetime >= :from")
                .expression_attribute_values(":hash", AttributeValue::S(hash.to_owned()))
                .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
                .set_exclusive_start_key(start);
            let reply = Box::pin(request.send())
                .await
                .map_err(|error| Error::from_sdk(Operation::Query, error))?;
            found.extend(reply.items.unwrap_or_default().into_iter().map(from_sdk));
            start = reply.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Reads the item with the highest range key under one hash key.
    pub async fn newest(&self, hash: &str) -> Result<Option<Item>, Error> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(1);
        let sent = request
            .key_condition_expression("stream_name = :hash")
            .expression_attribute_values(":hash", AttributeValue::S(hash.to_owned()))
            .send()
            .await;
        let reply = sent.map_err(|error| Error::from_sdk(Operation::Query, error))?;
        Ok(reply
            .items
            .unwrap_or_default()
            .into_iter()
            .next()
            .map(from_sdk))
    }

    /// Reads one item, consistently.
    pub async fn get(&self, hash: &str, range: &str) -> Result<Option<Item>, Error> {
        let request = self
            .client
            .get_item()
            .table_name(&self.name)
            .consistent_read(true);
        let request = request.set_key(Some(key(hash.to_owned(), range.to_owned())));
        let sent = Box::pin(request.send()).await;
        let reply = sent.map_err(|error| Error::from_sdk(Operation::GetItem, error))?;
        Ok(reply.item.map(from_sdk))
    }

    /// Reads the table's keys, status and time-to-live.
    pub async fn describe(&self) -> Result<TableState, Error> {
        let sent = self
            .client
            .describe_table()
            .table_name(&self.name)
            .send()
            .await;
        let reply = sent.map_err(|error| Error::from_sdk(Operation::DescribeTable, error))?;
        let table = reply
            .table
            .unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
        let named = |kind: KeyType| {
            let key = table
                .key_schema()
                .iter()
                .find(|key| *key.key_type() == kind)?;
            let attribute = table
                .attribute_definitions()
                .iter()
                .find(|attribute| attribute.attribute_name() == key.attribute_name());
            Some(Key {
                name: key.attribute_name().to_owned(),
                attribute_type: attribute?.attribute_type().as_str().to_owned(),
            })
        };
        let sent = self
            .client
            .describe_time_to_live()
            .table_name(&self.name)
            .send()
            .await;
        let reply = sent.map_err(|error| Error::from_sdk(Operation::DescribeTimeToLive, error))?;
        let ttl = reply.time_to_live_description.filter(|ttl| {
            matches!(
                ttl.time_to_live_status(),
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        Ok(TableState {
            hash_key: named(KeyType::Hash),
            range_key: named(KeyType::Range),
            active: table.table_status() == Some(&aws_sdk_dynamodb::types::TableStatus::Active),
            ttl_attribute: ttl.and_then(|ttl| ttl.attribute_name),
        })
    }

    /// Creates the table as the original has it: pay per request, stream_name and scaling_datetime
    /// as keys.
    pub async fn create(&self) -> Result<(), Error> {
        let unsendable = |error| Error::unsendable(Operation::CreateTable, &error);
        let mut request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [(HASH_KEY, KeyType::Hash), (RANGE_KEY, KeyType::Range)] {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let element = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind);
            request = request
                .attribute_definitions(attribute.build().map_err(unsendable)?)
                .key_schema(element.build().map_err(unsendable)?);
        }
        request
            .send()
            .await
            .map_err(|error| Error::from_sdk(Operation::CreateTable, error))?;
        Ok(())
    }

    /// Turns time-to-live on; the table has to be ACTIVE.
    pub async fn enable_ttl(&self) -> Result<(), Error> {
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name(TTL_ATTRIBUTE)
            .enabled(true)
            .build();
        let ttl = ttl.map_err(|error| Error::unsendable(Operation::UpdateTimeToLive, &error))?;
        let sent = self
            .client
            .update_time_to_live()
            .table_name(&self.name)
            .time_to_live_specification(ttl)
            .send()
            .await;
        sent.map_err(|error| Error::from_sdk(Operation::UpdateTimeToLive, error))?;
        Ok(())
    }
}

fn key(hash: String, range: String) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (HASH_KEY.to_owned(), AttributeValue::S(hash)),
        (RANGE_KEY.to_owned(), AttributeValue::S(range)),
    ])
}

fn split(
    condition: Option<Condition>,
) -> (Option<String>, Option<HashMap<String, AttributeValue>>) {
    let Some(condition) = condition else {
        return (None, None);
    };
    let values = (!condition.values.is_empty()).then(|| to_sdk(condition.values));
    (Some(condition.expression.to_owned()), values)
}

fn to_sdk(item: Item) -> HashMap<String, AttributeValue> {
    let value = |value| match value {
        Value::S(text) => AttributeValue::S(text),
        Value::N(digits) => AttributeValue::N(digits),
    };
    item.into_iter().map(|(name, v)| (name, value(v))).collect()
}

fn from_sdk(item: HashMap<String, AttributeValue>) -> Item {
    let value = |value| match value {
        AttributeValue::S(text) => Some(Value::S(clean(&text))),
        AttributeValue::N(digits) => Some(Value::N(digits)),
        _ => None,
    };
    item.into_iter()
        .filter_map(|(name, v)| Some((name, value(v)?)))
        .collect()
}
