//! A table of changes, each with what it means and by which rule.

use cofferdam_bridge::contract::{BRIDGE_CONTRACT_JSON, BridgeContract};
use cofferdam_contract::compatibility::{self, Change, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A schema with one of everything.
fn base() -> Value {
    json!({
        "title": "Base",
        "type": "object",
        "required": ["name", "kind", "inner"],
        "properties": {
            "name": { "type": "string", "description": "A name." },
            "count": { "type": "integer", "minimum": 0, "maximum": 255, "default": 0 },
            "kind": { "enum": ["one", "two"] },
            "maybe": { "type": ["string", "null"] },
            "list": { "type": "array", "items": { "type": "string" } },
            "inner": { "$ref": "#/$defs/Inner" },
            "code": { "$ref": "#/$defs/ErrorCode" },
            "closed": { "$ref": "#/$defs/Closed" },
            "form": { "$ref": "#/$defs/Form" },
            "map": { "type": "object", "additionalProperties": { "type": "integer" } }
        },
        "$defs": {
            "Inner": { "type": "object", "required": ["x"], "properties": { "x": { "type": "integer" }, "y": { "type": "integer" } } },
            "ErrorCode": { "oneOf": [{ "const": "not_found", "type": "string" }, { "const": "io_failed", "type": "string" }] },
            "Closed": { "type": "object", "additionalProperties": false, "properties": { "a": { "type": "integer" } } },
            "Form": { "oneOf": [
                { "type": "object", "required": ["event", "n"], "properties": { "event": { "const": "a" }, "n": { "type": "integer" } } },
                { "type": "object", "required": ["event"], "properties": { "event": { "const": "b" } } }
            ] }
        }
    })
}

fn at<'a>(schema: &'a mut Value, pointer: &str) -> &'a mut Value {
    schema.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"))
}

fn remove(schema: &mut Value, pointer: &str, key: &str) {
    match at(schema, pointer) {
        Value::Object(map) => drop(map.remove(key)),
        Value::Array(list) => list.retain(|value| value != key),
        _ => panic!("{pointer}"),
    }
}

fn push(schema: &mut Value, pointer: &str, value: Value) {
    at(schema, pointer).as_array_mut().unwrap().push(value);
}

fn changes(change: impl Fn(&mut Value)) -> Vec<Change> {
    let mut after = base();
    change(&mut after);
    compatibility::schemas(&BTreeMap::from([("t".to_owned(), base())]), &BTreeMap::from([("t".to_owned(), after)]))
}

/// The change to a schema, whether it breaks, and the rule.
type Row = (&'static str, fn(&mut Value), bool, &'static str);

