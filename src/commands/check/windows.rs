//! Windows that can never open, contradict a bound, or need more calls than a day has. Pure.

use autoscaler_core::{
    constraints::{Constraint, InForce},
    datetime::at,
    decide::in_force,
    facts::Facts,
    limits::CALLS_PER_DAY,
    subscription::Subscription,
    window::Window,
};
use jiff::{SignedDuration, Timestamp};

use super::finding::{Finding, Severity};
use crate::commands::scale::steps;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How many starts of a window are looked at.
const STARTS: usize = 12;

/// What is wrong with the windows of a stream, which has `n` shards now, if that is known; without
/// it, calls are counted from `min_shards`.
pub fn of(
    subscription: &Subscription,
    label: &str,
    n: Option<u32>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for window in subscription.windows.iter() {
        let complaints = [
            never_opens(window, now),
            contradiction(subscription, window, now),
            too_many_calls(subscription, window, n, now),
        ];
        found.extend(complaints.into_iter().flatten().map(|(message, fix)| {
            let message = format!("{window} {message}");
            Finding::new(Severity::Warning, "window", label, message, fix)
        }));
    }
    found
}

/// What is wrong with a window, and what to do.
type Complaint = (String, &'static str);

fn never_opens(window: &Window, now: Timestamp) -> Option<Complaint> {
    let over = window.constraint(now).is_none() && window.next(now).is_none();
    over.then(|| {
        let message = "has passed and never opens again".to_owned();
        (message, "remove it from the configuration")
    })
}

/// The first start at which its floor is above the cap in force.
fn contradiction(
    subscription: &Subscription,
    window: &Window,
    now: Timestamp,
) -> Option<Complaint> {
    let wanted = window.floor?;
    let start = starts(window, now).find(|start| {
        let constraints = in_force(subscription, &Facts::default(), *start);
        InForce::of(&constraints).cap.shards < wanted
    })?;
    let constraints = in_force(subscription, &Facts::default(), start);
    let cap = InForce::of(&constraints).cap;
    let name = cap.from.map(Constraint::names_cap).unwrap_or_default();
    let message = format!(
        "asks for {wanted} shards at {}, and {name} is {}: the stream stays at that",
        at(start),
        cap.shards
    );
    Some((
        message,
        "lower its min_shards, or give it a max_shards of its own",
    ))
}

/// AWS allows ten calls a day, each at most to twice the count.
fn too_many_calls(
    subscription: &Subscription,
    window: &Window,
    n: Option<u32>,
    now: Timestamp,
) -> Option<Complaint> {
    let floor = window.floor?;
    let from = n.unwrap_or(subscription.min_shards);
    let known = if n.is_some() { "" } else { "min_shards = " };
    let calls = steps(from, floor.max(from)).len();
    let next = window.next(now)?;
    let openings = starts(window, next - SignedDuration::from_secs(1));
    let openings = openings.take_while(|start| start.duration_since(next) < DAY);
    let a_day = calls * openings.count();
    (a_day > CALLS_PER_DAY).then(|| {
        let message = format!(
            "asks for {floor} shards, which from {known}{from} take {a_day} UpdateShardCount calls in a day; AWS allows {CALLS_PER_DAY}"
        );
        let fix = "raise min_shards of the stream, let the window open less often, or ask AWS Support for more calls";
        (message, fix)
    })
}

fn starts(window: &Window, after: Timestamp) -> impl Iterator<Item = Timestamp> {
    let next = move |start: &Timestamp| window.next(*start);
    std::iter::successors(window.next(after), next).take(STARTS)
}
