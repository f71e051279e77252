//! The reference page, made from the same source as the schemas.

use crate::wire::fault::{Consequence, WireFault};
use crate::wire::method::{Kind, METHODS};
use cofferdam_bridge::contract::BridgeContract;
use cofferdam_bridge::error_code::ErrorCode;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// `contract/v1/REFERENCE.md`.
pub fn page() -> String {
    let mut page = format!(
        "# Reference of contract generation {}\n\nMade by `cargo xtask contract generate` from the types; do not edit. How messages travel is in \
         [the wire protocol](../../docs/wire-protocol.md).\n",
        crate::GENERATION
    );
    methods(&mut page);
    faults(&mut page);
    codes(&mut page);
    operations(&mut page);
    types(&mut page);
    page
}

/// The rows of the table of breaches, as the page about the protocol has them.
pub fn fault_rows() -> String {
    let row = |fault: &WireFault| {
        let ends = if fault.consequence() == Consequence::Ends { "ends" } else { "answers" };
        format!("| `{fault}` | {} | {ends} | {} |\n", fault.number(), fault.meaning())
    };
    WireFault::ALL.iter().map(row).collect()
}

fn cell(text: &str) -> String {
    unlinked(text).replace('|', "\\|").replace('\n', " ")
}

/// A description without the links that only Rust's documents can follow: `[words](crate::place)` becomes the words.
fn unlinked(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("](crate::") {
        match (before.rsplit_once('['), after.split_once(')')) {
            (Some((first, words)), Some((_, last))) => {
                plain.push_str(first);
                plain.push_str(words);
                rest = last;
            }
            _ => break,
        }
    }
    plain + rest
}

fn methods(page: &mut String) {
    page.push_str(
        "\n## Methods of the wire\n\n| method | who | parameters | result | |\n| --- | --- | --- | --- | --- |\n",
    );
    for method in METHODS {
        let who = match method.kind {
            Kind::Call => "kernel asks",
            Kind::FromKernel => "kernel tells",
            Kind::FromPlane => "plane tells",
        };
        let (params, result, meaning) = (cell(method.params), cell(method.result), cell(method.meaning));
        let _ = writeln!(page, "| `{}` | {who} | {params} | {result} | {meaning} |", method.name);
    }
}

fn faults(page: &mut String) {
    page.push_str(
        "\n## Breaches of the protocol\n\n| name | number | a plane | meaning |\n| --- | --- | --- | --- |\n",
    );
    page.push_str(&fault_rows());
}

fn codes(page: &mut String) {
    page.push_str("\n## Error codes\n\n| code | category | meaning |\n| --- | --- | --- |\n");
    for code in ErrorCode::ALL {
        let category = serde_json::to_value(code.category()).unwrap_or_default();
        let _ = writeln!(page, "| `{code}` | {} | {} |", category.as_str().unwrap_or_default(), cell(code.meaning()));
    }
}

fn operations(page: &mut String) {
    page.push_str("\n## Small operations\n\n| operation | who | answer | most bytes in, out | errors of its own |\n| --- | --- | --- | --- | --- |\n");
    let Ok(contract) = BridgeContract::embedded() else { return };
    for group in &contract.groups {
        let who = serde_json::to_value(group.caller).unwrap_or_default();
        let errors: Vec<_> = group.errors.iter().map(|code| code.as_str()).collect();
        let _ = writeln!(
            page,
            "| `{}({})` | {} | {} | {}, {} | {} |",
            group.operation,
            cell(&group.argument_types.join(", ")),
            who.as_str().unwrap_or_default(),
            cell(&group.return_type),
            group.max_argument_bytes,
            group.max_result_bytes,
            errors.join(", ")
        );
    }
}

fn types(page: &mut String) {
    page.push_str("\n## Types\n");
    let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for (file, schema) in crate::schemas() {
        if file.starts_with("operation/") {
            continue;
        }
        for (name, inner) in schema.get("$defs").and_then(Value::as_object).into_iter().flatten() {
            definitions.insert(name.clone(), inner.clone());
        }
        let name = file.trim_end_matches(".json").to_owned();
        let title = schema.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        define(page, &format!("{name} ({title})"), &schema);
        named.insert(title);
    }
    for (name, schema) in definitions.iter().filter(|(name, _)| !named.contains(*name)) {
        define(page, name, schema);
    }
}

fn define(page: &mut String, name: &str, schema: &Value) {
    let words = unlinked(schema.get("description").and_then(Value::as_str).unwrap_or_default());
    let _ = write!(page, "\n### {name}\n\n{words}\n");
    if let Some(alternatives) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array()) {
        page.push('\n');
        for alternative in alternatives {
            let words = cell(alternative.get("description").and_then(Value::as_str).unwrap_or_default());
            let _ = writeln!(page, "- {}{}{words}", kind(alternative), if words.is_empty() { "" } else { ": " });
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let needed = |name: &str| {
        let list = schema.get("required").and_then(Value::as_array);
        list.into_iter().flatten().any(|own| own.as_str() == Some(name))
    };
    if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        page.push_str("\n| field | type | | |\n| --- | --- | --- | --- |\n");
        for (name, inner) in properties {
            let words = cell(inner.get("description").and_then(Value::as_str).unwrap_or_default());
            let must = if needed(name) { "required" } else { "optional" };
            let _ = writeln!(page, "| `{name}` | {} | {must} | {words} |", cell(&kind(inner)));
        }
    }
}

/// A type in a few words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or(reference).to_owned();
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(alternatives) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array()) {
        return alternatives.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            format!("list of {}", schema.get("items").map_or_else(|| "anything".to_owned(), kind))
        }
        Some(Value::String(name)) if name == "object" => {
            let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let fields: Vec<_> = fields.map(|(name, inner)| format!("{name}: {}", kind(inner))).collect();
            if fields.is_empty() { "object".to_owned() } else { format!("{{{}}}", fields.join(", ")) }
        }
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}
