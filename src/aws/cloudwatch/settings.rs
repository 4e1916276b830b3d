//! Converts alarm settings from and to the SDK's types.

use autoscaler_core::priority::Priority;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricStat,
};

use super::{CloudWatch, Definition, Rewrite, put_request};
use crate::aws::{Error, Operation, text::clean};
use autoscaler_core::alarm::{self, Query, Settings};

impl Definition {
    /// What the alarm measures, and when it fires.
    pub fn settings(&self) -> Settings {
        let whole = &self.whole;
        let text = |text: Option<&str>| clean(text.unwrap_or_default());
        Settings {
            alarm_name: text(whole.alarm_name()),
            alarm_description: whole.alarm_description().map(clean),
            actions_enabled: whole.actions_enabled().unwrap_or(true),
            alarm_actions: whole.alarm_actions().iter().map(|it| clean(it)).collect(),
            evaluation_periods: count(whole.evaluation_periods()),
            datapoints_to_alarm: whole.datapoints_to_alarm().map(|n| count(Some(n))),
            threshold: whole.threshold(),
            comparison_operator: text(whole.comparison_operator().map(ComparisonOperator::as_str)),
            treat_missing_data: clean(whole.treat_missing_data().unwrap_or("missing")),
            metrics: whole.metrics().iter().map(query).collect(),
            warms_up: whole.warm_up_configuration().is_some(),
        }
    }
}

impl CloudWatch {
    /// Creates an alarm, or replaces everything of one but its state and its tags.
    pub async fn put(&self, settings: &Settings, priority: Priority) -> Result<(), Error> {
        self.limiters.put_metric_alarm.acquire(priority).await;
        let periods = i32::try_from(settings.evaluation_periods).unwrap_or(i32::MAX);
        let sent = self
            .client
            .put_metric_alarm()
            .alarm_name(&settings.alarm_name)
            .set_alarm_description(settings.alarm_description.clone())
            .actions_enabled(settings.actions_enabled)
            .set_alarm_actions(Some(settings.alarm_actions.clone()))
            .evaluation_periods(periods)
            .set_datapoints_to_alarm(
                settings
                    .datapoints_to_alarm
                    .map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
            )
            .set_threshold(settings.threshold)
            .comparison_operator(settings.comparison_operator.as_str().into())
            .treat_missing_data(&settings.treat_missing_data)
            .set_metrics(Some(settings.metrics.iter().map(sdk_query).collect()))
            .send()
            .await;
        sent.map_err(|error| {
            Error::from_sdk(Operation::PutMetricAlarm, error)
                .slowing(&self.limiters.put_metric_alarm)
        })?;
        Ok(())
    }
}

impl CloudWatch {
    /// Replaces what `settings` has of an alarm that exists, and keeps every other field as it was
    /// read.
    pub async fn revise(
        &self,
        existing: &Definition,
        settings: &Settings,
        priority: Priority,
    ) -> Result<(), Error> {
        self.limiters.put_metric_alarm.acquire(priority).await;
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let rewrite = Rewrite {
            // The queries, and with them the count, are replaced below.
            shard_count: 0,
            actions_enabled: settings.actions_enabled,
        };
        let sent = put_request(&self.client, existing.whole.clone(), rewrite)
            .evaluation_periods(number(settings.evaluation_periods))
            .set_datapoints_to_alarm(settings.datapoints_to_alarm.map(number))
            .set_threshold(settings.threshold)
            .comparison_operator(settings.comparison_operator.as_str().into())
            .set_metrics(Some(settings.metrics.iter().map(sdk_query).collect()))
            .send()
            .await;
        sent.map_err(|error| {
            Error::from_sdk(Operation::PutMetricAlarm, error)
                .slowing(&self.limiters.put_metric_alarm)
        })?;
        Ok(())
    }
}

fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn query(query: &MetricDataQuery) -> Query {
    Query {
        id: clean(query.id().unwrap_or_default()),
        label: query.label().map(clean),
        expression: query.expression().map(clean),
        metric_stat: query.metric_stat().map(metric_stat),
        // DescribeAlarms leaves it out where it is true.
        return_data: query.return_data().unwrap_or(true),
    }
}

fn metric_stat(stat: &MetricStat) -> alarm::MetricStat {
    let metric = stat.metric();
    let dimensions = metric.map(Metric::dimensions).unwrap_or_default();
    let text = |text: Option<&str>| clean(text.unwrap_or_default());
    alarm::MetricStat {
        metric: alarm::Metric {
            namespace: text(metric.and_then(Metric::namespace)),
            metric_name: text(metric.and_then(Metric::metric_name)),
            dimensions: dimensions
                .iter()
                .map(|dimension| alarm::Dimension {
                    name: text(dimension.name()),
                    value: text(dimension.value()),
                })
                .collect(),
        },
        period_seconds: count(stat.period()),
        stat: text(stat.stat()),
    }
}

fn sdk_query(query: &Query) -> MetricDataQuery {
    let stat = query.metric_stat.as_ref().map(|stat| {
        let dimensions = stat.metric.dimensions.iter().map(|dimension| {
            Dimension::builder()
                .name(&dimension.name)
                .value(&dimension.value)
                .build()
        });
        let metric = Metric::builder()
            .namespace(&stat.metric.namespace)
            .metric_name(&stat.metric.metric_name)
            .set_dimensions(Some(dimensions.collect()))
            .build();
        MetricStat::builder()
            .metric(metric)
            .period(i32::try_from(stat.period_seconds).unwrap_or(i32::MAX))
            .stat(&stat.stat)
            .build()
    });
    MetricDataQuery::builder()
        .id(&query.id)
        .set_label(query.label.clone())
        .set_expression(query.expression.clone())
        .set_metric_stat(stat)
        .return_data(query.return_data)
        .build()
}
