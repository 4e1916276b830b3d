//! Times as the scaling log and people read them.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};

/// `2021-11-16T01:02:03.000456+0000`: microseconds, no colon in the offset. Sorts as time does.
pub fn format_datetime(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string()
}

/// Reads what [`format_datetime`] wrote, and other ISO 8601 times: with or without a fraction, with
/// an offset of any common form (`+0000`, `+00:00`, `Z`), or without one, which means UTC.
pub fn parse_datetime(text: &str) -> Option<Timestamp> {
    let with_offset = text.parse().ok();
    with_offset.or_else(|| {
        Offset::UTC
            .to_timestamp(text.parse::<DateTime>().ok()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_for_the_log_and_for_people() {
        let time: Timestamp = "2021-11-16T01:02:03.000456Z".parse().expect("a time");
        assert_eq!(format_datetime(time), "2021-11-16T01:02:03.000456+0000");
        assert_eq!(at(time), "2021-11-16T01:02:03Z");
        let later = after(time, SignedDuration::from_secs(-3));
        assert_eq!(at(later), "2021-11-16T01:02:00Z");
        assert_eq!(after(time, SignedDuration::MAX), Timestamp::MAX);
    }

    #[test]
    fn every_common_form_of_a_time_is_read() {
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse().expect("a time"));
            assert_eq!(parse_datetime(text), expected, "{text:?}");
        };
        let second = Some("2021-11-16T01:02:03Z");
        check(
            "2021-11-16T01:02:03.000456+0000",
            Some("2021-11-16T01:02:03.000456Z"),
        );
        for text in [
            "2021-11-16T01:02:03+0000",
            "2021-11-16T01:02:03+00:00",
            "2021-11-16T01:02:03Z",
            "2021-11-16T01:02:03",
            "2021-11-16 01:02:03",
            "2021-11-16T03:02:03+02:00",
            "2021-11-15T20:02:03-0500",
        ] {
            check(text, second);
        }
        for text in ["", "yesterday", "1637024523", "2021-13-01T00:00:00.0+0000"] {
            check(text, None);
        }
    }
}
