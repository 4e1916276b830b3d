//! How evenly the shards of a stream are used, to tell people: by the ranges of their hash keys,
//! and by what each of them was sent.

use crate::{
    facts::Traffic,
    limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND},
};

/// A shard with more than this times its even share makes a stream throttle before its usage has
/// reached 75 %, where the usual scale-up alarm fires.
const UNEVEN: f64 = 4.0 / 3.0;

/// A shard that was used less in its busiest minute, and rejected nothing, has room.
const HAS_ROOM: f64 = 0.75;

/// One shard of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: String,
    /// The first and last of its hash keys, of 2^128.
    pub first_key: u128,
    pub last_key: u128,
    /// The shards that it was made of: one after a split, two after a merge.
    pub parents: Vec<String>,
    /// A closed shard takes no more records. It is listed until those that it has expire.
    pub open: bool,
}

impl Shard {
    /// The share of all hash keys that it has.
    pub fn key_share(&self) -> f64 {
        let keys = self.last_key.saturating_sub(self.first_key) as f64 + 1.0;
        keys / 2.0_f64.powi(128)
    }

    /// Where the second half of its range begins; a range of one key has none.
    pub fn second_half(&self) -> Option<u128> {
        let half = self.last_key.checked_sub(self.first_key)? / 2;
        (self.last_key > self.first_key).then(|| self.first_key + half + 1)
    }
}

/// What one shard was sent, 1 for all that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShardUse {
    /// Over all minutes that were measured.
    pub mean: f64,
    /// In its busiest minute.
    pub peak: f64,
    /// Records that it rejected, where that is measured.
    pub rejected: Option<u64>,
}

impl ShardUse {
    /// The use of a shard by its traffic in periods of a minute, of which `minutes` were measured.
    pub fn of(traffic: &Traffic, minutes: usize) -> Self {
        const BYTES: f64 = (60 * SHARD_BYTES_PER_SECOND) as f64;
        const RECORDS: f64 = (60 * SHARD_RECORDS_PER_SECOND) as f64;
        let bytes = traffic.bytes.points.iter().map(|(_, sum)| sum / BYTES);
        let records = traffic.records.points.iter().map(|(_, sum)| sum / RECORDS);
        let peak = bytes.clone().chain(records.clone()).fold(0.0, f64::max);
        // The sum of nothing would be -0.
        let total = bytes.fold(0.0, |a, b| a + b);
        let total = records.fold(0.0, |a, b| a + b).max(total);
        Self {
            mean: total / minutes.max(1) as f64,
            peak,
            rejected: traffic.rejected_since(traffic.from),
        }
    }
}

/// How evenly a stream's shards are used. The shards that it names are places in the list that was
/// judged, the busiest or largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No shard-level metrics, and the ranges are even.
    Unknown,
    /// Nothing was written.
    Idle,
    Even,
    /// These have more than their even share because they have more of the hash keys.
    UnevenRanges(Vec<usize>),
    /// These have more than their even share, and more than their ranges account for: a few
    /// partition keys are busy.
    Hot(Vec<usize>),
}

impl Verdict {
    /// The code that scripts read.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Idle => "idle",
            Self::Even => "even",
            Self::UnevenRanges(_) => "uneven_ranges",
            Self::Hot(_) => "hot",
        }
    }

    /// The shards that stand out.
    pub fn shards(&self) -> &[usize] {
        match self {
            Self::UnevenRanges(shards) | Self::Hot(shards) => shards,
            Self::Unknown | Self::Idle | Self::Even => &[],
        }
    }
}

/// Whether more shards would help the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreShards {
    /// All shards have room.
    NotNeeded,
    Help,
    /// They help only if the busy shard's traffic comes from several partition keys.
    RarelyHelp,
}

impl MoreShards {
    /// The code that scripts read.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Help => "help",
            Self::RarelyHelp => "rarely_help",
        }
    }
}

