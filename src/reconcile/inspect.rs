//! Reads what a decision on one stream needs, one fact after the other.

use std::{collections::HashMap, time::Duration};

use autoscaler_core::{
    alarm::{Alarm, Direction},
    constraints::Constraint,
    datetime::after,
    decide::{Inquiry, ReadTwice, decide},
    decision::{Conclusion, Fact, Verdict},
    facts::{Facts, Fetched, Switches, Unread},
    limits::{BUDGET_DAY, PERIOD_SECONDS},
    pause::Pause,
    policy::input::{policy_of, window_start},
    priority::Priority,
    subscription::Subscription,
    trigger::Trigger,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::{
    aws::{self, Extra, Kind, MuteRule, RegionClients, StreamMetrics, Window},
    reconcile::{context::Context, shared_metrics::SharedMetrics},
};

/// The period over which the consumers' iterator age is judged.
const CONSUMERS_OVER: SignedDuration = SignedDuration::from_mins(15);

/// How long a scale-up waits to learn whether it is switched off.
const SWITCHES_WITHIN: Duration = Duration::from_secs(2);

/// Reads both alarms of up to 50 streams with one call.
pub async fn pairs(
    clients: &RegionClients,
    names: &[&str],
    priority: Priority,
) -> Result<HashMap<String, Alarm>, aws::Error> {
    let found = clients.cloudwatch.alarms(names, false, priority).await?;
    Ok(found
        .into_iter()
        .map(|definition| (definition.alarm.name.clone(), definition.alarm))
        .collect())
}

/// Whether a decision on the stream needs both of its alarms first.
pub fn needs_pair(
    subscription: &Subscription,
    trigger: &Trigger,
    facts: &Facts,
    now: Timestamp,
) -> bool {
    decide(subscription, trigger, facts, now) == Verdict::Need(Fact::Pair)
}

/// The last 24 h of traffic, aligned to a period so that the first sum is complete.
pub fn last_day(now: Timestamp) -> Window {
    let period = i64::from(PERIOD_SECONDS);
    let day_before = after(now, SignedDuration::from_hours(-24));
    let start = day_before.as_second().div_euclid(period) * period;
    Window {
        from: Timestamp::from_second(start).unwrap_or(now),
        until: now,
        period_seconds: PERIOD_SECONDS,
    }
}

/// The metrics that a decision in this direction is made on; `None` if it needs none.
pub(super) fn metrics_needed(
    subscription: &Subscription,
    direction: Direction,
    now: Timestamp,
) -> Option<(Extra, Window)> {
    let reads = policy_of(subscription).reads(direction, now)?;
    let extra = Extra {
        rejected: reads.rejected,
        outgoing: subscription.reads,
        iterator_ages: direction == Direction::Down && subscription.max_iterator_age.is_some(),
    };
    let window = Window {
        from: window_start(reads),
        until: now,
        // A period is 60 or 300 s.
        period_seconds: i32::try_from(reads.period.seconds()).unwrap_or(PERIOD_SECONDS),
    };
    Some((extra, window))
}

/// Why a stream could not be decided on.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error(transparent)]
    ReadTwice(#[from] ReadTwice),
}

impl InspectError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::ReadTwice(_) => Some("please report this as a bug".to_owned()),
        }
    }
}

/// Where the facts of one stream are read, and as of what time.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub context: &'a Context,
    pub subscription: &'a Subscription,
    pub now: Timestamp,
    /// Metrics that are read for several streams at once.
    pub shared: Option<&'a SharedMetrics>,
}

