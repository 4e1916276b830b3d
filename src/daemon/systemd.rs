//! Notifies systemd: READY, STATUS, RELOADING, STOPPING and the watchdog. Without systemd this does
//! nothing.

use std::sync::{Arc, Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::time::Instant;

/// The daemon is configured and scheduled. AWS may still be unreachable: an outage must not cause a
/// restart loop.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// A status text for `systemctl status`.
pub fn status(words: &str) {
    send(&[NotifyState::Status(words)]);
}

/// A new configuration is being read; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::warn!(%error, "the monotonic clock cannot be read; systemd is not notified of the reload")
        }
    }
}

/// The daemon is stopping.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be notified");
    }
}

/// Feeds systemd's watchdog while the current tick, or the wait for the next one, is within its
/// deadline.
#[derive(Clone, Debug, Default)]
pub struct Watchdog(Arc<Mutex<Option<Instant>>>);

impl Watchdog {
    /// Starts feeding the watchdog if systemd asks for it. This is a task on the daemon's own
    /// runtime, so that a tick that blocks the runtime stops it as well.
    pub fn start() -> Self {
        let watchdog = Self::default();
        if let Some(limit) = sd_notify::watchdog_enabled() {
            let watched = watchdog.clone();
            tokio::spawn(async move {
                let mut every = tokio::time::interval(limit / 3);
                loop {
                    every.tick().await;
                    if watched.in_time() {
                        send(&[NotifyState::Watchdog]);
                    }
                }
            });
        }
        watchdog
    }

    /// Sets the time by which the current tick, or the wait for the next one, has to end.
    pub fn set(&self, deadline: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn in_time(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none_or(|deadline| Instant::now() <= deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_missed_deadline_stops_the_pings_until_the_next_one_is_set() {
        let watchdog = Watchdog::default();
        assert!(watchdog.in_time(), "no deadline is set");
        watchdog.set(Some(Instant::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(watchdog.in_time());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!watchdog.in_time());
        watchdog.set(None);
        assert!(watchdog.in_time());
    }
}
