//! The endpoint across reloads: it is rebound only if its address has changed, and counters continue.

use std::{net::SocketAddr, sync::Arc};

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
    /// Finds out what is to be done, and binds a new address already: what is in force stays until
    /// [`Self::make`], unless it is in the way of the new address.
    pub async fn to(
        wanted: Option<&config::Metrics>,
        now: Option<&mut Endpoint>,
    ) -> Result<Self, ListenError> {
        let Some(wanted) = wanted.map(|wanted| wanted.listen) else {
            return Ok(Self::Off);
        };
        let Some(now) = now else {
            return Ok(Self::Move(Listener::bind(wanted).await?));
        };
        if now.server.configured == wanted && now.server.is_up() {
            return Ok(Self::Keep);
        }
        let listener = match Listener::bind(wanted).await {
            // 127.0.0.1 and 0.0.0.0 overlap: no two sockets listen on both with the same port.
            Err(error) if error.is_in_use() && wanted.port() == now.server.address.port() => {
                now.make_way_for(wanted).await?
            }
            bound => bound?,
        };
        Ok(Self::Move(listener))
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

    /// Stops listening and binds `wanted`; where that fails, listens where it did before.
    async fn make_way_for(&mut self, wanted: SocketAddr) -> Result<Listener, ListenError> {
        let before = self.server.address;
        self.server.end().await;
        let refused = match Listener::bind(wanted).await {
            Ok(listener) => return Ok(listener),
            Err(refused) => refused,
        };
        let Ok(listener) = Listener::bind(before).await else {
            return Err(refused.is_off(before));
        };
        let configured = self.server.configured;
        self.server = listener.serve(self.metrics.clone());
        self.server.configured = configured;
        Err(refused.stays_on(before))
    }
}
