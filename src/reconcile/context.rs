//! What every part of the program works with.

use std::{path::Path, sync::Arc};

use autoscaler_core::subscription::{Account, Subscription, SubscriptionId};

use crate::{
    aws::{Aws, RegionClients},
    config::Config,
    output::error::chain,
    reconcile::{
        clock::Clock, lease::Lease, roster::Roster, scaling_log::ScalingLog, spool::Spool,
    },
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

/// The configuration, and what was made from it: clients, scaling log, clock, lease. Clones share
/// them.
#[derive(Clone, Debug)]
pub struct Context {
    pub config: Arc<Config>,
    /// The subscriptions in force.
    pub roster: Arc<Roster>,
    pub aws: Aws,
    pub scaling_log: Arc<ScalingLog>,
    pub clock: Clock,
    /// No writes are made.
    pub dry_run: bool,
    /// This machine's name.
    pub host: String,
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
        let scaling_log = ScalingLog::new(&config, aws.log.clone(), host.clone(), spool);
        let config = Arc::new(config);
        Self {
            roster: Arc::new(Roster::of(config.clone())),
            config,
            aws,
            scaling_log: Arc::new(scaling_log),
            clock,
            dry_run,
            host,
            lease,
        }
    }

    /// The same with other subscriptions in force.
    pub fn with_roster(&self, roster: Roster) -> Self {
        Self {
            roster: Arc::new(roster),
            ..self.clone()
        }
    }

    /// The subscription with this id, which must come from this configuration.
    pub fn subscription(&self, id: SubscriptionId) -> &Subscription {
        self.roster.get(id)
    }

    /// Every subscription's id, first those of the configuration in its order.
    pub fn subscription_ids(&self) -> impl Iterator<Item = SubscriptionId> + use<> {
        let roster = self.roster.clone();
        (0..roster.end())
            .map(SubscriptionId::new)
            .filter(move |id| roster.has(*id))
    }

    /// Whether streams of an account and Region are subscribed, or would be if they had alarms.
    pub fn subscribes_in(&self, account: &Account) -> bool {
        let mut patterns = self.config.patterns.iter();
        let mut subscriptions = self.roster.subscriptions();
        patterns.any(|it| it.settings.account == *account)
            || subscriptions.any(|it| it.account == *account)
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
