//! Provisioned streams that nothing subscribes.

use std::collections::BTreeSet;

use autoscaler_core::subscription::Account;

use crate::reconcile::context::Context;

/// The most streams of an account that are examined.
const MOST_STREAMS: usize = 1_000;

/// The provisioned streams of the configured accounts that are not among `subscribed`, with their
/// Regions.
///
/// An account whose streams cannot be listed has none; the missing permission is a finding of its
/// own.
pub async fn streams(
    context: &Context,
    subscribed: &BTreeSet<(&Account, &str)>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (account, clients) in context.aws.all_clients() {
        // An account that only has the log table is not examined.
        if !context.subscribes_in(account) {
            continue;
        }
        let names = clients.kinesis.provisioned_streams(MOST_STREAMS).await;
        let names = names.unwrap_or_default().into_iter();
        let missing = names.filter(|name| !subscribed.contains(&(account, name.as_str())));
        found.extend(missing.map(|name| (name, clients.region.clone())));
    }
    found.sort();
    found.dedup();
    found
}
