//! Converts between JSON and CBOR for CloudWatch, which uses Smithy RPC v2 CBOR.
//!
//! JSON has neither timestamps nor separate integers and doubles. Timestamps (tag 1) become epoch
//! seconds. When encoding, a member's name decides whether it is a timestamp, or a double even if
//! its value is whole.

use aws_smithy_cbor::{Decoder, Encoder, data::Type, decode::DeserializeError};
use aws_smithy_types::DateTime;
use serde_json::{Map, Number, Value};

/// The deepest nesting of a request that is accepted.
const MAX_DEPTH: u32 = 64;

/// Members that are doubles on the wire even when their values are whole numbers.
const DOUBLES: [&str; 2] = ["Threshold", "Values"];

fn is_timestamp(member: &str) -> bool {
    member.ends_with("Timestamp")
        || ["Timestamps", "StartTime", "EndTime", "ExpireDate"].contains(&member)
}

/// Decodes one CBOR item.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, DeserializeError> {
    read(&mut Decoder::new(bytes), 0)
}

/// Encodes `value` as one CBOR item.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(512));
    write(&mut encoder, "", value);
    encoder.into_writer()
}

fn read(decoder: &mut Decoder<'_>, depth: u32) -> Result<Value, DeserializeError> {
    if depth > MAX_DEPTH {
        return Err(DeserializeError::custom(
            "nested too deeply",
            decoder.position(),
        ));
    }
    Ok(match decoder.datatype()? {
        Type::Bool => Value::Bool(decoder.boolean()?),
        Type::Null => {
            decoder.null()?;
            Value::Null
        }
        Type::F16 | Type::F32 | Type::F64 => number(decoder.double()?),
        Type::String | Type::StringIndef => Value::String(decoder.string()?),
        Type::Tag => number(decoder.timestamp()?.as_secs_f64()),
        Type::Array | Type::ArrayIndef => {
            let len = decoder.list()?;
            let mut items = Vec::new();
            while more(decoder, len, items.len())? {
                items.push(read(decoder, depth + 1)?);
            }
            Value::Array(items)
        }
        Type::Map | Type::MapIndef => {
            let len = decoder.map()?;
            let mut members = Map::new();
            let mut read_members = 0;
            while more(decoder, len, read_members)? {
                let key = decoder.string()?;
                members.insert(key, read(decoder, depth + 1)?);
                read_members += 1;
            }
            Value::Object(members)
        }
        _ => Value::from(decoder.long()?),
    })
}

/// Returns whether a list or map has more items. Consumes the break that ends an indefinite one.
fn more(
    decoder: &mut Decoder<'_>,
    len: Option<u64>,
    done: usize,
) -> Result<bool, DeserializeError> {
    match len {
        Some(len) => Ok((done as u64) < len),
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn write(encoder: &mut Encoder, member: &str, value: &Value) {
    match value {
        Value::Null => {
            encoder.null();
        }
        Value::Bool(value) => {
            encoder.boolean(*value);
        }
        Value::String(value) => {
            encoder.str(value);
        }
        Value::Number(value) => write_number(encoder, member, value),
        Value::Array(items) => {
            encoder.array(items.len());
            for item in items {
                write(encoder, member, item);
            }
        }
        Value::Object(members) => {
            encoder.map(members.len());
            for (key, value) in members {
                encoder.str(key);
                write(encoder, key, value);
            }
        }
    }
}

fn write_number(encoder: &mut Encoder, member: &str, value: &Number) {
    let float = value.as_f64().unwrap_or(0.0);
    if is_timestamp(member) {
        encoder.timestamp(&DateTime::from_secs_f64(float));
        return;
    }
    match value.as_i64() {
        Some(whole) if !DOUBLES.contains(&member) => encoder.long(whole),
        _ => encoder.double(float),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let values = [
            json!(null),
            json!(true),
            json!("Größe"),
            json!(0),
            json!(-1),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(0.75),
            json!([]),
            json!({}),
            json!({"a": [1, {"b": [null, "x"]}], "c": {"d": 1e300}}),
        ];
        for value in values {
            assert_eq!(decode(&encode(&value)).unwrap(), value);
        }
    }

    #[test]
    fn timestamps_and_doubles_are_known_by_their_member() {
        let value =
            json!({"Threshold": 1, "StateUpdatedTimestamp": 1_700_000_000.25, "Period": 300});
        let bytes = encode(&value);
        let mut decoder = Decoder::new(&bytes);
        decoder.map().unwrap();
        assert_eq!(decoder.str().unwrap(), "Period");
        assert_eq!(decoder.integer().unwrap(), 300);
        assert_eq!(decoder.str().unwrap(), "StateUpdatedTimestamp");
        assert_eq!(
            decoder.timestamp().unwrap(),
            DateTime::from_secs_f64(1_700_000_000.25)
        );
        assert_eq!(decoder.str().unwrap(), "Threshold");
        assert_eq!(decoder.double().unwrap(), 1.0);
    }

    #[test]
    fn maps_and_lists_of_unknown_length_are_read() {
        let mut encoder = Encoder::new(Vec::new());
        encoder.begin_map().str("a").begin_array().integer(1);
        encoder.end().str("b").boolean(false).end();
        assert_eq!(
            decode(&encoder.into_writer()).unwrap(),
            json!({"a": [1], "b": false})
        );
    }

    #[test]
    fn broken_bytes_are_errors() {
        let deep = [&[0x81; 100][..], &[0x00]].concat();
        for bytes in [&[][..], &[0xa1], &[0xa1, 0x01, 0x01], &[0x9f, 0x01], &deep] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
