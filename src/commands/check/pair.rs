//! What can be wrong with a pair of alarms, given the stream's shard count if that is known. Pure.

use super::{
    adaptive,
    finding::{Finding, Severity},
    usage,
};
use crate::commands::provision;
use crate::output::table::counted;
use autoscaler_core::{
    alarm::{Alarm, AlarmContract, ContractError, Direction, Settings},
    policy::original::step_up,
    subscription::{Policy, Subscription},
};

use Severity::{Error, Info, Warning};

/// CloudWatch evaluates alarms that look further back only once an hour.
const DAY_SECONDS: u64 = 86_400;
/// A scale-down aims at this usage.
const AIM: f64 = 0.5;
/// In the names of SNS topics that start another autoscaler.
const TOPIC_WORDS: [&str; 4] = ["scale-up", "scale-down", "kinesis-autoscaler", "scaling"];

/// One alarm that was read.
#[derive(Clone, Copy, Debug)]
pub struct Half<'a> {
    pub alarm: &'a Alarm,
    pub settings: &'a Settings,
}

/// Judges the pair of a subscription. `n` is the stream's open shard count, if that is known and
/// stable.
///
/// `throttle_share` is the share of rejected records that a pair should react to; 0 turns that off.
pub fn judge(
    subscription: &Subscription,
    up: Option<Half>,
    down: Option<Half>,
    n: Option<u32>,
    throttle_share: f64,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(error) = subscription.conflict() {
        found.push(broken(subscription.label(), &error));
    }
    let mut terms = Vec::new();
    let names = &subscription.alarms;
    let mut expected = subscription.stream.clone();
    for (name, half) in [(&names.scale_up, up), (&names.scale_down, down)] {
        let read = match half {
            None => Err(ContractError::Missing(name.clone())),
            Some(half) => half.alarm.terms(expected.as_deref()),
        };
        match read {
            Ok(read) => {
                expected.get_or_insert_with(|| read.stream.clone());
                terms.push(read);
            }
            Err(error) => found.push(broken(name, &error)),
        }
    }
    for (half, direction) in [(up, Direction::Up), (down, Direction::Down)] {
        let Some(half) = half else { continue };
        single(half, direction, &mut found);
    }
    if throttle_share > 0.0 {
        let halves = [up, down].into_iter().flatten();
        found.extend(halves.filter_map(|half| blind(half, subscription, throttle_share)));
    }
    if let [up_terms, down_terms] = &terms[..] {
        counts(subscription, up_terms, down_terms, n, &mut found);
    }
    if let (Some(up), Some(down)) = (up, down) {
        let sound = found.iter().all(|finding| finding.rule != "usage_formula");
        // Thresholds have no meaning unless usage is a ratio.
        let judged = terms.len() == 2 && sound;
        if subscription.policy == Policy::Adaptive {
            adaptive::settings(subscription, &mut found);
            adaptive::numbers(up.settings, down.settings, judged, &mut found);
            if judged {
                adaptive::flapping(subscription, up.settings, &mut found);
            }
            return found;
        }
        windows(up.settings, down.settings, sound, &mut found);
        if judged {
            let (min, max) = (subscription.min_shards, subscription.max_shards);
            // The current count first, then every count that it may reach.
            let counts = n.into_iter().chain(min..=max);
            thresholds(up.settings, down.settings, (counts, max), &mut found);
        }
    }
    found
}

/// Recommends the throttle signal for an alarm that lacks it.
fn blind(half: Half, subscription: &Subscription, throttle_share: f64) -> Option<Finding> {
    const METRIC: &str = "WriteProvisionedThroughputExceeded";
    let Half { alarm, settings } = half;
    let mut stats = settings.stats();
    let sees = stats.any(|(_, stat)| stat.metric.metric_name == METRIC);
    let period = settings.period_seconds().filter(|_| !sees)?;
    let message = "its usage does not rise when records are rejected, as they are at low usage where keys are uneven";
    let usage = provision::pair::usage(throttle_share, subscription.reads, period);
    let fix = format!(
        "run `alarms create --replace`, or add the Sum of {METRIC} with the id `throttled`, and compare {usage}"
    );
    Some(Finding::new(
        Info,
        "no_throttle_signal",
        &alarm.name,
        message,
        fix,
    ))
}