/// What can be said of a stream's open shards; without `uses`, which has one for each shard, only
/// their ranges are compared. Whether more shards would help is not known then.
pub fn judge(shards: &[Shard], uses: Option<&[ShardUse]>) -> (Verdict, Option<MoreShards>) {
    let even = 1.0 / shards.len().max(1) as f64;
    let above = |share: f64| share > even * UNEVEN;
    let Some(uses) = uses else {
        let ranges = shards.iter().map(Shard::key_share);
        let large = sorted(ranges.enumerate().filter(|(_, keys)| above(*keys)));
        let verdict = match large.is_empty() {
            true => Verdict::Unknown,
            false => Verdict::UnevenRanges(large),
        };
        return (verdict, None);
    };
    let total: f64 = uses.iter().map(|it| it.mean).sum();
    if total <= 0.0 {
        return (Verdict::Idle, Some(MoreShards::NotNeeded));
    }
    let shares = uses.iter().map(|it| it.mean / total).enumerate();
    let busy: Vec<(usize, f64)> = shares.filter(|(_, share)| above(*share)).collect();
    let more_than_keys = |(at, share): &(usize, f64)| {
        let keys = shards.get(*at).map_or(even, Shard::key_share);
        *share > keys * UNEVEN
    };
    let hot = sorted(busy.iter().copied().filter(more_than_keys));
    let verdict = match (hot.is_empty(), busy.is_empty()) {
        (false, _) => Verdict::Hot(hot),
        (true, false) => Verdict::UnevenRanges(sorted(busy.into_iter())),
        (true, true) => Verdict::Even,
    };
    let full = |it: &ShardUse| it.peak >= HAS_ROOM || it.rejected.is_some_and(|n| n > 0);
    let more = match (uses.iter().any(full), &verdict) {
        (false, _) => MoreShards::NotNeeded,
        (true, Verdict::Hot(_)) => MoreShards::RarelyHelp,
        (true, _) => MoreShards::Help,
    };
    (verdict, Some(more))
}

