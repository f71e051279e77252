//! Two schemas, compared part by part.

use super::Changes;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Lists of names to which a later release may add: whoever reads one skips, or maps to a known one, what it does not know.
const OPEN: [&str; 4] = ["ErrorCode", "Feature", "Mechanism", "ExecutionEvent"];

/// What says the same in other words.
const WORDS: [&str; 6] = ["$schema", "title", "description", "examples", "$defs", "$comment"];

/// Followed no deeper than any type of ours, so that a schema that contains itself ends.
const DEEPEST: usize = 24;

struct Side<'a> {
    root: &'a Value,
    at: &'a Value,
}

impl<'a> Side<'a> {
    /// Follows a reference, and tells the name that it led by.
    fn resolved(&self) -> (Option<&'a str>, &'a Value) {
        let Some(reference) = self.at.get("$ref").and_then(Value::as_str) else { return (None, self.at) };
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        (reference.rsplit('/').next(), target.unwrap_or(self.at))
    }

    fn child(&self, at: &'a Value) -> Self {
        Self { root: self.root, at }
    }
}

/// Compares what two files hold: a schema, or those of an operation's request and answer.
pub(super) fn documents(changes: &mut Changes, name: &str, old: &Value, new: &Value) {
    let parts = ["request", "answer"];
    if parts.iter().all(|part| old.get(part).is_some()) {
        for part in parts {
            match (old.get(part), new.get(part)) {
                (Some(before), Some(after)) => whole(changes, &format!("{name} {part}"), before, after),
                _ => changes.breaking(name, "schema-removed", format!("the schema of its {part} is gone")),
            }
        }
        return;
    }
    whole(changes, name, old, new);
}

fn whole(changes: &mut Changes, place: &str, old: &Value, new: &Value) {
    let title = |schema: &Value| schema.get("title").and_then(Value::as_str).map(str::to_owned);
    let open = title(old).is_some_and(|title| OPEN.contains(&title.as_str()));
    let sides = (Side { root: old, at: old }, Side { root: new, at: new });
    compare(changes, place, &sides.0, &sides.1, open, 0);
}

fn compare(changes: &mut Changes, place: &str, old: &Side<'_>, new: &Side<'_>, open: bool, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    let ((named, before), (_, after)) = (old.resolved(), new.resolved());
    let open = open || named.is_some_and(|name| OPEN.contains(&name));
    if before == after && depth > 0 && !before.to_string().contains("$ref") {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        if before != after {
            changes.breaking(place, "schema-changed", format!("`{before}` became `{after}`"));
        }
        return;
    };
    kind(changes, place, before, after);
    properties(changes, place, (old, before), (new, after), depth);
    names(changes, place, before, after, open);
    for key in ["oneOf", "anyOf"] {
        variants(changes, place, (key, open), (old, before), (new, after), depth);
    }
    for key in ["items", "additionalProperties"] {
        if let (Some(own @ Value::Object(_)), Some(other @ Value::Object(_))) = (before.get(key), after.get(key)) {
            compare(changes, &format!("{place}/{key}"), &old.child(own), &new.child(other), false, depth + 1);
        }
    }
    rest(changes, place, before, after);
}

fn kind(changes: &mut Changes, place: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
    if old.get("type") != new.get("type") {
        let shown = |value: Option<&Value>| value.map_or_else(|| "anything".to_owned(), Value::to_string);
        changes.breaking(
            place,
            "type-changed",
            format!("{} became {}", shown(old.get("type")), shown(new.get("type"))),
        );
    }
    let closed = |schema: &Map<String, Value>| schema.get("additionalProperties") == Some(&Value::Bool(false));
    match (closed(old), closed(new)) {
        (false, true) => changes.breaking(place, "closed", "unknown fields are refused now"),
        (true, false) => changes.compatible(place, "opened", "unknown fields are skipped now"),
        _ => {}
    }
}

fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

type Part<'a, 'b> = (&'b Side<'a>, &'a Map<String, Value>);

fn properties<'a>(changes: &mut Changes, place: &str, old: Part<'a, '_>, new: Part<'a, '_>, depth: usize) {
    let of = |schema: &'a Map<String, Value>| schema.get("properties").and_then(Value::as_object);
    let (none, others) = (Map::new(), Map::new());
    let (before, after) = (of(old.1).unwrap_or(&none), of(new.1).unwrap_or(&others));
    let (needed, needed_now) = (required(old.1), required(new.1));
    let closed = old.1.get("additionalProperties") == Some(&Value::Bool(false));
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let inner = format!("{place}/{name}");
        let name = name.as_str();
        match (before.get(name), after.get(name)) {
            (Some(_), None) => changes.breaking(&inner, "field-removed", "the field is gone"),
            (None, Some(_)) if needed_now.contains(name) => {
                changes.breaking(&inner, "required-field-added", "a required field is new");
            }
            (None, Some(_)) if closed => {
                changes.breaking(&inner, "field-added-to-closed", "a field is new that an older reader refuses");
            }
            (None, Some(_)) => changes.compatible(&inner, "optional-field-added", "an optional field is new"),
            (Some(own), Some(other)) => {
                match (needed.contains(name), needed_now.contains(name)) {
                    (false, true) => changes.breaking(&inner, "field-now-required", "the field is required now"),
                    (true, false) => changes.breaking(&inner, "field-now-optional", "the field may be missing now"),
                    _ => {}
                }
                children(changes, &inner, (old.0, own), (new.0, other), depth);
            }
            (None, None) => {}
        }
    }
}