fn broken(alarm: &str, error: &ContractError) -> Finding {
    let rule = match error {
        ContractError::Missing(_) => "alarm_missing",
        ContractError::NoShardCount(_) => "no_shard_count",
        ContractError::BadShardCount { .. } => "bad_shard_count",
        ContractError::NoIncomingMetric(_) => "no_incoming_metric",
        ContractError::OtherStream { .. } => "other_stream",
        ContractError::OtherAccount { .. } => "other_account",
        ContractError::UnknownField { .. } => "unknown_field",
        ContractError::TwoPatterns { .. } => "two_patterns",
    };
    // The line begins with the alarm's name already.
    let text = error.to_string();
    let text = text
        .strip_prefix(&format!("alarm {alarm}"))
        .map_or(text.as_str(), |rest| rest.trim_start_matches([' ', ':']));
    Finding::new(Error, rule, alarm, text, error.hint())
}

/// Checks one alarm by itself.
fn single(half: Half, direction: Direction, found: &mut Vec<Finding>) {
    let Half { alarm, settings } = half;
    let name = &alarm.name;
    let mut add = |severity, rule, message: String, fix: &str| {
        found.push(Finding::new(severity, rule, name, message, fix));
    };
    if !alarm.further_dimensions.is_empty() {
        let message = format!(
            "its incoming metrics are narrowed down to {}: it measures a part of the stream, not the stream",
            alarm.further_dimensions.join(", ")
        );
        let fix = "remove every dimension but StreamName from the incoming metrics";
        add(Error, "further_dimension", message, fix);
    }
    if let Some(state) = alarm.evaluation_state {
        let message = format!("it is in {}: {}", state.name(), state.meaning());
        let fix =
            "correct the alarm's metrics and expressions; until then its state cannot be relied on";
        add(Error, "evaluation", message, fix);
    }
    let up = direction == Direction::Up;
    if settings.fires_above() != Some(up) {
        let (is, fires, should) = match up {
            true => (
                &settings.comparison_operator,
                "high",
                "GreaterThanOrEqualToThreshold",
            ),
            false => (
                &settings.comparison_operator,
                "low",
                "LessThanOrEqualToThreshold",
            ),
        };
        let message = format!("it compares with {is}, which does not fire at {fires} usage");
        add(Error, "wrong_comparison", message, &format!("set {should}"));
    }
    if settings.threshold.is_none() {
        let message =
            "it has no fixed threshold, so that its scalings cannot be foreseen".to_owned();
        add(
            Warning,
            "no_threshold",
            message,
            "compare usage with a threshold",
        );
    }
    if !alarm.actions_enabled && (up || alarm.recorded_count() != Some(1)) {
        let message = "its actions are disabled, which pauses this direction".to_owned();
        add(
            Info,
            "paused",
            message,
            "enable its actions to let it scale",
        );
    }
    if settings.warms_up {
        let message =
            "it has a warm-up period, which may start again whenever its shard count is rewritten"
                .to_owned();
        add(
            Warning,
            "warm_up",
            message,
            "remove the warm-up configuration",
        );
    }
    let topics: Vec<&str> = settings
        .alarm_actions
        .iter()
        .filter_map(|arn| old_topic(arn))
        .collect();
    if !topics.is_empty() {
        let message = format!(
            "it notifies {}, as for another autoscaler: two at once scale the stream twice",
            topics.join(", ")
        );
        add(
            Warning,
            "old_topic",
            message,
            "stop the other autoscaler, or remove the action if that is what it is for",
        );
    }
    if settings.treat_missing_data == "breaching" {
        let word = if up { "up" } else { "down" };
        let message = format!(
            "it treats missing data as breaching, so that a gap in the metrics scales {word}"
        );
        add(
            Warning,
            "missing_data",
            message,
            "set TreatMissingData to ignore",
        );
    }
    periods(settings, up, &mut add);
    formula(half, &mut add);
}

/// The name of an SNS topic that seems to start a scaling.
fn old_topic(arn: &str) -> Option<&str> {
    let topic = arn
        .strip_prefix("arn:")?
        .split_once(":sns:")?
        .1
        .rsplit(':')
        .next()?;
    let lower = topic.to_ascii_lowercase();
    TOPIC_WORDS
        .iter()
        .any(|word| lower.contains(word))
        .then_some(topic)
}

