//! What is known of the room in an account's shard quota, so that many streams that meet the quota
//! at once do not each spend a call on a refusal.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

/// How long the answer of DescribeLimits is relied on.
const VALID_FOR: Duration = Duration::from_mins(5);

/// The room in the shard quota of one account and Region. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardRoom {
    known: Arc<Mutex<Option<Known>>>,
    /// Not behind the lock of `known`, which is held while AWS is asked.
    told: Arc<StdMutex<Option<ShardQuota>>>,
}

/// An account's shard quota in a Region, as AWS told it.
#[derive(Clone, Copy, Debug)]
pub struct ShardQuota {
    pub limit: u32,
    /// Open shards of all its streams at that time.
    pub open: u32,
    pub as_of: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    limit: u32,
    left: u32,
    as_of: Instant,
}

/// What a scale-up may take of the account's shard quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many more shards; at most as many as were asked for.
    pub more: u32,
    pub limit: u32,
}

impl Known {
    fn is_valid(&self) -> bool {
        self.as_of.elapsed() < VALID_FOR
    }

    fn take(&mut self, more: u32) -> Room {
        let more = more.min(self.left);
        self.left -= more;
        Room {
            more,
            limit: self.limit,
        }
    }
}

impl ShardRoom {
    /// Takes room for `more` shards. `None` if nothing is known, because AWS refused nothing lately.
    pub(super) async fn take(&self, more: u32) -> Option<Room> {
        let mut known = self.known.lock().await;
        let known = known.as_mut().filter(|known| known.is_valid())?;
        Some(known.take(more))
    }

    /// Takes room after AWS refused a scale-up that was sent at `sent`. `read` asks AWS for the limit
    /// and the open shards; only the first of several refused streams does so.
    pub(super) async fn take_after_refusal<E>(
        &self,
        more: u32,
        sent: Instant,
        read: impl Future<Output = Result<(u32, u32), E>>,
    ) -> Result<Room, E> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_mut().filter(|known| known.is_valid()) {
            if known.as_of < sent {
                // AWS counts otherwise, for example shards that a resharding still closes.
                known.left = 0;
            }
            return Ok(known.take(more));
        }
        let (limit, open) = read.await?;
        let as_of = Instant::now();
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ShardQuota { limit, open, as_of });
        let known = known.insert(Known {
            limit,
            left: limit.saturating_sub(open),
            as_of,
        });
        Ok(known.take(more))
    }

    /// What AWS told last, however long ago; `None` if it has refused nothing yet.
    pub(super) fn told(&self) -> Option<ShardQuota> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
