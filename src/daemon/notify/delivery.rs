//! Delivers what waits for one target, one event after the other, until it succeeds.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    counts::{Counts, Outcome},
    record::{Next, Record},
    target::{NotDelivered, Target},
};
use crate::reconcile::clock::Clock;

/// How long one attempt may take.
const TRY_WITHIN: Duration = Duration::from_secs(10);
/// How long the first retry waits; each further one waits twice as long.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// After this many failures in a row the events that wait behind have their turn.
const TURN: u32 = 3;

/// Delivers until it is cancelled.
pub(super) async fn deliver(target: Target, record: Arc<Record>, counts: Counts, clock: Clock) {
    let name = target.name();
    let mut failures: u32 = 0;
    loop {
        let event = match record.next(name, clock.now()) {
            Next::Event(event) => event,
            Next::GivenUp(event) => {
                let (kind, stream) = (event.kind.code(), event.stream.as_deref());
                tracing::error!(
                    target = name,
                    kind,
                    stream,
                    "a notification is given up after a day"
                );
                counts.add(Outcome::Dropped, 1);
                continue;
            }
            Next::Nothing => {
                record.added(name).await;
                continue;
            }
        };
        let sent = timeout(TRY_WITHIN, target.send(&event)).await;
        match sent.unwrap_or_else(|_| Err(late(&target))) {
            Ok(()) => {
                record.remove(name, &event);
                counts.add(Outcome::Sent, 1);
                if failures > 0 {
                    tracing::info!(target = name, "notifications are delivered again");
                }
                failures = 0;
            }
            Err(NotDelivered { error, hint }) => {
                counts.add(Outcome::Failed, 1);
                if failures == 0 {
                    let kind = event.kind.code();
                    tracing::warn!(
                        target = name,
                        kind,
                        error,
                        hint,
                        "a notification could not be delivered; it is tried again"
                    );
                }
                failures = failures.saturating_add(1);
                if failures.is_multiple_of(TURN) {
                    record.postpone(name, &event);
                }
                sleep(back_off(failures)).await;
            }
        }
    }
}

fn late(target: &Target) -> NotDelivered {
    NotDelivered {
        error: format!("no success within {} s", TRY_WITHIN.as_secs()),
        hint: Some(target.hint_when_late().to_owned()),
    }
}

fn back_off(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_BACK_OFF.saturating_mul(doubled).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_a_minute() {
        let seconds = [1, 2, 3, 6, 7, 100, u32::MAX].map(|it| back_off(it).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60]);
    }
}
