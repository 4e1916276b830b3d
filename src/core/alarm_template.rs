//! The alarm names of many streams: a text in which the stream's name and the direction are filled
//! in.

use std::{fmt, sync::Arc};

use crate::{
    alarm::{AlarmNames, Direction},
    glob,
};

/// An alarm name with `{stream}` and `{direction}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmTemplate(Arc<[Part]>);

/// A part of an alarm name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Stream,
    Direction,
}

/// What every name of the contract has in place of `{direction}`.
const DIRECTIONS: [(Direction, &str); 2] =
    [(Direction::Up, "scale-up"), (Direction::Down, "scale-down")];

impl AlarmTemplate {
    /// The template of these parts.
    pub fn new(parts: Vec<Part>) -> Self {
        Self(parts.into())
    }

    /// `{stream}-{direction}-alarm`, as the original names its alarms.
    pub fn original() -> Self {
        let literal = |text: &str| Part::Literal(text.to_owned());
        Self::new(vec![
            Part::Stream,
            literal("-"),
            Part::Direction,
            literal("-alarm"),
        ])
    }

    /// Whether the stream's name is a part of it.
    pub fn names_the_stream(&self) -> bool {
        self.0.contains(&Part::Stream)
    }

    /// Whether the direction is a part of it.
    pub fn names_the_direction(&self) -> bool {
        self.0.contains(&Part::Direction)
    }

    /// The alarm name with these texts filled in.
    pub fn fill(&self, stream: &str, direction: &str) -> String {
        let texts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Stream => stream,
            Part::Direction => direction,
        });
        // Of the right length at once: there are thousands.
        let mut filled = String::with_capacity(texts.clone().map(str::len).sum());
        filled.extend(texts);
        filled
    }

    /// The pair of `stream`; `None` where one name does not lead to the other.
    pub fn names(&self, stream: &str) -> Option<AlarmNames> {
        let pair = AlarmNames::from_either(&self.fill(stream, "scale-up")).ok()?;
        (self.fill(stream, "scale-down") == pair.scale_down).then_some(pair)
    }

    /// The stream and the direction that `alarm` is filled in with.
    pub fn stream_of<'a>(&self, alarm: &'a str) -> Option<(&'a str, Direction)> {
        let streams = self.0.iter().filter(|it| **it == Part::Stream).count();
        DIRECTIONS.into_iter().find_map(|(direction, text)| {
            let length = |part: &Part| match part {
                Part::Literal(text) => text.len(),
                Part::Stream => 0,
                Part::Direction => text.len(),
            };
            let rest = alarm.len().checked_sub(self.0.iter().map(length).sum())?;
            // Each place has the same name, so the length of the whole gives its length.
            let stream_length = rest.checked_div(streams)?;
            let before = self.0.iter().take_while(|it| **it != Part::Stream);
            let start: usize = before.map(length).sum();
            let stream = alarm.get(start..start.checked_add(stream_length)?)?;
            let fits = !stream.is_empty() && self.fill(stream, text) == alarm;
            fits.then_some((stream, direction))
        })
    }

    /// What both alarm names of every stream that `glob` matches begin with.
    pub fn prefix(&self, glob: &str) -> String {
        let mut prefix = String::new();
        for part in self.0.iter() {
            match part {
                Part::Literal(text) => prefix += text,
                Part::Stream => {
                    prefix += glob::head(glob);
                    if glob::is_pattern(glob) {
                        break;
                    }
                }
                Part::Direction => {
                    prefix += "scale-";
                    break;
                }
            }
        }
        prefix
    }
}

