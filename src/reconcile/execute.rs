//! Carries out one decision, with no choices of its own: intent, resharding, both alarms, outcome.
//!
//! Whatever is cut short stays open in the scaling log, and the next look at the stream brings it to its end.

use autoscaler_core::priority::Priority;
use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::{
    aws::{self, Definition, Kind, PreSendCheck, RegionClients, Rewrite, SemaphorePermit},
    output::error::chain,
    reconcile::{
        context::Context,
        lease::{Lease, LeaseTerm},
        scaling_log::Opened,
    },
};
use autoscaler_core::{
    alarm::{Alarm, ContractError, Direction, actions_after_rewrite},
    decide::{Action, Decision},
    facts::{Fetched, Observation, StreamStatus, StreamSummary},
    reason::Reason,
    scaling::{Outcome, Scaling},
    subscription::Subscription,
};

/// So often a resharding is tried that AWS refuses for its rate.
const TRIES_WHEN_THROTTLED: u32 = 5;

/// When a scaling that AWS refused is tried again.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// An intent that is older is not carried out any more: others would take it for one that never was, and settle it.
const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// After so long a wait for the quota, what was decided on is looked at once more.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// LeaseGuard to write, asked for again before every write: it ends when another host takes the lease over.
#[derive(Clone, Debug)]
pub struct LeaseGuard {
    pub lease: Option<Arc<Lease>>,
    pub term: Option<LeaseTerm>,
    pub direction: Direction,
}

/// The lease was lost between two writes; whoever has it now finds the rest open in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host does not hold the lease any more")]
pub struct LeaseLost;

impl LeaseGuard {
    /// LeaseGuard under the lease's `term`, where there is a lease.
    pub fn new(context: &Context, term: Option<LeaseTerm>, direction: Direction) -> Self {
        Self {
            lease: context.lease.clone(),
            term,
            direction,
        }
    }

    /// Whether there still is leave.
    pub fn ask(&self) -> Result<(), LeaseLost> {
        match (&self.lease, self.term) {
            (Some(lease), Some(term)) if !lease.allows(term, self.direction) => Err(LeaseLost),
            (Some(_), None) => Err(LeaseLost),
            _ => Ok(()),
        }
    }

    fn permit(&self) -> PreSendCheck {
        let leave = self.clone();
        PreSendCheck::new(move || leave.ask().is_ok())
    }

    /// Goes on with a call, its wait for the quota and its retries only while there is leave.
    ///
    /// Asking once beforehand is not enough: a process that is frozen in between would send the call when it is thawed. The call itself
    /// carries a [`Self::permit`], for what is between here and its way out.
    async fn during<T>(&self, call: impl Future<Output = T>) -> Result<T, LeaseLost> {
        let mut call = pin!(call);
        poll_fn(|waker| match self.ask() {
            Ok(()) => call.as_mut().poll(waker).map(Ok),
            Err(lost) => Poll::Ready(Err(lost)),
        })
        .await
    }
}

/// What a shard count goes by, which a wait for the quota can overtake.
#[derive(Clone, Copy)]
enum Ground<'a> {
    /// The stream, as it was decided on at the time.
    Stream(Instant),
    /// This scaling.
    Scaling(&'a Scaling),
}

impl Ground<'_> {
    /// Whether the alarm records the count of another scaling, which the log may not tell of.
    fn is_gone_by(self, alarm: &Alarm) -> bool {
        match self {
            Ground::Stream(_) => false,
            Ground::Scaling(row) => alarm
                .recorded_count()
                .is_some_and(|count| count != row.from && count != row.to),
        }
    }
}

/// How the rewriting of a pair ended.
enum Rewritten {
    Both,
    /// The count does not hold any more; nothing was written.
    Overtaken,
}

/// Why a pair could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error(transparent)]
    Lease(#[from] LeaseLost),
}

impl RewriteError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Contract(error) => Some(error.hint()),
            Self::Aws(error) => error.hint(),
            Self::Lease(_) => None,
        }
    }
}

