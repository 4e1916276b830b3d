//! What a single text must look like.

use std::net::SocketAddr;

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::{
    problem::{Complaint, wrong},
    read::nearest,
    template,
};

pub(super) fn profile(text: &str) -> Result<String, Complaint> {
    match text.trim() {
        "" => Err(wrong("must not be empty").hint("omit the key to use the SDK's own chain")),
        _ => Ok(text.to_owned()),
    }
}

/// A text that is printed within a line.
pub(super) fn line(text: &str) -> Result<String, Complaint> {
    match text.chars().any(char::is_control) {
        true => Err(wrong("must be one line without control characters")),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn region(text: &str) -> Result<String, Complaint> {
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(wrong(format!(
        "invalid Region {text:?}; expected for example `eu-west-1`"
    )))
}

/// Whether AWS names its Regions this way, in any of its partitions: `eu-west-1`, `us-gov-east-1`.
///
/// The prefixes are those of the `regionRegex` in the SDK's `partitions.json`.
pub(super) fn is_region_of_aws(text: &str) -> bool {
    const PREFIXES: [&str; 16] = [
        "af", "ap", "ca", "cn", "eu", "eu-isoe", "eusc-de", "il", "me", "mx", "sa", "us", "us-gov",
        "us-iso", "us-isob", "us-isof",
    ];
    const PLACES: [&str; 9] = [
        "central",
        "east",
        "north",
        "northeast",
        "northwest",
        "south",
        "southeast",
        "southwest",
        "west",
    ];
    let mut parts = text.rsplitn(3, '-');
    let (number, place, prefix) = (parts.next(), parts.next(), parts.next());
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
        && place.is_some_and(|it| PLACES.contains(&it))
        && prefix.is_some_and(|it| PREFIXES.contains(&it))
}

/// `arn:aws[a-z-]*:iam::\d{12}:role/.+`
pub(super) fn role_arn(text: &str) -> Result<String, Complaint> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let fits = match parts[..] {
        ["arn", partition, "iam", "", account, role] => {
            is_partition(partition)
                && is_account(account)
                && role.strip_prefix("role/").is_some_and(|it| !it.is_empty())
        }
        _ => false,
    };
    if fits {
        return Ok(text.to_owned());
    }
    Err(wrong(format!("invalid role ARN {text:?}"))
        .hint("expected for example \"arn:aws:iam::123456789012:role/kinesis-autoscaler\""))
}

/// `arn:aws[a-z-]*:sns:REGION:\d{12}:NAME`, where the name of a FIFO topic ends in `.fifo`.
pub(super) fn topic_arn(text: &str) -> Result<String, Complaint> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_name = |name: &str| {
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let fits = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-');
        !stem.is_empty() && name.len() <= 256 && stem.bytes().all(fits)
    };
    let wrong = || wrong(format!("invalid topic ARN {text:?}"));
    match parts[..] {
        ["arn", partition, "sns", region, account, name] => {
            let fits = is_partition(partition)
                && self::region(region).is_ok()
                && is_account(account)
                && is_name(name);
            match fits {
                true => Ok(text.to_owned()),
                false => Err(wrong().hint(TOPIC)),
            }
        }
        ["arn", _, "sns", _, _, _, _] => Err(wrong()
            .hint("this is the ARN of a subscription: leave out what follows the topic's name")),
        _ => Err(wrong().hint(TOPIC)),
    }
}

const TOPIC: &str = "expected for example \"arn:aws:sns:eu-west-1:123456789012:kinesis-scaling\"";

fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws")
        .is_some_and(|rest| rest.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

pub(super) fn table_name(text: &str) -> Result<String, Complaint> {
    if (3..=255).contains(&text.len()) && text.bytes().all(is_name_byte) {
        return Ok(text.to_owned());
    }
    Err(wrong(format!("invalid table name {text:?}"))
        .hint("3 to 255 letters, digits, `_`, `.` and `-`"))
}

pub(super) fn stream_name(text: &str) -> Result<String, Complaint> {
    if (1..=128).contains(&text.len()) && text.bytes().all(is_name_byte) {
        return Ok(text.to_owned());
    }
    let complaint = wrong(format!("invalid stream name {text:?}"));
    Err(if text.starts_with("arn:") {
        complaint.hint("write only the name, not the ARN")
    } else {
        complaint.hint("1 to 128 letters, digits, `_`, `.` and `-`")
    })
}

/// A pattern of stream names.
pub(super) fn glob(text: &str) -> Result<String, Complaint> {
    let fits = |it: u8| is_name_byte(it) || matches!(it, b'*' | b'?');
    if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    let hint = "`*` stands for any characters and `?` for one, as in \"prod-*\"; stream names have \
                letters, digits, `_`, `.` and `-`";
    Err(wrong(format!("invalid pattern {text:?}")).hint(hint))
}

fn is_name_byte(it: u8) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-')
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, Complaint> {
    text.parse().map_err(|_| {
        wrong(format!("invalid address {text:?}"))
            .hint("an IP address, not a host name, and a port: \"127.0.0.1:9184\", \"[::]:9184\"")
    })
}

pub(super) fn alarm(name: &str) -> Result<String, Complaint> {
    template::pair(name).map(|_| name.to_owned())
}

/// A time with its offset.
pub(super) fn time(text: &str) -> Result<Timestamp, Complaint> {
    text.trim().parse().map_err(|_| {
        let hint = "write date, time and offset: \"2026-11-27T06:00:00Z\" or \"2026-11-27T07:00:00+01:00\"";
        wrong(format!("invalid time {text:?}")).hint(hint)
    })
}

/// A zone of the system's time zone database, or else of the one that this program carries.
pub(super) fn time_zone(text: &str) -> Result<TimeZone, Complaint> {
    let bundled = TimeZoneDatabase::bundled();
    let found = TimeZone::get(text).or_else(|_| bundled.get(text));
    found.map_err(|_| {
        let names: Vec<String> = bundled.available().map(|it| it.to_string()).collect();
        let hint = match nearest(text, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "expected a name such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
        };
        wrong(format!("there is no time zone {text:?}")).hint(hint)
    })
}
