//! What policies say, row by row: the definition of their meaning, which every plane is held against.
//!
//! `decisions.txt` holds policies, each with rows of `access subject verdict rule`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::{Access, NoFiles, Placeholders, Policy};
use std::collections::BTreeMap;

fn places() -> Placeholders {
    let mut places = Placeholders::default();
    places.workspace = Some("/w".to_owned());
    places.home = Some("/home/u".to_owned());
    places.user = Some("u".to_owned());
    places
}

fn host() -> BTreeMap<String, String> {
    let names = ["LANG", "LC_ALL", "LC_TIME", "SECRET", "LD_PRELOAD", "PATH", "NODE_OPTIONS"];
    names.map(|name| (name.to_owned(), "value".to_owned())).into()
}

fn access(kind: &str, subject: &str) -> Access {
    match kind {
        "read" => Access::Read(subject.to_owned()),
        "write" => Access::Write(subject.to_owned()),
        "execute" => Access::Execute(subject.to_owned()),
        "send" => {
            let (host, port) = subject.rsplit_once(':').unwrap();
            Access::Send(host.to_owned(), port.parse().unwrap())
        }
        "connect" => {
            let (host, port) = subject.rsplit_once(':').unwrap();
            Access::Connect(host.to_owned(), port.parse().unwrap())
        }
        "variable" => Access::Environment(subject.to_owned()),
        other => panic!("{other}"),
    }
}

/// The rows of one policy: line number, access, subject, verdict, rule.
fn check(policy: &str, rows: &[(usize, &str)]) -> Vec<String> {
    let policy = Policy::parse(&format!("version = 1\n{policy}"), "test", &NoFiles).unwrap();
    let compiled = policy.compile(&places(), &host()).unwrap();
    let mut wrong = Vec::new();
    for (line, row) in rows {
        let mut words = row.splitn(4, ' ');
        let (kind, subject, verdict) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let rule = words.next().unwrap_or("-");
        let outcome = compiled.decide(&access(kind, subject));
        let seen = match &outcome {
            Ok(decision) => {
                let word = match decision.verdict {
                    Verdict::Allow => "allow",
                    Verdict::Prompt => "prompt",
                    _ => "deny",
                };
                let rule = decision.rule.as_ref().map_or("-", |rule| rule.text.as_str());
                // A refusal always says what would allow it.
                assert!(decision.verdict == Verdict::Allow || decision.remedy.is_some(), "line {line}");
                format!("{word} {rule}")
            }
            Err(error) => format!("error {}", error.code),
        };
        if seen != format!("{verdict} {rule}") {
            wrong.push(format!("decisions.txt:{line}: {row}\n    it is {seen}"));
        }
    }
    wrong
}

#[test]
fn every_row_holds() {
    let text = include_str!("decisions.txt");
    let (mut policy, mut rows, mut in_policy, mut wrong, mut count) = (String::new(), Vec::new(), false, Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("===") {
            wrong.extend(check(&policy, &rows));
            count += rows.len();
            (policy, in_policy) = (String::new(), true);
            rows.clear();
        } else if line.starts_with("---") {
            in_policy = false;
        } else if in_policy {
            policy.push_str(line);
            policy.push('\n');
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            rows.push((number + 1, line.trim()));
        }
    }
    wrong.extend(check(&policy, &rows));
    count += rows.len();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count >= 120, "{count} rows");
}
