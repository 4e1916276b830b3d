//! What is open and what waits to be delivered, in memory and in the state directory.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::reconcile::{
    events::{Conditions, Event},
    state_file,
};

/// The file in the state directory.
const FILE: &str = "notifications.json";
/// The most events that wait for one target.
const MOST_WAITING: usize = 1_000;
/// An event that could not be delivered for this long is given up.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// The record. The daemon adds to it, and each target's task takes from it.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    content: Mutex<Content>,
    /// Held while the file is written: a write that outlives its task must not meet the next one.
    file: Mutex<()>,
    /// The content differs from the file.
    changed: Notify,
    /// Something was added; one for each target.
    added: BTreeMap<&'static str, Notify>,
    /// Something was removed.
    removed: Notify,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    conditions: Conditions,
    /// By the target's name, oldest first.
    waiting: BTreeMap<String, VecDeque<Event>>,
}

/// What a target's task finds in its queue.
#[derive(Debug)]
pub(super) enum Next {
    Event(Box<Event>),
    /// An event that is too old was removed.
    GivenUp(Box<Event>),
    Nothing,
}

impl Record {
    /// Reads the record of an earlier process.
    pub fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let content = match state_file::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the record of notifications is damaged; open conditions are notified again");
                Content::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, path = %path.display(), "the record of notifications cannot be read; open conditions are notified again");
                }
                Content::default()
            }
        };
        let added = super::target::NAMES.map(|name| (name, Notify::new()));
        Self {
            path,
            content: Mutex::new(content),
            file: Mutex::new(()),
            changed: Notify::new(),
            added: added.into(),
            removed: Notify::new(),
        }
    }

    /// Keeps the queues of these targets only.
    pub fn serve(&self, targets: &[&str]) {
        let waiting = &mut self.lock().waiting;
        waiting.retain(|name, _| targets.contains(&name.as_str()));
        for name in targets {
            waiting.entry((*name).to_owned()).or_default();
        }
    }

    /// Changes the conditions, and adds the events of the change to every queue. Returns how many
    /// had to make room: scalings go first, then the oldest.
    pub fn update(&self, change: impl FnOnce(&mut Conditions) -> Vec<Event>) -> usize {
        let mut content = self.lock();
        let before = content.conditions.clone();
        let events = change(&mut content.conditions);
        if events.is_empty() && content.conditions == before {
            return 0;
        }
        let mut dropped = 0;
        for queue in content.waiting.values_mut() {
            queue.extend(events.iter().cloned());
            while queue.len() > MOST_WAITING {
                let place = queue.iter().position(|event| !event.is_urgent());
                queue.remove(place.unwrap_or(0));
                dropped += 1;
            }
        }
        self.added.values().for_each(Notify::notify_one);
        self.changed.notify_one();
        dropped
    }

    /// The event that is to be delivered to `target`.
    pub fn next(&self, target: &str, now: Timestamp) -> Next {
        let mut content = self.lock();
        let Some(queue) = content.waiting.get_mut(target) else {
            return Next::Nothing;
        };
        let Some(event) = queue.front() else {
            return Next::Nothing;
        };
        if now.duration_since(event.time) < KEPT {
            return Next::Event(Box::new(event.clone()));
        }
        match queue.pop_front() {
            Some(event) => {
                drop(content);
                self.note_removed();
                Next::GivenUp(Box::new(event))
            }
            None => Next::Nothing,
        }
    }

    /// Waits until something may have been added for `target`.
    pub async fn added(&self, target: &str) {
        match self.added.get(target) {
            Some(added) => added.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Removes a delivered event from a queue.
    pub fn remove(&self, target: &str, event: &Event) {
        if let Some(queue) = self.lock().waiting.get_mut(target) {
            queue.retain(|waiting| waiting.id != event.id);
        }
        self.note_removed();
    }

    /// Lets others go before an event that fails again and again.
    pub fn postpone(&self, target: &str, event: &Event) {
        if let Some(queue) = self.lock().waiting.get_mut(target) {
            let place = queue.iter().position(|waiting| waiting.id == event.id);
            if let Some(event) = place.and_then(|place| queue.remove(place)) {
                queue.push_back(event);
            }
        }
    }

    /// How many deliveries are left.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.values().map(VecDeque::len).sum()
    }

    /// Waits until nothing is left to deliver.
    pub async fn emptied(&self) {
        while self.waiting() > 0 {
            self.removed.notified().await;
        }
    }

    fn note_removed(&self) {
        self.removed.notify_one();
        self.changed.notify_one();
    }

    /// Saves the record whenever it has changed.
    pub async fn save_changes(self: &Arc<Self>) {
        loop {
            self.changed.notified().await;
            self.save().await;
        }
    }

    /// Saves the record, away from the thread that scales: a disk may be slow.
    pub async fn save(self: &Arc<Self>) {
        let record = self.clone();
        let saved = tokio::task::spawn_blocking(move || record.write()).await;
        let error = match saved {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, path = %self.path.display(), "the record of notifications cannot be saved; after a restart some are repeated");
    }

    fn write(&self) -> io::Result<()> {
        let _turn = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Strings, numbers and times always serialize.
        let text = serde_json::to_vec(&*self.lock()).unwrap_or_default();
        state_file::replace(&self.path, &text)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_at_the_same_time_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().expect("a directory");
        let record = Record::load(folder.path());
        let write = || (0..50).try_for_each(|_| record.write());
        std::thread::scope(|scope| {
            for writer in [(); 4].map(|()| scope.spawn(write)) {
                writer.join().expect("it ends").expect("it is written");
            }
        });
    }
}
