//! What holds between keys: from the written configuration to the checked one.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    Config, LogTable,
    format::Template,
    problem::{Complaint, Problems, wrong},
    raw::{Raw, RawDefaults, RawStream},
};
use autoscaler_core::alarm::AlarmNames;
use autoscaler_core::subscription::{Account, Subscription};

/// Checks the whole; `None` only with a problem.
pub(super) fn config(raw: Raw, problems: &mut Problems) -> Option<Config> {
    let subscriptions = subscriptions(&raw, problems);
    if let Err((key, complaint)) = raw.alarms.design.check() {
        problems.add(format!("alarms.{key}"), complaint);
    }
    let Some(table) = raw.log.table else {
        problems.add(
            "log.table",
            wrong("the name of the log table is missing")
                .hint("`kinesis-autoscaler table create` makes the table that is named here"),
        );
        return None;
    };
    Some(Config {
        schedule: raw.schedule,
        audit_interval: Some(raw.audit_interval).filter(|it| !it.is_zero()),
        tick_timeout: raw.tick_timeout,
        call_timeout: raw.call_timeout,
        log_format: raw.log_format,
        state_dir: raw.state_dir,
        home: raw.aws.account,
        ca_bundle: raw.aws.ca_bundle,
        log: LogTable {
            table,
            retention_days: raw.log.retention_days,
        },
        quotas: raw.quotas,
        high_availability: raw.high_availability,
        metrics: raw.metrics,
        alarms: raw.alarms.design,
        ignore_fields: raw.alarms.ignore_fields,
        subscriptions,
    })
}

fn subscriptions(raw: &Raw, problems: &mut Problems) -> Vec<Subscription> {
    if raw.streams.is_empty() {
        problems.add(
            "streams",
            wrong("no stream is subscribed").hint("add one:\n[[streams]]\nname = \"orders\""),
        );
    }
    let defaults = &raw.defaults;
    if let Err(complaint) = bounds(defaults.min_shards, defaults.max_shards) {
        problems.add("defaults.min_shards", complaint);
    }
    // `None`: its text was complained about already.
    let template = Template::parse(&defaults.alarm_name).ok();
    let mut seen = Fetched::default();
    let mut subscriptions = Vec::with_capacity(raw.streams.len());
    for (i, stream) in raw.streams.iter().enumerate() {
        let subscription = Reading {
            stream,
            defaults,
            home: &raw.aws.account,
            reads: raw.alarms.reads,
            template: template.as_ref(),
            path: format!("streams[{i}]"),
            problems,
        }
        .subscription();
        if let Some(subscription) = subscription {
            seen.check(i, &subscription, problems);
            subscriptions.push(subscription);
        }
    }
    subscriptions
}

fn bounds(min: u32, max: u32) -> Result<(), Complaint> {
    if min > max {
        return Err(wrong(format!(
            "min_shards is {min}, above max_shards, which is {max}"
        )));
    }
    Ok(())
}

/// One entry under `[[streams]]`, being read.
struct Reading<'a> {
    stream: &'a RawStream,
    defaults: &'a RawDefaults,
    home: &'a Account,
    /// What `[alarms]` says of `reads`.
    reads: bool,
    template: Option<&'a Template>,
    path: String,
    problems: &'a mut Problems,
}

