//! SNS: Publish, GetTopicAttributes. Messages are kept for tests to read; nothing is delivered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};

/// The most bytes of a message.
const MAX_MESSAGE: usize = 262_144;

/// The most characters of a subject, less one.
const MAX_SUBJECT: usize = 100;

/// A message that a topic received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub at: Timestamp,
    pub subject: Option<String>,
    pub message: String,
}

/// The messages of each topic, by the topic's name.
pub(crate) type Topics = BTreeMap<String, Vec<Published>>;

pub(crate) fn call(
    region: &mut Region,
    operation: &str,
    input: &Map<String, Value>,
    ctx: &Context,
) -> Answer {
    match operation {
        "Publish" => publish(region, input, ctx),
        "GetTopicAttributes" => attributes(region, input),
        other => Err(ApiError::bad(
            "InvalidAction",
            format!("the sandbox does not support sns:{other}"),
        )),
    }
}

fn publish(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = topic_name(region, input)?;
    let message = text("Message").unwrap_or_default();
    if message.is_empty() || message.len() > MAX_MESSAGE {
        return Err(invalid("Message"));
    }
    let subject = text("Subject");
    if subject.is_some_and(|subject| subject.chars().count() >= MAX_SUBJECT) {
        return Err(invalid("Subject"));
    }
    let topic = region.topics.get_mut(&name).ok_or_else(missing)?;
    topic.push(Published {
        at: ctx.now,
        subject: subject.map(str::to_owned),
        message: message.to_owned(),
    });
    let id = topic.len();
    Ok(json!({"MessageId": format!("00000000-0000-4000-8000-{id:012x}")}))
}

/// The ARN alone: nothing else is kept of a topic.
fn attributes(region: &Region, input: &Map<String, Value>) -> Answer {
    let name = topic_name(region, input)?;
    region.topics.get(&name).ok_or_else(missing)?;
    let entry = json!({"key": "TopicArn", "value": region.topic_arn(&name)});
    Ok(json!({"Attributes": {"entry": entry}}))
}

fn topic_name(region: &Region, input: &Map<String, Value>) -> Result<String, ApiError> {
    let arn = input.get("TopicArn").and_then(Value::as_str);
    let name = arn.and_then(|arn| arn.strip_prefix(&region.topic_arn("")));
    name.map(str::to_owned).ok_or_else(|| invalid("TopicArn"))
}

fn missing() -> ApiError {
    ApiError::new(404, "NotFound", "Topic does not exist")
}

fn invalid(member: &str) -> ApiError {
    ApiError::bad("InvalidParameter", format!("Invalid parameter: {member}"))
}
