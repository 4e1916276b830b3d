//! The shards of a stream and their key ranges, derived from the history of its shard counts.
//!
//! Simpler than AWS: a resharding replaces all shards at once, at its end, by ones of equal ranges.

use autoscaler_core::limits::CALLS_PER_DAY;

/// Seconds for which a closed shard is listed: the retention period of all streams here.
const RETENTION_SECONDS: i64 = 86_400;

/// The shards that exist between two reshardings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The number of the first one; the others follow.
    first_number: u64,
    pub count: u32,
    /// Seconds since the epoch.
    opened: i64,
    closed: Option<i64>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub number: u64,
    /// The shards it was made of; one after a split, two after a merge, none at first.
    pub parents: Vec<u64>,
    pub first_key: u128,
    pub last_key: u128,
    /// Seconds since the epoch.
    pub opened: i64,
    pub closed: Option<i64>,
}

/// A shard's id as AWS writes it.
pub(crate) fn shard_id(number: u64) -> String {
    format!("shardId-{number:012}")
}

/// The number in a shard's id.
pub(crate) fn shard_number(id: &str) -> Option<u64> {
    id.strip_prefix("shardId-")?.parse().ok()
}

/// All generations of a stream, oldest first, from the seconds at which its counts changed.
pub(crate) fn generations(history: &[(i64, u32)]) -> impl Iterator<Item = Generation> {
    let mut next = 0;
    history
        .iter()
        .enumerate()
        .map(move |(at, (opened, count))| {
            let first_number = next;
            next += u64::from(*count);
            Generation {
                first_number,
                count: *count,
                opened: *opened,
                closed: history.get(at + 1).map(|(closed, _)| *closed),
            }
        })
}

/// The shards that are open or were closed within the retention period, oldest first.
pub(crate) fn listed(history: &[(i64, u32)], now_seconds: i64) -> Vec<Shard> {
    let mut shards = Vec::with_capacity(CALLS_PER_DAY);
    let mut before: Option<Generation> = None;
    for generation in generations(history) {
        let closed = generation.closed;
        if closed.is_none_or(|closed| closed > now_seconds - RETENTION_SECONDS) {
            shards.extend(generation.shards(before.as_ref()));
        }
        before = Some(generation);
    }
    shards
}

impl Generation {
    /// The position of a shard among those of its generation, if it is open at `second`.
    pub(crate) fn position(&self, number: u64, second: i64) -> Option<u32> {
        // Traffic may begin before the stream was created, and finds the first shards then.
        let opened = self.first_number == 0 || self.opened <= second;
        let open = opened && self.closed.is_none_or(|closed| second < closed);
        let position = u32::try_from(number.checked_sub(self.first_number)?).ok()?;
        (open && position < self.count).then_some(position)
    }

    fn shards(&self, before: Option<&Self>) -> impl Iterator<Item = Shard> {
        let owner = move |key| before.map(|before| before.first_number + before.owner(key));
        (0..self.count).map(move |position| {
            let (first_key, last_key) = self.keys(position);
            let mut parents: Vec<u64> = owner(first_key).into_iter().collect();
            parents.extend(owner(last_key));
            parents.dedup();
            Shard {
                number: self.first_number + u64::from(position),
                parents,
                first_key,
                last_key,
                opened: self.opened,
                closed: self.closed,
            }
        })
    }

    /// The hash keys of one shard: 2^128 of them, divided equally.
    fn keys(&self, position: u32) -> (u128, u128) {
        let step = self.step();
        let first = u128::from(position) * step;
        let is_last = position + 1 == self.count;
        (first, if is_last { u128::MAX } else { first + step - 1 })
    }

    /// 2^128 divided by the count; irrelevant for one shard, and 0 then.
    fn step(&self) -> u128 {
        let count = u128::from(self.count.max(1));
        let exact = u128::MAX % count == count - 1;
        (u128::MAX / count).wrapping_add(u128::from(exact))
    }

    /// The position of the shard that has `key`.
    fn owner(&self, key: u128) -> u64 {
        let position = key.checked_div(self.step()).unwrap_or(0);
        let last = u64::from(self.count.saturating_sub(1));
        u64::try_from(position).map_or(last, |position| position.min(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_keys_without_overlap() {
        for count in [1, 2, 3, 7, 64, 1_000, 9_999] {
            let shards = listed(&[(0, count)], 0);
            assert_eq!(shards.len(), count as usize);
            assert_eq!(shards[0].first_key, 0);
            assert_eq!(shards[shards.len() - 1].last_key, u128::MAX);
            for pair in shards.windows(2) {
                assert_eq!(pair[0].last_key + 1, pair[1].first_key);
            }
        }
    }

    #[test]
    fn splits_have_one_parent_and_merges_two() {
        let parents = |history: &[(i64, u32)]| -> Vec<Vec<u64>> {
            let shards = listed(history, 200);
            let open = shards.into_iter().filter(|shard| shard.closed.is_none());
            open.map(|shard| shard.parents).collect()
        };
        assert_eq!(parents(&[(0, 2)]), vec![Vec::<u64>::new(); 2]);
        assert_eq!(parents(&[(0, 2), (100, 4)]), [[0], [0], [1], [1]]);
        assert_eq!(parents(&[(0, 4), (100, 2)]), [[0, 1], [2, 3]]);
        assert_eq!(parents(&[(0, 2), (100, 3)]), [vec![0], vec![0, 1], vec![1]]);
    }

    #[test]
    fn closed_shards_are_listed_for_the_retention_period() {
        let history = [(0, 2), (100, 4)];
        assert_eq!(listed(&history, 100 + RETENTION_SECONDS - 1).len(), 6);
        assert_eq!(listed(&history, 100 + RETENTION_SECONDS).len(), 4);
    }
}
