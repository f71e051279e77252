//! A policy file as values that know where they stand.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use toml_span::value::{Value, ValueInner};

/// A line and column, from 1. JSON files tell places only for faults of their syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Option<Place>,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Whole(i64),
    Table(Vec<(String, Option<Place>, Node)>),
    List(Vec<Node>),
    Other(&'static str),
}

impl Kind {
    /// The kind's name, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }
}

/// Reads TOML, or JSON where the text begins like an object.
pub(super) fn read(text: &str, source: &str) -> Result<Node, BridgeError> {
    if text.trim_start().starts_with('{') {
        return read_json(text, source);
    }
    let value = toml_span::parse(text).map_err(|error| {
        let place = Lines::of(text).place(error.span.start);
        invalid(source, Some(place), &format!("this is no TOML: {}", error.kind))
    })?;
    Ok(node(value, &Lines::of(text)))
}

fn read_json(text: &str, source: &str) -> Result<Node, BridgeError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let place = Place { line: number(error.line()), column: number(error.column()) };
        invalid(source, Some(place), "this is no JSON: the text is malformed or incomplete here")
    })?;
    Ok(json_node(value))
}

/// An error about a place in a policy.
pub(super) fn invalid(source: &str, place: Option<Place>, what: &str) -> BridgeError {
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
        ValueInner::Boolean(_) => Kind::Other("true or false"),
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

fn json_node(value: serde_json::Value) -> Node {
    let kind = match value {
        serde_json::Value::String(own) => Kind::Text(own),
        serde_json::Value::Number(own) => own.as_i64().map_or(Kind::Other("a number with a fraction"), Kind::Whole),
        serde_json::Value::Array(items) => Kind::List(items.into_iter().map(json_node).collect()),
        serde_json::Value::Object(table) => {
            Kind::Table(table.into_iter().map(|(key, value)| (key, None, json_node(value))).collect())
        }
        serde_json::Value::Bool(_) => Kind::Other("true or false"),
        serde_json::Value::Null => Kind::Other("null"),
    };
    Node { place: None, kind }
}