impl Reading<'_> {
    fn subscription(mut self) -> Option<Subscription> {
        let (stream, defaults) = (self.stream, self.defaults);
        let min_shards = stream.min_shards.unwrap_or(defaults.min_shards);
        let max_shards = stream.max_shards.unwrap_or(defaults.max_shards);
        // Bounds that are the defaults' own were looked at there.
        for (key, own) in [
            ("min_shards", stream.min_shards),
            ("max_shards", stream.max_shards),
        ] {
            if own.is_some()
                && let Err(complaint) = bounds(min_shards, max_shards)
            {
                self.add(key, complaint);
                break;
            }
        }
        let alarms = self.alarms()?;
        Some(Subscription {
            stream: stream.name.clone(),
            alarms,
            account: self.account(),
            min_shards,
            max_shards,
            cooldown_up: stream.cooldown_up.unwrap_or(defaults.cooldown_up),
            cooldown_down: stream.cooldown_down.unwrap_or(defaults.cooldown_down),
            reserved_scale_ups: stream
                .reserved_scale_ups
                .unwrap_or(defaults.reserved_scale_ups),
            policy: stream.policy.unwrap_or(defaults.policy),
            memory: stream.memory.unwrap_or(defaults.memory),
            fill: stream.fill.unwrap_or(defaults.fill),
            saving: stream.saving.unwrap_or(defaults.saving),
            max_iterator_age: Some(stream.max_iterator_age.unwrap_or(defaults.max_iterator_age))
                .filter(|it| !it.is_zero()),
            reads: stream.reads.unwrap_or(self.reads),
        })
    }

    fn alarms(&mut self) -> Option<AlarmNames> {
        match (&self.stream.name, &self.stream.alarm) {
            (Some(_), Some(_)) => {
                self.add(
                    "alarm",
                    wrong("an entry has either `name` or `alarm`, this one has both").hint(
                        "`alarm` alone names the stream too; beside `name` stands `alarm_name`",
                    ),
                );
                None
            }
            (None, None) => {
                let complained = |key: &str| self.problems.is_settled(&join(&self.path, key));
                if !["", "name", "alarm"].into_iter().any(complained) {
                    self.add(
                        "",
                        wrong("the entry has neither `name` nor `alarm`")
                            .hint("`name` is the stream's; `alarm` is either alarm of its pair"),
                    );
                }
                None
            }
            (None, Some(alarm)) => {
                if self.stream.alarm_name.is_some() {
                    self.add(
                        "alarm_name",
                        wrong("`alarm` names the pair already").hint("leave one of the two out"),
                    );
                }
                AlarmNames::from_either(alarm).ok()
            }
            (Some(name), None) => self.alarms_of(name),
        }
    }

    fn alarms_of(&mut self, name: &str) -> Option<AlarmNames> {
        let own;
        let template = match &self.stream.alarm_name {
            Some(text) => {
                own = Template::parse(text).ok()?;
                &own
            }
            None => self.template?,
        };
        match template.names(name) {
            Ok(names) => Some(names),
            Err(complaint) => {
                let key = match self.stream.alarm_name {
                    Some(_) => "alarm_name",
                    None => "name",
                };
                self.add(
                    key,
                    complaint.and_hint("or name the pair with `alarm` in place of `name`"),
                );
                None
            }
        }
    }

    fn account(&self) -> Account {
        let or =
            |own: &Option<String>, home: &Option<String>| own.as_ref().or(home.as_ref()).cloned();
        Account {
            region: or(&self.stream.region, &self.home.region),
            profile: or(&self.stream.profile, &self.home.profile),
            role_arn: or(&self.stream.role_arn, &self.home.role_arn),
        }
    }

    fn add(&mut self, key: &str, complaint: Complaint) {
        self.problems.add(join(&self.path, key), complaint);
    }
}

fn join(path: &str, key: &str) -> String {
    match key {
        "" => path.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// What is subscribed already, and by which entry.
#[derive(Default)]
struct Fetched {
    streams: HashMap<(Account, String), usize>,
    /// One name of a pair stands for both: each follows from the other.
    alarms: HashMap<(Account, String), usize>,
}

impl Fetched {
    fn check(&mut self, i: usize, subscription: &Subscription, problems: &mut Problems) {
        if let Some(stream) = &subscription.stream
            && let Some(first) = note(&mut self.streams, subscription, stream, i)
        {
            problems.add(
                format!("streams[{i}].name"),
                wrong(format!(
                    "{stream:?} is subscribed by streams[{first}] already"
                ))
                .hint("leave one out, or give them different accounts or Regions"),
            );
            return;
        }
        let alarm = &subscription.alarms.scale_up;
        if let Some(first) = note(&mut self.alarms, subscription, alarm, i) {
            let key = match subscription.stream {
                Some(_) => "alarm_name",
                None => "alarm",
            };
            problems.add(
                format!("streams[{i}].{key}"),
                wrong(format!(
                    "{alarm:?} is the alarm of streams[{first}] already"
                ))
                .hint("each stream has a pair of its own"),
            );
        }
    }
}

/// Remembers the name; returns the entry that had it before.
fn note(
    seen: &mut HashMap<(Account, String), usize>,
    subscription: &Subscription,
    name: &str,
    i: usize,
) -> Option<usize> {
    match seen.entry((subscription.account.clone(), name.to_owned())) {
        Entry::Occupied(first) => Some(*first.get()),
        Entry::Vacant(place) => {
            place.insert(i);
            None
        }
    }
}
