use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, Delete, KeySchemaElement,
        KeyType, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType,
        TableStatus, TimeToLiveSpecification, TimeToLiveStatus, TransactWriteItem, Update,
    },
};
use serde_json::json;

use super::*;

const TABLE: &str = "log";

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

async fn put(client: &Client, stream: &str, at: &str, count: i64) {
    let call = client
        .put_item()
        .table_name(TABLE)
        .item("stream_name", s(stream));
    call.item("scaling_datetime", s(at))
        .item("shards", n(count))
        .send()
        .await
        .unwrap();
}

async fn world() -> (World, Client) {
    let world = World::new();
    world.region.create_log_table(TABLE);
    let client = world.dynamodb();
    for (stream, at, shards) in [("a", "1", 1), ("a", "2", 2), ("a", "3", 3), ("b", "1", 9)] {
        put(&client, stream, at, shards).await;
    }
    (world, client)
}

#[tokio::test(start_paused = true)]
async fn a_table_is_created_described_and_given_a_ttl() {
    let world = World::new();
    let client = world.dynamodb();
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .unwrap()
    };
    let attribute = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let create = || {
        let call = client
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest);
        let call = call
            .key_schema(key("stream_name", KeyType::Hash))
            .key_schema(key("scaling_datetime", KeyType::Range));
        call.attribute_definitions(attribute("stream_name"))
            .attribute_definitions(attribute("scaling_datetime"))
    };
    let missing = outcome(client.describe_table().table_name(TABLE).send().await);
    assert!(
        missing.starts_with(
            "ResourceNotFoundException: Requested resource not found: Table: log not found"
        ),
        "{missing}"
    );
    let created = create().send().await.unwrap().table_description.unwrap();
    assert_eq!(created.table_status, Some(TableStatus::Creating));
    assert!(
        outcome(create().send().await).starts_with("ResourceInUseException: Table already exists")
    );
    let table = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    assert_eq!(table.table_status, Some(TableStatus::Active));
    assert_eq!(table.key_schema().len(), 2);
    assert_eq!(
        table.billing_mode_summary.unwrap().billing_mode,
        Some(BillingMode::PayPerRequest)
    );
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expiration_datetime")
        .build()
        .unwrap();
    let update = client
        .update_time_to_live()
        .table_name(TABLE)
        .time_to_live_specification(ttl);
    update.clone().send().await.unwrap();
    assert!(
        outcome(update.send().await)
            .starts_with("ValidationException: TimeToLive is already enabled")
    );
    let ttl = client
        .describe_time_to_live()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled));
    assert_eq!(ttl.attribute_name.as_deref(), Some("expiration_datetime"));
}

#[tokio::test(start_paused = true)]
async fn items_are_put_got_updated_and_deleted() {
    let (world, client) = world().await;
    let key = |at: &str| {
        [
            ("stream_name".to_owned(), s("a")),
            ("scaling_datetime".to_owned(), s(at)),
        ]
    };
    let get = |at: &str| {
        client
            .get_item()
            .table_name(TABLE)
            .set_key(Some(key(at).into()))
            .send()
    };
    assert_eq!(get("2").await.unwrap().item.unwrap()["shards"], n(2));
    assert!(get("9").await.unwrap().item.is_none());
    let update = client
        .update_item()
        .table_name(TABLE)
        .set_key(Some(key("2").into()));
    let update = update
        .update_expression("SET shards = shards + :n, #s = if_not_exists(#s, :s) REMOVE absent");
    let update = update
        .expression_attribute_names("#s", "status")
        .return_values(ReturnValue::UpdatedNew);
    let update = update
        .expression_attribute_values(":n", n(5))
        .expression_attribute_values(":s", s("done"));
    let updated = update.send().await.unwrap().attributes.unwrap();
    assert_eq!(
        (&updated["shards"], &updated["status"], updated.len()),
        (&n(7), &s("done"), 2)
    );
    let guarded = client
        .delete_item()
        .table_name(TABLE)
        .set_key(Some(key("2").into()));
    let guarded = guarded
        .condition_expression("shards < :n")
        .expression_attribute_values(":n", n(3));
    let guarded = guarded
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = guarded.send().await.unwrap_err().into_service_error();
    match error {
        aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(e) => {
            assert_eq!(e.item().unwrap()["shards"], n(7));
        }
        other => panic!("{other:?}"),
    }
    let delete = client
        .delete_item()
        .table_name(TABLE)
        .set_key(Some(key("2").into()));
    assert_eq!(
        delete
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .unwrap()
            .attributes
            .unwrap()["shards"],
        n(7)
    );
    assert_eq!(world.region.items(TABLE).len(), 3);
    let again = client
        .put_item()
        .table_name(TABLE)
        .set_item(Some(key("1").into()));
    let again = again.condition_expression("attribute_not_exists(stream_name)");
    assert_eq!(
        outcome(again.send().await),
        "ConditionalCheckFailedException: The conditional request failed"
    );
}

