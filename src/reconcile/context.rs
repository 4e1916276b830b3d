//! What every part of the program works with.

use std::sync::Arc;

use autoscaler_core::subscription::{Subscription, SubscriptionId};

use crate::{
    aws::{Aws, RegionClients},
    config::Config,
    reconcile::{clock::Clock, lease::Lease, scaling_log::ScalingLog},
};

/// The configuration, and what was made from it: clients, scaling log, clock, lease.
#[derive(Debug)]
pub struct Context {
    pub config: Config,
    pub aws: Aws,
    pub scaling_log: ScalingLog,
    pub clock: Clock,
    /// No writes are made.
    pub dry_run: bool,
    /// Set where several hosts share one configuration and only one acts.
    pub lease: Option<Arc<Lease>>,
}

impl Context {
    /// The subscription with this id, which must come from this configuration.
    pub fn subscription(&self, id: SubscriptionId) -> &Subscription {
        &self.config.subscriptions[id.index()]
    }

    /// Every subscription's id, in the order of the configuration.
    pub fn subscription_ids(&self) -> impl Iterator<Item = SubscriptionId> + use<> {
        (0..self.config.subscriptions.len()).map(SubscriptionId::new)
    }

    /// The AWS clients of a subscription's account and Region.
    pub fn clients_of(&self, subscription: &Subscription) -> &Arc<RegionClients> {
        self.aws.clients(&subscription.account)
    }
}
