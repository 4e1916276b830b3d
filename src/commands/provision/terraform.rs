//! The alarms and the log table as Terraform resources.

use autoscaler_core::alarm::{Query, Settings};

use super::hcl::{Block, identifier, text};
use crate::aws::{HASH_KEY, RANGE_KEY, TTL_ATTRIBUTE};

/// A resource for each alarm.
pub fn alarms(alarms: &[Settings]) -> String {
    let resources: Vec<String> = alarms.iter().map(alarm).collect();
    let note = "# kinesis-autoscaler rewrites shardCount in the queries, and actions_enabled at 1 shard.\n\
                # Terraform ignores changes of both; `terraform apply -replace=ADDRESS` applies new queries.\n";
    format!("{note}{}", resources.join("\n"))
}

fn alarm(alarm: &Settings) -> String {
    let name = &alarm.alarm_name;
    let mut block = Block::resource("aws_cloudwatch_metric_alarm", &identifier(name))
        .set("alarm_name", text(name));
    if let Some(description) = &alarm.alarm_description {
        block = block.set("alarm_description", text(description));
    }
    block = block
        .set("actions_enabled", alarm.actions_enabled)
        .set("comparison_operator", text(&alarm.comparison_operator))
        .set("evaluation_periods", alarm.evaluation_periods)
        .set("datapoints_to_alarm", alarm.datapoints());
    if let Some(threshold) = alarm.threshold {
        block = block.set("threshold", threshold);
    }
    block = block.set("treat_missing_data", text(&alarm.treat_missing_data));
    let block = alarm.metrics.iter().map(query).fold(block, Block::with);
    let ignored = "[metric_query, actions_enabled]";
    let lifecycle = Block::new("lifecycle").set("ignore_changes", ignored);
    block.with(lifecycle).render()
}

fn query(query: &Query) -> Block {
    let mut block = Block::new("metric_query").set("id", text(&query.id));
    if let Some(label) = &query.label {
        block = block.set("label", text(label));
    }
    if let Some(expression) = &query.expression {
        block = block.set("expression", text(expression));
    }
    block = block.set("return_data", query.return_data);
    let Some(stat) = &query.metric_stat else {
        return block;
    };
    let dimensions = stat.metric.dimensions.iter();
    let dimensions: Vec<String> = dimensions
        .map(|it| format!("{} = {}", it.name, text(&it.value)))
        .collect();
    block.with(
        Block::new("metric")
            .set("namespace", text(&stat.metric.namespace))
            .set("metric_name", text(&stat.metric.metric_name))
            .set("dimensions", format!("{{ {} }}", dimensions.join(", ")))
            .set("period", stat.period_seconds)
            .set("stat", text(&stat.stat)),
    )
}

/// The log table, which Terraform must not destroy.
pub fn table(name: &str) -> String {
    let attribute = |name| {
        Block::new("attribute")
            .set("name", text(name))
            .set("type", text("S"))
    };
    let ttl = Block::new("ttl")
        .set("attribute_name", text(TTL_ATTRIBUTE))
        .set("enabled", true);
    Block::resource("aws_dynamodb_table", "kinesis_autoscaler_log")
        .set("name", text(name))
        .set("billing_mode", text("PAY_PER_REQUEST"))
        .set("hash_key", text(HASH_KEY))
        .set("range_key", text(RANGE_KEY))
        .with(attribute(HASH_KEY))
        .with(attribute(RANGE_KEY))
        .with(ttl)
        .with(Block::new("lifecycle").set("prevent_destroy", true))
        .render()
}
