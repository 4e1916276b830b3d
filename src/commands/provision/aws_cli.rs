//! The alarms and the log table as commands of the AWS CLI, for a shell.

use autoscaler_core::alarm::Settings;
use serde_json::{Value, json};

/// A command for each alarm, in its Region.
pub fn alarms<'a>(alarms: impl Iterator<Item = (&'a str, &'a Settings)>) -> String {
    let command = |(region, alarm)| {
        let input = json!(alarm).to_string();
        format!(
            "aws cloudwatch put-metric-alarm --region {} --cli-input-json {}\n",
            quoted(region),
            quoted(&input)
        )
    };
    alarms.map(command).collect()
}

/// Creates the table, waits until it is ACTIVE, and turns its time-to-live on.
pub fn table(name: &str, create: &Value, ttl: &Value) -> String {
    let (create, ttl) = (quoted(&create.to_string()), quoted(&ttl.to_string()));
    let name = quoted(name);
    format!(
        "aws dynamodb create-table --cli-input-json {create}\n\
         aws dynamodb wait table-exists --table-name {name}\n\
         aws dynamodb update-time-to-live --cli-input-json {ttl}\n"
    )
}

/// A word for a POSIX shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
