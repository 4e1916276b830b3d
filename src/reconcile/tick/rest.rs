//! Which ticks find nothing to do, so that a replay can leave them out.

use jiff::Timestamp;

use super::Autoscaler;

impl Autoscaler {
    /// Whether a tick at `now` would only poll, and remember nothing but that it took place: no work
    /// is under way, nothing is due, and where alarms are in ALARM (`firing`), every stream is held
    /// beyond `now`.
    ///
    /// That is true only if the last tick did not fail and no alarm has changed since it began: a
    /// hold stands for the alarms that it was decided on.
    pub fn would_rest(&self, now: Timestamp, firing: bool) -> bool {
        let context = &self.context;
        let held = || {
            let mut ids = context.subscription_ids();
            ids.all(|id| self.memory.holds(id, now))
        };
        // With a lease or patterns it may have to do what alarms do not tell.
        context.lease.is_none()
            && context.config.patterns.is_empty()
            && self.under_way.is_empty()
            && !self.upkeep_is_due(now)
            && self.windows.stand(self.memory.last_tick, now)
            && self.due(now).is_empty()
            && (!firing || held())
    }
}
