//! The contract, from the alarms that CloudWatch returns to the report of a tick.

use aws_smithy_cbor::Encoder;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use jiff::SignedDuration;
use kinesis_autoscaler::aws::{Aws, MuteRule, Transport};
use serde_json::{Value, json};

use crate::world::{World, acted, failed, named, tick};

const UP: &str = "orders-scale-up-alarm";

/// The stream `orders` in scale-up ALARM, whose alarm was changed before.
async fn firing(change: impl Fn(&mut serde_json::Map<String, Value>)) -> World {
    let world = World::new();
    world.stream("orders", 2);
    world.place.edit_alarm(UP, change);
    world.pass(SignedDuration::from_mins(10)).await;
    world.fire("orders", "scale-up");
    world
}

fn query<'a>(alarm: &'a mut serde_json::Map<String, Value>, id: &str) -> &'a mut Value {
    let queries = alarm["Metrics"].as_array_mut().expect("a list");
    let mut all = queries.iter_mut();
    all.find(|query| query["Id"] == id).expect("the query")
}

#[tokio::test(start_paused = true)]
async fn a_metric_of_another_account_scales_nothing() {
    let world = firing(|alarm| {
        query(alarm, "incomingBytes")["AccountId"] = json!("999988887777");
    })
    .await;
    let report = tick(&mut world.start(&named(&["orders"])).await).await;
    failed(
        &report,
        "orders",
        "contract",
        "alarm orders-scale-up-alarm measures the stream of another account, 999988887777",
    );
    assert_eq!(world.shards("orders"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_stops_the_scaling_until_it_is_ignored() {
    let new_field = |alarm: &mut serde_json::Map<String, Value>| {
        query(alarm, "usage")["Sampling"] = json!(1);
    };
    let world = firing(new_field).await;
    let report = tick(&mut world.start(&named(&["orders"])).await).await;
    failed(
        &report,
        "orders",
        "contract",
        "alarm orders-scale-up-alarm has the field Metrics.Sampling, which this version does not know: rewriting the \
         alarm would erase it, so its stream is not scaled",
    );
    let ignored = "[alarms]\nignore_fields = [\"Metrics.Sampling\"]\n";
    let config = format!("{ignored}{}", named(&["orders"]));
    let report = tick(&mut world.start(&config).await).await;
    acted(&report, "orders", "scale_up", 2, 4);
}

#[tokio::test(start_paused = true)]
async fn no_control_character_of_an_alarm_gets_through() {
    let world = firing(|alarm| {
        query(alarm, "shardCount")["Expression"] = json!("2\u{1b}[2J\r\nowned");
    })
    .await;
    let report = tick(&mut world.start(&named(&["orders"])).await).await;
    failed(
        &report,
        "orders",
        "contract",
        "the expression of `shardCount` is `2�[2J��owned`",
    );
}

/// CloudWatch with one mute rule on two pages.
#[derive(Clone, Debug)]
struct Muted;

impl HttpClient for Muted {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Muted)
    }
}

impl HttpConnector for Muted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert!(request.uri().ends_with("/operation/ListAlarmMuteRules"));
        let body = request.body().bytes().expect("it is in memory");
        let body = String::from_utf8_lossy(body);
        assert!(body.contains("ACTIVE"), "{body}");
        // One page tells whether any rule is active; those of the alarm are read to the end.
        assert!(body.contains(UP) || !body.contains("page 2"), "{body}");
        let mut reply = Encoder::new(Vec::new());
        reply.begin_map().str("AlarmMuteRuleSummaries").array(1);
        reply.begin_map().str("AlarmMuteRuleArn");
        match body.contains("page 2") {
            false => {
                reply.str("arn:aws:cloudwatch:eu-west-1:1:alarm-mute-rule:weekend:a");
                reply.end().str("NextToken").str("page 2");
            }
            true => {
                reply.str("arn:aws:cloudwatch:eu-west-1:1:alarm-mute-rule:night");
                let at = aws_smithy_types::DateTime::from_secs(1_795_000_000);
                reply.str("ExpireDate").timestamp(&at).end();
            }
        }
        reply.end();
        let status = StatusCode::try_from(200).expect("a status");
        let mut response = HttpResponse::new(status, reply.into_writer().into());
        let headers = response.headers_mut();
        headers.insert("smithy-protocol", "rpc-v2-cbor");
        headers.insert("content-type", "application/cbor");
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn active_mute_rules_are_read_with_their_end() {
    let world = World::new();
    let transport = Transport::embedded(SharedHttpClient::new(Muted));
    let config = world.config(&named(&["orders"]));
    let aws = Aws::connect(&config, transport).await.expect("a Region");
    let (_, clients) = aws.all_clients().next().expect("a Region");
    let rules = clients
        .cloudwatch
        .active_mute_rules(UP, world.clock.now())
        .await;
    let rule = |name: &str, until: Option<&str>| MuteRule {
        name: name.to_owned(),
        until: until.map(|at| at.parse().expect("a time")),
    };
    assert_eq!(
        rules.expect("CloudWatch answers"),
        [
            rule("weekend:a", None),
            rule("night", Some("2026-11-18T11:06:40Z"))
        ]
    );
}
