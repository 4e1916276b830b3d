//! What the alarms of a stream with the adaptive policy should look like. Pure.

use autoscaler_core::alarm::Settings;

use super::finding::{Finding, Severity};

/// The threshold and windows that the policy is designed for, as `alarms create` sets them.
const UP_WINDOW_SECONDS: u64 = 180;
const DOWN_WINDOW_SECONDS: u64 = 3_600;
const DOWN_THRESHOLD: f64 = 0.40;

/// Reports what is slower or more expensive with other numbers. `judged` is false where thresholds
/// have no meaning.
pub fn numbers(up: &Settings, down: &Settings, judged: bool, found: &mut Vec<Finding>) {
    let mut add = |alarm: &Settings, message: String| {
        let fix = "run `alarms create --replace --stream NAME` with the policy's numbers, or keep these if they are meant";
        let name = &alarm.alarm_name;
        found.push(Finding::new(
            Severity::Info,
            "adaptive_alarms",
            name,
            message,
            fix,
        ));
    };
    if let Some(window) = up.window_seconds().filter(|it| *it > UP_WINDOW_SECONDS) {
        let message = format!(
            "it looks at {window} s, and the adaptive policy expects {UP_WINDOW_SECONDS} s: scale-ups come later"
        );
        add(up, message);
    }
    if let Some(window) = down.window_seconds().filter(|it| *it > DOWN_WINDOW_SECONDS) {
        let message = format!(
            "it looks at {window} s, and the adaptive policy expects {DOWN_WINDOW_SECONDS} s: scale-downs come later, and shards cost more"
        );
        add(down, message);
    }
    if let Some(threshold) = down.threshold.filter(|it| judged && *it < DOWN_THRESHOLD) {
        let message = format!(
            "its threshold is {threshold}, and the adaptive policy expects {DOWN_THRESHOLD}: scale-downs come later, and shards cost more"
        );
        add(down, message);
    }
}
