//! A value that crosses the wire, whatever the encoding.

use super::base64;
use super::name::Name;
use serde_json::{Map, Number, Value};
use std::sync::Arc;

/// A value. JSON has no bytes of its own: there they stand as base64 text, and who expects bytes reads either.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number from 0 on.
    Unsigned(u64),
    /// A whole number below 0.
    Negative(i64),
    /// Another number; finite.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes that whoever sends them keeps, too. They are read as [`Bytes`](Self::Bytes).
    Shared(Arc<[u8]>),
    /// Values in order.
    List(Vec<Self>),
    /// Values by name, in the order in which they came; no name stands twice.
    Map(Vec<(Name, Self)>),
}

impl Data {
    /// A map.
    pub fn map<const N: usize>(entries: [(&'static str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (Name::fixed(name), value)).collect())
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value of that name in a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(own, _)| **own == *name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Map(entries) => entries.iter_mut().find(|(own, _)| **own == *name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Takes the value of that name out of a map.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        match self {
            Self::Map(entries) => {
                let at = entries.iter().position(|(own, _)| **own == *name)?;
                Some(entries.swap_remove(at).1)
            }
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one from 0 on.
    pub fn as_unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, out of bytes or out of base64 text.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Shared(bytes) => Some(bytes.to_vec()),
            Self::Text(text) => base64::decode(&text),
            _ => None,
        }
    }

    /// As JSON has it.
    pub fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Unsigned(number) => Value::from(number),
            Self::Negative(number) => Value::from(number),
            Self::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Self::Text(text) => Value::String(text),
            Self::Bytes(bytes) => Value::String(base64::encode(&bytes)),
            Self::Shared(bytes) => Value::String(base64::encode(&bytes)),
            Self::List(values) => values.into_iter().map(Self::into_json).collect(),
            Self::Map(entries) => Value::Object(
                entries.into_iter().map(|(name, value)| (name.into(), value.into_json())).collect::<Map<_, _>>(),
            ),
        }
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::from(&number),
            Value::String(text) => Self::Text(text),
            Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Value::Object(entries) => {
                Self::Map(entries.into_iter().map(|(name, value)| (name.into(), Self::from(value))).collect())
            }
        }
    }
}

impl From<&Number> for Data {
    fn from(number: &Number) -> Self {
        if let Some(number) = number.as_u64() {
            Self::Unsigned(number)
        } else if let Some(number) = number.as_i64() {
            Self::Negative(number)
        } else {
            Self::Float(number.as_f64().unwrap_or_default())
        }
    }
}

impl From<u64> for Data {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

/// As JSON: bytes are base64 text.
impl serde::Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&base64::encode(bytes)),
            Self::Shared(bytes) => serializer.serialize_str(&base64::encode(bytes)),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(name, value)| (&**name, value))),
        }
    }
}
