//! The entries under `[[streams]]`, each read into a subscription.

use std::{collections::HashMap, fmt, sync::Arc};

use autoscaler_core::{
    alarm::AlarmNames,
    pattern::Pattern,
    policy::demand::Share,
    subscription::{Account, Subscription},
    window::Window,
};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    array::{self, Array, Shape},
    check,
    keys::{AccountKeys, Entry, Globals, Identity},
    layers::{STREAMS, Tree, WINDOWS},
    problem::{Complaint, Problems, wrong},
    read::unknown_key,
    template, windows,
    written::Written,
};

pub(super) const SHAPE: Shape = Shape {
    file: "each entry starts with [[streams]], in two pairs of brackets",
    variable: "all entries are set at once: [{name = \"orders\"}, {name = \"clicks\"}]",
};

/// What the entries subscribe.
#[derive(Default)]
pub(super) struct Entries {
    pub subscriptions: Vec<Subscription>,
    pub patterns: Vec<Pattern>,
}

/// An entry that was read.
enum Read {
    Named(Subscription),
    Pattern(Pattern),
}

/// What an entry names.
const IDENTITIES: [&str; 3] = ["name", "alarm", "match"];

/// The array of entries.
pub(super) struct Streams<'t> {
    array: Array<'t>,
    tree: &'t Tree,
}

impl<'t> Streams<'t> {
    pub(super) fn new(tree: &'t Tree, in_file: Option<Spanned<DeValue<'t>>>) -> Self {
        Self {
            array: Array::new(tree, STREAMS, in_file, &SHAPE),
            tree,
        }
    }

    /// The name, alarm or pattern of an entry.
    pub(super) fn label(&self, index: usize) -> Option<&str> {
        let entry = self.array.get(index)?;
        let names = IDENTITIES.map(|key| entry.get(key)?.get_ref().as_str());
        names.into_iter().flatten().next()
    }

    /// Reads every entry; `windows` are those of every stream.
    pub(super) fn read(
        &self,
        globals: &Globals,
        windows: Vec<Window>,
        problems: &mut Problems,
    ) -> Entries {
        match self.array.entries() {
            Ok(Some(array)) if !array.is_empty() => {
                self.entries(array, globals, windows.into(), problems)
            }
            Ok(_) => {
                let complaint = wrong("no stream is subscribed");
                let hint = "add one, or have `kinesis-autoscaler config init` write those of the alarms \
                    that exist:\n[[streams]]\nname = \"orders\"";
                problems.add(STREAMS, complaint.hint(hint));
                Entries::default()
            }
            Err(complaint) => {
                problems.add(STREAMS, complaint);
                Entries::default()
            }
        }
    }

    fn entries(
        &self,
        array: &DeArray<'t>,
        globals: &Globals,
        windows: Arc<[Window]>,
        problems: &mut Problems,
    ) -> Entries {
        let template = Entry::of(globals);
        let home = account(&globals.account, &Account::default());
        let mut subscriptions = Vec::with_capacity(array.len());
        let mut patterns = Vec::new();
        let mut numbers = Vec::with_capacity(array.len());
        for (i, value) in array.iter().enumerate() {
            let shape = self.array.shape();
            let Some(table) = array::table(value.get_ref(), Path(i), shape, problems) else {
                continue;
            };
            let reading = Reading {
                table,
                path: Path(i),
                tree: self.tree,
                globals,
                windows: &windows,
                problems,
            };
            match reading.entry(template.clone(), &home) {
                Some(Read::Named(subscription)) => {
                    subscriptions.push(subscription);
                    numbers.push(i);
                }
                Some(Read::Pattern(pattern)) => patterns.push(pattern),
                None => {}
            }
        }
        let name = |entry, other| self.tree.entry_beside(STREAMS, entry, other);
        check_once(&subscriptions, &numbers, name, problems);
        Entries {
            subscriptions,
            patterns,
        }
    }
}

/// The account of `keys`, completed from `home`, whose texts are shared.
pub(super) fn account(keys: &AccountKeys, home: &Account) -> Account {
    let or = |own: &Option<String>, home: &Option<Arc<str>>| match own {
        Some(own) => Some(Arc::from(own.as_str())),
        None => home.clone(),
    };
    Account {
        region: or(&keys.region, &home.region),
        profile: or(&keys.profile, &home.profile),
        role_arn: or(&keys.role_arn, &home.role_arn),
    }
}

