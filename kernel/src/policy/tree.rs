//! A policy file as values that know where they stand.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use toml_span::value::{Value, ValueInner};

/// A line and column, from 1. JSON files tell places only for faults of their syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Option<Place>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Text(String),
    Whole(i64),
    Table(Vec<(String, Option<Place>, Node)>),
    List(Vec<Node>),
    Truth(bool),
    Other(&'static str),
}

impl Kind {
    /// The kind's name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Truth(_) => "true or false",
            Self::Other(name) => name,
        }
    }
}

/// Reads TOML, or JSON where the text begins like an object.
pub(crate) fn read(text: &str, source: &str) -> Result<Node, BridgeError> {
    if text.trim_start().starts_with('{') {
        return read_json(text, source);
    }
    let value = toml_span::parse(text).map_err(|error| {
        let place = Lines::of(text).place(error.span.start);
        invalid(source, Some(place), &format!("this is no TOML: {error}"))
    })?;
    Ok(node(value, &Lines::of(text)))
}

fn read_json(text: &str, source: &str) -> Result<Node, BridgeError> {
    serde_json::from_str(text).map(|Json(node)| node).map_err(|error| {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let place = Place { line: number(error.line()), column: number(error.column()) };
        let why = if error.is_data() {
            "a key stands twice in one object; which one holds would be anybody's guess"
        } else {
            "this is no JSON: the text is malformed or incomplete here"
        };
        invalid(source, Some(place), why)
    })
}

/// A value of JSON that keeps every key: serde's own keeps the last of those that stand twice.
struct Json(Node);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(|kind| Self(Node { place: None, kind }))
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, own: &str) -> Result<Kind, E> {
        Ok(Kind::Text(own.to_owned()))
    }

    fn visit_i64<E>(self, own: i64) -> Result<Kind, E> {
        Ok(Kind::Whole(own))
    }

    fn visit_u64<E>(self, own: u64) -> Result<Kind, E> {
        Ok(i64::try_from(own).map_or(Kind::Other("a number that is too large"), Kind::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Other("a number with a fraction"))
    }

    fn visit_bool<E>(self, own: bool) -> Result<Kind, E> {
        Ok(Kind::Truth(own))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(Json(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut table: Vec<(String, Option<Place>, Node)> = Vec::new();
        while let Some((key, Json(value))) = entries.next_entry::<String, Json>()? {
            if table.iter().any(|(own, _, _)| *own == key) {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
            table.push((key, None, value));
        }
        Ok(Kind::Table(table))
    }
}

/// An error about a place in a policy.
pub(crate) fn invalid(source: &str, place: Option<Place>, what: &str) -> BridgeError {
    let at = place.map_or_else(String::new, |place| format!(":{}:{}", place.line, place.column));
    let mut error = BridgeError::new(ErrorCode::PolicyInvalid, format!("{source}{at}: {what}")).with("source", source);
    if let Some(place) = place {
        error = error.with("line", place.line).with("column", place.column);
    }
    error
}

/// Where the lines of a text begin, so that a place is found without reading the text again.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        Place { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }
}

fn node(mut value: Value<'_>, lines: &Lines<'_>) -> Node {
    let place = Some(lines.place(value.span.start));
    let kind = match value.take() {
        ValueInner::String(own) => Kind::Text(own.into_owned()),
        ValueInner::Integer(own) => Kind::Whole(own),
        ValueInner::Boolean(own) => Kind::Truth(own),
        ValueInner::Float(_) => Kind::Other("a number with a fraction"),
        ValueInner::Array(items) => Kind::List(items.into_iter().map(|item| node(item, lines)).collect()),
        ValueInner::Table(table) => Kind::Table(
            table
                .into_iter()
                .map(|(key, value)| (key.name.into_owned(), Some(lines.place(key.span.start)), node(value, lines)))
                .collect(),
        ),
    };
    Node { place, kind }
}
