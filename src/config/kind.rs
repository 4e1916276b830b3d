//! The kinds of keys: what may be written, and what it is read as.

use std::{fmt::Display, path::PathBuf, time::Duration};

use autoscaler_core::subscription::Permille;
use toml::de::DeValue;

use super::{
    problem::{Complaint, wrong},
    written::Written,
};

/// How a key is read.
pub(super) trait Kind {
    type Value;

    /// Reads and checks a value.
    fn read(&self, written: &Written<'_>) -> Result<Self::Value, Complaint>;

    /// The TOML that reads as `value`.
    fn show(&self, value: &Self::Value) -> String;

    /// Whether [`Self::show`] shows `value`, not an example in its place.
    fn is_set(&self, _value: &Self::Value) -> bool {
        true
    }
}

fn expected(what: &str, found: &Written<'_>) -> Complaint {
    wrong(format!("expected {what}, found {found}"))
}

fn quoted(text: impl Display) -> String {
    format!("\"{text}\"")
}

/// A text that `parse` checks.
pub(super) struct Text<T = String> {
    pub parse: fn(&str) -> Result<T, Complaint>,
    pub show: fn(&T) -> String,
}

pub(super) const fn text(parse: fn(&str) -> Result<String, Complaint>) -> Text {
    let show = |it: &String| it.clone();
    Text { parse, show }
}

pub(super) const PATH: Text<PathBuf> = Text {
    parse: |text| match text {
        "" => Err(wrong("must not be empty")),
        _ if text.contains('\0') => Err(wrong("must not contain a NUL character")),
        _ => Ok(text.into()),
    },
    show: |path| path.display().to_string(),
};

impl<T> Kind for Text<T> {
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Result<T, Complaint> {
        match written {
            Written::Bare(text) | Written::Text(text) => (self.parse)(text),
            _ => Err(expected("a string", written)),
        }
    }

    fn show(&self, value: &T) -> String {
        quoted((self.show)(value))
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Result<T, Complaint> {
        let (Written::Bare(text) | Written::Text(text)) = written else {
            return Err(expected("a string", written));
        };
        let found = self.0.iter().find(|(name, _)| name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(name, _)| quoted(name)).collect();
            wrong(format!("must be {}, is {text:?}", names.join(" or ")))
        })
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, it)| it == value);
        quoted(found.map_or("", |(name, _)| name))
    }
}

/// A duration in humantime's notation.
pub(super) struct Period {
    pub min: Duration,
    pub max: Duration,
}

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Any duration but zero.
pub(super) const PERIOD: Period = Period {
    min: Duration::from_nanos(1),
    max: YEAR,
};
pub(super) const PERIOD_OR_ZERO: Period = Period {
    min: Duration::ZERO,
    max: YEAR,
};

impl Kind for Period {
    type Value = Duration;

    fn read(&self, written: &Written<'_>) -> Result<Duration, Complaint> {
        const HINT: &str = "write it as \"90s\" or \"1h 30m\"";
        let (Written::Bare(text) | Written::Text(text)) = written else {
            return Err(
                expected("a duration", written).hint("write it as a string with units: \"15m\"")
            );
        };
        let duration = humantime::parse_duration(text.trim())
            .map_err(|error| wrong(format!("invalid duration `{text}`: {error}")).hint(HINT))?;
        let shown = humantime::format_duration;
        if duration > self.max {
            let max = match self.max == YEAR {
                true => "366 days".to_owned(),
                false => shown(self.max).to_string(),
            };
            return Err(wrong(format!("must be at most {max}, is {text}")));
        }
        if duration < self.min {
            return Err(match duration.is_zero() {
                true => wrong("must be longer than 0s"),
                false => wrong(format!("must be at least {}, is {text}", shown(self.min))),
            });
        }
        Ok(duration)
    }

    fn show(&self, value: &Duration) -> String {
        quoted(humantime::format_duration(*value))
    }
}

/// A duration for which zero means off.
pub(super) struct OrOff(pub Period);

impl Kind for OrOff {
    type Value = Option<Duration>;

    fn read(&self, written: &Written<'_>) -> Result<Option<Duration>, Complaint> {
        let duration = self.0.read(written)?;
        Ok((!duration.is_zero()).then_some(duration))
    }

    fn show(&self, value: &Option<Duration>) -> String {
        self.0.show(&value.unwrap_or_default())
    }
}

/// A whole number in a range.
pub(super) struct Whole {
    pub min: u32,
    pub max: u32,
}

impl Kind for Whole {
    type Value = u32;

