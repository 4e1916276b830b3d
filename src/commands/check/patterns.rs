//! What is wrong with entries that subscribe by pattern.

use autoscaler_core::{pattern::Pattern, subscription::Origin};

use super::{
    Trouble,
    finding::{Finding, Severity},
};
use crate::{commands::subscriptions, reconcile::context::Context};

/// Notes the accounts and Regions whose alarms could not be listed.
pub(super) fn unlisted(context: &Context, trouble: &mut Trouble) {
    for (account, error) in &context.roster.unlisted {
        let region = &context.aws.clients(account).region;
        trouble.note(account, region, error, "");
    }
}

/// Judges the patterns by what the listing of alarms has found.
pub(super) fn of(context: &Context) -> Vec<Finding> {
    let mut found = Vec::new();
    for (title, half) in &context.roster.halves {
        let message = format!(
            "alarm {} does not exist, so {title} does not subscribe the stream",
            half.missing
        );
        let fix = format!(
            "create the pair with `kinesis-autoscaler alarms create --stream {}`, or delete the alarm",
            half.stream
        );
        let finding = Finding::new(Severity::Warning, "half_pair", &half.exists, message, fix);
        found.push(Finding {
            stream: Some(half.stream.clone()),
            ..finding
        });
    }
    let unlisted = &context.roster.unlisted;
    for pattern in &context.config.patterns {
        let account = &pattern.settings.account;
        let is_listed = !unlisted.iter().any(|(of, _)| of == account);
        if is_listed && !subscribes(context, pattern) {
            found.push(nothing(context, pattern));
        }
        if pattern.matches_everything() {
            let message = "it matches every stream that has a pair of alarms";
            let fix = "leave streams out with `except`, or give a prefix, if that is not meant";
            let title = pattern.title();
            let rule = "pattern_matches_everything";
            found.push(Finding::new(Severity::Info, rule, &title, message, fix));
        }
    }
    found
}

fn nothing(context: &Context, pattern: &Pattern) -> Finding {
    let region = &context.aws.clients(&pattern.settings.account).region;
    let message = format!("it subscribes no stream in {region}");
    let alarm = pattern.alarm_name.fill("<stream>", "scale-up");
    let fix = format!(
        "correct `match`, or create the alarms of the streams: {alarm} and its scale-down alarm"
    );
    let rule = "pattern_matches_nothing";
    Finding::new(Severity::Warning, rule, &pattern.title(), message, fix)
}

/// Whether a stream comes from the pattern, or is named by another entry in spite of it.
fn subscribes(context: &Context, pattern: &Pattern) -> bool {
    let region = &context.aws.clients(&pattern.settings.account).region;
    context.roster.subscriptions().any(|subscription| {
        let is_there = subscriptions::region(context, subscription) == region
            && subscription.account.name() == pattern.settings.account.name();
        is_there && pattern.matches(subscription.label())
    })
}

/// The entry of a subscription, as messages name it.
pub(super) fn entry(context: &Context, origin: &Origin, index: usize) -> String {
    match origin {
        Origin::Pattern(entry) | Origin::Conflict(entry) => entry.to_string(),
        Origin::Named => format!("streams[{}]", context.config.entry(index)),
    }
}
