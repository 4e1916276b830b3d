//! The cron expression of `schedule`.

use std::ops::RangeInclusive;

use croner::parser::{CronParser, Seconds};

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

/// Checks a six-field expression with the parser and the settings of the scheduler's `Job::new`.
pub(super) fn schedule(text: &str) -> Result<String, Complaint> {
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
    Ok(text.to_owned())
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
fn has_a_day(cron: &croner::Cron) -> bool {
    let matches = |year, month, day| {
        cron.pattern.month_match(month).unwrap_or(false)
            && cron.pattern.day_match(year, month, day).unwrap_or(false)
    };
    (2000..2040).any(|year| (1..=12).any(|month| (1..=31).any(|day| matches(year, month, day))))
}
