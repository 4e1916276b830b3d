//! Carries out one decision: intent, resharding, both alarms, outcome. It makes no choices of its
//! own.
//!
//! Work that is cut short stays open in the scaling log, and the next inspection of the stream
//! finishes it.

mod rewrite;

use std::sync::Arc;

use autoscaler_core::{
    alarm::Direction,
    datetime::after,
    decide::SEND_WITHIN,
    decision::{Action, Conclusion, Decision},
    facts::{Facts, StreamStatus, StreamSummary},
    priority::Priority,
    reason::Reason,
    scaling::{Outcome, Scaling, Settlement},
    subscription::Subscription,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::rewrite::{Precondition, RewriteError};
use crate::{
    aws::{self, Kind, RegionClients, Room, SemaphorePermit, shard_quota_hint},
    output::error::chain,
    reconcile::{
        context::Context,
        execution::Execution,
        lease::LeaseTerm,
        lease_guard::{LeaseGuard, LeaseLost},
        scaling_log::Opened,
    },
};

/// How often UpdateShardCount is sent while AWS throttles it.
const ATTEMPTS_WHEN_THROTTLED: u32 = 5;

/// When a scaling that AWS refused is tried again.
const RETRY_REFUSED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Carries out `conclusion` on one stream; `None` if it has no action.
///
/// Settlements are written to the scaling log in any case. `permit` is the stream's slot among
/// those that may reshard.
pub async fn execute(
    context: &Arc<Context>,
    subscription: &Subscription,
    facts: &Facts,
    permit: Option<SemaphorePermit>,
    term: Option<LeaseTerm>,
    conclusion: &Conclusion,
) -> Option<Execution> {
    let action = conclusion.decision.action();
    let direction = action.and_then(Action::direction);
    let guard = LeaseGuard::new(context, term, direction.unwrap_or(Direction::Down));
    let syncs = matches!(action, Some(Action::SyncAlarms { .. }));
    // After a sync, settlements are written once the alarms are right.
    if !syncs {
        settle(context, &guard, &conclusion.settlements).await;
    }
    let (action, stream) = (action?, facts.stream.found()?);
    let executor = Executor {
        context,
        subscription,
        clients: context.aws.clients(&subscription.account),
        facts,
        stream,
        guard,
    };
    Some(match action {
        Action::SyncAlarms { to } => {
            drop(permit);
            executor.sync(to, &conclusion.settlements).await
        }
        Action::ScaleUp { to } => executor.scale(Direction::Up, to, permit, conclusion).await,
        Action::ScaleDown { to } => {
            executor
                .scale(Direction::Down, to, permit, conclusion)
                .await
        }
    })
}

/// Writes how earlier scalings ended.
async fn settle(context: &Context, guard: &LeaseGuard, settlements: &[Settlement]) {
    for Settlement { scaling, outcome } in settlements {
        // A host that took over the lease may know more.
        if guard.check().is_ok() {
            close(context, scaling.clone(), *outcome, None).await;
        }
    }
}

async fn close(context: &Context, row: Scaling, outcome: Outcome, note: Option<String>) {
    if let Err(error) = context.scaling_log.close(row, outcome, note).await {
        tracing::error!(error = %chain(&error), "could not record the outcome of a scaling");
    }
}

/// How UpdateShardCount went.
enum Resharding {
    Begun,
    Refused(aws::Error),
    /// The answer was lost, or says that the stream is not ACTIVE, which our own lost call may have
    /// caused.
    InDoubt(aws::Error),
    /// The intent is too old, or the lease was lost, before it was sent.
    NotSent,
    /// The lease was lost before its answer came.
    LeaseLost,
}

/// What the stream shows after an answer was lost.
enum Effect {
    Applied,
    /// The stream is ACTIVE at the old count.
    None,
    Unknown,
}

struct Executor<'a> {
    context: &'a Context,
    subscription: &'a Subscription,
    clients: &'a RegionClients,
    facts: &'a Facts,
    stream: &'a StreamSummary,
    guard: LeaseGuard,
}

