//! Streams whose scale-up is held for a reason that a person should know of.

use std::{collections::BTreeMap, sync::Arc};

use autoscaler_core::{
    decision::Decision,
    facts::{Fetched, StreamSummary},
    reason::Reason,
    subscription::SubscriptionId,
    trigger::Trigger,
};

use super::finding::{Finding, Severity};
use crate::{
    commands::subscriptions::{self, Pair},
    reconcile::{context::Context, inspect::Reader},
};

/// What a person can do about each reason that is reported.
const FIXES: [(Reason, Severity, &str); 6] = [
    (
        Reason::AtMaxShards,
        Severity::Warning,
        "raise max_shards, if the stream may grow",
    ),
    (
        Reason::DailyLimit,
        Severity::Warning,
        "ask AWS Support for more UpdateShardCount calls a day; until a slot frees, nothing can reshard it",
    ),
    (
        Reason::Paused,
        Severity::Warning,
        "end it with `kinesis-autoscaler resume`, or enable the alarm's actions, if the stream may grow",
    ),
    (
        Reason::Window,
        Severity::Info,
        "remove the window's hold, if the stream may grow",
    ),
    (
        Reason::Muted,
        Severity::Warning,
        "delete or edit the mute rule, if the stream may grow",
    ),
    (
        Reason::Cooldown,
        Severity::Info,
        "shorten cooldown_up, if scale-ups should not wait",
    ),
];

/// The findings about streams whose scale-up alarm is in ALARM, by subscription.
/// What cannot be read is reported where it is checked.
pub async fn of(
    context: &Arc<Context>,
    read: BTreeMap<SubscriptionId, (Pair, StreamSummary)>,
) -> BTreeMap<SubscriptionId, Option<Finding>> {
    let work = |id: SubscriptionId| {
        let context = context.clone();
        // Only the subscriptions of `read` are asked for.
        let read = read.get(&id).cloned();
        async move {
            let (pair, summary) = read?;
            hold(&context, id, &pair, summary).await
        }
    };
    subscriptions::each(read.keys().copied(), work, || ()).await
}

async fn hold(
    context: &Context,
    id: SubscriptionId,
    pair: &Pair,
    summary: StreamSummary,
) -> Option<Finding> {
    let subscription = context.subscription(id);
    let mut facts = pair.facts();
    facts.stream = Fetched::Found(summary);
    let reader = Reader {
        context,
        subscription,
        now: context.clock.now(),
        shared: None,
    };
    let conclusion = reader.inspect(&Trigger::Alarm, &mut facts).await.ok()?;
    let Decision::Hold { reason, detail, .. } = conclusion.decision else {
        return None;
    };
    if reason == Reason::Paused && conclusion.shards.is_none() {
        // Disabled actions are reported with the alarm.
        return None;
    }
    let (_, severity, fix) = FIXES.iter().find(|(known, ..)| *known == reason)?;
    let message = format!("its scale-up is held ({}): {detail}", reason.code());
    let label = facts.stream_name(subscription);
    Some(Finding::new(*severity, "held", label, message, *fix))
}
