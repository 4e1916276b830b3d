//! Cron expressions: of `schedule`, and of windows.

use std::{ops::RangeInclusive, sync::Arc};

use autoscaler_core::window::Recurrence;
use chrono::{Datelike, NaiveDate, Timelike, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jiff::civil::DateTime;

use super::problem::{Complaint, wrong};

const FIELDS: [(&str, RangeInclusive<u32>); 6] = [
    ("second", 0..=59),
    ("minute", 0..=59),
    ("hour", 0..=23),
    ("day of month", 1..=31),
    ("month", 1..=12),
    ("day of week", 0..=7),
];

const HINT: &str = "second, minute, hour, day of month, month, day of week: \"*/10 * * * * *\" is every 10 seconds";

/// Checks the expression of `schedule`.
pub(super) fn schedule(text: &str) -> Result<String, Complaint> {
    parse(text).map(|_| text.to_owned())
}

/// Reads a six-field expression with the parser and the settings of the scheduler's `Job::new`.
fn parse(text: &str) -> Result<Cron, Complaint> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let complaint = wrong(format!("expected 6 fields, found {}", fields.len()));
        return Err(match fields.len() {
            5 => complaint.hint(format!("the seconds come first: \"0 {}\"", text.trim())),
            _ => complaint.hint(HINT),
        });
    }
    for (field, (name, range)) in fields.iter().zip(&FIELDS) {
        numbers(field, name, range).map_err(|message| wrong(message).hint(HINT))?;
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build()
        .parse(text)
        .map_err(|error| wrong(format!("invalid cron expression `{text}`: {error}")).hint(HINT))?;
    if !has_a_day(&cron) {
        return Err(wrong(format!("`{text}` never fires")).hint(
            "day of month and day of week must both match, and the month must have that day",
        ));
    }
    Ok(cron)
}

/// Checks the numbers and steps of a field; the parser checks everything else.
fn numbers(field: &str, name: &str, range: &RangeInclusive<u32>) -> Result<(), String> {
    let (min, max) = (range.start(), range.end());
    let outside = |text: &str, range: &RangeInclusive<u32>| {
        let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        digits && !text.parse().is_ok_and(|it| range.contains(&it))
    };
    for item in field.split(',') {
        let (values, step) = item.split_once('/').unwrap_or((item, ""));
        if let Some(value) = values.split('-').find(|it| outside(it, range)) {
            return Err(format!("{name} {value} is out of range {min}-{max}"));
        }
        if outside(step, &(1..=*max)) {
            return Err(format!(
                "{name} step {step} is out of range 1-{max}; `{item}` would fire once at most"
            ));
        }
    }
    Ok(())
}

/// Whether any day matches. In 40 years every date, including February 29, falls on every day of
/// the week.
fn has_a_day(cron: &Cron) -> bool {
    let matches = |year, month, day| {
        cron.pattern.month_match(month).unwrap_or(false)
            && cron.pattern.day_match(year, month, day).unwrap_or(false)
    };
    (2000..2040).any(|year| (1..=12).any(|month| (1..=31).any(|day| matches(year, month, day))))
}

/// The local times of a window's `when`.
#[derive(Debug)]
pub(super) struct Times {
    text: String,
    cron: Cron,
}

impl Times {
    /// Reads a six-field expression.
    pub(super) fn parse(text: &str) -> Result<Arc<dyn Recurrence>, Complaint> {
        let cron = parse(text)?;
        let text = text.to_owned();
        Ok(Arc::new(Self { text, cron }))
    }
}

impl Recurrence for Times {
    fn next(&self, time: DateTime) -> Option<DateTime> {
        let found = self.cron.find_next_occurrence(&to_chrono(time)?, false);
        from_chrono(found.ok()?)
    }

    fn last(&self, time: DateTime) -> Option<DateTime> {
        let found = self.cron.find_previous_occurrence(&to_chrono(time)?, true);
        from_chrono(found.ok()?)
    }

    fn text(&self) -> &str {
        &self.text
    }
}

/// A local time as the cron library wants it, which is in some zone: one without any skip.
fn to_chrono(time: DateTime) -> Option<chrono::DateTime<Utc>> {
    let field = |field: i8| u32::try_from(field).ok();
    let year = time.year().into();
    let date = NaiveDate::from_ymd_opt(year, field(time.month())?, field(time.day())?)?;
    let (hour, minute) = (field(time.hour())?, field(time.minute())?);
    let time = date.and_hms_opt(hour, minute, field(time.second())?)?;
    Some(time.and_utc())
}

fn from_chrono(time: chrono::DateTime<Utc>) -> Option<DateTime> {
    let field = |field: u32| i8::try_from(field).ok();
    let year = i16::try_from(time.year()).ok()?;
    let (month, day) = (field(time.month())?, field(time.day())?);
    let (hour, minute) = (field(time.hour())?, field(time.minute())?);
    DateTime::new(year, month, day, hour, minute, field(time.second())?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cron: &str, time: &str, last: &str, next: &str) {
        let times = Times::parse(cron).expect("a cron expression");
        let at = |text: &str| text.parse::<DateTime>().expect("a time");
        let seen = (times.last(at(time)), times.next(at(time)));
        assert_eq!(seen, (Some(at(last)), Some(at(next))), "{cron} at {time}");
    }

    #[test]
    fn the_last_time_is_at_or_before_and_the_next_one_after() {
        let weekdays = "0 30 7 * * MON-FRI";
        let (friday, monday) = ("2026-11-27T07:30:00", "2026-11-30T07:30:00");
        check(
            weekdays,
            "2026-11-27T07:29:59",
            "2026-11-26T07:30:00",
            friday,
        );
        check(weekdays, friday, friday, monday);
        check(weekdays, "2026-11-28T12:00:00.5", friday, monday);
        check(
            "0 0 0 29 2 *",
            "2026-11-28T12:00:00",
            "2024-02-29T00:00:00",
            "2028-02-29T00:00:00",
        );
        check(
            "30 */15 * * * *",
            "2026-11-28T12:00:00",
            "2026-11-28T11:45:30",
            "2026-11-28T12:00:30",
        );
    }
}
