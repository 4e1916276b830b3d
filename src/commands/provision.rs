//! Defines or creates what the autoscaler needs in AWS: the alarm pair of each stream, and the log
//! table.

pub mod alarms;
mod aws_cli;
mod cloudformation;
mod create;
pub mod hcl;
pub mod pair;
pub mod table;
mod terraform;

use serde_json::Value;

fn pretty(value: &Value) -> String {
    // Strings, numbers and lists of them always serialize.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
