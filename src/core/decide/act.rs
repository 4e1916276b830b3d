//! Rules 5 to 9: whether, and how far, an alarm is followed; on a stream whose pair is whole and in
//! sync.

use jiff::{SignedDuration, Timestamp};

use super::consumers::highest_age;
use super::{
    Judge, RECHECK, SLOW_RECHECK, Stop, cap_name, concluded, floor_name, no_scaling, paused,
};
use crate::{
    alarm::{Alarm, Direction},
    constraints::Source,
    datetime::{after, at},
    decision::{Action, Conclusion, Decision, Fact},
    limits::{BUDGET_DAY, CALLS_PER_DAY, MAX_SHARDS},
    policy::{
        Sizing, Verdict,
        input::{input, policy_of},
    },
    reason::Reason,
    scaling::{Outcome, RecentScalings, Scaling},
};

/// By then CloudWatch has evaluated a rewritten alarm again.
const REEVALUATED_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// How long a refusal by AWS's own limit keeps us from asking again.
const REFUSED_FOR: SignedDuration = SignedDuration::from_mins(15);

/// How soon a scale-up that a person allows again is noticed.
const RESUMED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// Rules 5 to 9, for the alarm in ALARM.
pub(super) fn follow_alarm(
    judge: Judge<'_>,
    (direction, alarm): (Direction, &Alarm),
    recent: &RecentScalings,
    n: u32,
) -> Result<Conclusion, Stop> {
    let read_at = judge.facts.alarms_read_at.unwrap_or(judge.now);
    fresh(alarm, recent, read_at, judge.now)?;
    match direction {
        Direction::Up => up(judge, alarm, recent, n),
        Direction::Down => down(judge, alarm, recent, n),
    }
}

/// Scales a stream that has fewer shards than its floor: as far as a firing scale-up alarm asks
/// for, or at least up to the floor, whatever keeps the alarm's scaling back.
pub(super) fn reach_floor(
    judge: Judge<'_>,
    firing: Option<(Direction, &Alarm)>,
    up_alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
) -> Result<Conclusion, Stop> {
    if let Some(firing @ (Direction::Up, _)) = firing {
        let followed = concluded(follow_alarm(judge, firing, recent, n))?;
        if followed.decision.action().is_some() {
            return Ok(followed);
        }
    }
    keep_minimum(judge, up_alarm, recent, n)
}

/// Scales a stream up to its floor, in steps that AWS allows.
fn keep_minimum(
    judge: Judge<'_>,
    up_alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
) -> Result<Conclusion, Stop> {
    let min = judge.in_force.floor.shards;
    wanting(min, reach_minimum(judge, up_alarm, recent, n))
}

fn reach_minimum(
    judge: Judge<'_>,
    up_alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
) -> Result<Decision, Stop> {
    if !up_alarm.actions_enabled {
        return Ok(paused(up_alarm, judge.now));
    }
    budget(CALLS_PER_DAY, recent, judge.now)?;
    switches(judge, Direction::Up)?;
    let floor = judge.in_force.floor;
    let min = floor.shards;
    let to = min.min(n.saturating_mul(2));
    let window = floor.from.filter(|from| from.source == Source::Window);
    let (reason, detail) = match window {
        Some(window) => (
            Reason::Scheduled,
            format!(
                "the stream has {n} shards, and {} asks for at least {min}{}",
                window.by,
                window.until()
            ),
        ),
        None => (
            Reason::BelowMin,
            format!("the stream has {n} shards, fewer than min_shards = {min}"),
        ),
    };
    Ok(Decision::act(Action::ScaleUp { to }, reason, detail))
}

/// What was judged, with the count that the stream should have.
fn wanting(shards: u32, judged: Result<Decision, Stop>) -> Result<Conclusion, Stop> {
    Ok(Conclusion {
        wanted: Some(shards),
        ..concluded(judged.map(Conclusion::from))?
    })
}

/// What was judged, with what the traffic came to.
fn sized(sizing: Option<Sizing>, judged: Result<Conclusion, Stop>) -> Result<Conclusion, Stop> {
    Ok(Conclusion {
        sizing,
        ..concluded(judged)?
    })
}

