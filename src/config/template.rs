//! Alarm names, made from a template or given.

use autoscaler_core::{
    alarm::AlarmNames,
    alarm_template::{AlarmTemplate, Part},
};

use super::problem::{Complaint, wrong};

const SAME_NAMES: &str = "the names of a pair differ only in scale-up and scale-down";

pub(super) fn parse(text: &str) -> Result<AlarmTemplate, Complaint> {
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
    let template = AlarmTemplate::new(parts);
    if !template.names_the_direction() {
        return Err(wrong("has no {direction} in it")
            .hint("{direction} is replaced by scale-up and scale-down"));
    }
    Ok(template)
}

/// The pair of `stream`; either name must lead to the other.
pub(super) fn names(template: &AlarmTemplate, stream: &str) -> Result<AlarmNames, Complaint> {
    let pair = pair(&template.fill(stream, "scale-up"))?;
    let down = template.fill(stream, "scale-down");
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
