//! The HTTP client for the SDK. It answers requests from the world and injects faults.

use std::{future::pending, io, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};

use super::{
    Call, Fault, Sandbox,
    wire::{self, Answer, ApiError, Request},
    world::Context,
};

impl Sandbox {
    /// Returns the HTTP client to pass to the SDK's clients.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

impl HttpClient for Sandbox {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sandbox {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = self.clone();
        HttpConnectorFuture::new(async move { sandbox.answer(&request).await })
    }
}

impl Sandbox {
    async fn answer(&self, http: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let latency = self.world().latency;
        sleep(latency).await;
        let request = match Request::parse(http) {
            Ok(request) => request,
            Err((service, error)) => return Ok(wire::respond(service, "", 0, &Err(error))),
        };
        let call = self.call_of(&request);
        let answer = match self.fault(&call) {
            Fault::None => self.apply(&request, false),
            Fault::Refuse {
                status,
                code,
                message,
            } => Err(ApiError::new(status, &code, message)),
            Fault::Throttle => Err(self.world().throttle(&request)),
            Fault::HangBefore => {
                self.record(call, "HangBefore".into());
                return pending().await;
            }
            Fault::HangAfter => {
                let answer = self.apply(&request, false);
                self.record(call, format!("HangAfter: {}", outcome(&answer)));
                return pending().await;
            }
            Fault::ResetBefore => {
                self.record(call, "ResetBefore".into());
                return Err(reset());
            }
            Fault::ResetAfter => {
                let answer = self.apply(&request, false);
                self.record(call, format!("ResetAfter: {}", outcome(&answer)));
                return Err(reset());
            }
            Fault::Twice => {
                let first = self.apply(&request, false);
                self.record(call.clone(), outcome(&first).to_owned());
                self.apply(&request, false)
            }
            Fault::Slow(delay) => {
                let answer = self.apply(&request, false);
                let id = self.answered(call, &answer);
                sleep(delay).await;
                return Ok(self.respond(&request, id, &answer));
            }
            Fault::PartialPage => self.apply(&request, true),
        };
        let id = self.answered(call, &answer);
        Ok(self.respond(&request, id, &answer))
    }

    /// The response. A success carries the sandbox's time in `Date`.
    ///
    /// An error does not: the SDK would compare the date with the machine's clock, take the
    /// difference for clock skew, and retry a denied request.
    fn respond(&self, request: &Request, id: u64, answer: &Answer) -> HttpResponse {
        let mut response = wire::respond(request.service, &request.operation, id, answer);
        if answer.is_err() {
            return response;
        }
        let date = self.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // A date has no character that a header cannot have.
        let _ = response.headers_mut().try_insert("date", date);
        response
    }

    fn call_of(&self, request: &Request) -> Call {
        Call {
            at: self.now(),
            region: request.region.clone(),
            account: self.world().account_of(&request.access_key),
            service: request.service.name(),
            operation: request.operation.clone(),
            resource: request.resource(),
            metrics: request.metrics(),
            outcome: String::new(),
        }
    }

    fn apply(&self, request: &Request, partial: bool) -> Answer {
        let now = self.now();
        self.world().answer(request, &Context { now, partial })
    }

    fn record(&self, mut call: Call, outcome: String) {
        call.outcome = outcome;
        self.world().record(call);
    }

    /// Counts and records an answered call. Returns the request's number.
    fn answered(&self, call: Call, answer: &Answer) -> u64 {
        let mut world = self.world();
        *world.calls.entry(call.operation.clone()).or_default() += 1;
        world.requests += 1;
        let id = world.requests;
        drop(world);
        self.record(call, outcome(answer).to_owned());
        id
    }
}

fn outcome(answer: &Answer) -> &str {
    answer
        .as_ref()
        .map_or_else(|error| error.code.as_str(), |_| "ok")
}

fn reset() -> ConnectorError {
    let error = io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
    ConnectorError::io(error.into())
}

async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