/// Rule 5: a state set before the last rewrite or scaling is about the old shard count. It holds
/// for no longer than CloudWatch needs to evaluate the alarm again.
///
/// The alarm was read at `read_at`, which is before `now` if the stream had to wait for a quota.
fn fresh(
    alarm: &Alarm,
    recent: &RecentScalings,
    read_at: Timestamp,
    now: Timestamp,
) -> Result<(), Stop> {
    let rewritten = alarm.configured_at.max(recent.calls().max());
    let (Some(rewritten), Some(updated)) = (rewritten, alarm.state_updated_at) else {
        return Ok(());
    };
    // A time in the future is a clock's error, which must not hold for ever.
    let ahead = rewritten.duration_since(now);
    let age = read_at.duration_since(rewritten).max(ahead);
    if updated >= rewritten || age >= REEVALUATED_AFTER {
        return Ok(());
    }
    let until = after(rewritten, REEVALUATED_AFTER).max(now);
    let detail = format!(
        "{} was set to ALARM before the alarm was rewritten at {}; its state is ignored until {}",
        alarm.name,
        at(rewritten),
        at(until)
    );
    Err(Decision::hold(Reason::StaleAlarm, detail)
        .until(until)
        .into())
}

fn up(
    judge: Judge<'_>,
    alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
) -> Result<Conclusion, Stop> {
    let verdict = wanted(judge, Direction::Up, recent, n)?;
    let sizing = verdict.sizing();
    let (step, detail) = match verdict {
        Verdict::Scale { to, detail, .. } => (to, detail),
        hold => return sized(sizing, Err(held(hold).into())),
    };
    let floor = judge.in_force.floor;
    let wanted = step.max(floor.shards);
    let detail = match wanted > step {
        true => format!("{detail}; {} is {wanted}", floor_name(floor)),
        false => detail,
    };
    let grown = grow(judge, alarm, recent, n, (wanted, &detail));
    sized(sizing, wanting(wanted, grown))
}

fn grow(
    judge: Judge<'_>,
    alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
    (wanted, detail): (u32, &str),
) -> Result<Decision, Stop> {
    let to = wanted
        .min(n.saturating_mul(2))
        .min(MAX_SHARDS)
        .min(judge.in_force.cap.shards);
    if to <= n {
        let max = judge.in_force.cap;
        let remedy = match max.from.is_some_and(|from| from.source == Source::Window) {
            true => "raise max_shards of the window to let the stream grow before it closes",
            false => "raise max_shards to let the stream grow",
        };
        let detail = format!(
            "{} asks for {wanted} shards; the stream has {n} and {} is {}; {remedy}",
            alarm.name,
            cap_name(max),
            max.shards
        );
        return Err(Decision::hold(Reason::AtMaxShards, detail)
            .until(after(judge.now, RECHECK))
            .into());
    }
    cooldown(judge, Direction::Up, recent)?;
    budget(CALLS_PER_DAY, recent, judge.now)?;
    switches(judge, Direction::Up)?;
    let unread = match recent.unread {
        Some(_) => {
            "; the scaling log cannot be read, so that cooldown and daily limit go by the scalings \
             that this host knows of"
        }
        None => "",
    };
    let limit = match () {
        () if to >= wanted => String::new(),
        () if to == judge.in_force.cap.shards => {
            format!("; {} is {to}", cap_name(judge.in_force.cap))
        }
        () => format!("; one call at most doubles the stream, to {to}"),
    };
    let detail = format!("{}; {detail}{limit}{unread}", in_alarm_since(alarm));
    Ok(Decision::act(Action::ScaleUp { to }, Reason::Alarm, detail))
}

