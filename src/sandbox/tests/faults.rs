use aws_config::{BehaviorVersion, sts::AssumeRoleProvider};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_kinesis::types::ScalingType;

use super::*;

/// Calls UpdateShardCount under `fault`. Returns what the client sees, the stream's target, the
/// outcomes in the request log, and the number of calls.
async fn under(fault: Fault) -> (String, u32, Vec<String>, u64) {
    let world = World::new();
    world.region.create_stream("s", 2);
    world.sandbox.set_faults(move |call| {
        assert_eq!(
            (call.operation.as_str(), call.resource.as_deref()),
            ("UpdateShardCount", Some("s"))
        );
        assert_eq!((call.service, call.region.as_str()), ("kinesis", REGION));
        fault.clone()
    });
    let call = world.kinesis().update_shard_count().stream_name("s");
    let call = call
        .target_shard_count(4)
        .scaling_type(ScalingType::UniformScaling);
    let seen = outcome(call.send().await);
    let request_log = world.sandbox.request_log();
    let request_log = request_log.into_iter().map(|call| call.outcome).collect();
    let target = world.region.stream("s").unwrap().target;
    let calls = world.sandbox.calls().values().sum();
    (seen, target, request_log, calls)
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    let refuse = Fault::Refuse {
        status: 500,
        code: "InternalFailure".into(),
        message: "oops".into(),
    };
    let cases: [(Fault, &str, u32, &[&str], u64); 9] = [
        (Fault::None, "ok", 4, &["ok"], 1),
        (refuse, "InternalFailure: oops", 2, &["InternalFailure"], 1),
        (
            Fault::Throttle,
            "LimitExceededException: Rate exceeded",
            2,
            &["LimitExceededException"],
            1,
        ),
        (Fault::HangBefore, "timeout", 2, &["HangBefore"], 0),
        (Fault::HangAfter, "timeout", 4, &["HangAfter: ok"], 0),
        (Fault::ResetBefore, "io", 2, &["ResetBefore"], 0),
        (Fault::ResetAfter, "io", 4, &["ResetAfter: ok"], 0),
        (
            Fault::Twice,
            "ResourceInUseException: ",
            4,
            &["ok", "ResourceInUseException"],
            1,
        ),
        (Fault::Slow(Duration::from_secs(9)), "ok", 4, &["ok"], 1),
    ];
    for (fault, seen, target, request_log, calls) in cases {
        let got = under(fault.clone()).await;
        assert!(got.0.starts_with(seen), "{fault:?}: {}", got.0);
        assert_eq!(
            (got.1, got.2, got.3),
            (
                target,
                request_log.iter().map(|s| (*s).to_owned()).collect(),
                calls
            ),
            "{fault:?}"
        );
    }
    assert_eq!(
        under(Fault::Slow(Duration::from_secs(11))).await.0,
        "timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn latency_is_on_tokios_clock() {
    let world = World::new();
    world.sandbox.set_latency(Duration::from_millis(250));
    let started = tokio::time::Instant::now();
    assert_eq!(outcome(world.kinesis().list_streams().send().await), "ok");
    assert_eq!(started.elapsed().as_millis(), 250);
    world.sandbox.set_latency(Duration::from_secs(60));
    assert_eq!(
        outcome(world.kinesis().list_streams().send().await),
        "timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn partial_pages_go_on_with_a_token() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.region.create_stream(name, 1);
        world
            .region
            .put_alarm(serde_json::json!({"AlarmName": name}));
    }
    let partial = |world: &World| {
        let mut first = true;
        world.sandbox.set_faults(move |_| {
            if std::mem::take(&mut first) {
                Fault::PartialPage
            } else {
                Fault::None
            }
        });
    };
    partial(&world);
    let page = world.kinesis().list_streams().send().await.unwrap();
    assert_eq!(
        (page.stream_names, page.has_more_streams),
        (vec!["a".to_owned()], true)
    );
    let rest = world
        .kinesis()
        .list_streams()
        .set_next_token(page.next_token)
        .send()
        .await
        .unwrap();
    assert_eq!(rest.stream_names, ["b", "c"]);
    // With a single result, the partial page is empty and has a token.
    partial(&world);
    let alarms = || world.cloudwatch().describe_alarms().alarm_names("b");
    let page = alarms().send().await.unwrap();
    assert_eq!(page.metric_alarms().len(), 0);
    let rest = alarms()
        .set_next_token(page.next_token)
        .send()
        .await
        .unwrap();
    assert_eq!(rest.metric_alarms().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn roles_lead_to_other_accounts() {
    let world = World::new();
    let (mine, other) = (
        "arn:aws:iam::210987654321:role/ops/autoscaler",
        "arn:aws:iam::111111111111:role/no",
    );
    world.sandbox.refuse_role(other);
    let there = world.region.account("210987654321");
    there.create_stream("theirs", 3);
    let base = aws_config::defaults(BehaviorVersion::latest())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(credentials())
        .http_client(world.sandbox.http_client())
        .load()
        .await;
    let provider = |role: &str| {
        AssumeRoleProvider::builder(role)
            .session_name("test")
            .configure(&base)
            .build()
    };
    let provider_of_mine = provider(mine).await;
    let config =
        aws_sdk_kinesis::config::Builder::from(&base).credentials_provider(provider_of_mine);
    let client = aws_sdk_kinesis::Client::from_conf(config.build());
    let names = client.list_streams().send().await.unwrap().stream_names;
    assert_eq!(names, ["theirs"]);
    let request_log = world.sandbox.request_log();
    assert_eq!(request_log[0].resource.as_deref(), Some(mine));
    assert_eq!(
        (
            request_log[1].account.as_str(),
            request_log[1].operation.as_str()
        ),
        ("210987654321", "ListStreams")
    );
    world.sandbox.deny("kinesis:ListStreams");
    let denied = outcome(client.list_streams().send().await);
    assert!(
        denied.contains(
            "User: arn:aws:sts::210987654321:assumed-role/autoscaler/test is not authorized"
        ),
        "{denied}"
    );
    let refused = provider(other)
        .await
        .provide_credentials()
        .await
        .unwrap_err();
    let text = format!("{:?}", refused);
    assert!(
        text.contains("AccessDenied")
            && text.contains("sts:AssumeRole on resource: arn:aws:iam::111111111111:role/no"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_sandbox_does_not_know_is_said() {
    let world = World::new();
    let kinesis = outcome(
        world
            .kinesis()
            .describe_stream()
            .stream_name("s")
            .send()
            .await,
    );
    assert_eq!(
        kinesis,
        "UnknownOperationException: the sandbox does not support kinesis:DescribeStream"
    );
    let cloudwatch = outcome(world.cloudwatch().list_dashboards().send().await);
    assert_eq!(
        cloudwatch,
        "UnknownOperationException: the sandbox does not support cloudwatch:ListDashboards"
    );
    let dynamodb = outcome(world.dynamodb().list_tables().send().await);
    assert_eq!(
        dynamodb,
        "UnknownOperationException: the sandbox does not support dynamodb:ListTables"
    );
}
