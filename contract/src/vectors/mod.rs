//! Golden vectors: values of each type that must be read, and values that must be refused, with the code of the refusal.
//!
//! Valid values are written by hand (`samples`), and held against the types. Invalid ones are made from them by one fault each, and
//! kept only when the types refuse them. So no vector says what the code does not do, and what the code does is on disk for others.

mod frames;
mod samples;
mod types;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub use types::accepts;

/// Every file of vectors, by its path beneath `contract/v1/vectors`.
pub fn vectors() -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    let mut valid: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (name, text) in samples::SAMPLES {
        // A sample that is no JSON has no value of its type either, which a test holds.
        valid.entry(*name).or_default().push(serde_json::from_str(text).unwrap_or(Value::Null));
    }
    for (name, values) in valid {
        let invalid: Vec<Value> = values.first().map(|first| spoiled(name, first)).unwrap_or_default();
        let valid: Vec<Value> = values.into_iter().map(|value| json!({ "value": value })).collect();
        files.insert(format!("{name}.json"), json!({ "type": name, "valid": valid, "invalid": invalid }));
    }
    files.insert("wire_frames.json".to_owned(), frames::vectors());
    files
}

/// How many vectors there are.
pub fn count() -> usize {
    let of = |file: &Value, part: &str| file.get(part).and_then(Value::as_array).map_or(0, Vec::len);
    vectors().values().map(|file| of(file, "valid") + of(file, "invalid")).sum()
}

/// What a type refuses of a valid value with one fault.
fn spoiled(name: &str, valid: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let mut try_one = |fault: String, value: Value| {
        if !accepts(name, &value) {
            found.push(json!({ "fault": fault, "value": value, "code": "request_invalid" }));
        }
    };
    for (fault, value) in
        [("null", Value::Null), ("a list", json!([[]])), ("a number", json!(-1.5)), ("text", json!("no such name"))]
    {
        try_one(format!("{fault} in its place"), value);
    }
    let Value::Object(fields) = valid else { return found };
    try_one("nothing in it".to_owned(), json!({}));
    for key in fields.keys() {
        let mut without: Map<_, _> = fields.clone();
        without.remove(key);
        try_one(format!("`{key}` is missing"), Value::Object(without));
        for (fault, value) in [
            ("null", Value::Null),
            ("a list in a list", json!([[]])),
            ("a negative fraction", json!(-0.5)),
            ("an object", json!({"x": [1]})),
        ] {
            let mut wrong = fields.clone();
            wrong.insert(key.clone(), value);
            try_one(format!("`{key}` is {fault}"), Value::Object(wrong));
        }
    }
    let mut more = fields.clone();
    more.insert("no_such_field".to_owned(), Value::from(1));
    try_one("a field too many".to_owned(), Value::Object(more));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_every_sample_is_of_its_type_and_every_type_has_one() {
        for (name, text) in samples::SAMPLES {
            let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(accepts(name, &value), "{name}: {value}");
        }
        for name in types::names() {
            assert!(samples::SAMPLES.iter().any(|(own, _)| *own == name), "{name} has no sample");
        }
    }

    #[test]
    fn b2_there_are_three_hundred_vectors_and_every_type_has_invalid_ones() {
        assert!(count() >= 300, "{}", count());
        for (file, vectors) in vectors() {
            assert!(!vectors["invalid"].as_array().unwrap().is_empty(), "{file} has no invalid vector");
        }
    }
}