impl Reader<'_> {
    /// Decides, and reads into `facts` what the decision needs.
    pub async fn inspect(
        &self,
        trigger: &Trigger,
        facts: &mut Facts,
    ) -> Result<Conclusion, InspectError> {
        let mut inquiry = Inquiry::new(self.subscription, trigger);
        loop {
            match inquiry.next(facts, self.now)? {
                Verdict::Concluded(conclusion) => return Ok(*conclusion),
                Verdict::Need(fact) => self.read(fact, facts).await?,
            }
        }
    }

    /// How far back rows of the scaling log matter: a day for the daily limit, or the longest
    /// cooldown.
    pub fn scalings_since(&self) -> Timestamp {
        let subscription = self.subscription;
        let cooldown = subscription.cooldown_up.max(subscription.cooldown_down);
        self.now
            .saturating_sub(cooldown.max(BUDGET_DAY.unsigned_abs()))
            .unwrap_or(Timestamp::MIN)
    }

    /// What people have switched off for one direction.
    ///
    /// What cannot be read never keeps a stream from growing. A scale-down waits while CloudWatch is
    /// away; a missing permission to read mute rules stops nothing.
    async fn switches(&self, direction: Direction, facts: &Facts) -> Result<Switches, aws::Error> {
        let alarm = self.subscription.alarms.of(direction);
        let cloudwatch = &self.context.clients_of(self.subscription).cloudwatch;
        // Reading the other facts may have taken long.
        let now = self.context.clock.now();
        let (rules, pauses) = tokio::join!(
            in_time(direction, cloudwatch.active_mute_rules(alarm, now)),
            in_time(direction, self.pauses(facts)),
        );
        let (rules, mute_rules_unread) = match rules {
            Ok(rules) => (rules, None),
            Err(ReadError::Aws(error)) if direction == Direction::Down && error.kind.may_pass() => {
                return Err(error);
            }
            Err(error) => (Vec::new(), Some(error.unread())),
        };
        let (pauses, pauses_unread) = match pauses {
            Ok(pauses) => (pauses, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let muted = |rule: &MuteRule| rule.constraint(alarm, direction.into());
        let mut in_force: Vec<Constraint> = rules.iter().map(muted).collect();
        in_force.extend(pauses);
        Ok(Switches {
            in_force,
            mute_rules_unread,
            pauses_unread,
        })
    }

    /// The pauses of this stream.
    async fn pauses(&self, facts: &Facts) -> Result<Vec<Constraint>, ReadError> {
        let recent = facts.scalings.as_ref();
        if let Some(why) = recent.and_then(|recent| recent.unread.clone()) {
            // The same table did not answer a moment ago.
            return Err(ReadError::Log(why));
        }
        let arn = facts.stream.found().map_or("", |stream| &stream.arn);
        let now = self.context.clock.now();
        let pauses = self.context.scaling_log.shared_pauses(now).await?;
        let ours = pauses.iter().filter(|pause| pause.holds(arn, self.now));
        Ok(ours.map(Pause::constraint).collect())
    }

    /// Reads metrics of a stream, together with those of others where that is possible.
    async fn metrics(
        &self,
        stream: &str,
        extra: Extra,
        window: Window,
    ) -> Result<StreamMetrics, aws::Error> {
        let cloudwatch = &self.context.clients_of(self.subscription).cloudwatch;
        if let Some(shared) = self.shared
            && let Some(read) = shared.take(cloudwatch, stream, window).await
        {
            return read;
        }
        let read = cloudwatch.metrics_of(&[(stream, extra)], window).await?;
        Ok(read.into_iter().next().unwrap_or_default())
    }

    /// Reads one fact into `facts`.
    pub async fn read(&self, fact: Fact, facts: &mut Facts) -> Result<(), aws::Error> {
        let clients = self.context.aws.clients(&self.subscription.account);
        let priority = facts.priority();
        match fact {
            Fact::Pair => {
                let mut pair = pairs(clients, &self.subscription.alarms.both(), priority).await?;
                facts.take_pair(self.subscription, &mut pair);
            }
            Fact::Stream => {
                let name = facts.stream_name(self.subscription);
                facts.stream = match clients.kinesis.summary(name, priority).await {
                    Ok(summary) => Fetched::Found(summary),
                    Err(error) if error.kind == Kind::NotFound => Fetched::Missing,
                    Err(error) => return Err(error),
                }
            }
            Fact::Scalings => {
                let arn = facts.stream.found().map_or("", |stream| &stream.arn);
                let name = facts.stream_name(self.subscription);
                let scaling_log = &self.context.scaling_log;
                let recent = scaling_log.recent(name, arn, self.scalings_since());
                let (recent, _) = recent.await;
                facts.scalings = Some(recent);
            }
            // One call reads both.
            Fact::Traffic | Fact::Consumers => {
                let direction = facts.firing().map_or(Direction::Down, |(it, _)| it);
                let Some((extra, window)) = metrics_needed(self.subscription, direction, self.now)
                else {
                    return Ok(());
                };
                let name = facts.stream_name(self.subscription);
                let read = self.metrics(name, extra, window).await?;
                facts.traffic = Some(read.traffic);
                facts.clock_ahead = read.clock_ahead;
                facts.iterator_ages = read.iterator_ages.map(|mut ages| {
                    let since = after(self.now, -CONSUMERS_OVER);
                    ages.points.retain(|(at, _)| *at >= since);
                    ages
                });
            }
            Fact::Switches(direction) => {
                facts.switches = Some(self.switches(direction, facts).await?);
            }
        }
        Ok(())
    }
}

/// Why something was not read that a scale-up can do without.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error("{0}")]
    Log(String),
    #[error("no answer within {} s", SWITCHES_WITHIN.as_secs())]
    Late,
}

impl ReadError {
    fn unread(&self) -> Unread {
        Unread {
            error: self.to_string(),
            hint: match self {
                Self::Aws(error) => error.hint(),
                Self::Log(_) | Self::Late => None,
            },
        }
    }
}

/// A scale-up does not wait for a slow answer.
async fn in_time<T, E>(
    direction: Direction,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, ReadError>
where
    ReadError: From<E>,
{
    match direction {
        Direction::Up => timeout(SWITCHES_WITHIN, read)
            .await
            .map_err(|_| ReadError::Late)?
            .map_err(ReadError::from),
        Direction::Down => read.await.map_err(ReadError::from),
    }
}