/// The key path of an entry, which is written only in errors.
#[derive(Clone, Copy)]
struct Path(usize);

impl Path {
    fn key(self, name: &str) -> String {
        match name {
            "" => self.to_string(),
            _ => format!("{self}.{name}"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STREAMS}[{}]", self.0)
    }
}

/// An entry that is being read.
struct Reading<'a> {
    table: &'a DeTable<'a>,
    path: Path,
    tree: &'a Tree,
    globals: &'a Globals,
    /// Those of every stream.
    windows: &'a Arc<[Window]>,
    problems: &'a mut Problems,
}

impl Reading<'_> {
    fn entry(mut self, mut entry: Entry, home: &Account) -> Option<Read> {
        self.keys(&mut entry);
        self.relations(&entry);
        let windows = self.windows(&entry);
        let alarms = self.alarms(&entry)?;
        let account = account(&entry.account, home);
        let reads = entry.reads.reads;
        let share = Share::of_ratio(self.globals.design.throttle_share);
        let Identity {
            name,
            r#match,
            except,
            ..
        } = entry.identity;
        let settings = entry.settings;
        let subscription = settings.subscription(name, alarms, account, reads, windows, share);
        Some(match r#match {
            None => Read::Named(subscription),
            Some(glob) => Read::Pattern(Pattern {
                entry: self.path.0,
                key: self.tree.entry_alone(STREAMS, self.path.0),
                glob,
                except,
                alarm_name: entry.naming.alarm_name,
                settings: subscription,
            }),
        })
    }

    fn keys(&mut self, entry: &mut Entry) {
        for (name, value) in self.table {
            let name = name.get_ref().as_ref();
            if name == WINDOWS {
                continue;
            }
            let written = Written::of_toml(value.get_ref());
            match entry.set(name, &written) {
                Some(Ok(())) => {}
                Some(Err(complaint)) => self.add(name, complaint),
                None => unknown_key(STREAMS, &self.path.to_string(), name, self.problems),
            }
        }
    }

    /// The windows of every stream, and the entry's own.
    fn windows(&mut self, entry: &Entry) -> Arc<[Window]> {
        let Some(value) = self.table.get(WINDOWS) else {
            return self.windows.clone();
        };
        match array::entries(value.get_ref(), windows::OF_STREAM) {
            Ok(entries) => {
                let (path, max) = (self.path.to_string(), entry.settings.max_shards);
                let own = windows::of_stream(entries, &path, max, self.problems);
                self.windows.iter().cloned().chain(own).collect()
            }
            Err(complaint) => {
                self.add(WINDOWS, complaint);
                self.windows.clone()
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Checks the entry's own values against others; those of `[defaults]` are checked there.
    fn relations(&mut self, entry: &Entry) {
        let mut bound_keys = ["min_shards", "max_shards"].into_iter();
        if let Some(key) = bound_keys.find(|key| self.has(key))
            && let Err(complaint) = check::bounds(&entry.settings)
        {
            self.add(key, complaint);
        }
        for (key, period) in check::cooldowns(&entry.settings) {
            if self.has(key)
                && let Err(complaint) = check::cooldown(period, self.globals)
            {
                self.add(key, complaint);
            }
        }
    }

    /// The alarms that the entry names; those of a pattern are not filled in.
    fn alarms(&mut self, entry: &Entry) -> Option<AlarmNames> {
        if self.has("except") && !self.has("match") {
            let complaint = wrong("`except` leaves streams out of a `match`, and there is none");
            let hint = "add `match = \"prod-*\"`, or remove `except`";
            self.add("except", complaint.hint(hint));
        }
        match IDENTITIES.map(|key| self.has(key)) {
            [true, false, false] => self.alarms_of(entry.identity.name.as_ref()?, entry),
            [false, true, false] => {
                if self.has("alarm_name") {
                    let complaint = wrong("`alarm` already names the pair");
                    self.add("alarm_name", complaint.hint("remove one of the two"));
                }
                template::pair(entry.identity.alarm.as_ref()?).ok()
            }
            [false, false, true] => self.alarms_of_pattern(entry),
            [true, true, false] => {
                let complaint = wrong("an entry has either `name` or `alarm`, this one has both");
                let hint = "`alarm` also names the stream; with `name`, use `alarm_name`";
                self.add("alarm", complaint.hint(hint));
                None
            }
            [name, _, true] => {
                let other = if name { "name" } else { "alarm" };
                let complaint = wrong(format!(
                    "an entry has either `{other}` or `match`, this one has both"
                ));
                let hint = "write two entries: what is named has the settings of its own entry";
                self.add("match", complaint.hint(hint));
                None
            }
            [false, false, false] => {
                let complained = |key: &str| self.problems.is_settled(&self.path.key(key));
                if !["", "except"].into_iter().chain(IDENTITIES).any(complained) {
                    let complaint =
                        wrong("the entry has neither `name` nor `alarm`, and no `match` either");
                    let hint = "`name` is the stream's name; `alarm` is either alarm of its pair; \
                                `match` is a pattern of names";
                    self.add("", complaint.hint(hint));
                }
                None
            }
        }
    }

    fn alarms_of_pattern(&mut self, entry: &Entry) -> Option<AlarmNames> {
        let template = &entry.naming.alarm_name;
        // That of `[defaults]` is checked there.
        if self.has("alarm_name") && !template.names_the_stream() {
            let complaint =
                wrong("has no {stream} in it, so the alarms do not tell the streams apart");
            let hint = "expected for example \"{stream}-{direction}-alarm\"";
            self.add("alarm_name", complaint.hint(hint));
            return None;
        }
        entry.identity.r#match.as_ref()?;
        // Any name shows whether the text of the template is that of a pair.
        self.alarms_of("x", entry)?;
        Some(AlarmNames {
            scale_up: String::new(),
            scale_down: String::new(),
        })
    }

    fn alarms_of(&mut self, name: &str, entry: &Entry) -> Option<AlarmNames> {
        match template::names(&entry.naming.alarm_name, name) {
            Ok(names) => Some(names),
            Err(complaint) => {
                let by_pattern = self.has("match");
                let key = match (self.has("alarm_name"), by_pattern) {
                    (true, _) => "alarm_name",
                    (false, true) => "match",
                    (false, false) => "name",
                };
                let hint = "or use `alarm` in place of `name`, with the name of either alarm";
                self.add(
                    key,
                    match by_pattern {
                        true => complaint,
                        false => complaint.and_hint(hint),
                    },
                );
                None
            }
        }
    }

    fn add(&mut self, key: &str, complaint: Complaint) {
        self.problems.add(self.path.key(key), complaint);
    }
}

/// Complains about streams and alarms that are subscribed more than once; `numbers` are those of
/// the entries, and `name` is what to call an entry in a message about another.
fn check_once(
    subscriptions: &[Subscription],
    numbers: &[usize],
    name: impl Fn(usize, usize) -> String,
    problems: &mut Problems,
) {
    let mut streams: HashMap<(&Account, &str), usize> = HashMap::with_capacity(numbers.len());
    // One name of a pair stands for both: each follows from the other.
    let mut alarms: HashMap<(&Account, &str), usize> = HashMap::with_capacity(numbers.len());
    for (subscription, i) in subscriptions.iter().zip(numbers) {
        let account = &subscription.account;
        if let Some(stream) = &subscription.stream {
            let first = *streams.entry((account, stream)).or_insert(*i);
            if first != *i {
                let text = format!("{stream:?} is already subscribed by {}", name(first, *i));
                let hint = "remove one, or give them different accounts or Regions";
                problems.add(Path(*i).key("name"), wrong(text).hint(hint));
                continue;
            }
        }
        let alarm = &subscription.alarms.scale_up;
        let first = *alarms.entry((account, alarm)).or_insert(*i);
        if first != *i {
            let key = match subscription.stream {
                Some(_) => "alarm_name",
                None => "alarm",
            };
            let text = format!("{alarm:?} is already the alarm of {}", name(first, *i));
            problems.add(
                Path(*i).key(key),
                wrong(text).hint("each stream has its own pair of alarms"),
            );
        }
    }
}
