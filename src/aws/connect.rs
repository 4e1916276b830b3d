//! Makes the clients of every account and Region that the configuration names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use autoscaler_core::subscription::{Account, Subscription};
use aws_config::{BehaviorVersion, Region, SdkConfig, sts::AssumeRoleProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::{
    interceptors::SharedInterceptor, stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};

use super::{
    Aws, CloudWatch, Kinesis, Meter, RegionClients, Table, Topic, Transport,
    credentials::{Named, NoProfile, Profile},
    rate_limit::RateLimiters,
    transport::Signer,
    unknown_fields::KnownFields,
};
use crate::config::{Config, Notify};

/// What makes the configuration unusable before the first request.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no AWS Region is set for {0}")]
    NoRegion(String),
    #[error(transparent)]
    NoProfile(#[from] NoProfile),
    #[error("{first} and {second} are the same stream: both are in {account}")]
    Twice {
        first: String,
        second: String,
        account: String,
    },
}

impl ConnectError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoRegion(_) => {
                "set `region` under [aws], or AWS_REGION, or a region in the AWS profile".to_owned()
            }
            Self::NoProfile(error) => error.hint(),
            Self::Twice { .. } => "remove one of the two subscriptions".to_owned(),
        }
    }
}

impl Aws {
    /// Makes the clients. No request is sent yet, and credentials are loaded with the first one.
    ///
    /// # Errors
    /// If an account has no Region or its profile does not exist, or if two subscriptions turn out
    /// to be the same stream.
    pub async fn connect(config: &Config, transport: Transport) -> Result<Self, ConnectError> {
        let meter = Meter::default();
        let interceptor = SharedInterceptor::new(meter.clone());
        let known_fields = KnownFields::new(&config.ignore_fields);
        let mut all_clients: BTreeMap<Account, Arc<RegionClients>> = BTreeMap::new();
        // The Region may be named in one place and found by the SDK in another: the quota is the
        // same.
        let mut limiters_by_account: BTreeMap<Account, RateLimiters> = BTreeMap::new();
        for account in config.accounts() {
            if all_clients.contains_key(account) {
                continue;
            }
            let sdk = load(account, config, &transport).await?;
            let Some(region) = sdk.region().map(ToString::to_string) else {
                return Err(ConnectError::NoRegion(account.to_string()));
            };
            let limiters = limiters_by_account
                .entry(resolved(account, &region))
                .or_insert_with(|| RateLimiters::new(&config.quotas))
                .clone();
            let clients = RegionClients {
                cloudwatch: CloudWatch::new(
                    &sdk,
                    interceptor.clone(),
                    limiters.clone(),
                    known_fields.clone(),
                ),
                kinesis: Kinesis::new(&sdk, interceptor.clone(), limiters, config.call_timeout),
                region,
                sdk,
            };
            all_clients.insert(account.clone(), Arc::new(clients));
        }
        let home = &all_clients[&config.home].sdk;
        let topic = match config.notify.as_ref() {
            Some(notify) => topic(notify, config, &transport, &interceptor).await?,
            None => None,
        };
        let log = Table::new(home, interceptor, &config.log.table, config.call_timeout);
        let aws = Self {
            all_clients,
            log,
            topic,
            meter,
        };
        // With a Region of its own for each account, the configuration has compared them already.
        if limiters_by_account.len() < aws.all_clients.len() {
            aws.each_stream_once(&config.subscriptions)?;
        }
        Ok(aws)
    }

    /// The account with the Region that was found for it: two that are equal are the same one.
    pub fn resolved(&self, account: &Account) -> Account {
        resolved(account, &self.clients(account).region)
    }

    /// Compares the subscriptions by the Regions that were found for them.
    fn each_stream_once(&self, subscriptions: &[Subscription]) -> Result<(), ConnectError> {
        let mut seen: HashMap<(Account, &str), &Subscription> = HashMap::new();
        for subscription in subscriptions {
            let region = &self.clients(&subscription.account).region;
            let account = resolved(&subscription.account, region);
            // The alarms of a pair belong to one stream.
            let names = subscription.stream.as_deref().into_iter();
            for name in names.chain([subscription.alarms.scale_up.as_str()]) {
                let Some(first) = seen.insert((account.clone(), name), subscription) else {
                    continue;
                };
                return Err(ConnectError::Twice {
                    first: described(first),
                    second: described(subscription),
                    account: account.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// The topic, in its own Region, with the account of the scaling log.
async fn topic(
    notify: &Notify,
    config: &Config,
    transport: &Transport,
    interceptor: &SharedInterceptor,
) -> Result<Option<Topic>, ConnectError> {
    let (Some(arn), Some(region)) = (&notify.sns_topic, notify.region()) else {
        return Ok(None);
    };
    let account = Account {
        region: Some(region.into()),
        ..config.home.clone()
    };
    let sdk = load(&account, config, transport).await?;
    Ok(Some(Topic::new(&sdk, interceptor.clone(), arn)))
}

/// The account with the Region that was found for it.
fn resolved(account: &Account, region: &str) -> Account {
    Account {
        region: Some(region.into()),
        ..account.clone()
    }
}

fn described(subscription: &Subscription) -> String {
    let region = subscription.account.region.as_deref();
    let region = region.map_or_else(
        || "without a region".to_owned(),
        |region| format!("with region = \"{region}\""),
    );
    format!("`{}` {region}", subscription.label())
}

/// The SDK's configuration: three attempts within the deadline, each with its share of it.
async fn load(
    account: &Account,
    config: &Config,
    transport: &Transport,
) -> Result<SdkConfig, ConnectError> {
    let deadline = config.call_timeout;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(deadline / 3)
        .operation_attempt_timeout(deadline / 2)
        .operation_timeout(deadline)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(transport.http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &account.region {
        loader = loader.region(Region::new(region.to_string()));
    }
    match (&transport.signer, &account.profile) {
        (Signer::Fixed(credentials), _) => {
            loader = loader.credentials_provider(credentials.clone());
        }
        (Signer::Configured(env), Some(name)) => {
            let profile = Profile::find(name, env, &transport.http).await?;
            loader = loader.profile_name(&**name).credentials_provider(profile);
        }
        (Signer::Configured(_), None) => {}
    }
    let sdk = loader.load().await;
    let provider = match &account.role_arn {
        Some(role) => {
            let assumed = AssumeRoleProvider::builder(&**role).session_name("kinesis-autoscaler");
            let assumed = assumed.configure(&sdk).build().await;
            Some(SharedCredentialsProvider::new(assumed))
        }
        None => sdk.credentials_provider(),
    };
    let named = provider.map(|it| SharedCredentialsProvider::new(Named::new(account, it)));
    let mut builder = sdk.into_builder();
    builder.set_credentials_provider(named);
    Ok(builder.build())
}