/// Periods, windows and data points.
fn periods(
    settings: &Settings,
    up: bool,
    add: &mut impl FnMut(Severity, &'static str, String, &str),
) {
    let mut lengths: Vec<u32> = settings
        .stats()
        .map(|(_, stat)| stat.period_seconds)
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    if lengths.len() > 1 {
        let lengths = lengths
            .iter()
            .map(|it| format!("{it} s"))
            .collect::<Vec<_>>()
            .join(" and ");
        let message = format!("its metrics have periods of {lengths}");
        add(
            Warning,
            "period_mismatch",
            message,
            "give all its metrics the same period",
        );
    }
    for (id, stat) in settings.stats() {
        let wrong = match id {
            "incomingBytes" => stat.metric.metric_name != "IncomingBytes",
            "incomingRecords" => stat.metric.metric_name != "IncomingRecords",
            _ => continue,
        };
        if wrong || stat.metric.namespace != "AWS/Kinesis" {
            let message = format!(
                "`{id}` measures {} of {}",
                stat.metric.metric_name, stat.metric.namespace
            );
            add(
                Warning,
                "wrong_metric",
                message,
                "let it measure the stream's incoming metric of AWS/Kinesis",
            );
        }
        if stat.stat != "Sum" {
            let message = format!(
                "`{id}` takes the {} of its metric, and usage is made of sums",
                stat.stat
            );
            add(Warning, "not_sum", message, "set its statistic to Sum");
        }
    }
    if let Some(window) = settings
        .window_seconds()
        .filter(|window| *window > DAY_SECONDS)
    {
        let message = format!(
            "it looks back {window} s, and CloudWatch evaluates alarms that look back more than a day once an hour only"
        );
        add(
            Warning,
            "long_window",
            message,
            "let periods times length be at most 86400 s",
        );
    }
    let (some, all) = (settings.datapoints(), settings.evaluation_periods);
    if some > all {
        let message = format!("it wants {some} of {all} data points, so that it never fires");
        add(
            Error,
            "datapoints",
            message,
            "set DatapointsToAlarm to at most EvaluationPeriods",
        );
    } else if !up && u64::from(some) * 2 < u64::from(all) {
        let message = format!(
            "{some} low data points of {all} scale the stream down, whatever the others say"
        );
        add(
            Warning,
            "datapoints",
            message,
            "set DatapointsToAlarm to EvaluationPeriods",
        );
    }
}

/// Checks whether usage is 1 when the shards are full.
fn formula(half: Half, add: &mut impl FnMut(Severity, &'static str, String, &str)) {
    let Half { alarm, settings } = half;
    let Some(shards) = alarm.recorded_count() else {
        return;
    };
    let results = match usage::at_limit(settings, shards) {
        Ok(results) => results,
        Err(usage::Unknown(why)) => {
            let message = format!("its usage cannot be foreseen: {why}");
            let fix = "see that usage is 1 when the shards are full; `alarms print` shows the usual expressions";
            return add(Info, "usage_unknown", message, fix);
        }
    };
    let wrong = results.iter().find(|it| !(0.99..=1.01).contains(&it.usage));
    if let Some(usage::AtLimit { metric, usage }) = wrong {
        let period = settings.period_seconds().unwrap_or(0);
        let message = format!(
            "its usage is {} when {metric} fills all {shards} shards in a period of {period} s, where it should be 1",
            short(*usage)
        );
        let fix = format!(
            "divide bytes by 1024*1024*{period}*shardCount and records by 1000*{period}*shardCount, as `alarms print` does"
        );
        add(Warning, "usage_formula", message, &fix);
    }
}

/// Compares the counts that the alarms record with each other, the stream and the bounds.
fn counts(
    subscription: &Subscription,
    up: &AlarmContract,
    down: &AlarmContract,
    n: Option<u32>,
    found: &mut Vec<Finding>,
) {
    let names = &subscription.alarms;
    let fix = "the audit corrects it within audit_interval, unless that is \"0s\"";
    if up.shard_count != down.shard_count {
        let message = format!(
            "it records {}, and {} records {}",
            counted(up.shard_count, "shard"),
            names.scale_down,
            down.shard_count
        );
        found.push(Finding::new(
            Warning,
            "pair_disagrees",
            &names.scale_up,
            message,
            fix,
        ));
    } else if let Some(n) = n
        && up.shard_count != n
    {
        let message = format!(
            "the pair records {}, and the stream has {n}",
            counted(up.shard_count, "shard")
        );
        found.push(Finding::new(
            Warning,
            "out_of_sync",
            &names.scale_up,
            message,
            fix,
        ));
    }
    let Some(n) = n else { return };
    let (min, max) = (subscription.min_shards, subscription.max_shards);
    let stream = &up.stream;
    let (key, message) = match () {
        () if n > max => (
            "max_shards",
            format!("{stream} has {n} shards, above max_shards = {max}: it is never scaled up"),
        ),
        () if n < min => (
            "min_shards",
            format!(
                "{stream} has {}, below min_shards = {min}: it is scaled up to that",
                counted(n, "shard")
            ),
        ),
        () => return,
    };
    let fix = "move the bound, or scale the stream with `kinesis-autoscaler scale`";
    found.push(Finding::new(Warning, "out_of_bounds", key, message, fix));
}

/// Compares the windows of the two alarms.
///
/// `sound` is false if a formula for another period was reported already.
fn windows(up: &Settings, down: &Settings, sound: bool, found: &mut Vec<Finding>) {
    let name = &down.alarm_name;
    if let (Some(up_window), Some(down_window)) = (up.window_seconds(), down.window_seconds())
        && down_window < up_window
    {
        let message = format!(
            "it looks back {down_window} s, and the scale-up alarm {up_window} s: the stream shrinks sooner than it grows"
        );
        let fix = "give it more or longer periods, as 288 of 300 s";
        found.push(Finding::new(Warning, "window_order", name, message, fix));
    }
    if let (Some(up_period), Some(down_period)) = (up.period_seconds(), down.period_seconds())
        && sound
        && up_period != down_period
    {
        let message = format!(
            "its periods are {down_period} s long, and those of the scale-up alarm {up_period} s"
        );
        let fix = "give both the same period, so that both see the same peaks";
        found.push(Finding::new(Warning, "period_mismatch", name, message, fix));
    }
}

/// Finds thresholds at which one scaling causes the opposite one, at any of `counts`; none is above
/// `most`.
fn thresholds(
    up: &Settings,
    down: &Settings,
    (counts, most): (impl Iterator<Item = u32>, u32),
    found: &mut Vec<Finding>,
) {
    let (Some(high), Some(low)) = (up.threshold, down.threshold) else {
        return;
    };
    if up.fires_above() != Some(true) || down.fires_above() != Some(false) {
        return;
    }
    let mut add = |settings: &Settings, rule, message, fix: &str| {
        found.push(Finding::new(
            Warning,
            rule,
            &settings.alarm_name,
            message,
            fix,
        ));
    };
    if high > 1.0 || (high == 1.0 && !up.comparison_operator.contains("OrEqual")) {
        let message = format!(
            "its threshold of {high} is never reached: usage is at most 1, because everything above is throttled"
        );
        add(
            up,
            "unreachable",
            message,
            "lower the threshold, as to 0.75",
        );
    }
    if low <= 0.0 {
        let message = format!("its threshold is {low}, and usage is never below 0");
        add(
            down,
            "unreachable",
            message,
            "raise the threshold, as to 0.25",
        );
    }
    if high <= AIM {
        let message = format!(
            "its threshold of {high} is not above {AIM}, the usage that a scale-down aims at: each calls for the other"
        );
        add(
            up,
            "flapping",
            message,
            "raise the threshold above 0.5, as to 0.75",
        );
        return;
    }
    // The share of usage that remains after a scale-up from n.
    let target = |n: u32| step_up(n).min(most).max(1);
    let left = |n: u32| high * f64::from(n) / f64::from(target(n));
    let mut counts = counts;
    if let Some(n) = counts.find(|n| target(*n) > *n && low >= left(*n)) {
        let (target, left) = (target(n), left(n));
        let message = format!(
            "with {} a scale-up to {target} turns a usage of {high} into {}, which is not above the scale-down threshold {low}",
            counted(n, "shard"),
            short(left)
        );
        let fix = format!(
            "lower this threshold below {}, or raise the other",
            short(left)
        );
        add(down, "flapping", message, &fix);
    }
}

/// A ratio for people.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