impl fmt::Display for AlarmTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fill("{stream}", "{direction}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `s` is the stream, `d` the direction, everything else is literal.
    fn template(parts: &[&str]) -> AlarmTemplate {
        let part = |text: &&str| match *text {
            "s" => Part::Stream,
            "d" => Part::Direction,
            text => Part::Literal(text.to_owned()),
        };
        AlarmTemplate::new(parts.iter().map(part).collect())
    }

    #[test]
    fn an_alarm_name_gives_its_stream_and_direction() {
        use Direction::{Down, Up};
        let usual: &[&str] = &["s", "-", "d", "-alarm"];
        for (parts, alarm, expected) in [
            (usual, "orders-scale-up-alarm", Some(("orders", Up))),
            (usual, "orders-scale-down-alarm", Some(("orders", Down))),
            (usual, "a-b-scale-down-alarm", Some(("a-b", Down))),
            (usual, "-scale-up-alarm", None),
            (usual, "orders-scale-sideways-alarm", None),
            (usual, "orders-scale-up-alarm-2", None),
            (usual, "é-scale-up-alarm", Some(("é", Up))),
            (
                &["d", "/", "s"],
                "scale-down/orders",
                Some(("orders", Down)),
            ),
            (
                &["x", "s", "/", "s", "d"],
                "xab/abscale-up",
                Some(("ab", Up)),
            ),
            (&["x", "s", "/", "s", "d"], "xab/acscale-up", None),
            (&["x", "s", "/", "s", "d"], "xab/ascale-up", None),
            (&["x", "s", "d"], "é", None),
            (&["d"], "scale-up", None),
        ] {
            assert_eq!(template(parts).stream_of(alarm), expected, "{alarm}");
        }
    }

    #[test]
    fn a_template_is_shown_with_its_placeholders_and_tells_which_it_has() {
        for (parts, text, stream, direction) in [
            (
                &["s", "-", "d", "-alarm"][..],
                "{stream}-{direction}-alarm",
                true,
                true,
            ),
            (&["x-", "s"], "x-{stream}", true, false),
            (&["x-", "d"], "x-{direction}", false, true),
        ] {
            let template = template(parts);
            assert_eq!(template.to_string(), text);
            assert_eq!(template.names_the_stream(), stream, "{text}");
            assert_eq!(template.names_the_direction(), direction, "{text}");
        }
        assert_eq!(
            AlarmTemplate::original().to_string(),
            "{stream}-{direction}-alarm"
        );
    }

    #[test]
    fn the_prefix_is_what_all_names_begin_with() {
        for (parts, glob, prefix) in [
            (&["s", "-", "d"][..], "prod-*", "prod-"),
            (&["s", "-", "d"], "*", ""),
            (&["s", "-", "d"], "orders", "orders-scale-"),
            (&["team/", "s", "-", "d"], "p?", "team/p"),
            (&["team/", "d", "/", "s"], "p*", "team/scale-"),
        ] {
            assert_eq!(template(parts).prefix(glob), prefix, "{parts:?} {glob}");
        }
    }

    #[test]
    fn a_pair_whose_names_do_not_lead_to_each_other_is_none() {
        let usual = AlarmTemplate::original();
        let pair = usual.names("orders").expect("a pair");
        assert_eq!(
            pair.both(),
            ["orders-scale-up-alarm", "orders-scale-down-alarm"]
        );
        assert_eq!(usual.names("x-scale-up"), None);
        assert_eq!(usual.names("x-scale-down"), None);
    }

    proptest! {
        #[test]
        fn what_is_filled_in_is_found_again(stream in "[a-zA-Z0-9_.-]{1,20}", up in any::<bool>(), shape in 0..4_usize) {
            let shapes: [&[&str]; 4] = [
                &["s", "-", "d", "-alarm"], &["d", "s"], &["s", "d", "s"], &["é", "s", "-", "d", "-", "d"],
            ];
            let (direction, text) = DIRECTIONS[usize::from(!up)];
            let template = template(shapes[shape]);
            let alarm = template.fill(&stream, text);
            prop_assert_eq!(template.stream_of(&alarm), Some((stream.as_str(), direction)));
            prop_assert!(alarm.starts_with(&template.prefix("*")));
            let beginning: String = stream.chars().take(3).collect();
            prop_assert!(alarm.starts_with(&template.prefix(&(beginning + "*"))));
        }

        #[test]
        fn no_alarm_name_makes_it_panic(alarm in any::<String>()) {
            let _ = AlarmTemplate::original().stream_of(&alarm);
            let _ = template(&["x", "s", "é", "s", "d"]).stream_of(&alarm);
        }
    }
}
