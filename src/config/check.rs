//! What holds between keys: from the declared keys to the checked configuration.

use std::time::Duration;

use autoscaler_core::subscription::Account;

use super::{
    Config, LogTable, format,
    keys::{Globals, Notify, StreamSettings},
    kind::DAY,
    problem::{Complaint, Problems, wrong},
    streams::{self, Entries},
};

/// Which optional sections are there.
pub(super) struct Present {
    pub high_availability: bool,
    pub metrics: bool,
    pub notify: bool,
}

/// Checks the keys against each other. Without a table name there is no configuration.
pub(super) fn config(
    globals: Globals,
    present: &Present,
    entries: Entries,
    problems: &mut Problems,
) -> Option<Config> {
    if let Err((key, complaint)) = globals.design.check() {
        problems.add(format!("alarms.{key}"), complaint);
    }
    defaults(&globals, problems);
    if present.notify {
        notify(&globals, problems);
    }
    let Some(table) = globals.log.table else {
        problems.add(
            "log.table",
            wrong("the name of the log table is missing")
                .hint("`kinesis-autoscaler table create` creates the table that is named here"),
        );
        return None;
    };
    Some(Config {
        schedule: globals.general.schedule,
        audit_interval: globals.general.audit_interval,
        tick_timeout: globals.general.tick_timeout,
        call_timeout: globals.general.call_timeout,
        log_format: globals.general.log_format,
        state_dir: globals.general.state_dir,
        home: streams::account(&globals.account, &Account::default()),
        ca_bundle: globals.connection.ca_bundle,
        log: LogTable {
            table,
            retention_days: globals.log.retention_days,
        },
        quotas: globals.quotas,
        high_availability: present
            .high_availability
            .then_some(globals.high_availability),
        metrics: present.metrics.then_some(globals.metrics),
        notify: present.notify.then_some(globals.notify),
        prices: globals.prices,
        alarms: globals.design,
        ignore_fields: globals.replies.ignore_fields,
        subscriptions: entries.subscriptions,
        patterns: entries.patterns,
        unmatched_includes: Vec::new(),
    })
}

fn notify(globals: &Globals, problems: &mut Problems) {
    let Notify { sns_topic, command } = &globals.notify;
    let is_empty = sns_topic.is_none() && command.is_none();
    // What is wrong there may be the key that is missing.
    if is_empty && !problems.is_settled_in("notify") {
        let complaint = wrong("the section names nothing to notify");
        problems.add("notify", complaint.hint("set sns_topic or command"));
    }
}

fn defaults(globals: &Globals, problems: &mut Problems) {
    let defaults = &globals.defaults;
    if !globals.naming.alarm_name.names_the_stream() {
        problems.add(
            "defaults.alarm_name",
            wrong("has no {stream} in it, so all streams would share one pair of alarms")
                .hint("expected for example \"{stream}-{direction}-alarm\""),
        );
    }
    if let Err(complaint) = bounds(defaults) {
        problems.add("defaults.min_shards", complaint);
    }
    for (key, period) in cooldowns(defaults) {
        if let Err(complaint) = cooldown(period, globals) {
            problems.add(format!("defaults.{key}"), complaint);
        }
    }
}

pub(super) fn bounds(settings: &StreamSettings) -> Result<(), Complaint> {
    let (min, max) = (settings.min_shards, settings.max_shards);
    if min > max {
        return Err(wrong(format!(
            "min_shards is {min}, above max_shards, which is {max}"
        )));
    }
    Ok(())
}

pub(super) fn cooldowns(settings: &StreamSettings) -> [(&'static str, Duration); 2] {
    [
        ("cooldown_up", settings.cooldown_up),
        ("cooldown_down", settings.cooldown_down),
    ]
}

/// A cooldown is counted from the last row of the scaling log, which must still be there.
pub(super) fn cooldown(period: Duration, globals: &Globals) -> Result<(), Complaint> {
    let days = globals.log.retention_days;
    if period <= DAY * days {
        return Ok(());
    }
    let period = humantime::format_duration(period);
    let text = format!("{period} is longer than log.retention_days, which is {days}");
    Err(wrong(text).hint("the cooldown would end when the row of the last scaling expires"))
}

/// What is valid, but probably a mistake.
pub(super) fn warnings(config: &Config) -> Vec<Complaint> {
    let topic = config.notify.iter().filter_map(Notify::region);
    let mut regions: Vec<&str> = config
        .accounts()
        .filter_map(|account| account.region.as_deref())
        .chain(topic)
        .filter(|region| !format::is_region_of_aws(region))
        .collect();
    regions.sort_unstable();
    regions.dedup();
    let unmatched = config.unmatched_includes.iter().map(|pattern| {
        wrong(format!("include: no file matches `{pattern}`"))
            .hint("a pattern is relative to the folder of the main file")
    });
    let regions = regions.into_iter().map(|it| {
        wrong(format!("`{it}` is not named like a Region of AWS"))
            .hint("expected for example `eu-west-1`")
    });
    unmatched.chain(regions).collect()
}
