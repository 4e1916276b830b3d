//! A value as it was written, before its key gives it a type.

use std::fmt::{self, Display};

use figment::value::{Dict, Empty, Num, Value};
use toml::de::{DeInteger, DeTable, DeValue};

/// A value, or the kind of one that no key takes.
#[derive(Debug)]
pub(super) enum Written<'a> {
    /// The text of a variable or of the command line, which its key reads as the type it needs.
    Bare(&'a str),
    Text(&'a str),
    Whole(i128),
    Number(f64),
    Flag(bool),
    Texts(Vec<&'a str>),
    /// An array of anything else.
    Array,
    Date,
    Table,
}

impl<'a> Written<'a> {
    /// A value in a file.
    pub(super) fn of_toml(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Integer(number) => match whole(number) {
                Some(number) => Self::Whole(number),
                None => Self::Number(f64::INFINITY),
            },
            DeValue::Float(number) => Self::Number(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Datetime(_) => Self::Date,
            DeValue::Array(array) => Self::array(array.iter().map(|it| it.get_ref().as_str())),
            DeValue::Table(_) => Self::Table,
        }
    }

    /// A value of the merged layers; `bare` if its layer has nothing but texts.
    pub(super) fn of_layers(value: &'a Value, bare: bool) -> Self {
        match value {
            Value::String(_, text) if bare => Self::Bare(text),
            Value::String(_, text) => Self::Text(text),
            Value::Num(_, Num::F64(number)) => Self::Number(*number),
            Value::Num(_, number) => match number.to_i128() {
                Some(number) => Self::Whole(number),
                None => Self::Number(f64::INFINITY),
            },
            Value::Bool(_, flag) => Self::Flag(*flag),
            Value::Array(_, array) => Self::array(array.iter().map(Value::as_str)),
            Value::Dict(..) => Self::Table,
            Value::Char(..) | Value::Empty(..) => Self::Date,
        }
    }

    fn array(texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        texts
            .collect::<Option<_>>()
            .map_or(Self::Array, Self::Texts)
    }
}

impl Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) | Self::Text(text) => write!(f, "the string {text:?}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Texts(_) | Self::Array => f.write_str("an array"),
            Self::Date => f.write_str("a date"),
            Self::Table => f.write_str("a table"),
        }
    }
}

/// A table of a file as figment has it.
pub(super) fn dict(table: &DeTable<'_>) -> Dict {
    table
        .iter()
        .map(|(name, value)| (name.get_ref().to_string(), value_of(value.get_ref())))
        .collect()
}

pub(super) fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(table) => Value::from(dict(table)),
        DeValue::Array(array) => array
            .iter()
            .map(|it| value_of(it.get_ref()))
            .collect::<Vec<_>>()
            .into(),
        DeValue::String(text) => Value::from(text.as_ref()),
        _ => match Written::of_toml(value) {
            Written::Whole(number) => Value::from(number),
            Written::Number(number) => Value::from(number),
            Written::Flag(flag) => Value::from(flag),
            // figment has no dates, and no key takes one.
            _ => Value::from(Empty::Unit),
        },
    }
}

/// A value of a file as TOML on one line.
pub(super) fn to_toml(value: &DeValue<'_>) -> String {
    // JSON's strings are strings of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Integer(number) => match whole(number) {
            Some(number) => number.to_string(),
            None => number.as_str().to_owned(),
        },
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) => {
            let values: Vec<String> = array.iter().map(|it| to_toml(it.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => {
            let pair = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                format!("{name} = {}", to_toml(value.get_ref()))
            };
            let pairs: Vec<String> = table.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn whole(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}
