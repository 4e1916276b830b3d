//! Kinesis: the summary of a stream, its shards, and the one call that reshards it.

use autoscaler_core::priority::Priority;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesis::{
    Client,
    operation::list_streams::ListStreamsOutput,
    types::{
        MetricsName, ScalingType, Shard as SdkShard, StreamDescriptionSummary, StreamMode,
        StreamStatus as SdkStatus,
    },
};
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Error, Operation, PreSendCheck, Room, ShardQuota, shard_room::ShardRoom, text::clean};
use crate::aws::rate_limit::{RateLimiters, SemaphorePermit};
use autoscaler_core::{
    facts::{StreamStatus, StreamSummary},
    shards::Shard,
};

/// The deadline of UpdateShardCount: after a longer wait others would already settle its intent.
const RESHARD_TIMEOUT: Duration = Duration::from_secs(20);

/// Which metrics of each shard a stream reports (enhanced monitoring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// IncomingBytes and IncomingRecords.
    pub traffic: bool,
    /// WriteProvisionedThroughputExceeded.
    pub rejected: bool,
}

/// The Kinesis of one account and Region.
#[derive(Clone, Debug)]
pub struct Kinesis {
    client: Client,
    limiters: RateLimiters,
    call_timeout: Duration,
    room: ShardRoom,
}

impl Kinesis {
    pub(super) fn new(
        sdk: &SdkConfig,
        interceptor: SharedInterceptor,
        limiters: RateLimiters,
        call_timeout: Duration,
    ) -> Self {
        let config = aws_sdk_kinesis::config::Builder::from(sdk)
            .interceptor(interceptor)
            .build();
        Self {
            client: Client::from_conf(config),
            limiters,
            call_timeout,
            room: ShardRoom::default(),
        }
    }

    /// Reads status, mode and open shard count (DescribeStreamSummary).
    pub async fn summary(&self, stream: &str, priority: Priority) -> Result<StreamSummary, Error> {
        let described = self.describe(stream, priority).await?;
        Ok(summary_of(&described))
    }

    /// The same, and which metrics of each shard the stream reports.
    pub async fn summary_and_monitoring(
        &self,
        stream: &str,
        priority: Priority,
    ) -> Result<(StreamSummary, Monitoring), Error> {
        let described = self.describe(stream, priority).await?;
        let metrics: Vec<&MetricsName> = described
            .enhanced_monitoring()
            .iter()
            .flat_map(|it| it.shard_level_metrics())
            .collect();
        let is_on = |metric| metrics.contains(&&metric) || metrics.contains(&&MetricsName::All);
        let monitoring = Monitoring {
            traffic: is_on(MetricsName::IncomingBytes) && is_on(MetricsName::IncomingRecords),
            rejected: is_on(MetricsName::WriteProvisionedThroughputExceeded),
        };
        Ok((summary_of(&described), monitoring))
    }

    async fn describe(
        &self,
        stream: &str,
        priority: Priority,
    ) -> Result<StreamDescriptionSummary, Error> {
        self.limiters
            .describe_stream_summary
            .acquire(priority)
            .await;
        let request = self.client.describe_stream_summary().stream_name(stream);
        let reply = Box::pin(request.send()).await.map_err(|error| {
            Error::from_sdk(Operation::DescribeStreamSummary, error)
                .slowing(&self.limiters.describe_stream_summary)
        })?;
        reply.stream_description_summary.ok_or_else(|| {
            Error::unreadable(
                Operation::DescribeStreamSummary,
                "the reply has no StreamDescriptionSummary",
            )
        })
    }

    /// Reads the stream's shards, open and closed (ListShards).
    pub async fn shards(&self, stream: &str) -> Result<Vec<Shard>, Error> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            // The token stands in place of the name.
            let request = match next.take() {
                None => request.stream_name(stream),
                Some(token) => request.next_token(token),
            };
            let sent = request.send().await;
            let reply = sent.map_err(|error| Error::from_sdk(Operation::ListShards, error))?;
            for shard in reply.shards() {
                let unreadable = || {
                    let text = "a shard of the reply has no range of hash keys";
                    Error::unreadable(Operation::ListShards, text)
                };
                shards.push(shard_of(shard).ok_or_else(unreadable)?);
            }
            next = reply.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    /// Waits until the stream may be read for a resharding, shortly before the quota allows one.
    pub async fn admission(&self, priority: Priority) -> SemaphorePermit {
        self.limiters.resharding_slots.acquire(priority).await
    }

    /// Waits until the quota allows one more resharding, then frees the slot. Separate from the
    /// call, so that an intent is not old when it is carried out.
    pub async fn acquire_update_shard_count(
        &self,
        priority: Priority,
        admitted: Option<SemaphorePermit>,
    ) {
        if let Some(admitted) = &admitted {
            admitted.decided();
        }
        self.limiters.update_shard_count.acquire(priority).await;
        drop(admitted);
    }

