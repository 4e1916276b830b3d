//! An alarm's settings under CloudWatch's own names: serialized, they are the input of
//! `aws cloudwatch put-metric-alarm`.

use serde::Serialize;

/// What an alarm measures, and when it fires.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    pub alarm_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm_description: Option<String>,
    pub actions_enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarm_actions: Vec<String>,
    pub evaluation_periods: u32,
    /// `None` means all evaluation periods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datapoints_to_alarm: Option<u32>,
    /// `None` for alarms that compare with an anomaly detection band.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// For example `GreaterThanOrEqualToThreshold`.
    pub comparison_operator: String,
    pub treat_missing_data: String,
    pub metrics: Vec<Query>,
    /// The alarm has a warm-up period, which a rewrite may restart.
    #[serde(skip)]
    pub warms_up: bool,
}

/// One metric, or one expression over others.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Query {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<MetricStat>,
    /// True for the one query that is compared with the threshold.
    pub return_data: bool,
}

/// A statistic of a metric over a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricStat {
    pub metric: Metric,
    #[serde(rename = "Period")]
    pub period_seconds: u32,
    pub stat: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metric {
    pub namespace: String,
    pub metric_name: String,
    pub dimensions: Vec<Dimension>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

impl Settings {
    /// Whether it fires at high values (`true`), at low values, or neither.
    pub fn fires_above(&self) -> Option<bool> {
        match self.comparison_operator.as_str() {
            "GreaterThanThreshold" | "GreaterThanOrEqualToThreshold" => Some(true),
            "LessThanThreshold" | "LessThanOrEqualToThreshold" => Some(false),
            _ => None,
        }
    }

    /// The statistics that it reads, with the ids of the queries.
    pub fn stats(&self) -> impl Iterator<Item = (&str, &MetricStat)> {
        self.metrics
            .iter()
            .filter_map(|query| Some((query.id.as_str(), query.metric_stat.as_ref()?)))
    }

    /// The length of its periods, or of the longest if they differ.
    pub fn period_seconds(&self) -> Option<u32> {
        self.stats().map(|(_, stat)| stat.period_seconds).max()
    }

    /// How far back it looks: evaluation periods times their length.
    pub fn window_seconds(&self) -> Option<u64> {
        Some(u64::from(self.evaluation_periods) * u64::from(self.period_seconds()?))
    }

    /// How many of the periods must breach.
    pub fn datapoints(&self) -> u32 {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(period_seconds: u32) -> Query {
        Query {
            id: format!("of{period_seconds}"),
            metric_stat: Some(MetricStat {
                period_seconds,
                ..MetricStat::default()
            }),
            ..Query::default()
        }
    }

    #[test]
    fn an_alarm_looks_back_over_its_longest_periods() {
        for (metrics, period, window) in [
            (vec![], None, None),
            (vec![Query::default()], None, None),
            (vec![stat(300), Query::default()], Some(300), Some(3_600)),
            (vec![stat(60), stat(300), stat(180)], Some(300), Some(3_600)),
        ] {
            let alarm = Settings {
                evaluation_periods: 12,
                metrics,
                ..Settings::default()
            };
            let stats: Vec<_> = alarm.stats().map(|(id, _)| id).collect();
            assert_eq!(alarm.period_seconds(), period, "{stats:?}");
            assert_eq!(alarm.window_seconds(), window, "{stats:?}");
        }
        let alarm = Settings {
            metrics: vec![Query::default(), stat(60)],
            ..Settings::default()
        };
        let stats: Vec<_> = alarm
            .stats()
            .map(|(id, it)| (id, it.period_seconds))
            .collect();
        assert_eq!(stats, [("of60", 60)]);
    }

    #[test]
    fn all_periods_must_breach_unless_it_says_how_many() {
        for (to_alarm, expected) in [(None, 12), (Some(3), 3)] {
            let alarm = Settings {
                evaluation_periods: 12,
                datapoints_to_alarm: to_alarm,
                ..Settings::default()
            };
            assert_eq!(alarm.datapoints(), expected, "{to_alarm:?}");
        }
    }

    #[test]
    fn an_alarm_fires_above_or_below_or_outside_a_band() {
        for (comparison_operator, above) in [
            ("GreaterThanThreshold", Some(true)),
            ("GreaterThanOrEqualToThreshold", Some(true)),
            ("LessThanThreshold", Some(false)),
            ("LessThanOrEqualToThreshold", Some(false)),
            ("LessThanLowerOrGreaterThanUpperThreshold", None),
        ] {
            let alarm = Settings {
                comparison_operator: comparison_operator.to_owned(),
                ..Settings::default()
            };
            assert_eq!(alarm.fires_above(), above, "{comparison_operator}");
        }
    }
}