/// Carries out `decision` on one stream and tells what came of it; a failure is in the result's `error`.
pub async fn apply(
    context: &Arc<Context>,
    subscription: &Subscription,
    seen: &Observation,
    admitted: Option<SemaphorePermit>,
    term: Option<LeaseTerm>,
    decision: Decision,
) -> Decision {
    let direction = match decision.action {
        Action::Hold if decision.settles.is_empty() => return decision,
        Action::Hold => Direction::Down,
        Action::ScaleUp { .. } => Direction::Up,
        Action::ScaleDown { .. } | Action::SyncAlarms { .. } => Direction::Down,
    };
    let leave = LeaseGuard::new(context, term, direction);
    // A sync logs them when the alarms are mended; otherwise there is nothing to mend.
    if !matches!(decision.action, Action::SyncAlarms { .. }) {
        log_outcomes(context, &leave, &decision).await;
    }
    let Some(stream) = seen.stream.found() else {
        return decision;
    };
    let hands = Executor {
        context,
        subscription,
        clients: context.aws.clients(&subscription.account),
        seen,
        stream,
        leave,
    };
    match decision.action {
        Action::Hold => decision,
        Action::SyncAlarms { to } => {
            drop(admitted);
            hands.sync(to, decision).await
        }
        Action::ScaleUp { to } => hands.scale(Direction::Up, to, admitted, decision).await,
        Action::ScaleDown { to } => hands.scale(Direction::Down, to, admitted, decision).await,
    }
}

struct Executor<'a> {
    context: &'a Context,
    subscription: &'a Subscription,
    clients: &'a RegionClients,
    seen: &'a Observation,
    stream: &'a StreamSummary,
    leave: LeaseGuard,
}

/// Closes the earlier scalings that the decision settles.
async fn log_outcomes(context: &Context, leave: &LeaseGuard, decision: &Decision) {
    for (scaling, outcome) in &decision.settles {
        // Whoever has the lease now may have seen more.
        if leave.ask().is_ok() {
            close(context, scaling.clone(), *outcome, None).await;
        }
    }
}

async fn close(context: &Context, row: Scaling, outcome: Outcome, note: Option<String>) {
    if let Err(error) = context.scaling_log.close(row, outcome, note).await {
        tracing::error!(error = %chain(&error), "the outcome of a scaling cannot be logged");
    }
}

/// How UpdateShardCount went.
enum Resharding {
    Begun,
    Refused(aws::Error),
    /// The answer was lost, or says that the stream is not ACTIVE, which our own lost call may have caused.
    InDoubt(aws::Error),
    /// The lease was lost before it was sent.
    NotSent,
    /// The lease was lost before its answer came.
    LeaseLost,
}

