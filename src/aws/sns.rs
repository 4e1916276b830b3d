//! SNS: the topic that notifications are published to.

use autoscaler_core::priority::Priority;
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;

use super::{Error, Operation, rate_limit::RateLimiter};

/// Notifications that are published in a second, far below the quota of any Region
/// (<https://docs.aws.amazon.com/general/latest/gr/sns.html>).
const PER_SECOND: f64 = 10.0;

/// The messages of a FIFO topic are delivered in order within their group.
const GROUP: &str = "kinesis-autoscaler";

/// A topic of SNS.
#[derive(Clone, Debug)]
pub struct Topic {
    client: Client,
    limiter: RateLimiter,
    pub arn: String,
}

impl Topic {
    pub(super) fn new(sdk: &SdkConfig, interceptor: SharedInterceptor, arn: &str) -> Self {
        let config = aws_sdk_sns::config::Builder::from(sdk)
            .interceptor(interceptor)
            .build();
        Self {
            client: Client::from_conf(config),
            limiter: RateLimiter::new(PER_SECOND),
            arn: arn.to_owned(),
        }
    }

    /// Publishes a message (Publish). A FIFO topic drops a second one with the same `id`.
    pub async fn publish(&self, id: &str, subject: &str, message: &str) -> Result<(), Error> {
        self.limiter.acquire(Priority::FIRST).await;
        let request = self.client.publish().topic_arn(&self.arn);
        let request = request.subject(subject).message(message);
        let request = match self.arn.ends_with(".fifo") {
            true => request
                .message_group_id(GROUP)
                .message_deduplication_id(deduplication_id(id)),
            false => request,
        };
        let sent = Box::pin(request.send()).await;
        sent.map_err(|error| Error::from_sdk(Operation::Publish, error).slowing(&self.limiter))?;
        Ok(())
    }

    /// Reads whether the topic is there (GetTopicAttributes).
    pub async fn check(&self) -> Result<(), Error> {
        let request = self.client.get_topic_attributes().topic_arn(&self.arn);
        let sent = Box::pin(request.send()).await;
        sent.map_err(|error| Error::from_sdk(Operation::GetTopicAttributes, error))?;
        Ok(())
    }
}

/// At most 128 printable ASCII characters, of which the last tell events apart.
fn deduplication_id(id: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let text: String = id.chars().map(printable).collect();
    text[text.len().saturating_sub(128)..].to_owned()
}
