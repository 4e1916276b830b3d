use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy, StatusCode},
};

use super::*;

fn query(stream: &str, id: &str, metric: &str, period: i32) -> MetricDataQuery {
    statistic(stream, id, metric, "Sum", period)
}

fn statistic(stream: &str, id: &str, metric: &str, stat: &str, period: i32) -> MetricDataQuery {
    let dimension = Dimension::builder()
        .name("StreamName")
        .value(stream)
        .build();
    let metric = Metric::builder()
        .namespace("AWS/Kinesis")
        .metric_name(metric)
        .dimensions(dimension)
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(stat)
        .build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}

#[tokio::test(start_paused = true)]
async fn metric_data_is_summed_by_aligned_period() {
    let world = World::new();
    world.region.create_stream("s", 1);
    let minutes_ago = |minutes: i64| world.now() - SignedDuration::from_mins(minutes);
    let time = |at: Timestamp| DateTime::from_secs(at.as_second());
    let load = Load::new(100.0, 10.0);
    let traffic = Traffic::constant(load)
        .gap(minutes_ago(10), minutes_ago(5))
        .point(minutes_ago(15), Load::new(600.0, 0.0));
    world.region.set_traffic("s", traffic);
    let get = |from: i64, until: i64| {
        let call = world.cloudwatch().get_metric_data();
        call.start_time(time(minutes_ago(from)))
            .end_time(time(minutes_ago(until)))
    };
    let call = get(17, 0).metric_data_queries(query("s", "m", "IncomingBytes", 300));
    let result = call
        .send()
        .await
        .unwrap()
        .metric_data_results
        .unwrap()
        .remove(0);
    // Newest first. The last period has 4 minutes because metrics arrive a minute late. The gap has
    // no point.
    assert_eq!(result.values(), [400.0, 1_000.0, 500.0]);
    let times: Vec<_> = result.timestamps().iter().map(DateTime::secs).collect();
    assert_eq!(
        times,
        [5, 15, 20].map(|minutes| minutes_ago(minutes).as_second())
    );
    assert_eq!(
        (result.id(), result.status_code()),
        (Some("m"), Some(&StatusCode::Complete))
    );
    let call = get(20, 5)
        .scan_by(ScanBy::TimestampAscending)
        .metric_data_queries(query("s", "m", "IncomingBytes", 300));
    let result = call
        .send()
        .await
        .unwrap()
        .metric_data_results
        .unwrap()
        .remove(0);
    assert_eq!(result.values(), [500.0, 1_000.0]);
    let expression = MetricDataQuery::builder()
        .id("e")
        .expression("FILL(b,0)/FILL(r,1)")
        .build();
    let hidden = |id: &str, metric: &str| {
        let mut query = query("s", id, metric, 300);
        query.return_data = Some(false);
        query
    };
    let call = get(20, 5)
        .metric_data_queries(expression)
        .metric_data_queries(hidden("b", "IncomingBytes"));
    let results = call
        .metric_data_queries(hidden("r", "IncomingRecords"))
        .send()
        .await
        .unwrap()
        .metric_data_results
        .unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].values(), [0.0, 25.0, 10.0]);
    let empty = get(20, 5)
        .metric_data_queries(query("none", "m", "IncomingBytes", 300))
        .send()
        .await
        .unwrap();
    assert!(empty.metric_data_results()[0].values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn metric_data_comes_in_pages_and_may_be_partial() {
    let world = World::new();
    world.region.create_stream("s", 1);
    world
        .region
        .set_traffic("s", Traffic::constant(Load::new(7.0, 1.0)));
    let call = || {
        let from = DateTime::from_secs(world.now().as_second() - 86_400);
        let call = world
            .cloudwatch()
            .get_metric_data()
            .start_time(from)
            .end_time(DateTime::from_secs(world.now().as_second()));
        let call = call
            .metric_data_queries(query("s", "b", "IncomingBytes", 300))
            .metric_data_queries(query("s", "r", "IncomingRecords", 300));
        call.max_datapoints(100)
    };
    let mut pages = call().into_paginator().send();
    let mut counts = [0, 0];
    let mut number = 0;
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        number += 1;
        for (count, result) in counts.iter_mut().zip(page.metric_data_results()) {
            *count += result.values().len();
        }
    }
    assert_eq!((counts, number), ([288, 288], 6));
    world.sandbox.set_faults(|_| Fault::PartialPage);
    let partial = call().max_datapoints(1_000).send().await.unwrap();
    assert_eq!(
        partial.metric_data_results()[0].status_code(),
        Some(&StatusCode::PartialData)
    );
    assert_eq!(partial.metric_data_results()[0].values().len(), 144);
}

