//! Every key that a configuration may have, as data, and the walk that holds a configuration against it.

use std::time::Duration;

use figment::value::{Dict, Num, Value};

use super::{
    format,
    layers::{Tree, variable_name},
    problem::{Complaint, Problems, wrong},
};

/// One known key.
#[derive(Debug)]
struct Key {
    name: &'static str,
    kind: Kind,
}

/// The known keys of one table.
type Keys = &'static [Key];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text(fn(&str) -> Result<(), Complaint>),
    Duration {
        zero: bool,
    },
    Whole {
        min: u32,
        max: u32,
    },
    /// Calls per second.
    Rate,
    /// From 0, or above it, to 1.
    Ratio {
        zero: bool,
    },
    /// A ratio of at most three decimals.
    Permille {
        zero: bool,
    },
    Flag,
    Texts,
    Table(Keys),
    /// An array of tables.
    Tables(Keys),
}

use Kind::{Flag, Permille, Rate, Ratio, Table, Tables, Text, Texts, Whole};

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

const DURATION: Kind = Kind::Duration { zero: false };
const DURATION_OR_ZERO: Kind = Kind::Duration { zero: true };
const MEMORY: Kind = DURATION;
const RATIO: Kind = Ratio { zero: false };
const SHARDS: Kind = Whole {
    min: 1,
    max: 10_000,
};
const PERIODS: Kind = Whole {
    min: 1,
    max: 10_080,
};
const SCALE_UPS: Kind = Whole { min: 0, max: 10 };
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

static ROOT: Keys = &[
    key("schedule", Text(format::schedule)),
    key("audit_interval", DURATION_OR_ZERO),
    key("tick_timeout", DURATION),
    key("call_timeout", DURATION),
    key("log_format", Text(format::log_format)),
    key("state_dir", Text(format::path)),
    key("aws", Table(AWS)),
    key("log", Table(LOG)),
    key("quotas", Table(QUOTAS)),
    key("high_availability", Table(HIGH_AVAILABILITY)),
    key("metrics", Table(METRICS)),
    key("alarms", Table(ALARMS)),
    key("defaults", Table(STREAM_DEFAULTS)),
    key("streams", Tables(STREAM)),
];

static AWS: Keys = &[
    key("region", Text(format::region)),
    key("profile", Text(format::profile)),
    key("role_arn", Text(format::role_arn)),
    key("ca_bundle", Text(format::path)),
];

static LOG: Keys = &[
    key("table", Text(format::table_name)),
    key("retention_days", Whole { min: 1, max: 3650 }),
];

static QUOTAS: Keys = &[
    key("describe_alarms", Rate),
    key("put_metric_alarm", Rate),
    key("set_alarm_state", Rate),
    key("describe_stream_summary", Rate),
    key("update_shard_count", Rate),
];

static HIGH_AVAILABILITY: Keys = &[key("lease_duration", DURATION)];

static METRICS: Keys = &[key("listen", Text(format::listen))];

static ALARMS: Keys = &[
    key("up_threshold", RATIO),
    key("down_threshold", RATIO),
    key("up_periods", PERIODS),
    key("down_periods", PERIODS),
    key(
        "period_seconds",
        Whole {
            min: 60,
            max: 86_400,
        },
    ),
    key("throttle_share", Ratio { zero: true }),
    key("ignore_fields", Texts),
    key("reads", Flag),
];

static STREAM_DEFAULTS: Keys = &[
    key("alarm_name", Text(format::default_alarm_name)),
    key("min_shards", SHARDS),
    key("max_shards", SHARDS),
    key("cooldown_up", DURATION_OR_ZERO),
    key("cooldown_down", DURATION_OR_ZERO),
    key("reserved_scale_ups", SCALE_UPS),
    key("policy", Text(format::policy)),
    key("memory", MEMORY),
    key("fill", Permille { zero: false }),
    key("saving", Permille { zero: true }),
    key("max_iterator_age", DURATION_OR_ZERO),
];

