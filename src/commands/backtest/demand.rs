//! The demand on a stream, minute by minute: what its producers send, whether accepted or not.

use std::path::Path;

use jiff::Timestamp;

use crate::output::error::{Exit, Failure, Report};
use autoscaler_core::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};

/// Minutes that run before anything is scored.
pub const WARM_UP_MINUTES: usize = 24 * 60;

/// No stream has so much in a minute: 10,000 shards take a third of it.
const MOST_BYTES: f64 = 2e12;
const MOST_RECORDS: f64 = 2e9;
/// A year of minutes.
const MOST_MINUTES: i64 = 366 * 24 * 60;
const COLUMNS_HINT: &str = "the first line names the columns: time,bytes,records[,rejected]";

/// Bytes and records in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub bytes: f64,
    pub records: f64,
}

impl Load {
    /// How many shards this fills, where keys are even.
    pub fn shards(self) -> f64 {
        let bytes = self.bytes / (SHARD_BYTES_PER_SECOND as f64 * 60.0);
        bytes.max(self.records / (SHARD_RECORDS_PER_SECOND as f64 * 60.0))
    }

    /// The same mixture, `factor` times as much.
    pub fn times(self, factor: f64) -> Self {
        Self {
            bytes: self.bytes * factor,
            records: self.records * factor,
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            records: self.records + other.records,
        }
    }
}

/// One stream's demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub stream: String,
    pub start: Timestamp,
    /// One entry for each minute from `start` on; `None` without data.
    pub minutes: Vec<Option<Load>>,
    /// Length of the periods that were read, in minutes.
    pub period_minutes: usize,
    /// Share of the records that the stream rejected at the time.
    pub rejected_share: f64,
    /// The longest run of minutes in which the stream rejected records.
    pub short_of_shards: std::ops::Range<usize>,
}

/// What was measured in one period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Seconds since the epoch.
    pub at: i64,
    pub accepted: Load,
    pub rejected_records: f64,
}

impl Demand {
    /// Puts periods on the axis of minutes; `tries` is how often a rejected record was tried.
    ///
    /// # Errors
    /// Where that is too short to be scored, or too long to be run.
    pub fn of(stream: String, periods: &[Measured], tries: f64) -> Result<Self, String> {
        let step = periods.windows(2).map(|pair| pair[1].at - pair[0].at).min();
        let Some(step) = step else {
            return Err("there are fewer than two periods with data".to_owned());
        };
        Self::of_periods(stream, periods, step, tries)
    }

    /// The same for periods of `step` seconds.
    ///
    /// # Errors
    /// As [`Demand::of`].
    pub fn of_periods(
        stream: String,
        periods: &[Measured],
        step: i64,
        tries: f64,
    ) -> Result<Self, String> {
        let (Some(first), Some(last)) = (periods.first(), periods.last()) else {
            return Err("there are fewer than two periods with data".to_owned());
        };
        let length = (last.at + step - first.at) / 60;
        if length <= WARM_UP_MINUTES as i64 {
            let hours = length as f64 / 60.0;
            return Err(format!(
                "the demand covers {hours:.1} h; the first 24 h are not scored, so more is needed"
            ));
        }
        if length > MOST_MINUTES {
            return Err(format!(
                "the demand covers {} days, more than 366",
                length / 1440
            ));
        }
        let per_period = usize::try_from(step / 60).unwrap_or(1).max(1);
        let mut minutes = vec![None; usize::try_from(length).unwrap_or_default()];
        let mean = mean_record(periods);
        for period in periods {
            let from = usize::try_from((period.at - first.at) / 60).unwrap_or_default();
            let load = sent(period, mean, tries).times(1.0 / per_period as f64);
            minutes
                .iter_mut()
                .skip(from)
                .take(per_period)
                .for_each(|minute| *minute = Some(load));
        }
        let start = Timestamp::from_second(first.at).map_err(|error| error.to_string())?;
        let total = |of: fn(&Measured) -> f64| periods.iter().map(of).sum::<f64>();
        let rejected = total(|it| it.rejected_records);
        let offered = total(|it| it.accepted.records) + rejected;
        Ok(Self {
            stream,
            start,
            minutes,
            period_minutes: per_period,
            rejected_share: if offered > 0.0 {
                rejected / offered
            } else {
                0.0
            },
            short_of_shards: short_of_shards(periods, step),
        })
    }

    /// The load of a minute; a gap counts as no load, as the usual alarms fill it.
    pub fn at(&self, minute: usize) -> Load {
        self.minutes
            .get(minute)
            .copied()
            .flatten()
            .unwrap_or_default()
    }

    /// The time at which a minute begins.
    pub fn time(&self, minute: usize) -> Timestamp {
        let seconds = self.start.as_second() + minute as i64 * 60;
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }

    /// How many days it covers, the last one in part.
    pub fn days(&self) -> usize {
        self.minutes.len().div_ceil(24 * 60)
    }

