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
    #[error("{url} cannot be reached{proxy}")]
    Unreached {
        url: String,
        /// The proxy that the environment names, in brackets.
        proxy: String,
        source: ConnectorError,
    },
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

/// A client for one scheme, and the note on its proxy.
#[derive(Clone, Debug)]
pub(super) struct Scheme<T> {
    pub client: T,
    pub proxy: Option<String>,
}

/// One client of those for each scheme, whose failures name the URL and the proxy.
pub(super) fn describing(
    https: Scheme<SharedHttpClient>,
    http: Scheme<SharedHttpClient>,
) -> SharedHttpClient {
    SharedHttpClient::new(Describing { https, http })
}

#[derive(Clone, Debug)]
struct Describing<T> {
    https: Scheme<T>,
    http: Scheme<T>,
}

impl Scheme<SharedHttpClient> {
    fn connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> Scheme<SharedHttpConnector> {
        Scheme {
            client: self.client.http_connector(settings, components),
            proxy: self.proxy.clone(),
        }
    }
}

impl HttpClient for Describing<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Describing {
            https: self.https.connector(settings, components),
            http: self.http.connector(settings, components),
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
        let scheme = match url.starts_with("https:") {
            true => &self.https,
            false => &self.http,
        };
        let proxy = scheme.proxy.clone();
        let answer = scheme.client.call(request);
        HttpConnectorFuture::new(async move {
            match answer.await {
                Ok(response) if signed => from_aws(response, url),
                Ok(response) => Ok(response),
                Err(error) => Err(described(error, url, proxy)),
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
fn described(error: ConnectorError, url: String, proxy: Option<String>) -> ConnectorError {
    let (io, timeout, user, other) = (
        error.is_io(),
        error.is_timeout(),
        error.is_user(),
        error.as_other(),
    );
    let failure = Failure::Unreached {
        url,
        proxy: proxy.map(|note| format!(" ({note})")).unwrap_or_default(),
        source: error,
    };
    let failure = failure.into();
    match () {
        () if timeout => ConnectorError::timeout(failure),
        () if io => ConnectorError::io(failure),
        () if user => ConnectorError::user(failure),
        () => ConnectorError::other(failure, other),
    }
}