static STREAM: Keys = &[
    key("name", Text(format::stream_name)),
    key("alarm", Text(format::alarm)),
    key("alarm_name", Text(format::alarm_name)),
    key("region", Text(format::region)),
    key("profile", Text(format::profile)),
    key("role_arn", Text(format::role_arn)),
    key("min_shards", SHARDS),
    key("max_shards", SHARDS),
    key("cooldown_up", DURATION_OR_ZERO),
    key("cooldown_down", DURATION_OR_ZERO),
    key("reserved_scale_ups", SCALE_UPS),
    key("policy", Text(format::policy)),
    key("memory", MEMORY),
    key("fill", Permille { zero: false }),
    key("saving", Permille { zero: true }),
    key("max_iterator_age", DURATION_OR_ZERO),
    key("reads", Flag),
];

/// The path of every known key, `streams.name` for those of an entry under `[[streams]]`.
pub fn known_keys() -> Vec<String> {
    let mut paths = Vec::new();
    each(ROOT, "", &mut |path, kind| {
        if !matches!(kind, Table(_) | Tables(_)) {
            paths.push(path.to_owned());
        }
    });
    paths
}

fn each(keys: Keys, prefix: &str, visit: &mut dyn FnMut(&str, &Kind)) {
    for Key { name, kind } in keys {
        let path = join(prefix, name);
        visit(&path, kind);
        if let Table(keys) | Tables(keys) = kind {
            each(keys, &path, visit);
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        _ => format!("{prefix}.{name}"),
    }
}

/// Holds `tree` against the known keys. What comes back has none but those, each of its kind and in its range;
/// a value that was complained about is replaced by its default, or left out.
pub(super) fn clean(tree: &Tree, problems: &mut Problems) -> Value {
    let mut walk = Walk { tree, problems };
    Value::from(walk.table(ROOT, &tree.merged, Some(&tree.defaults), ""))
}

struct Walk<'a> {
    tree: &'a Tree,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    fn table(&mut self, keys: Keys, dict: &Dict, fallback: Option<&Dict>, path: &str) -> Dict {
        for (name, value) in dict {
            if !keys.iter().any(|key| key.name == name) {
                self.unknown(keys, path, name, value);
            }
        }
        let mut cleaned = Dict::new();
        for Key { name, kind } in keys {
            let fallback = fallback.and_then(|it| it.get(*name));
            let Some(value) = dict.get(*name) else {
                continue;
            };
            let path = join(path, name);
            let value = match self.value(kind, value, fallback, &path) {
                Ok(value) => Some(value),
                Err(complaint) => {
                    if let Table(keys) = kind {
                        keys.iter()
                            .for_each(|key| self.problems.excuse(join(&path, key.name)));
                    }
                    self.problems.add(path, complaint);
                    fallback.cloned()
                }
            };
            cleaned.extend(value.map(|value| ((*name).to_owned(), value)));
        }
        cleaned
    }

    fn value(
        &mut self,
        kind: &Kind,
        value: &Value,
        fallback: Option<&Value>,
        path: &str,
    ) -> Result<Value, Complaint> {
        let bare = self.tree.bare_text(value);
        match kind {
            Text(check) => {
                let text = value.as_str().ok_or_else(|| expected("a string", value))?;
                check(text)?;
                Ok(Value::from(text))
            }
            Kind::Duration { zero } => {
                let text = value.as_str().ok_or_else(|| {
                    expected("a duration", value).hint("write it as a string with units: \"15m\"")
                })?;
                duration(text, *zero)?;
                Ok(Value::from(text))
            }
            Whole { min, max } => {
                let number = whole(value, bare).ok_or_else(|| expected("a whole number", value))?;
                match u32::try_from(number) {
                    Ok(number) if (*min..=*max).contains(&number) => Ok(Value::from(number)),
                    _ => Err(wrong(format!("must be from {min} to {max}, is {number}"))),
                }
            }
            Rate => {
                let number = rate(value, bare).ok_or_else(|| expected("a number", value))?;
                if !number.is_finite() || number <= 0.0 {
                    return Err(wrong(format!(
                        "must be a finite number above 0, is {number}"
                    )));
                }
                Ok(Value::from(number))
            }
            Ratio { zero } => ratio(value, bare, *zero).map(Value::from),
            Permille { zero } => {
                let number = ratio(value, bare, *zero)?;
                if (number * 1000.0 - (number * 1000.0).round()).abs() > 1e-6 {
                    return Err(wrong(format!(
                        "must have at most three decimals, is {number}"
                    )));
                }
                Ok(Value::from(number))
            }
            Flag => {
                let flag = match bare {
                    Some(text) => text.trim().parse().ok(),
                    None => value.to_bool(),
                };
                flag.map(Value::from)
                    .ok_or_else(|| expected("true or false", value))
            }
            Texts => {
                let parsed = bare.and_then(format::inline_value);
                let value = parsed.as_ref().unwrap_or(value);
                let texts = value
                    .as_array()
                    .and_then(|it| it.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                texts
                    .map(Value::from)
                    .ok_or_else(|| expected("an array of strings", value))
            }
            Table(keys) => {
                let dict = value.as_dict().ok_or_else(|| {
                    let names: Vec<_> = keys.iter().map(|key| key.name).collect();
                    let hint = format!("its keys are set one by one: {}", names.join(", "));
                    expected("a table", value).hint(hint)
                })?;
                let fallback = fallback.and_then(Value::as_dict);
                Ok(Value::from(self.table(keys, dict, fallback, path)))
            }
            Tables(keys) => self.tables(keys, value, bare, path),
        }
    }

    fn tables(
        &mut self,
        keys: Keys,
        original: &Value,
        bare: Option<&str>,
        path: &str,
    ) -> Result<Value, Complaint> {
        let parsed = bare.and_then(format::inline_value);
        let value = parsed.as_ref().unwrap_or(original);
        let hint = || match self.tree.is_variable(original) {
            true => {
                "all entries are set at once: [{name = \"orders\"}, {name = \"clicks\"}]".to_owned()
            }
            false => format!("each entry starts with [[{path}]], in two pairs of brackets"),
        };
        let array = value
            .as_array()
            .ok_or_else(|| expected("an array of tables", value).hint(hint()))?;
        let mut cleaned = Vec::with_capacity(array.len());
        for (i, entry) in array.iter().enumerate() {
            let path = format!("{path}[{i}]");
            // A wrong entry leaves an empty one, so that the others keep their places.
            cleaned.push(match entry.as_dict() {
                Some(dict) => self.table(keys, dict, None, &path),
                None => {
                    let complaint = expected("a table", entry).hint(hint());
                    self.problems.add(path, complaint);
                    Dict::new()
                }
            });
        }
        Ok(Value::from(cleaned))
    }

    fn unknown(&mut self, keys: Keys, prefix: &str, name: &str, value: &Value) {
        let path = join(prefix, name);
        if self.tree.is_variable(value) {
            let variable = match self.tree.origin(&path) {
                super::Origin::Variable(variable) => variable,
                _ => variable_name(path.split('.')),
            };
            let hint = nearest(&variable, &variables())
                .map(|near| format!("did you mean {near}?"))
                .unwrap_or_else(|| "levels are joined by two underscores".to_owned());
            let complaint = wrong("no key has this variable").hint(hint);
            return self.problems.add(path, complaint);
        }
        let mut complaint = wrong("unknown key");
        let names: Vec<_> = keys.iter().map(|key| key.name.to_owned()).collect();
        let elsewhere = homes(name);
        if !elsewhere.is_empty() {
            complaint = complaint.hint(format!("`{name}` belongs {}", elsewhere.join(" or ")));
        } else if let Some(near) = nearest(name, &names) {
            complaint = complaint.hint(format!("did you mean `{near}`?"));
            self.problems.excuse(join(prefix, near));
        } else {
            complaint = complaint.hint(format!("known here: {}", names.join(", ")));
        }
        self.problems.add(path, complaint);
    }
}

