//! How requests leave the process: over the network, or into the sandbox.

mod describe;
mod proxy;
mod trust;

use std::path::{Path, PathBuf};

use aws_credential_types::Credentials;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::Env;

pub(super) use self::describe::Failure;
use self::describe::{Scheme, describing};
use self::proxy::Proxy;

/// How requests leave the process, and what signs them.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(super) http: SharedHttpClient,
    pub(super) signer: Signer,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(super) enum Signer {
    /// The profile that the configuration names, or the SDK's own chain; profiles are found by this
    /// environment.
    Configured(Env),
    Fixed(Credentials),
}

/// The surroundings, or the configuration, name something that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("{variable} is not the URL of a proxy: {why}")]
    Proxy { variable: &'static str, why: String },
    #[error("the CA bundle {}, named by {named_by}, cannot be used: {why}", .path.display())]
    CaBundle {
        path: PathBuf,
        named_by: &'static str,
        why: String,
    },
}

impl TransportError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Proxy { .. } => {
                "set it to for example http://proxy.example.com:3128, or unset it"
            }
            Self::CaBundle { .. } => "name a readable file with certificates in PEM format",
        }
    }
}

impl Transport {
    /// TLS over the network, through the proxy that `env` names, trusting the system's authorities
    /// and those of `ca_bundle` and AWS_CA_BUNDLE.
    ///
    /// # Errors
    /// If a proxy is not a URL, or a CA bundle cannot be read.
    pub fn network(env: &Env, ca_bundle: Option<&Path>) -> Result<Self, TransportError> {
        let trusted = trust::store(env, ca_bundle)?;
        let client = |proxy: ProxyConfig| {
            let trusted = trusted.clone();
            Builder::new().build_with_connector_fn(move |settings, components| {
                let mut connector = Connector::builder().proxy_config(proxy.clone());
                connector.set_connector_settings(settings.cloned());
                connector.set_sleep_impl(components.and_then(|it| it.sleep_impl()));
                let context = TlsContext::builder().with_trust_store(trusted.clone());
                let connector = connector.tls_provider(Provider::Rustls(CryptoMode::Ring));
                match context.build() {
                    Ok(context) => connector.tls_context(context).build(),
                    // It has nothing that could be refused: the store was checked before.
                    Err(_) => connector.build(),
                }
            })
        };
        let scheme = |proxy: Proxy| Scheme {
            client: client(proxy.config),
            proxy: proxy.note,
        };
        let (https, http) = (scheme(proxy::https(env)?), scheme(proxy::http(env)?));
        Ok(Self {
            http: describing(https, http),
            signer: Signer::Configured(env.clone()),
        })
    }

    /// A client that answers HTTP in memory; the credentials are made up.
    pub fn embedded(http: SharedHttpClient) -> Self {
        let credentials = Credentials::new("AKIDSANDBOX", "sandbox", None, None, "sandbox");
        let scheme = Scheme {
            client: http,
            proxy: None,
        };
        Self {
            http: describing(scheme.clone(), scheme),
            signer: Signer::Fixed(credentials),
        }
    }
}
