//! Decides about one stream: from what was read of it and the time, what to do and why, or what
//! still has to be read.
//!
//! The rules are judged in the order of the files below, so that nothing is read which an earlier
//! rule makes unnecessary.

mod act;
mod consumers;
mod inquiry;
mod settle;
#[cfg(test)]
mod tests;
mod usage;

use jiff::{SignedDuration, Timestamp};

pub use inquiry::{Inquiry, ReadTwice};
pub use usage::{rejected_at_low_usage, shards_used};

use crate::{
    alarm::{Alarm, AlarmContract, ContractError, Direction},
    constraints::{Constraint, InForce, Limit},
    datetime::after,
    decision::{Conclusion, Decision, Fact, Verdict},
    facts::{Facts, Fetched, StreamStatus, StreamSummary},
    limits::{BUDGET_DAY, CALLS_PER_DAY},
    reason::Reason,
    scaling::{Outcome, RecentScalings, Scaling, Settlement},
    subscription::Subscription,
    trigger::Trigger,
};

/// An intent that is older is not sent any more: another process could take it for one that was
/// never sent, and settle it.
pub const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// By then a call whose answer was lost has either reached AWS or never will.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// When a hold that only new data can end is judged again.
const RECHECK: SignedDuration = SignedDuration::from_mins(5);
const SLOW_RECHECK: SignedDuration = SignedDuration::from_mins(15);

/// Decides, or names the next fact that is needed.
pub fn decide(
    subscription: &Subscription,
    trigger: &Trigger,
    facts: &Facts,
    now: Timestamp,
) -> Verdict {
    let constraints = in_force(subscription, facts, now);
    let judge = Judge {
        subscription,
        trigger,
        facts,
        now,
        in_force: InForce::of(&constraints),
    };
    match judge.conclude() {
        Ok(conclusion) => Verdict::Concluded(Box::new(conclusion)),
        Err(Stop::Need(fact)) => Verdict::Need(fact),
        Err(Stop::Conclude(conclusion)) => Verdict::Concluded(conclusion),
    }
}

/// Whether the alarm in ALARM may have the stream resharded, as far as the alarm itself shows.
pub fn may_reshard(subscription: &Subscription, facts: &Facts, now: Timestamp) -> bool {
    let constraints = in_force(subscription, facts, now);
    let in_force = InForce::of(&constraints);
    facts
        .firing()
        .is_some_and(|(direction, alarm)| switched_off(&in_force, direction, alarm, now).is_none())
}

/// Every constraint on the stream that is known.
pub fn in_force(subscription: &Subscription, facts: &Facts, now: Timestamp) -> Vec<Constraint> {
    let mut constraints = vec![Constraint::bounds(subscription)];
    let windows = subscription.windows.iter();
    constraints.extend(windows.filter_map(|window| window.constraint(now)));
    constraints.extend(facts.switches.iter().flat_map(|it| it.in_force.clone()));
    constraints
}

/// Ends the judging early: a rule holds, or needs to know more.
enum Stop {
    Need(Fact),
    Conclude(Box<Conclusion>),
}

impl From<Conclusion> for Stop {
    fn from(conclusion: Conclusion) -> Self {
        Self::Conclude(Box::new(conclusion))
    }
}

impl From<Decision> for Stop {
    fn from(decision: Decision) -> Self {
        Conclusion::from(decision).into()
    }
}

/// Both alarms that were read, with what they say.
struct Pair<'a> {
    up: &'a Alarm,
    down: &'a Alarm,
    up_contract: AlarmContract,
    down_contract: AlarmContract,
}

impl Pair<'_> {
    fn records(&self, shards: u32) -> bool {
        self.up_contract.shard_count == shards && self.down_contract.shard_count == shards
    }
}

#[derive(Clone, Copy)]
struct Judge<'a> {
    subscription: &'a Subscription,
    trigger: &'a Trigger,
    facts: &'a Facts,
    now: Timestamp,
    in_force: InForce<'a>,
}

