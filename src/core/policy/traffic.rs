//! Sums of a stream's metrics over equal periods, and what a gap in them means.

use jiff::{SignedDuration, Timestamp};

use super::demand::Demand;

/// The length over which CloudWatch sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Period {
    Minute,
    #[default]
    FiveMinutes,
}

impl Period {
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
        }
    }
}

/// How well CloudWatch answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    #[default]
    Whole,
    Partial,
    /// A sum was not a number of bytes or records.
    NotANumber,
}

/// One metric; period `i` begins `i` periods after the window's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub sums: Vec<Option<u64>>,
    pub answer: Answer,
    /// Whether the scale-down alarm fills this metric's gaps with zero. A metric that the alarm
    /// lacks takes the rule of the one that it has.
    pub gaps_are_zero: bool,
}

impl Sums {
    /// The sum of a period; `None` if it is unknown.
    fn known(&self, i: usize) -> Option<u64> {
        let sum = self.sums.get(i).copied().flatten();
        sum.or(self.gaps_are_zero.then_some(0))
    }
}

/// A stream's traffic over a window that ends now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The start of the first period.
    pub start: Timestamp,
    pub period: Period,
    pub bytes: Sums,
    pub records: Sums,
    pub rejected: Sums,
    /// What consumers read, where that counts as usage.
    pub outgoing: Option<Sums>,
}

/// What a stream took and gave in one period; `outgoing` is 0 where reads do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedSums {
    pub bytes: u64,
    pub records: u64,
    pub outgoing: u64,
}

impl UsedSums {
    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            records: self.records.max(other.records),
            outgoing: self.outgoing.max(other.outgoing),
        }
    }
}

/// Why the traffic gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    #[error("CloudWatch returned only a part of the stream's metrics")]
    Partial,
    #[error("CloudWatch returned a value that is not a number of bytes or records")]
    NotANumber,
    #[error("traffic at {0} is unknown, and the scale-down alarm does not fill gaps with zero")]
    Missing(Timestamp),
    #[error("CloudWatch has data from after {0}, so the clock of this host is slow")]
    FromTheFuture(Timestamp),
}

impl Traffic {
    /// The period in which `at` falls; times before the window count as its start.
    #[inline]
    pub fn index(&self, at: Timestamp) -> usize {
        let seconds = at.as_second() - self.start.as_second();
        let seconds = usize::try_from(seconds).unwrap_or(0);
        // A constant divisor makes this a multiplication, and it is done for each point.
        match self.period {
            Period::Minute => seconds / 60,
            Period::FiveMinutes => seconds / 300,
        }
    }

    pub fn start_of(&self, i: usize) -> Timestamp {
        let periods = i64::try_from(i).unwrap_or(i64::MAX);
        let offset = SignedDuration::from_secs(periods.saturating_mul(self.period.seconds()));
        self.start.saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    /// The demand of a period; `None` if it is unknown.
    pub fn demand(&self, i: usize) -> Option<Demand> {
        Some(self.demand_of(self.used_sums(i)?))
    }

    /// The sums of a period that make its demand; `None` if one is unknown.
    #[inline]
    pub fn used_sums(&self, i: usize) -> Option<UsedSums> {
        let outgoing = self.outgoing.as_ref();
        Some(UsedSums {
            bytes: self.bytes.known(i)?,
            records: self.records.known(i)?,
            outgoing: outgoing.map_or(Some(0), |it| it.known(i))?,
        })
    }

    /// The demand of these sums in one period.
    pub fn demand_of(&self, sums: UsedSums) -> Demand {
        let seconds = self.period.seconds().unsigned_abs();
        let written = Demand::of(sums.bytes, sums.records, seconds);
        written.max(Demand::of_reads(sums.outgoing, seconds))
    }

    /// The metrics that make the demand.
    pub fn used(&self) -> impl Iterator<Item = &Sums> {
        [&self.bytes, &self.records]
            .into_iter()
            .chain(&self.outgoing)
    }

    /// Rejects an answer that is not whole, and one with points from after `now`.
    pub fn check<'a>(
        &self,
        metrics: impl IntoIterator<Item = &'a Sums>,
        now: Timestamp,
    ) -> Result<(), DataError> {
        for metric in metrics {
            match metric.answer {
                Answer::Whole => {}
                Answer::Partial => return Err(DataError::Partial),
                Answer::NotANumber => return Err(DataError::NotANumber),
            }
            let later = metric.sums.iter().skip(self.index(now) + 1);
            if later.flatten().next().is_some() {
                return Err(DataError::FromTheFuture(now));
            }
        }
        Ok(())
    }
}
