//! Reshardings that others made: gaps between the rows of the scaling log.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::scaling::{Outcome, Scaling};

/// For so long after a scaling, DescribeStreamSummary may still return the previous count.
const READS_LAG: SignedDuration = SignedDuration::from_secs(60);

/// Rows of two hosts may be in the wrong order if they are closer than this.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

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

/// What is known of a stream beside its scalings.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Every scaling since then is in the log: the stream exists, and no row has expired.
    pub complete_since: Timestamp,
    /// Rows that may be scalings of the stream; `None` where the time of one is not known.
    pub doubtful: &'a [Option<Timestamp>],
    /// Open shards of the ACTIVE stream.
    pub current: Option<Current>,
}

/// The shard count of a stream now.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    pub shards: u32,
    pub read_at: Timestamp,
    /// When both alarms had been set to that count.
    pub recorded_at: Option<Timestamp>,
}

/// The external reshardings of one stream, oldest first: where one of its `scalings`, oldest first,
/// starts from a count that the previous one did not leave.
///
/// Where a row may be missing, nothing is concluded.
pub fn external_reshardings<'a>(
    scalings: impl IntoIterator<Item = &'a Scaling>,
    known: Known<'_>,
) -> Vec<ExternalResharding> {
    let rows: Vec<&Scaling> = scalings.into_iter().collect();
    let later = rows.iter().skip(1);
    let later = later.map(|row| (row.from, row.at, row.host.as_deref()));
    let current = rows.last().and_then(|last| {
        let current = known.current?;
        let settled = current.read_at.duration_since(last.at) >= READS_LAG;
        let recorded = current.recorded_at.filter(|at| *at > last.at);
        let latest = recorded.unwrap_or(current.read_at);
        settled.then_some((current.shards, latest, last.host.as_deref()))
    });
    let pairs = rows.iter().zip(later.chain(current));
    let found = pairs.filter_map(|(row, (to, latest, host))| {
        let hidden = |at: &Option<Timestamp>| at.is_none_or(|at| (row.at..=latest).contains(&at));
        let may_lack_rows = row.at < known.complete_since || known.doubtful.iter().any(hidden);
        let may_be_swapped =
            row.host.as_deref() != host && latest.duration_since(row.at) < CLOCKS_DIFFER;
        if may_lack_rows || may_be_swapped || explains(row, to) {
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
        let row = |(seconds, from, to, outcome): &(i64, u32, u32, Outcome)| {
            row(ago(*seconds), *from, *to, *outcome)
        };
        rows.iter().map(row).collect()
    }

    fn known(current: Option<u32>) -> Known<'static> {
        Known {
            complete_since: ago(900),
            doubtful: &[],
            current: current.map(|shards| Current {
                shards,
                read_at: now(),
                recorded_at: None,
            }),
        }
    }

    fn found(scalings: &[Scaling], known: Known<'_>) -> Vec<(u32, u32, i64, i64)> {
        let found = external_reshardings(scalings, known);
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
            assert_eq!(found(&rows(scalings), known(current)), expected, "{case}");
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
            let known = Known {
                doubtful: &[at],
                ..known(None)
            };
            let found = found(&gap, known);
            assert_eq!(found.len(), expected, "a doubtful row {case}: {found:?}");
        }
        for (seconds, expected) in [(900, 1), (899, 0)] {
            let known = Known {
                complete_since: ago(seconds),
                ..known(None)
            };
            assert_eq!(
                found(&gap, known).len(),
                expected,
                "complete for {seconds} s"
            );
        }
    }

    #[test]
    fn rows_of_two_hosts_within_minutes_may_be_in_the_wrong_order() {
        for (later, host, expected) in [(301, "b", 0), (301, "a", 1), (300, "b", 1)] {
            let mut gap = rows(&[(900, 5, 10, Outcome::Done), (later, 4, 8, Outcome::Done)]);
            gap[0].host = Some("a".to_owned());
            gap[1].host = Some(host.to_owned());
            assert_eq!(
                found(&gap, known(None)).len(),
                expected,
                "{later} s, {host}"
            );
        }
    }

    #[test]
    fn what_both_alarms_record_took_place_before_they_were_written() {
        for (recorded, latest) in [(Some(ago(300)), 300), (Some(ago(600)), 0), (None, 0)] {
            let mut known = known(Some(4));
            if let Some(current) = &mut known.current {
                current.recorded_at = recorded;
            }
            let found = found(&rows(&[(600, 5, 10, Outcome::Done)]), known);
            assert_eq!(found, [(10, 4, 600, latest)], "{recorded:?}");
        }
    }
}
