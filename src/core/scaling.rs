//! One scaling of one stream, as the scaling log records it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarm::Direction;

/// How a scaling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was begun, and its end is not known yet.
    Open,
    Done,
    /// AWS never carried it out.
    NotApplied,
    /// Somebody else resharded the stream meanwhile.
    Superseded,
    /// AWS refused it.
    Refused,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Done,
        Self::NotApplied,
        Self::Superseded,
        Self::Refused,
    ];

    /// The value of the attribute `outcome`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::NotApplied => "not_applied",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
        }
    }

    /// What became of "the scaling that began at …".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Open => "has not ended",
            Self::Done => "has taken effect",
            Self::NotApplied => "never took effect",
            Self::Superseded => "was overtaken by another",
            Self::Refused => "was refused by AWS",
        }
    }
}

/// A row of the scaling log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    pub stream_name: String,
    /// When it was begun; the range key, to the microsecond.
    pub at: Timestamp,
    pub from: u32,
    pub to: u32,
    pub expires_at: Timestamp,
    pub outcome: Outcome,
    /// Empty in the original's rows.
    pub stream_arn: String,
    pub reason: Option<String>,
    pub alarm: Option<String>,
    /// Usage as the alarm computes it.
    pub usage: Option<f64>,
    /// What AWS said, or a person did.
    pub note: Option<String>,
    pub host: Option<String>,
    pub version: Option<String>,
    /// Tells this row from another one with the same key.
    pub intent_id: Option<String>,
}

/// A row of the scaling log whose shard counts cannot be read. It may stand for a call to AWS, so
/// it counts toward the daily limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    pub stream_name: String,
    /// Empty where the row has none.
    pub stream_arn: String,
    /// `None` where the range key is no time; such a row cannot be counted.
    pub at: Option<Timestamp>,
}

/// A stream's recent scalings, as far as they could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecentScalings {
    /// Oldest first.
    pub scalings: Vec<Scaling>,
    /// Rows of which only the key could be read.
    pub unreadable: Vec<UnreadableRow>,
    /// Why the table could not be read. The scalings are then only those that this process knows.
    pub unread: Option<String>,
}

impl RecentScalings {
    /// The scalings as the table has them.
    pub fn complete(scalings: Vec<Scaling>) -> Self {
        Self {
            scalings,
            ..Self::default()
        }
    }

    /// When each call was made that AWS counts, or may count, in no order.
    pub fn calls(&self) -> impl Iterator<Item = Timestamp> {
        let counted = self.scalings.iter().filter(|scaling| scaling.counts());
        let unreadable = self.unreadable.iter().filter_map(|row| row.at);
        counted.map(|scaling| scaling.at).chain(unreadable)
    }
}

impl Scaling {
    /// Up or down.
    pub fn direction(&self) -> Direction {
        if self.to >= self.from {
            Direction::Up
        } else {
            Direction::Down
        }
    }

    /// Whether it is, or may be, one of the calls that AWS counts.
    pub fn counts(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Open | Outcome::Done | Outcome::Superseded
        )
    }

    /// The original's word for the direction.
    pub fn scaling_type(&self) -> &'static str {
        match self.direction() {
            Direction::Up => "SCALE_UP",
            Direction::Down => "SCALE_DOWN",
        }
    }
}

/// How a scaling that was left open turned out to have ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    pub scaling: Scaling,
    pub outcome: Outcome,
}