fn down(
    judge: Judge<'_>,
    alarm: &Alarm,
    recent: &RecentScalings,
    n: u32,
) -> Result<Conclusion, Stop> {
    let (subscription, now) = (judge.subscription, judge.now);
    let floor = judge.in_force.floor;
    let least = floor.shards.max(n.div_ceil(2));
    if least >= n {
        let detail = format!(
            "{} asks for fewer shards, but {n} is the minimum ({})",
            alarm.name,
            floor_name(floor)
        );
        return Err(Decision::hold(Reason::AtMinShards, detail)
            .until(after(now, SLOW_RECHECK))
            .into());
    }
    if let Some(why) = &recent.unread {
        let detail = format!("no scale-down while the scaling log cannot be read: {why}");
        return Err(Decision::hold(Reason::LogUnavailable, detail).into());
    }
    cooldown(judge, Direction::Down, recent)?;
    let reserved = usize::try_from(subscription.reserved_scale_ups).unwrap_or(CALLS_PER_DAY);
    budget(CALLS_PER_DAY.saturating_sub(reserved), recent, now)?;
    consumers_keep_up(judge)?;
    let verdict = wanted(judge, Direction::Down, recent, n)?;
    clock_is_right(judge)?;
    sized(verdict.sizing(), shrink(judge, alarm, least, verdict))
}

fn shrink(
    judge: Judge<'_>,
    alarm: &Alarm,
    least: u32,
    verdict: Verdict,
) -> Result<Conclusion, Stop> {
    let (wanted, detail) = match verdict {
        Verdict::Scale { to, detail, .. } => (to, detail),
        hold => return Err(held(hold).into()),
    };
    let floor = judge.in_force.floor;
    // From a count above max_shards it goes down to that, as far as AWS allows in one call.
    let cap = judge.in_force.cap;
    let to = wanted.min(cap.shards).max(least);
    switches(judge, Direction::Down)?;
    let limit = match () {
        () if to == wanted => String::new(),
        () if to == floor.shards => format!("; {} is {to}", floor_name(floor)),
        () if to == cap.shards => format!("; {} is {to}", cap_name(cap)),
        () => format!("; one call at most halves the stream, to {to}"),
    };
    let detail = format!("{}; {detail}{limit}", in_alarm_since(alarm));
    let action = Action::ScaleDown { to };
    wanting(
        wanted.max(least),
        Ok(Decision::act(action, Reason::Alarm, detail)),
    )
}

/// Rule 2, as far as it has to be asked for: what people have switched off. It is read last, so
/// that it is read only for a stream that is about to be scaled.
fn switches(judge: Judge<'_>, direction: Direction) -> Result<(), Stop> {
    let switches = judge.facts.switches.as_ref();
    let switches = switches.ok_or(Stop::Need(Fact::Switches(direction)))?;
    if let (Direction::Down, Some(why)) = (direction, &switches.pauses_unread) {
        let detail = format!("no scale-down while pauses cannot be read: {why}");
        return Err(Decision::hold(Reason::LogUnavailable, detail).into());
    }
    let Some(by) = judge.in_force.switch(direction) else {
        return Ok(());
    };
    let detail = no_scaling(direction, by);
    let recheck = match direction {
        Direction::Up => RESUMED_WITHIN,
        Direction::Down => RECHECK,
    };
    let recheck = after(judge.now, recheck);
    Err(Decision::hold(by.reason(), detail)
        .until(by.until.map_or(recheck, |until| until.min(recheck)))
        .into())
}

/// What the stream's policy asks for; or the traffic that it has to read first.
fn wanted(
    judge: Judge<'_>,
    direction: Direction,
    recent: &RecentScalings,
    n: u32,
) -> Result<Verdict, Stop> {
    let policy = policy_of(judge.subscription);
    let input = input(&*policy, direction, judge.facts, recent, n, judge.now)
        .map_err(|_| judge.need_metrics(Fact::Traffic))?;
    Ok(match direction {
        Direction::Up => policy.scale_up(&input),
        Direction::Down => policy.scale_down(&input),
    })
}

/// Rule 10. Without any data no consumer reads the stream through GetRecords.
fn consumers_keep_up(judge: Judge<'_>) -> Result<(), Stop> {
    let Some(max) = judge.subscription.max_iterator_age else {
        return Ok(());
    };
    let ages = judge.facts.iterator_ages.as_ref();
    let ages = ages.ok_or_else(|| judge.need_metrics(Fact::Consumers))?;
    if !ages.complete || ages.points.iter().any(|(_, age)| !age.is_finite()) {
        let detail = "CloudWatch returned only a part of the consumers' iterator age";
        let hold = Decision::hold(Reason::NoData, detail);
        return Err(hold.until(after(judge.now, RECHECK)).into());
    }
    let highest = highest_age(ages);
    let Some(age) = highest.filter(|age| *age > max) else {
        return Ok(());
    };
    let detail = format!(
        "consumers were up to {} s behind in the last 15 min, and max_iterator_age is {} s; \
         fewer shards would slow them further",
        age.as_secs(),
        max.as_secs()
    );
    Err(Decision::hold(Reason::ConsumersBehind, detail)
        .until(after(judge.now, RECHECK))
        .into())
}

