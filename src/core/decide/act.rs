//! Rules 5 to 9: whether an alarm of a stream whose pair is whole and in sync is followed, and how far.

use jiff::{SignedDuration, Timestamp};

use super::{
    Action, Decision, Fact, RECHECK, SLOW_RECHECK, Stop,
    rules::{scale_down_target, scale_up_target, shards_used},
};
use crate::{
    alarm::{Alarm, Direction},
    facts::Observation,
    scaling::{Log, Outcome},
    subscription::Subscription,
};
use crate::{
    datetime::{after, at},
    limits::{BUDGET_DAY, CALLS_PER_DAY, MAX_SHARDS},
    reason::Reason,
};

/// By then CloudWatch has evaluated a rewritten alarm again.
const REEVALUATED_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// How long a refusal by AWS's own daily limit keeps us from asking again.
const REFUSED_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Metrics come up to some minutes late; a newest period that began earlier than this is stale.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(20);

/// Rules 5 to 9, on a stream whose pair is whole and in sync.
pub(super) fn judge(
    subscription: &Subscription,
    seen: &Observation,
    (direction, alarm): (Direction, &Alarm),
    log: &Log,
    n: u32,
    now: Timestamp,
) -> Result<Decision, Stop> {
    fresh(alarm, log, seen.polled_at.unwrap_or(now), now)?;
    match direction {
        Direction::Up => up(subscription, alarm, log, n, now),
        Direction::Down => down(subscription, alarm, log, seen, n, now),
    }
}

/// Rule 5: a state that was set before the last rewrite or scaling speaks of the old count, but never holds for longer than CloudWatch needs.
///
/// The alarm was read at `polled_at`, which is before the rest where the stream has waited for its turn.
fn fresh(alarm: &Alarm, log: &Log, polled_at: Timestamp, now: Timestamp) -> Result<(), Stop> {
    let rewritten = alarm.configured_at.max(log.calls().max());
    let (Some(rewritten), Some(updated)) = (rewritten, alarm.state_updated_at) else {
        return Ok(());
    };
    // A time to come is a clock's error, which must not hold for ever.
    let had = match rewritten > now {
        true => rewritten.duration_since(now),
        false => polled_at.duration_since(rewritten),
    };
    if updated >= rewritten || had >= REEVALUATED_AFTER {
        return Ok(());
    }
    let until = after(rewritten, REEVALUATED_AFTER).max(now);
    let detail = format!(
        "{} was set to ALARM before the alarm was rewritten at {}; its word counts from {} on",
        alarm.name,
        at(rewritten),
        at(until)
    );
    Err(Decision::hold(Reason::StaleAlarm, detail)
        .until(until)
        .into())
}

fn up(
    subscription: &Subscription,
    alarm: &Alarm,
    log: &Log,
    n: u32,
    now: Timestamp,
) -> Result<Decision, Stop> {
    let wanted = scale_up_target(n);
    let to = wanted
        .max(subscription.min_shards)
        .min(n.saturating_mul(2))
        .min(MAX_SHARDS)
        .min(subscription.max_shards);
    if to <= n {
        let most = subscription.max_shards;
        let detail = format!(
            "{} asks for {wanted} shards, but {n} is all that is allowed (max_shards = {most}); raise it to let the stream grow",
            alarm.name
        );
        return Err(Decision::hold(Reason::AtMaxShards, detail)
            .until(after(now, RECHECK))
            .into());
    }
    cooldown(Direction::Up, subscription, log, now)?;
    budget(CALLS_PER_DAY, log, now)?;
    Ok(Decision::new(
        Action::ScaleUp { to },
        Reason::Alarm,
        asks(alarm),
    ))
}