/// The tables that know a key of this name, in words.
fn homes(name: &str) -> Vec<String> {
    let mut homes = Vec::new();
    each(ROOT, "", &mut |path, _| match path.rsplit_once('.') {
        Some(("streams", last)) if last == name => homes.push("under [[streams]]".to_owned()),
        Some((section, last)) if last == name => homes.push(format!("under [{section}]")),
        None if path == name => homes.push("at the top, before the first [section]".to_owned()),
        _ => {}
    });
    homes
}

fn variables() -> Vec<String> {
    let mut names = vec![variable_name(["streams"].into_iter())];
    names.extend(
        known_keys()
            .iter()
            .filter(|path| !path.starts_with("streams."))
            .map(|path| variable_name(path.split('.'))),
    );
    names
}

/// The candidate that a typing error could have made of `name`.
pub fn nearest<'c>(name: &str, candidates: &'c [String]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|it| (strsim::damerau_levenshtein(name, it), it.as_str()))
        .filter(|(distance, it)| *distance <= 3.min(it.len() / 3).max(1))
        .min()
        .map(|(_, it)| it)
}

/// Parses a duration as the keys take it: humantime's notation, at most 366 days.
pub(super) fn duration(text: &str, zero: bool) -> Result<Duration, Complaint> {
    let duration = humantime::parse_duration(text.trim()).map_err(|error| {
        wrong(format!("`{text}` is no duration: {error}")).hint("write it as \"90s\" or \"1h 30m\"")
    })?;
    if duration > MAX_DURATION {
        return Err(wrong(format!("must be at most 366 days, is {text}")));
    }
    if duration.is_zero() && !zero {
        return Err(wrong("must be longer than 0s"));
    }
    Ok(duration)
}

