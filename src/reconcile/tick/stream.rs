//! One stream in one tick: read what its decision needs, decide, execute.

use std::sync::Arc;

use autoscaler_core::{
    alarm::{Alarm, Direction},
    datetime::after,
    decide::{decide, may_reshard},
    decision::{Action, Conclusion, Decision, Verdict},
    facts::{Facts, Sightings, Unread},
    reason::Reason,
    subscription::{Policy, Subscription, SubscriptionId},
    trigger::Trigger,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    aws::SemaphorePermit,
    reconcile::{
        context::Context,
        execute::{self, read_failed},
        execution::Execution,
        inspect::{InspectError, Reader},
        lease::LeaseTerm,
        lease_guard::LeaseGuard,
        report::{Done, Seen, StreamReport},
        shared_metrics::SharedMetrics,
    },
};

/// What happened to one stream.
#[derive(Debug)]
pub(super) struct StreamOutcome {
    pub id: SubscriptionId,
    /// The alarms in ALARM, as they were polled.
    pub polled: Vec<Alarm>,
    pub trigger: Trigger,
    /// What was seen of its reshardings, as far as its policy asks for that.
    pub sightings: Option<Sightings>,
    /// What a later tick may recall: the decision, or the hold in which its execution ended.
    pub decision: Decision,
    pub report: StreamReport,
    /// Whether the stream and both of its alarms were found.
    pub is_whole: bool,
    /// Whether an alarm of the pair was found not to exist.
    pub lacks_alarm: bool,
    /// Where its mute rules were asked for: why they could not be read.
    pub mute_rules: Option<Option<Unread>>,
}

/// Reads what the decision needs, decides, and executes the decision.
///
/// The facts are boxed: a future keeps room for an argument and for the variable that it becomes.
pub(super) async fn reconcile(
    context: Arc<Context>,
    id: SubscriptionId,
    trigger: Trigger,
    mut facts: Box<Facts>,
    now: Timestamp,
    term: Option<LeaseTerm>,
    metrics: Option<Arc<SharedMetrics>>,
) -> StreamOutcome {
    let polled = facts.alarms_in_alarm();
    let mut stream = Stream {
        context: &context,
        id,
        now,
        term,
        metrics: metrics.as_deref(),
    };
    let (conclusion, permit) = stream.inspect(&trigger, &mut facts).await;
    let execution = match context.dry_run {
        true => None,
        false => {
            let subscription = context.subscription(id);
            let executed =
                execute::execute(&context, subscription, &facts, permit, term, &conclusion);
            Box::pin(executed).await
        }
    };
    let report = stream.report(&facts, &conclusion, execution.as_ref());
    let sightings = sightings(context.subscription(id), &facts, &report, now);
    let held = execution.and_then(|execution| execution.replacement());
    StreamOutcome {
        id,
        polled,
        trigger,
        sightings,
        decision: held.unwrap_or(conclusion.decision),
        report,
        is_whole: facts.is_whole(),
        lacks_alarm: facts.lacks_alarm(),
        mute_rules: facts.switches.map(|switches| switches.mute_rules_unread),
    }
}

fn sightings(
    subscription: &Subscription,
    facts: &Facts,
    report: &StreamReport,
    now: Timestamp,
) -> Option<Sightings> {
    let stream = facts.stream.found()?;
    let asked_for = subscription.policy == Policy::Adaptive;
    let mut sightings = facts.sightings;
    sightings.add(stream.status, now);
    if matches!(report.action, Done::ScaleUp | Done::ScaleDown) {
        sightings.reshards(now);
    }
    asked_for.then_some(sightings)
}

struct Stream<'a> {
    context: &'a Arc<Context>,
    id: SubscriptionId,
    now: Timestamp,
    term: Option<LeaseTerm>,
    metrics: Option<&'a SharedMetrics>,
}

impl Stream<'_> {
    /// Decides. A stream that may be resharded waits for its slot before anything is read.
    async fn inspect(
        &mut self,
        trigger: &Trigger,
        facts: &mut Facts,
    ) -> (Conclusion, Option<SemaphorePermit>) {
        let subscription = self.context.subscription(self.id);
        let needs_facts = matches!(
            decide(subscription, trigger, facts, self.now),
            Verdict::Need(_)
        );
        let mut permit = None;
        if needs_facts && may_reshard(subscription, facts, self.now) {
            let kinesis = &self.context.clients_of(subscription).kinesis;
            permit = Some(kinesis.admission(facts.priority()).await);
            // In a storm that can be long after the tick began.
            facts.alarms_read_at = Some(self.now);
            self.now = self.context.clock.now();
            // A scale-up needs the least permission; execution asks for what the decision needs.
            let guard = LeaseGuard::new(self.context, self.term, Direction::Up);
            if let Err(lost) = guard.check() {
                return (
                    Decision::hold(Reason::Standby, lost.to_string()).into(),
                    permit,
                );
            }
        }
        let reader = Reader {
            context: self.context,
            subscription,
            now: self.now,
            shared: self.metrics,
        };
        let inspected = Box::pin(reader.inspect(trigger, facts)).await;
        let conclusion = inspected.unwrap_or_else(|error| failed(&error).into());
        (conclusion, permit)
    }

    fn report(
        &self,
        facts: &Facts,
        conclusion: &Conclusion,
        execution: Option<&Execution>,
    ) -> StreamReport {
        let subscription = self.context.subscription(self.id);
        let region = &self.context.clients_of(subscription).region;
        let hold = execution.and_then(Execution::replacement);
        let decision = hold.as_ref().unwrap_or(&conclusion.decision);
        let mut report = StreamReport::new(subscription, region, decision);
        let name = facts.stream_name(subscription);
        report.stream = (!name.is_empty()).then(|| name.to_owned());
        report.shards_before = conclusion.shards;
        report.calls = self.calls(facts, conclusion, decision);
        let alarm = facts.firing().map(|(_, alarm)| alarm);
        let hour_ago = after(self.now, -SignedDuration::from_hours(1));
        report.seen = Seen {
            watched: None,
            unasked: false,
            wanted: conclusion.wanted,
            sizing: conclusion.sizing,
            usage: alarm.and_then(|alarm| alarm.usage),
            rejected: facts
                .traffic
                .as_ref()
                .and_then(|it| it.rejected_since(hour_ago)),
        };
        if let Some(error) = execution.and_then(Execution::error) {
            report.error = Some(error.to_owned());
        }
        report
    }

    /// The calls in the scaling log that count toward the daily limit, including the one just made.
    fn calls(
        &self,
        facts: &Facts,
        conclusion: &Conclusion,
        decision: &Decision,
    ) -> Option<Vec<Timestamp>> {
        let recent = facts.scalings.as_ref()?;
        if recent.unread.is_some() {
            return None;
        }
        let mut calls: Vec<Timestamp> = recent.calls().collect();
        let scaled = decision.action().and_then(Action::direction).is_some();
        // The row of a resumed scaling is among those that were read.
        let new_call = scaled && conclusion.resumes.is_none() && !self.context.dry_run;
        calls.extend(new_call.then_some(self.now));
        Some(calls)
    }
}

fn failed(error: &InspectError) -> Decision {
    match error {
        InspectError::Aws(error) => read_failed(error),
        InspectError::ReadTwice(bug) => {
            let hint = error.hint().unwrap_or_default();
            Decision::fail(Reason::AwsError, bug.to_string(), hint)
        }
    }
}
