//! What the rows of a configured stream start from.

use serde_json::Value;
use tempfile::TempDir;

use super::{backtest, row, wave};

/// The rows of the wave, under a configuration if there is one.
fn rows(config: Option<&str>, variants: &[&str]) -> Value {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("config.toml");
    let path = path.to_str().expect("UTF-8");
    let mut flags = vec!["--shards", "8", "--output", "json"];
    if let Some(config) = config {
        let top = "[aws]\nregion = \"eu-west-1\"\n[log]\ntable = \"log\"\n";
        std::fs::write(path, format!("{top}{config}")).expect("it is written");
        flags.extend(["--config", path]);
    }
    flags.extend(variants.iter().flat_map(|it| ["--variant", it]));
    let run = backtest(folder.path(), &wave(), &flags);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    serde_json::from_str(&run.stdout).expect("JSON")
}

fn peak(result: &Value, name: &str) -> u64 {
    let peak = &row(result, name)["peak_shards"];
    peak.as_u64().expect("a count")
}

/// All that a row says, but for its name.
fn figures<'a>(result: &'a Value, name: &str) -> Vec<(&'a String, &'a Value)> {
    let row = row(result, name).as_object().expect("an object");
    row.iter().filter(|(key, _)| *key != "name").collect()
}

const WINDOW: &str = "windows = [{ at = \"2026-01-02T18:00:00Z\", for = \"1h\", min_shards = 30, max_shards = 30 }]\n";

#[test]
fn each_row_keeps_to_the_bounds_and_windows_of_the_configuration() {
    // The burst needs 15 shards.
    let capped = "[[streams]]\nname = \"orders\"\nmax_shards = 9\n";
    let variants = ["memory=24h", "max_shards=11"];
    let result = rows(Some(capped), &variants);
    for name in ["configured", "original", "adaptive", "memory=24h"] {
        assert_eq!(peak(&result, name), 9, "{name}: {result}");
    }
    assert_eq!(peak(&result, "max_shards=11"), 11, "{result}");
    let windowed = rows(Some(&format!("{capped}{WINDOW}")), &variants);
    for name in ["configured", "original", "adaptive", "memory=24h"] {
        assert_eq!(peak(&windowed, name), 30, "{name}: {windowed}");
    }
}

#[test]
fn a_variant_with_the_policy_of_the_configuration_has_its_alarms_too() {
    let config =
        "[alarms]\nup_threshold = 0.5\n[[streams]]\nname = \"orders\"\ncooldown_down = \"3h\"\n";
    let same = "cooldown_down=3h";
    let result = rows(Some(config), &[same, "cooldown_down=3h,policy=adaptive"]);
    assert_eq!(figures(&result, same), figures(&result, "configured"));
    // Its documentation scales up at 0.75.
    assert_ne!(figures(&result, "original"), figures(&result, "configured"));
    let adaptive = figures(&result, "cooldown_down=3h,policy=adaptive");
    assert_eq!(adaptive, figures(&result, "adaptive"));
}

#[test]
fn a_configuration_that_sets_nothing_has_the_rows_of_none() {
    let bare = rows(Some("[[streams]]\nname = \"orders\"\n"), &["fill=0.7"]);
    let none = rows(None, &["fill=0.7"]);
    for name in ["original", "adaptive", "fill=0.7", "foresight"] {
        assert_eq!(figures(&bare, name), figures(&none, name), "{name}");
    }
}
