//! The permission to write, checked again before every write.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use autoscaler_core::alarm::Direction;

use crate::{
    aws::PreSendCheck,
    reconcile::{
        context::Context,
        lease::{Lease, LeaseTerm},
    },
};

/// The permission to write for one direction. It ends when another host takes over the lease.
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
    /// The permission to write under the lease's `term`, if there is a lease.
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

    /// The same check, which a call repeats after it was signed, just before it is sent.
    pub fn pre_send_check(&self) -> PreSendCheck {
        let guard = self.clone();
        PreSendCheck::new(move || guard.check().is_ok())
    }

    /// Runs `call`, including its wait for a quota and its retries, only while the lease is held.
    ///
    /// One check beforehand is not enough: a process that is suspended in between would send the
    /// call when it resumes. The call itself carries a [`Self::pre_send_check`] for the rest of the
    /// way.
    pub async fn run_while_held<T>(&self, call: impl Future<Output = T>) -> Result<T, LeaseLost> {
        let mut call = pin!(call);
        poll_fn(|waker| match self.check() {
            Ok(()) => call.as_mut().poll(waker).map(Ok),
            Err(lost) => Poll::Ready(Err(lost)),
        })
        .await
    }
}
