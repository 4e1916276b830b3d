//! The endpoint across reloads: it is bound anew only where its address has changed, and counts go on.

use std::sync::Arc;

use super::{ListenError, Listener, Metrics, Server};
use crate::{config, reconcile::context::Context};

/// The daemon's figures, and where they are served.
#[derive(Debug)]
pub struct Endpoint {
    metrics: Metrics,
    server: Server,
}

/// What a configuration makes of the endpoint that there is.
#[derive(Debug)]
pub enum Change {
    Keep,
    Off,
    Move(Listener),
}

impl Change {
    /// Finds out what is to be done, and binds a new address already: what is in force stays until [`Self::make`].
    pub async fn to(
        wanted: Option<&config::Metrics>,
        now: Option<&Endpoint>,
    ) -> Result<Self, ListenError> {
        match (wanted, now) {
            (None, _) => Ok(Self::Off),
            (Some(wanted), Some(now)) if wanted.listen == now.server.configured => Ok(Self::Keep),
            (Some(wanted), _) => Ok(Self::Move(Listener::bind(wanted.listen).await?)),
        }
    }

    /// Does it; the figures speak of `context` from now on.
    pub fn make(self, now: Option<Endpoint>, context: &Arc<Context>) -> Option<Endpoint> {
        if let Some(now) = &now {
            now.metrics.adopt(context.clone());
        }
        match self {
            Self::Off => None,
            Self::Keep => now,
            Self::Move(listener) => {
                let metrics = now.map(|now| now.metrics.clone());
                let metrics = metrics.unwrap_or_else(|| Metrics::new(context.clone()));
                let server = listener.serve(metrics.clone());
                Some(Endpoint { metrics, server })
            }
        }
    }
}

impl Endpoint {
    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where they are served.
    pub fn server(&self) -> &Server {
        &self.server
    }
}
