//! The only source of "now": the system's clock, or a simulated one that can run faster or be set.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time of day. Cheap to clone; clones share jumps.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Simulated {
        origin: Timestamp,
        started: Instant,
        /// Simulated seconds per second of tokio's clock.
        speed: u32,
        /// Sum of all jumps, in microseconds.
        jumped: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that starts at `origin` and runs `speed` times as fast as tokio's clock (which tests
    /// may pause).
    pub fn simulated(origin: Timestamp, speed: u32) -> Self {
        Self(Source::Simulated {
            origin,
            started: Instant::now(),
            speed,
            jumped: Arc::default(),
        })
    }

    /// The current time in microseconds, the precision of the scaling log's range key.
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            Source::System => Timestamp::now(),
            Source::Simulated {
                origin,
                started,
                speed,
                jumped,
            } => {
                let run = SignedDuration::try_from(started.elapsed() * *speed)
                    .unwrap_or(SignedDuration::MAX);
                let jumped = SignedDuration::from_micros(jumped.load(Ordering::Relaxed));
                origin
                    .saturating_add(run.saturating_add(jumped))
                    .unwrap_or(Timestamp::MAX)
            }
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// The clock as a function, for code that takes `now` as a function.
    pub fn reader(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    /// The same clock on another machine: it runs at the same speed, but jumps separately.
    pub fn apart(&self) -> Self {
        let mut clock = self.clone();
        if let Source::Simulated { jumped, .. } = &mut clock.0 {
            *jumped = Arc::new(AtomicI64::new(jumped.load(Ordering::Relaxed)));
        }
        clock
    }

    /// How many seconds of this clock pass in one second of real time.
    pub fn speed(&self) -> u32 {
        match &self.0 {
            Source::System => 1,
            Source::Simulated { speed, .. } => *speed,
        }
    }

    /// Sets a simulated clock forward or back, as an operator or NTP would; the system's clock is
    /// left alone.
    pub fn jump(&self, by: SignedDuration) {
        if let Source::Simulated { jumped, .. } = &self.0 {
            jumped.fetch_add(
                i64::try_from(by.as_micros()).unwrap_or(0),
                Ordering::Relaxed,
            );
        }
    }
}
