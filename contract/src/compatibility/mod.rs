//! What changed between two releases of the contract, and whether the other side, built for the older one, still works.
//!
//! The rules are told in `contract/COMPATIBILITY.md`; each has a name here. A change that no rule allows is breaking.

mod compare;
mod operations;

pub use operations::operations;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Whether a peer of the older release still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It does.
    Compatible,
    /// It does not, or not surely: the generation has to be raised.
    Breaking,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Which schema or operation, and where in it.
    pub place: String,
    /// What changed.
    pub what: String,
    /// What it means.
    pub verdict: Verdict,
    /// The rule that says so.
    pub rule: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict == Verdict::Breaking { "BREAKING" } else { "compatible" };
        write!(f, "{verdict:<10} {}: {} ({})", self.place, self.what, self.rule)
    }
}

/// Changes so far.
#[derive(Debug, Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn compatible(&mut self, place: &str, rule: &'static str, what: impl Into<String>) {
        self.0.push(Change { place: place.to_owned(), what: what.into(), verdict: Verdict::Compatible, rule });
    }

    fn breaking(&mut self, place: &str, rule: &'static str, what: impl Into<String>) {
        self.0.push(Change { place: place.to_owned(), what: what.into(), verdict: Verdict::Breaking, rule });
    }
}

/// Compares the schemas of two releases, by their paths beneath `schema`.
pub fn schemas(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut changes = Changes::default();
    for (name, before) in old {
        match new.get(name) {
            None => changes.breaking(name, "schema-removed", "the schema is gone"),
            Some(after) => compare::documents(&mut changes, name, before, after),
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        changes.compatible(name, "schema-added", "the schema is new");
    }
    changes.0
}