impl Executor<'_> {
    async fn sync(&self, to: u32, decision: Decision) -> Decision {
        let reason = format!(
            "kinesis-autoscaler: the stream has {to} shards; the alarm is set to that count"
        );
        let ground = Ground::Stream(Instant::now());
        match self.rewrite_pair(to, &reason, ground).await {
            Ok(Rewritten::Both) => {}
            Ok(Rewritten::Overtaken) => return overtaken(&decision),
            Err(error) => return failed(decision, &error, error.hint()),
        }
        log_outcomes(self.context, &self.leave, &decision).await;
        decision
    }

    /// Whether the stream is as it was when it was decided on.
    async fn unchanged(&self) -> Result<bool, aws::Error> {
        let name = self.seen.stream_name(self.subscription);
        let now = self.clients.kinesis.summary(name, Priority::FIRST);
        Ok(now.await? == *self.stream)
    }

    async fn scale(
        &self,
        direction: Direction,
        to: u32,
        admitted: Option<SemaphorePermit>,
        decision: Decision,
    ) -> Decision {
        let decided = Instant::now();
        let priority = self.seen.priority();
        self.clients
            .kinesis
            .acquire_update_shard_count(priority, admitted)
            .await;
        match self.holds(Ground::Stream(decided), false).await {
            Ok(true) => {}
            Ok(false) => return overtaken(&decision),
            Err(error) => {
                let hint = error.hint();
                let mut hold = failed(decision, &error, hint);
                hold.action = Action::Hold;
                return hold;
            }
        }
        let fence = self
            .leave
            .lease
            .as_ref()
            .zip(self.leave.term)
            .map(|(lease, term)| lease.fence(term));
        let row = self
            .context
            .scaling_log
            .begin(self.row(direction, to, &decision));
        let turn = match &self.leave.lease {
            Some(lease) => lease.acquire().await,
            None => None,
        };
        let may_spool = direction == Direction::Up;
        let opened = self.context.scaling_log.open(row.clone(), may_spool, fence);
        let opened = opened.await;
        drop(turn);
        let row = match opened {
            Ok(Opened::Logged(row)) => row,
            Ok(Opened::Spooled(row, error)) => {
                tracing::warn!(%error, hint = error.hint(), "the log does not answer; the row waits in the spool");
                row
            }
            Ok(Opened::AlreadyOpen) => return already_open(&decision),
            Err(error) if direction == Direction::Up => {
                tracing::error!(error = %chain(&error), "scaling up without a row in the log");
                row
            }
            Err(error) => return log_unavailable(&decision, &chain(&error)),
        };
        match self.reshard(to, row.at).await {
            Resharding::Begun => self.finish(row, to, decision).await,
            Resharding::Refused(error) => self.refused(row, &error, &decision).await,
            Resharding::NotSent => {
                // Whoever looks next need not wait to see whether it takes effect.
                let why = "it was not sent: the lease was lost, or the quota kept it waiting";
                let note = Some(why.to_owned());
                close(self.context, row, Outcome::NotApplied, note).await;
                not_sent(&decision, self.leave.ask())
            }
            Resharding::LeaseLost => lease_lost(&decision),
            Resharding::InDoubt(error) => {
                let text = format!(
                    "{error}; whether the stream is being resharded is found out at the next look"
                );
                let mut decision = decision;
                decision.error = Some(text);
                decision
            }
        }
    }

    fn row(&self, direction: Direction, to: u32, decision: &Decision) -> Scaling {
        let alarm = self.seen.firing().map(|(_, alarm)| alarm);
        Scaling {
            stream_name: self.seen.stream_name(self.subscription).to_owned(),
            at: self.context.clock.now(),
            from: self.stream.open_shards,
            to,
            expires_at: jiff::Timestamp::MAX,
            outcome: Outcome::Open,
            stream_arn: self.stream.arn.clone(),
            reason: Some(decision.reason.code().to_owned()),
            alarm: Some(self.subscription.alarms.of(direction).to_owned()),
            usage: alarm.and_then(|alarm| alarm.usage),
            note: None,
            host: None,
            version: None,
            intent_id: None,
        }
    }

    /// Sends the one call; only a refusal for its rate, which surely did nothing, is followed by another.
    async fn reshard(&self, to: u32, begun: Timestamp) -> Resharding {
        let kinesis = &self.clients.kinesis;
        let mut tries = 1;
        loop {
            if self.leave.ask().is_err() || self.age(begun) >= SEND_WITHIN {
                return Resharding::NotSent;
            }
            let call = kinesis.update_shard_count(&self.stream.arn, to, self.leave.permit());
            let error = match self.leave.during(call).await {
                Ok(Ok(())) => return Resharding::Begun,
                Ok(Err(error)) if self.leave.ask().is_ok() => error,
                Ok(Err(_)) | Err(LeaseLost) => return Resharding::LeaseLost,
            };
            match error.kind {
                Kind::Throttled if tries < TRIES_WHEN_THROTTLED => {
                    tries += 1;
                    kinesis
                        .acquire_update_shard_count(self.seen.priority(), None)
                        .await;
                }
                Kind::InUse => return self.find_out(to, error).await,
                kind if kind.is_refusal() => return Resharding::Refused(error),
                _ => return self.find_out(to, error).await,
            }
        }
    }

    /// How old an intent is; one from after a clock was set back counts as old, too.
    fn age(&self, intent_at: Timestamp) -> SignedDuration {
        self.context.clock.now().duration_since(intent_at).abs()
    }

    /// A stream that is ACTIVE with the target count was resharded; anything else is not known yet.
    async fn find_out(&self, to: u32, error: aws::Error) -> Resharding {
        let name = self.seen.stream_name(self.subscription);
        match self
            .clients
            .kinesis
            .summary(name, self.seen.priority())
            .await
        {
            Ok(now) if now.status == StreamStatus::Active && now.open_shards == to => {
                Resharding::Begun
            }
            _ => Resharding::InDoubt(error),
        }
    }

    async fn finish(&self, row: Scaling, to: u32, decision: Decision) -> Decision {
        let reason = format!(
            "kinesis-autoscaler: scaling from {} to {to} shards",
            self.stream.open_shards
        );
        match self.rewrite_pair(to, &reason, Ground::Scaling(&row)).await {
            Ok(Rewritten::Both) => {}
            // Who settled the row has mended the alarms, and the stream may have been scaled again since.
            Ok(Rewritten::Overtaken) => return decision,
            Err(error) => return failed(decision, &error, error.hint()),
        }
        match self
            .context
            .scaling_log
            .close(row, Outcome::Done, None)
            .await
        {
            Ok(()) => decision,
            Err(error) => failed(decision, &error, None),
        }
    }

    /// AWS's own limit keeps us from asking again for a while, which the row tells every process; other refusals did just nothing.
    async fn refused(&self, row: Scaling, error: &aws::Error, decision: &Decision) -> Decision {
        let (outcome, reason) = match error.kind {
            Kind::LimitExceeded => (Outcome::Refused, Reason::DailyLimit),
            _ => (Outcome::NotApplied, Reason::AwsError),
        };
        close(self.context, row, outcome, Some(error.to_string())).await;
        let mend = error.hint().unwrap_or_else(|| decision.detail.clone());
        let mut hold = Decision::failed(reason, error.to_string(), mend);
        hold.shards = decision.shards;
        if !matches!(error.kind, Kind::Throttled | Kind::NoCredentials) {
            // What a person has to mend is not mended in a minute, and every try is a row in the log.
            hold.recheck_at = self.context.clock.now().saturating_add(TRY_AGAIN).ok();
        }
        hold
    }

    /// Whether a count still holds; `rewritten`: someone has written the alarms since they were decided on.
    async fn holds(&self, ground: Ground<'_>, rewritten: bool) -> Result<bool, aws::Error> {
        let recent = match ground {
            Ground::Stream(decided) => decided.elapsed() < LOOK_AGAIN_AFTER,
            // Whoever settles a scaling writes the alarms first, but for one that is old and looks as if it had never been carried out.
            Ground::Scaling(row) => self.age(row.at) < SEND_WITHIN,
        };
        match ground {
            _ if recent && !rewritten => Ok(true),
            Ground::Stream(_) => self.unchanged().await,
            Ground::Scaling(row) => Ok(!self.context.scaling_log.is_settled(row).await),
        }
    }

    /// Whether someone has written the alarms since they were decided on.
    fn rewritten(&self, now: &[Definition]) -> bool {
        let same = |now: &Alarm, then: &Fetched<Alarm>| {
            then.found().map(|then| then.configured_at) == Some(now.configured_at)
        };
        let names = &self.subscription.alarms;
        now.iter()
            .any(|now| match now.alarm.name == names.scale_up {
                true => !same(&now.alarm, &self.seen.up),
                false => !same(&now.alarm, &self.seen.down),
            })
    }

    /// Sets both alarms to `shard_count` and resets them. Doing it twice does no harm.
    ///
    /// They are read when the quota allows the write, and not before: what a person writes during the wait is kept. Whether the count still
    /// holds is asked then too, and once more if the alarms turn out to have been written since they were decided on.
    async fn rewrite_pair(
        &self,
        shard_count: u32,
        reason: &str,
        ground: Ground<'_>,
    ) -> Result<Rewritten, RewriteError> {
        let (cloudwatch, priority) = (&self.clients.cloudwatch, self.seen.priority());
        let names = &self.subscription.alarms;
        // Side by side, so that no other stream's alarms come between in the queue for the quota.
        let turns = async {
            let turn = || cloudwatch.acquire_put_metric_alarm(priority);
            tokio::join!(turn(), turn())
        };
        self.leave.during(turns).await?;
        if !self.holds(ground, false).await? {
            return Ok(Rewritten::Overtaken);
        }
        let both = names.both();
        let mut definitions = cloudwatch.alarms(&both, false, Priority::FIRST).await?;
        if self.rewritten(&definitions) {
            if !self.holds(ground, true).await? {
                return Ok(Rewritten::Overtaken);
            }
            definitions = cloudwatch.alarms(&both, false, Priority::FIRST).await?;
        }
        if definitions.iter().any(|it| ground.is_gone_by(&it.alarm)) {
            return Ok(Rewritten::Overtaken);
        }
        let [up, down] = [Direction::Up, Direction::Down].map(|direction| {
            let name = names.of(direction);
            let definition = definitions
                .iter()
                .find(|definition| definition.alarm.name == name);
            definition.ok_or_else(|| ContractError::Missing(name.to_owned()))
        });
        let stream = self.seen.stream_name(self.subscription);
        let rewrite = async |definition: &Result<&Definition, ContractError>, direction| {
            let definition = definition.clone()?;
            definition.alarm.terms(Some(stream))?;
            let actions_enabled = actions_after_rewrite(&definition.alarm, direction, shard_count);
            let rewrite = Rewrite {
                shard_count,
                actions_enabled,
            };
            let call = cloudwatch.rewrite(definition, rewrite, self.leave.permit());
            Ok::<_, RewriteError>(self.leave.during(call).await??)
        };
        let (of_up, of_down) =
            tokio::join!(rewrite(&up, Direction::Up), rewrite(&down, Direction::Down));
        of_up.and(of_down)?;
        let reset = async |name: &str| {
            let call = cloudwatch.reset(name, reason, priority, self.leave.permit());
            Ok::<_, RewriteError>(self.leave.during(call).await??)
        };
        let (of_up, of_down) = tokio::join!(reset(&names.scale_up), reset(&names.scale_down));
        of_up.and(of_down)?;
        Ok(Rewritten::Both)
    }
}

