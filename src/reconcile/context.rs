//! What every part of the program works with.

use std::sync::Arc;

use crate::{
    aws::Aws,
    config::Config,
    reconcile::{clock::Clock, lease::Lease, scaling_log::ScalingLog},
};

/// The configuration, and what was made from it: clients, log, clock, lease.
#[derive(Debug)]
pub struct Context {
    pub config: Config,
    pub aws: Aws,
    pub scaling_log: ScalingLog,
    pub clock: Clock,
    /// Everything but writes.
    pub dry_run: bool,
    /// Where several hosts stand by for each other.
    pub lease: Option<Arc<Lease>>,
}
