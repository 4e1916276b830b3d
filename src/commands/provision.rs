//! Makes what the autoscaler needs in AWS: the alarm pair of a stream, and the log table; as text, or for real.

pub mod alarms;
pub mod pair;
pub mod table;

use serde_json::{Map, Value, json};

/// The CloudFormation template with `resources` in it.
fn template(description: &str, resources: Map<String, Value>) -> Value {
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": description,
        "Resources": resources,
    })
}

fn pretty(value: &Value) -> String {
    // Strings, numbers and lists of them always serialize.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
