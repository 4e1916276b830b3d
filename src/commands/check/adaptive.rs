//! What the alarms of a stream with the adaptive policy should look like. Pure.

use autoscaler_core::{
    alarm::Settings,
    policy::{adaptive::Adaptive, demand::Share},
    subscription::{Permille, Subscription},
};
use humantime::format_duration;

use super::finding::{Finding, Severity};

/// The threshold and windows that the policy is designed for, as `alarms create` sets them.
const UP_WINDOW_SECONDS: u64 = 180;
const DOWN_WINDOW_SECONDS: u64 = 3_600;
const UP_THRESHOLD: f64 = 0.75;
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
    if let Some(threshold) = up.threshold.filter(|it| judged && *it > UP_THRESHOLD) {
        let message = format!(
            "its threshold is {threshold}, and the adaptive policy expects {UP_THRESHOLD}: scale-ups come later, and more records may be rejected"
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

/// Says in words what the policy's settings mean, where they are not the defaults.
pub fn settings(subscription: &Subscription, found: &mut Vec<Finding>) {
    let default = Adaptive::default();
    let percent = |share: u32| f64::from(share) / 10.0;
    let ratio = |share: Permille| f64::from(share.get()) / 1000.0;
    let mut meanings = Vec::new();
    if subscription.memory.as_secs() != default.memory_seconds {
        let memory = format_duration(subscription.memory);
        meanings.push(format!(
            "memory is {memory}: half of a peak is forgotten in {memory}, so that after a peak of twice the usual demand the shards for it are kept about that long"
        ));
    }
    if Share::from(subscription.fill) != default.fill {
        let fill = subscription.fill.get();
        let (used, spare) = (percent(fill), percent(1000_u32.saturating_sub(fill)));
        meanings.push(format!(
            "fill is {}: after a scale-down the remembered peak uses up to {used} % of the shards, and {spare} % are spare",
            ratio(subscription.fill)
        ));
    }
    if Share::from(subscription.saving) != default.saving {
        let saving = percent(subscription.saving.get());
        meanings.push(format!(
            "saving is {}: a scale-down removes at least {saving} % of the shards",
            ratio(subscription.saving)
        ));
    }
    if meanings.is_empty() {
        return;
    }
    let fix = "nothing, if this is meant; the defaults are memory = \"12h\", fill = 0.55 and saving = 0.3";
    found.push(Finding::new(
        Severity::Info,
        "adaptive_settings",
        subscription.label(),
        meanings.join("; "),
        fix,
    ));
}

/// A scale-up leaves half of the shards unused, whatever the threshold.
const UP_LEAVES: f64 = 0.5;

/// Reports thresholds at which a scaling of the policy calls for the opposite one.
///
/// The scale-down threshold alone cannot: it only asks for a decision, and the policy holds as long
/// as the remembered peak needs the shards.
pub fn flapping(subscription: &Subscription, up: &Settings, found: &mut Vec<Finding>) {
    let Some(threshold) = up.threshold.filter(|_| up.fires_above() == Some(true)) else {
        return;
    };
    let fill = f64::from(subscription.fill.get()) / 1000.0;
    let (message, fix) = match () {
        () if threshold <= UP_LEAVES => (
            format!(
                "its threshold of {threshold} is not above {UP_LEAVES}, the usage that a scale-up leads to: it fires again"
            ),
            "raise the threshold, for example to 0.75",
        ),
        () if fill >= threshold => (
            format!(
                "its threshold of {threshold} is not above fill = {fill}, the usage that a scale-down leads to: it fires soon after"
            ),
            "lower `fill` below the threshold, for example to 0.55",
        ),
        () => return,
    };
    let (rule, name) = ("flapping", &up.alarm_name);
    found.push(Finding::new(Severity::Warning, rule, name, message, fix));
}
