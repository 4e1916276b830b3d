//! One read for all that ask for the same within a second: in a storm each stream asks.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::Mutex, time::timeout};

/// For how long a read is shared, unless it is said to hold longer; and how long one that is slow
/// is waited for.
pub const SHARED_FOR: Duration = Duration::from_secs(1);

/// What was read last. Clones share it.
#[derive(Debug)]
pub struct SharedRead<T>(Arc<Mutex<Option<(Timestamp, T)>>>);

impl<T> Default for SharedRead<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for SharedRead<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> SharedRead<T> {
    /// What another caller read within the last second, or else what `read` reads. A read that
    /// fails is not shared. `now` is the time at which it is asked for.
    pub async fn get<E>(
        &self,
        now: Timestamp,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.get_for(now, |_| SHARED_FOR, read).await
    }

    /// The same, where a value is shared for the time that `holds` tells.
    pub async fn get_for<E>(
        &self,
        now: Timestamp,
        holds: impl Fn(&T) -> Duration,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Nobody waits behind a slow read: each then reads for itself.
        let Ok(mut last) = timeout(SHARED_FOR, self.0.lock()).await else {
            return read.await;
        };
        // After a step of the clock backwards it is read again.
        if let Some((at, value)) = &*last
            && *at <= now
            && now.duration_since(*at).unsigned_abs() < holds(value)
        {
            return Ok(value.clone());
        }
        let value = read.await?;
        *last = Some((now, value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use jiff::SignedDuration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_is_shared_for_a_second() {
        let begun: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        for (milliseconds, expected) in [(0, 1), (999, 1), (1_000, 2), (-1, 2)] {
            let shared = SharedRead::default();
            let first = shared.get(begun, ready(Ok::<i32, ()>(1))).await;
            assert_eq!(first, Ok(1));
            let later = begun + SignedDuration::from_millis(milliseconds);
            let second = shared.clone().get(later, ready(Ok::<i32, ()>(2))).await;
            assert_eq!(second, Ok(expected), "after {milliseconds} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_fails_is_not_shared() {
        let shared = SharedRead::default();
        assert_eq!(
            shared.get(Timestamp::UNIX_EPOCH, ready(Err(1))).await,
            Err::<i32, i32>(1)
        );
        assert_eq!(
            shared
                .get(Timestamp::UNIX_EPOCH, ready(Ok::<i32, i32>(2)))
                .await,
            Ok(2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_a_second_for_the_read_of_another() {
        let shared = SharedRead::default();
        let hanging = shared.clone();
        let hangs = tokio::spawn(async move {
            let read = pending::<Result<i32, ()>>();
            hanging.get(Timestamp::UNIX_EPOCH, read).await
        });
        tokio::task::yield_now().await;
        let started = tokio::time::Instant::now();
        let own = shared
            .get(Timestamp::UNIX_EPOCH, ready(Ok::<i32, ()>(2)))
            .await;
        assert_eq!((own, started.elapsed()), (Ok(2), SHARED_FOR));
        hangs.abort();
    }
}
