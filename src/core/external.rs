//! Reshardings that others made: gaps between the rows of the scaling log.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::scaling::{Outcome, Scaling, UnreadableRow};

/// For so long after a scaling, DescribeStreamSummary may still tell the count before it.
const READS_LAG: SignedDuration = SignedDuration::from_secs(60);

/// A change of a stream's shard count that the scaling log does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExternalResharding {
    #[serde(rename = "shards_before")]
    pub from: u32,
    #[serde(rename = "shards_after")]
    pub to: u32,
    /// It took place after this time.
    pub earliest: Timestamp,
    /// It took place before this time.
    pub latest: Timestamp,
}

/// The external reshardings of one stream, oldest first: where one of its `scalings`, oldest first,
/// begins at another count than the one before has left.
///
/// `current` is the count of the stream at `now`, if it is ACTIVE. Where a row of the stream may be
/// missing, because it has expired or cannot be read, nothing is concluded.
pub fn external_reshardings<'a>(
    scalings: impl IntoIterator<Item = &'a Scaling>,
    unreadable: &[&UnreadableRow],
    current: Option<u32>,
    now: Timestamp,
) -> Vec<ExternalResharding> {
    let rows: Vec<&Scaling> = scalings.into_iter().collect();
    let settled = |last: &&&Scaling| now.duration_since(last.at) >= READS_LAG;
    let settled = rows.last().filter(settled).is_some();
    let current = current.filter(|_| settled).map(|count| (count, now));
    let later = rows.iter().skip(1).map(|row| (row.from, row.at));
    let pairs = rows.iter().zip(later.chain(current));
    let found = pairs.filter_map(|(row, (to, latest))| {
        let hidden = |it: &&UnreadableRow| it.at.is_none_or(|at| (row.at..=latest).contains(&at));
        let may_lack_rows = row.expires_at <= now || unreadable.iter().any(hidden);
        if may_lack_rows || explains(row, to) {
            return None;
        }
        Some(ExternalResharding {
            from: match row.outcome {
                Outcome::Done => row.to,
                _ => row.from,
            },
            to,
            earliest: row.at,
            latest,
        })
    });
    found.collect()
}

/// Whether a scaling may have left its stream at `count`.
fn explains(row: &Scaling, count: u32) -> bool {
    count == row.to || (row.outcome != Outcome::Done && count == row.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{ago, now, row};

    fn rows(rows: &[(i64, u32, u32, Outcome)]) -> Vec<Scaling> {
        let row = |(seconds, from, to, outcome): &(i64, u32, u32, Outcome)| Scaling {
            expires_at: now() + SignedDuration::from_secs(1),
            ..row(ago(*seconds), *from, *to, *outcome)
        };
        rows.iter().map(row).collect()
    }

    fn found(
        scalings: &[Scaling],
        unreadable: &[UnreadableRow],
        current: Option<u32>,
    ) -> Vec<(u32, u32, i64, i64)> {
        let unreadable: Vec<&UnreadableRow> = unreadable.iter().collect();
        let found = external_reshardings(scalings, &unreadable, current, now());
        let seconds = |at: Timestamp| now().duration_since(at).as_secs();
        found
            .iter()
            .map(|it| (it.from, it.to, seconds(it.earliest), seconds(it.latest)))
            .collect()
    }

    #[test]
    fn a_count_that_no_scaling_has_left_is_the_work_of_others() {
        use Outcome::{Done, NotApplied, Open, Refused, Superseded};
        for (case, scalings, current, expected) in [
            ("nothing is known", &[][..], Some(4), &[][..]),
            (
                "one after the other",
                &[(900, 2, 4, Done), (600, 4, 8, Done)],
                Some(8),
                &[],
            ),
            (
                "a gap",
                &[(900, 5, 10, Done), (600, 4, 8, Done)],
                None,
                &[(10, 4, 900, 600)],
            ),
            (
                "to the old count",
                &[(900, 5, 10, Done), (600, 5, 8, Done)],
                None,
                &[(10, 5, 900, 600)],
            ),
            (
                "the count of now",
                &[(900, 5, 10, Done)],
                Some(4),
                &[(10, 4, 900, 0)],
            ),
            (
                "just settled",
                &[(60, 5, 10, Done)],
                Some(4),
                &[(10, 4, 60, 0)],
            ),
            ("not settled", &[(59, 5, 10, Done)], Some(5), &[]),
            (
                "a count that is not known",
                &[(900, 5, 10, Done)],
                None,
                &[],
            ),
            (
                "two",
                &[(900, 5, 10, Done), (600, 4, 8, Done)],
                Some(3),
                &[(10, 4, 900, 600), (8, 3, 600, 0)],
            ),
            (
                "refused, at the old count",
                &[(900, 5, 10, Refused)],
                Some(5),
                &[],
            ),
            (
                "refused, elsewhere",
                &[(900, 5, 10, Refused)],
                Some(7),
                &[(5, 7, 900, 0)],
            ),
            (
                "open, at the old count",
                &[(900, 5, 10, Open)],
                Some(5),
                &[],
            ),
            ("open, at the target", &[(900, 5, 10, Open)], Some(10), &[]),
            (
                "open, elsewhere",
                &[(900, 5, 10, Open)],
                Some(7),
                &[(5, 7, 900, 0)],
            ),
            (
                "taken effect late",
                &[(900, 5, 10, NotApplied)],
                Some(10),
                &[],
            ),
            (
                "overtaken",
                &[(900, 5, 10, Superseded)],
                Some(7),
                &[(5, 7, 900, 0)],
            ),
        ] {
            assert_eq!(found(&rows(scalings), &[], current), expected, "{case}");
        }
    }

    #[test]
    fn nothing_is_concluded_where_a_row_may_be_missing() {
        let gap = rows(&[(900, 5, 10, Outcome::Done), (600, 4, 8, Outcome::Done)]);
        for (case, at, expected) in [
            ("before both", Some(ago(901)), 1),
            ("at the first", Some(ago(900)), 0),
            ("between them", Some(ago(700)), 0),
            ("at the second", Some(ago(600)), 0),
            ("after both", Some(ago(599)), 1),
            ("at no time", None, 0),
        ] {
            let unreadable = UnreadableRow {
                stream_name: "orders".to_owned(),
                stream_arn: String::new(),
                at,
            };
            let found = found(&gap, &[unreadable], None);
            assert_eq!(found.len(), expected, "an unreadable row {case}: {found:?}");
        }
        for (case, expires_at, expected) in [
            ("expires later", now() + SignedDuration::from_secs(1), 1),
            ("expires now", now(), 0),
        ] {
            let mut gap = gap.clone();
            gap[0].expires_at = expires_at;
            assert_eq!(
                found(&gap, &[], None).len(),
                expected,
                "the first row {case}"
            );
        }
    }
}
