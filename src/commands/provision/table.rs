//! `table print` and `table create`: the log table with its TTL.

use std::time::Duration;

use serde_json::{Value, json};

use super::{aws_cli, cloudformation, pretty, terraform};
use crate::{
    aws::{self, HASH_KEY, Kind, RANGE_KEY, TTL_ATTRIBUTE, TableState},
    cli::{Format, Output},
    output::error::{Exit, Failure, Report},
    reconcile::context::Context,
};

/// How often, and for how long, a table that is being created is read.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOKS: u32 = 150;

/// The table's definition as text.
pub fn print(table: &str, format: Format, output: Output) -> String {
    let ttl = json!({"AttributeName": TTL_ATTRIBUTE, "Enabled": true});
    let enable_ttl = json!({"TableName": table, "TimeToLiveSpecification": ttl});
    let Value::Object(create) = definition(table) else {
        return String::new();
    };
    match (format, output) {
        (Format::Cloudformation, _) => cloudformation::table(create, ttl),
        (Format::Terraform, _) => terraform::table(table),
        (Format::Cli, _) => aws_cli::table(table, &create.into(), &enable_ttl),
        (Format::Json, Output::Json) => pretty(&json!([create, enable_ttl])),
        (Format::Json, _) => format!("{}\n{enable_ttl}\n", Value::from(create)),
    }
}

fn definition(table: &str) -> Value {
    json!({
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": HASH_KEY, "AttributeType": "S"},
            {"AttributeName": RANGE_KEY, "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": HASH_KEY, "KeyType": "HASH"},
            {"AttributeName": RANGE_KEY, "KeyType": "RANGE"},
        ],
    })
}

/// What existed, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Created,
    TtlOnly,
}

/// Creates what is missing: the table, then its TTL. Repeating this does no harm.
pub async fn create(context: &Context, output: Output) -> Result<String, Failure> {
    let table = &context.scaling_log.table().name;
    let state = look(context).await?;
    let done = match &state {
        None => Done::Created,
        Some(state) => {
            right_keys(table, state)?;
            match state.ttl_attribute.as_deref() {
                Some(TTL_ATTRIBUTE) => Done::Nothing,
                Some(other) => return Err(other_ttl(table, other)),
                None => Done::TtlOnly,
            }
        }
    };
    if !context.dry_run {
        if done == Done::Created {
            make(context).await?;
        }
        if done != Done::Nothing {
            wait_until_active(context).await?;
            enable_ttl(context).await?;
        }
    }
    Ok(told(table, done, context.dry_run, output))
}

fn told(table: &str, done: Done, dry_run: bool, output: Output) -> String {
    let (code, words) = match (done, dry_run) {
        (Done::Nothing, _) => ("exists", "exists, with its keys and its TTL"),
        (Done::Created, false) => ("created", "is created and ACTIVE, and its TTL is on"),
        (Done::Created, true) => ("would_create", "would be created, with its TTL"),
        (Done::TtlOnly, false) => ("ttl_enabled", "exists; its TTL is turned on"),
        (Done::TtlOnly, true) => ("would_enable_ttl", "exists; its TTL would be turned on"),
    };
    match output {
        Output::Json => {
            json!({"table": table, "result": code, "dry_run": dry_run}).to_string() + "\n"
        }
        _ => format!("table {table} {words}\n"),
    }
}

/// Reads the table; `None` if it does not exist.
async fn look(context: &Context) -> Result<Option<TableState>, Failure> {
    match context.scaling_log.table().describe().await {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(failed(context, error)),
    }
}

async fn make(context: &Context) -> Result<(), Failure> {
    match context.scaling_log.table().create().await {
        Ok(()) => Ok(()),
        // Another process is creating it, or the answer to our own call was lost.
        Err(error) if error.kind == Kind::InUse => Ok(()),
        Err(error) => Err(failed(context, error)),
    }
}

async fn wait_until_active(context: &Context) -> Result<(), Failure> {
    for _ in 0..LOOKS {
        if look(context).await?.is_some_and(|state| state.active) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY / context.clock.speed().max(1)).await;
    }
    let table = &context.scaling_log.table().name;
    let report = Report::new(format!("table {table} is not ACTIVE yet"));
    let hint = "run `kinesis-autoscaler table create` again to finish: its TTL is still off";
    Err(Failure::new(Exit::Failed, report.hint(hint)))
}

async fn enable_ttl(context: &Context) -> Result<(), Failure> {
    let Err(error) = context.scaling_log.table().enable_ttl().await else {
        return Ok(());
    };
    // AWS refuses to enable a TTL that is enabled, for example after an answer was lost.
    let on = |state: TableState| state.ttl_attribute.as_deref() == Some(TTL_ATTRIBUTE);
    match look(context).await?.is_some_and(on) {
        true => Ok(()),
        false => Err(failed(context, error)),
    }
}

fn right_keys(table: &str, state: &TableState) -> Result<(), Failure> {
    let Some(wrong) = state.wrong_keys() else {
        return Ok(());
    };
    let text = format!("table {table} exists, but {wrong}");
    let hint = "name another table in log.table; a table's keys cannot be changed";
    Err(Failure::new(Exit::Failed, Report::new(text).hint(hint)))
}

fn other_ttl(table: &str, attribute: &str) -> Failure {
    let text = format!("the TTL of table {table} goes by {attribute}, not by {TTL_ATTRIBUTE}");
    let hint = format!(
        "turn that off (aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification \
         Enabled=false,AttributeName={attribute}), wait an hour, then run this again"
    );
    Failure::new(Exit::Failed, Report::new(text).hint(hint))
}

fn failed(context: &Context, error: aws::Error) -> Failure {
    let hint = error.hint();
    let table = context.scaling_log.table().name.clone();
    let report = Report::new(TableError {
        table,
        source: error,
    });
    Failure::new(Exit::Failed, hint.into_iter().fold(report, Report::hint))
}

#[derive(Debug, thiserror::Error)]
#[error("table {table}")]
struct TableError {
    table: String,
    source: aws::Error,
}
