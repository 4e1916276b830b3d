//! The subscriptions in force: those that the configuration names, and those that its patterns have
//! discovered. It is a value; the tick replaces it when a stream appears or goes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use autoscaler_core::{
    pattern::Half,
    subscription::{Account, Subscription, SubscriptionId},
};

use crate::aws;

/// Identifies a discovered stream: its account, with the Region that was found for it, and name.
pub type Place = (Account, String);

/// All subscriptions. An id stays that of its stream for as long as the process runs, also while
/// the stream is gone.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    slots: Vec<Slot>,
    /// The slots of discovered streams, also of those that are gone.
    discovered: HashMap<Place, SubscriptionId>,
    /// How many streams are gone.
    gone: usize,
    /// What the last listing of alarms could not subscribe, and what it could not read. Only
    /// commands show it.
    pub halves: Vec<(Arc<str>, Half)>,
    pub unlisted: Vec<(Account, aws::Error)>,
}

#[derive(Clone, Debug)]
struct Slot {
    subscription: Arc<Subscription>,
    is_gone: bool,
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
    pub fn of(subscriptions: &[Subscription]) -> Self {
        let slot = |subscription: &Subscription| Slot {
            subscription: Arc::new(subscription.clone()),
            is_gone: false,
        };
        Self {
            slots: subscriptions.iter().map(slot).collect(),
            ..Self::default()
        }
    }

    /// The subscription with this id, also if its stream is gone; the id must come from this
    /// roster or from one that it was made from.
    pub fn get(&self, id: SubscriptionId) -> &Subscription {
        &self.slots[id.index()].subscription
    }

    /// All subscriptions, in order.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        let slots = self.slots.iter().filter(|slot| !slot.is_gone);
        slots.map(|slot| &*slot.subscription)
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.gone
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the highest id.
    pub fn end(&self) -> usize {
        self.slots.len()
    }

    /// Whether the id is that of a subscription, and its stream is not gone.
    pub fn has(&self, id: SubscriptionId) -> bool {
        self.slots.get(id.index()).is_some_and(|it| !it.is_gone)
    }

    /// The discovered stream at this place, unless it is gone.
    pub fn discovered(&self, place: &Place) -> Option<SubscriptionId> {
        let id = *self.discovered.get(place)?;
        self.has(id).then_some(id)
    }

    /// Makes `found` the discovered streams.
    pub fn update(&mut self, found: BTreeMap<Place, Subscription>) -> Changes {
        let mut changes = Changes::default();
        for (place, id) in &self.discovered {
            let slot = &mut self.slots[id.index()];
            if !slot.is_gone && !found.contains_key(place) {
                slot.is_gone = true;
                self.gone += 1;
                changes.gone.push(*id);
            }
        }
        changes.gone.sort_unstable();
        for (place, subscription) in found {
            let Some(id) = self.discovered.get(&place).copied() else {
                let id = SubscriptionId::new(self.slots.len());
                self.discovered.insert(place, id);
                self.slots.push(Slot {
                    subscription: Arc::new(subscription),
                    is_gone: false,
                });
                changes.appeared.push(id);
                continue;
            };
            let slot = &mut self.slots[id.index()];
            match (slot.is_gone, *slot.subscription == subscription) {
                (false, true) => continue,
                (false, false) => changes.changed.push(id),
                (true, _) => {
                    slot.is_gone = false;
                    self.gone -= 1;
                    changes.appeared.push(id);
                }
            }
            slot.subscription = Arc::new(subscription);
        }
        changes
    }

    /// Drops all subscriptions but those with these ids.
    pub fn keep(&mut self, ids: &[SubscriptionId]) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_gone && !ids.contains(&SubscriptionId::new(index)) {
                slot.is_gone = true;
                self.gone += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn subscription(name: &str) -> Subscription {
        let text = format!("[log]\ntable = \"logs\"\n[[streams]]\nname = {name:?}\n");
        let config = Config::from_toml(&text).expect("a configuration");
        config.subscriptions[0].clone()
    }

    fn found(names: &[&str]) -> BTreeMap<Place, Subscription> {
        let place = |name: &&str| ((Account::default(), (*name).to_owned()), subscription(name));
        names.iter().map(place).collect()
    }

    #[test]
    fn an_id_stays_that_of_its_stream() {
        let mut roster = Roster::of(&[subscription("named")]);
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