impl Executor<'_> {
    fn priority(&self) -> Priority {
        self.facts.priority()
    }

    fn stream_name(&self) -> &str {
        self.facts.stream_name(self.subscription)
    }

    async fn sync(&self, to: u32, settlements: &[Settlement]) -> Execution {
        let reason = format!("kinesis-autoscaler: the stream has {to} shards");
        let precondition = Precondition::StreamUnchanged(Instant::now());
        match Box::pin(self.rewrite_pair(to, &reason, precondition)).await {
            Ok(()) => {
                settle(self.context, &self.guard, settlements).await;
                Execution::Done
            }
            Err(RewriteError::Stale) => Execution::Stale,
            Err(error) => started(&error, error.hint()),
        }
    }

    async fn scale(
        &self,
        direction: Direction,
        to: u32,
        permit: Option<SemaphorePermit>,
        conclusion: &Conclusion,
    ) -> Execution {
        let decided = Instant::now();
        let kinesis = &self.clients.kinesis;
        kinesis
            .acquire_update_shard_count(self.priority(), permit)
            .await;
        let precondition = Precondition::StreamUnchanged(decided);
        match self.still_valid(precondition, false).await {
            Ok(true) => {}
            Ok(false) => return Execution::Stale,
            Err(error) => return Execution::Refused(read_failed(&error)),
        }
        let wanted = to.saturating_sub(self.stream.open_shards);
        if wanted > 0
            && conclusion.resumes.is_none()
            && let Some(room) = kinesis.take_room(wanted).await
            && room.more < wanted
        {
            return Box::pin(self.scale_into(room, to, conclusion)).await;
        }
        let sent = Instant::now();
        let row = match &conclusion.resumes {
            Some(row) => row.clone(),
            None => match self.open_intent(direction, to, conclusion).await {
                Ok(row) => row,
                Err(not_sent) => return not_sent,
            },
        };
        match self.carry_out(row, to).await {
            Ok(execution) => execution,
            Err((row, error)) if error.kind == Kind::AccountLimit => {
                let room = kinesis.take_room_after_refusal(wanted, sent).await;
                match room.ok().filter(|room| (1..wanted).contains(&room.more)) {
                    Some(room) => {
                        let fits = format!("{} more shards fit and are asked for", room.more);
                        let note = Some(format!("{error} ({fits} instead)"));
                        close(self.context, row, Outcome::NotApplied, note).await;
                        kinesis
                            .acquire_update_shard_count(self.priority(), None)
                            .await;
                        Box::pin(self.scale_into(room, to, conclusion)).await
                    }
                    // Without permission to read the limit, the refusal stands, too.
                    None => self.refused(row, &error, &conclusion.decision).await,
                }
            }
            Err((row, error)) => self.refused(row, &error, &conclusion.decision).await,
        }
    }

    /// Reshards under the intent `row`, which is withdrawn if AWS refuses.
    async fn carry_out(&self, row: Scaling, to: u32) -> Result<Execution, (Scaling, aws::Error)> {
        Ok(match self.reshard(to, row.at).await {
            // In a storm this waits for its alarms: only what it needs is kept meanwhile.
            Resharding::Begun => Box::pin(self.finish(row, to)).await,
            Resharding::Refused(error) => return Err((row, error)),
            Resharding::NotSent => self.give_up(row).await,
            Resharding::LeaseLost => Execution::LeaseLost,
            Resharding::InDoubt(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})"));
                Execution::InDoubt {
                    error: format!(
                        "{error}{}; the next look at the stream finds out whether it is being resharded",
                        hint.unwrap_or_default()
                    ),
                }
            }
        })
    }

    /// Scales up by as much as fits into the account's shard quota, which `wanted` shards do not,
    /// under an intent of its own. Where nothing fits, AWS is not asked.
    async fn scale_into(&self, room: Room, wanted: u32, conclusion: &Conclusion) -> Execution {
        let (from, limit) = (self.stream.open_shards, room.limit);
        let lacking = wanted.saturating_sub(from).saturating_sub(room.more);
        let hint = shard_quota_hint(limit.saturating_add(lacking), limit);
        if room.more == 0 {
            let error = format!(
                "{wanted} shards do not fit into the account's shard quota of {limit}, which is used up"
            );
            let failure = Decision::fail(Reason::AccountLimit, error, hint);
            let retry = after(self.context.clock.now(), RETRY_REFUSED_AFTER);
            return Execution::Refused(failure.until(retry));
        }
        let to = from.saturating_add(room.more);
        let row = match self.open_intent(Direction::Up, to, conclusion).await {
            Ok(row) => row,
            Err(not_sent) => return not_sent,
        };
        let sent = Instant::now();
        match self.carry_out(row, to).await {
            Ok(execution) => {
                let detail = format!("{wanted} shards do not fit into the account's quota; {hint}");
                let action = Action::ScaleUp { to };
                execution.reduced_to(Decision::act(action, Reason::AccountLimit, detail))
            }
            Err((row, error)) => {
                if error.kind == Kind::AccountLimit {
                    let kinesis = &self.clients.kinesis;
                    // Only to have it known that nothing is left.
                    let _ = kinesis.take_room_after_refusal(0, sent).await;
                }
                self.refused(row, &error, &conclusion.decision).await
            }
        }
    }

    /// Writes the intent before anything is sent. A scale-up is never blocked by the scaling log, a
    /// scale-down is.
    async fn open_intent(
        &self,
        direction: Direction,
        to: u32,
        conclusion: &Conclusion,
    ) -> Result<Scaling, Execution> {
        let scaling_log = &self.context.scaling_log;
        let row = scaling_log.begin(self.row(direction, to, conclusion));
        let (lease, may_spool) = (&self.guard.lease, direction == Direction::Up);
        let fence = lease.as_ref().zip(self.guard.term);
        let fence = fence.and_then(|(lease, term)| lease.fence(term));
        let turn = match lease {
            Some(lease) => lease.intent_turn().await,
            None => None,
        };
        let opened = scaling_log.open(row.clone(), may_spool, fence).await;
        drop(turn);
        match opened {
            Ok(Opened::Logged(row)) => Ok(row),
            Ok(Opened::Spooled(row, error)) => {
                tracing::warn!(
                    %error,
                    hint = error.hint(),
                    "the scaling log did not take the row, which waits in the spool"
                );
                Ok(row)
            }
            Ok(Opened::AlreadyOpen) => Err(Execution::NotSent {
                reason: Reason::Settling,
                detail: "another scaling of the stream is open, perhaps by another host".into(),
            }),
            Err(error) if may_spool => {
                tracing::error!(
                    error = %chain(&error),
                    "scaling up without a row in the scaling log"
                );
                Ok(row)
            }
            Err(error) => Err(Execution::NotSent {
                reason: Reason::LogUnavailable,
                detail: format!(
                    "no scale-down while the scaling log takes no rows: {}",
                    chain(&error)
                ),
            }),
        }
    }

    fn row(&self, direction: Direction, to: u32, conclusion: &Conclusion) -> Scaling {
        let reason = conclusion.decision.reason();
        let by_alarm = reason == Reason::Alarm;
        let alarm = by_alarm.then(|| self.subscription.alarms.of(direction).to_owned());
        Scaling {
            stream_name: self.stream_name().to_owned(),
            at: self.context.clock.now(),
            from: self.stream.open_shards,
            to,
            expires_at: Timestamp::MAX,
            outcome: Outcome::Open,
            stream_arn: self.stream.arn.clone(),
            reason: Some(reason.code().to_owned()),
            alarm,
            usage: self.facts.usage(),
            note: conclusion.note.clone(),
            host: None,
            version: None,
            intent_id: None,
        }
    }

    /// Sends UpdateShardCount.
    ///
    /// A throttled call had no effect and is sent again. After a lost answer the stream is read: if
    /// it is ACTIVE at the old count, the same target is requested once more, which cannot scale it
    /// twice (`decide::settle`). Any other state remains in doubt.
    async fn reshard(&self, to: u32, begun: Timestamp) -> Resharding {
        let kinesis = &self.clients.kinesis;
        let (mut throttled, mut lost) = (0, None);
        loop {
            if self.guard.check().is_err() || self.age(begun) >= SEND_WITHIN {
                return lost.map_or(Resharding::NotSent, Resharding::InDoubt);
            }
            let check = self.guard.pre_send_check();
            let call = kinesis.update_shard_count(self.stream_name(), to, check);
            let error = match self.guard.run_while_held(call).await {
                Ok(Ok(())) => return Resharding::Begun,
                Ok(Err(error)) if self.guard.check().is_ok() => error,
                Ok(Err(_)) | Err(LeaseLost) => return Resharding::LeaseLost,
            };
            match error.kind {
                Kind::Throttled if throttled + 1 < ATTEMPTS_WHEN_THROTTLED => throttled += 1,
                kind if kind.is_refusal() && kind != Kind::InUse => {
                    return Resharding::Refused(error);
                }
                _ => match self.effect(to).await {
                    Effect::Applied => return Resharding::Begun,
                    Effect::None if lost.is_none() => lost = Some(error),
                    Effect::None | Effect::Unknown => return Resharding::InDoubt(error),
                },
            }
            kinesis
                .acquire_update_shard_count(self.priority(), None)
                .await;
        }
    }

    /// The age of an intent. An intent from the future, written before the clock was set back,
    /// counts as old.
    fn age(&self, intent_at: Timestamp) -> SignedDuration {
        self.context.clock.now().duration_since(intent_at).abs()
    }

    /// Finds out whether a call whose answer was lost took effect.
    async fn effect(&self, to: u32) -> Effect {
        let kinesis = &self.clients.kinesis;
        match kinesis.summary(self.stream_name(), self.priority()).await {
            Ok(now) if now.status != StreamStatus::Active => Effect::Unknown,
            Ok(now) if now.open_shards == to => Effect::Applied,
            Ok(now) if now.open_shards == self.stream.open_shards => Effect::None,
            _ => Effect::Unknown,
        }
    }

    async fn finish(&self, row: Scaling, to: u32) -> Execution {
        let from = self.stream.open_shards;
        let reason = format!("kinesis-autoscaler: scaling from {from} to {to} shards");
        let precondition = Precondition::ScalingOpen(&row);
        match self.rewrite_pair(to, &reason, precondition).await {
            Ok(()) => {}
            // The process that settled the row has rewritten the alarms, and the stream may have
            // been scaled again since.
            Err(RewriteError::Stale) => return Execution::Done,
            Err(error) => return started(&error, error.hint()),
        }
        match self
            .context
            .scaling_log
            .close(row, Outcome::Done, None)
            .await
        {
            Ok(()) => Execution::Done,
            Err(error) => started(&error, None),
        }
    }

    /// Closes the intent without a call, so that the next inspection need not wait for an effect.
    async fn give_up(&self, row: Scaling) -> Execution {
        let note = "not sent: the lease was lost, or the quota kept it waiting";
        close(self.context, row, Outcome::NotApplied, Some(note.into())).await;
        match self.guard.check() {
            Err(LeaseLost) => Execution::LeaseLost,
            Ok(()) => Execution::NotSent {
                reason: Reason::InProgress,
                detail: "AWS throttled the scaling; it is decided again at the next tick".into(),
            },
        }
    }

    /// Records a refusal. If AWS's daily limit refused the call, the row keeps other processes from
    /// asking again for a while. Other refusals had no effect.
    async fn refused(&self, row: Scaling, error: &aws::Error, decision: &Decision) -> Execution {
        let (outcome, reason) = match error.kind {
            Kind::LimitExceeded => (Outcome::Refused, Reason::DailyLimit),
            Kind::AccountLimit => (Outcome::NotApplied, Reason::AccountLimit),
            _ => (Outcome::NotApplied, Reason::AwsError),
        };
        close(self.context, row, outcome, Some(error.to_string())).await;
        let hint = error.hint();
        let hint = hint.unwrap_or_else(|| decision.detail().to_owned());
        let failure = Decision::fail(reason, error.to_string(), hint);
        // What a person has to fix is not fixed by the next tick, and every attempt writes a row.
        let at_once = matches!(error.kind, Kind::Throttled | Kind::NoCredentials);
        let now = self.context.clock.now();
        let retry = now.saturating_add(RETRY_REFUSED_AFTER).ok();
        Execution::Refused(match retry.filter(|_| !at_once) {
            Some(at) => failure.until(at),
            None => failure,
        })
    }
}

fn started(error: &dyn std::error::Error, hint: Option<String>) -> Execution {
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    Execution::Started {
        error: format!("{}{hint}", chain(error)),
    }
}

/// The decision for a stream that could not be read.
pub fn read_failed(error: &aws::Error) -> Decision {
    let hint = error.hint();
    let hint = hint.unwrap_or_else(|| "it is tried again at the next tick".to_owned());
    Decision::fail(Reason::AwsError, error.to_string(), hint)
}
