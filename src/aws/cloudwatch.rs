//! CloudWatch: alarm states, whole alarms, their rewriting, and the metrics of streams.

mod history;
mod metrics;
mod mute_rules;
mod settings;

use std::collections::BTreeSet;

use autoscaler_core::priority::Priority;
use aws_config::SdkConfig;
use aws_sdk_cloudwatch::{
    Client,
    operation::{
        describe_alarms::builders::DescribeAlarmsFluentBuilder,
        put_metric_alarm::builders::PutMetricAlarmFluentBuilder,
    },
    primitives::DateTime,
    types::{
        Dimension, EvaluationState as SdkEvaluationState, Metric, MetricAlarm, MetricDataQuery,
        MetricStat, StateValue,
    },
};
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use jiff::Timestamp;
use serde::Deserialize;

use self::history::History;
use super::{
    Error, Operation, PreSendCheck,
    rate_limit::RateLimiters,
    shared_read::SharedRead,
    text::clean,
    unknown_fields::{KnownFields, UnknownFields},
};
use autoscaler_core::{
    alarm::{Alarm, EvaluationState, GapFill, State},
    limits::ALARMS_PER_CALL,
};

pub use self::metrics::{Extra, STREAMS_PER_CALL, StreamMetrics, Window};
pub use self::mute_rules::MuteRule;

/// The dimension that names the stream of a Kinesis metric.
const STREAM_NAME: &str = "StreamName";

/// The CloudWatch of one account and Region.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    limiters: RateLimiters,
    known_fields: KnownFields,
    history: History,
    /// Whether any mute rule is active.
    has_mute_rules: SharedRead<Result<bool, Error>>,
}

/// An alarm with everything that a rewrite has to keep.
#[derive(Clone, Debug)]
pub struct Definition {
    pub alarm: Alarm,
    whole: MetricAlarm,
}

/// What a rewrite changes; everything else stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub shard_count: u32,
    pub actions_enabled: bool,
}

impl CloudWatch {
    pub(super) fn new(
        sdk: &SdkConfig,
        interceptor: SharedInterceptor,
        limiters: RateLimiters,
        known_fields: KnownFields,
    ) -> Self {
        let config = aws_sdk_cloudwatch::config::Builder::from(sdk)
            .interceptor(interceptor)
            .build();
        Self {
            client: Client::from_conf(config),
            limiters,
            known_fields,
            history: History::default(),
            has_mute_rules: SharedRead::default(),
        }
    }

    /// Reads the alarms in state ALARM whose names begin with `prefix`.
    ///
    /// `None` if they fill more than `max_pages` pages of 100: then asking by name is cheaper.
    pub async fn alarms_in_alarm(
        &self,
        prefix: &str,
        max_pages: usize,
    ) -> Result<Option<Vec<Alarm>>, Error> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..max_pages {
            let request = self
                .client
                .describe_alarms()
                .state_value(StateValue::Alarm)
                .set_alarm_name_prefix(given(prefix))
                .set_next_token(next.take());
            let (page, token) = self.describe(request, Priority::FIRST).await?;
            found.extend(page.into_iter().map(|definition| definition.alarm));
            next = token;
            if next.is_none() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Reads up to [`ALARMS_PER_CALL`] alarms by name; the result lacks those that do not exist.
    pub async fn alarms(
        &self,
        names: &[&str],
        only_in_alarm: bool,
        priority: Priority,
    ) -> Result<Vec<Definition>, Error> {
        let names = names.iter().map(ToString::to_string).collect();
        let request = self
            .client
            .describe_alarms()
            .set_alarm_names(Some(names))
            .set_state_value(only_in_alarm.then_some(StateValue::Alarm));
        self.describe_all(request, priority, |it| it).await
    }

    /// Reads every metric alarm of the account.
    pub async fn every_alarm(&self) -> Result<Vec<Definition>, Error> {
        let request = self.client.describe_alarms();
        self.describe_all(request, Priority::AUDIT, |it| it).await
    }

    /// Reads the names of all metric alarms that begin with `prefix`.
    pub async fn alarm_names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let request = self
            .client
            .describe_alarms()
            .set_alarm_name_prefix(given(prefix));
        self.describe_all(request, Priority::AUDIT, |it| it.alarm.name)
            .await
    }

