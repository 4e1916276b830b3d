//! Times as the scaling log and people read them.

use jiff::{
    SignedDuration, Timestamp,
    fmt::strtime::{self, BrokenDownTime},
    tz::Offset,
};

/// `2021-11-16T01:02:03.000456+0000`: microseconds, no colon in the offset. Sorts as time does.
pub fn format_datetime(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string()
}

/// Reads what [`format_datetime`] wrote, and the same without an offset as UTC.
pub fn parse_datetime(text: &str) -> Option<Timestamp> {
    let broken_down: BrokenDownTime = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
    broken_down.to_timestamp().ok().or_else(|| {
        Offset::UTC
            .to_timestamp(broken_down.to_datetime().ok()?)
            .ok()
    })
}

/// `time + by`, saturating: rows and alarms may carry any time.
pub fn after(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A time for people, to the second.
pub fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