impl<'a> Judge<'a> {
    fn conclude(self) -> Result<Conclusion, Stop> {
        let firing = self.facts.firing();
        if firing.is_none() && !self.trigger.needs_inspection() {
            return Ok(at_rest().into());
        }
        if let Err(error) = self.subscription.conflict() {
            return Err(self.broken(&error));
        }
        self.check_contract_of_polled_alarms()?;
        let switched_off = firing.and_then(|(direction, alarm)| {
            switched_off(&self.in_force, direction, alarm, self.now)
        });
        if let (Some(hold), false) = (&switched_off, self.trigger.needs_inspection()) {
            return Ok(hold.clone().into());
        }
        let pair = self.pair()?;
        let stream = self.ready_stream(&pair.up_contract.stream)?;
        let n = stream.open_shards;
        let mut recent = self.recent_scalings(&pair, n)?;
        let settlements = match settle::settle(&recent.scalings, n, self.now)? {
            settle::Open::Settled(settlements) => settlements,
            settle::Open::Unsent(scaling) => return Ok(settle::resume(*scaling, n)),
        };
        let took_effect = |it: &Settlement| it.outcome != Outcome::NotApplied;
        if !pair.records(n) || settlements.iter().any(took_effect) {
            return Ok(settle::sync(n, &pair, settlements));
        }
        // What never took effect needs no repair and does not count toward the daily limit.
        let never_applied = |row: &Scaling| settlements.iter().any(|it| it.scaling == *row);
        recent.scalings.retain(|row| !never_applied(row));
        let judged = match (switched_off, firing) {
            (off, _) if n < self.in_force.floor.shards => {
                let firing = firing.filter(|_| off.is_none());
                act::reach_floor(self, firing, pair.up, &recent, n)
            }
            (Some(hold), _) => Ok(hold.into()),
            (None, Some(firing)) => act::follow_alarm(self, firing, &recent, n),
            (None, None) => Ok(at_rest().into()),
        };
        Ok(Conclusion {
            shards: Some(n),
            settlements,
            ..concluded(judged)?
        })
    }

    /// Asks for metrics, unless a hold that was decided by them still stands.
    fn need_metrics(self, fact: Fact) -> Stop {
        match &self.facts.standing {
            Some(hold) => hold.clone().into(),
            None => Stop::Need(fact),
        }
    }

    fn broken(self, error: &ContractError) -> Stop {
        Decision::fail(Reason::Contract, error.to_string(), error.hint())
            .until(after(self.now, RECHECK))
            .into()
    }

    /// Rule 1, on the alarms that the poll brought: nothing is read for a broken one.
    fn check_contract_of_polled_alarms(self) -> Result<(), Stop> {
        let polled = [&self.facts.up, &self.facts.down];
        for alarm in polled.into_iter().filter_map(Fetched::found) {
            alarm
                .terms(self.subscription.stream.as_deref())
                .map_err(|error| self.broken(&error))?;
        }
        Ok(())
    }