fn children<'a>(
    changes: &mut Changes,
    place: &str,
    old: (&Side<'a>, &'a Value),
    new: (&Side<'a>, &'a Value),
    depth: usize,
) {
    // Properties that were found in two maps; the maps outlive the comparison.
    compare(changes, place, &old.0.child(old.1), &new.0.child(new.1), false, depth + 1);
}

fn names(changes: &mut Changes, place: &str, old: &Map<String, Value>, new: &Map<String, Value>, open: bool) {
    let of = |schema: &Map<String, Value>| -> BTreeSet<String> {
        schema.get("enum").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect()
    };
    let (before, after) = (of(old), of(new));
    for name in before.difference(&after) {
        changes.breaking(place, "name-removed", format!("{name} is gone"));
    }
    if before.is_empty() && !after.is_empty() {
        return changes.breaking(place, "type-changed", "only certain names are allowed now");
    }
    for name in after.difference(&before) {
        added(changes, place, name, open);
    }
}

fn added(changes: &mut Changes, place: &str, name: &str, open: bool) {
    if open {
        changes.compatible(place, "name-added-to-open-list", format!("{name} is new, and older readers skip it"));
    } else {
        changes.breaking(place, "name-added", format!("{name} is new, and older readers do not know it"));
    }
}

/// Alternatives by what tells them apart: a constant, a tag, or the names that they require.
fn variants<'a>(
    changes: &mut Changes,
    place: &str,
    list: (&str, bool),
    old: Part<'a, '_>,
    new: Part<'a, '_>,
    depth: usize,
) {
    let (key, open) = list;
    let of = |side: &Side<'a>, schema: &'a Map<String, Value>| -> BTreeMap<String, &'a Value> {
        let all = schema.get(key).and_then(Value::as_array).into_iter().flatten();
        let all: Vec<_> = all.flat_map(split).collect();
        all.into_iter().map(|(name, value)| (name.unwrap_or_else(|| told_apart(side, value)), value)).collect()
    };
    let (before, after) = (of(old.0, old.1), of(new.0, new.1));
    for (name, own) in &before {
        match after.get(name) {
            None => changes.breaking(place, "name-removed", format!("{name} is gone")),
            Some(other) => {
                let inner = format!("{place}/{name}");
                compare(changes, &inner, &old.0.child(own), &new.0.child(other), false, depth + 1);
            }
        }
    }
    if before.is_empty() && !after.is_empty() {
        return changes.breaking(place, "type-changed", "only certain forms are allowed now");
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        added(changes, place, name, open);
    }
}

/// Names without words of their own stand together in one alternative.
fn split(variant: &Value) -> Vec<(Option<String>, &Value)> {
    match variant.get("enum").and_then(Value::as_array) {
        Some(names) => names.iter().map(|name| (Some(name.to_string()), name)).collect(),
        None => vec![(None, variant)],
    }
}

fn told_apart(side: &Side<'_>, variant: &Value) -> String {
    if let Some(name) = variant.get("const") {
        return name.to_string();
    }
    let properties = variant.get("properties").and_then(Value::as_object);
    let tag = properties.into_iter().flatten().find_map(|(name, value)| Some((name, value.get("const")?)));
    if let Some((name, value)) = tag {
        return format!("{name} {value}");
    }
    if let Some(reference) = variant.get("$ref") {
        let _ = side;
        return reference.to_string();
    }
    let needed: Vec<_> = variant.as_object().map(required).into_iter().flatten().collect();
    if needed.is_empty() { variant.get("type").map_or_else(String::new, Value::to_string) } else { needed.join("+") }
}

/// Everything else that a schema may say: bounds, formats, defaults, constants.
fn rest(changes: &mut Changes, place: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
    const SEEN: [&str; 9] =
        ["type", "properties", "required", "enum", "oneOf", "anyOf", "items", "additionalProperties", "$ref"];
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let key = key.as_str();
        let (before, after) = (old.get(key), new.get(key));
        if before == after || SEEN.contains(&key) || key == "$defs" {
            continue;
        }
        if WORDS.contains(&key) {
            changes.compatible(place, "words", format!("`{key}` says it in other words"));
        } else if key == "default" {
            changes.breaking(place, "default-changed", "what a missing field means has changed");
        } else {
            changes.breaking(place, "bound-changed", format!("`{key}` has changed"));
        }
    }
}
