//! The sandbox through the real SDK clients.

mod cloudwatch;
mod demo;
mod dynamodb;
mod faults;
mod kinesis;
mod metric_data;
mod mute_rules;
mod sns;

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::{
    error::metadata::ProvideErrorMetadata, retry::RetryConfig, timeout::TimeoutConfig,
};
use jiff::{SignedDuration, Timestamp};

use super::*;

/// A clock that advances with tokio's and can be set.
#[derive(Clone)]
struct Clock {
    origin: Timestamp,
    started: tokio::time::Instant,
    jumped: Arc<Mutex<SignedDuration>>,
}

impl Clock {
    fn new(origin: &str) -> Self {
        Self {
            origin: origin.parse().expect("a time"),
            started: tokio::time::Instant::now(),
            jumped: Arc::default(),
        }
    }

    fn now(&self) -> Timestamp {
        let run = SignedDuration::try_from(self.started.elapsed()).expect("short");
        self.origin + run + *lock(&self.jumped)
    }

    fn jump(&self, by: SignedDuration) {
        *lock(&self.jumped) += by;
    }
}

const REGION: &str = "eu-west-1";

/// A sandbox at noon of a fixed day, with clients for it.
struct World {
    sandbox: Sandbox,
    region: RegionHandle,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        let clock = Clock::new("2026-11-22T12:00:00Z");
        let time = clock.clone();
        let sandbox = Sandbox::new(move || time.now());
        let region = sandbox.region(REGION);
        Self {
            sandbox,
            region,
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, minutes: i64) {
        self.clock.jump(SignedDuration::from_mins(minutes));
    }

    fn kinesis(&self) -> aws_sdk_kinesis::Client {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(aws_sdk_kinesis::config::Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .http_client(self.sandbox.http_client());
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(aws_sdk_cloudwatch::config::BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(aws_sdk_cloudwatch::config::Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .http_client(self.sandbox.http_client());
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }

    fn sns(&self) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(aws_sdk_sns::config::Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .http_client(self.sandbox.http_client());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(aws_sdk_dynamodb::config::Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .http_client(self.sandbox.http_client());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }
}

fn credentials() -> Credentials {
    Credentials::new("AKIATEST", "secret", None, None, "test")
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(10))
        .build()
}

/// `ok`, or the error's code and message.
fn outcome<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(SdkError::ServiceError(error)) => {
            let error = error.err();
            let (code, message) = (error.code(), error.message());
            format!("{}: {}", code.unwrap_or("?"), message.unwrap_or("?"))
        }
        Err(SdkError::TimeoutError(_)) => "timeout".into(),
        Err(SdkError::DispatchFailure(error)) if error.is_io() => "io".into(),
        Err(SdkError::DispatchFailure(_)) => "dispatch".into(),
        Err(SdkError::ResponseError(_)) => "response".into(),
        Err(_) => "construction".into(),
    }
}