fn down(
    subscription: &Subscription,
    alarm: &Alarm,
    log: &Log,
    seen: &Observation,
    n: u32,
    now: Timestamp,
) -> Result<Decision, Stop> {
    let least = subscription.min_shards.max(n.div_ceil(2));
    if least >= n {
        let detail = format!(
            "{} asks for fewer shards, and {n} is the least allowed (min_shards)",
            alarm.name
        );
        return Err(Decision::hold(Reason::AtMinShards, detail)
            .until(after(now, SLOW_RECHECK))
            .into());
    }
    if let Some(why) = &log.unread {
        let detail = format!("nothing is scaled down while the log cannot be read: {why}");
        return Err(Decision::hold(Reason::LogUnavailable, detail).into());
    }
    cooldown(Direction::Down, subscription, log, now)?;
    let kept = usize::try_from(subscription.reserved_scale_ups).unwrap_or(CALLS_PER_DAY);
    budget(CALLS_PER_DAY.saturating_sub(kept), log, now)?;
    let Some(traffic) = &seen.traffic else {
        return Err(Stop::Need(Fact::Traffic));
    };
    let wanted = scale_down_target(n, traffic, after(now, -STALE_AFTER)).map_err(|why| {
        Decision::hold(Reason::NoData, why.to_string()).until(after(now, RECHECK))
    })?;
    if wanted.max(subscription.min_shards) >= n {
        let used = shards_used(traffic);
        let detail = format!(
            "the last 24 h used up to {used:.2} shards, which asks for {wanted} at 50 % usage; the stream has {n}"
        );
        return Err(Decision::hold(Reason::AtTarget, detail)
            .until(after(now, RECHECK))
            .into());
    }
    // Within the bounds, and within what AWS allows: from a count above max_shards it goes down to that.
    let to = wanted.min(subscription.max_shards).max(least);
    let detail = format!(
        "{}; the last 24 h used up to {:.2} shards",
        asks(alarm),
        shards_used(traffic)
    );
    Ok(Decision::new(
        Action::ScaleDown { to },
        Reason::Alarm,
        detail,
    ))
}

/// Rule 7.
fn cooldown(
    direction: Direction,
    subscription: &Subscription,
    log: &Log,
    now: Timestamp,
) -> Result<(), Stop> {
    let (pause, key) = match direction {
        Direction::Up => (subscription.cooldown_up, "cooldown_up"),
        Direction::Down => (subscription.cooldown_down, "cooldown_down"),
    };
    let Some(last) = log
        .calls()
        // A row from the future is of a clock that was set back, or of another host's.
        .filter(|at| now.duration_since(*at).unsigned_abs() < pause)
        .max()
    else {
        return Ok(());
    };
    let until = last.saturating_add(pause).unwrap_or(Timestamp::MAX);
    let detail = format!(
        "the last scaling was at {}; {key} ends at {}",
        at(last),
        at(until)
    );
    Err(Decision::hold(Reason::Cooldown, detail).until(until).into())
}

/// Rule 8: `limit` is what this direction may use of the day's calls.
fn budget(limit: usize, log: &Log, now: Timestamp) -> Result<(), Stop> {
    if let Some(refused) = log
        .scalings
        .iter()
        .rev()
        .find(|scaling| scaling.outcome == Outcome::Refused)
        && now.duration_since(refused.at).abs() < REFUSED_FOR
    {
        let until = after(refused.at, REFUSED_FOR);
        let why = refused.note.as_deref().unwrap_or("the limit is reached");
        let detail = format!(
            "AWS refused the scaling of {} ({why}); the next try is at {}",
            at(refused.at),
            at(until)
        );
        return Err(Decision::hold(Reason::DailyLimit, detail)
            .until(until)
            .into());
    }
    let mut calls: Vec<Timestamp> = log.calls().collect();
    calls.retain(|call| now.duration_since(*call).abs() < BUDGET_DAY);
    if calls.len() < limit {
        return Ok(());
    }
    calls.sort_unstable();
    let used = calls.len();
    let next = calls
        .get(used - limit.min(used))
        .map(|oldest| after(*oldest, BUDGET_DAY));
    let detail = match next {
        Some(next) => format!(
            "{used} of the {CALLS_PER_DAY} scalings that AWS allows in 24 h are used, {limit} may be; the next slot frees at {}",
            at(next)
        ),
        None => format!(
            "all {CALLS_PER_DAY} scalings a day are kept for scale-ups (reserved_scale_ups)"
        ),
    };
    Err(Decision::hold(Reason::DailyLimit, detail)
        .until(next.unwrap_or(after(now, SLOW_RECHECK)))
        .into())
}

fn asks(alarm: &Alarm) -> String {
    match alarm.state_updated_at {
        Some(since) => format!("{} has been in ALARM since {}", alarm.name, at(since)),
        None => format!("{} is in ALARM", alarm.name),
    }
}
