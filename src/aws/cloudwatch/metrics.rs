//! The metrics of streams (GetMetricData), many streams with one call.

use autoscaler_core::{
    facts::{Series, Traffic},
    limits::METRICS_PER_CALL,
};
use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode},
};
use jiff::{SignedDuration, Timestamp};

use super::{CloudWatch, STREAM_NAME, timestamp};
use crate::aws::{Error, Operation, answer_time::AnswerTime};

/// The dimension that names the shard of a shard-level metric.
const SHARD_ID: &str = "ShardId";

/// What can be read of a stream: the prefix of the query's id, the metric, its statistic.
const MEASURES: [(&str, &str, &str); 5] = [
    ("bytes", "IncomingBytes", "Sum"),
    ("records", "IncomingRecords", "Sum"),
    ("rejected", "WriteProvisionedThroughputExceeded", "Sum"),
    ("outgoing", "GetRecords.Bytes", "Sum"),
    ("ages", "GetRecords.IteratorAgeMilliseconds", "Maximum"),
];

/// Streams whose metrics one call can read, however many of them are asked for.
pub const STREAMS_PER_CALL: usize = METRICS_PER_CALL / MEASURES.len();

/// The time over which metrics are read: from the start of a period up to `until`, which is
/// excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
    pub period_seconds: i32,
}

/// What is read of a stream beside its incoming bytes and records. Each metric costs money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    pub rejected: bool,
    pub outgoing: bool,
    /// The highest iterator age of each minute.
    pub iterator_ages: bool,
}

/// What was read of one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamMetrics {
    pub traffic: Traffic,
    pub iterator_ages: Option<Series>,
    /// How far the window's end is ahead of the time at which AWS answered.
    pub clock_ahead: SignedDuration,
}

impl StreamMetrics {
    fn empty(extra: Extra, window: Window) -> Self {
        let traffic = Traffic {
            from: window.from,
            period_seconds: i64::from(window.period_seconds),
            outgoing: extra.outgoing.then(Series::default),
            ..Traffic::default()
        };
        Self {
            traffic,
            iterator_ages: extra.iterator_ages.then(Series::default),
            clock_ahead: SignedDuration::ZERO,
        }
    }

    fn series(&mut self, prefix: &str) -> Option<&mut Series> {
        match prefix {
            "bytes" => Some(&mut self.traffic.bytes),
            "records" => Some(&mut self.traffic.records),
            "rejected" => Some(&mut self.traffic.rejected),
            "outgoing" => self.traffic.outgoing.as_mut(),
            "ages" => self.iterator_ages.as_mut(),
            _ => None,
        }
    }
}

impl Extra {
    fn has(self, prefix: &str) -> bool {
        match prefix {
            "rejected" => self.rejected,
            "outgoing" => self.outgoing,
            "ages" => self.iterator_ages,
            _ => true,
        }
    }

    fn measures(self) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        MEASURES.iter().filter(move |(prefix, ..)| self.has(prefix))
    }
}

impl CloudWatch {
    /// Reads one stream's traffic over `window`.
    pub async fn traffic(
        &self,
        stream: &str,
        extra: Extra,
        window: Window,
    ) -> Result<Traffic, Error> {
        let read = self.metrics_of(&[(stream, extra)], window).await?;
        Ok(read.into_iter().next().unwrap_or_default().traffic)
    }

    /// The same for a window that is read only once: nothing of it is kept.
    pub async fn traffic_once(
        &self,
        stream: &str,
        extra: Extra,
        window: Window,
    ) -> Result<Traffic, Error> {
        let read = self.read(&[(stream, extra)], window).await?;
        Ok(read.into_iter().next().unwrap_or_default().traffic)
    }

    /// Reads the metrics of up to [`STREAMS_PER_CALL`] streams with one call for each page; the
    /// result has the order of `streams`.
    ///
    /// Of a window of several days, only what is new since the last time is read.
    pub async fn metrics_of(
        &self,
        streams: &[(&str, Extra)],
        window: Window,
    ) -> Result<Vec<StreamMetrics>, Error> {
        let mut results = vec![StreamMetrics::default(); streams.len()];
        let starts = streams.iter().enumerate();
        let starts = starts.map(|(i, (stream, extra))| {
            let known_until = self.history.known_until(stream, *extra, window);
            (i, known_until.unwrap_or(window.from))
        });
        // A stream that is read for the first time must not have the others read as far back.
        let (new, known): (Vec<_>, Vec<_>) = starts.partition(|(_, from)| *from == window.from);
        for part in [new, known] {
            let Some(from) = part.iter().map(|(_, from)| *from).min() else {
                continue;
            };
            let wanted: Vec<_> = part.iter().map(|(i, _)| streams[*i]).collect();
            let read = self.read(&wanted, Window { from, ..window }).await?;
            for ((i, _), read) in part.into_iter().zip(read) {
                let (stream, extra) = streams[i];
                results[i] = self.history.complete(stream, extra, window, read);
            }
        }
        Ok(results)
    }

