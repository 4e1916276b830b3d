//! Which streams the patterns of the configuration subscribe: those whose two alarms exist.
//!
//! The poll names an alarm as soon as it is in ALARM; a listing of all alarms whose names begin as
//! a pattern's do finds the others.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use autoscaler_core::{
    glob,
    pattern::{Half, Pairs, Pattern},
    subscription::{Account, Origin, Subscription},
};
use tokio::task::JoinSet;

use crate::{
    aws,
    reconcile::{context::Context, roster::Place},
};

/// A pattern's place among those of the configuration.
pub type PatternId = usize;

/// What one listing found for each pattern of an account.
pub type Listing = Vec<(PatternId, Pairs)>;

/// The streams of each pattern, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    found: BTreeMap<PatternId, BTreeSet<String>>,
}

impl Discovery {
    /// Takes in what was listed. Returns whether something is new, and the alarms that lack their
    /// other half.
    pub fn take(&mut self, listing: Listing) -> (bool, Vec<(PatternId, Half)>) {
        let (mut is_new, mut halves) = (false, Vec::new());
        for (id, pairs) in listing {
            halves.extend(pairs.halves.into_iter().map(|half| (id, half)));
            let known = self.found.entry(id).or_default();
            if *known != pairs.streams {
                *known = pairs.streams;
                is_new = true;
            }
        }
        (is_new, halves)
    }

    /// Adds a stream; `false` if it is known.
    pub fn add(&mut self, id: PatternId, stream: &str) -> bool {
        let known = self.found.entry(id).or_default();
        !known.contains(stream) && known.insert(stream.to_owned())
    }

    /// Forgets a stream of an account.
    pub fn remove(&mut self, context: &Context, place: &Place) {
        for (id, streams) in &mut self.found {
            let account = &context.config.patterns[*id].settings.account;
            if streams.contains(&place.1) && context.aws.resolved(account) == place.0 {
                streams.remove(&place.1);
            }
        }
    }

    /// The subscriptions that follow from it, beside those that the configuration names, whose
    /// streams are left out. `by_alarm` are streams of entries that only name an alarm.
    pub fn subscriptions(
        &self,
        context: &Context,
        by_alarm: &BTreeSet<Place>,
    ) -> BTreeMap<Place, Subscription> {
        let named = named(context);
        let mut fitting: BTreeMap<Place, Vec<&Pattern>> = BTreeMap::new();
        for (id, streams) in &self.found {
            let pattern = &context.config.patterns[*id];
            let account = context.aws.resolved(&pattern.settings.account);
            for stream in streams {
                let place = (account.clone(), stream.clone());
                fitting.entry(place).or_default().push(pattern);
            }
        }
        let mut found = BTreeMap::new();
        for (place, patterns) in fitting {
            let [first, others @ ..] = &patterns[..] else {
                continue;
            };
            let Some(mut subscription) = first.subscription(&place.1) else {
                continue;
            };
            if !others.is_empty() {
                let titles: Vec<String> = patterns.iter().map(|it| it.title()).collect();
                subscription.origin = Origin::Conflict(titles.join(" and ").into());
            }
            let names = [&place.1, &subscription.alarms.scale_up];
            let is_named = |name: &String| named.contains(&(place.0.clone(), name.as_str()));
            if !names.into_iter().any(is_named) && !by_alarm.contains(&place) {
                found.insert(place, subscription);
            }
        }
        found
    }

    /// The streams of a pattern.
    pub fn of(&self, id: PatternId) -> Option<&BTreeSet<String>> {
        self.found.get(&id)
    }
}

/// The streams and alarms that the configuration names.
fn named(context: &Context) -> HashSet<(Account, &str)> {
    let entries = context.config.subscriptions.iter();
    let names = entries.flat_map(|it| {
        let account = context.aws.resolved(&it.account);
        let stream = it.stream.as_deref();
        let names = stream.into_iter().chain([it.alarms.scale_up.as_str()]);
        names.map(move |name| (account.clone(), name))
    });
    names.collect()
}

/// The accounts and Regions that have patterns.
pub fn accounts(context: &Context) -> BTreeSet<&Account> {
    let patterns = context.config.patterns.iter();
    patterns.map(|it| &it.settings.account).collect()
}

/// The patterns of an account and Region.
pub fn patterns<'c>(
    context: &'c Context,
    account: &'c Account,
) -> impl Iterator<Item = (PatternId, &'c Pattern)> {
    let patterns = context.config.patterns.iter().enumerate();
    patterns.filter(|(_, it)| it.settings.account == *account)
}

/// What the alarm names of an account's patterns begin with; none of them begins as another does.
pub fn prefixes(context: &Context, account: &Account) -> BTreeSet<String> {
    let prefixes = patterns(context, account);
    let prefixes = prefixes.map(|(_, it)| it.alarm_name.prefix(&it.glob));
    let mut apart: BTreeSet<String> = BTreeSet::new();
    // In order, so that a prefix comes right before those that begin with it.
    for prefix in prefixes.collect::<BTreeSet<_>>() {
        let is_covered = |it: &String| prefix.starts_with(it.as_str());
        if !apart.last().is_some_and(is_covered) {
            apart.insert(prefix);
        }
    }
    apart
}

/// Lists the alarms of an account and Region that can belong to its patterns.
pub async fn list(context: Arc<Context>, account: Account) -> Result<Listing, aws::Error> {
    let cloudwatch = &context.aws.clients(&account).cloudwatch;
    let mut alarms = BTreeSet::new();
    for prefix in prefixes(&context, &account) {
        alarms.extend(cloudwatch.alarm_names(&prefix).await?);
    }
    let patterns = patterns(&context, &account);
    Ok(patterns.map(|(id, it)| (id, it.pairs(&alarms))).collect())
}

/// The context of a command, with every stream that its patterns subscribe, and those among
/// `nominees` that they would subscribe if the alarms existed. What cannot be listed is told in the
/// roster.
pub async fn discover(context: Context, nominees: &[String]) -> Context {
    if context.config.patterns.is_empty() {
        return context;
    }
    let context = Arc::new(context);
    let mut reads = JoinSet::new();
    for account in accounts(&context) {
        let (context, account) = (context.clone(), account.clone());
        reads.spawn(async move { (account.clone(), list(context, account).await) });
    }
    let (mut discovery, mut roster) = (Discovery::default(), (*context.roster).clone());
    roster.halves.clear();
    roster.unlisted.clear();
    while let Some(read) = reads.join_next().await {
        match read {
            Ok((_, Ok(listing))) => {
                let (_, halves) = discovery.take(listing);
                let title = |id: PatternId| context.config.patterns[id].title().into();
                roster
                    .halves
                    .extend(halves.into_iter().map(|(id, it)| (title(id), it)));
            }
            Ok((account, Err(error))) => roster.unlisted.push((account, error)),
            // These tasks are never cancelled, so that one that did not end has panicked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    for (id, pattern) in context.config.patterns.iter().enumerate() {
        for name in nominees.iter().filter(|it| !glob::is_pattern(it)) {
            if pattern.matches(name) {
                discovery.add(id, name);
            }
        }
    }
    roster
        .halves
        .sort_by(|one, other| one.1.exists.cmp(&other.1.exists));
    roster.unlisted.sort_by(|one, other| one.0.cmp(&other.0));
    roster.update(discovery.subscriptions(&context, &BTreeSet::new()));
    context.with_roster(roster)
}