fn whole(value: &Value, bare: Option<&str>) -> Option<i128> {
    if let Some(text) = bare {
        return text.trim().parse().ok();
    }
    let number = value.to_num()?;
    let unsigned = || number.to_u128().and_then(|it| it.try_into().ok());
    number.to_i128().or_else(unsigned)
}

fn rate(value: &Value, bare: Option<&str>) -> Option<f64> {
    match (bare, value.to_num()) {
        (Some(text), _) => text.trim().parse().ok(),
        (None, Some(Num::F32(it))) => Some(f64::from(it)),
        (None, Some(Num::F64(it))) => Some(it),
        // No quota is near 2^53, where this would round.
        (None, _) => whole(value, None).map(|it| it as f64),
    }
}

fn ratio(value: &Value, bare: Option<&str>, zero: bool) -> Result<f64, Complaint> {
    let number = rate(value, bare).ok_or_else(|| expected("a number", value))?;
    let range = match zero {
        true => "from 0 to 1",
        false => "above 0 and at most 1",
    };
    if !(0.0..=1.0).contains(&number) || (number == 0.0 && !zero) {
        return Err(wrong(format!("must be {range}, is {number}")));
    }
    Ok(number)
}

fn expected(what: &str, found: &Value) -> Complaint {
    let found = match found {
        Value::String(_, it) => format!("the string {it:?}"),
        Value::Char(_, it) => format!("the string \"{it}\""),
        Value::Bool(_, it) => it.to_string(),
        Value::Num(_, it) => match (it.to_i128(), it.to_u128(), it.to_f64()) {
            (Some(it), ..) => it.to_string(),
            (_, Some(it), _) => it.to_string(),
            (_, _, Some(it)) => it.to_string(),
            _ => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(_, it) if it.keys().any(|key| key.starts_with("$__toml_private")) => {
            "a date".to_owned()
        }
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "an array".to_owned(),
    };
    wrong(format!("expected {what}, found {found}"))
}