    /// How many minutes have no data.
    pub fn gaps(&self) -> usize {
        self.minutes
            .iter()
            .filter(|minute| minute.is_none())
            .count()
    }
}

/// A period is short of shards if more than this share of its records was rejected.
const SHORT_FROM: f64 = 0.005;

impl Measured {
    /// Whether the share of rejected records shows that there were too few shards.
    pub fn is_short(&self) -> bool {
        self.rejected_records > SHORT_FROM * (self.accepted.records + self.rejected_records)
    }
}

/// The longest run of periods that were short of shards, in minutes.
fn short_of_shards(periods: &[Measured], step: i64) -> std::ops::Range<usize> {
    let first = periods.first().map_or(0, |it| it.at);
    let minute = |at: i64| usize::try_from((at - first) / 60).unwrap_or_default();
    let runs = periods.chunk_by(|a, b| a.is_short() && b.is_short() && b.at - a.at == step);
    let runs = runs.filter(|run| run[0].is_short());
    // Of equally long runs the first counts.
    let longest = runs.rev().max_by_key(|run| run.len());
    longest.map_or(0..0, |run| {
        minute(run[0].at)..minute(run[run.len() - 1].at + step)
    })
}

/// Bytes of a record on average, for periods that accepted none.
fn mean_record(periods: &[Measured]) -> f64 {
    let bytes: f64 = periods.iter().map(|it| it.accepted.bytes).sum();
    let records: f64 = periods.iter().map(|it| it.accepted.records).sum();
    if records > 0.0 { bytes / records } else { 0.0 }
}

/// What producers sent in a period: what was accepted, and each rejected record once.
fn sent(period: &Measured, mean: f64, tries: f64) -> Load {
    let rejected = period.rejected_records / tries;
    let size = match period.accepted {
        Load { bytes, records } if records > 0.0 => bytes / records,
        _ => mean,
    };
    period.accepted.plus(Load {
        bytes: rejected * size,
        records: rejected,
    })
}

/// Reads a CSV file with the columns `time,bytes,records[,rejected]`.
///
/// # Errors
/// Where the file cannot be read, or a line of it is wrong.
pub fn read_csv(path: &Path, stream: String, tries: f64) -> Result<Demand, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let report = Report::new(format!("{}: {error}", path.display()));
        Failure::new(Exit::Failed, report.hint(COLUMNS_HINT))
    })?;
    let at_line = |wrong: Wrong| {
        let place = match wrong.line {
            0 => path.display().to_string(),
            line => format!("{}:{line}", path.display()),
        };
        let report = Report::new(format!("{place}: {}", wrong.text)).hint(wrong.hint);
        Failure::new(Exit::Failed, report)
    };
    let periods = parse(&text).map_err(at_line)?;
    Demand::of(stream, &periods, tries)
        .map_err(|text| at_line(Wrong::new(0, text, "give from 25 h to 366 days of demand")))
}

/// What is wrong with a line; line 0 is the file as a whole.
#[derive(Debug)]
struct Wrong {
    line: usize,
    text: String,
    hint: &'static str,
}

impl Wrong {
    fn new(line: usize, text: impl Into<String>, hint: &'static str) -> Self {
        Self {
            line,
            text: text.into(),
            hint,
        }
    }
}

fn parse(text: &str) -> Result<Vec<Measured>, Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    let Some((_, header)) = lines.next() else {
        return Err(Wrong::new(0, "the file is empty", COLUMNS_HINT));
    };
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &str| names.iter().position(|it| *it == name);
    let required = |name: &str| {
        let missing = || Wrong::new(1, format!("the column {name:?} is missing"), COLUMNS_HINT);
        column(name).ok_or_else(missing)
    };
    let columns = [required("time")?, required("bytes")?, required("records")?];
    let rejected = column("rejected");
    let mut periods: Vec<Measured> = Vec::new();
    for (number, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != names.len() {
            let text = format!("{} cells where the header has {}", cells.len(), names.len());
            return Err(Wrong::new(number, text, COLUMNS_HINT));
        }
        let [time, bytes, records] = columns.map(|at| cells[at]);
        let measured = Measured {
            at: parse_time(number, time)?,
            accepted: Load {
                bytes: parse_amount(number, "bytes", bytes, MOST_BYTES)?,
                records: parse_amount(number, "records", records, MOST_RECORDS)?,
            },
            rejected_records: match rejected.map(|at| cells[at]) {
                None | Some("") => 0.0,
                Some(cell) => parse_amount(number, "rejected", cell, MOST_RECORDS)?,
            },
        };
        if let Some(last) = periods.last() {
            in_order(number, time, last.at, measured.at)?;
        }
        periods.push(measured);
    }
    Ok(periods)
}

fn in_order(line: usize, text: &str, last: i64, at: i64) -> Result<(), Wrong> {
    let hint = "sort the lines by time, with one line for each period";
    match at.cmp(&last) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Equal => Err(Wrong::new(
            line,
            format!("the time {text} occurs twice"),
            hint,
        )),
        std::cmp::Ordering::Less => {
            let text = format!("{text} is earlier than the line above");
            Err(Wrong::new(line, text, hint))
        }
    }
}

