//! What must hold whatever a policy says.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::{Access, CompiledPolicy, NoFiles, Placeholders, Policy};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Paths out of few names, so that rules and questions meet.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", ".env", ".git", "hooks", "x.key"]);
    prop::collection::vec(name, 1..6).prop_map(|names| format!("/{}", names.join("/")))
}

fn pattern() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", ".env", ".git", "*", "**", "?", "*.key", "[ab]", "[!a]"]);
    prop::collection::vec(name, 1..6).prop_map(|names| format!("/{}", names.join("/")))
}

fn list(key: &str, entries: &[String]) -> String {
    let quoted: Vec<String> = entries.iter().map(|entry| format!("\"{entry}\"")).collect();
    format!("{key} = [{}]\n", quoted.join(", "))
}

/// A policy that may be refused when it is loaded, for a rule that can never match.
fn compiled(read: &[String], write: &[String], deny: &[String]) -> Option<CompiledPolicy> {
    let text =
        format!("version = 1\n[filesystem]\n{}{}{}", list("read", read), list("write", write), list("deny", deny));
    let policy = Policy::parse(&text, "test", &NoFiles).ok()?;
    Some(policy.compile(&Placeholders::default(), &BTreeMap::new()).unwrap())
}

fn allows(policy: &CompiledPolicy, access: Access) -> bool {
    policy.decide(&access).unwrap().verdict == Verdict::Allow
}

proptest! {
    #[test]
    fn a_further_deny_never_allows_more(
        read in prop::collection::vec(pattern(), 0..4),
        write in prop::collection::vec(pattern(), 0..4),
        deny in prop::collection::vec(pattern(), 0..3),
        further in pattern(),
        asked in path(),
    ) {
        let more = [deny.clone(), vec![further]].concat();
        if let (Some(before), Some(after)) = (compiled(&read, &write, &deny), compiled(&read, &write, &more)) {
            for access in [Access::Read(asked.clone()), Access::Write(asked.clone())] {
                prop_assert!(allows(&before, access.clone()) || !allows(&after, access));
            }
        }
    }

    #[test]
    fn write_implies_read(
        read in prop::collection::vec(pattern(), 0..4),
        write in prop::collection::vec(pattern(), 0..4),
        deny in prop::collection::vec(pattern(), 0..3),
        asked in path(),
    ) {
        if let Some(policy) = compiled(&read, &write, &deny) {
            prop_assert!(!allows(&policy, Access::Write(asked.clone())) || allows(&policy, Access::Read(asked)));
        }
    }

    #[test]
    fn what_a_deny_names_literally_is_denied_with_all_beneath(
        write in prop::collection::vec(pattern(), 0..4),
        denied in path(),
        beneath in path(),
    ) {
        // A rule beneath the deny would be the more specific one.
        let beneath_it = |entry: &String| entry.starts_with(&format!("{denied}/"));
        if let Some(policy) = compiled(&[], &write, std::slice::from_ref(&denied)) && !write.iter().any(beneath_it) {
            let inner = format!("{denied}{beneath}");
            prop_assert!(!allows(&policy, Access::Write(denied)));
            prop_assert!(!allows(&policy, Access::Write(inner)));
        }
    }

    #[test]
    fn no_text_makes_reading_a_policy_panic(text in "\\PC{0,200}", body in "[\\[\\]=\"'{}a-z*?/.\\\\ \n0-9]{0,200}") {
        let _ = Policy::parse(&text, "test", &NoFiles);
        let _ = Policy::parse(&format!("version = 1\n{body}"), "test", &NoFiles);
        let _ = Policy::parse(&format!("{{{body}"), "test", &NoFiles);
    }

    #[test]
    fn no_entry_and_no_path_make_deciding_panic(entry in "[/a-z*?\\[\\]!\\\\{}.:~-]{1,40}", asked in "\\PC{0,60}") {
        let quoted = serde_json::to_string(&entry).unwrap();
        let text = format!("{{\"version\": 1, \"filesystem\": {{\"read\": [{quoted}]}}, \"commands\": {{\"allow\": [{quoted}]}}}}");
        let Ok(policy) = Policy::parse(&text, "test", &NoFiles) else { return Ok(()) };
        let Ok(compiled) = policy.compile(&Placeholders::default(), &BTreeMap::new()) else { return Ok(()) };
        for access in [Access::Read(asked.clone()), Access::Execute(asked.clone()), Access::Connect(asked.clone(), 1)] {
            let _ = compiled.decide(&access);
        }
    }

    #[test]
    fn the_same_policy_in_json_decides_the_same(
        read in prop::collection::vec(pattern(), 0..4),
        deny in prop::collection::vec(pattern(), 0..4),
        asked in path(),
    ) {
        let json = serde_json::json!({"version": 1, "filesystem": {"read": read, "deny": deny}}).to_string();
        let toml = compiled(&read, &[], &deny);
        let json = Policy::parse(&json, "test", &NoFiles).ok()
            .map(|policy| policy.compile(&Placeholders::default(), &BTreeMap::new()).unwrap());
        prop_assert_eq!(toml.is_some(), json.is_some());
        if let (Some(toml), Some(json)) = (toml, json) {
            let decide = |policy: &CompiledPolicy| policy.decide(&Access::Read(asked.clone())).unwrap().verdict;
            prop_assert_eq!(decide(&toml), decide(&json));
        }
    }
}