    async fn read(
        &self,
        streams: &[(&str, Extra)],
        window: Window,
    ) -> Result<Vec<StreamMetrics>, Error> {
        let numbered = streams.iter().enumerate();
        let queries: Vec<MetricDataQuery> = numbered
            .flat_map(|(number, (stream, extra))| {
                let dimensions = vec![dimension(STREAM_NAME, stream)];
                extra
                    .measures()
                    .map(move |it| query(it, number, dimensions.clone(), window))
            })
            .collect();
        let empty = |(_, extra): &(&str, Extra)| StreamMetrics::empty(*extra, window);
        let mut metrics: Vec<StreamMetrics> = streams.iter().map(empty).collect();
        self.fetch(&queries, window, &mut metrics).await?;
        Ok(metrics)
    }

    /// Reads the traffic of each of these shards of a stream, which has to report it (enhanced
    /// monitoring); the result has the order of `shards`.
    pub async fn traffic_of_shards(
        &self,
        stream: &str,
        shards: &[&str],
        extra: Extra,
        window: Window,
    ) -> Result<Vec<Traffic>, Error> {
        let mut traffic = Vec::with_capacity(shards.len());
        for shards in shards.chunks(METRICS_PER_CALL / extra.measures().count()) {
            let numbered = shards.iter().enumerate();
            let queries: Vec<MetricDataQuery> = numbered
                .flat_map(|(number, shard)| {
                    let of_stream = dimension(STREAM_NAME, stream);
                    let dimensions = vec![of_stream, dimension(SHARD_ID, shard)];
                    extra
                        .measures()
                        .map(move |it| query(it, number, dimensions.clone(), window))
                })
                .collect();
            let mut metrics = vec![StreamMetrics::empty(extra, window); shards.len()];
            self.fetch(&queries, window, &mut metrics).await?;
            traffic.extend(metrics.into_iter().map(|it| it.traffic));
        }
        Ok(traffic)
    }

    /// Adds the results of `queries` to the metrics that their ids number.
    async fn fetch(
        &self,
        queries: &[MetricDataQuery],
        window: Window,
        metrics: &mut [StreamMetrics],
    ) -> Result<(), Error> {
        let mut next = None;
        loop {
            let request = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.to_vec()))
                .start_time(DateTime::from_secs(window.from.as_second()))
                .end_time(DateTime::from_secs(window.until.as_second()))
                .set_next_token(next.take());
            let answer_time = AnswerTime::default();
            let request = request.customize().interceptor(answer_time.clone());
            let reply = Box::pin(request.send())
                .await
                .map_err(|error| Error::from_sdk(Operation::GetMetricData, error))?;
            if let Some(answered) = answer_time.get() {
                let ahead = window.until.duration_since(answered);
                metrics.iter_mut().for_each(|it| it.clock_ahead = ahead);
            }
            for result in reply.metric_data_results() {
                if let Some(series) = series_of(metrics, result.id().unwrap_or_default()) {
                    add(series, result);
                }
            }
            next = reply
                .next_token()
                .filter(|token| !token.is_empty())
                .map(ToOwned::to_owned);
            if next.is_none() {
                return Ok(());
            }
        }
    }
}

/// The series that the result of the query `id` belongs to.
fn series_of<'a>(metrics: &'a mut [StreamMetrics], id: &str) -> Option<&'a mut Series> {
    let number = id.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let one = metrics.get_mut(number.parse::<usize>().ok()?)?;
    one.series(&id[..id.len() - number.len()])
}

fn add(series: &mut Series, result: &MetricDataResult) {
    let times = result.timestamps().iter().map(timestamp);
    series.points.extend(
        times
            .zip(result.values())
            .filter_map(|(at, value)| Some((at?, *value))),
    );
    // The last page of a query that was answered whole is Complete.
    series.complete =
        *result.status_code().unwrap_or(&StatusCode::Complete) == StatusCode::Complete;
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn query(
    (prefix, metric, stat): &(&str, &str, &str),
    number: usize,
    dimensions: Vec<Dimension>,
    window: Window,
) -> MetricDataQuery {
    let metric = Metric::builder()
        .namespace("AWS/Kinesis")
        .metric_name(*metric)
        .set_dimensions(Some(dimensions))
        .build();
    // A maximum over more than a minute would hide which single minute stands out.
    let period = match *stat {
        "Maximum" => 60,
        _ => window.period_seconds,
    };
    let stat = MetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(*stat)
        .build();
    MetricDataQuery::builder()
        .id(format!("{prefix}{number}"))
        .metric_stat(stat)
        .build()
}