    /// Rule 1, on the whole pair.
    fn pair(self) -> Result<Pair<'a>, Stop> {
        let get = |alarm: &'a Fetched<Alarm>, name: &str| match alarm {
            Fetched::Unread => Err(Stop::Need(Fact::Pair)),
            Fetched::Missing => Err(self.missing_alarm(name)),
            Fetched::Found(alarm) => Ok(alarm),
        };
        let names = &self.subscription.alarms;
        let up = get(&self.facts.up, &names.scale_up)?;
        let down = get(&self.facts.down, &names.scale_down)?;
        let broken = |error| self.broken(&error);
        let up_contract = up
            .terms(self.subscription.stream.as_deref())
            .map_err(broken)?;
        let down_contract = down.terms(Some(&up_contract.stream)).map_err(broken)?;
        Ok(Pair {
            up,
            down,
            up_contract,
            down_contract,
        })
    }

    /// An alarm does not exist, perhaps because its stream does not: then creating it would not help.
    fn missing_alarm(self, alarm: &str) -> Stop {
        match (&self.subscription.stream, &self.facts.stream) {
            (Some(_), Fetched::Unread) => Stop::Need(Fact::Stream),
            (Some(name), Fetched::Missing) => self.missing_stream(
                name,
                "create the stream and then its alarms, or correct the name under [[streams]]",
            ),
            _ => self.broken(&ContractError::Missing(alarm.to_owned())),
        }
    }

    fn missing_stream(self, name: &str, hint: &str) -> Stop {
        let error = format!("stream {name} does not exist");
        let missing = Decision::fail(Reason::StreamMissing, error, hint);
        let mut missing = Conclusion::from(missing.until(after(self.now, RECHECK)));
        missing.settlements = settle::superseded(self.trigger, None, self.now);
        missing.into()
    }

    /// Rule 3: only an ACTIVE, provisioned stream is resharded, or has its alarms rewritten.
    fn ready_stream(self, name: &str) -> Result<&'a StreamSummary, Stop> {
        let stream = match &self.facts.stream {
            Fetched::Unread => return Err(Stop::Need(Fact::Stream)),
            Fetched::Missing => {
                let hint = "create the stream, or remove its subscription and its alarms";
                return Err(self.missing_stream(name, hint));
            }
            Fetched::Found(stream) => stream,
        };
        if stream.on_demand {
            let detail = format!(
                "stream {name} is in on-demand mode, where AWS scales it; \
                 switch it to provisioned mode, or remove its subscription"
            );
            let mut hold = Conclusion::from(
                Decision::hold(Reason::OnDemand, detail).until(after(self.now, SLOW_RECHECK)),
            );
            hold.settlements = settle::superseded(self.trigger, Some(&stream.arn), self.now);
            return Err(hold.into());
        }
        if stream.status != StreamStatus::Active {
            let detail = format!(
                "stream {name} is {}; its shard count is transient until it is ACTIVE",
                stream.status.name()
            );
            return Err(Decision::hold(Reason::Updating, detail).into());
        }
        Ok(stream)
    }

    /// The scaling log's rows, where the decision depends on them.
    fn recent_scalings(self, pair: &Pair<'_>, n: u32) -> Result<RecentScalings, Stop> {
        let needed = self.facts.firing().is_some()
            || self.trigger.is_recovery()
            || !pair.records(n)
            || n < self.in_force.floor.shards;
        if !needed {
            return Ok(RecentScalings::default());
        }
        let recent = self.facts.scalings.as_ref();
        recent.ok_or(Stop::Need(Fact::Scalings)).cloned()
    }
}

/// The conclusion, however the judging came to it; an error only where a fact is needed.
fn concluded(judged: Result<Conclusion, Stop>) -> Result<Conclusion, Stop> {
    match judged {
        Err(Stop::Conclude(conclusion)) => Ok(*conclusion),
        judged => judged,
    }
}

fn at_rest() -> Decision {
    Decision::hold(Reason::NoAlarm, "neither alarm is in ALARM")
}

/// Rule 2, and the one bound that the alarm itself shows: what holds without any further read.
fn switched_off(
    in_force: &InForce<'_>,
    direction: Direction,
    alarm: &Alarm,
    now: Timestamp,
) -> Option<Decision> {
    let recorded = alarm.recorded_count()?;
    let min = in_force.floor;
    if direction == Direction::Down && recorded <= min.shards {
        let detail = format!(
            "{} asks for fewer than {recorded} shards, but the minimum is {} ({})",
            alarm.name,
            min.shards,
            floor_name(min)
        );
        return Some(Decision::hold(Reason::AtMinShards, detail));
    }
    if !alarm.actions_enabled {
        return Some(paused(alarm, now));
    }
    let window = in_force.window(direction)?;
    let detail = no_scaling(direction, window);
    Some(Decision::hold(window.reason(), detail))
}

fn no_scaling(direction: Direction, by: &Constraint) -> String {
    let what = match direction {
        Direction::Up => "scale-up",
        Direction::Down => "scale-down",
    };
    format!("no {what}: {}", by.holds_in_words())
}

fn floor_name(floor: Limit<'_>) -> String {
    let name = floor.from.map(Constraint::names_floor);
    name.unwrap_or_else(|| "min_shards".to_owned())
}

fn cap_name(cap: Limit<'_>) -> String {
    let name = cap.from.map(Constraint::names_cap);
    name.unwrap_or_else(|| "max_shards".to_owned())
}

fn paused(alarm: &Alarm, now: Timestamp) -> Decision {
    let detail = format!(
        "the actions of {} are disabled; enable them to let it scale the stream",
        alarm.name
    );
    Decision::hold(Reason::Paused, detail).until(after(now, SLOW_RECHECK))
}

/// How many of the calls that AWS allows in a rolling day are left, by our own count.
pub fn calls_left(calls: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> usize {
    let used = calls
        .into_iter()
        .filter(|call| now.duration_since(*call).abs() < BUDGET_DAY)
        .count();
    CALLS_PER_DAY.saturating_sub(used)
}
