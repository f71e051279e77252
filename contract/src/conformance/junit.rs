//! A report as JUnit's XML.

use super::check::Outcome;
use super::report::{Report, line};
use std::fmt::Write;

/// The whole document.
pub(super) fn write(report: &Report) -> String {
    let (_, failed, skipped) = report.count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\">\n",
        escaped(&report.subject),
        report.results.len()
    );
    for result in &report.results {
        let (name, group) = (escaped(&format!("{}: {}", result.name, result.title)), result.group.name());
        let seconds = result.milliseconds as f64 / 1000.0;
        let _ = write!(xml, "  <testcase classname=\"{group}\" name=\"{name}\" time=\"{seconds:.3}\"");
        let _ = match &result.outcome {
            Outcome::Passed => writeln!(xml, "/>"),
            Outcome::Failed(why) => writeln!(xml, "><failure message=\"{}\"/></testcase>", escaped(why)),
            Outcome::Skipped(why) => writeln!(xml, "><skipped message=\"{}\"/></testcase>", escaped(why)),
        };
    }
    xml + "</testsuite>\n"
}

fn escaped(text: &str) -> String {
    // No character of XML (section 2.2 of XML 1.0).
    line(text)
        .replace(['\u{fffe}', '\u{ffff}'], " ")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
