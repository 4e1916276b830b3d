//! Checks made once for each account and Region: permissions to read, the shard limit, the log
//! table.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    Trouble,
    finding::{Finding, Severity},
};
use crate::{
    aws::{Extra, Kind, Operation, RegionClients, TTL_ATTRIBUTE, Window},
    config::Config,
    reconcile::{context::Context, inspect},
};
use autoscaler_core::{
    datetime::after,
    limits::MAX_SHARDS,
    partition::partition,
    policy::original::step_up,
    subscription::{Account, Subscription},
};

use Severity::{Error, Warning};

/// The IAM policy that the autoscaler needs, for the default name of the log table.
const POLICY: &str = include_str!("../../../config/iam-policy.json");
/// The statement that only an SNS topic needs.
const NOTIFY: &str = "Notify";

/// The policy for this configuration: in the partition of `region`, with its log table, its topic
/// and the roles that it assumes.
pub fn policy(config: &Config, region: &str) -> String {
    let partition = partition(region);
    let text = POLICY.replace("arn:aws:", &format!("arn:{partition}:"));
    // The file is compiled in, and a test reads it.
    let mut policy: Value = serde_json::from_str(&text).unwrap_or_default();
    let roles: BTreeSet<&str> = config
        .accounts()
        .filter_map(|account| account.role_arn.as_deref())
        .collect();
    let statements = policy["Statement"].as_array_mut();
    for statement in statements.into_iter().flatten() {
        if statement["Sid"] == "Log" {
            let table = &config.log.table;
            statement["Resource"] = json!(format!("arn:{partition}:dynamodb:*:*:table/{table}"));
        }
        if let (true, Some(topic)) = (statement["Sid"] == NOTIFY, topic(config)) {
            statement["Resource"] = json!(topic);
        }
    }
    if let Some(statements) = policy["Statement"].as_array_mut() {
        statements.retain(|statement| statement["Sid"] != NOTIFY || topic(config).is_some());
        if !roles.is_empty() {
            // The roles grant the rest; assuming them needs this.
            statements.push(json!({
                "Sid": "Roles", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": roles,
            }));
        }
    }
    // A value that was read from JSON can be written as JSON.
    serde_json::to_string_pretty(&policy).unwrap_or_default() + "\n"
}

/// The operations that the check itself calls.
const TRIED: [Operation; 11] = [
    Operation::DescribeAlarms,
    Operation::DescribeStreamSummary,
    Operation::GetMetricData,
    Operation::ListAlarmMuteRules,
    Operation::DescribeLimits,
    Operation::ListStreams,
    Operation::DescribeTable,
    Operation::DescribeTimeToLive,
    Operation::Query,
    Operation::GetItem,
    Operation::GetTopicAttributes,
];

/// The operations that only a command for people calls, which reports by itself when they are
/// denied.
const OF_COMMANDS: [Operation; 1] = [Operation::ListShards];

fn topic(config: &Config) -> Option<&str> {
    config.notify.as_ref()?.sns_topic.as_deref()
}

/// The actions of the policy that cannot be tried without modifying resources.
pub fn not_tried(config: &Config) -> Vec<String> {
    let policy: Value = serde_json::from_str(POLICY).unwrap_or_default();
    let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
    let actions: BTreeSet<String> = statements
        .iter()
        .filter(|statement| statement["Sid"] != NOTIFY || topic(config).is_some())
        .flat_map(|statement| statement["Action"].as_array().cloned().unwrap_or_default())
        .filter_map(|action| Some(action.as_str()?.to_owned()))
        .collect();
    let tried = |action: &String| {
        let mut tried = TRIED
            .iter()
            .chain(&OF_COMMANDS)
            .map(|operation| operation.iam_action());
        tried.any(|it| it == action)
    };
    actions
        .into_iter()
        .filter(|action| !tried(action))
        .collect()
}

/// A subscription with its stream's name and shards.
#[derive(Clone, Copy, Debug)]
pub struct Sized<'a> {
    pub subscription: &'a Subscription,
    pub stream: &'a str,
    pub shards: u32,
}

