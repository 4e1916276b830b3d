//! Writes a shard count into both alarms of a stream, if it is still right after a wait for the
//! quota.

use std::time::Duration;

use autoscaler_core::{
    alarm::{Alarm, ContractError, Direction, actions_after_rewrite},
    decide::SEND_WITHIN,
    facts::Fetched,
    priority::Priority,
    scaling::Scaling,
};
use tokio::time::Instant;

use super::Executor;
use crate::{
    aws::{self, Definition, Rewrite},
    reconcile::lease_guard::LeaseLost,
};

/// After waiting this long for a quota, the stream is read again before anything is sent.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What must still be true when a shard count is written after a wait for a quota.
#[derive(Clone, Copy)]
pub(super) enum Precondition<'a> {
    /// The stream is as it was when the action was decided, at this instant.
    StreamUnchanged(Instant),
    /// No other process has settled this scaling.
    ScalingOpen(&'a Scaling),
}

/// Why a pair could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub(super) enum RewriteError {
    #[error("the precondition no longer holds")]
    Stale,
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error(transparent)]
    Lease(#[from] LeaseLost),
}

impl RewriteError {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Contract(error) => Some(error.hint()),
            Self::Aws(error) => error.hint(),
            Self::Stale | Self::Lease(_) => None,
        }
    }
}

impl Executor<'_> {
    /// Whether the shard count to be written is still right. `pair_changed` is whether the alarms
    /// were written since they were read for the decision.
    pub(super) async fn still_valid(
        &self,
        precondition: Precondition<'_>,
        pair_changed: bool,
    ) -> Result<bool, aws::Error> {
        match precondition {
            Precondition::StreamUnchanged(decided) => {
                if decided.elapsed() < READ_AGAIN_AFTER && !pair_changed {
                    return Ok(true);
                }
                let kinesis = &self.clients.kinesis;
                let now = kinesis.summary(self.stream_name(), Priority::FIRST).await?;
                Ok(now == *self.stream)
            }
            // A process that settles a scaling writes the alarms first, unless the scaling is old
            // and looks as if it was never sent.
            Precondition::ScalingOpen(row) => {
                let recent = self.age(row.at) < SEND_WITHIN && !pair_changed;
                Ok(recent || !self.context.scaling_log.is_settled(row).await)
            }
        }
    }

    /// Whether an alarm was written since it was read for the decision.
    fn pair_changed(&self, now: &[Definition]) -> bool {
        let same = |now: &Alarm, then: &Fetched<Alarm>| {
            then.found().map(|then| then.configured_at) == Some(now.configured_at)
        };
        let names = &self.subscription.alarms;
        now.iter()
            .any(|now| match now.alarm.name == names.scale_up {
                true => !same(&now.alarm, &self.facts.up),
                false => !same(&now.alarm, &self.facts.down),
            })
    }

    /// Reads both alarms only when the quota allows the write, so that changes that a person makes
    /// during the wait are kept. The precondition is checked then, and again if the alarms were
    /// changed.
    async fn pair_to_rewrite(
        &self,
        precondition: Precondition<'_>,
    ) -> Result<Vec<Definition>, RewriteError> {
        let cloudwatch = &self.clients.cloudwatch;
        // Acquired together, so that no other stream's alarms come between them in the queue.
        let tokens = async {
            let token = || cloudwatch.acquire_put_metric_alarm(self.priority());
            tokio::join!(token(), token())
        };
        self.guard.run_while_held(tokens).await?;
        if !self.still_valid(precondition, false).await? {
            return Err(RewriteError::Stale);
        }
        let names = self.subscription.alarms.both();
        let mut pair = cloudwatch.alarms(&names, false, Priority::FIRST).await?;
        if self.pair_changed(&pair) {
            if !self.still_valid(precondition, true).await? {
                return Err(RewriteError::Stale);
            }
            pair = cloudwatch.alarms(&names, false, Priority::FIRST).await?;
        }
        if let Precondition::ScalingOpen(row) = precondition {
            // A count of another scaling, which the scaling log may not know.
            let others = |count: u32| count != row.from && count != row.to;
            let recorded = pair.iter().filter_map(|it| it.alarm.recorded_count());
            if recorded.into_iter().any(others) {
                return Err(RewriteError::Stale);
            }
        }
        Ok(pair)
    }

    /// Sets both alarms to `shard_count` and resets their state. Repeating this does no harm.
    pub(super) async fn rewrite_pair(
        &self,
        shard_count: u32,
        reason: &str,
        precondition: Precondition<'_>,
    ) -> Result<(), RewriteError> {
        let pair = self.pair_to_rewrite(precondition).await?;
        let cloudwatch = &self.clients.cloudwatch;
        let rewrite = async |direction| {
            let name = self.subscription.alarms.of(direction);
            let definition = pair.iter().find(|it| it.alarm.name == name);
            let definition = definition.ok_or_else(|| ContractError::Missing(name.into()))?;
            definition.alarm.terms(Some(self.stream_name()))?;
            let rewrite = Rewrite {
                shard_count,
                actions_enabled: actions_after_rewrite(&definition.alarm, direction, shard_count),
            };
            let call = cloudwatch.rewrite(definition, rewrite, self.guard.pre_send_check());
            Ok::<_, RewriteError>(self.guard.run_while_held(call).await??)
        };
        let (of_up, of_down) = tokio::join!(rewrite(Direction::Up), rewrite(Direction::Down));
        of_up.and(of_down)?;
        drop(pair);
        let reset = async |direction| {
            let name = self.subscription.alarms.of(direction);
            let check = self.guard.pre_send_check();
            let call = cloudwatch.reset(name, reason, self.priority(), check);
            Ok::<_, RewriteError>(self.guard.run_while_held(call).await??)
        };
        let (of_up, of_down) = tokio::join!(reset(Direction::Up), reset(Direction::Down));
        of_up.and(of_down)
    }
}
