//! Decides about one stream: (subscription, observation, now) -> what to do and why, or what still has to be read.
//!
//! No async, clock, I/O or randomness here, and no arithmetic in floating point. The rules stand in the order in which they are judged, so
//! that nothing is read which an earlier rule makes needless.

mod act;
mod rules;

use jiff::{SignedDuration, Timestamp};

use crate::{
    datetime::{after, at},
    limits::{BUDGET_DAY, CALLS_PER_DAY},
    reason::Reason,
};

pub use rules::{scale_down_target, scale_up_target, shards_used};

use crate::{
    alarm::{Alarm, AlarmContract, ContractError, Direction},
    facts::{Fetched, Observation, StreamStatus, StreamSummary},
    scaling::{Log, Outcome, Scaling},
    subscription::Subscription,
};

/// By then a call whose answer was lost has reached AWS or never will, and whoever wrote the intent is done with it.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// When a hold that only new data can end is judged again.
const RECHECK: SignedDuration = SignedDuration::from_mins(5);
const SLOW_RECHECK: SignedDuration = SignedDuration::from_mins(15);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ScaleUp {
        to: u32,
    },
    ScaleDown {
        to: u32,
    },
    /// Rewrite both alarms to the stream's real count, and reset them.
    SyncAlarms {
        to: u32,
    },
    Hold,
}

impl Action {
    /// The stable code of reports and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ScaleUp { .. } => "scale_up",
            Self::ScaleDown { .. } => "scale_down",
            Self::SyncAlarms { .. } => "sync_alarms",
            Self::Hold => "hold",
        }
    }

    /// The shard count that the action leads to.
    pub fn target(self) -> Option<u32> {
        match self {
            Self::ScaleUp { to } | Self::ScaleDown { to } | Self::SyncAlarms { to } => Some(to),
            Self::Hold => None,
        }
    }
}

/// What to do about a stream, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    pub reason: Reason,
    /// The reason in words: what is so, and what a person can do.
    pub detail: String,
    /// Open shards, where they were read.
    pub shards: Option<u32>,
    /// Set where the stream cannot be looked after until a person mends something.
    pub error: Option<String>,
    /// Earlier scalings whose end has come to light; it is logged with the decision.
    pub settles: Vec<(Scaling, Outcome)>,
    /// Before this, and while its alarms stay as they are, the stream need not be looked at again.
    pub recheck_at: Option<Timestamp>,
}

/// A decision, or the one fact that is needed to go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Need(Fact),
    Decided(Decision),
}

/// What can be read about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// Both alarms, by name.
    Pair,
    /// Status, mode and open shards.
    Stream,
    /// Its scalings of the last day.
    Log,
    /// The last 24 h of incoming bytes and records.
    Traffic,
}

impl Decision {
    fn new(action: Action, reason: Reason, detail: String) -> Self {
        let (shards, error, settles, recheck_at) = (None, None, Vec::new(), None);
        Self {
            action,
            reason,
            detail,
            shards,
            error,
            settles,
            recheck_at,
        }
    }

    /// Nothing is done, for `reason`.
    pub fn hold(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(Action::Hold, reason, detail.into())
    }

    /// Nothing can be done until a person mends something.
    pub fn failed(reason: Reason, error: impl Into<String>, mend: impl Into<String>) -> Self {
        let mut decision = Self::hold(reason, mend);
        decision.error = Some(error.into());
        decision
    }

    fn until(mut self, at: Timestamp) -> Self {
        self.recheck_at = Some(at);
        self
    }

    fn settling(mut self, settles: Vec<(Scaling, Outcome)>) -> Self {
        self.settles = settles;
        self
    }

    fn with_shards(mut self, shards: u32) -> Self {
        self.shards = Some(shards);
        self
    }
}

/// Decides, or names the next fact that is needed.
pub fn decide(subscription: &Subscription, seen: &Observation, now: Timestamp) -> Verdict {
    match judge(subscription, seen, now) {
        Ok(decision) => Verdict::Decided(decision),
        Err(Stop::Need(fact)) => Verdict::Need(fact),
        Err(Stop::Hold(decision)) => Verdict::Decided(*decision),
    }
}

/// Whether the alarm that asks can have the stream resharded, as far as the alarm alone tells.
pub fn may_reshard(subscription: &Subscription, seen: &Observation, now: Timestamp) -> bool {
    seen.firing().is_some_and(|(direction, alarm)| {
        switched_off(subscription, direction, alarm, now).is_none()
    })
}

/// Ends the judging early: a rule holds, or needs to know more.
enum Stop {
    Need(Fact),
    Hold(Box<Decision>),
}

