//! `table print` and `table create`.

use autoscaler_sandbox::Fault;
use kinesis_autoscaler::{
    cli::{Format, Output},
    commands::provision::table,
};
use serde_json::{Value, json};

use crate::world::{TABLE, World, named};

#[tokio::test(start_paused = true)]
async fn the_table_is_created_once_with_its_ttl() {
    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    let context = world.context(config, false).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(
            table::create(&context, Output::Text)
                .await
                .expect("it works"),
        );
    }
    assert_eq!(
        told,
        [
            "table new-table is created and ACTIVE, and its TTL is on\n",
            "table new-table exists, with its keys and its TTL\n",
        ]
    );
    let state = context.scaling_log.table().describe().await.expect("there");
    assert!(state.active && state.wrong_keys().is_none());
    assert_eq!(state.ttl_attribute.as_deref(), Some("expiration_datetime"));
    let json: Value = serde_json::from_str(
        &table::create(&context, Output::Json)
            .await
            .expect("it works"),
    )
    .expect("JSON");
    assert_eq!(
        json,
        json!({"table": "new-table", "result": "exists", "dry_run": false})
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_left_half_made_is_finished() {
    let world = World::new();
    let mut config = world.config(&named(&["orders"]));
    config.log.table = "new-table".to_owned();
    let context = world.context(config, false).await;
    world
        .sandbox
        .set_faults(|call| match call.operation.as_str() {
            "UpdateTimeToLive" => Fault::Refuse {
                status: 400,
                code: "ValidationException".into(),
                message: "no".into(),
            },
            _ => Fault::None,
        });
    table::create(&context, Output::Text)
        .await
        .expect_err("its TTL is refused");
    world.sandbox.clear_faults();
    let told = table::create(&context, Output::Text)
        .await
        .expect("the rest is done");
    assert_eq!(told, "table new-table exists; its TTL is turned on\n");
}

#[test]
fn the_tables_definition_is_printed_for_the_cli_and_for_cloudformation() {
    let text = table::print(TABLE, Format::Json, Output::Text);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[0]["TableName"], &lines[1]["TableName"]),
        (&json!(TABLE), &json!(TABLE))
    );
    assert_eq!(
        lines[0]["KeySchema"][1],
        json!({"AttributeName": "scaling_datetime", "KeyType": "RANGE"})
    );
    assert_eq!(
        lines[1]["TimeToLiveSpecification"],
        json!({"AttributeName": "expiration_datetime", "Enabled": true})
    );
    let both: Value =
        serde_json::from_str(&table::print(TABLE, Format::Json, Output::Json)).expect("JSON");
    assert_eq!(both, Value::from(lines));
    let template: Value =
        serde_json::from_str(&table::print(TABLE, Format::Cloudformation, Output::Text))
            .expect("JSON");
    let properties = &template["Resources"]["Log"]["Properties"];
    assert_eq!(
        properties["TimeToLiveSpecification"]["AttributeName"],
        "expiration_datetime"
    );
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
}

#[test]
fn the_log_table_is_printed_for_terraform_and_for_a_shell() {
    let text = table::print(TABLE, Format::Terraform, Output::Text);
    let body: Value = hcl::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let table = &body["resource"]["aws_dynamodb_table"]["kinesis_autoscaler_log"];
    assert_eq!(
        (
            &table["name"],
            &table["hash_key"],
            &table["range_key"],
            &table["ttl"]["attribute_name"]
        ),
        (
            &json!(TABLE),
            &json!("stream_name"),
            &json!("scaling_datetime"),
            &json!("expiration_datetime")
        )
    );
    let shell = table::print(TABLE, Format::Cli, Output::Text);
    let lines: Vec<&str> = shell.lines().collect();
    assert!(
        lines[0].starts_with("aws dynamodb create-table --cli-input-json '{"),
        "{shell}"
    );
    assert!(lines[1].contains("wait table-exists"), "{shell}");
    assert!(
        lines[2].starts_with("aws dynamodb update-time-to-live"),
        "{shell}"
    );
}
