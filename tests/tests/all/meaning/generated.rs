//! Generated policies about one folder: what a plane lets happen is what the decision function says, or its preflight refuses.

use super::{ANY, Block, Folders, Row, access, no_tier, on_a_plane, tier};
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_tests::command::run;
use cofferdam_tests::skip;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Generated rules about one folder, as a policy, and what the decision function says about every file in it.
fn generated(rules: &[(&str, String)]) -> Option<Block> {
    let mut policy = String::from("version = 1\nextends = \"strict\"\n[filesystem]\n");
    for key in ["read", "write", "protect", "deny"] {
        let entries: Vec<String> =
            rules.iter().filter(|(own, _)| *own == key).map(|(_, path)| format!("\"{{o}}{path}\"")).collect();
        policy.push_str(&format!("{key} = [{}]\n", entries.join(", ")));
    }
    let folders = Folders(["/srv/w".to_owned(), "/srv/o".to_owned(), "/home/u".to_owned()]);
    let parsed = Policy::parse(&folders.fill(&policy), "generated", &NoFiles).ok()?;
    let compiled = parsed.compile(&folders.places(), &BTreeMap::new()).ok()?;
    let mut block = Block { title: policy.clone(), policy, ..Block::default() };
    block.refused_by.insert(ANY.to_owned());
    for folder in ["", "/a", "/b", "/a/a", "/a/b", "/b/a", "/b/b"] {
        for name in ["f", ".env", "x.key", "aa"] {
            let asked = format!("{{o}}{folder}/{name}");
            for kind in ["read", "write"] {
                let (kind, rule) = (kind.to_owned(), "-".to_owned());
                let mut row = Row {
                    line: 0,
                    kind,
                    subject: asked.clone(),
                    asked: asked.clone(),
                    allowed: false,
                    rule,
                    exists: true,
                };
                row.allowed = compiled.decide(&access(&row, &folders)).unwrap().verdict == Verdict::Allow;
                block.rows.push(row);
            }
        }
    }
    Some(block)
}

/// Rules of a policy: a list and a path beneath `{o}`. What gives has no `**`, which the plane refuses.
fn rules() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let plain = || prop::sample::select(vec!["a", "b", "f", ".env", "x.key", "aa"]);
    let wild = || prop::sample::select(vec!["a", "b", "f", ".env", "*", "?", "[ab]", "*.key", "a*"]);
    let wilder = || prop::sample::select(vec!["a", "b", "f", ".env", "*", "**", "?", "[!a]", "*.key"]);
    let path = |parts: Vec<&str>| parts.iter().map(|part| format!("/{part}")).collect::<String>();
    let literal = prop::collection::vec(plain(), 0..4).prop_map(path);
    let giving = prop_oneof![literal.clone(), prop::collection::vec(wild(), 1..4).prop_map(path)];
    let taking = prop_oneof![
        prop::collection::vec(plain(), 1..4).prop_map(path),
        prop::collection::vec(wilder(), 1..4).prop_map(path)
    ];
    let gives = (prop::sample::select(vec!["read", "write", "write"]), giving);
    let takes = (prop::sample::select(vec!["protect", "deny"]), taking);
    (prop::collection::vec(gives, 1..4), prop::collection::vec(takes, 0..4))
        .prop_map(|(gives, takes)| gives.into_iter().chain(takes).collect())
}

/// Runs as many generated policies on a plane as are asked for, and answers how many accesses were tried.
fn hold(plane: &str, command: impl Fn(&Path, &[&str], &[&str]) -> Command + Copy) -> usize {
    let runs = std::env::var("COFFERDAM_MEANING_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    let mut config = ProptestConfig::with_cases(runs);
    config.failure_persistence = None;
    config.max_shrink_iters = 64;
    let asked = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&rules(), |rules| {
        let Some(block) = generated(&rules) else { return Ok(()) };
        let (wrong, count) = on_a_plane(plane, vec![block], command);
        asked.set(asked.get() + count);
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
    outcome.unwrap();
    asked.get()
}

#[test]
fn generated_policies_mean_on_the_linux_plane_what_the_decision_function_says() {
    assert!(hold("linux", run) > 0, "no generated policy ran");
}

#[test]
fn generated_policies_mean_in_the_tier_without_namespaces_what_the_decision_function_says() {
    if let Some(why) = no_tier() {
        return skip::skipped(&why);
    }
    assert!(hold("landlock", tier) > 0, "no generated policy ran");
}