impl From<Decision> for Stop {
    fn from(decision: Decision) -> Self {
        Self::Hold(Box::new(decision))
    }
}

fn judge(
    subscription: &Subscription,
    seen: &Observation,
    now: Timestamp,
) -> Result<Decision, Stop> {
    let firing = seen.firing();
    let idle = || Decision::hold(Reason::NoAlarm, "neither alarm is in ALARM");
    if firing.is_none() && !seen.needs_inspection {
        return Ok(idle());
    }
    contract_of_those_at_hand(subscription, seen, now)?;
    let switched_off =
        firing.and_then(|(direction, alarm)| switched_off(subscription, direction, alarm, now));
    if let (Some(hold), false) = (&switched_off, seen.needs_inspection) {
        return Ok(hold.clone());
    }
    let (pair, terms) = pair(subscription, seen, now)?;
    let stream = ready_stream(&terms.0.stream, seen, now)?;
    let n = stream.open_shards;
    let in_sync = terms.0.shard_count == n && terms.1.shard_count == n;
    let log = if firing.is_some() || seen.must_settle || !in_sync {
        seen.log.as_ref().ok_or(Stop::Need(Fact::Log))?.clone()
    } else {
        Log::default()
    };
    let settles = settle(&log.scalings, n, now)?;
    let took_effect = |(_, outcome): &(Scaling, Outcome)| *outcome != Outcome::NotApplied;
    if !in_sync || settles.iter().any(took_effect) {
        return Ok(sync(n, pair, settles, &terms));
    }
    // What never took effect leaves nothing to mend, and counts for nothing.
    let mut log = log;
    log.scalings
        .retain(|row| !settles.iter().any(|(scaling, _)| scaling == row));
    let finish = |mut decision: Decision| {
        decision.shards = Some(n);
        decision.settles = settles.clone();
        decision
    };
    let judged = match (switched_off, firing) {
        (Some(hold), _) => Ok(hold),
        (None, None) => Ok(idle()),
        (None, Some(firing)) => act::judge(subscription, seen, firing, &log, n, now),
    };
    match judged {
        Ok(decision) => Ok(finish(decision)),
        Err(Stop::Hold(decision)) => Ok(finish(*decision)),
        Err(need) => Err(need),
    }
}

fn broken(error: &ContractError, now: Timestamp) -> Stop {
    Decision::failed(Reason::Contract, error.to_string(), error.hint())
        .until(after(now, RECHECK))
        .into()
}

/// Rule 1, on the alarms that the poll has brought: no read is spent on a broken one.
fn contract_of_those_at_hand(
    subscription: &Subscription,
    seen: &Observation,
    now: Timestamp,
) -> Result<(), Stop> {
    for alarm in [&seen.up, &seen.down]
        .into_iter()
        .filter_map(Fetched::found)
    {
        alarm
            .terms(subscription.stream.as_deref())
            .map_err(|error| broken(&error, now))?;
    }
    Ok(())
}

/// Rule 2, and the one bound that the alarm itself tells: what holds without any further read.
fn switched_off(
    subscription: &Subscription,
    direction: Direction,
    alarm: &Alarm,
    now: Timestamp,
) -> Option<Decision> {
    let recorded = alarm.recorded_count()?;
    if direction == Direction::Down && recorded <= subscription.min_shards {
        let detail = format!(
            "{} asks for fewer shards, and {recorded} is the least allowed (min_shards)",
            alarm.name
        );
        return Some(Decision::hold(Reason::AtMinShards, detail));
    }
    if !alarm.actions_enabled {
        let detail = format!(
            "{} is in ALARM, but its actions are disabled; enable them to let it scale",
            alarm.name
        );
        return Some(Decision::hold(Reason::Paused, detail).until(after(now, SLOW_RECHECK)));
    }
    None
}

/// Both alarms, scale-up first, with what they say.
type Pair<'a> = ((&'a Alarm, &'a Alarm), (AlarmContract, AlarmContract));

/// Rule 1 on the whole pair.
fn pair<'a>(
    subscription: &Subscription,
    seen: &'a Observation,
    now: Timestamp,
) -> Result<Pair<'a>, Stop> {
    let get = |alarm: &'a Fetched<Alarm>, name: &str| match alarm {
        Fetched::Unread => Err(Stop::Need(Fact::Pair)),
        Fetched::Missing => Err(broken(&ContractError::Missing(name.to_owned()), now)),
        Fetched::Found(alarm) => Ok(alarm),
    };
    let up = get(&seen.up, &subscription.alarms.scale_up)?;
    let down = get(&seen.down, &subscription.alarms.scale_down)?;
    let up_terms = up
        .terms(subscription.stream.as_deref())
        .map_err(|error| broken(&error, now))?;
    let down_terms = down
        .terms(Some(&up_terms.stream))
        .map_err(|error| broken(&error, now))?;
    Ok(((up, down), (up_terms, down_terms)))
}

