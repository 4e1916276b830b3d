//! What holds between the numbers of a pair of alarms.

use super::{
    PairDesign,
    problem::{Complaint, wrong},
};

/// Alarms with periods below an hour may look back a day, others a week.
const HOUR_SECONDS: u32 = 3_600;
const DAY_SECONDS: u64 = 86_400;
const WEEK_SECONDS: u64 = 604_800;

impl PairDesign {
    /// Checks the numbers against each other; an error names the key.
    pub fn check(&self) -> Result<(), (&'static str, Complaint)> {
        let Self {
            up_threshold: up,
            down_threshold: down,
            period_seconds: period,
            ..
        } = *self;
        for (key, threshold) in [("up_threshold", up), ("down_threshold", down)] {
            if !(threshold > 0.0 && threshold <= 1.0) {
                let text = format!("must be above 0 and at most 1, is {threshold}");
                return Err((key, wrong(text)));
            }
        }
        if down >= up {
            let text = format!("down_threshold is {down}, not below up_threshold, which is {up}");
            return Err(("down_threshold", wrong(text)));
        }
        if period == 0 || period % 60 != 0 {
            let text = format!("must be a multiple of 60, is {period}");
            let hint = "Kinesis gives its metrics once a minute";
            return Err(("period_seconds", wrong(text).hint(hint)));
        }
        let most = match period < HOUR_SECONDS {
            true => DAY_SECONDS,
            false => WEEK_SECONDS,
        };
        for (key, periods) in [
            ("up_periods", self.up_periods),
            ("down_periods", self.down_periods),
        ] {
            if periods == 0 {
                return Err((key, wrong("must be at least 1")));
            }
            let window = u64::from(periods) * u64::from(period);
            if window > most {
                let text = format!("{periods} periods of {period} s are {window} s");
                let hint = format!("CloudWatch looks back at most {most} s with such periods");
                return Err((key, wrong(text).hint(hint)));
            }
        }
        Ok(())
    }
}
