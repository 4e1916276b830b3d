//! Reads the merged layers into the declared keys; everything that is wrong is collected.

use figment::value::Value;

use super::{
    keys::Globals,
    layers::{STREAMS, Tree, WINDOWS, variable_name},
    problem::{Complaint, Origin, Problems, wrong},
    reference::{known_keys, tables},
    settings::Settings,
};

/// Reads everything but `[[streams]]`. A key with a wrong value keeps its default.
pub(super) fn globals(tree: &Tree, problems: &mut Problems) -> Globals {
    let mut globals = Globals::default();
    let sections = globals.sections();
    let tables: Vec<&str> = sections
        .iter()
        .map(|it| it.name)
        .chain([STREAMS, WINDOWS])
        .collect();
    for section in sections {
        let mut reader = Reader {
            tree,
            problems: &mut *problems,
            prefix: section.name,
            groups: section.groups,
        };
        match section.name {
            "" => reader.keys(
                tree.merged
                    .iter()
                    .filter(|(name, _)| !tables.contains(&name.as_str())),
            ),
            name => reader.section(tree.merged.get(name)),
        }
    }
    globals
}

/// A section that is being read.
struct Reader<'a, 'g> {
    tree: &'a Tree,
    problems: &'a mut Problems,
    prefix: &'static str,
    groups: Vec<&'g mut dyn Settings>,
}

impl Reader<'_, '_> {
    fn section(&mut self, value: Option<&Value>) {
        match value {
            None => {}
            Some(Value::Dict(_, dict)) => self.keys(dict.iter()),
            Some(value) => {
                let names = names(&self.groups);
                for name in &names {
                    self.problems.excuse(join(self.prefix, name));
                }
                let found = self.tree.written(value);
                let hint = format!("its keys are set one by one: {}", names.join(", "));
                let complaint = wrong(format!("expected a table, found {found}")).hint(hint);
                self.problems.add(self.prefix, complaint);
            }
        }
    }

    fn keys<'v>(&mut self, written: impl Iterator<Item = (&'v String, &'v Value)>) {
        for (name, value) in written {
            let text = self.tree.written(value);
            let set = self.groups.iter_mut().find_map(|it| it.set(name, &text));
            let path = join(self.prefix, name);
            match set {
                Some(Ok(())) => {}
                Some(Err(complaint)) => self.problems.add(path, complaint),
                None if self.tree.is_variable(value) => {
                    self.problems
                        .add(path.clone(), unknown_variable(self.tree, &path));
                }
                None => unknown_key(self.prefix, self.prefix, name, self.problems),
            }
        }
    }
}

fn names(groups: &[&mut dyn Settings]) -> Vec<String> {
    groups
        .iter()
        .flat_map(|it| it.keys())
        .map(|key| key.name.to_owned())
        .collect()
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// Complains about a key that `table` does not have; `prefix` is where it was written.
pub(super) fn unknown_key(table: &str, prefix: &str, name: &str, problems: &mut Problems) {
    let known: Vec<String> = tables()
        .iter()
        .flat_map(|it| match it.name == table {
            true => it.keys.iter().map(|key| key.name).collect(),
            // The other tables are keys of the first one.
            false if table.is_empty() => vec![it.name],
            false => Vec::new(),
        })
        .map(str::to_owned)
        .collect();
    let homes = homes(name);
    let hint = if !homes.is_empty() {
        format!("`{name}` goes {}", homes.join(" or "))
    } else if let Some(near) = nearest(name, &known) {
        problems.excuse(join(prefix, near));
        format!("did you mean `{near}`?")
    } else {
        format!("known here: {}", known.join(", "))
    };
    problems.add(join(prefix, name), wrong("unknown key").hint(hint));
}

/// The tables that have a key of this name, in words.
fn homes(name: &str) -> Vec<String> {
    const TOP: &str = "at the top, before the first [section]";
    let mut homes = Vec::new();
    for table in tables() {
        if table.name == name {
            homes.push(TOP.to_owned());
        }
        if table.keys.iter().any(|key| key.name == name) {
            homes.push(match table.name {
                "" => TOP.to_owned(),
                array @ (STREAMS | WINDOWS) => format!("under [[{array}]]"),
                section => format!("under [{section}]"),
            });
        }
    }
    homes
}

fn unknown_variable(tree: &Tree, path: &str) -> Complaint {
    let variable = match tree.origin(path) {
        Origin::Variable(variable) => variable,
        _ => variable_name(path.split('.')),
    };
    let in_array = |key: &String| [STREAMS, WINDOWS].iter().any(|it| key.starts_with(it));
    let keys = known_keys().into_iter().filter(|it| !in_array(it));
    let variables: Vec<String> = keys
        .chain([STREAMS.to_owned(), WINDOWS.to_owned()])
        .map(|key| variable_name(key.split('.')))
        .collect();
    let hint = match nearest(&variable, &variables) {
        Some(near) => format!("did you mean {near}?"),
        None => "two underscores separate section and key".to_owned(),
    };
    wrong("no key has this variable").hint(hint)
}

/// The candidate that a typing error could have turned into `name`.
pub fn nearest<'c>(name: &str, candidates: &'c [String]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|it| (strsim::damerau_levenshtein(name, it), it.as_str()))
        .filter(|(distance, it)| *distance <= 3.min(it.len() / 3).max(1))
        .min()
        .map(|(_, it)| it)
}
