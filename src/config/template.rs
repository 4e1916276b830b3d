//! Alarm names, made from a template or given.

use std::{fmt, sync::Arc};

use autoscaler_core::alarm::AlarmNames;

use super::problem::{Complaint, wrong};

const SAME_NAMES: &str = "the names of a pair differ only in scale-up and scale-down";

/// An alarm name with `{stream}` and `{direction}` in it.
#[derive(Clone, Debug)]
pub(super) struct Template(Arc<[Part]>);

#[derive(Debug, PartialEq)]
enum Part {
    Literal(String),
    Stream,
    Direction,
}

/// `{stream}-{direction}-alarm`, as the original names its alarms.
pub(super) fn original() -> Template {
    let literal = |text: &str| Part::Literal(text.to_owned());
    Template(Arc::new([
        Part::Stream,
        literal("-"),
        Part::Direction,
        literal("-alarm"),
    ]))
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        const KNOWN: &str = "{stream} and {direction} are filled in";
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            parts.push(Part::Literal(rest[..brace].to_owned()));
            let inside = rest[brace..]
                .strip_prefix('{')
                .and_then(|it| it.split_once('}'));
            let Some((placeholder, after)) = inside else {
                return Err(wrong("unbalanced brace").hint(KNOWN));
            };
            parts.push(match placeholder {
                "stream" => Part::Stream,
                "direction" => Part::Direction,
                _ => {
                    return Err(wrong(format!("unknown placeholder {{{placeholder}}}")).hint(KNOWN));
                }
            });
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        if !parts.contains(&Part::Direction) {
            return Err(wrong("has no {direction} in it")
                .hint("{direction} is replaced by scale-up and scale-down"));
        }
        Ok(Self(parts.into()))
    }

    pub(super) fn names_the_stream(&self) -> bool {
        self.0.contains(&Part::Stream)
    }

    /// The pair of `stream`; either name must lead to the other.
    pub(super) fn names(&self, stream: &str) -> Result<AlarmNames, Complaint> {
        let pair = pair(&self.fill(stream, "scale-up"))?;
        let down = self.fill(stream, "scale-down");
        // The text around {direction} can itself contain scale-up or scale-down.
        if down != pair.scale_down {
            self::pair(&down)?;
            return Err(wrong(format!(
                "the alarm names of {stream:?} do not lead from one to the other"
            ))
            .hint(SAME_NAMES));
        }
        Ok(pair)
    }

    fn fill(&self, stream: &str, direction: &str) -> String {
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
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fill("{stream}", "{direction}"))
    }
}

/// Checks either name of a pair.
pub(super) fn pair(name: &str) -> Result<AlarmNames, Complaint> {
    let pair = AlarmNames::from_either(name)
        .map_err(|error| wrong(format!("{name:?}: {error}")).hint(SAME_NAMES))?;
    for name in [&pair.scale_up, &pair.scale_down] {
        let length = name.chars().count();
        if length > 255 {
            return Err(wrong(format!(
                "the alarm name would have {length} characters; CloudWatch allows 255"
            )));
        }
        if name.chars().any(char::is_control) {
            return Err(wrong(format!("{name:?} contains a control character")));
        }
    }
    Ok(pair)
}
