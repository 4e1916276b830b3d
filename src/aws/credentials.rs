//! Where credentials come from: what the configuration names is the only source, and errors name
//! it.

use std::{fmt, sync::Arc};

use autoscaler_core::subscription::Account;
use aws_config::{profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};

/// Credentials that could not be had, and where they should have come from.
#[derive(Debug, thiserror::Error)]
#[error("no AWS credentials from {origin}")]
pub(super) struct Unusable {
    origin: Origin,
    source: CredentialsError,
}

impl Unusable {
    /// The profile that the configuration names.
    pub fn profile(&self) -> Option<&str> {
        self.origin.profile.as_deref()
    }
}

/// The source that the configuration names; without one, the SDK's own chain.
#[derive(Clone, Debug)]
struct Origin {
    profile: Option<Arc<str>>,
    role_arn: Option<Arc<str>>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.role_arn, &self.profile) {
            (Some(role), _) => write!(f, "the role {role}"),
            (None, Some(profile)) => write!(f, "the profile `{profile}`"),
            (None, None) => f.write_str("the environment, the AWS profile or the instance role"),
        }
    }
}

/// A provider whose errors name where its credentials should have come from.
#[derive(Debug)]
pub(super) struct Named {
    provider: SharedCredentialsProvider,
    origin: Origin,
}

impl Named {
    pub fn new(account: &Account, provider: SharedCredentialsProvider) -> Self {
        let origin = Origin {
            profile: account.profile.clone(),
            role_arn: account.role_arn.clone(),
        };
        Self { provider, origin }
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let provided = self.provider.provide_credentials().await;
        provided.map_err(|source| {
            let origin = self.origin.clone();
            CredentialsError::provider_error(Unusable { origin, source })
        })
    }
}

impl ProvideCredentials for Named {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

/// The profile that the configuration names, as the only source of credentials: no variable of the
/// environment takes its place.
#[derive(Debug)]
pub(super) struct Profile {
    name: String,
    config: ProviderConfig,
}

/// A profile that is in no file.
#[derive(Debug, thiserror::Error)]
#[error(
    "the AWS profile `{name}` does not exist: it is neither in {config_file} nor in {credentials_file}"
)]
pub struct NoProfile {
    name: String,
    config_file: String,
    credentials_file: String,
}

impl NoProfile {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let name = &self.name;
        format!(
            "correct `profile`, or create the profile with `aws configure --profile {name}` as the user that runs the program"
        )
    }
}

impl Profile {
    /// Looks the profile up in the files that `env` names.
    pub async fn find(name: &str, env: &Env, http: &SharedHttpClient) -> Result<Self, NoProfile> {
        let usual = Default::default();
        let profiles = aws_config::profile::load(&Fs::real(), env, &usual, None).await;
        // Files that cannot be parsed are described by the provider, with the first request.
        if profiles.is_ok_and(|all| all.get_profile(name).is_none()) {
            let file =
                |variable, usual: &str| env.get(variable).unwrap_or_else(|_| usual.to_owned());
            return Err(NoProfile {
                name: name.to_owned(),
                config_file: file("AWS_CONFIG_FILE", "~/.aws/config"),
                credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
            });
        }
        let config = ProviderConfig::without_region().with_http_client(http.clone());
        Ok(Self {
            name: name.to_owned(),
            config: config.load_default_region().await,
        })
    }

    /// Reads the files each time: the SDK's provider would report its first error only once.
    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let provider = ProfileFileCredentialsProvider::builder();
        let provider = provider.configure(&self.config).profile_name(&self.name);
        provider.build().provide_credentials().await
    }
}

impl ProvideCredentials for Profile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
