//! The right to write, checked again before every write.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use autoscaler_core::alarm::Direction;

use crate::{
    aws::PreSendCheck,
    reconcile::{
        context::Context,
        lease::{Lease, LeaseTerm},
    },
};

/// The right to write for one direction; it ends when another host takes the lease over.
#[derive(Clone, Debug)]
pub struct LeaseGuard {
    pub lease: Option<Arc<Lease>>,
    pub term: Option<LeaseTerm>,
    pub direction: Direction,
}

/// The lease was lost between two writes. The host that holds it now finds the rest open in the
/// scaling log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host no longer holds the lease")]
pub struct LeaseLost;

impl LeaseGuard {
    /// The right to write under the lease's `term`, where there is a lease.
    pub fn new(context: &Context, term: Option<LeaseTerm>, direction: Direction) -> Self {
        Self {
            lease: context.lease.clone(),
            term,
            direction,
        }
    }

    /// Whether this host may still write.
    pub fn check(&self) -> Result<(), LeaseLost> {
        match (&self.lease, self.term) {
            (Some(lease), Some(term)) if !lease.allows(term, self.direction) => Err(LeaseLost),
            (Some(_), None) => Err(LeaseLost),
            _ => Ok(()),
        }
    }

    /// The same check for a call to make once more when it is signed and about to leave.
    pub fn pre_send_check(&self) -> PreSendCheck {
        let guard = self.clone();
        PreSendCheck::new(move || guard.check().is_ok())
    }

    /// Runs `call`, with its wait for a quota and its retries, only while the lease is held.
    ///
    /// One check beforehand is not enough: a process that is suspended in between would send the
    /// call when it is resumed. The call itself carries a [`Self::pre_send_check`] for the rest of
    /// its way.
    pub async fn run_while_held<T>(&self, call: impl Future<Output = T>) -> Result<T, LeaseLost> {
        let mut call = pin!(call);
        poll_fn(|waker| match self.check() {
            Ok(()) => call.as_mut().poll(waker).map(Ok),
            Err(lost) => Poll::Ready(Err(lost)),
        })
        .await
    }
}