const SCHEMAS: [Row; 36] = [
    ("a description", |s| *at(s, "/properties/name/description") = json!("Other words."), false, "words"),
    ("a title", |s| *at(s, "/title") = json!("Another"), false, "words"),
    ("an optional field", |s| at(s, "/properties")["more"] = json!({"type": "string"}), false, "optional-field-added"),
    (
        "a required field",
        |s| {
            at(s, "/properties")["more"] = json!({"type": "string"});
            push(s, "/required", json!("more"));
        },
        true,
        "required-field-added",
    ),
    ("a field gone", |s| remove(s, "/properties", "count"), true, "field-removed"),
    (
        "a required field gone",
        |s| {
            remove(s, "/properties", "name");
            remove(s, "/required", "name");
        },
        true,
        "field-removed",
    ),
    ("a field now required", |s| push(s, "/required", json!("count")), true, "field-now-required"),
    ("a field now optional", |s| remove(s, "/required", "name"), true, "field-now-optional"),
    ("another type", |s| *at(s, "/properties/name/type") = json!("integer"), true, "type-changed"),
    ("a wider type", |s| *at(s, "/properties/name/type") = json!(["string", "null"]), true, "type-changed"),
    ("a narrower type", |s| *at(s, "/properties/maybe/type") = json!("string"), true, "type-changed"),
    ("a type gone", |s| remove(s, "/properties/name", "type"), true, "type-changed"),
    ("a name more", |s| push(s, "/properties/kind/enum", json!("three")), true, "name-added"),
    ("a name less", |s| remove(s, "/properties/kind/enum", "two"), true, "name-removed"),
    ("a name for another", |s| *at(s, "/properties/kind/enum/0") = json!("first"), true, "name-removed"),
    ("names for any text", |s| at(s, "/properties/name")["enum"] = json!(["x"]), true, "type-changed"),
    (
        "an error code more",
        |s| push(s, "/$defs/ErrorCode/oneOf", json!({"const": "new", "type": "string"})),
        false,
        "name-added-to-open-list",
    ),
    (
        "an error code less",
        |s| drop(at(s, "/$defs/ErrorCode/oneOf").as_array_mut().unwrap().pop()),
        true,
        "name-removed",
    ),
    ("an error code renamed", |s| *at(s, "/$defs/ErrorCode/oneOf/0/const") = json!("missing"), true, "name-removed"),
    ("a greater bound", |s| *at(s, "/properties/count/maximum") = json!(65535), true, "bound-changed"),
    ("a lesser bound", |s| *at(s, "/properties/count/maximum") = json!(7), true, "bound-changed"),
    ("a bound gone", |s| remove(s, "/properties/count", "minimum"), true, "bound-changed"),
    ("a new bound", |s| at(s, "/properties/name")["maxLength"] = json!(8), true, "bound-changed"),
    ("a pattern", |s| at(s, "/properties/name")["pattern"] = json!("^a"), true, "bound-changed"),
    ("another default", |s| *at(s, "/properties/count/default") = json!(1), true, "default-changed"),
    ("a default gone", |s| remove(s, "/properties/count", "default"), true, "default-changed"),
    ("items of another type", |s| *at(s, "/properties/list/items/type") = json!("integer"), true, "type-changed"),
    (
        "an inner optional field",
        |s| at(s, "/$defs/Inner/properties")["z"] = json!({"type": "integer"}),
        false,
        "optional-field-added",
    ),
    ("an inner field gone", |s| remove(s, "/$defs/Inner/properties", "y"), true, "field-removed"),
    (
        "a field in a closed type",
        |s| at(s, "/$defs/Closed/properties")["b"] = json!({"type": "integer"}),
        true,
        "field-added-to-closed",
    ),
    ("a type closed", |s| at(s, "/$defs/Inner")["additionalProperties"] = json!(false), true, "closed"),
    ("a type opened", |s| remove(s, "/$defs/Closed", "additionalProperties"), false, "opened"),
    (
        "a form more",
        |s| {
            push(
                s,
                "/$defs/Form/oneOf",
                json!({"type": "object", "required": ["event"], "properties": {"event": {"const": "c"}}}),
            );
        },
        true,
        "name-added",
    ),
    ("a form less", |s| drop(at(s, "/$defs/Form/oneOf").as_array_mut().unwrap().pop()), true, "name-removed"),
    (
        "a field in a form gone",
        |s| {
            remove(s, "/$defs/Form/oneOf/0/properties", "n");
            remove(s, "/$defs/Form/oneOf/0/required", "n");
        },
        true,
        "field-removed",
    ),
    (
        "values of another type",
        |s| *at(s, "/properties/map/additionalProperties/type") = json!("string"),
        true,
        "type-changed",
    ),
];

#[test]
fn b7_each_change_of_a_schema_is_named_by_its_rule() {
    assert!(changes(|_| {}).is_empty());
    for (what, change, breaks, rule) in SCHEMAS {
        let found = changes(change);
        assert!(found.iter().any(|change| change.rule == rule), "{what}: {found:#?}");
        let breaking = found.iter().any(|change| change.verdict == Verdict::Breaking);
        assert_eq!(breaking, breaks, "{what}: {found:#?}");
    }
}

