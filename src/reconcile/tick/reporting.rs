//! What a tick reports of the streams, besides the work on them itself.

use std::collections::BTreeMap;

use autoscaler_core::{
    decision::Decision, facts::Facts, reason::Reason, subscription::SubscriptionId,
    trigger::Trigger,
};
use jiff::Timestamp;

use super::Autoscaler;
use crate::reconcile::report::{Report, StreamReport};

impl Autoscaler {
    /// Reports what the tick did not inspect: streams still under way, lasting failures and, if
    /// every subscription is reported, those whose alarms are not in ALARM.
    pub(super) fn report_rest(&mut self, now: Timestamp) {
        let settling = |report: &StreamReport| report.reason == Reason::Settling;
        if self.reports.values().any(settling) {
            // A scaling may be open that this process does not know.
            self.memory.open_read_at = None;
        }
        for id in self.busy() {
            if !self.reports.contains_key(&id) {
                let detail = "the work on it outlasts the tick and continues";
                let decision = Decision::hold(Reason::InProgress, detail);
                self.report_stream(id, self.stream_report(id, &decision), now);
            }
        }
        self.report_quiet(now);
    }

    /// Reports the streams that nothing happened to, where that is worth reporting.
    fn report_quiet(&mut self, now: Timestamp) {
        // An idle tick must not visit thousands of streams for nothing.
        if !self.report_all && !self.memory.has_lasting_failures() {
            return;
        }
        for id in self.context.subscription_ids() {
            if self.reports.contains_key(&id) {
                continue;
            }
            if let Some(failure) = self.memory.lasting_failure(&self.key(id)) {
                self.report_stream(id, self.stream_report(id, &failure), now);
            } else if self.report_all {
                let subscription = self.context.subscription(id);
                let quiet = Facts::default();
                let held = self
                    .memory
                    .recall(id, subscription, &Trigger::Alarm, &quiet, now);
                if let Some(hold) = held {
                    // A floor that is kept back, for example, which needs no alarm to be wanted.
                    self.report_stream(id, self.stream_report(id, &hold), now);
                    continue;
                }
                let region = &self.context.clients_of(subscription).region;
                let at_rest = StreamReport::at_rest(subscription, region);
                self.reports.insert(id, at_rest);
            }
        }
    }

    /// Logs what is new about a stream, and adds it to the tick's report.
    pub(super) fn report_stream(
        &mut self,
        id: SubscriptionId,
        report: StreamReport,
        now: Timestamp,
    ) {
        let (key, dry_run) = (self.key(id), self.context.dry_run);
        self.memory.notices.report(key, &report, dry_run, now);
        let known = self.reports.get(&id);
        // An action or a failure is not hidden by a later hold in the same tick.
        if report.is_notable() || !known.is_some_and(StreamReport::is_notable) {
            self.reports.insert(id, report);
        }
    }

    pub(super) fn stream_report(&self, id: SubscriptionId, decision: &Decision) -> StreamReport {
        let subscription = self.context.subscription(id);
        let region = &self.context.clients_of(subscription).region;
        StreamReport::new(subscription, region, decision)
    }

    fn scaling_log_trouble(&self) -> Option<String> {
        let refused = self.memory.rows_refused.as_ref();
        let refused = refused.filter(|_| self.context.scaling_log.spooled() > 0);
        self.memory.scaling_log_unread.as_ref().or(refused).cloned()
    }

    pub(super) fn report(
        &mut self,
        started_at: Timestamp,
        duration_ms: u64,
        api_calls: BTreeMap<String, u64>,
    ) -> Report {
        let reports = std::mem::take(&mut self.reports);
        let all = self.context.roster.len();
        let report = Report {
            duration_ms,
            api_calls,
            at_rest: all.saturating_sub(reports.len()),
            streams: reports.into_values().collect(),
            unpolled: std::mem::take(&mut self.unpolled),
            uninspected: all.saturating_sub(self.memory.inspected.len()),
            scaling_log_error: self.memory.scaling_log_error.clone(),
            scaling_log_trouble: self.scaling_log_trouble(),
            ..Report::of_nothing(started_at, self.context.dry_run)
        };
        self.report_listings(report, started_at)
    }
}
