//! What a single text must look like, key by key.

use std::net::SocketAddr;

use croner::parser::{CronParser, Seconds};
use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};

use super::problem::{Complaint, wrong};
use autoscaler_core::alarm::AlarmNames;

const ALARM_HINT: &str = "the names of a pair are the same but for scale-up and scale-down";

/// Checks a six-field cron expression with the parser and the settings of the scheduler's `Job::new`.
pub(super) fn schedule(text: &str) -> Result<(), Complaint> {
    let fields = text.split_whitespace().count();
    match fields {
        6 => {}
        5 => {
            return Err(wrong("the schedule has five fields, not six")
                .hint(format!("the seconds come first: \"0 {}\"", text.trim())));
        }
        _ => {
            return Err(wrong(format!("the schedule has {fields} fields, not six"))
                .hint("second, minute, hour, day of month, month, day of week: \"0 * * * * *\""));
        }
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build()
        .parse(text)
        .map_err(|error| {
            wrong(format!("`{text}` is no cron expression: {error}"))
                .hint("second, minute, hour, day of month, month, day of week: \"0 * * * * *\"")
        })?;
    if !has_a_day(&cron) {
        return Err(wrong(format!("`{text}` never comes")).hint(
            "a day of month and a day of week must both match, and the month must have that day",
        ));
    }
    Ok(())
}

/// Whether any day matches. In 40 years every date, 29 February included, falls on every day of the week.
fn has_a_day(cron: &croner::Cron) -> bool {
    let matches = |year, month, day| {
        cron.pattern.month_match(month).unwrap_or(false)
            && cron.pattern.day_match(year, month, day).unwrap_or(false)
    };
    (2000..2040).any(|year| (1..=12).any(|month| (1..=31).any(|day| matches(year, month, day))))
}

pub(super) fn log_format(text: &str) -> Result<(), Complaint> {
    match text {
        "text" | "json" => Ok(()),
        _ => Err(wrong(format!("must be \"text\" or \"json\", is {text:?}"))),
    }
}

pub(super) fn policy(text: &str) -> Result<(), Complaint> {
    match text {
        "original" | "adaptive" => Ok(()),
        _ => Err(wrong(format!(
            "must be \"original\" or \"adaptive\", is {text:?}"
        ))),
    }
}

pub(super) fn path(text: &str) -> Result<(), Complaint> {
    match text {
        "" => Err(wrong("must not be empty")),
        _ if text.contains('\0') => Err(wrong("must have no NUL character in it")),
        _ => Ok(()),
    }
}

pub(super) fn profile(text: &str) -> Result<(), Complaint> {
    match text.trim() {
        "" => Err(wrong("must not be empty").hint("leave the key out for the SDK's own chain")),
        _ => Ok(()),
    }
}

pub(super) fn region(text: &str) -> Result<(), Complaint> {
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(());
    }
    Err(wrong(format!("{text:?} is no Region")).hint("as \"eu-west-1\""))
}

