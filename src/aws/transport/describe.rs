//! Describes failures on the way to AWS: with the URL, and a captive portal's page as what it is.

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::retry::ErrorKind;

/// A request that got no answer from AWS.
#[derive(Debug, thiserror::Error)]
pub(in crate::aws) enum Failure {
    #[error("{url} cannot be reached")]
    Unreached { url: String, source: ConnectorError },
    #[error("{url} answered HTTP {status} with {content_type}, which is not an answer from AWS")]
    NotAws {
        url: String,
        status: u16,
        content_type: String,
    },
}

impl Failure {
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Unreached { source, .. } if source.is_timeout())
    }
}

/// One client of those for each scheme, whose failures name the URL.
pub(super) fn describing(https: SharedHttpClient, http: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Describing { https, http })
}

#[derive(Clone, Debug)]
struct Describing<T> {
    https: T,
    http: T,
}

impl HttpClient for Describing<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Describing {
            https: self.https.http_connector(settings, components),
            http: self.http.http_connector(settings, components),
        })
    }
}

impl HttpConnector for Describing<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri();
        let url = uri.split_once("://").map_or(uri, |(scheme, rest)| {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            &uri[..scheme.len() + "://".len() + host.len()]
        });
        let url = url.to_owned();
        // The metadata service, which takes unsigned requests, does answer errors with HTML.
        let signed = request.headers().get("authorization").is_some();
        let answer = match url.starts_with("https:") {
            true => self.https.call(request),
            false => self.http.call(request),
        };
        HttpConnectorFuture::new(async move {
            match answer.await {
                Ok(response) if signed => from_aws(response, url),
                Ok(response) => Ok(response),
                Err(error) => Err(described(error, url)),
            }
        })
    }
}

/// Passes what can be an answer of AWS: no service has HTML for one.
fn from_aws(response: HttpResponse, url: String) -> Result<HttpResponse, ConnectorError> {
    let content_type = response.headers().get("content-type").unwrap_or_default();
    if !content_type.starts_with("text/html") {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let failure = Failure::NotAws {
        url,
        status,
        content_type: "text/html".to_owned(),
    };
    // A gateway's 502 or 503 may pass.
    let retry = (status >= 500).then_some(ErrorKind::ServerError);
    Err(ConnectorError::other(failure.into(), retry))
}

/// The same kind of error, so that the SDK retries it as before.
fn described(error: ConnectorError, url: String) -> ConnectorError {
    let (io, timeout, user, other) = (
        error.is_io(),
        error.is_timeout(),
        error.is_user(),
        error.as_other(),
    );
    let failure = Failure::Unreached { url, source: error }.into();
    match () {
        () if timeout => ConnectorError::timeout(failure),
        () if io => ConnectorError::io(failure),
        () if user => ConnectorError::user(failure),
        () => ConnectorError::other(failure, other),
    }
}