/// A statistic of each of the last `minutes` that have arrived, oldest first.
async fn by_minute(
    world: &World,
    stream: &str,
    metric: &str,
    stat: &str,
    minutes: i64,
) -> Vec<f64> {
    let now = world.now().as_second();
    let call = world.cloudwatch().get_metric_data();
    let call = call
        .start_time(DateTime::from_secs(now - (minutes + 1) * 60))
        .end_time(DateTime::from_secs(now))
        .scan_by(ScanBy::TimestampAscending)
        .metric_data_queries(statistic(stream, "m", metric, stat, 60));
    let mut results = call.send().await.unwrap().metric_data_results.unwrap();
    results.remove(0).values.unwrap()
}

const SHARD_BYTES: f64 = 1_048_576.0 * 60.0;
const SHARD_RECORDS: f64 = 60_000.0;

/// The bytes accepted, in shards, and the records rejected, in shards' worth, of the last minute.
async fn accepted_and_rejected(world: &World, stream: &str) -> (f64, f64) {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let bytes = by_minute(world, stream, "IncomingBytes", "Sum", 1).await;
    let metric = "WriteProvisionedThroughputExceeded";
    let records = by_minute(world, stream, metric, "Sum", 1).await;
    (
        rounded(bytes[0] / SHARD_BYTES),
        rounded(records[0] / (SHARD_RECORDS / 2.0)),
    )
}

