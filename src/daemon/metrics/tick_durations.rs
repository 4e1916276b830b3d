//! How long ticks took, as a histogram.

use super::page::{Kind, Page, label};

/// Seconds; a tick is a single call when nothing is to be done, and ends at `tick_timeout`, by
/// default 50 s.
const BOUNDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// The ticks that took no longer than each bound.
#[derive(Debug, Default)]
pub(super) struct TickDurations {
    within: [u64; BOUNDS.len()],
    all: u64,
    seconds: f64,
}

impl TickDurations {
    pub fn observe(&mut self, seconds: f64) {
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(seconds <= bound);
        }
        self.all += 1;
        self.seconds += seconds;
    }

    pub fn encode(&self, page: &mut Page) {
        let mut family = page.family(
            "tick_duration_seconds",
            Kind::Histogram,
            "How long ticks took",
        );
        for (within, bound) in self.within.iter().zip(BOUNDS) {
            // OpenMetrics writes whole bounds with a fraction, too.
            family.suffixed("_bucket", &label("le", &format!("{bound:?}")), within);
        }
        family.suffixed("_bucket", "le=\"+Inf\"", self.all);
        family.suffixed("_sum", "", self.seconds);
        family.suffixed("_count", "", self.all);
    }
}
