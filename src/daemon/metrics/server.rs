//! The endpoint: `/metrics` for Prometheus, `/healthz` for health checks.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{Format, Metrics};
use crate::output::error::{Exit, Failure, Report};

/// So many connections are served at once; others wait.
const CONNECTIONS: usize = 32;
/// A request has to come, and its answer to be taken, within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Before the next try, when no connection can be accepted, as with too many open files.
const PAUSE: Duration = Duration::from_secs(1);

const INDEX: &str = "kinesis-autoscaler: /metrics for Prometheus, /healthz for health checks\n";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("the metrics endpoint cannot listen on {address}{consequence}")]
pub struct ListenError {
    address: SocketAddr,
    /// What that means for an endpoint that had to stop for the attempt.
    consequence: String,
    source: io::Error,
}

impl ListenError {
    /// Whether another socket, perhaps this process's own, is in the way.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }

    /// The same error; the endpoint listens on `address`, as before.
    #[must_use]
    pub fn stays_on(mut self, address: SocketAddr) -> Self {
        self.consequence = format!(", and stays on {address}");
        self
    }

    /// The same error; the endpoint could not go back to `address` either.
    #[must_use]
    pub fn is_off(mut self, address: SocketAddr) -> Self {
        self.consequence = format!(
            ", and no longer on {address}, where it was: no metrics are served until a reload succeeds"
        );
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there; set another `listen` under [metrics]"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; correct `listen` under [metrics]"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 take a right that this process has not; set another `listen` under [metrics]"
            }
            _ => "correct `listen` under [metrics], or remove the section",
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Failed, Report::new(error).hint(hint))
    }
}

/// A bound address that is not served yet.
#[derive(Debug)]
pub struct Listener {
    configured: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds `address`.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let socket = TcpListener::bind(address).await;
        let socket = socket.map_err(|source| ListenError {
            address,
            consequence: String::new(),
            source,
        })?;
        Ok(Self {
            configured: address,
            socket,
        })
    }

    /// Serves `metrics` until the [`Server`] is dropped.
    pub fn serve(self, metrics: Metrics) -> Server {
        let address = self.socket.local_addr().unwrap_or(self.configured);
        tracing::info!(%address, "metrics are served");
        Server {
            configured: self.configured,
            address,
            task: tokio::spawn(accept(self.socket, metrics)),
        }
    }
}

/// The endpoint at work; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// As the configuration has it.
    pub configured: SocketAddr,
    /// As it is; the same unless the port was 0.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Whether it still listens.
    pub fn is_up(&self) -> bool {
        !self.task.is_finished()
    }

    /// Stops listening, and returns when the address is free.
    pub async fn end(&mut self) {
        self.task.abort();
        // The only error is that it was aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(socket: TcpListener, metrics: Metrics) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        // Whatever has ended is forgotten.
        while connections.try_join_next().is_some() {}
        match socket.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                connections.spawn(async move {
                    // Whoever is too slow has to come again.
                    let _ = tokio::time::timeout(WITHIN, connection(stream, metrics)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the metrics endpoint cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, metrics: Metrics) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let metrics = metrics.clone();
        async move { Ok::<_, Infallible>(answer(&request, &metrics)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a request to the metrics endpoint failed");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET is served\n",
        );
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    match request.uri().path() {
        "/metrics" => {
            let accepted = request.headers().get_all(ACCEPT).iter();
            let format = Format::accepted(accepted.filter_map(|value| value.to_str().ok()));
            let page = metrics.exposition(format);
            text(StatusCode::OK, format.content_type(), page)
        }
        "/healthz" => {
            let health = metrics.health();
            let status = match health.healthy {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            // Strings and numbers always serialize.
            let json = serde_json::to_string(&health).unwrap_or_default() + "\n";
            text(status, "application/json", json)
        }
        "/" => text(StatusCode::OK, "text/plain", INDEX),
        _ => text(StatusCode::NOT_FOUND, "text/plain", INDEX),
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