/// Rule 9: by a wrong clock the window is another, which may lack the peaks that count.
fn clock_is_right(judge: Judge<'_>) -> Result<(), Stop> {
    let Some(ahead) = judge.facts.clock_off() else {
        return Ok(());
    };
    let minutes = ahead.abs().as_mins();
    let side = if ahead.is_positive() { "fast" } else { "slow" };
    let detail = format!(
        "the clock of this host is {minutes} min {side} by the time of AWS's answer, so the traffic \
         of the last days cannot be judged; set the clock (`timedatectl` shows whether it is \
         synchronized)"
    );
    Err(Decision::hold(Reason::NoData, detail)
        .until(after(judge.now, RECHECK))
        .into())
}

fn held(verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Hold {
            reason,
            detail,
            recheck_at: Some(at),
            ..
        } => Decision::hold(reason, detail).until(at),
        Verdict::Hold { reason, detail, .. } => Decision::hold(reason, detail),
        Verdict::Scale { detail, .. } => Decision::hold(Reason::AtTarget, detail),
    }
}

/// Rule 7.
fn cooldown(judge: Judge<'_>, direction: Direction, recent: &RecentScalings) -> Result<(), Stop> {
    let (pause, key) = match direction {
        Direction::Up => (judge.subscription.cooldown_up, "cooldown_up"),
        Direction::Down => (judge.subscription.cooldown_down, "cooldown_down"),
    };
    // A row from the future comes from a clock that was set back, or from another host's.
    let is_recent = |at: &Timestamp| judge.now.duration_since(*at).unsigned_abs() < pause;
    let Some(last) = recent.calls().filter(is_recent).max() else {
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

/// Rule 8: `limit` is how many of the day's calls this direction may use.
fn budget(limit: usize, recent: &RecentScalings, now: Timestamp) -> Result<(), Stop> {
    refused_lately(&recent.scalings, now)?;
    let mut calls: Vec<Timestamp> = recent
        .calls()
        .filter(|call| now.duration_since(*call).abs() < BUDGET_DAY)
        .collect();
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
            "{used} of the {CALLS_PER_DAY} scalings that AWS allows in 24 h are used, and this \
             direction may use {limit}; the next slot frees at {}; AWS Support can raise the limit",
            at(next)
        ),
        None => format!(
            "all {CALLS_PER_DAY} scalings a day are reserved for scale-ups (reserved_scale_ups)"
        ),
    };
    Err(Decision::hold(Reason::DailyLimit, detail)
        .until(next.unwrap_or(after(now, SLOW_RECHECK)))
        .into())
}

/// AWS's own refusal counts for a while, whatever our count says.
fn refused_lately(scalings: &[Scaling], now: Timestamp) -> Result<(), Stop> {
    let mut latest_first = scalings.iter().rev();
    let Some(refused) = latest_first.find(|scaling| scaling.outcome == Outcome::Refused) else {
        return Ok(());
    };
    if now.duration_since(refused.at).abs() >= REFUSED_FOR {
        return Ok(());
    }
    let until = after(refused.at, REFUSED_FOR);
    let why = refused.note.as_deref().unwrap_or("a limit is reached");
    let detail = format!(
        "AWS refused the scaling of {} ({why}); the next attempt is at {}",
        at(refused.at),
        at(until)
    );
    Err(Decision::hold(Reason::DailyLimit, detail)
        .until(until)
        .into())
}

fn in_alarm_since(alarm: &Alarm) -> String {
    match alarm.state_updated_at {
        Some(since) => format!("{} has been in ALARM since {}", alarm.name, at(since)),
        None => format!("{} is in ALARM", alarm.name),
    }
}
