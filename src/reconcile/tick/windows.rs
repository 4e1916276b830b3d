//! Which streams need a look because a window with a floor has opened. A tick at which no window
//! changes costs one comparison for each set of windows.

use std::{collections::BTreeMap, sync::Arc};

use autoscaler_core::{
    decision::Decision,
    reason::Reason,
    subscription::{Subscription, SubscriptionId},
    trigger::Trigger,
    window::Window,
};
use jiff::Timestamp;

/// The windows of all subscriptions.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Set>);

/// Windows that several streams share.
#[derive(Debug)]
struct Set {
    windows: Arc<[Window]>,
    ids: Vec<SubscriptionId>,
    /// When they were looked at last, and when one of them changes after that.
    seen: Option<(Timestamp, Option<Timestamp>)>,
}

/// What has changed since the last tick.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Streams for which a floor has come into force.
    pub raised: Vec<SubscriptionId>,
    /// Streams for which anything has changed.
    pub changed: Vec<SubscriptionId>,
}

impl Windows {
    /// The windows of `subscriptions`.
    pub fn new<'s>(
        subscriptions: impl Iterator<Item = (SubscriptionId, &'s Subscription)>,
    ) -> Self {
        let mut sets: BTreeMap<usize, Set> = BTreeMap::new();
        for (id, subscription) in subscriptions.filter(|(_, it)| !it.windows.is_empty()) {
            let windows = &subscription.windows;
            let set = sets.entry(windows.as_ptr().addr()).or_insert_with(|| Set {
                windows: windows.clone(),
                ids: Vec::new(),
                seen: None,
            });
            set.ids.push(id);
        }
        Self(sets.into_values().collect())
    }

    /// Whether no window has changed since the tick at `last`.
    pub fn stand(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        let last = last.filter(|last| *last <= now);
        self.0.iter().all(|set| set.stands(last, now))
    }

    /// What has changed since the tick at `last`. Without one, every floor in force has come just
    /// now: what an earlier process made of it is not known.
    pub fn changes(&mut self, last: Option<Timestamp>, now: Timestamp) -> Changes {
        let last = last.filter(|last| *last <= now);
        let mut changes = Changes::default();
        for set in &mut self.0 {
            if set.stands(last, now) {
                continue;
            }
            let is_known = set.seen.is_some();
            let next = set.windows.iter().filter_map(|it| it.next_change(now));
            set.seen = Some((now, next.min()));
            let floors = set.windows.iter().filter_map(|it| it.floor_since(now));
            if floors
                .max()
                .is_some_and(|since| last.is_none_or(|last| since > last))
            {
                changes.raised.extend(&set.ids);
            }
            // Holds of an earlier process stand as long as no window has changed since.
            let is_new = |last| {
                let mut next = set.windows.iter().filter_map(|it| it.next_change(last));
                next.any(|at| at <= now)
            };
            if is_known || last.is_none_or(is_new) {
                changes.changed.extend(&set.ids);
            }
        }
        changes
    }
}

impl Set {
    fn stands(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        self.seen.is_some_and(|(at, until)| {
            at <= now && until.is_none_or(|until| now < until) && last.is_some()
        })
    }
}

/// When a stream is to be looked at again because it may not have reached its floor.
pub(super) fn look_again(
    trigger: &Trigger,
    decision: &Decision,
    now: Timestamp,
) -> Option<Timestamp> {
    let climbs = matches!(decision.reason(), Reason::Scheduled | Reason::BelowMin);
    let for_floor = *trigger == Trigger::Schedule;
    match decision {
        Decision::Act { .. } => (climbs || for_floor).then_some(now),
        Decision::Hold { .. } | Decision::Fail { .. } if !for_floor => None,
        held => match held.reason() {
            Reason::Updating
            | Reason::Settling
            | Reason::InProgress
            | Reason::Standby
            | Reason::AwsError => Some(now),
            // The floor is kept back until then. What else holds is the alarm's scaling.
            Reason::DailyLimit | Reason::AccountLimit | Reason::Paused | Reason::Muted => {
                held.recheck_at()
            }
            _ => None,
        },
    }
}
