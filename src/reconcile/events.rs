//! What people are notified of: conditions that begin and end, scalings, and takeovers.
//!
//! [`Conditions`] compares each tick's report with what is known to be open, without any I/O. An
//! event is made when something changes, not at every tick.

mod conditions;
#[cfg(test)]
mod tests;

use autoscaler_core::reason::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::conditions::{Conditions, Look, key};

/// Where more streams than this have the same to say in one tick, one event names them all.
const MOST_APART: usize = 20;
/// The most streams that such an event lists. A message of SNS has at most 256 KiB.
const MOST_LISTED: usize = 500;
/// The longest detail or hint, in characters.
const LONGEST_TEXT: usize = 4_000;
/// SNS takes subjects of less than 100 ASCII characters.
const LONGEST_SUBJECT: usize = 99;

/// What an event is about; the codes are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stream was scaled, or an interrupted scaling was finished.
    Scaled,
    /// A stream cannot be inspected or scaled until something is fixed.
    Failed,
    /// A stream needs more shards than `max_shards`.
    AtMaxShards,
    /// The scalings that AWS allows in a day are used up.
    DailyLimit,
    /// The account's shard quota leaves no room.
    AccountLimit,
    /// A stream is not scaled down because its consumers are behind.
    ConsumersBehind,
    /// DynamoDB does not accept or return the rows of the scaling log.
    LogUnavailable,
    /// Another host acts now.
    StandbyTakenOver,
}

/// Whether a condition begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Begin,
    End,
}

/// One notification. The field names are part of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The same whenever the event is delivered again.
    pub id: String,
    pub kind: Kind,
    /// Null for what happens once: a scaling, a takeover.
    pub state: Option<State>,
    /// The event in one line.
    pub summary: String,
    /// Null where it is about several streams, or about none.
    pub stream: Option<String>,
    pub region: String,
    /// The account's number or profile, where the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub shards_before: Option<u32>,
    pub shards_after: Option<u32>,
    pub reason: Option<Reason>,
    pub detail: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    pub time: Timestamp,
    /// When the condition that ends began.
    pub since: Option<Timestamp>,
    pub host: String,
    /// How many streams it is about, where these are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Listed>,
}

/// One of many streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub stream: String,
    pub shards_before: Option<u32>,
    pub shards_after: Option<u32>,
}

impl Kind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Failed => "failed",
            Self::AtMaxShards => "at_max_shards",
            Self::DailyLimit => "daily_limit",
            Self::AccountLimit => "account_limit",
            Self::ConsumersBehind => "consumers_behind",
            Self::LogUnavailable => "log_unavailable",
            Self::StandbyTakenOver => "standby_taken_over",
        }
    }

    /// What a person can do about it, where the report does not say so.
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::AtMaxShards => Some("raise `max_shards` to let the stream grow"),
            Self::DailyLimit => Some(
                "scale in larger steps by hand (`kinesis-autoscaler scale`), or ask AWS Support for a higher limit",
            ),
            Self::ConsumersBehind => {
                Some("let the consumers catch up, or raise `max_iterator_age`")
            }
            Self::LogUnavailable => Some("`kinesis-autoscaler check` tells why"),
            Self::Scaled | Self::Failed | Self::AccountLimit | Self::StandbyTakenOver => None,
        }
    }

    /// What is said of a stream, or of many.
    fn words(self, state: Option<State>) -> &'static str {
        let ends = state == Some(State::End);
        match self {
            Self::Scaled => "scaled",
            Self::Failed if ends => "no longer failing",
            Self::Failed => "failing",
            Self::AtMaxShards if ends => "no longer held at max_shards",
            Self::AtMaxShards => "at max_shards, and more shards are needed",
            Self::DailyLimit if ends => "no longer held by the daily limit",
            Self::DailyLimit => "held by the daily limit",
            Self::AccountLimit if ends => "no longer held by the account's shard quota",
            Self::AccountLimit => "held by the account's shard quota",
            Self::ConsumersBehind if ends => "no longer held because consumers are behind",
            Self::ConsumersBehind => "not scaled down because consumers are behind",
            Self::LogUnavailable if ends => "available again",
            Self::LogUnavailable => "unavailable",
            Self::StandbyTakenOver => "another host has taken over",
        }
    }
}

