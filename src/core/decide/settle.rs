//! Rule 4, and what became of scalings that were left open.

use jiff::Timestamp;

use super::{Pair, SEND_WITHIN, SETTLED_AFTER, Stop};
use crate::{
    alarm::Direction,
    datetime::{after, at},
    decision::{Action, Conclusion, Decision},
    reason::Reason,
    scaling::{Outcome, Scaling, Settlement},
    trigger::Trigger,
};

/// What is known of the scalings that were left open.
pub(super) enum Open {
    /// How each of them ended.
    Settled(Vec<Settlement>),
    /// The stream still has the old count: the call of this one was lost, or never sent.
    Unsent(Box<Scaling>),
}

/// Finds out what became of open scalings from the count `n` of an ACTIVE stream.
///
/// UpdateShardCount names an absolute count. While the stream is ACTIVE at the old count, asking
/// for the same target once more cannot scale it twice: if the first call still arrives, one of the
/// two is refused (ResourceInUse), or asks for the count that the stream has.
pub(super) fn settle(scalings: &[Scaling], n: u32, now: Timestamp) -> Result<Open, Stop> {
    let mut settlements = Vec::new();
    for open in scalings.iter().filter(|it| it.outcome == Outcome::Open) {
        let age = now.duration_since(open.at).abs();
        let outcome = match () {
            () if n == open.to => Outcome::Done,
            () if n != open.from => Outcome::Superseded,
            () if age < SEND_WITHIN => return Ok(Open::Unsent(Box::new(open.clone()))),
            () if age < SETTLED_AFTER => return Err(wait(open, n).into()),
            () => Outcome::NotApplied,
        };
        settlements.push(Settlement {
            scaling: open.clone(),
            outcome,
        });
    }
    Ok(Open::Settled(settlements))
}

/// Too old to be sent again, too young to be given up.
fn wait(open: &Scaling, n: u32) -> Conclusion {
    let until = after(open.at, SETTLED_AFTER);
    let detail = format!(
        "the scaling from {} to {} that began at {} may still take effect; \
         it is given up at {} unless the stream changes",
        open.from,
        open.to,
        at(open.at),
        at(until)
    );
    let mut hold = Conclusion::from(Decision::hold(Reason::Settling, detail));
    hold.shards = Some(n);
    hold
}

/// Asks for the target of `open` again, under the same intent.
pub(super) fn resume(open: Scaling, n: u32) -> Conclusion {
    let to = open.to;
    let action = match open.direction() {
        Direction::Up => Action::ScaleUp { to },
        Direction::Down => Action::ScaleDown { to },
    };
    let detail = format!(
        "the call that was to scale from {} to {to} at {} had no effect; it is sent again",
        open.from,
        at(open.at)
    );
    Conclusion {
        decision: Decision::act(action, Reason::Recovered, detail),
        shards: Some(n),
        wanted: Some(to),
        sizing: None,
        settlements: Vec::new(),
        resumes: Some(open),
        note: None,
    }
}

/// Rule 4: rewrites both alarms to the count that the stream has.
pub(super) fn sync(n: u32, pair: &Pair<'_>, settlements: Vec<Settlement>) -> Conclusion {
    let (reason, detail) = match settlements.first() {
        None => {
            let (up, down) = (&pair.up_contract, &pair.down_contract);
            let detail = format!(
                "the stream has {n} open shards, but {} records {} and {} records {}",
                pair.up.name, up.shard_count, pair.down.name, down.shard_count
            );
            (Reason::OutOfSync, detail)
        }
        Some(Settlement { scaling, outcome }) => {
            let (from, to, outcome) = (scaling.from, scaling.to, outcome.in_words());
            let detail = format!(
                "the scaling from {from} to {to} that began at {} {outcome}; \
                 the stream has {n} open shards",
                at(scaling.at)
            );
            (Reason::Recovered, detail)
        }
    };
    Conclusion {
        decision: Decision::act(Action::SyncAlarms { to: n }, reason, detail),
        shards: Some(n),
        wanted: None,
        sizing: None,
        settlements,
        resumes: None,
        note: None,
    }
}

/// The end of a scaling that was left open on a stream that no longer exists, or that AWS scales
/// now.
pub(super) fn superseded(
    trigger: &Trigger,
    stream_arn: Option<&str>,
    now: Timestamp,
) -> Vec<Settlement> {
    let old = |open: &&Scaling| now.duration_since(open.at).abs() >= SETTLED_AFTER;
    let ours = |open: &&Scaling| stream_arn.is_none_or(|arn| open.stream_arn == arn);
    let open = trigger.open_scaling().into_iter().filter(old).filter(ours);
    open.map(|open| Settlement {
        scaling: open.clone(),
        outcome: Outcome::Superseded,
    })
    .collect()
}
