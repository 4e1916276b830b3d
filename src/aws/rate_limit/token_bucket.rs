//! The gate of a rate: a token bucket whose price per call rises while AWS throttles.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::Gate;

/// The most tokens that one call takes.
const MAX_COST: u32 = 8;

#[derive(Debug)]
pub(super) struct TokenBucket {
    /// The time in which one token comes in.
    period: Duration,
    /// The most tokens that the bucket holds, unless one call takes more.
    burst: u32,
    /// Tokens that the next call takes: 1, or up to [`MAX_COST`] after AWS has throttled a call.
    cost: u32,
    /// When the bucket was, or would have been, empty: it holds a token for each period since.
    empty_at: Instant,
}

impl TokenBucket {
    pub fn new(calls_per_second: f64) -> Self {
        let period = Duration::from_secs_f64(1.0 / calls_per_second.clamp(0.001, 100_000.0));
        // Half of the burst that AWS's own buckets allow: a call that is delayed on its way
        // arrives there together with later ones. The cast saturates.
        let burst = ((calls_per_second / 2.0) as u32).max(1);
        Self {
            period,
            burst,
            cost: 1,
            empty_at: before(Instant::now(), period * burst),
        }
    }

    /// Doubles the price of the next call; every call that passes lowers it by one token again.
    pub fn slow_down(&mut self) {
        self.cost = (self.cost * 2).min(MAX_COST);
    }
}

impl Gate for TokenBucket {
    type Pass = ();

    fn try_pass(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        let full = self.period * self.burst.max(self.cost);
        self.empty_at = self.empty_at.max(before(now, full));
        let affordable_at = self.empty_at + self.period * self.cost;
        if now < affordable_at {
            return Err(Some(affordable_at));
        }
        self.empty_at = affordable_at;
        self.cost = (self.cost - 1).max(1);
        Ok(())
    }
}

/// `now` less `time`, or `now` where the clock does not reach back that far.
fn before(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
}
