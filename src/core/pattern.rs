//! Subscribing by pattern: every stream whose name matches and whose pair of alarms exists.

use std::collections::BTreeSet;

use crate::{
    alarm::{AlarmNames, Direction},
    alarm_template::AlarmTemplate,
    glob,
    subscription::{Origin, Subscription},
};

/// The longest name of a stream.
const LONGEST_NAME: usize = 128;

/// An entry under `[[streams]]` that subscribes by pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// The number of its entry, counted from 0.
    pub entry: usize,
    /// What messages call the entry, as `streams[2]`.
    pub key: String,
    pub glob: String,
    /// Patterns of streams that it leaves out.
    pub except: Vec<String>,
    pub alarm_name: AlarmTemplate,
    /// The settings of its streams, with neither the stream nor its alarms filled in.
    pub settings: Subscription,
}

/// What a listing of alarms says about one pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// The streams whose pairs exist.
    pub streams: BTreeSet<String>,
    /// Alarms that fit, and whose other alarm does not exist.
    pub halves: Vec<Half>,
}

/// One alarm of a pair that lacks the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Half {
    pub stream: String,
    pub exists: String,
    pub missing: String,
}

impl Pattern {
    /// Whether it subscribes a stream of this name.
    pub fn matches(&self, stream: &str) -> bool {
        let is_excepted = || self.except.iter().any(|it| glob::matches(it, stream));
        glob::matches(&self.glob, stream) && !is_excepted()
    }

    /// Whether it subscribes every stream that has a pair.
    pub fn matches_everything(&self) -> bool {
        self.except.is_empty() && self.glob.chars().all(|it| it == '*')
    }

    /// The stream that an alarm of this name belongs to, if the pattern subscribes that stream.
    pub fn stream_of<'a>(&self, alarm: &'a str) -> Option<(&'a str, Direction)> {
        let (stream, direction) = self.alarm_name.stream_of(alarm)?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_name = stream.len() <= LONGEST_NAME && stream.bytes().all(valid);
        (is_name && self.matches(stream)).then_some((stream, direction))
    }

    /// The pairs among all `alarms` of an account and Region.
    pub fn pairs(&self, alarms: &BTreeSet<String>) -> Pairs {
        let mut pairs = Pairs::default();
        for alarm in alarms {
            let Some((stream, direction)) = self.stream_of(alarm) else {
                continue;
            };
            let Some(names) = self.alarm_name.names(stream) else {
                continue;
            };
            let other = match direction {
                Direction::Up => &names.scale_down,
                Direction::Down => &names.scale_up,
            };
            match alarms.contains(other) {
                true => {
                    pairs.streams.insert(stream.to_owned());
                }
                false => pairs.halves.push(Half {
                    stream: stream.to_owned(),
                    exists: alarm.clone(),
                    missing: other.clone(),
                }),
            }
        }
        pairs
    }

    /// The subscription of a stream; `None` where it cannot have a pair of the contract.
    pub fn subscription(&self, stream: &str) -> Option<Subscription> {
        let alarms: AlarmNames = self.alarm_name.names(stream)?;
        Some(Subscription {
            stream: Some(stream.to_owned()),
            alarms,
            origin: Origin::Pattern(self.title().into()),
            ..self.settings.clone()
        })
    }

    /// The entry, as messages name it.
    pub fn title(&self) -> String {
        format!("{} (match = {:?})", self.key, self.glob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::subscription;

    fn pattern(glob: &str, except: &[&str]) -> Pattern {
        Pattern {
            entry: 2,
            key: "streams[2]".to_owned(),
            glob: glob.to_owned(),
            except: except.iter().map(|it| (*it).to_owned()).collect(),
            alarm_name: AlarmTemplate::original(),
            settings: subscription(),
        }
    }

    #[test]
    fn pairs_are_found_among_the_alarms_of_an_account() {
        let alarms = [
            "prod-a-scale-up-alarm",
            "prod-a-scale-down-alarm",
            "prod-b-scale-down-alarm",
            "prod-c-test-scale-up-alarm",
            "prod-c-test-scale-down-alarm",
            "prod- d-scale-up-alarm",
            "prod- d-scale-down-alarm",
            "prod-scale-up-scale-up-alarm",
            "stage-a-scale-up-alarm",
            "stage-a-scale-down-alarm",
            "prod-a-cpu",
        ];
        let alarms: BTreeSet<String> = alarms.map(str::to_owned).into();
        for (glob, except, streams, halves) in [
            ("prod-*", &["*-test"][..], &["prod-a"][..], &["prod-b"][..]),
            ("prod-*", &[], &["prod-a", "prod-c-test"], &["prod-b"]),
            ("*-a", &[], &["prod-a", "stage-a"], &[]),
            ("*", &["prod*"], &["stage-a"], &[]),
            ("none-*", &[], &[], &[]),
        ] {
            let pairs = pattern(glob, except).pairs(&alarms);
            let found: Vec<&str> = pairs.streams.iter().map(String::as_str).collect();
            let half: Vec<&str> = pairs.halves.iter().map(|it| it.stream.as_str()).collect();
            assert_eq!(
                (&found[..], &half[..]),
                (streams, halves),
                "{glob} {except:?}"
            );
        }
        let halves = pattern("prod-b", &[]).pairs(&alarms).halves;
        assert_eq!(halves[0].exists, "prod-b-scale-down-alarm");
        assert_eq!(halves[0].missing, "prod-b-scale-up-alarm");
    }

    #[test]
    fn a_stream_has_the_settings_of_its_pattern() {
        let found = pattern("prod-*", &[])
            .subscription("prod-a")
            .expect("a pair");
        assert_eq!(found.label(), "prod-a");
        assert_eq!(found.alarms.scale_down, "prod-a-scale-down-alarm");
        assert_eq!(found.min_shards, subscription().min_shards);
        let title = "streams[2] (match = \"prod-*\")";
        assert_eq!(found.origin, Origin::Pattern(title.into()));
        assert_eq!(pattern("*", &[]).subscription("x-scale-up"), None);
    }

    #[test]
    fn a_pattern_of_stars_matches_everything_unless_it_excepts_something() {
        for (glob, except, everything) in [
            ("*", &[][..], true),
            ("**", &[], true),
            ("*", &["x"], false),
            ("?*", &[], false),
        ] {
            assert_eq!(
                pattern(glob, except).matches_everything(),
                everything,
                "{glob}"
            );
        }
    }
}
