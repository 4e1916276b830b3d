//! Alarm mute rules: PutAlarmMuteRule and ListAlarmMuteRules. A muted alarm still changes its
//! state. Only its actions are muted, and the sandbox does not perform actions at all.

use std::{collections::BTreeMap, ops::RangeInclusive};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{
    alarms::seconds,
    cloudwatch::{invalid, strings},
    region::Region,
    wire::{Answer, ApiError},
    world::Context,
};

/// Alarms that one rule can mute.
const MAX_ALARMS: usize = 100;

/// Rules on a page, unless MaxRecords says otherwise.
const PAGE: usize = 50;

/// Allowed lengths of a window.
const DURATIONS: RangeInclusive<SignedDuration> =
    SignedDuration::from_mins(1)..=SignedDuration::from_hours(15 * 24);

#[derive(Clone, Debug)]
pub(crate) struct MuteRule {
    pub alarms: Vec<String>,
    pub start: Start,
    pub duration: SignedDuration,
    /// The rule mutes nothing outside of these.
    pub valid_from: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub updated: Timestamp,
}

/// When a window begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Once(Timestamp),
    Recurring(Cron),
}

/// The allowed minutes, hours, days of the month, months and days of the week, one bit for each.
#[derive(Clone, Debug)]
pub(crate) struct Cron([u64; 5]);

pub(crate) type MuteRules = BTreeMap<String, MuteRule>;

impl MuteRule {
    fn status(&self, now: Timestamp) -> &'static str {
        let ended = match self.start {
            Start::Once(start) => self.end(start) <= now,
            Start::Recurring(_) => false,
        };
        if ended || self.expires.is_some_and(|expires| expires <= now) {
            "EXPIRED"
        } else if self.valid_from.is_none_or(|from| from <= now) && self.is_in_window(now) {
            "ACTIVE"
        } else {
            "SCHEDULED"
        }
    }

    fn end(&self, start: Timestamp) -> Timestamp {
        start
            .saturating_add(self.duration)
            .unwrap_or(Timestamp::MAX)
    }

    fn is_in_window(&self, now: Timestamp) -> bool {
        match &self.start {
            Start::Once(start) => *start <= now && now < self.end(*start),
            Start::Recurring(cron) => {
                let minute = now.as_second().div_euclid(60);
                // A window of whole minutes holds `now` if it began at most that long ago.
                let back = self.duration.as_secs().div_euclid(60);
                (0..back).any(|ago| cron.begins((minute - ago) * 60))
            }
        }
    }
}

impl Cron {
    fn read(text: &str) -> Option<Self> {
        const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
        const DAYS: &str = "SUNMONTUEWEDTHUFRISAT";
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return None;
        };
        Some(Self([
            read_field(minutes, 0..=59, "")?,
            read_field(hours, 0..=23, "")?,
            read_field(days, 1..=31, "")?,
            read_field(months, 1..=12, MONTHS)?,
            read_field(weekdays, 0..=6, DAYS)?,
        ]))
    }

    fn begins(&self, second: i64) -> bool {
        let Ok(at) = Timestamp::from_second(second) else {
            return false;
        };
        let at = at.to_zoned(TimeZone::UTC);
        let values = [
            at.minute(),
            at.hour(),
            at.day(),
            at.month(),
            at.weekday().to_sunday_zero_offset(),
        ];
        let mut fields = self.0.iter().zip(values);
        fields.all(|(allowed, value)| allowed & (1 << value) != 0)
    }
}

/// Reads `*`, numbers, names of three letters, ranges and lists of them.
fn read_field(text: &str, range: RangeInclusive<u32>, names: &str) -> Option<u64> {
    let value = |text: &str| {
        let named = (text.len() == 3).then(|| names.find(text)).flatten();
        let named = named.and_then(|at| u32::try_from(at / 3).ok());
        let value = named.map(|at| at + range.start());
        value
            .or_else(|| text.parse().ok())
            .filter(|n| range.contains(n))
    };
    let mut allowed = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            _ if part == "*" => (*range.start(), *range.end()),
            Some((first, last)) => (value(first)?, value(last)?),
            None => (value(part)?, value(part)?),
        };
        allowed |= (first..=last).fold(0, |bits, n| bits | 1 << n);
    }
    Some(allowed)
}