    /// Reads all pages, and keeps of each alarm what `keep` returns.
    async fn describe_all<T>(
        &self,
        request: DescribeAlarmsFluentBuilder,
        priority: Priority,
        keep: impl Fn(Definition) -> T,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let request = request.clone().set_next_token(next.take());
            let (page, token) = self.describe(request, priority).await?;
            found.extend(page.into_iter().map(&keep));
            next = token;
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    async fn describe(
        &self,
        request: DescribeAlarmsFluentBuilder,
        priority: Priority,
    ) -> Result<(Vec<Definition>, Option<String>), Error> {
        self.limiters.describe_alarms.acquire(priority).await;
        let unknown = UnknownFields::new(self.known_fields.clone());
        let request = request
            .max_records(ALARMS_PER_CALL as i32)
            .customize()
            .interceptor(unknown.clone());
        let reply = Box::pin(request.send()).await.map_err(|error| {
            Error::from_sdk(Operation::DescribeAlarms, error)
                .slowing(&self.limiters.describe_alarms)
        })?;
        let next = reply
            .next_token()
            .filter(|token| !token.is_empty())
            .map(ToOwned::to_owned);
        let alarms = reply.metric_alarms.unwrap_or_default();
        Ok((
            alarms
                .into_iter()
                .map(|whole| {
                    let fields = unknown.of(whole.alarm_name().unwrap_or_default());
                    Definition::read(whole, fields)
                })
                .collect(),
            next,
        ))
    }

    /// Waits until the quota allows one more PutMetricAlarm. Separate from the call, so that the
    /// alarm is read after the wait.
    pub async fn acquire_put_metric_alarm(&self, priority: Priority) {
        self.limiters.put_metric_alarm.acquire(priority).await;
    }

    /// Writes the alarm with another `shardCount` and ActionsEnabled, and every other field as it
    /// was read; [`Self::acquire_put_metric_alarm`] comes first.
    pub async fn rewrite(
        &self,
        definition: &Definition,
        rewrite: Rewrite,
        permit: PreSendCheck,
    ) -> Result<(), Error> {
        let request = put_request(&self.client, definition.whole.clone(), rewrite);
        let sent = Box::pin(request.customize().interceptor(permit).send()).await;
        sent.map_err(|error| {
            Error::from_sdk(Operation::PutMetricAlarm, error)
                .slowing(&self.limiters.put_metric_alarm)
        })?;
        Ok(())
    }

    /// Sets the alarm to INSUFFICIENT_DATA, so that it fires again if its condition still holds.
    pub async fn reset(
        &self,
        alarm: &str,
        reason: &str,
        priority: Priority,
        permit: PreSendCheck,
    ) -> Result<(), Error> {
        self.limiters.set_alarm_state.acquire(priority).await;
        let reason: String = reason.chars().take(1023).collect();
        let request = self.client.set_alarm_state().alarm_name(alarm);
        let request = request
            .state_value(StateValue::InsufficientData)
            .state_reason(reason)
            .customize()
            .interceptor(permit);
        Box::pin(request.send()).await.map_err(|error| {
            Error::from_sdk(Operation::SetAlarmState, error).slowing(&self.limiters.set_alarm_state)
        })?;
        Ok(())
    }
}

/// CloudWatch refuses an empty prefix.
fn given(prefix: &str) -> Option<String> {
    (!prefix.is_empty()).then(|| prefix.to_owned())
}

fn put_request(
    client: &Client,
    whole: MetricAlarm,
    rewrite: Rewrite,
) -> PutMetricAlarmFluentBuilder {
    let mut metrics = whole.metrics;
    for query in metrics
        .iter_mut()
        .flatten()
        .filter(|query| query.id() == Some("shardCount"))
    {
        query.expression = Some(rewrite.shard_count.to_string());
    }
    client
        .put_metric_alarm()
        .set_alarm_name(whole.alarm_name)
        .set_alarm_description(whole.alarm_description)
        .actions_enabled(rewrite.actions_enabled)
        .set_ok_actions(whole.ok_actions)
        .set_alarm_actions(whole.alarm_actions)
        .set_insufficient_data_actions(whole.insufficient_data_actions)
        .set_metric_name(whole.metric_name)
        .set_namespace(whole.namespace)
        .set_statistic(whole.statistic)
        .set_extended_statistic(whole.extended_statistic)
        .set_dimensions(whole.dimensions.filter(|list| !list.is_empty()))
        .set_period(whole.period)
        .set_unit(whole.unit)
        .set_evaluation_periods(whole.evaluation_periods)
        .set_datapoints_to_alarm(whole.datapoints_to_alarm)
        .set_threshold(whole.threshold)
        .set_comparison_operator(whole.comparison_operator)
        .set_treat_missing_data(whole.treat_missing_data)
        .set_evaluate_low_sample_count_percentile(whole.evaluate_low_sample_count_percentile)
        .set_metrics(metrics)
        .set_threshold_metric_id(whole.threshold_metric_id)
        .set_evaluation_window(whole.evaluation_window)
        .set_warm_up_configuration(whole.warm_up_configuration)
        .set_evaluation_criteria(whole.evaluation_criteria)
        .set_evaluation_interval(whole.evaluation_interval)
        .set_action_configuration(whole.action_configuration)
}

impl Definition {
    fn read(whole: MetricAlarm, unknown_fields: Vec<String>) -> Self {
        let queries = whole.metrics();
        let shard_count = queries
            .iter()
            .find(|query| query.id() == Some("shardCount"));
        let incoming: Vec<_> = queries
            .iter()
            .filter(|query| matches!(query.id(), Some("incomingBytes" | "incomingRecords")))
            .collect();
        let account = whole.alarm_arn().and_then(|arn| arn.split(':').nth(4));
        let accounts = incoming.iter().filter_map(|query| query.account_id());
        let alarm = Alarm {
            name: clean(whole.alarm_name().unwrap_or_default()),
            state: match whole.state_value() {
                Some(StateValue::Alarm) => State::Alarm,
                Some(StateValue::Ok) => State::Ok,
                _ => State::InsufficientData,
            },
            state_updated_at: whole.state_updated_timestamp().and_then(timestamp),
            configured_at: whole
                .alarm_configuration_updated_timestamp()
                .and_then(timestamp),
            actions_enabled: whole.actions_enabled().unwrap_or(true),
            shard_count: shard_count.and_then(|query| query.expression()).map(clean),
            streams: incoming.iter().map(|query| stream_name(query)).collect(),
            other_account: accounts
                .into_iter()
                .find(|id| Some(*id) != account)
                .map(clean),
            further_dimensions: further_dimensions(&incoming),
            evaluation_state: whole.evaluation_state().and_then(evaluation_state),
            usage: whole.state_reason_data().and_then(highest_datapoint),
            fills_gaps: gap_fill(queries),
            unknown_fields,
        };
        Self { alarm, whole }
    }
}

fn gap_fill(queries: &[MetricDataQuery]) -> GapFill {
    let expressions: Vec<&str> = queries.iter().filter_map(|it| it.expression()).collect();
    let has = |id: &str| queries.iter().any(|query| query.id() == Some(id));
    GapFill::of(&expressions, has)
}

fn dimensions(query: &MetricDataQuery) -> &[Dimension] {
    let metric = query.metric_stat().and_then(MetricStat::metric);
    metric.map(Metric::dimensions).unwrap_or_default()
}

fn stream_name(query: &MetricDataQuery) -> String {
    let mut all = dimensions(query).iter();
    let name = all.find(|dimension| dimension.name() == Some(STREAM_NAME));
    clean(name.and_then(Dimension::value).unwrap_or_default())
}

/// The dimensions beside StreamName, each once: with one, the metric is not the whole stream's.
fn further_dimensions(incoming: &[&MetricDataQuery]) -> Vec<String> {
    let all = incoming.iter().flat_map(|query| dimensions(query));
    let further = all.filter(|dimension| dimension.name() != Some(STREAM_NAME));
    let named = further.map(|dimension| {
        let [name, value] = [dimension.name(), dimension.value()].map(Option::unwrap_or_default);
        clean(&format!("{name} = {value}"))
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

fn evaluation_state(state: &SdkEvaluationState) -> Option<EvaluationState> {
    Some(match state {
        SdkEvaluationState::PartialData => EvaluationState::PartialData,
        SdkEvaluationState::EvaluationError => EvaluationState::EvaluationError,
        SdkEvaluationState::EvaluationFailure => EvaluationState::EvaluationFailure,
        _ => return None,
    })
}

/// Reads `recentDatapoints` of StateReasonData, the only place where an alarm has its metric
/// without another call.
fn highest_datapoint(state_reason_data: &str) -> Option<f64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ReasonData {
        recent_datapoints: Vec<Option<f64>>,
    }
    let data: ReasonData = serde_json::from_str(state_reason_data).ok()?;
    data.recent_datapoints
        .into_iter()
        .flatten()
        .reduce(f64::max)
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