/// Rule 3: only an ACTIVE, provisioned stream is touched, or its alarms rewritten.
fn ready_stream<'a>(
    name: &str,
    seen: &'a Observation,
    now: Timestamp,
) -> Result<&'a StreamSummary, Stop> {
    let stream = match &seen.stream {
        Fetched::Unread => return Err(Stop::Need(Fact::Stream)),
        Fetched::Missing => {
            let (error, mend) = (
                format!("stream {name} does not exist"),
                "create the stream, or remove its subscription and alarms",
            );
            return Err(Decision::failed(Reason::StreamMissing, error, mend)
                .until(after(now, RECHECK))
                .settling(overtaken(seen, now))
                .into());
        }
        Fetched::Found(stream) => stream,
    };
    if stream.on_demand {
        let detail = format!(
            "stream {name} is in on-demand mode, where AWS scales it; switch it to provisioned or unsubscribe it"
        );
        let mut ended = overtaken(seen, now);
        ended.retain(|(open, _)| open.stream_arn == stream.arn);
        return Err(Decision::hold(Reason::OnDemand, detail)
            .until(after(now, SLOW_RECHECK))
            .settling(ended)
            .into());
    }
    if stream.status != StreamStatus::Active {
        let detail = format!(
            "stream {name} is {}; its shard count is in flux until it is ACTIVE",
            stream.status.name()
        );
        return Err(Decision::hold(Reason::Updating, detail).into());
    }
    Ok(stream)
}

/// The end of a scaling that was left open on a stream that is not there any more, or that AWS scales by now.
fn overtaken(seen: &Observation, now: Timestamp) -> Vec<(Scaling, Outcome)> {
    let old = |open: &&Scaling| now.duration_since(open.at).abs() >= SETTLED_AFTER;
    let open = seen.open.iter().filter(old).cloned();
    open.map(|open| (open, Outcome::Superseded)).collect()
}

/// Finds out what became of scalings that were left open, from the count that AWS now says is true.
fn settle(scalings: &[Scaling], n: u32, now: Timestamp) -> Result<Vec<(Scaling, Outcome)>, Stop> {
    let mut settles = Vec::new();
    for open in scalings
        .iter()
        .filter(|scaling| scaling.outcome == Outcome::Open)
    {
        let outcome = match () {
            () if n == open.to => Outcome::Done,
            () if n != open.from => Outcome::Superseded,
            () if now.duration_since(open.at).abs() < SETTLED_AFTER => {
                let until = after(open.at, SETTLED_AFTER);
                let detail = format!(
                    "the scaling from {} to {} of {} may still take effect; it is settled from {} on",
                    open.from,
                    open.to,
                    at(open.at),
                    at(until)
                );
                return Err(Decision::hold(Reason::Settling, detail)
                    .with_shards(n)
                    .into());
            }
            () => Outcome::NotApplied,
        };
        settles.push((open.clone(), outcome));
    }
    Ok(settles)
}

/// Rule 4.
fn sync(
    n: u32,
    (up, down): (&Alarm, &Alarm),
    settles: Vec<(Scaling, Outcome)>,
    terms: &(AlarmContract, AlarmContract),
) -> Decision {
    let recorded = format!(
        "{} records {}, {} records {}",
        up.name, terms.0.shard_count, down.name, terms.1.shard_count
    );
    let (reason, detail) = match settles.first() {
        None => (
            Reason::OutOfSync,
            format!("the stream has {n} open shards, but {recorded}"),
        ),
        Some((scaling, outcome)) => {
            let (from, to, outcome) = (scaling.from, scaling.to, outcome.in_words());
            let begun = at(scaling.at);
            (
                Reason::Recovered,
                format!(
                    "the scaling from {from} to {to} that began {begun} {outcome}; the stream has {n} open shards"
                ),
            )
        }
    };
    let mut decision = Decision::new(Action::SyncAlarms { to: n }, reason, detail).with_shards(n);
    decision.settles = settles;
    decision
}

/// Of the calls that AWS allows in a rolling day, how many are left by our own count.
pub fn calls_left(calls: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> usize {
    let used = calls
        .into_iter()
        .filter(|call| now.duration_since(*call).abs() < BUDGET_DAY)
        .count();
    CALLS_PER_DAY.saturating_sub(used)
}
