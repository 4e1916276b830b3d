//! Times for people, in UTC or in a zone of theirs.

use std::{ffi::OsStr, fs, path::Path};

use autoscaler_core::datetime::at;
use jiff::{Timestamp, tz::TimeZone};

/// Where the zone of the machine is.
const LOCALTIME: &str = "/etc/localtime";

/// The length of `2026-11-22T12:00:00Z`.
const LENGTH: usize = 20;

/// How times are shown.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// `None` for UTC.
    zone: Option<TimeZone>,
}

impl Times {
    /// Times in UTC.
    pub fn utc() -> Self {
        Self::default()
    }

    /// Times in this zone, with its offset.
    pub fn of(zone: TimeZone) -> Self {
        Self { zone: Some(zone) }
    }

    /// Times in the zone of the variable `TZ`, or of the machine. Where none is known that is UTC,
    /// which the offset shows.
    pub fn local() -> Self {
        let variable = std::env::var_os("TZ");
        let zone = match variable.as_deref().and_then(OsStr::to_str) {
            Some(text) => named(text),
            None => system(Path::new(LOCALTIME)),
        };
        Self::of(zone.unwrap_or(TimeZone::UTC))
    }

    /// `2026-11-22T12:00:00Z`, or `2026-11-22T13:00:00+01:00`.
    pub fn at(&self, time: Timestamp) -> String {
        match &self.zone {
            None => at(time),
            Some(zone) => {
                let zoned = time.to_zoned(zone.clone());
                zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
        }
    }

    /// The same for a column: `2026-11-22 12:00:00`, with the offset where it is not UTC.
    pub fn column(&self, time: Timestamp) -> String {
        match &self.zone {
            None => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Some(_) => self.at(time).replace('T', " "),
        }
    }

    /// What stands behind a time of a column, or above it.
    pub fn suffix(&self) -> &'static str {
        match self.zone {
            None => " UTC",
            Some(_) => "",
        }
    }

    /// Seconds by which local time is ahead of UTC at `time`.
    pub fn offset_seconds(&self, time: Timestamp) -> i64 {
        let zone = self.zone.as_ref();
        zone.map_or(0, |zone| i64::from(zone.to_offset(time).seconds()))
    }

    /// The text with every time in UTC that it has, such as `2026-11-22T12:00:00Z`, in this zone.
    pub fn in_text(&self, text: &str) -> String {
        if self.zone.is_none() {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(end) = rest.find('Z').map(|z| z + 1) {
            let time = end.checked_sub(LENGTH).and_then(|start| {
                let time: Timestamp = rest.get(start..end)?.parse().ok()?;
                Some((start, time))
            });
            match time {
                Some((start, time)) => {
                    shown.push_str(&rest[..start]);
                    shown.push_str(&self.at(time));
                }
                None => shown.push_str(&rest[..end]),
            }
            rest = &rest[end..];
        }
        shown + rest
    }
}

/// The zone that a value of `TZ` means: a name, a file, or a rule of POSIX.
fn named(text: &str) -> Option<TimeZone> {
    let text = text.strip_prefix(':').unwrap_or(text);
    match text {
        "" => Some(TimeZone::UTC),
        _ if text.starts_with('/') => system(Path::new(text)),
        _ => TimeZone::get(text).or_else(|_| TimeZone::posix(text)).ok(),
    }
}

/// The zone of a file: by its name if it is a link to one that has a name, else by what it has.
fn system(path: &Path) -> Option<TimeZone> {
    let target = fs::canonicalize(path).ok()?;
    let name = target
        .to_str()?
        .split_once("zoneinfo/")
        .map(|(_, name)| name);
    let by_name = name.and_then(|name| TimeZone::get(name).ok());
    by_name.or_else(|| TimeZone::tzif("local", &fs::read(&target).ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Times {
        Times::of(TimeZone::get("Europe/Berlin").expect("a zone"))
    }

    #[test]
    fn times_have_the_offset_of_their_day() {
        for (time, utc, local) in [
            (
                "2026-11-22T12:00:00Z",
                "2026-11-22T12:00:00Z",
                "2026-11-22T13:00:00+01:00",
            ),
            (
                "2026-07-22T23:30:59.9Z",
                "2026-07-22T23:30:59Z",
                "2026-07-23T01:30:59+02:00",
            ),
        ] {
            let time: Timestamp = time.parse().expect("a time");
            assert_eq!(Times::utc().at(time), utc);
            assert_eq!(berlin().at(time), local);
            assert_eq!(berlin().column(time), local.replace('T', " "));
            assert_eq!(
                Times::utc().column(time),
                utc.replace('T', " ").replace('Z', "")
            );
        }
    }

    #[test]
    fn the_times_in_a_text_are_replaced_and_nothing_else_is() {
        for (text, expected) in [
            ("", ""),
            ("Zürich Z", "Zürich Z"),
            ("2026-11-22T12:00:00Z", "2026-11-22T13:00:00+01:00"),
            (
                "until 2026-07-22T12:00:00Z by Z",
                "until 2026-07-22T14:00:00+02:00 by Z",
            ),
            (
                "2026-11-22T12:00:00Z2026-11-22T12:00:00Z",
                "2026-11-22T13:00:00+01:002026-11-22T13:00:00+01:00",
            ),
            ("2026-13-22T12:00:00Z", "2026-13-22T12:00:00Z"),
            ("ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜZ", "ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜZ"),
        ] {
            assert_eq!(berlin().in_text(text), expected);
            assert_eq!(Times::utc().in_text(text), text);
        }
    }

    #[test]
    fn a_zone_is_named_by_its_name_a_rule_or_a_file() {
        let time: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let offset = |zone: TimeZone| zone.to_offset(time).seconds() / 3600;
        for (text, expected) in [
            ("", Some(0)),
            ("Europe/Berlin", Some(1)),
            (":America/New_York", Some(-5)),
            ("CET-1CEST,M3.5.0,M10.5.0/3", Some(1)),
            ("/nonexistent", None),
            ("Nowhere/Land", None),
        ] {
            assert_eq!(named(text).map(offset), expected, "{text}");
        }
    }
}
