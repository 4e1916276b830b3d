//! DynamoDB: tables of items, with conditional writes, queries and transactions.

mod expression;
mod item;
mod read;
mod reserved;
mod table;
mod transact;
mod value;

use serde_json::{Map, Value};

pub(crate) use table::{Table, Tables};
pub(crate) use value::Item;

use super::{
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};

pub(crate) fn call(
    region: &mut Region,
    operation: &str,
    input: &Map<String, Value>,
    ctx: &Context,
) -> Answer {
    match operation {
        "CreateTable" => table::create(region, input, ctx.now),
        "DescribeTable" => table::describe(region, input),
        "UpdateTimeToLive" => table::update_ttl(region, input),
        "DescribeTimeToLive" => table::describe_ttl(region, input),
        "PutItem" => item::put(region, input),
        "GetItem" => item::get(region, input),
        "DeleteItem" => item::delete(region, input),
        "UpdateItem" => item::update(region, input),
        "Query" => read::query(region, input, ctx),
        "Scan" => read::scan(region, input, ctx),
        "TransactWriteItems" => transact::write(region, input, ctx.now),
        other => Err(ApiError::bad(
            "UnknownOperationException",
            format!("the sandbox does not support dynamodb:{other}"),
        )),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationException", message)
}

/// Refuses a request with members that the sandbox does not support, instead of ignoring them.
fn check_members(input: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    let always = [
        "TableName",
        "ReturnConsumedCapacity",
        "ReturnItemCollectionMetrics",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
    ];
    let unknown =
        |member: &&String| !always.contains(&member.as_str()) && !known.contains(&member.as_str());
    if let Some(member) = input.keys().find(unknown) {
        return Err(invalid(format!("the sandbox does not support {member}")));
    }
    expression::check_substitutions(input).map_err(invalid)
}
