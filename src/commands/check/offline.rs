//! What the configuration alone shows, without a question to AWS. Pure.

use std::collections::HashMap;

use autoscaler_core::{subscription::Subscription, window::Window};
use jiff::Timestamp;

use super::{Finding, Findings, windows};
use crate::config::Config;

/// The warnings about a valid configuration, and what is wrong with its windows.
pub fn offline(config: &Config, now: Timestamp) -> Findings {
    let mut findings = Findings::of_configuration(config);
    let several_regions = config
        .accounts()
        .any(|account| account.region != config.home.region);
    let mut judged = Judged::default();
    let mut add = |subscription: &Subscription, subject: String, stream: Option<&str>| {
        let region = subscription.account.region.as_deref();
        let region = region.filter(|_| several_regions);
        for finding in judged.windows(subscription, now) {
            findings.all.push(Finding {
                subject: subject.clone(),
                stream: stream.map(str::to_owned),
                region: region.map(str::to_owned),
                ..finding.clone()
            });
        }
    };
    for subscription in &config.subscriptions {
        let label = subscription.label();
        add(subscription, label.to_owned(), Some(label));
    }
    for pattern in &config.patterns {
        add(&pattern.settings, pattern.title(), None);
    }
    findings
}

/// What is wrong with windows, by where they are in memory and by the bounds that they were judged
/// with: thousands of streams share the same.
#[derive(Default)]
struct Judged(HashMap<(*const Window, u32, u32), Vec<Finding>>);

impl Judged {
    /// The findings about the windows of a stream, with a subject that is to be replaced.
    fn windows(&mut self, subscription: &Subscription, now: Timestamp) -> &[Finding] {
        let Subscription {
            windows,
            min_shards,
            max_shards,
            ..
        } = subscription;
        let key = (windows.as_ptr(), *min_shards, *max_shards);
        self.0
            .entry(key)
            .or_insert_with(|| windows::of(subscription, "", None, now))
    }
}