    /// Reshards to `target` (UpdateShardCount, UNIFORM_SCALING);
    /// [`Self::acquire_update_shard_count`] comes first.
    ///
    /// By name, as [`Self::summary`]: the SDK sends a request by ARN to another host name,
    /// `<account>.control-kinesis.<region>`, which an allow-list or a private DNS may lack although
    /// `check` can read the stream.
    ///
    /// Sent once, never retried: the SDK would take LimitExceededException for throttling, and a
    /// retry after a lost answer gets ResourceInUseException although the first call worked.
    pub async fn update_shard_count(
        &self,
        stream: &str,
        target: u32,
        permit: PreSendCheck,
    ) -> Result<(), Error> {
        let once = aws_sdk_kinesis::config::Config::builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(self.call_timeout.min(RESHARD_TIMEOUT))
                    .build(),
            );
        let request = self
            .client
            .update_shard_count()
            .stream_name(stream)
            .target_shard_count(i32::try_from(target).unwrap_or(i32::MAX))
            .scaling_type(ScalingType::UniformScaling)
            .customize()
            .config_override(once)
            .interceptor(permit);
        Box::pin(request.send()).await.map_err(|error| {
            Error::from_sdk(Operation::UpdateShardCount, error)
                .slowing(&self.limiters.update_shard_count)
        })?;
        Ok(())
    }

    /// Takes room for `more` shards in the account's quota; `None` where AWS has to be asked, because
    /// it refused nothing lately.
    pub async fn take_room(&self, more: u32) -> Option<Room> {
        self.room.take(more).await
    }

    /// Takes room for `more` shards after AWS refused a scale-up that was sent at `sent`.
    pub async fn take_room_after_refusal(&self, more: u32, sent: Instant) -> Result<Room, Error> {
        let read = self.shard_limit();
        self.room.take_after_refusal(more, sent, read).await
    }

    /// The account's shard quota as AWS told it after the last refusal; asks for nothing.
    pub fn known_shard_quota(&self) -> Option<ShardQuota> {
        self.room.told()
    }

    /// Reads the account's shard limit and how many shards are open (DescribeLimits).
    pub async fn shard_limit(&self) -> Result<(u32, u32), Error> {
        let sent = Box::pin(self.client.describe_limits().send()).await;
        let reply = sent.map_err(|error| Error::from_sdk(Operation::DescribeLimits, error))?;
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        Ok((count(reply.shard_limit), count(reply.open_shard_count)))
    }

    /// Reads the names of the account's streams, up to `most` (ListStreams).
    pub async fn stream_names(&self, most: usize) -> Result<Vec<String>, Error> {
        self.list(most, |reply| reply.stream_names).await
    }

    /// Reads the names of the account's streams that are not in on-demand mode, of the first `most`
    /// streams.
    pub async fn provisioned_streams(&self, most: usize) -> Result<Vec<String>, Error> {
        let provisioned = |summary: &aws_sdk_kinesis::types::StreamSummary| {
            let mode = summary
                .stream_mode_details()
                .map(|details| details.stream_mode());
            mode != Some(&StreamMode::OnDemand)
        };
        let names = |reply: ListStreamsOutput| {
            let summaries = reply.stream_summaries.unwrap_or_default().into_iter();
            summaries
                .filter(provisioned)
                .map(|it| it.stream_name)
                .collect()
        };
        self.list(most, names).await
    }

    /// Takes `names` out of each page of the account's streams, until there are `most`.
    async fn list(
        &self,
        most: usize,
        take: impl Fn(ListStreamsOutput) -> Vec<String>,
    ) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let mut next = None;
        loop {
            let sent = self.client.list_streams().set_next_token(next).send().await;
            let reply = sent.map_err(|error| Error::from_sdk(Operation::ListStreams, error))?;
            next = reply.next_token.clone().filter(|_| reply.has_more_streams);
            names.extend(take(reply).iter().map(|name| clean(name)));
            if next.is_none() || names.len() >= most {
                return Ok(names);
            }
            // Stays under 5 calls a second, the quota of the account.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

fn summary_of(described: &StreamDescriptionSummary) -> StreamSummary {
    let mode = described.stream_mode_details.as_ref();
    StreamSummary {
        arn: described.stream_arn.clone(),
        status: match described.stream_status {
            SdkStatus::Active => StreamStatus::Active,
            SdkStatus::Updating => StreamStatus::Updating,
            SdkStatus::Creating => StreamStatus::Creating,
            _ => StreamStatus::Deleting,
        },
        on_demand: mode.is_some_and(|mode| mode.stream_mode == StreamMode::OnDemand),
        open_shards: u32::try_from(described.open_shard_count).unwrap_or(0),
        created_at: Timestamp::from_second(described.stream_creation_timestamp.secs()).ok(),
    }
}

fn shard_of(shard: &SdkShard) -> Option<Shard> {
    let range = shard.hash_key_range.as_ref()?;
    let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
    let sequence = shard.sequence_number_range.as_ref();
    Some(Shard {
        id: clean(&shard.shard_id),
        first_key: range.starting_hash_key.parse().ok()?,
        last_key: range.ending_hash_key.parse().ok()?,
        parents: parents.into_iter().flatten().map(|id| clean(id)).collect(),
        open: sequence.is_none_or(|it| it.ending_sequence_number.is_none()),
    })
}
