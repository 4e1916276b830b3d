//! Where credentials come from, for the errors that say why there are none.

use std::{fmt, sync::Arc};

use autoscaler_core::subscription::Account;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};

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