fn parse_time(line: usize, text: &str) -> Result<i64, Wrong> {
    const HINT: &str = "write times in UTC or with an offset, such as 2026-01-01T00:00:00Z";
    let at: Timestamp = text.parse().map_err(|_| {
        let local = text.parse::<jiff::civil::DateTime>().is_ok();
        let why = if local {
            "has no UTC offset"
        } else {
            "is not a time"
        };
        Wrong::new(line, format!("{text:?} {why}"), HINT)
    })?;
    if at.subsec_nanosecond() != 0 || at.as_second().rem_euclid(60) != 0 {
        let hint = "each line is a period of one or several whole minutes";
        return Err(Wrong::new(
            line,
            format!("{text} is not a whole minute"),
            hint,
        ));
    }
    Ok(at.as_second())
}

fn parse_amount(line: usize, column: &str, text: &str, most: f64) -> Result<f64, Wrong> {
    let hint = "give the sum of the period as a number without separators";
    let wrong = |why: &str| Wrong::new(line, format!("{column} {text:?} {why}"), hint);
    let amount: f64 = text.parse().map_err(|_| wrong("is not a number"))?;
    match amount {
        _ if !amount.is_finite() => Err(wrong("is not a number")),
        _ if amount < 0.0 => Err(wrong("is negative")),
        // A period may have up to an hour.
        _ if amount > most * 60.0 => Err(wrong("is more than 10,000 shards accept")),
        _ => Ok(amount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> String {
        lines.join("\n")
    }

    #[test]
    fn what_is_wrong_with_a_file_names_its_line() {
        let header = "time,bytes,records";
        for (text, line, says) in [
            (String::new(), 0, "empty"),
            (lines(&["time,bytes"]), 1, "\"records\""),
            (lines(&[header, "2026-01-01T00:00:00Z,1"]), 2, "2 cells"),
            (
                lines(&[header, "2026-01-01T00:00:00,1,1"]),
                2,
                "no UTC offset",
            ),
            (lines(&[header, "yesterday,1,1"]), 2, "not a time"),
            (
                lines(&[header, "2026-01-01T00:00:30Z,1,1"]),
                2,
                "whole minute",
            ),
            (lines(&[header, "2026-01-01T00:00:00Z,-1,1"]), 2, "negative"),
            (
                lines(&[header, "2026-01-01T00:00:00Z,x,1"]),
                2,
                "not a number",
            ),
            (
                lines(&[header, "2026-01-01T00:00:00Z,NaN,1"]),
                2,
                "not a number",
            ),
            (
                lines(&[header, "2026-01-01T00:00:00Z,1e30,1"]),
                2,
                "10,000 shards",
            ),
            (
                lines(&[
                    header,
                    "2026-01-01T00:01:00Z,1,1",
                    "2026-01-01T00:01:00Z,1,1",
                ]),
                3,
                "twice",
            ),
            (
                lines(&[
                    header,
                    "2026-01-01T00:01:00Z,1,1",
                    "2026-01-01T00:00:00Z,1,1",
                ]),
                3,
                "earlier",
            ),
        ] {
            let wrong = parse(&text).expect_err(&text);
            assert!(
                wrong.line == line && wrong.text.contains(says),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn rejected_records_are_demand_of_the_mean_size() {
        let at = |minute: i64, accepted: (f64, f64), rejected_records| Measured {
            at: minute * 300,
            accepted: Load {
                bytes: accepted.0,
                records: accepted.1,
            },
            rejected_records,
        };
        let mut periods: Vec<Measured> = (0..300).map(|it| at(it, (500.0, 50.0), 0.0)).collect();
        periods[1].rejected_records = 100.0;
        periods[2] = at(2, (0.0, 0.0), 10.0);
        periods.remove(4);
        let demand = Demand::of("orders".to_owned(), &periods, 2.0).unwrap();
        assert_eq!(demand.minutes.len(), 1_500);
        let load = |bytes, records| Some(Load { bytes, records });
        assert_eq!(demand.minutes[0], load(100.0, 10.0));
        assert_eq!(demand.minutes[5], load(200.0, 20.0));
        assert_eq!(demand.minutes[10], load(10.0, 1.0));
        assert_eq!((demand.minutes[20], demand.gaps()), (None, 5));
    }

    #[test]
    fn a_day_is_not_enough() {
        let one = |at: i64| Measured {
            at: at * 60,
            accepted: Load::default(),
            rejected_records: 0.0,
        };
        let day: Vec<Measured> = (0..1440).map(one).collect();
        let error = Demand::of("orders".to_owned(), &day, 1.0).unwrap_err();
        assert!(error.contains("24.0 h"), "{error}");
        assert!(Demand::of("orders".to_owned(), &[], 1.0).is_err());
    }
}
