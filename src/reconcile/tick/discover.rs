//! Streams that patterns subscribe: an alarm in ALARM subscribes its stream at once, and a listing
//! beside the ticks finds the others, and those that are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use autoscaler_core::{
    alarm::Alarm,
    audit,
    datetime::after,
    decision::Decision,
    pattern::{Half, Pattern},
    subscription::SubscriptionId,
};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{Autoscaler, GroupId, memory::Discovered};
use crate::{
    aws,
    output::table::and_more,
    reconcile::{
        discovery::{self, Discovery, Listing, PatternId},
        execute::read_failed,
        report::Report,
        roster::{Changes, Place},
    },
};

/// A listing that failed is tried again after this.
const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// An alarm whose other half does not exist does not subscribe its stream again before this, unless
/// a listing finds the pair.
const INCOMPLETE_FOR: SignedDuration = SignedDuration::from_mins(15);

/// So many streams that come or go with one listing are logged line by line.
const LOGGED_ONE_BY_ONE: usize = 20;

/// What the patterns have discovered, and the listings under way.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    discovery: Discovery,
    groups: BTreeMap<GroupId, Listed>,
    reads: JoinSet<(GroupId, Timestamp, Result<Listing, aws::Error>)>,
    /// Streams that the poll has found since the listing of their group began, which may lack them.
    fresh: BTreeSet<(PatternId, String)>,
    /// Streams that lack an alarm, and until when that is taken for granted.
    incomplete: BTreeMap<Place, Timestamp>,
    /// The streams of entries that only name an alarm, as far as they were read.
    by_alarm: BTreeSet<Place>,
    /// Streams of a first listing are inspected, whatever their alarms say.
    inspects_first: bool,
    /// The subscriptions are not those of the last report any more.
    changed: bool,
}

/// The listings of one account and Region.
#[derive(Debug, Default)]
struct Listed {
    /// When the last one that succeeded began.
    at: Option<Timestamp>,
    /// When the last one failed, and why, unless one has succeeded since.
    failed: Option<(Timestamp, Decision)>,
    under_way: bool,
}

impl Listed {
    fn is_due(&self, interval: Option<SignedDuration>, now: Timestamp) -> bool {
        // A clock that was set back makes it due.
        let passed = |from: Timestamp, time| !(from..after(from, time)).contains(&now);
        match (&self.failed, self.at) {
            _ if self.under_way => false,
            (Some((at, _)), _) => passed(*at, RETRY_AFTER),
            (None, None) => true,
            (None, Some(at)) => interval.is_some_and(|interval| passed(at, interval)),
        }
    }
}

impl Patterns {
    /// Those of a process that has not listed any alarm.
    pub fn new(groups: impl Iterator<Item = GroupId>) -> Self {
        Self {
            groups: groups.map(|group| (group, Listed::default())).collect(),
            ..Self::default()
        }
    }

    /// Has the streams of the first listing inspected.
    pub fn inspect_first(&mut self) {
        self.inspects_first = true;
    }

    /// Has every group listed anew.
    pub fn list_again(&mut self) {
        for listed in self.groups.values_mut() {
            (listed.at, listed.failed) = (None, None);
        }
    }
}

impl Autoscaler {
    /// Starts the listings that are due. For a first one the tick waits until `deadline`, but only
    /// the tick that has started it.
    pub(super) async fn list(&mut self, deadline: Instant, now: Timestamp) {
        let interval = self.context.config.audit_interval;
        let interval = interval.map(|it| it.try_into().unwrap_or(SignedDuration::MAX));
        let mut starts_first = false;
        for (group, listed) in &mut self.patterns.groups {
            if !listed.is_due(interval, now) {
                continue;
            }
            listed.under_way = true;
            starts_first |= listed.at.is_none();
            let (id, account) = (*group, self.groups[group.index()].account.clone());
            let ours = |id: PatternId| self.context.config.patterns[id].settings.account == account;
            self.patterns.fresh.retain(|(id, _)| !ours(*id));
            let context = self.context.clone();
            let listing = async move { (id, now, discovery::list(context, account).await) };
            self.patterns.reads.spawn(listing);
        }
        let until = match starts_first {
            true => deadline,
            false => Instant::now(),
        };
        self.take_listings(until, now).await;
    }