    fn read(&self, written: &Written<'_>) -> Result<u32, Complaint> {
        let number: i128 = match written {
            Written::Whole(number) => Some(*number),
            Written::Bare(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| expected("a whole number", written))?;
        let Self { min, max } = self;
        match u32::try_from(number) {
            Ok(number) if (*min..=*max).contains(&number) => Ok(number),
            _ => Err(wrong(format!("must be from {min} to {max}, is {number}"))),
        }
    }

    fn show(&self, value: &u32) -> String {
        value.to_string()
    }
}

fn number(written: &Written<'_>) -> Result<f64, Complaint> {
    match written {
        Written::Number(number) => Some(*number),
        // No value in range is near 2^53, from where on this would round.
        Written::Whole(number) => Some(*number as f64),
        Written::Bare(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| expected("a number", written))
}

/// Calls per second.
pub(super) struct Rate;

impl Kind for Rate {
    type Value = f64;

    fn read(&self, written: &Written<'_>) -> Result<f64, Complaint> {
        let number = number(written)?;
        match number.is_finite() && number > 0.0 {
            true => Ok(number),
            false => Err(wrong(format!(
                "must be a finite number above 0, is {number}"
            ))),
        }
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A price.
pub(super) struct Dollars;

impl Kind for Dollars {
    type Value = f64;

    fn read(&self, written: &Written<'_>) -> Result<f64, Complaint> {
        let number = number(written)?;
        match number.is_finite() && number >= 0.0 {
            true => Ok(number),
            false => Err(wrong(format!(
                "must be a finite number of dollars, 0 or more, is {number}"
            ))),
        }
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A number from 0 to `most`.
pub(super) struct Ratio {
    /// Whether 0 is in the range.
    pub zero: bool,
    /// At most 1.
    pub most: f64,
}

impl Kind for Ratio {
    type Value = f64;

    fn read(&self, written: &Written<'_>) -> Result<f64, Complaint> {
        let number = number(written)?;
        let most = self.most;
        if (0.0..=most).contains(&number) && (self.zero || number > 0.0) {
            return Ok(number);
        }
        let range = match self.zero {
            true => format!("from 0 to {most}"),
            false => format!("above 0 and at most {most}"),
        };
        Err(wrong(format!("must be {range}, is {number}")))
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A ratio with at most three decimals.
pub(super) struct Thousandths(pub Ratio);

impl Kind for Thousandths {
    type Value = Permille;

    fn read(&self, written: &Written<'_>) -> Result<Permille, Complaint> {
        let ratio = self.0.read(written)?;
        // At most 1000: the ratio is at most 1.
        let thousandths = (ratio * 1000.0).round() as u32;
        match (ratio * 1000.0 - f64::from(thousandths)).abs() < 1e-6 {
            true => Ok(Permille::new(thousandths)),
            false => Err(wrong(format!(
                "must have at most three decimals, is {ratio}"
            ))),
        }
    }

    fn show(&self, value: &Permille) -> String {
        value.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, written: &Written<'_>) -> Result<bool, Complaint> {
        match written {
            Written::Flag(flag) => Some(*flag),
            Written::Bare(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| expected("true or false", written))
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// An array of strings.
pub(super) struct Texts;

impl Kind for Texts {
    type Value = Vec<String>;

    fn read(&self, written: &Written<'_>) -> Result<Vec<String>, Complaint> {
        match written {
            Written::Texts(texts) => Some(texts.iter().map(|it| (*it).to_owned()).collect()),
            Written::Bare(text) => {
                let parsed = DeValue::parse(text).ok();
                let array = parsed.as_ref().map(|it| Written::of_toml(it.get_ref()));
                return match array {
                    Some(array @ Written::Texts(_)) => self.read(&array),
                    _ => Err(expected("an array of strings", written)),
                };
            }
            _ => None,
        }
        .ok_or_else(|| expected("an array of strings", written))
    }

    fn show(&self, value: &Vec<String>) -> String {
        format!("{value:?}")
    }
}

/// An array of strings that `parse` checks; the reference shows `example` where it is empty.
pub(super) struct Checked {
    pub parse: fn(&str) -> Result<String, Complaint>,
    pub example: &'static str,
}

impl Kind for Checked {
    type Value = Vec<String>;

    fn read(&self, written: &Written<'_>) -> Result<Vec<String>, Complaint> {
        let texts = Texts.read(written)?;
        texts.iter().map(|text| (self.parse)(text)).collect()
    }

    fn show(&self, value: &Vec<String>) -> String {
        match value.is_empty() {
            true => format!("[{}]", quoted(self.example)),
            false => Texts.show(value),
        }
    }
}

/// A program with its arguments.
pub(super) struct CommandLine;

impl Kind for CommandLine {
    type Value = Vec<String>;

    fn read(&self, written: &Written<'_>) -> Result<Vec<String>, Complaint> {
        const HINT: &str = "write the program and each argument as a string of its own: \
                            [\"/usr/local/bin/page\", \"--team\", \"data\"]";
        let words = Texts.read(written).map_err(|wrong| wrong.hint(HINT))?;
        match words.first() {
            None => Err(wrong("must not be empty").hint(HINT)),
            Some(program) if !program.starts_with('/') => {
                let hint = "write its whole path, for example \"/usr/local/bin/page\": a service has a search path of its own";
                Err(wrong(format!("the program {program:?} is not an absolute path")).hint(hint))
            }
            Some(_) if words.iter().any(|word| word.contains('\0')) => {
                Err(wrong("must not contain a NUL character"))
            }
            Some(_) => Ok(words),
        }
    }

    fn show(&self, value: &Vec<String>) -> String {
        Texts.show(value)
    }
}

/// A key that may be missing.
pub(super) struct Optional<K> {
    pub kind: K,
    /// What the reference shows in place of a default.
    pub example: &'static str,
}

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn read(&self, written: &Written<'_>) -> Result<Self::Value, Complaint> {
        self.kind.read(written).map(Some)
    }

    fn show(&self, value: &Self::Value) -> String {
        match value {
            Some(value) => self.kind.show(value),
            None => quoted(self.example),
        }
    }

    fn is_set(&self, value: &Self::Value) -> bool {
        value.is_some()
    }
}

/// A key that may be missing; the reference shows the second value in place of a default.
pub(super) struct Example<K: Kind>(pub K, pub K::Value);

impl<K: Kind> Kind for Example<K> {
    type Value = Option<K::Value>;

    fn read(&self, written: &Written<'_>) -> Result<Self::Value, Complaint> {
        self.0.read(written).map(Some)
    }

    fn show(&self, value: &Self::Value) -> String {
        self.0.show(value.as_ref().unwrap_or(&self.1))
    }

    fn is_set(&self, value: &Self::Value) -> bool {
        value.is_some()
    }
}