impl Event {
    /// An event about the program as a whole.
    fn of_program(kind: Kind, state: Option<State>, look: &Look<'_>, detail: String) -> Self {
        let summary = match kind {
            Kind::LogUnavailable => format!("the scaling log is {}", kind.words(state)),
            _ => detail.clone(),
        };
        let hint = match state {
            Some(State::Begin) => kind.hint().map(str::to_owned),
            _ => None,
        };
        Self {
            id: String::new(),
            kind,
            state,
            summary,
            stream: None,
            region: look.region.to_owned(),
            account: None,
            shards_before: None,
            shards_after: None,
            reason: None,
            detail: shortened(&detail, LONGEST_TEXT),
            hint,
            time: look.now,
            since: None,
            host: look.host.to_owned(),
            count: None,
            streams: Vec::new(),
        }
    }

    /// A subject for SNS: printable ASCII, of less than 100 characters.
    pub fn subject(&self) -> String {
        let text = format!("kinesis-autoscaler: {}", self.summary);
        let ascii = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        let text: String = text.chars().map(ascii).collect();
        shortened(&text, LONGEST_SUBJECT)
    }

    /// The JSON object that is delivered.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it tells of something that a person may have to act on.
    pub fn is_urgent(&self) -> bool {
        self.kind != Kind::Scaled
    }

    /// The stream with its Region, or how many streams of it.
    fn subject_of(stream: &str, account: Option<&str>, region: &str) -> String {
        match account {
            Some(account) => format!("{stream} ({account}, {region})"),
            None => format!("{stream} ({region})"),
        }
    }
}

/// The text, cut to at most `most` characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(most.saturating_sub(3)).collect();
            format!("{kept}...")
        }
    }
}

/// Makes one event of many that say the same of many streams, and numbers them.
fn folded(events: Vec<Event>) -> Vec<Event> {
    let mut groups: Vec<Vec<Event>> = Vec::new();
    for event in events {
        let same = |group: &&mut Vec<Event>| {
            group.first().is_some_and(|first| {
                event.stream.is_some()
                    && first.stream.is_some()
                    && (first.kind, first.state, first.reason)
                        == (event.kind, event.state, event.reason)
                    && (&first.account, &first.region) == (&event.account, &event.region)
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(event),
            None => groups.push(vec![event]),
        }
    }
    let mut events: Vec<Event> = Vec::new();
    for group in groups {
        match group.len() > MOST_APART {
            true => events.extend(one_of(group)),
            false => events.extend(group),
        }
    }
    for (number, event) in events.iter_mut().enumerate() {
        let micros = event.time.as_microsecond();
        event.id = format!("{}/{micros}/{number}", event.host);
    }
    events
}

fn one_of(group: Vec<Event>) -> Option<Event> {
    let count = group.len();
    let listed = group.iter().take(MOST_LISTED).map(|event| Listed {
        stream: event.stream.clone().unwrap_or_default(),
        shards_before: event.shards_before,
        shards_after: event.shards_after,
    });
    let streams = listed.collect();
    let first = group.into_iter().next()?;
    let name = first.stream.as_deref().unwrap_or_default();
    let account = first.account.as_deref();
    let who = Event::subject_of(&format!("{count} streams"), account, &first.region);
    Some(Event {
        summary: format!("{who}: {}", first.kind.words(first.state)),
        detail: format!("for example {name}: {}", first.detail),
        stream: None,
        shards_before: None,
        shards_after: None,
        count: Some(count),
        streams,
        ..first
    })
}
