//! What every part of the program works with.

use std::{path::Path, sync::Arc};

use autoscaler_core::subscription::{Subscription, SubscriptionId};

use crate::{
    aws::{Aws, RegionClients},
    config::Config,
    output::error::chain,
    reconcile::{clock::Clock, lease::Lease, scaling_log::ScalingLog, spool::Spool},
};

/// The kind of process, which decides whether it owns the spool and takes the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Daemon,
    /// A single run. Markers in the scaling log keep runs on several hosts apart.
    Once,
    /// A command, perhaps beside a daemon.
    Command,
    /// A replay, which leaves nothing on this machine.
    Replay,
}

/// The process that a context is for.
#[derive(Clone, Debug)]
pub struct Process {
    /// This machine's name, for rows and leases.
    pub host: String,
    pub role: Role,
    pub dry_run: bool,
}

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
    /// The context of a process, without any request sent.
    pub fn new(config: Config, aws: Aws, clock: Clock, process: Process) -> Self {
        let Process {
            host,
            role,
            dry_run,
        } = process;
        let lease = config
            .high_availability
            .as_ref()
            // A dry run must not take the lease from a host that acts.
            .filter(|_| role == Role::Daemon && !dry_run);
        let lease = lease.map(|high| {
            let (log, clock) = (aws.log.clone(), clock.clone());
            Arc::new(Lease::new(log, clock, &host, high.lease_duration))
        });
        let spool = spool(&config.state_dir, role, dry_run);
        let scaling_log = ScalingLog::new(&config, aws.log.clone(), host, spool);
        Self {
            config,
            aws,
            scaling_log,
            clock,
            dry_run,
            lease,
        }
    }

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

fn spool(state_dir: &Path, role: Role, dry_run: bool) -> Spool {
    match role {
        _ if dry_run => Spool::peek(state_dir),
        Role::Replay => Spool::none(),
        Role::Command => Spool::apart(state_dir),
        // A scale-up is never blocked by the scaling log, nor by its spool.
        Role::Daemon | Role::Once => Spool::open(state_dir).unwrap_or_else(|error| {
            let hint = "correct the permissions of the state directory, or set `state_dir`";
            tracing::error!(
                error = chain(&error),
                hint,
                "rows that DynamoDB refuses would be lost"
            );
            Spool::none()
        }),
    }
}