/// Tries GetMetricData, ListAlarmMuteRules, ListStreams and DescribeLimits, and compares the shard
/// limit with what the streams may grow to.
pub async fn clients(
    context: &Context,
    account: &Account,
    clients: &RegionClients,
    streams: &[Sized<'_>],
    metric_of: Option<&str>,
    trouble: &mut Trouble,
) -> Vec<Finding> {
    let region = &clients.region;
    let now = context.clock.now();
    if let Some(stream) = metric_of {
        let window = Window {
            from: after(now, SignedDuration::from_mins(-15)),
            ..inspect::last_day(now)
        };
        let extra = Extra::default();
        let traffic = clients.cloudwatch.traffic(stream, extra, window);
        if let Err(error) = traffic.await {
            trouble.note(account, region, &error, stream);
        }
    }
    if let Some(first) = streams.first() {
        let alarm = &first.subscription.alarms.scale_up;
        if let Err(error) = clients
            .cloudwatch
            .active_mute_rules(alarm, context.clock.now())
            .await
        {
            trouble.note(account, region, &error, "");
        }
    }
    if let Err(error) = clients.kinesis.stream_names(1).await {
        trouble.note(account, region, &error, "");
    }
    let mut found = match clients.kinesis.shard_limit().await {
        Ok((limit, open)) => limits(limit, open, streams),
        Err(error) => {
            trouble.note(account, region, &error, "");
            Vec::new()
        }
    };
    for finding in &mut found {
        finding.region = Some(region.clone());
    }
    found
}

/// Compares the account's shard limit with each stream's next scale-up, with each `max_shards` that
/// was set, and with their sum.
fn limits(limit: u32, open: u32, streams: &[Sized]) -> Vec<Finding> {
    const RULE: &str = "shard_limit";
    let fix = "have the account's shard limit raised (Service Quotas), or lower max_shards";
    let mut found = Vec::new();
    let bounded = |subscription: &Subscription| subscription.max_shards < MAX_SHARDS;
    let mut sum: u64 = 0;
    for Sized {
        subscription,
        stream: label,
        shards: n,
    } in streams
    {
        let most = subscription.max_shards;
        sum += u64::from(if bounded(subscription) { most } else { *n });
        if bounded(subscription) && most > limit {
            let message =
                format!("max_shards = {most} is above the account's limit of {limit} shards");
            found.push(of_stream(label, RULE, message, fix));
            continue;
        }
        let next = step_up(*n).min(most);
        let free = limit.saturating_sub(open);
        if next.saturating_sub(*n) > free {
            let message = format!(
                "the next scale-up from {n} to {next} does not fit: {open} of the account's {limit} shards are open"
            );
            found.push(of_stream(label, RULE, message, fix));
        }
    }
    if found.is_empty() && sum > u64::from(limit) {
        let message = format!(
            "together the streams may grow to {sum} shards, and the account's limit is {limit}"
        );
        found.push(Finding::new(Warning, RULE, "max_shards", message, fix));
    }
    found
}

fn of_stream(label: &str, rule: &'static str, message: String, fix: &str) -> Finding {
    let mut finding = Finding::new(Warning, rule, label, message, fix);
    finding.stream = Some(label.to_owned());
    finding
}

/// Checks the log table: its keys, state and TTL, and the permissions to read it.
pub async fn table(context: &Context, trouble: &mut Trouble) -> Vec<Finding> {
    let table = context.scaling_log.table();
    let (name, home) = (&table.name, &context.config.home);
    let region = &context.aws.clients(home).region;
    let create = "create it with `kinesis-autoscaler table create`";
    let mut found = Vec::new();
    let mut add = |severity, rule, message: String, fix: &str| {
        let mut finding = Finding::new(severity, rule, name, message, fix);
        finding.region = Some(region.clone());
        found.push(finding);
    };
    match table.describe().await {
        Err(error) if error.kind == Kind::NotFound => {
            add(
                Error,
                "table_missing",
                "the log table does not exist".to_owned(),
                create,
            );
            return found;
        }
        Err(error) => trouble.note(home, region, &error, ""),
        Ok(state) => {
            if let Some(wrong) = state.wrong_keys() {
                let fix = "name another table in log.table: keys cannot be changed";
                add(Error, "table_keys", wrong, fix);
                return found;
            }
            if !state.active {
                let message = "the log table is not ACTIVE".to_owned();
                add(
                    Warning,
                    "table_not_active",
                    message,
                    "check again when it is",
                );
            }
            match state.ttl_attribute.as_deref() {
                Some(TTL_ATTRIBUTE) => {}
                Some(other) => {
                    let message =
                        format!("its time to live goes by {other}, not by {TTL_ATTRIBUTE}");
                    let fix = format!(
                        "set the TTL attribute to {TTL_ATTRIBUTE}, or rows are never deleted"
                    );
                    add(Warning, "table_ttl", message, &fix);
                }
                None => {
                    let message = "it has no time to live, so rows are never deleted".to_owned();
                    add(
                        Warning,
                        "table_ttl",
                        message,
                        "turn it on with `kinesis-autoscaler table create`",
                    );
                }
            }
        }
    }
    for error in [
        table.query("#check", "!").await.err(),
        table.get("#check", "#check").await.err(),
    ]
    .into_iter()
    .flatten()
    {
        trouble.note(home, region, &error, "");
    }
    found
}
