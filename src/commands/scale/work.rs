//! Carries out a plan, call by call.

use autoscaler_core::priority::Priority;
use std::{sync::Arc, time::Duration};

use super::{call_failed, on, plan::Plan, ready};
use crate::{
    aws::Kinesis,
    output::{
        error::{Exit, Failure},
        progress::Progress,
    },
    reconcile::{context::Context, execute},
};
use autoscaler_core::{
    decide::{Action, Decision},
    facts::{Observation, StreamStatus},
    reason::Reason,
};

/// How often a stream that is being resharded is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A resharding of thousands of shards takes its time; beyond this something is wrong.
const LOOKS: u32 = 4 * 720;
/// So many looks in a row may fail.
const FAILED_LOOKS: u32 = 12;

/// A plan being carried out.
pub(super) struct Work<'a> {
    context: &'a Arc<Context>,
    number: usize,
    plan: &'a Plan,
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
    pub(super) fn new(context: &'a Arc<Context>, number: usize, plan: &'a Plan) -> Self {
        let progress = Progress::steps(plan.steps.len());
        Self {
            context,
            number,
            plan,
            progress,
        }
    }

    /// Makes one call after the other, waiting for the stream in between, and at the end too if `wait`; `done` grows with each.
    pub(super) async fn carry_out(
        &self,
        mut seen: Observation,
        wait: bool,
        done: &mut Vec<u32>,
    ) -> Result<(), Failure> {
        let all = self.plan.steps.len();
        for (number, to) in self.plan.steps.iter().copied().enumerate() {
            let from = done.last().copied().unwrap_or(self.plan.from);
            let step = Step { number, from, to };
            if number > 0 {
                let (fresh, stream) = ready(self.context, self.number).await?;
                if stream.open_shards != from {
                    let now = stream.open_shards;
                    let why =
                        format!("the stream has {now} shards, for somebody else has resharded it");
                    return Err(self.stopped(step, &why, None));
                }
                seen = fresh;
            }
            self.progress.say(self.words(step));
            self.call(step, &seen, done).await?;
            if wait || number + 1 < all {
                self.wait_until_active(step).await?;
            }
            self.progress.advance(1);
        }
        Ok(())
    }

    async fn call(
        &self,
        step: Step,
        seen: &Observation,
        done: &mut Vec<u32>,
    ) -> Result<(), Failure> {
        let Step { from, to, .. } = step;
        let subscription = &self.context.config.subscriptions[self.number];
        let applied = execute::apply(
            self.context,
            subscription,
            seen,
            None,
            None,
            self.decision(step),
        )
        .await;
        let Some(error) = applied.error else {
            if applied.action == Action::Hold {
                return Err(self.stopped(step, &applied.detail, None));
            }
            done.push(to);
            return Ok(());
        };
        if applied.action == Action::Hold {
            return Err(self.stopped(step, &error, Some(&applied.detail)));
        }
        if !self.took_effect(step).await {
            let hint = "the autoscaler, or the next `scale`, finds out what became of it and mends the alarms";
            return Err(self.stopped(step, &error, Some(hint)));
        }
        done.push(to);
        let why = format!("the resharding from {from} to {to} shards has begun, but: {error}");
        let hint = "the autoscaler's audit, or the next `scale`, mends the alarms";
        Err(self.failed(why, Some(hint)))
    }

    /// Whether a call took effect that something after it has spoiled.
    async fn took_effect(&self, step: Step) -> bool {
        match self
            .kinesis()
            .summary(&self.plan.stream, Priority::AUDIT)
            .await
        {
            Ok(now) if now.status == StreamStatus::Active => now.open_shards == step.to,
            Ok(now) => now.status == StreamStatus::Updating,
            Err(_) => false,
        }
    }

    fn decision(&self, step: Step) -> Decision {
        let Plan {
            stream, from, to, ..
        } = self.plan;
        let detail = format!("a person scales {stream} from {from} to {to}");
        let mut decision = Decision::hold(Reason::Manual, detail);
        let to = step.to;
        decision.action = match to > step.from {
            true => Action::ScaleUp { to },
            false => Action::ScaleDown { to },
        };
        decision.shards = Some(step.from);
        decision
    }

    async fn wait_until_active(&self, step: Step) -> Result<(), Failure> {
        let clock = &self.context.clock;
        let started = clock.now();
        let mut failed = 0;
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_EVERY / clock.speed().max(1)).await;
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
                    if failed >= FAILED_LOOKS {
                        return Err(call_failed(self.context, self.number, error));
                    }
                }
            }
        }
        let hint = "its alarms are in sync, and it is logged; run `scale` again for the rest";
        Err(self.failed(
            "the stream does not become ACTIVE again".to_owned(),
            Some(hint),
        ))
    }

    fn kinesis(&self) -> &Kinesis {
        let account = &self.context.config.subscriptions[self.number].account;
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

    /// It ended before the last step.
    fn stopped(&self, step: Step, why: &str, hint: Option<&str>) -> Failure {
        let all = self.plan.steps.len();
        let text = format!(
            "stopped at {} shards, {} of {all} calls done: {why}",
            step.from, step.number
        );
        self.failed(text, hint)
    }

    fn failed(&self, why: String, hint: Option<&str>) -> Failure {
        let report = on(self.context, self.number, why);
        Failure::new(
            Exit::Failed,
            hint.into_iter().fold(report, |it, hint| it.hint(hint)),
        )
    }
}
