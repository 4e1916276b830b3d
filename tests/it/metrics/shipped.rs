//! The alert rules and the dashboard in `config/`, against what is exposed.

use std::collections::{BTreeMap, BTreeSet};

use kinesis_autoscaler::daemon::metrics::Format;
use serde_json::Value;

use super::{
    Process,
    formats::{families, promtool},
    pause_all,
};
use crate::world::{World, named};

/// Every metric name in an expression.
fn names(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part(c))
        .filter(|word| word.starts_with("kinesis_autoscaler_"))
        .map(ToOwned::to_owned)
        .collect()
}

/// The metrics that rules and dashboards can use, with their types.
async fn exposed() -> BTreeMap<String, String> {
    let world = World::new();
    world.stream("orders", 2);
    let window = "[[windows]]\nat = \"2026-11-22T12:00:00Z\"\nfor = \"1h\"\nmin_shards = 2\n";
    let mut process = Process::new(&world, &format!("{window}{}", named(&["orders"]))).await;
    pause_all(&process, &world).await;
    process.tick().await;
    families(&process.metrics.exposition(Format::Text), Format::Text)
}

#[tokio::test(start_paused = true)]
async fn the_alert_rules_speak_of_metrics_that_there_are_and_fire_when_they_should() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/alerts.yml");
    let rules = std::fs::read_to_string(path).expect("the rules");
    let (exposed, named) = (exposed().await, names(&rules));
    let known = |name: &&String| exposed.contains_key(*name);
    let unknown: Vec<&String> = named.iter().filter(|name| !known(name)).collect();
    assert!(
        unknown.is_empty() && named.len() > 5,
        "{unknown:?} of {named:?}"
    );
    // Series of two accounts stay distinct.
    assert!(!rules.contains("by (stream, region)"), "{rules}");
    promtool(&["check", "rules", path], "");
    // When each of them fires.
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/alert_rules.yml");
    promtool(&["test", "rules", cases], "");
}

#[tokio::test(start_paused = true)]
async fn the_dashboard_speaks_of_all_metrics_and_of_no_other() {
    let exposed = exposed().await;
    let exposed = exposed.into_iter().map(|(name, kind)| match kind.as_str() {
        "histogram" => format!("{name}_bucket"),
        _ => name,
    });
    // Other dashboards show what every process has.
    let ours = |name: &String| name.starts_with("kinesis_autoscaler_");
    let exposed: BTreeSet<String> = exposed.filter(ours).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/grafana-dashboard.json");
    let dashboard = std::fs::read_to_string(path).expect("the dashboard");
    let json: Value = serde_json::from_str(&dashboard).expect("JSON");
    assert_eq!(names(&dashboard), exposed);

    let panels = json["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_i64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(
            panel["description"].is_string(),
            "{title} says what it shows"
        );
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            let balanced = |open: char, close: char| {
                expression.matches(open).count() == expression.matches(close).count()
            };
            assert!(
                balanced('(', ')') && balanced('{', '}'),
                "{title}: {expression}"
            );
            // A counter is read by its rate.
            for counter in names(expression)
                .iter()
                .filter(|name| name.ends_with("_total"))
            {
                let rated = [format!("rate({counter}"), format!("increase({counter}")];
                assert!(
                    rated.iter().any(|it| expression.contains(it)),
                    "{title}: {expression}"
                );
            }
        }
    }
}
