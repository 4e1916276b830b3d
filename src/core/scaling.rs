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
    /// Somebody else resharded the stream before it could take effect.
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
    /// `None` if the range key is not a time; such a row cannot be counted.
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

    /// Those that began at `since` or later, or have not ended.
    pub fn since(&self, since: Timestamp) -> Self {
        let mut recent = self.clone();
        let is_open = |row: &Scaling| row.outcome == Outcome::Open;
        recent
            .scalings
            .retain(|row| row.at >= since || is_open(row));
        let is_recent = |row: &UnreadableRow| row.at.is_none_or(|at| at >= since);
        recent.unreadable.retain(is_recent);
        recent
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{ago, row};

    #[test]
    fn outcomes_have_codes_and_words_and_some_count_toward_the_daily_limit() {
        for (outcome, code, words, counts) in [
            (Outcome::Open, "open", "has not ended", true),
            (Outcome::Done, "done", "has taken effect", true),
            (
                Outcome::NotApplied,
                "not_applied",
                "never took effect",
                false,
            ),
            (
                Outcome::Superseded,
                "superseded",
                "was overtaken by another",
                true,
            ),
            (Outcome::Refused, "refused", "was refused by AWS", false),
        ] {
            assert!(Outcome::ALL.contains(&outcome));
            assert_eq!((outcome.code(), outcome.in_words()), (code, words));
            assert_eq!(row(ago(1), 2, 4, outcome).counts(), counts, "{code}");
        }
    }

    #[test]
    fn a_row_tells_its_direction_in_the_originals_words() {
        for (from, to, direction, word) in [
            (2, 4, Direction::Up, "SCALE_UP"),
            (4, 4, Direction::Up, "SCALE_UP"),
            (4, 2, Direction::Down, "SCALE_DOWN"),
        ] {
            let row = row(ago(1), from, to, Outcome::Done);
            assert_eq!(
                (row.direction(), row.scaling_type()),
                (direction, word),
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn recent_rows_are_those_since_a_time_and_those_that_are_open() {
        let unreadable = |at| UnreadableRow {
            stream_name: "orders".to_owned(),
            stream_arn: String::new(),
            at,
        };
        let all = RecentScalings {
            unreadable: vec![
                unreadable(Some(ago(11))),
                unreadable(Some(ago(10))),
                unreadable(None),
            ],
            ..RecentScalings::complete(vec![
                row(ago(12), 1, 2, Outcome::Open),
                row(ago(11), 2, 4, Outcome::Done),
                row(ago(10), 4, 8, Outcome::Done),
            ])
        };
        let recent = all.since(ago(10));
        let times: Vec<Timestamp> = recent.scalings.iter().map(|row| row.at).collect();
        assert_eq!(times, [ago(12), ago(10)]);
        let times: Vec<_> = recent.unreadable.iter().map(|row| row.at).collect();
        assert_eq!(times, [Some(ago(10)), None]);
    }

    #[test]
    fn a_row_that_cannot_be_read_counts_as_a_call_where_it_has_a_time() {
        let unreadable = |at| UnreadableRow {
            stream_name: "orders".to_owned(),
            stream_arn: String::new(),
            at,
        };
        let recent = RecentScalings {
            unreadable: vec![unreadable(Some(ago(3))), unreadable(None)],
            ..RecentScalings::complete(vec![
                row(ago(2), 2, 4, Outcome::Refused),
                row(ago(1), 2, 4, Outcome::Done),
            ])
        };
        assert_eq!(recent.unread, None);
        assert_eq!(recent.calls().collect::<Vec<_>>(), [ago(1), ago(3)]);
    }
}
