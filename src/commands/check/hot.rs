//! Streams that reject records although their shards have room.

use std::{collections::BTreeMap, sync::Arc};

use autoscaler_core::{
    decide::rejected_at_low_usage,
    subscription::{Account, SubscriptionId},
};
use jiff::Timestamp;

use super::finding::{Finding, Severity};
use crate::{
    aws::{Extra, STREAMS_PER_CALL},
    commands::hot_shard::{MEANING, REMEDIES},
    output::table::counted,
    reconcile::{context::Context, inspect},
};

/// A stream whose shard count is stable.
pub struct Steady {
    pub name: String,
    pub shards: u32,
    /// When its alarms were last written.
    pub written: Option<Timestamp>,
}

/// The findings about the last 24 h of these streams. Metrics that cannot be read are reported
/// where the right to read them is tried.
pub async fn of(
    context: &Arc<Context>,
    streams: BTreeMap<SubscriptionId, Steady>,
) -> Vec<(SubscriptionId, Finding)> {
    let mut by_account: BTreeMap<&Account, Vec<(SubscriptionId, Steady)>> = BTreeMap::new();
    for (id, stream) in streams {
        let account = &context.subscription(id).account;
        by_account.entry(account).or_default().push((id, stream));
    }
    let mut found = Vec::new();
    let now = context.clock.now();
    for (account, streams) in by_account {
        let cloudwatch = &context.aws.clients(account).cloudwatch;
        for chunk in streams.chunks(STREAMS_PER_CALL) {
            let extra = Extra {
                rejected: true,
                ..Extra::default()
            };
            let wanted: Vec<_> = chunk.iter().map(|(_, it)| (&*it.name, extra)).collect();
            let window = inspect::last_day(now);
            let Ok(read) = cloudwatch.metrics_of(&wanted, window).await else {
                break;
            };
            for ((id, stream), read) in chunk.iter().zip(read) {
                let Steady {
                    name,
                    shards,
                    written,
                } = stream;
                let rejected = rejected_at_low_usage(&read.traffic, *shards, *written, now);
                found.extend((rejected > 0).then(|| (*id, finding(name, rejected))));
            }
        }
    }
    found
}

fn finding(stream: &str, rejected: u64) -> Finding {
    let message = format!(
        "it {MEANING}: {} in the last 24 h while less than half of its shards was used",
        counted(rejected, "record")
    );
    Finding::new(Severity::Warning, "hot_shard", stream, message, REMEDIES)
}
