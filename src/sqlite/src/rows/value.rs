//! A value of a row: how two are ordered, when they are the same, and how they are written in JSON.
//!
//! Invariant: the order is that of SQLite with the collation `BINARY`, whatever the collation of the column, so that two
//! databases read with `ORDER BY … COLLATE BINARY` can be merged.

use std::cmp::Ordering;
use std::fmt::Write as _;

use rusqlite::types::ValueRef;
use serde_json::{Value as Json, json};

/// Integers up to this one, and down to its negative, are the same in a reader that has floating point numbers only.
const EXACT_MAX: u64 = 1 << 53;

/// How a database keeps text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// A value, as it is stored. Text is in the encoding of its database, and need not be valid.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Value {
    pub(super) fn new(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(integer) => Self::Integer(integer),
            ValueRef::Real(real) => Self::Real(real),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    /// The same bytes as text, where SQLite was asked for them as a blob.
    pub(super) fn into_text(self) -> Self {
        match self {
            Self::Blob(bytes) => Self::Text(bytes),
            other => other,
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is the same value of the same type: 1 is not 1.0, although SQLite says that they are equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) | (Self::Blob(a), Self::Blob(b)) => a == b,
            _ => false,
        }
    }

    /// SQLite's order: NULL, numbers, text, blobs.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            // SQLite stores no NaN.
            (Self::Real(a), Self::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::Integer(a), Self::Real(b)) => order_of(*a, *b),
            (Self::Real(a), Self::Integer(b)) => order_of(*b, *a).reverse(),
            (Self::Text(a), Self::Text(b)) | (Self::Blob(a), Self::Blob(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Integer(_) | Self::Real(_) => 1,
            Self::Text(_) => 2,
            Self::Blob(_) => 3,
        }
    }

    /// As it is written: what JSON has no exact form for is an object with one field.
    pub(super) fn to_json(&self, encoding: Encoding) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(integer) if integer.unsigned_abs() <= EXACT_MAX => json!(integer),
            Self::Integer(integer) => json!({ "integer": integer.to_string() }),
            Self::Real(real) if real.is_finite() => json!(real),
            Self::Real(real) => json!({ "real": if *real > 0.0 { "Infinity" } else { "-Infinity" } }),
            Self::Text(bytes) => {
                decode(bytes, encoding).map_or_else(|| json!({ "text": hexadecimal(bytes) }), Json::String)
            }
            Self::Blob(bytes) => json!({ "blob": hexadecimal(bytes) }),
        }
    }
}

/// An integer against a real, exactly.
fn order_of(integer: i64, real: f64) -> Ordering {
    /// 2^63.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real >= BEYOND {
        return Ordering::Less;
    }
    if real < -BEYOND {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is between -2^63 and 2^63, and has no fraction")]
    let whole = real.trunc() as i64;
    integer.cmp(&whole).then_with(|| 0.0.partial_cmp(&real.fract()).unwrap_or(Ordering::Equal))
}

/// The text, if it is valid in its encoding.
fn decode(bytes: &[u8], encoding: Encoding) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match encoding {
        Encoding::Utf8 => return String::from_utf8(bytes.to_vec()).ok(),
        Encoding::Utf16Le => u16::from_le_bytes,
        Encoding::Utf16Be => u16::from_be_bytes,
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>().ok()
}

/// Bytes as they are written in a [`Row`](super::Row): two lower-case digits each.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_reals_are_ordered_exactly() {
        let large = 1_i64 << 53;
        let ascending = [
            Value::Null,
            Value::Real(f64::NEG_INFINITY),
            Value::Integer(i64::MIN + 1),
            Value::Real(-1.5),
            Value::Integer(-1),
            Value::Real(-0.5),
            Value::Integer(0),
            Value::Real(0.5),
            Value::Real(9_007_199_254_740_992.0),
            Value::Integer(large + 1),
            Value::Integer(i64::MAX),
            Value::Real(9_223_372_036_854_775_808.0),
            Value::Text(b"A".to_vec()),
            Value::Text(b"a".to_vec()),
            Value::Blob(b"A".to_vec()),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        assert_eq!(Value::Integer(1).order(&Value::Real(1.0)), Ordering::Equal);
        assert!(!Value::Integer(1).is_same(&Value::Real(1.0)));
    }

    #[test]
    fn what_json_cannot_say_is_an_object() {
        let utf8 = |value: Value| value.to_json(Encoding::Utf8).to_string();
        assert_eq!(utf8(Value::Integer(1 << 53)), "9007199254740992");
        assert_eq!(utf8(Value::Integer((1 << 53) + 1)), r#"{"integer":"9007199254740993"}"#);
        assert_eq!(utf8(Value::Integer(i64::MIN)), r#"{"integer":"-9223372036854775808"}"#);
        assert_eq!(utf8(Value::Real(1.0)), "1.0");
        assert_eq!(utf8(Value::Real(f64::NEG_INFINITY)), r#"{"real":"-Infinity"}"#);
        assert_eq!(utf8(Value::Text(vec![0xff, 0x41])), r#"{"text":"ff41"}"#);
        assert_eq!(utf8(Value::Blob(vec![0, 0xab])), r#"{"blob":"00ab"}"#);
        let wide = Value::Text(vec![0x41, 0, 0xe4, 0]);
        assert_eq!(wide.to_json(Encoding::Utf16Le), "A\u{e4}");
        assert_eq!(Value::Text(vec![0xd8, 0]).to_json(Encoding::Utf16Be), json!({ "text": "d800" }));
    }
}
