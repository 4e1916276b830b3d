//! The alarms and the log table as CloudFormation templates.

use autoscaler_core::alarm::Settings;
use serde_json::{Map, Value, json};

use super::pretty;

/// A template with all alarms. Their logical ids consist of letters and digits, and stay the same
/// from run to run.
pub fn alarms(alarms: &[Settings]) -> String {
    let mut resources = Map::new();
    for alarm in alarms {
        let resource = json!({"Type": "AWS::CloudWatch::Alarm", "Properties": alarm});
        resources.insert(logical_id(&alarm.alarm_name), resource);
    }
    template(
        "Alarms by which kinesis-autoscaler scales streams",
        resources,
    )
}

/// A template with the log table, which the stack leaves behind when it is deleted.
pub fn table(mut properties: Map<String, Value>, ttl: Value) -> String {
    properties.insert("TimeToLiveSpecification".to_owned(), ttl);
    let table = json!({
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    });
    let resources = Map::from_iter([("Log".to_owned(), table)]);
    template("The scaling log of kinesis-autoscaler", resources)
}

fn template(description: &str, resources: Map<String, Value>) -> String {
    pretty(&json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": description,
        "Resources": resources,
    }))
}

fn logical_id(alarm: &str) -> String {
    let words = alarm.split(|letter: char| !letter.is_ascii_alphanumeric());
    let readable: String = words.map(capital).collect();
    let readable: String = readable.chars().take(200).collect();
    let checksum = crc32fast::hash(alarm.as_bytes());
    format!("Alarm{readable}{checksum:08x}")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
