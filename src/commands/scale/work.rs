//! Carries out a plan, call by call.

use std::{sync::Arc, time::Duration};

use super::{call_failed, on, plan::Plan, ready};
use crate::{
    aws::Kinesis,
    output::{
        error::{Exit, Failure},
        progress::Progress,
    },
    reconcile::{context::Context, execute, execution::Execution},
};
use autoscaler_core::{
    decision::{Action, Conclusion, Decision},
    facts::{Facts, StreamStatus},
    priority::Priority,
    reason::Reason,
    subscription::SubscriptionId,
};

/// How often a stream that is being resharded is read.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Resharding thousands of shards takes long; beyond this something is wrong.
const MAX_READS: u32 = 4 * 720;
/// How many reads in a row may fail.
const MAX_FAILED_READS: u32 = 12;

/// A plan being carried out.
pub(super) struct Work<'a> {
    context: &'a Arc<Context>,
    id: SubscriptionId,
    plan: &'a Plan,
    /// For the scaling log.
    note: String,
    progress: Progress,
}

/// One of the plan's calls.
#[derive(Clone, Copy)]
struct Step {
    /// Counted from 0.
    number: usize,
    from: u32,
    to: u32,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        context: &'a Arc<Context>,
        id: SubscriptionId,
        plan: &'a Plan,
        note: String,
    ) -> Self {
        let progress = Progress::steps(plan.steps.len());
        Self {
            context,
            id,
            plan,
            note,
            progress,
        }
    }

    /// Makes one call after the other, and waits for the stream in between, and after the last one
    /// if `wait`. Each count that is reached is added to `done`.
    ///
    /// The stream is read before every call: what was confirmed is a scaling from the count that
    /// the plan shows.
    pub(super) async fn carry_out(&self, wait: bool, done: &mut Vec<u32>) -> Result<(), Failure> {
        let all = self.plan.steps.len();
        for (number, to) in self.plan.steps.iter().copied().enumerate() {
            let from = done.last().copied().unwrap_or(self.plan.from);
            let step = Step { number, from, to };
            let (facts, stream) = ready(self.context, self.id).await?;
            if stream.open_shards != from {
                let why = format!(
                    "the stream has {} shards now: it was resharded by someone else, or by the autoscaler",
                    stream.open_shards
                );
                return Err(self.stopped(step, &why, Some("run `scale` again to plan anew")));
            }
            self.progress.say(self.words(step));
            self.call(step, &facts, done).await?;
            if wait || number + 1 < all {
                self.wait_until_active(step).await?;
            }
            self.progress.advance(1);
        }
        Ok(())
    }

    async fn call(&self, step: Step, facts: &Facts, done: &mut Vec<u32>) -> Result<(), Failure> {
        let subscription = self.context.subscription(self.id);
        let conclusion = self.conclusion(step);
        let executed =
            execute::execute(self.context, subscription, facts, None, None, &conclusion).await;
        let later = "the autoscaler, or the next `scale`, completes it";
        match executed {
            Some(Execution::Done) => {
                done.push(step.to);
                Ok(())
            }
            Some(Execution::Started { error }) => {
                done.push(step.to);
                let Step { from, to, .. } = step;
                let why = format!("the resharding from {from} to {to} shards began, but: {error}");
                Err(self.failed(why, Some(later)))
            }
            Some(Execution::Reduced { instead, error }) => {
                done.extend(instead.action().map(Action::target));
                let why = error.as_deref().unwrap_or("AWS allowed only a part of it");
                Err(self.failed(why.to_owned(), Some(instead.detail())))
            }
            Some(Execution::InDoubt { error }) => Err(self.stopped(step, &error, Some(later))),
            Some(Execution::Stale) => {
                let why = "the stream changed before the call was sent";
                Err(self.stopped(step, why, Some("run `scale` again to plan anew")))
            }
            Some(Execution::Refused(failure)) => {
                let why = failure.error().unwrap_or_default();
                Err(self.stopped(step, why, Some(failure.detail())))
            }
            Some(Execution::NotSent { detail, .. }) => Err(self.stopped(step, &detail, None)),
            // A command holds no lease, and a scaling is always an action.
            Some(Execution::LeaseLost) | None => Err(self.stopped(step, "nothing was sent", None)),
        }
    }

    fn conclusion(&self, step: Step) -> Conclusion {
        let Plan {
            stream, from, to, ..
        } = self.plan;
        let detail = format!("a person scales {stream} from {from} to {to}");
        let to = step.to;
        let action = match to > step.from {
            true => Action::ScaleUp { to },
            false => Action::ScaleDown { to },
        };
        let decision = Decision::act(action, Reason::Manual, detail);
        Conclusion {
            shards: Some(step.from),
            note: Some(self.note.clone()),
            ..decision.into()
        }
    }

    async fn wait_until_active(&self, step: Step) -> Result<(), Failure> {
        let clock = &self.context.clock;
        let started = clock.now();
        let mut failed = 0;
        for _ in 0..MAX_READS {
            tokio::time::sleep(READ_EVERY / clock.speed().max(1)).await;
            let waited = clock.now().duration_since(started).as_secs();
            match self
                .kinesis()
                .summary(&self.plan.stream, Priority::AUDIT)
                .await
            {
                Ok(summary) if summary.status == StreamStatus::Active => return Ok(()),
                Ok(summary) => {
                    failed = 0;
                    let (status, open) = (summary.status.name(), summary.open_shards);
                    let words = self.words(step);
                    self.progress.say(format!(
                        "{words}: {status} for {waited} s, {open} open shards"
                    ));
                }
                Err(error) => {
                    failed += 1;
                    if failed >= MAX_FAILED_READS {
                        return Err(call_failed(self.context, self.id, error));
                    }
                }
            }
        }
        let hint = "its alarms are in sync, and it is logged; run `scale` again for the rest";
        let why = "the stream does not become ACTIVE again".to_owned();
        Err(self.failed(why, Some(hint)))
    }

    fn kinesis(&self) -> &Kinesis {
        let account = &self.context.subscription(self.id).account;
        &self.context.aws.clients(account).kinesis
    }

    fn words(&self, Step { number, from, to }: Step) -> String {
        let all = self.plan.steps.len();
        let stream = &self.plan.stream;
        format!(
            "{stream}: call {} of {all}, {from} -> {to} shards",
            number + 1
        )
    }

    /// The failure of a plan that ended before its last step.
    fn stopped(&self, step: Step, why: &str, hint: Option<&str>) -> Failure {
        let all = self.plan.steps.len();
        let text = format!(
            "stopped at {} shards, {} of {all} calls done: {why}",
            step.from, step.number
        );
        self.failed(text, hint)
    }

    fn failed(&self, why: String, hint: Option<&str>) -> Failure {
        let report = on(self.context, self.id, why);
        Failure::new(
            Exit::Failed,
            hint.into_iter().fold(report, |it, hint| it.hint(hint)),
        )
    }
}