/// Creates or replaces a rule.
pub(crate) fn put(region: &mut Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let name = input.get("Name").and_then(Value::as_str);
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid("Name is required"))?;
    let targets = input.get("MuteTargets").and_then(Value::as_object);
    let alarms = targets.map(|targets| strings(targets, "AlarmNames"));
    let alarms = alarms.unwrap_or_default();
    if alarms.is_empty() || alarms.len() > MAX_ALARMS {
        return Err(invalid(format!(
            "MuteTargets must name 1 to {MAX_ALARMS} alarms"
        )));
    }
    let schedule = input.get("Rule").and_then(|rule| rule.get("Schedule"));
    let schedule = schedule.ok_or_else(|| invalid("Rule must have a Schedule"))?;
    let date = |member: &str| {
        let date = input.get(member).and_then(Value::as_f64)?;
        Timestamp::from_millisecond((date * 1_000.0) as i64).ok()
    };
    let rule = MuteRule {
        alarms: alarms.into_iter().map(str::to_owned).collect(),
        start: read_start(schedule)?,
        duration: read_duration(schedule)?,
        valid_from: date("StartDate"),
        expires: date("ExpireDate"),
        updated: ctx.now,
    };
    region.mute_rules.insert(name.to_owned(), rule);
    Ok(json!({}))
}

fn read_start(schedule: &Value) -> Result<Start, ApiError> {
    let zone = schedule["Timezone"].as_str().unwrap_or("UTC");
    if zone != "UTC" {
        return Err(invalid(format!(
            "the sandbox does not support the time zone {zone}"
        )));
    }
    let text = schedule["Expression"].as_str().unwrap_or_default();
    let inside = |kind: &str| text.strip_prefix(kind)?.strip_suffix(')');
    let start = match (inside("at("), inside("cron(")) {
        (Some(at), _) => {
            let at: Option<civil::DateTime> = at.parse().ok();
            let at = at.and_then(|at| at.to_zoned(TimeZone::UTC).ok());
            at.map(|at| Start::Once(at.timestamp()))
        }
        (_, Some(cron)) => Cron::read(cron).map(Start::Recurring),
        _ => None,
    };
    start.ok_or_else(|| invalid(format!("The schedule expression {text} is not valid")))
}

fn read_duration(schedule: &Value) -> Result<SignedDuration, ApiError> {
    let text = schedule["Duration"].as_str().unwrap_or_default();
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.filter(|duration| DURATIONS.contains(duration));
    duration.ok_or_else(|| {
        invalid(format!(
            "The duration {text:?} is not between PT1M and P15D"
        ))
    })
}

/// The rules, by alarm and status if asked for.
pub(crate) fn list(region: &Region, input: &Map<String, Value>, ctx: &Context) -> Answer {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let (alarm, after) = (text("AlarmName"), text("NextToken"));
    let statuses = strings(input, "Statuses");
    let found: Vec<(&String, &MuteRule)> = region
        .mute_rules
        .iter()
        .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after))
        .filter(|(_, rule)| alarm.is_none_or(|alarm| rule.alarms.iter().any(|it| it == alarm)))
        .filter(|(_, rule)| statuses.is_empty() || statuses.contains(&rule.status(ctx.now)))
        .collect();
    let limit = input.get("MaxRecords").and_then(Value::as_u64);
    let limit = limit.map_or(PAGE, |n| usize::try_from(n).unwrap_or(PAGE));
    let page = ctx.page(limit.clamp(1, MAX_ALARMS), found.len());
    let summaries = found[..page]
        .iter()
        .map(|(name, rule)| summary(region, name, rule, ctx.now));
    let mut out = json!({"AlarmMuteRuleSummaries": summaries.collect::<Vec<_>>()});
    if page < found.len() {
        let last = found[..page].last().map(|(name, _)| name.as_str());
        out["NextToken"] = json!(last.or(after).unwrap_or_default());
    }
    Ok(out)
}

fn summary(region: &Region, name: &str, rule: &MuteRule, now: Timestamp) -> Value {
    let mut out = json!({
        "AlarmMuteRuleArn": region.mute_rule_arn(name),
        "Status": rule.status(now),
        "MuteType": match rule.start {
            Start::Once(_) => "ONE_TIME",
            Start::Recurring(_) => "RECURRING",
        },
        "LastUpdatedTimestamp": seconds(rule.updated),
    });
    if let Some(expires) = rule.expires {
        out["ExpireDate"] = seconds(expires);
    }
    out
}