    /// Takes in the listings that end before `deadline`.
    pub(super) async fn take_listings(&mut self, deadline: Instant, now: Timestamp) {
        loop {
            let next = self.patterns.reads.join_next();
            let Ok(Some(read)) = timeout_at(deadline, next).await else {
                return;
            };
            match read {
                Ok((group, began, listing)) => self.take_listing(group, began, listing, now),
                // A panic is a bug; the listing starts again.
                Err(_) => self
                    .patterns
                    .groups
                    .values_mut()
                    .for_each(|it| it.under_way = false),
            }
        }
    }

    fn take_listing(
        &mut self,
        group: GroupId,
        began: Timestamp,
        listing: Result<Listing, aws::Error>,
        now: Timestamp,
    ) {
        let patterns = &mut self.patterns;
        let listed = patterns.groups.entry(group).or_default();
        listed.under_way = false;
        let mut listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                listed.failed = Some((now, read_failed(&error)));
                return;
            }
        };
        let is_first = listed.at.is_none();
        (listed.at, listed.failed) = (Some(began), None);
        for (id, pairs) in &mut listing {
            let fresh = patterns.fresh.iter().filter(|(of, _)| of == id);
            pairs
                .streams
                .extend(fresh.map(|(_, stream)| stream.clone()));
        }
        let account = &self.groups[group.index()].account;
        let account = self.context.aws.resolved(account);
        patterns.incomplete.retain(|(of, _), _| *of != account);
        let (is_new, halves) = patterns.discovery.take(listing);
        let until = after(now, INCOMPLETE_FOR);
        let incomplete = halves.into_iter().map(|(_, half): (_, Half)| half.stream);
        let incomplete = incomplete.map(|stream| ((account.clone(), stream), until));
        patterns.incomplete.extend(incomplete);
        if is_new {
            self.apply(is_first, now);
        }
        if is_first {
            self.warn_of_empty_patterns(group);
        }
    }

    /// Warns of patterns that subscribe no stream: what they were written for is not watched.
    fn warn_of_empty_patterns(&self, group: GroupId) {
        let of_group = &self.groups[group.index()];
        for (id, pattern) in discovery::patterns(&self.context, &of_group.account) {
            let streams = self.patterns.discovery.of(id);
            if streams.is_none_or(|it| it.is_empty()) {
                let (title, region) = (pattern.title(), &of_group.region);
                tracing::warn!(
                    region,
                    "{title} subscribes no stream: no pair of alarms fits it"
                );
            }
        }
    }

    /// Subscribes the streams whose alarms are among these, which are in ALARM.
    pub(super) fn discover_firing(&mut self, group: GroupId, alarms: &[Alarm], now: Timestamp) {
        if !self.patterns.groups.contains_key(&group) {
            return;
        }
        let context = self.context.clone();
        let of_group = &self.groups[group.index()];
        let account = context.aws.resolved(&of_group.account);
        let patterns: Vec<(PatternId, &Pattern)> =
            discovery::patterns(&context, &of_group.account).collect();
        let unknown = alarms.iter().filter(|it| !of_group.index.has(&it.name));
        let mut is_new = false;
        for alarm in unknown {
            for (id, pattern) in &patterns {
                let Some((stream, _)) = pattern.stream_of(&alarm.name) else {
                    continue;
                };
                let place = (account.clone(), stream.to_owned());
                let until = self.patterns.incomplete.get(&place);
                if until.is_none_or(|until| *until <= now)
                    && self.patterns.discovery.add(*id, stream)
                {
                    self.patterns.fresh.insert((*id, place.1));
                    is_new = true;
                }
            }
        }
        if is_new {
            self.apply(false, now);
        }
    }

    /// Unsubscribes a discovered stream that was found to lack an alarm.
    pub(super) fn lose(&mut self, id: SubscriptionId, now: Timestamp) {
        let place = self.place(id, None);
        self.patterns.discovery.remove(&self.context, &place);
        self.patterns.fresh.retain(|(_, stream)| *stream != place.1);
        let until = after(now, INCOMPLETE_FOR);
        self.patterns.incomplete.insert(place, until);
        self.apply(false, now);
    }

    /// Takes note of the stream of an entry that only names an alarm: that entry wins over a
    /// pattern.
    pub(super) fn note_stream(&mut self, id: SubscriptionId, stream: Option<&str>, now: Timestamp) {
        let subscription = self.context.subscription(id);
        let (None, Some(stream)) = (&subscription.stream, stream) else {
            return;
        };
        if self.patterns.groups.is_empty() {
            return;
        }
        let place = self.place(id, Some(stream));
        let is_subscribed = self.context.roster.discovered(&place).is_some();
        if self.patterns.by_alarm.insert(place) && is_subscribed {
            self.apply(false, now);
        }
    }

    fn place(&self, id: SubscriptionId, stream: Option<&str>) -> Place {
        let subscription = self.context.subscription(id);
        let stream = stream.unwrap_or(subscription.label()).to_owned();
        (self.context.aws.resolved(&subscription.account), stream)
    }

    /// Puts in force what is discovered.
    fn apply(&mut self, is_first: bool, now: Timestamp) {
        let before = self.context.roster.end();
        let changes = self.replace_roster();
        self.log_changes(&changes);
        for id in &changes.gone {
            let key = self.key(*id);
            self.memory.forget(*id, &key);
        }
        for id in &changes.changed {
            self.memory.reinspect(*id);
        }
        if !is_first || self.patterns.inspects_first {
            self.memory.overdue.extend(&changes.appeared);
        }
        // No window opens for them: those that are open did so before.
        for id in &changes.appeared {
            let mut windows = self.context.subscription(*id).windows.iter();
            if windows.any(|it| it.floor_since(now).is_some()) {
                self.memory.scheduled.insert(*id, now);
            }
        }
        // With more streams the turns of the audit come earlier.
        let roster = &self.context.roster;
        if let (Some(interval), false) = (self.context.config.audit_interval, is_first) {
            let skipped = audit::skipped(now, interval, before, roster.end());
            let skipped = skipped.map(SubscriptionId::new);
            self.memory
                .overdue
                .extend(skipped.filter(|id| roster.has(*id)));
        }
    }

    fn replace_roster(&mut self) -> Changes {
        let patterns = &mut self.patterns;
        let found = patterns
            .discovery
            .subscriptions(&self.context, &patterns.by_alarm);
        let mut roster = (*self.context.roster).clone();
        let changes = roster.update(found);
        if !changes.is_empty() {
            patterns.changed = true;
            self.context = Arc::new(self.context.with_roster(roster));
            self.index();
        }
        changes
    }

    fn log_changes(&self, changes: &Changes) {
        let lines = [
            (
                &changes.appeared,
                "subscribed: a pattern matches it, and its pair of alarms exists",
            ),
            (
                &changes.gone,
                "no longer subscribed: its pair of alarms is gone, or not whole",
            ),
        ];
        for (ids, text) in lines {
            if ids.len() > LOGGED_ONE_BY_ONE {
                let names = ids
                    .iter()
                    .take(3)
                    .map(|id| self.context.subscription(*id).label());
                let names: Vec<&str> = names.collect();
                let names = format!("{}{}", names.join(", "), and_more(ids.len() - 3));
                tracing::info!(streams = ids.len(), "{names}: {text}");
                continue;
            }
            for id in ids {
                let subscription = self.context.subscription(*id);
                let region = &self.context.clients_of(subscription).region;
                let account = subscription.account.name();
                let stream = subscription.label();
                let span = tracing::error_span!("stream", stream, region, account);
                span.in_scope(|| tracing::info!("{text}"));
            }
        }
    }

    /// Adds to a report what could not be listed.
    pub(super) fn report_listings(&mut self, report: Report, now: Timestamp) -> Report {
        let (mut unlisted, mut listing) = (Vec::new(), Vec::new());
        for (group, listed) in &self.patterns.groups {
            let group = &self.groups[group.index()];
            match (&listed.failed, listed.at) {
                (Some((_, failure)), _) => {
                    let error = failure.error().unwrap_or_default();
                    unlisted.push(format!("{}: {error}", group.region));
                    let notices = &mut self.memory.notices;
                    notices.report_listing(&group.account, &group.region, failure, now);
                }
                (None, None) => listing.push(group.region.clone()),
                (None, Some(_)) => {}
            }
        }
        let changed = std::mem::take(&mut self.patterns.changed);
        Report {
            unlisted,
            listing,
            roster: changed.then(|| self.context.roster.clone()),
            ..report
        }
    }

    /// What was discovered, for the next process.
    pub(super) fn discovered(&self) -> Vec<Discovered> {
        let all = self.context.config.patterns.iter().enumerate();
        all.map(|(id, pattern)| Discovered {
            pattern: key(pattern),
            listed_at: self.listed_at(pattern),
            streams: self.patterns.discovery.of(id).cloned().unwrap_or_default(),
            incomplete: self.incomplete(pattern),
        })
        .collect()
    }

    /// The streams of a pattern that lack an alarm.
    fn incomplete(&self, pattern: &Pattern) -> BTreeMap<String, Timestamp> {
        let account = self.context.aws.resolved(&pattern.settings.account);
        let all = self.patterns.incomplete.iter();
        let ours = all.filter(|((of, stream), _)| *of == account && pattern.matches(stream));
        ours.map(|((_, stream), until)| (stream.clone(), *until))
            .collect()
    }

    fn listed_at(&self, pattern: &Pattern) -> Option<Timestamp> {
        let mut groups = self.patterns.groups.iter();
        let (_, listed) =
            groups.find(|(id, _)| self.groups[id.index()].account == pattern.settings.account)?;
        // A failure is tried again by the next process.
        listed.at.filter(|_| listed.failed.is_none())
    }

    /// Goes on with what an earlier process has discovered.
    pub(super) fn restore(&mut self, discovered: Vec<Discovered>, now: Timestamp) {
        let context = self.context.clone();
        let known: BTreeMap<String, Discovered> = discovered
            .into_iter()
            .map(|it| (it.pattern.clone(), it))
            .collect();
        let mut listed: BTreeMap<GroupId, Option<Timestamp>> = BTreeMap::new();
        for (id, pattern) in context.config.patterns.iter().enumerate() {
            let known = known.get(&key(pattern));
            let streams = known.map(|it| &it.streams).into_iter().flatten();
            for stream in streams.filter(|stream| pattern.matches(stream)) {
                self.patterns.discovery.add(id, stream);
            }
            let account = context.aws.resolved(&pattern.settings.account);
            let incomplete = known.map(|it| &it.incomplete).into_iter().flatten();
            // A clock that was set back must not prolong it.
            let incomplete = incomplete.filter(|(_, until)| **until <= after(now, INCOMPLETE_FOR));
            let incomplete = incomplete.filter(|(stream, _)| pattern.matches(stream));
            let incomplete = incomplete.map(|(it, until)| ((account.clone(), it.clone()), *until));
            self.patterns.incomplete.extend(incomplete);
            let at = known.and_then(|it| it.listed_at).filter(|at| *at <= now);
            let mut groups = self.patterns.groups.keys();
            let account = &pattern.settings.account;
            let group = groups.find(|id| self.groups[id.index()].account == *account);
            if let Some(group) = group {
                let earliest = listed.entry(*group).or_insert(at);
                *earliest = (*earliest).min(at);
            }
        }
        for (group, at) in listed {
            self.patterns.groups.entry(group).or_default().at = at;
        }
        self.replace_roster();
    }

    /// Goes on with what another autoscaler has discovered, as far as the patterns are still there;
    /// everything is listed and inspected anew.
    pub fn adopt(&mut self, other: &Self) {
        let now = self.context.clock.now();
        self.restore(other.discovered(), now);
        self.patterns.list_again();
        self.inspect_all();
    }
}

/// Tells a pattern from others, from process to process.
fn key(pattern: &Pattern) -> String {
    let Pattern {
        glob,
        except,
        alarm_name,
        settings,
        ..
    } = pattern;
    format!("{} {alarm_name} {glob} {except:?}", settings.account)
}
