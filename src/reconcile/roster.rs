//! The subscriptions in force: those that the configuration names, and those that its patterns have
//! discovered. It is a value; the tick replaces it when a stream appears or goes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use autoscaler_core::{
    pattern::Half,
    subscription::{Account, Subscription, SubscriptionId},
};

use crate::{aws, config::Config};

/// Identifies a discovered stream: its account, with the Region that was found for it, and name.
pub type Place = (Account, String);

/// All subscriptions. An id stays that of its stream for as long as the process runs, also while
/// the stream is gone.
#[derive(Clone, Debug)]
pub struct Roster {
    /// Its subscriptions have the first ids.
    config: Arc<Config>,
    /// Those of discovered streams, also of those that are gone.
    found: Vec<Arc<Subscription>>,
    places: HashMap<Place, SubscriptionId>,
    gone: BTreeSet<SubscriptionId>,
    /// What the last listing of alarms could not subscribe, and what it could not read. Only
    /// commands show it.
    pub halves: Vec<(Arc<str>, Half)>,
    pub unlisted: Vec<(Account, aws::Error)>,
}

/// What an update has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub appeared: Vec<SubscriptionId>,
    /// Streams that have other settings than before.
    pub changed: Vec<SubscriptionId>,
    pub gone: Vec<SubscriptionId>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Roster {
    /// The subscriptions that the configuration names.
    pub fn of(config: Arc<Config>) -> Self {
        Self {
            config,
            found: Vec::new(),
            places: HashMap::new(),
            gone: BTreeSet::new(),
            halves: Vec::new(),
            unlisted: Vec::new(),
        }
    }

    /// The subscription with this id, also if its stream is gone; the id must come from this
    /// roster or from one that it was made from.
    pub fn get(&self, id: SubscriptionId) -> &Subscription {
        let named = &self.config.subscriptions;
        match id.index().checked_sub(named.len()) {
            None => &named[id.index()],
            Some(index) => &self.found[index],
        }
    }

    /// All subscriptions, in order.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        let ids = (0..self.end()).map(SubscriptionId::new);
        ids.filter(|id| self.has(*id)).map(|id| self.get(id))
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.end() - self.gone.len()
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the highest id.
    pub fn end(&self) -> usize {
        self.config.subscriptions.len() + self.found.len()
    }

    /// Whether the id is that of a subscription, and its stream is not gone.
    pub fn has(&self, id: SubscriptionId) -> bool {
        id.index() < self.end() && !self.gone.contains(&id)
    }

    /// The discovered stream at this place, unless it is gone.
    pub fn discovered(&self, place: &Place) -> Option<SubscriptionId> {
        let id = *self.places.get(place)?;
        self.has(id).then_some(id)
    }

    /// Makes `found` the discovered streams.
    pub fn update(&mut self, found: BTreeMap<Place, Subscription>) -> Changes {
        let mut changes = Changes::default();
        let lost = self
            .places
            .iter()
            .filter(|(it, _)| !found.contains_key(*it));
        let lost: BTreeSet<SubscriptionId> = lost.map(|(_, id)| *id).collect();
        changes.gone.extend(lost.difference(&self.gone));
        self.gone.extend(lost);
        let named = self.config.subscriptions.len();
        for (place, subscription) in found {
            let Some(id) = self.places.get(&place).copied() else {
                let id = SubscriptionId::new(self.end());
                self.places.insert(place, id);
                self.found.push(Arc::new(subscription));
                changes.appeared.push(id);
                continue;
            };
            let known = &mut self.found[id.index() - named];
            match (self.gone.remove(&id), **known == subscription) {
                (false, true) => continue,
                (false, false) => changes.changed.push(id),
                (true, _) => changes.appeared.push(id),
            }
            *known = Arc::new(subscription);
        }
        changes
    }

    /// Drops all subscriptions but those with these ids.
    pub fn keep(&mut self, ids: &[SubscriptionId]) {
        let all = (0..self.end()).map(SubscriptionId::new);
        self.gone.extend(all.filter(|id| !ids.contains(id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> Config {
        let text = format!("[log]\ntable = \"logs\"\n[[streams]]\nname = {name:?}\n");
        Config::from_toml(&text).expect("a configuration")
    }

    fn subscription(name: &str) -> Subscription {
        config(name).subscriptions[0].clone()
    }

    fn found(names: &[&str]) -> BTreeMap<Place, Subscription> {
        let place = |name: &&str| ((Account::default(), (*name).to_owned()), subscription(name));
        names.iter().map(place).collect()
    }

    #[test]
    fn an_id_stays_that_of_its_stream() {
        let mut roster = Roster::of(config("named").into());
        for (names, ids, [appeared, changed, gone]) in [
            (&["b", "a"][..], &[0, 1, 2][..], [&[1, 2][..], &[], &[]]),
            (&["a", "b"], &[0, 1, 2], [&[], &[], &[]]),
            (&["b"], &[0, 2], [&[], &[], &[1]]),
            (&["0", "b"], &[0, 2, 3], [&[3], &[], &[]]),
            (&["0", "a", "b"], &[0, 1, 2, 3], [&[1], &[], &[]]),
            (&[], &[0], [&[], &[], &[1, 2, 3]]),
        ] {
            let id = |index: &usize| SubscriptionId::new(*index);
            let list = |indices: &[usize]| indices.iter().map(id).collect::<Vec<_>>();
            let expected = Changes {
                appeared: list(appeared),
                changed: list(changed),
                gone: list(gone),
            };
            assert_eq!(roster.update(found(names)), expected, "{names:?}");
            let all = (0..roster.end()).map(SubscriptionId::new);
            let all: Vec<_> = all.filter(|id| roster.has(*id)).collect();
            assert_eq!(all, list(ids), "{names:?}");
            assert_eq!(roster.len(), ids.len(), "{names:?}");
        }
        assert_eq!(
            roster.get(SubscriptionId::new(2)).label(),
            "b",
            "it is gone"
        );
        let mut changed = found(&["b"]);
        roster.update(changed.clone());
        for subscription in changed.values_mut() {
            subscription.max_shards = 7;
        }
        let changes = roster.update(changed);
        assert_eq!(changes.changed, [SubscriptionId::new(2)]);
        assert_eq!(roster.get(SubscriptionId::new(2)).max_shards, 7);
    }
}
