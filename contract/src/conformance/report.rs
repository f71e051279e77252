//! What came of all checks: for people, and for tools.

use super::check::{CheckResult, Outcome};
use super::junit;
use cofferdam_bridge::policy_line::steers;
use serde::Serialize;
use std::fmt::Write;

/// The results, in the order in which they were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was checked.
    pub subject: String,
    /// The generation of the contract that it was held against.
    pub contract_generation: u32,
    /// Each check.
    pub results: Vec<CheckResult>,
}

impl Report {
    pub(super) fn new(subject: String, results: Vec<CheckResult>) -> Self {
        Self { subject, contract_generation: crate::GENERATION, results }
    }

    /// Whether something was checked and nothing failed.
    pub fn passed(&self) -> bool {
        self.count().1 == 0 && self.count().0 > 0
    }

    /// How many passed, failed and were skipped.
    pub fn count(&self) -> (usize, usize, usize) {
        self.results.iter().fold((0, 0, 0), |(passed, failed, skipped), result| match result.outcome {
            Outcome::Passed => (passed + 1, failed, skipped),
            Outcome::Failed(_) => (passed, failed + 1, skipped),
            Outcome::Skipped(_) => (passed, failed, skipped + 1),
        })
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CheckResult> {
        self.results.iter().filter(|result| matches!(result.outcome, Outcome::Failed(_)))
    }

    /// For people: what failed and why, how each group did, and the sum.
    pub fn text(&self) -> String {
        let mut text = format!("{}, contract generation {}\n\n", line(&self.subject), self.contract_generation);
        let mut groups: Vec<_> = self.results.iter().map(|result| result.group).collect();
        groups.dedup();
        for group in groups {
            let own: Vec<_> = self.results.iter().filter(|result| result.group == group).collect();
            let of = |wanted: fn(&Outcome) -> bool| own.iter().filter(|result| wanted(&result.outcome)).count();
            let passed = of(|outcome| matches!(outcome, Outcome::Passed));
            let skipped = of(|outcome| matches!(outcome, Outcome::Skipped(_)));
            let failed = own.len() - passed - skipped;
            let _ = writeln!(text, "{:<12} {passed:>4} passed {failed:>4} failed {skipped:>4} skipped", group.name());
        }
        for result in self.failures() {
            if let Outcome::Failed(why) = &result.outcome {
                let _ = write!(
                    text,
                    "\nFAILED {}.{}: {}\n  {}\n",
                    result.group.name(),
                    result.name,
                    result.title,
                    line(why)
                );
            }
        }
        let (passed, failed, skipped) = self.count();
        let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
        text
    }

    /// The Test Anything Protocol, version 14 (testanything.org).
    pub fn tap(&self) -> String {
        let mut text = format!("TAP version 14\n1..{}\n", self.results.len());
        for (number, result) in (1..).zip(&self.results) {
            let title = line(&result.title).replace(['#', '\\'], " ");
            let named = format!("{number} - {}.{} {title}", result.group.name(), result.name);
            let _ = match &result.outcome {
                Outcome::Passed => writeln!(text, "ok {named}"),
                Outcome::Skipped(why) => writeln!(text, "ok {named} # SKIP {}", line(why).replace(['#', '\\'], " ")),
                Outcome::Failed(why) => {
                    writeln!(text, "not ok {named}\n  ---\n  message: {}\n  ...", serde_json::Value::from(line(why)))
                }
            };
        }
        text
    }

    /// The XML of JUnit, as tools of continuous integration read it.
    pub fn junit(&self) -> String {
        junit::write(self)
    }

    /// JSON.
    pub fn json(&self) -> String {
        // Texts, numbers and lists always have a JSON form.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        let mut safe = String::with_capacity(text.len() + 1);
        for letter in text.chars() {
            if letter != '\n' && (letter.is_control() || steers(letter)) {
                // They stand in strings only (RFC 8259, section 7), and lie in the basic plane.
                let _ = write!(safe, "\\u{:04x}", u32::from(letter));
            } else {
                safe.push(letter);
            }
        }
        safe + "\n"
    }
}

/// On one line, without what a terminal would obey, or what would turn letters around or hide them.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() || steers(letter) { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::Group;
    use super::*;

    fn report() -> Report {
        let result = |name: &str, outcome| CheckResult {
            group: Group::Streams,
            name: name.to_owned(),
            title: "a <title> & more".to_owned(),
            outcome,
            milliseconds: 5,
        };
        let failed = Outcome::Failed("\"why\" <b>\n\u{1b}[0m\u{9b}\u{202e}\u{ffff}".to_owned());
        let results = vec![
            result("one", Outcome::Passed),
            result("two", failed),
            result("three", Outcome::Skipped("not claimed".to_owned())),
        ];
        Report::new("subject".to_owned(), results)
    }

    #[test]
    fn every_format_tells_the_same() {
        let report = report();
        assert!(!report.passed());
        assert_eq!(report.count(), (1, 1, 1));
        let text = report.text();
        assert!(text.contains("FAILED streams.two") && text.contains("1 passed, 1 failed, 1 skipped"), "{text}");
        let tap = report.tap();
        assert!(tap.starts_with("TAP version 14\n1..3\nok 1 - streams.one"), "{tap}");
        assert!(tap.contains("not ok 2 - streams.two") && tap.contains("# SKIP not claimed"), "{tap}");
        let junit = report.junit();
        assert!(junit.contains("tests=\"3\" failures=\"1\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("a &lt;title&gt; &amp; more") && !junit.contains('\u{ffff}'), "{junit}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["results"][1]["outcome"]["failed"], "\"why\" <b>\n\u{1b}[0m\u{9b}\u{202e}\u{ffff}");
        for told in [text, tap, junit, report.json()] {
            assert!(told.chars().all(|letter| letter == '\n' || !(letter.is_control() || steers(letter))), "{told:?}");
        }
    }

    #[test]
    fn a_report_of_nothing_has_not_passed() {
        assert!(!Report::new("x".to_owned(), Vec::new()).passed());
    }
}
