//! `alarms print|create` and `table print|create`.

mod create;
mod design;
mod print;
mod table;

use std::sync::Arc;

use autoscaler_core::subscription::Policy;
use kinesis_autoscaler::{
    cli::{self, Output},
    commands::provision::{alarms, pair},
    config::PairDesign,
    reconcile::context::Context,
};
use serde_json::Value;

const DESIGN: PairDesign = PairDesign {
    up_threshold: 0.75,
    down_threshold: 0.25,
    up_periods: 1,
    down_periods: 288,
    period_seconds: 300,
    throttle_share: 0.0,
};

async fn created(context: &Arc<Context>, streams: &[&str], replace: bool) -> (Value, Vec<String>) {
    let streams: Vec<String> = streams.iter().map(|it| (*it).to_owned()).collect();
    let given = cli::Design::default();
    let answer = alarms::create(context, &streams, replace, &given, Output::Json, None)
        .await
        .expect("it runs");
    let text = |report: &kinesis_autoscaler::output::error::Report| {
        let mut text = Vec::new();
        report.write(&mut text, false).expect("into memory");
        String::from_utf8(text).expect("text")
    };
    let json = serde_json::from_str(&answer.text).expect("JSON");
    (json, answer.failures.iter().map(text).collect())
}

fn orders(shards: u32) -> pair::Stream<'static> {
    pair::Stream {
        name: "orders",
        shards,
        policy: Policy::Original,
        reads: false,
    }
}
