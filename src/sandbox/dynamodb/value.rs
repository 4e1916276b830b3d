//! Attribute values in DynamoDB's JSON form (`{"S": "text"}`), compared and added as DynamoDB does.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

pub(crate) type Item = Map<String, Value>;

/// The type tag and the content of a value.
pub(crate) fn parts(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object()?;
    let (tag, content) = members.iter().next()?;
    (members.len() == 1).then_some((tag.as_str(), content))
}

/// A number, exact if it is whole.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i128),
    Other(f64),
}

fn number(text: &str) -> Option<Number> {
    match text.parse() {
        Ok(whole) => Some(Number::Whole(whole)),
        Err(_) => text
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite())
            .map(Number::Other),
    }
}

fn number_of(value: &Value) -> Option<Number> {
    match parts(value)? {
        ("N", Value::String(text)) => number(text),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "one of the operands has a fraction anyway"
)]
fn float(number: Number) -> f64 {
    match number {
        Number::Whole(whole) => whole as f64,
        Number::Other(other) => other,
    }
}

fn compare_numbers(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
        (a, b) => float(a).partial_cmp(&float(b)),
    }
}

/// Returns `a + b` or `a - b`; `None` if either is not a number.
pub(crate) fn add(a: &Value, b: &Value, subtract: bool) -> Option<Value> {
    let sum = match (number_of(a)?, number_of(b)?) {
        (Number::Whole(a), Number::Whole(b)) => {
            let b = if subtract { b.checked_neg()? } else { b };
            a.checked_add(b)?.to_string()
        }
        (a, b) => {
            let b = if subtract { -float(b) } else { float(b) };
            (float(a) + b).to_string()
        }
    };
    Some(json!({"N": sum}))
}

/// Compares two values of the same type. Only numbers, strings and binaries are ordered.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (parts(a)?, parts(b)?) {
        (("N", _), ("N", _)) => compare_numbers(number_of(a)?, number_of(b)?),
        (("S", a), ("S", b)) => Some(a.as_str()?.cmp(b.as_str()?)),
        // Base64 does not preserve the order of bytes; binary keys are not used here.
        (("B", a), ("B", b)) => Some(a.as_str()?.cmp(b.as_str()?)),
        _ => None,
    }
}

/// Returns whether two values are equal; `1.0` equals `1`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (parts(a), parts(b)) {
        (Some(("N", _)), Some(("N", _))) => compare(a, b) == Some(Ordering::Equal),
        _ => a == b,
    }
}

/// Checks that a value has a known type tag and content of that type.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    let (tag, content) = parts(value).ok_or(
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
    )?;
    let fine = match tag {
        "S" | "B" => content.is_string(),
        "N" => match content.as_str() {
            Some(text) => {
                if number(text).is_none() {
                    return Err(format!(
                        "The parameter cannot be converted to a numeric value: {text}"
                    ));
                }
                true
            }
            None => false,
        },
        "BOOL" | "NULL" => content.is_boolean(),
        "SS" | "NS" | "BS" => content.is_array(),
        "L" => {
            content
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(check)?;
            content.is_array()
        }
        "M" => {
            let members = content.as_object();
            members
                .into_iter()
                .flat_map(Map::values)
                .try_for_each(check)?;
            content.is_object()
        }
        _ => false,
    };
    if fine {
        Ok(())
    } else {
        Err(format!("{value} is not an AttributeValue"))
    }
}

/// A key attribute's value, ordered as in a table.
#[derive(Clone, Debug)]
pub(crate) struct KeyPart(pub Value);

impl PartialEq for KeyPart {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for KeyPart {}

impl PartialOrd for KeyPart {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyPart {
    fn cmp(&self, other: &Self) -> Ordering {
        // All keys of a table have the same types, so they can always be compared.
        compare(&self.0, &other.0).unwrap_or(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_type_and_content() {
        use Ordering::{Equal, Greater, Less};
        let n = |text: &str| json!({"N": text});
        let s = |text: &str| json!({"S": text});
        let cases = [
            (n("9"), n("10"), Some(Less)),
            (n("1.50"), n("1.5"), Some(Equal)),
            (n("-1"), n("-2"), Some(Greater)),
            (
                n("99999999999999999999999999999999998"),
                n("99999999999999999999999999999999999"),
                Some(Less),
            ),
            (s("9"), s("10"), Some(Greater)),
            (s("1"), n("1"), None),
            (json!({"BOOL": true}), json!({"BOOL": true}), None),
            (json!({}), s("a"), None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(compare(&a, &b), expected, "{a} {b}");
        }
        assert!(equal(&n("1.0"), &n("1")));
        assert!(equal(&json!({"BOOL": true}), &json!({"BOOL": true})));
        assert!(!equal(&s("1"), &n("1")));
    }

    #[test]
    fn numbers_are_added_exactly() {
        let cases = [
            ("1", "2", false, Some("3")),
            ("1", "2", true, Some("-1")),
            ("1.5", "1", false, Some("2.5")),
        ];
        for (a, b, subtract, expected) in cases {
            let got = add(&json!({"N": a}), &json!({"N": b}), subtract);
            assert_eq!(got, expected.map(|sum| json!({"N": sum})));
        }
        assert_eq!(add(&json!({"S": "1"}), &json!({"N": "1"}), false), None);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let fine = [
            json!({"S": ""}),
            json!({"N": "1e3"}),
            json!({"L": [{"M": {"a": {"NULL": true}}}]}),
        ];
        let wrong = [
            json!(1),
            json!({}),
            json!({"N": 1}),
            json!({"N": "x"}),
            json!({"S": "a", "N": "1"}),
            json!({"L": [1]}),
        ];
        assert!(fine.iter().all(|value| check(value).is_ok()));
        assert!(wrong.iter().all(|value| check(value).is_err()));
    }
}
