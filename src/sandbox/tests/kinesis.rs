use aws_sdk_kinesis::types::{ScalingType, ShardFilter, ShardFilterType, StreamMode, StreamStatus};

use super::*;

async fn update(world: &World, stream: &str, target: i32) -> String {
    let call = world.kinesis().update_shard_count().stream_name(stream);
    let call = call.target_shard_count(target);
    outcome(call.scaling_type(ScalingType::UniformScaling).send().await)
}

async fn open_shards(world: &World, stream: &str) -> (StreamStatus, i32) {
    let call = world
        .kinesis()
        .describe_stream_summary()
        .stream_name(stream);
    let summary = call
        .send()
        .await
        .unwrap()
        .stream_description_summary
        .unwrap();
    (summary.stream_status, summary.open_shard_count)
}

#[tokio::test(start_paused = true)]
async fn a_resharding_goes_through_updating_with_a_transient_count() {
    let world = World::new();
    world.region.create_stream("orders", 2);
    assert_eq!(
        open_shards(&world, "orders").await,
        (StreamStatus::Active, 2)
    );
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    let call = world.kinesis().update_shard_count().stream_arn(arn);
    let call = call
        .target_shard_count(4)
        .scaling_type(ScalingType::UniformScaling);
    let answer = call.send().await.unwrap();
    assert_eq!(
        (answer.current_shard_count, answer.target_shard_count),
        (Some(2), Some(4))
    );
    assert_eq!(
        open_shards(&world, "orders").await,
        (StreamStatus::Updating, 3)
    );
    let in_use = update(&world, "orders", 3).await;
    assert!(
        in_use.starts_with(
            "ResourceInUseException: Stream orders under account 123456789012 not ACTIVE"
        ),
        "{in_use}"
    );
    world.pass(1);
    assert_eq!(
        open_shards(&world, "orders").await,
        (StreamStatus::Updating, 3)
    );
    world.pass(1);
    assert_eq!(
        open_shards(&world, "orders").await,
        (StreamStatus::Active, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn update_shard_count_refuses_what_aws_refuses() {
    let world = World::new();
    world.region.create_stream("s", 4);
    world.region.create_on_demand_stream("free");
    world.region.set_shard_limit(6);
    let cases = [
        (
            "s",
            9,
            "LimitExceededException: UpdateShardCount cannot scale up over double",
        ),
        (
            "s",
            1,
            "LimitExceededException: UpdateShardCount cannot scale down below half",
        ),
        ("s", 4, "InvalidArgumentException: "),
        ("s", 0, "InvalidArgumentException: "),
        (
            "s",
            8,
            "LimitExceededException: This request would exceed the shard limit for the account",
        ),
        ("free", 5, "ValidationException: "),
        (
            "none",
            5,
            "ResourceNotFoundException: Stream none under account 123456789012 not found.",
        ),
        ("s", 6, "ok"),
    ];
    for (stream, target, expected) in cases {
        let got = update(&world, stream, target).await;
        assert!(got.starts_with(expected), "{stream} -> {target}: {got}");
    }
    world.sandbox.deny("kinesis:UpdateShardCount");
    assert_eq!(
        update(&world, "s", 4).await,
        "AccessDeniedException: User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform: \
         kinesis:UpdateShardCount on resource: arn:aws:kinesis:eu-west-1:123456789012:stream/s because no \
         identity-based policy allows the kinesis:UpdateShardCount action"
    );
    world.sandbox.allow("kinesis:UpdateShardCount");
}

#[tokio::test(start_paused = true)]
async fn ten_updates_in_24_hours_are_the_limit() {
    let world = World::new();
    world.region.create_stream("s", 4);
    world.region.set_update_window(Duration::ZERO);
    for call in 0..10 {
        assert_eq!(update(&world, "s", 4 + (call + 1) % 2).await, "ok");
        world.pass(60);
    }
    assert!(
        update(&world, "s", 5)
            .await
            .starts_with("LimitExceededException")
    );
    assert!(world.region.reshard_externally("s", 5).is_err());
    assert_eq!(world.region.stream("s").unwrap().update_calls_24h, 10);
    world.pass(14 * 60);
    assert_eq!(update(&world, "s", 5).await, "ok");
    assert!(
        update(&world, "s", 4)
            .await
            .starts_with("LimitExceededException")
    );
}

#[tokio::test(start_paused = true)]
async fn streams_are_described_and_listed_by_page() {
    let world = World::new();
    for at in 0..250 {
        world.region.create_stream(&format!("s{at:03}"), 1);
    }
    world.region.create_on_demand_stream("x");
    let summary = world
        .kinesis()
        .describe_stream_summary()
        .stream_name("x")
        .send()
        .await
        .unwrap();
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!(
        summary.stream_mode_details.unwrap().stream_mode,
        StreamMode::OnDemand
    );
    let none = world
        .kinesis()
        .describe_stream_summary()
        .stream_name("none")
        .send()
        .await;
    assert!(outcome(none).starts_with("ResourceNotFoundException"));
    let mut pages = world.kinesis().list_streams().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.stream_names.len() <= 100);
        names.extend(page.stream_names);
    }
    assert_eq!(names.len(), 251);
    assert!(names.is_sorted());
    let limits = world.kinesis().describe_limits().send().await.unwrap();
    assert_eq!(
        (limits.open_shard_count, limits.on_demand_stream_count),
        (250, 1)
    );
    assert_eq!(world.sandbox.calls()["ListStreams"], 3);
}

#[tokio::test(start_paused = true)]
async fn quotas_throttle_by_account_region_and_operation() {
    let world = World::new();
    world.region.create_stream("s", 1);
    world.sandbox.enforce_quotas(true);
    let list = || async { outcome(world.kinesis().list_streams().send().await) };
    for _ in 0..5 {
        assert_eq!(list().await, "ok");
    }
    assert_eq!(
        list().await,
        "LimitExceededException: Rate exceeded for account 123456789012."
    );
    assert_eq!(open_shards(&world, "s").await.1, 1);
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(list().await, "ok");
    assert!(list().await.starts_with("LimitExceededException"));
    assert_eq!(world.sandbox.throttled()["ListStreams"], 2);
    assert_eq!(world.sandbox.calls()["ListStreams"], 8);
}

#[tokio::test(start_paused = true)]
async fn a_forced_status_is_reported_and_refuses_updates() {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.region.force_status("s", Some("CREATING"));
    assert_eq!(open_shards(&world, "s").await.0, StreamStatus::Creating);
    let refused = update(&world, "s", 3).await;
    assert!(refused.contains("instead in state CREATING"), "{refused}");
    world.region.force_status("s", None);
    assert_eq!(update(&world, "s", 3).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn shards_are_listed_with_their_ranges_and_parents() {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.region.reshard_externally("s", 4).unwrap();
    world.pass(2);
    let list = || world.kinesis().list_shards().stream_name("s");
    let all = list().send().await.unwrap();
    assert_eq!(
        all.shards().len(),
        6,
        "the two closed ones are kept for a day"
    );
    let last = &all.shards()[5];
    assert_eq!(
        (
            last.shard_id(),
            last.parent_shard_id(),
            last.adjacent_parent_shard_id()
        ),
        ("shardId-000000000005", Some("shardId-000000000001"), None)
    );
    let range = last.hash_key_range().unwrap();
    assert_eq!(range.starting_hash_key(), (3 * (1_u128 << 126)).to_string());
    assert_eq!(range.ending_hash_key(), u128::MAX.to_string());
    let closed: Vec<bool> = all
        .shards()
        .iter()
        .map(|shard| {
            shard
                .sequence_number_range()
                .unwrap()
                .ending_sequence_number()
                .is_some()
        })
        .collect();
    assert_eq!(closed, [true, true, false, false, false, false]);
    let latest = ShardFilter::builder()
        .r#type(ShardFilterType::AtLatest)
        .build()
        .unwrap();
    let open = list().shard_filter(latest).send().await.unwrap();
    assert_eq!(open.shards().len(), 4);
    world.pass(24 * 60);
    assert_eq!(list().send().await.unwrap().shards().len(), 4);
    let none = world
        .kinesis()
        .list_shards()
        .stream_name("none")
        .send()
        .await;
    assert!(outcome(none).starts_with("ResourceNotFoundException"));
}

#[tokio::test(start_paused = true)]
async fn shards_come_a_thousand_to_a_page() {
    let world = World::new();
    world.region.create_stream("s", 2_500);
    let first = world
        .kinesis()
        .list_shards()
        .stream_name("s")
        .send()
        .await
        .unwrap();
    let mut shards = first.shards.unwrap_or_default();
    let mut token = first.next_token;
    let mut pages = 1;
    while let Some(next) = token {
        let page = world
            .kinesis()
            .list_shards()
            .next_token(next)
            .send()
            .await
            .unwrap();
        shards.extend(page.shards.unwrap_or_default());
        token = page.next_token;
        pages += 1;
    }
    assert_eq!((shards.len(), pages), (2_500, 3));
    let after = world
        .kinesis()
        .list_shards()
        .stream_name("s")
        .max_results(2);
    let after = after
        .exclusive_start_shard_id("shardId-000000002496")
        .send()
        .await
        .unwrap();
    assert_eq!(after.shards()[0].shard_id(), "shardId-000000002497");
    assert_eq!(after.shards().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_shard_quota_is_by_account_and_region() {
    let world = World::new();
    let region = |name: &str| world.sandbox.region(name);
    world.region.create_stream("s", 4);
    world.region.create_stream("t", 3);
    world.region.set_shard_limit(10);
    region("us-east-1").create_stream("s", 1_000);
    world
        .region
        .account("210987654321")
        .create_stream("s", 1_000);
    let limits = world.kinesis().describe_limits().send().await.unwrap();
    assert_eq!((limits.shard_limit, limits.open_shard_count), (10, 7));
    assert_eq!(
        update(&world, "s", 8).await,
        "LimitExceededException: This request would exceed the shard limit for the account 123456789012 in eu-west-1. \
         Current shard count for the account: 7. Limit: 10. Number of additional shards that would have resulted from \
         this request: 4. Refer to the AWS Service Limits page for current limits and how to request higher limits."
    );
    assert_eq!(update(&world, "s", 7).await, "ok");
    let limits = world.kinesis().describe_limits().send().await.unwrap();
    assert_eq!(
        limits.open_shard_count, 10,
        "a resharding counts its target at once"
    );
}