fn failed(mut decision: Decision, error: &dyn std::error::Error, hint: Option<String>) -> Decision {
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    decision.error = Some(format!("{}{hint}", chain(error)));
    decision
}

/// The lease is gone, or the intent grew old in the queue and is made anew at the next tick.
fn not_sent(decision: &Decision, leave: Result<(), LeaseLost>) -> Decision {
    if leave.is_err() {
        return lease_lost(decision);
    }
    let again = "AWS throttled the scaling; it is decided on anew at the next tick";
    let mut hold = Decision::hold(Reason::InProgress, again);
    hold.shards = decision.shards;
    hold
}

fn lease_lost(decision: &Decision) -> Decision {
    let mut hold = Decision::hold(Reason::Standby, LeaseLost.to_string());
    hold.shards = decision.shards;
    hold
}

/// What the decision was made on has changed while it waited for the quota.
fn overtaken(decision: &Decision) -> Decision {
    let why = "the stream has changed while this waited for the quota; it is decided on anew at the next tick";
    let mut hold = Decision::hold(Reason::InProgress, why);
    hold.shards = decision.shards;
    hold
}

fn already_open(decision: &Decision) -> Decision {
    let mut hold = Decision::hold(
        Reason::Settling,
        "another scaling of the stream is open, perhaps by another host",
    );
    hold.shards = decision.shards;
    hold
}

fn log_unavailable(decision: &Decision, why: &str) -> Decision {
    let mut hold = Decision::hold(
        Reason::LogUnavailable,
        format!("nothing is scaled down while the log takes no rows: {why}"),
    );
    hold.shards = decision.shards;
    hold
}
