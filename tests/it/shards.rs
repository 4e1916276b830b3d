//! `shards`: its calls, its verdicts, and its output.

use autoscaler_sandbox::{Fault, Load, Traffic};
use jiff::SignedDuration;
use kinesis_autoscaler::{
    cli::Shards,
    commands::shards::{View, gather},
    output::error::Failure,
};
use serde_json::{Value, json};

use crate::world::World;

const CONFIG: &str = "[[streams]]\nname = \"orders\"\n";

const EVEN: &str = "\
orders (eu-west-1), ACTIVE: 4 open shards

SHARD                 KEYS    TRAFFIC  USAGE         PEAK  REJECTED  PARENTS
shardId-000000000000   25.0%   25.0%   [##---]  30%   30%  0         -
shardId-000000000001   25.0%   25.0%   [##---]  30%   30%  0         -
shardId-000000000002   25.0%   25.0%   [##---]  30%   30%  0         -
shardId-000000000003   25.0%   25.0%   [##---]  30%   30%  0         -

evenly used
more shards are not needed: none was used above 30% in its busiest minute
";

const FULL: &str = "\
orders (eu-west-1), ACTIVE: 4 open shards

SHARD                 KEYS    TRAFFIC  USAGE         PEAK  REJECTED  PARENTS
shardId-000000000000   25.0%   25.0%   [####-]  90%   90%  0         -
shardId-000000000001   25.0%   25.0%   [####-]  90%   90%  0         -
shardId-000000000002   25.0%   25.0%   [####-]  90%   90%  0         -
shardId-000000000003   25.0%   25.0%   [####-]  90%   90%  0         -

evenly used
more shards help: one was used up to 90% in its busiest minute
";

const HOT_KEY: &str = "\
orders (eu-west-1), ACTIVE: 4 open shards

SHARD                 KEYS    TRAFFIC  USAGE         PEAK  REJECTED  PARENTS
shardId-000000000000   25.0%   57.1%   [#####] 100%  100%  900000    -
shardId-000000000001   25.0%   14.3%   [#----]  25%   25%  0         -
shardId-000000000002   25.0%   14.3%   [#----]  25%   25%  0         -
shardId-000000000003   25.0%   14.3%   [#----]  25%   25%  0         -

hot: shardId-000000000000 takes 57.1% of the traffic with 25.0% of the hash keys
more shards help only if several partition keys share the traffic of such a
  shard: a key is always in one shard
- split that shard, if several partition keys share its traffic; the next
  scaling makes all ranges equal again
    aws kinesis split-shard --region eu-west-1 --stream-name orders \\
      --shard-to-split shardId-000000000000 \\
      --new-starting-hash-key 42535295865117307932921825928971026432
- spread the busy partition keys, for example with a random suffix
- or use on-demand mode with the record distribution AUTO, which ignores keys
";

const UNEVEN_KEYS: &str = "\
orders (eu-west-1), ACTIVE: 4 open shards

SHARD                 KEYS    TRAFFIC  USAGE         PEAK  REJECTED  PARENTS
shardId-000000000000   25.0%   37.5%   [#####] 100%  100%  450000    -
shardId-000000000001   25.0%   37.5%   [#####] 100%  100%  450000    -
shardId-000000000002   25.0%   25.0%   [###--]  67%   67%  300000    -
shardId-000000000003   25.0%    0.0%   [-----]   0%    0%  0         -

hot: shardId-000000000000 takes 37.5% of the traffic with 25.0% of the hash
  keys; shardId-000000000001 takes 37.5% of the traffic with 25.0% of the hash
  keys
more shards help only if several partition keys share the traffic of such a
  shard: a key is always in one shard
- split that shard, if several partition keys share its traffic; the next
  scaling makes all ranges equal again
    aws kinesis split-shard --region eu-west-1 --stream-name orders \\
      --shard-to-split shardId-000000000000 \\
      --new-starting-hash-key 42535295865117307932921825928971026432
- spread the busy partition keys, for example with a random suffix
- or use on-demand mode with the record distribution AUTO, which ignores keys
";

const IDLE: &str = "\
orders (eu-west-1), ACTIVE: 4 open shards

SHARD                 KEYS    TRAFFIC  USAGE         PEAK  REJECTED  PARENTS
shardId-000000000000   25.0%    0.0%   [-----]   0%    0%  0         -
shardId-000000000001   25.0%    0.0%   [-----]   0%    0%  0         -
shardId-000000000002   25.0%    0.0%   [-----]   0%    0%  0         -
shardId-000000000003   25.0%    0.0%   [-----]   0%    0%  0         -

idle: nothing was written in the last hour
";

const UNMEASURED: &str = "\
orders (eu-west-1), ACTIVE: 3 open shards, 2 closed shards

SHARD                 KEYS    STATE   PARENTS
shardId-000000000002   33.3%  open    0
shardId-000000000003   33.3%  open    0, 1
shardId-000000000004   33.3%  open    1
shardId-000000000000   50.0%  closed  -
shardId-000000000001   50.0%  closed  -

not known: the ranges of hash keys are even; how much each shard is used is not
  measured
- turn on the shard-level metrics to see what each shard is used: two metrics of
  each shard, for $0.30 a month each (us-east-1, September 2026), make about
  $1.80 a month
    aws kinesis enable-enhanced-monitoring --region eu-west-1 \\
      --stream-name orders --shard-level-metrics IncomingBytes IncomingRecords
";

async fn read(world: &World) -> Result<View, Failure> {
    let context = world.context(world.config(CONFIG), true).await;
    let args = Shards {
        stream: "orders".to_owned(),
        closed: false,
        region: None,
        account: None,
    };
    gather(&context, &args).await
}

/// Four shards with this traffic, whose shard-level metrics are on.
fn measured(traffic: Traffic) -> World {
    let world = World::new();
    world.stream("orders", 4);
    world.place.set_traffic("orders", traffic);
    world.place.enable_shard_metrics("orders");
    world
}

fn constant(shards: f64) -> Traffic {
    Traffic::constant(Load::of_shards(shards))
}

/// The text at 80 columns.
#[track_caller]
fn check(view: &View, closed: bool, expected: &str) {
    let text = view.to_text(Some(80), closed);
    assert_eq!(text, expected, "\n{text}");
    for line in text.lines().filter(|line| !line.starts_with("    ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_and_what_helps_follow_from_the_traffic() {
    for (traffic, expected) in [
        (constant(1.2), EVEN),
        (constant(3.6), FULL),
        (constant(2.0).hot_key(0.5), HOT_KEY),
        (constant(3.0).skew(1.5), UNEVEN_KEYS),
        (Traffic::points(), IDLE),
    ] {
        let view = read(&measured(traffic)).await.expect("it is read");
        check(&view, false, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn without_metrics_it_says_how_to_turn_them_on_and_what_that_costs() {
    let world = World::new();
    world.stream("orders", 2);
    let resharded = world.place.reshard_externally("orders", 3);
    resharded.expect("it is resharded");
    world.pass(SignedDuration::from_mins(5)).await;
    let view = read(&world).await.expect("it is read");
    check(&view, true, UNMEASURED);
}

#[tokio::test(start_paused = true)]
async fn the_json_has_every_shard_and_the_verdict() {
    let world = measured(constant(3.0).skew(1.5));
    let view = read(&world).await.expect("it is read");
    let json: Value = serde_json::from_str(&view.to_json()).expect("JSON");
    assert_eq!(
        json["shards"][1],
        json!({
            "shard": "shardId-000000000001",
            "open": true,
            "parents": [],
            "first_hash_key": "85070591730234615865843651857942052864",
            "last_hash_key": "170141183460469231731687303715884105727",
            "key_share": 0.25,
            "traffic_share": 0.375,
            "usage": 1.0,
            "usage_peak": 1.0,
            "rejected": 450_000,
        })
    );
    let top = [
        ("stream", json!("orders")),
        ("region", json!("eu-west-1")),
        ("status", json!("ACTIVE")),
        ("open_shards", json!(4)),
        ("shard_level_metrics", json!(true)),
        ("verdict", json!("hot")),
        (
            "verdict_shards",
            json!(["shardId-000000000000", "shardId-000000000001"]),
        ),
        ("more_shards", json!("rarely_help")),
        ("metrics_error", Value::Null),
    ];
    for (name, expected) in top {
        assert_eq!(json[name], expected, "{name}");
    }
    let command = json["advice"][0]["command"].as_str().expect("a command");
    assert!(
        command.starts_with("aws kinesis split-shard --region eu-west-1 "),
        "{command}"
    );
    assert_eq!(json["advice"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn many_shards_are_read_in_pages_with_few_calls() {
    let world = World::new();
    world.stream("orders", 1_200);
    world.place.set_traffic("orders", constant(600.0));
    world.place.enable_shard_metrics("orders");
    world.sandbox.reset_calls();
    let view = read(&world).await.expect("it is read");
    assert_eq!((view.open.len(), view.verdict.code()), (1_200, "even"));
    let calls = world.sandbox.calls();
    let of = |name: &str| calls.get(name).copied();
    // 3 metrics of 1,200 shards, 500 with a call, in full shards.
    assert_eq!((of("ListShards"), of("GetMetricData")), (Some(2), Some(8)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_an_error_with_a_hint() {
    type Spoil = fn(&World);
    let cases: [(Spoil, &[&str]); 4] = [
        (
            |world| world.place.delete_stream("orders"),
            &["error: orders (eu-west-1)", "not found"],
        ),
        (
            |world| world.sandbox.deny("kinesis:ListShards"),
            &["ListShards", "hint: allow the action `kinesis:ListShards`"],
        ),
        (
            |world| world.sandbox.deny("kinesis:DescribeStreamSummary"),
            &["hint: allow the action `kinesis:DescribeStreamSummary`"],
        ),
        (
            |world| {
                world.sandbox.set_faults(|call| match &*call.operation {
                    "ListShards" => Fault::ResetBefore,
                    _ => Fault::None,
                });
            },
            &["error: orders (eu-west-1)", "ListShards"],
        ),
    ];
    for (spoil, expected) in cases {
        let world = measured(constant(1.0));
        spoil(&world);
        let failure = read(&world).await.expect_err("it cannot be read");
        let text = failure.to_string();
        for words in expected {
            assert!(text.contains(words), "{words:?} in {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_read_leave_the_ranges() {
    let world = measured(constant(1.0));
    world.sandbox.deny("cloudwatch:GetMetricData");
    let view = read(&world).await.expect("the shards are read");
    let text = view.to_text(Some(80), false);
    for words in [
        "shardId-000000000003   25.0%  open   -",
        "not known: the ranges of hash keys are even",
        "error: the metrics of the shards cannot be read: ",
        "hint: allow the action `cloudwatch:GetMetricData`",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(!text.contains("enable-enhanced-monitoring"), "{text}");
    let json: Value = serde_json::from_str(&view.to_json()).expect("JSON");
    assert!(json["metrics_error"].is_string(), "{json}");
    assert_eq!(
        (&json["verdict"], &json["more_shards"]),
        (&json!("unknown"), &Value::Null)
    );
}
