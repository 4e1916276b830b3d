//! Amazon Web Services through the SDK: the only module that names `aws_sdk_*` types.
//!
//! Calls return the project's own values and one [`Error`]. Every call has a deadline; reads and idempotent writes are retried by the
//! SDK, UpdateShardCount never is. The SDK's futures, of thousands of bytes each, are boxed where a stream's task makes the call: in a storm
//! ten thousand tasks wait, and would all carry room for them.

mod cloudwatch;
mod credentials;
mod dynamodb;
mod error;
mod kinesis;
mod meter;
mod pre_send_check;
mod rate_limit;
mod text;
mod transport;
mod unknown_fields;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, sts::AssumeRoleProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::{
    interceptors::SharedInterceptor, stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};

pub use cloudwatch::{CloudWatch, Definition, MuteRule, Rewrite, STREAMS_PER_CALL};
pub use dynamodb::{
    Condition, HASH_KEY, Item, RANGE_KEY, TTL_ATTRIBUTE, Table, TableState, Value, Write,
};
pub use error::{Error, Kind, Operation};
pub use kinesis::Kinesis;
pub use meter::{Counts, Meter};
pub use pre_send_check::PreSendCheck;
pub use rate_limit::SemaphorePermit;
pub use transport::Transport;

use self::{credentials::Named, rate_limit::RateLimiters, unknown_fields::KnownFields};
use crate::config::Config;
use autoscaler_core::subscription::Account;

/// The services of one account in one Region, with their limiters.
#[derive(Clone, Debug)]
pub struct RegionClients {
    pub region: String,
    pub cloudwatch: CloudWatch,
    pub kinesis: Kinesis,
    sdk: SdkConfig,
}

/// All accounts and Regions that the configuration names.
#[derive(Clone, Debug)]
pub struct Aws {
    all_clients: BTreeMap<Account, Arc<RegionClients>>,
    pub log: Table,
    pub meter: Meter,
}

/// What the SDK could not settle before the first request.
#[derive(Debug, thiserror::Error)]
#[error("no AWS Region is set for {0}")]
pub struct NoRegion(String);

impl NoRegion {
    /// What to do about it.
    pub fn hint(&self) -> String {
        "set `region` under [aws], or AWS_REGION, or a region in the AWS profile".to_owned()
    }
}

impl Aws {
    /// Makes the clients; no request is sent yet, and credentials are looked for with the first one.
    pub async fn connect(config: &Config, transport: Transport) -> Result<Self, NoRegion> {
        let meter = Meter::default();
        let known_fields = KnownFields::new(&config.ignore_fields);
        let mut all_clients = BTreeMap::new();
        // One Region may be named, and found by the SDK as well: the quota is the same.
        let mut limiters_by_account: BTreeMap<Account, RateLimiters> = BTreeMap::new();
        for account in config.accounts() {
            if all_clients.contains_key(account) {
                continue;
            }
            let sdk = load(account, config.call_timeout, &transport).await;
            let Some(region) = sdk.region().map(ToString::to_string) else {
                return Err(NoRegion(account.to_string()));
            };
            let found = Account {
                region: Some(region.as_str().into()),
                ..account.clone()
            };
            let limiters = limiters_by_account
                .entry(found)
                .or_insert_with(|| RateLimiters::new(&config.quotas))
                .clone();
            let interceptor = SharedInterceptor::new(meter.clone());
            let clients = RegionClients {
                region,
                cloudwatch: CloudWatch::new(
                    &sdk,
                    interceptor.clone(),
                    limiters.clone(),
                    known_fields.clone(),
                ),
                kinesis: Kinesis::new(&sdk, interceptor, limiters, config.call_timeout),
                sdk,
            };
            all_clients.insert(account.clone(), Arc::new(clients));
        }
        let home = &all_clients[&config.home].sdk;
        let log = Table::new(
            home,
            SharedInterceptor::new(meter.clone()),
            &config.log.table,
            config.call_timeout,
        );
        Ok(Self {
            all_clients,
            log,
            meter,
        })
    }

    /// The services of `account`, which the configuration names.
    pub fn clients(&self, account: &Account) -> &Arc<RegionClients> {
        // `connect` made one for every account of the configuration, and a subscription has no other.
        &self.all_clients[account]
    }

    /// Every account and Region in use.
    pub fn all_clients(&self) -> impl Iterator<Item = (&Account, &Arc<RegionClients>)> {
        self.all_clients.iter()
    }
}

/// Three attempts within the deadline, each with its share of it.
async fn load(account: &Account, call_timeout: Duration, transport: &Transport) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(call_timeout / 3)
        .operation_attempt_timeout(call_timeout / 2)
        .operation_timeout(call_timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(transport.http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &account.region {
        loader = loader.region(Region::new(region.to_string()));
    }
    if let Some(profile) = &account.profile {
        loader = loader.profile_name(&**profile);
    }
    if let Some(credentials) = &transport.credentials {
        loader = loader.credentials_provider(SharedCredentialsProvider::new(credentials.clone()));
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
    builder.build()
}