/// (condition, values, range keys found).
type RangeCase = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

#[tokio::test(start_paused = true)]
async fn queries_take_a_range_a_filter_and_pages() {
    let (_world, client) = world().await;
    let query = |condition: &str| {
        let call = client
            .query()
            .table_name(TABLE)
            .key_condition_expression(condition);
        call.expression_attribute_values(":s", s("a"))
    };
    let cases: [RangeCase; 7] = [
        ("stream_name = :s", &[], &["1", "2", "3"]),
        (
            "stream_name = :s AND scaling_datetime > :a",
            &[(":a", "1")],
            &["2", "3"],
        ),
        (
            "stream_name = :s AND scaling_datetime <= :a",
            &[(":a", "2")],
            &["1", "2"],
        ),
        (
            "scaling_datetime = :a AND stream_name = :s",
            &[(":a", "2")],
            &["2"],
        ),
        (
            "stream_name = :s AND scaling_datetime BETWEEN :a AND :b",
            &[(":a", "2"), (":b", "9")],
            &["2", "3"],
        ),
        (
            "stream_name = :s AND begins_with(scaling_datetime, :a)",
            &[(":a", "3")],
            &["3"],
        ),
        (
            "stream_name = :s AND scaling_datetime < :a",
            &[(":a", "1")],
            &[],
        ),
    ];
    for (condition, values, expected) in cases {
        for forward in [true, false] {
            let mut call = query(condition).scan_index_forward(forward).limit(2);
            for (name, value) in values {
                call = call.expression_attribute_values(*name, s(value));
            }
            let items = call
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .unwrap();
            let mut got: Vec<_> = items
                .iter()
                .map(|item| item["scaling_datetime"].as_s().unwrap().as_str())
                .collect();
            if !forward {
                got.reverse();
            }
            assert_eq!(got, expected, "{condition}");
        }
    }
    let filtered = query("stream_name = :s")
        .filter_expression("shards >= :n")
        .expression_attribute_values(":n", n(3));
    let filtered = filtered
        .projection_expression("shards")
        .send()
        .await
        .unwrap();
    assert_eq!((filtered.count, filtered.scanned_count), (1, 3));
    assert_eq!(filtered.items()[0].len(), 1);
    let scan = client
        .scan()
        .table_name(TABLE)
        .limit(3)
        .into_paginator()
        .items()
        .send();
    assert_eq!(scan.collect::<Result<Vec<_>, _>>().await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn wrong_requests_are_refused_as_by_aws() {
    let (_world, client) = world().await;
    let query = |condition: &str| {
        client
            .query()
            .table_name(TABLE)
            .key_condition_expression(condition)
    };
    let get = |name: &str, value| client.get_item().table_name(TABLE).key(name, value);
    let a = |call: aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder| {
        call.expression_attribute_values(":s", s("a"))
    };
    let outcomes = [
        (
            outcome(a(query("shards = :s")).send().await),
            "ValidationException: Query key condition not supported",
        ),
        (
            outcome(a(query("stream_name > :s")).send().await),
            "ValidationException: Query key condition not supported",
        ),
        (
            outcome(a(query("stream_name = :t")).send().await),
            "ValidationException: Value provided in ExpressionAttributeValues unused",
        ),
        (
            outcome(query("stream_name = :s").send().await),
            "ValidationException: Invalid KeyConditionExpression",
        ),
        (
            outcome(a(query("status = :s")).send().await),
            "ValidationException: Invalid KeyConditionExpression: Attribute name is a reserved",
        ),
        (
            outcome(a(query("stream_name = :s")).index_name("i").send().await),
            "ValidationException: the sandbox does not support IndexName",
        ),
        (
            outcome(client.scan().table_name("none").send().await),
            "ResourceNotFoundException",
        ),
        (
            outcome(get("stream_name", s("a")).send().await),
            "ValidationException: The provided key element does not match",
        ),
        (
            outcome(
                get("stream_name", n(1))
                    .key("scaling_datetime", s("1"))
                    .send()
                    .await,
            ),
            "ValidationException: The provided key",
        ),
        (
            outcome(
                client
                    .put_item()
                    .table_name(TABLE)
                    .item("stream_name", s("a"))
                    .send()
                    .await,
            ),
            "ValidationException: One or more parameter values were invalid: Missing the key scaling_datetime",
        ),
    ];
    for (got, expected) in outcomes {
        assert!(got.starts_with(expected), "{got}\nexpected {expected}");
    }
}

fn key_of(stream: &str, at: &str) -> std::collections::HashMap<String, AttributeValue> {
    [
        ("stream_name".to_owned(), s(stream)),
        ("scaling_datetime".to_owned(), s(at)),
    ]
    .into()
}

#[tokio::test(start_paused = true)]
async fn a_transaction_happens_whole_or_not_at_all() {
    let (world, client) = world().await;
    let put = |at: &str| {
        let put = Put::builder()
            .table_name(TABLE)
            .set_item(Some(key_of("c", at)));
        TransactWriteItem::builder()
            .put(
                put.condition_expression("attribute_not_exists(stream_name)")
                    .build()
                    .unwrap(),
            )
            .build()
    };
    let delete = TransactWriteItem::builder()
        .delete(
            Delete::builder()
                .table_name(TABLE)
                .set_key(Some(key_of("a", "1")))
                .build()
                .unwrap(),
        )
        .build();
    let update = Update::builder()
        .table_name(TABLE)
        .set_key(Some(key_of("a", "2")))
        .update_expression("ADD shards :n");
    let update = TransactWriteItem::builder()
        .update(
            update
                .expression_attribute_values(":n", n(1))
                .build()
                .unwrap(),
        )
        .build();
    let check = |condition: &str| {
        let check = ConditionCheck::builder()
            .table_name(TABLE)
            .set_key(Some(key_of("a", "3")));
        TransactWriteItem::builder()
            .condition_check(check.condition_expression(condition).build().unwrap())
            .build()
    };
    let all = |items: Vec<TransactWriteItem>| {
        client
            .transact_write_items()
            .set_transact_items(Some(items))
    };
    let before = world.region.items(TABLE);
    let failed = all(vec![
        put("1"),
        delete.clone(),
        check("attribute_not_exists(shards)"),
    ])
    .send()
    .await;
    match failed.unwrap_err().into_service_error() {
        aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(e) => {
            let codes: Vec<_> = e.cancellation_reasons().iter().map(|r| r.code().unwrap_or("?")).collect();
            assert_eq!(codes, ["None", "None", "ConditionalCheckFailed"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.region.items(TABLE), before);
    let good = all(vec![
        put("1"),
        delete,
        update,
        check("attribute_exists(shards)"),
    ])
    .client_request_token("t");
    assert_eq!(outcome(good.clone().send().await), "ok");
    // The same token again has no effect and succeeds.
    assert_eq!(outcome(good.send().await), "ok");
    let items = world.region.items(TABLE);
    let shards: Vec<_> = items.iter().map(|item| item["shards"].clone()).collect();
    assert_eq!(
        shards,
        [
            json!({"N": "3"}),
            json!({"N": "3"}),
            json!({"N": "9"}),
            json!(null)
        ]
    );
    let other = outcome(all(vec![put("2")]).client_request_token("t").send().await);
    assert!(
        other.starts_with("IdempotentParameterMismatchException"),
        "{other}"
    );
    let twice = outcome(all(vec![put("5"), put("5")]).send().await);
    assert!(
        twice.starts_with("ValidationException: Transaction request cannot include multiple"),
        "{twice}"
    );
    assert!(outcome(all(vec![put("1")]).send().await).starts_with("TransactionCanceledException"));
}