/// The places of the largest shares first; of equal ones in the order of the list.
fn sorted(shares: impl Iterator<Item = (usize, f64)>) -> Vec<usize> {
    let mut shares: Vec<(usize, f64)> = shares.collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares.into_iter().map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Series,
        scene::{ago, now},
    };
    use jiff::SignedDuration;

    /// Shards whose ranges are in this proportion.
    fn shards(ranges: &[u32]) -> Vec<Shard> {
        let all: u32 = ranges.iter().sum();
        let step = u128::MAX / u128::from(all.max(1));
        let mut next = 0;
        let mut shard = |(number, range): (usize, &u32)| {
            let first_key = u128::from(next) * step;
            next += range;
            let last_key = u128::from(next) * step - 1;
            Shard {
                id: format!("shardId-{number:012}"),
                first_key,
                last_key,
                parents: Vec::new(),
                open: true,
            }
        };
        ranges.iter().enumerate().map(&mut shard).collect()
    }

    fn used(mean: f64) -> ShardUse {
        ShardUse {
            mean,
            peak: mean,
            rejected: Some(0),
        }
    }

    #[test]
    fn the_verdict_follows_from_ranges_and_uses() {
        use MoreShards::{Help, NotNeeded, RarelyHelp};
        use Verdict::{Even, Hot, Idle, UnevenRanges, Unknown};
        let check = |ranges: &[u32], uses: Option<&[f64]>, expected| {
            let uses: Option<Vec<ShardUse>> = uses.map(|it| it.iter().copied().map(used).collect());
            let found = judge(&shards(ranges), uses.as_deref());
            assert_eq!(found, expected, "{ranges:?} {uses:?}");
        };
        // By the ranges alone.
        check(&[1], None, (Unknown, None));
        check(&[1, 1, 1, 1], None, (Unknown, None));
        check(&[4, 3, 3, 3], None, (Unknown, None));
        check(&[3, 1, 1, 1], None, (UnevenRanges(vec![0]), None));
        check(&[1, 4, 6, 1, 1], None, (UnevenRanges(vec![2, 1]), None));
        // By what each was sent.
        check(&[1], Some(&[0.0]), (Idle, Some(NotNeeded)));
        check(&[1], Some(&[0.9]), (Even, Some(Help)));
        check(&[1, 1], Some(&[0.5, 0.6]), (Even, Some(NotNeeded)));
        check(&[1, 1], Some(&[0.75, 0.6]), (Even, Some(Help)));
        check(&[1, 1], Some(&[0.74, 0.6]), (Even, Some(NotNeeded)));
        check(&[1, 1, 1], Some(&[0.39, 0.3, 0.2]), (Even, Some(NotNeeded)));
        check(
            &[1; 3],
            Some(&[0.1, 0.5, 0.2]),
            (Hot(vec![1]), Some(NotNeeded)),
        );
        check(
            &[1; 3],
            Some(&[0.1, 0.9, 0.2]),
            (Hot(vec![1]), Some(RarelyHelp)),
        );
        check(
            &[1; 4],
            Some(&[0.8, 0.9, 0.2, 0.0]),
            (Hot(vec![1, 0]), Some(RarelyHelp)),
        );
        // The large range accounts for the large share, or not.
        check(
            &[3, 1, 1, 1],
            Some(&[0.9, 0.3, 0.3, 0.3]),
            (UnevenRanges(vec![0]), Some(Help)),
        );
        check(
            &[3, 1, 1, 1],
            Some(&[0.3, 0.9, 0.3, 0.3]),
            (Hot(vec![1]), Some(RarelyHelp)),
        );
        check(
            &[3, 1, 1, 1],
            Some(&[0.3, 0.3, 0.3, 0.3]),
            (Even, Some(NotNeeded)),
        );
        check(
            &[2, 1, 1],
            Some(&[0.9, 0.1, 0.1]),
            (Hot(vec![0]), Some(RarelyHelp)),
        );
        // Just 4/3 of the even share, and just 4/3 of what the range accounts for.
        check(
            &[1; 4],
            Some(&[0.5, 0.5, 0.5, 0.0]),
            (Even, Some(NotNeeded)),
        );
        check(
            &[2, 1, 1],
            Some(&[0.5, 0.25, 0.0]),
            (UnevenRanges(vec![0]), Some(NotNeeded)),
        );
        check(&[], None, (Unknown, None));
    }

    #[test]
    fn verdicts_have_a_code_for_scripts_and_name_the_shards_that_stand_out() {
        for (verdict, code, shards) in [
            (Verdict::Unknown, "unknown", &[][..]),
            (Verdict::Idle, "idle", &[]),
            (Verdict::Even, "even", &[]),
            (Verdict::UnevenRanges(vec![4, 2]), "uneven_ranges", &[4, 2]),
            (Verdict::Hot(vec![3]), "hot", &[3]),
        ] {
            assert_eq!((verdict.code(), verdict.shards()), (code, shards));
        }
        for (more, code) in [
            (MoreShards::NotNeeded, "not_needed"),
            (MoreShards::Help, "help"),
            (MoreShards::RarelyHelp, "rarely_help"),
        ] {
            assert_eq!(more.code(), code);
        }
    }

    #[test]
    fn a_shard_that_rejects_records_has_no_room() {
        let mut uses = [used(0.3), used(0.3)];
        for (rejected, more) in [
            (None, MoreShards::NotNeeded),
            (Some(0), MoreShards::NotNeeded),
            (Some(1), MoreShards::Help),
        ] {
            uses[1].rejected = rejected;
            let found = judge(&shards(&[1, 1]), Some(&uses));
            assert_eq!(found, (Verdict::Even, Some(more)), "{rejected:?}");
        }
    }

    #[test]
    fn use_is_of_bytes_or_records_whichever_is_more() {
        let check = |bytes: &[f64], records: &[f64], rejected: &[f64], expected: ShardUse| {
            let series = |shards: &[f64], one: f64| Series {
                points: (1..)
                    .zip(shards)
                    .map(|(i, it)| (ago(60 * i), it * one))
                    .collect(),
                complete: true,
            };
            let traffic = Traffic {
                from: now() - SignedDuration::from_hours(1),
                period_seconds: 60,
                bytes: series(bytes, 60.0 * 1_048_576.0),
                records: series(records, 60_000.0),
                rejected: series(rejected, 1.0),
                outgoing: None,
            };
            let found = ShardUse::of(&traffic, 4);
            assert_eq!(found, expected, "{bytes:?} {records:?}");
        };
        let of = |mean, peak, rejected| ShardUse {
            mean,
            peak,
            rejected: Some(rejected),
        };
        check(&[], &[], &[], of(0.0, 0.0, 0));
        check(&[1.0, 0.5, 0.5], &[0.75], &[], of(0.5, 1.0, 0));
        check(
            &[0.5],
            &[0.25, 0.25, 0.5, 1.0],
            &[3.0, 4.0],
            of(0.5, 1.0, 7),
        );
    }

    #[test]
    fn ranges_have_shares_and_halves() {
        let check = |first_key, last_key, share: f64, half| {
            let shard = Shard {
                first_key,
                last_key,
                ..shards(&[1]).remove(0)
            };
            assert_eq!(shard.key_share(), share, "{shard:?}");
            assert_eq!(shard.second_half(), half, "{shard:?}");
        };
        check(0, u128::MAX, 1.0, Some(1 << 127));
        check(0, u128::MAX / 2, 0.5, Some(1 << 126));
        check(1 << 127, u128::MAX, 0.5, Some((1 << 127) + (1 << 126)));
        check(7, 7, 2.0_f64.powi(-128), None);
        check(7, 8, 2.0_f64.powi(-127), Some(8));
    }
}