#[test]
fn b7_types_come_compatibly_and_go_breakingly() {
    let (none, one) = (BTreeMap::new(), BTreeMap::from([("t".to_owned(), base())]));
    let added = compatibility::schemas(&none, &one);
    assert!(
        matches!(added.as_slice(), [change] if change.verdict == Verdict::Compatible && change.rule == "schema-added")
    );
    let removed = compatibility::schemas(&one, &none);
    assert!(
        matches!(removed.as_slice(), [change] if change.verdict == Verdict::Breaking && change.rule == "schema-removed")
    );
}

/// The change to the contract's first operation, whether it breaks, and the rule.
type OperationRow = (&'static str, fn(&mut Value), bool, &'static str);

const OPERATIONS: [OperationRow; 14] = [
    ("gone", |c| drop(at(c, "/groups").as_array_mut().unwrap().remove(0)), true, "operation-removed"),
    (
        "a new one",
        |c| {
            let mut new = at(c, "/groups/0").clone();
            new["operation"] = json!("filesystem.new");
            new["names"] = json!(["_new"]);
            push(c, "/groups", new);
        },
        false,
        "operation-added",
    ),
    ("a name gone", |c| drop(at(c, "/groups/0/names").as_array_mut().unwrap().pop()), true, "guest-name-removed"),
    ("a name more", |c| push(c, "/groups/0/names", json!("_another")), false, "guest-name-added"),
    ("fewer bytes in", |c| *at(c, "/groups/0/maxArgumentBytes") = json!(1), true, "bound-lowered"),
    ("more bytes in", |c| *at(c, "/groups/0/maxArgumentBytes") = json!(1_000_000), false, "bound-raised"),
    ("fewer bytes out", |c| *at(c, "/groups/0/maxResultBytes") = json!(1), true, "bound-lowered"),
    ("another error", |c| push(c, "/groups/0/errors", json!("queue_full")), false, "error-added"),
    ("an error less", |c| drop(at(c, "/groups/0/errors").as_array_mut().unwrap().pop()), false, "error-removed"),
    ("no permission", |c| *at(c, "/groups/0/permissions") = json!([]), true, "permissions-changed"),
    ("another argument", |c| push(c, "/groups/0/argumentTypes", json!("more: string")), true, "signature-changed"),
    ("another answer", |c| *at(c, "/groups/0/returnType") = json!("string"), true, "signature-changed"),
    ("not for guests", |c| *at(c, "/groups/0/caller") = json!("kernel"), true, "caller-narrowed"),
    ("another generation", |c| *at(c, "/version") = json!(2), true, "generation-raised"),
];

#[test]
fn b7_each_change_of_an_operation_is_named_by_its_rule() {
    let old = BridgeContract::embedded().unwrap();
    for (what, change, breaks, rule) in OPERATIONS {
        let mut text: Value = serde_json::from_str(BRIDGE_CONTRACT_JSON).unwrap();
        change(&mut text);
        let found = compatibility::operations(old, &BridgeContract::parse(&text.to_string()).unwrap());
        assert!(found.iter().any(|change| change.rule == rule), "{what}: {found:#?}");
        let breaking = found.iter().any(|change| change.verdict == Verdict::Breaking);
        assert_eq!(breaking, breaks, "{what}: {found:#?}");
    }
}

#[test]
fn b7_the_table_has_forty_changes() {
    assert!(SCHEMAS.len() + OPERATIONS.len() >= 40, "{}", SCHEMAS.len() + OPERATIONS.len());
}

#[test]
fn b7_every_rule_of_the_table_stands_on_the_page() {
    let page = include_str!("../../COMPATIBILITY.md");
    for rule in SCHEMAS.iter().map(|row| row.3).chain(OPERATIONS.iter().map(|row| row.3)) {
        assert!(page.contains(&format!("`{rule}`")), "{rule}");
    }
}

#[test]
fn b2_the_page_about_the_protocol_lists_every_breach_and_every_method() {
    let page = include_str!("../../../docs/wire-protocol.md");
    assert!(page.contains(&cofferdam_contract::reference::fault_rows()), "the table of breaches is another");
    for method in cofferdam_contract::wire::method::METHODS {
        assert!(page.contains(method.name), "{}", method.name);
    }
}