/// `arn:aws[a-z-]*:iam::\d{12}:role/.+`
pub(super) fn role_arn(text: &str) -> Result<(), Complaint> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let fits = match parts[..] {
        ["arn", partition, "iam", "", account, role] => {
            partition
                .strip_prefix("aws")
                .is_some_and(|rest| rest.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'))
                && account.len() == 12
                && account.bytes().all(|it| it.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|it| !it.is_empty())
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(wrong(format!("{text:?} is no ARN of a role"))
        .hint("as \"arn:aws:iam::123456789012:role/kinesis-autoscaler\""))
}

pub(super) fn table_name(text: &str) -> Result<(), Complaint> {
    if (3..=255).contains(&text.len()) && text.bytes().all(is_name_byte) {
        return Ok(());
    }
    Err(wrong(format!("{text:?} is no table name"))
        .hint("3 to 255 letters, digits, `_`, `.` and `-`"))
}

pub(super) fn stream_name(text: &str) -> Result<(), Complaint> {
    if (1..=128).contains(&text.len()) && text.bytes().all(is_name_byte) {
        return Ok(());
    }
    let complaint = wrong(format!("{text:?} is no stream name"));
    Err(if text.starts_with("arn:") {
        complaint.hint("write the name alone, not the ARN")
    } else {
        complaint.hint("1 to 128 letters, digits, `_`, `.` and `-`")
    })
}

fn is_name_byte(it: u8) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-')
}

pub(super) fn listen(text: &str) -> Result<(), Complaint> {
    text.parse::<SocketAddr>().map(drop).map_err(|_| {
        wrong(format!("{text:?} is no address with a port"))
            .hint("an IP address, not a host name: \"127.0.0.1:9184\", \"[::]:9184\"")
    })
}

/// Checks either name of a pair.
pub(super) fn alarm(name: &str) -> Result<(), Complaint> {
    alarm_pair(name).map(drop)
}

fn alarm_pair(name: &str) -> Result<AlarmNames, Complaint> {
    let pair = AlarmNames::from_either(name)
        .map_err(|error| wrong(format!("{name:?}: {error}")).hint(ALARM_HINT))?;
    for name in [&pair.scale_up, &pair.scale_down] {
        let length = name.chars().count();
        if length > 255 {
            return Err(wrong(format!(
                "the alarm name would have {length} characters; CloudWatch allows 255"
            )));
        }
        if name.chars().any(char::is_control) {
            return Err(wrong(format!("{name:?} has a control character in it")));
        }
    }
    Ok(pair)
}

pub(super) fn alarm_name(text: &str) -> Result<(), Complaint> {
    Template::parse(text).map(drop)
}

pub(super) fn default_alarm_name(text: &str) -> Result<(), Complaint> {
    let template = Template::parse(text)?;
    if !template.0.contains(&Part::Stream) {
        return Err(
            wrong("has no {stream} in it, so all streams would share one pair of alarms")
                .hint("as \"{stream}-{direction}-alarm\""),
        );
    }
    Ok(())
}

/// An alarm name with `{stream}` and `{direction}` in it.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Literal(String),
    Stream,
    Direction,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        const KNOWN: &str = "{stream} and {direction} are filled in";
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            parts.push(Part::Literal(rest[..brace].to_owned()));
            let inside = rest[brace..]
                .strip_prefix('{')
                .and_then(|it| it.split_once('}'));
            let Some((placeholder, after)) = inside else {
                return Err(wrong("has a brace without its other half").hint(KNOWN));
            };
            parts.push(match placeholder {
                "stream" => Part::Stream,
                "direction" => Part::Direction,
                _ => {
                    return Err(wrong(format!("unknown placeholder {{{placeholder}}}")).hint(KNOWN));
                }
            });
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        if !parts.contains(&Part::Direction) {
            return Err(wrong("has no {direction} in it")
                .hint("{direction} is filled with scale-up and scale-down"));
        }
        Ok(Self(parts))
    }

    /// The pair of `stream`, which holds to the naming contract from either name.
    pub(super) fn names(&self, stream: &str) -> Result<AlarmNames, Complaint> {
        let pair = alarm_pair(&self.fill(stream, "scale-up"))?;
        // Text around {direction} can itself hold one of the two words.
        if alarm_pair(&self.fill(stream, "scale-down"))? != pair {
            return Err(wrong(format!(
                "the pair of {stream:?} does not lead from one name to the other"
            ))
            .hint(ALARM_HINT));
        }
        Ok(pair)
    }

    fn fill(&self, stream: &str, direction: &str) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text,
                Part::Stream => stream,
                Part::Direction => direction,
            })
            .collect()
    }
}

/// A value as TOML writes it on one line: `[{name = "orders"}]`. figment's own parser of such text panics on
/// a backslash after a letter that is not ASCII.
pub(super) fn inline_value(text: &str) -> Option<Value> {
    let mut dict = Toml::from_str::<Dict>(&format!("value = {text}")).ok()?;
    dict.remove("value").filter(|_| dict.is_empty())
}