#[tokio::test(start_paused = true)]
async fn incoming_metrics_count_what_uneven_keys_let_through() {
    let world = World::new();
    let cases = [
        // skew, hot share, shards -> accepted and rejected of a demand of 6 shards
        (1.0, 0.0, 8, (6.0, 0.0)),
        (1.25, 0.0, 8, (6.0, 0.0)),
        (1.5, 0.0, 8, (5.333, 0.667)),
        (3.0, 0.0, 12, (4.0, 2.0)),
        (1.0, 0.25, 12, (5.125, 0.875)),
        (1.0, 0.25, 1_000, (5.495, 0.504)),
        (1.0, 0.01, 12, (6.0, 0.0)),
    ];
    for (at, (skew, hot, shards, expected)) in cases.into_iter().enumerate() {
        let name = format!("s{at}");
        world.region.create_stream(&name, shards);
        let traffic = Traffic::constant(Load::of_shards(6.0));
        let traffic = traffic.skew(skew).hot_key(hot).retries(0.0);
        world.region.set_traffic(&name, traffic);
        let got = accepted_and_rejected(&world, &name).await;
        assert_eq!(got, expected, "skew {skew}, hot {hot}, {shards} shards");
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_records_come_back_and_more_shards_end_that() {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.region.set_update_window(Duration::ZERO);
    let burst = world.now();
    let loads = [(0, 1.0), (1, 3.0), (2, 3.0), (3, 1.0)];
    let steps = loads.map(|(minute, shards)| {
        let at = burst + SignedDuration::from_mins(minute);
        (at, Load::of_shards(shards))
    });
    world.region.set_traffic("s", Traffic::steps(steps));
    // A minute's metrics arrive a minute after its end.
    world.pass(1);
    for expected in [(1.0, 0.0), (2.0, 1.0), (2.0, 1.5), (1.75, 0.0), (1.0, 0.0)] {
        world.pass(1);
        assert_eq!(accepted_and_rejected(&world, "s").await, expected);
    }
    let uneven = Traffic::constant(Load::of_shards(2.5)).skew(1.4);
    world.region.set_traffic("s", uneven);
    let before = accepted_and_rejected(&world, "s").await;
    assert!(before.1 > 1.0, "{before:?}");
    world.region.reshard_externally("s", 4).unwrap();
    // The retries of the last minutes fit in as well.
    world.pass(40);
    assert_eq!(accepted_and_rejected(&world, "s").await, (2.5, 0.0));
}

#[tokio::test(start_paused = true)]
async fn consumers_have_an_iterator_age_and_bytes_read() {
    let world = World::new();
    world.region.create_stream("s", 4);
    let age = "GetRecords.IteratorAgeMilliseconds";
    let minutes = |n| world.now() + SignedDuration::from_mins(n);
    assert!(by_minute(&world, "s", age, "Maximum", 5).await.is_empty());
    let day = Duration::from_hours(24);
    let ages = [
        (minutes(-4), Duration::from_secs(1)),
        (minutes(-3), day),
        (minutes(-2), Duration::from_millis(1_500)),
    ];
    world.region.set_iterator_age("s", ages);
    assert_eq!(
        by_minute(&world, "s", age, "Maximum", 5).await,
        [1_000.0, 1_000.0, 1_000.0, 86_400_000.0, 1_500.0]
    );
    let read = "GetRecords.Bytes";
    world
        .region
        .set_traffic("s", Traffic::constant(Load::of_shards(2.0)));
    assert!(by_minute(&world, "s", read, "Sum", 1).await.is_empty());
    world.region.set_consumers("s", 3.0);
    assert_eq!(
        by_minute(&world, "s", read, "Sum", 1).await,
        [6.0 * SHARD_BYTES]
    );
}

#[tokio::test(start_paused = true)]
async fn shards_have_metrics_of_their_own_once_enhanced_monitoring_is_on() {
    let world = World::new();
    world.region.create_stream("s", 4);
    let traffic = Traffic::constant(Load::of_shards(2.4)).hot_key(0.5);
    world.region.set_traffic("s", traffic.retries(0.0));
    let of = |shard: &str, metric: &str| {
        let dimension = Dimension::builder().name("ShardId").value(shard).build();
        let mut query = query("s", "m", metric, 60);
        let stat = query.metric_stat.as_mut().unwrap();
        let metric = stat.metric.as_mut().unwrap();
        metric.dimensions.get_or_insert_default().push(dimension);
        let now = world.now().as_second();
        world
            .cloudwatch()
            .get_metric_data()
            .start_time(DateTime::from_secs(now - 120))
            .end_time(DateTime::from_secs(now))
            .metric_data_queries(query)
    };
    let values = async |shard: &str, metric: &str| {
        let results = of(shard, metric).send().await.unwrap();
        results.metric_data_results()[0].values().to_vec()
    };
    let (hot, other) = ("shardId-000000000000", "shardId-000000000003");
    assert!(values(hot, "IncomingBytes").await.is_empty());
    let call = world
        .kinesis()
        .enable_enhanced_monitoring()
        .stream_name("s");
    let call = call.shard_level_metrics(aws_sdk_kinesis::types::MetricsName::All);
    let enabled = call.send().await.unwrap();
    assert_eq!(enabled.desired_shard_level_metrics().len(), 3);
    // The hot one is sent half of the traffic and a fourth of the other half.
    assert_eq!(values(hot, "IncomingBytes").await, [SHARD_BYTES]);
    let rejected = "WriteProvisionedThroughputExceeded";
    assert_eq!(values(hot, rejected).await, [0.5 * SHARD_RECORDS / 2.0]);
    assert_eq!(
        values(other, "IncomingRecords").await,
        [0.3 * SHARD_RECORDS / 2.0]
    );
    assert_eq!(values(other, rejected).await, [0.0]);
    assert!(
        values("shardId-000000000004", "IncomingBytes")
            .await
            .is_empty()
    );
    let summary = world.kinesis().describe_stream_summary().stream_name("s");
    let summary = summary
        .send()
        .await
        .unwrap()
        .stream_description_summary
        .unwrap();
    assert_eq!(
        summary.enhanced_monitoring()[0].shard_level_metrics().len(),
        3
    );
}
