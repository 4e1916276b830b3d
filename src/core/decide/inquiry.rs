//! Drives one decision, fact by fact.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decide;
use crate::{
    decision::{Fact, Verdict},
    facts::Facts,
    subscription::Subscription,
    trigger::Trigger,
};

/// One decision in the making. It says which fact has to be read next.
#[derive(Debug)]
pub struct Inquiry<'a> {
    subscription: &'a Subscription,
    trigger: &'a Trigger,
    asked: BTreeSet<Fact>,
}

/// A fact was read, and the decision asks for it again: a bug that would read for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error: the decision asks for {0:?} again after it was read")]
pub struct ReadTwice(pub Fact);

impl<'a> Inquiry<'a> {
    /// A decision about one stream, before anything was read for it.
    pub fn new(subscription: &'a Subscription, trigger: &'a Trigger) -> Self {
        Self {
            subscription,
            trigger,
            asked: BTreeSet::new(),
        }
    }

    /// The conclusion, or the next fact to read into `facts`; no fact is asked for twice.
    pub fn next(&mut self, facts: &Facts, now: Timestamp) -> Result<Verdict, ReadTwice> {
        let verdict = decide(self.subscription, self.trigger, facts, now);
        match verdict {
            Verdict::Need(fact) if !self.asked.insert(fact) => Err(ReadTwice(fact)),
            verdict => Ok(verdict),
        }
    }
}
