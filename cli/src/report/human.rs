//! The last lines on standard error: what ended the run, what was refused, and what to write to allow it.
//!
//! They tell only what the report holds for certain; they never guess from output or exit codes.

use crate::escape::{sentences, shown};
use cofferdam_bridge::event::{ChangeSummary, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::published_port::PublishedPort;
use cofferdam_bridge::verdict::Denial;
use std::io::{IsTerminal, Write};

/// Prints what there is to tell. `explained`: refusals were asked for, so they are told after a success, too.
pub(crate) fn print(report: &ExecutionReport, explained: bool) {
    print_lines(&lines(report, explained));
}

/// Where a port of a run is, to stand behind what else is told of the run.
pub(crate) fn published(port: &PublishedPort) -> String {
    format!(", port {} at 127.0.0.1:{}", port.port, port.host_port)
}

/// Prints one line about a danger, before the run.
pub(crate) fn warn(sentence: &str) {
    print_lines(&[format!("cofferdam: warning: {}", sentences(sentence))]);
}

/// Prints one line about something that was found.
pub(crate) fn note(sentence: &str) {
    print_lines(&[format!("cofferdam: {}", sentences(sentence))]);
}

/// When standard error cannot be written there is nobody to tell.
fn print_lines(lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !stderr.is_terminal();
    for line in lines {
        let _ = if plain { writeln!(stderr, "{line}") } else { writeln!(stderr, "\u{1b}[33m{line}\u{1b}[0m") };
    }
}

fn lines(report: &ExecutionReport, explained: bool) -> Vec<String> {
    let mut lines = cause(&report.cause);
    if explained || !report.cause.success() {
        lines.extend(report.denials.iter().flat_map(denial));
    }
    if !report.executable_later.is_empty() {
        lines.push("cofferdam: the run made or changed files that other tools may execute later:".to_owned());
        lines.extend(report.executable_later.iter().map(|path| format!("  {}", shown(path))));
    }
    lines.extend(report.changes.as_ref().map(changes));
    lines
}

/// What was kept apart, and the command that shows it.
fn changes(summary: &ChangeSummary) -> String {
    let id = shown(&summary.id);
    format!("cofferdam: changes kept apart as {id}: {}; next: cofferdam changes show {id}", counts(summary))
}

/// How many changes there are of each kind.
pub(crate) fn counts(summary: &ChangeSummary) -> String {
    let kinds = [
        (summary.created, "created"),
        (summary.changed, "changed"),
        (summary.deleted, "deleted"),
        (summary.renamed, "renamed"),
        (summary.mode_changed, "with another mode"),
        (summary.touched, "touched"),
    ];
    let told: Vec<_> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    if told.is_empty() { "not counted".to_owned() } else { told.join(", ") }
}

fn cause(cause: &ExitCause) -> Vec<String> {
    match cause {
        ExitCause::TimedOut { limit_ms } => vec![
            format!("cofferdam: the run was ended after {limit_ms} ms, its time limit"),
            "hint: --timeout TIME sets another, or `limits.wall` in the policy".to_owned(),
        ],
        ExitCause::Limit { limit, value, observed, held_by } => {
            let (name, unit, raise) = words(*limit);
            vec![
                format!(
                    "cofferdam: the {name} limit of {value}{unit} ended the run; {observed}{unit} seen by {}",
                    shown(held_by)
                ),
                format!("hint: {raise}"),
            ]
        }
        ExitCause::Killed => vec!["cofferdam: the run was killed".to_owned()],
        ExitCause::RefusedByPolicy { denial: refused } => denial(refused),
        ExitCause::PlaneFault { error } => vec![format!("cofferdam: {}", sentences(&error.message))],
        _ => Vec::new(),
    }
}

/// A limit's name, its unit, and what raises it.
fn words(limit: LimitName) -> (&'static str, &'static str, &'static str) {
    match limit {
        LimitName::Wall => ("time", " ms", "--timeout TIME raises it, or `limits.wall` in the policy"),
        LimitName::Cpu => ("processor-time", " ms", "--cpu TIME raises it, or `limits.cpu` in the policy"),
        LimitName::Memory => ("memory", " bytes", "--memory SIZE raises it, or `limits.memory` in the policy"),
        LimitName::Processes => ("process", "", "--processes COUNT raises it, or `limits.processes` in the policy"),
        LimitName::OpenFiles => ("open-files", "", "`limits.open_files` in the policy raises it"),
        LimitName::Disk => ("disk", " bytes", "`limits.disk` in the policy raises it"),
        LimitName::Stdin => ("standard-input", " bytes", "`limits.stdin` in the policy raises it"),
        LimitName::Stdout => ("standard-output", " bytes", "`limits.stdout` in the policy raises it"),
        LimitName::Stderr => ("standard-error", " bytes", "`limits.stderr` in the policy raises it"),
        _ => ("policy's", "", "the policy's `limits` section raises it"),
    }
}

fn denial(denial: &Denial) -> Vec<String> {
    let by = denial.rule.as_ref().map_or_else(
        || "no rule allows it".to_owned(),
        |rule| format!("refused by `{}` ({})", shown(&rule.text), shown(&rule.place())),
    );
    let program = denial.program.as_ref().map(|program| format!(" for {}", shown(program))).unwrap_or_default();
    let leads = denial.resolved.as_ref().map(|path| format!(" (it leads to {})", shown(path))).unwrap_or_default();
    let subject = shown(&denial.subject);
    let mut lines = vec![format!("cofferdam: {} of {subject}{leads}{program}: {by}", shown(&denial.access))];
    lines.extend(looked_at(denial));
    let aim = if denial.secret { "it is on the list of secrets; to open it all the same" } else { "to allow it" };
    let remedies = denial.remedy.iter().flat_map(|remedy| remedy.lines());
    lines.extend(remedies.map(|line| format!("hint: {aim}, {}", sentences(&to_do(line)))));
    lines.extend(denial.note.as_ref().map(|note| format!("  {}", sentences(note))));
    lines
}

/// What to do about the policy for one line of a remedy: most are to be written there, some take away what is there.
pub(crate) fn to_do(line: &str) -> String {
    if line.starts_with("remove ") { line.to_owned() } else { format!("write in the policy: {line}") }
}

/// Which program asked in which words and how often, where the calls were looked at.
fn looked_at(denial: &Denial) -> Option<String> {
    let operation = shown(denial.operation.as_ref()?);
    let asked = denial.asked.as_ref().map(|asked| format!(" as {}", shown(asked))).unwrap_or_default();
    let times = match denial.times {
        Some(times) if times > 1 => format!(", {times} times"),
        _ => String::new(),
    };
    let by = denial.program_path.as_ref().map(|path| format!(" by {}", shown(path))).unwrap_or_default();
    let others = denial.programs.keys().filter(|name| Some(*name) != denial.program.as_ref());
    let others: Vec<String> = others.map(|name| shown(name)).collect();
    let also = if others.is_empty() { String::new() } else { format!("; also by {}", others.join(", ")) };
    Some(format!("  asked{asked}{by} ({operation}{times}){also}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::enforcement::{Enforcement, Tier};
    use cofferdam_bridge::usage::Usage;
    use cofferdam_bridge::verdict::RuleRef;

    fn report(cause: ExitCause) -> ExecutionReport {
        let mut report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full));
        let mut denial = Denial::new("filesystem.write", "/srv/\u{1b}[2J\nx");
        denial.rule = Some(RuleRef::new("ci.toml", Some(7), "filesystem.deny \"/srv\""));
        denial.remedy = Some("remove `filesystem.deny \"/srv\"` (ci.toml:7)".to_owned());
        report.denials.push(denial);
        report
    }

    #[test]
    fn a_failed_run_tells_what_was_refused_by_which_line_and_what_to_write() {
        let text = lines(&report(ExitCause::Exited { code: 1 }), false).join("\n");
        assert_eq!(
            text,
            "cofferdam: filesystem.write of /srv/\\u{1b}[2J\\u{a}x: refused by `filesystem.deny \"/srv\"` (ci.toml:7)\n\
             hint: to allow it, remove `filesystem.deny \"/srv\"` (ci.toml:7)"
        );
    }

    #[test]
    fn what_was_looked_at_tells_who_asked_how_and_marks_a_secret() {
        let mut denial = Denial::new("command.execute", "/srv/tool");
        denial.remedy = Some("commands.allow = [\"/srv/tool\"]\nfilesystem.read = [\"/srv/tool\"]".to_owned());
        denial.program = Some("sh".to_owned());
        denial.program_path = Some("/usr/bin/\u{1b}dash".to_owned());
        (denial.operation, denial.asked) = (Some("execve".to_owned()), Some("../tool".to_owned()));
        (denial.times, denial.secret, denial.resolved) = (Some(2), true, Some("/opt/tool".to_owned()));
        denial.note = Some("a note".to_owned());
        denial.programs = [("sh".to_owned(), 1), ("make".to_owned(), 1)].into();
        assert_eq!(
            super::denial(&denial).join("\n"),
            "cofferdam: command.execute of /srv/tool (it leads to /opt/tool) for sh: no rule allows it\n  \
             asked as ../tool by /usr/bin/\\u{1b}dash (execve, 2 times); also by make\n\
             hint: it is on the list of secrets; to open it all the same, write in the policy: commands.allow = [\"/srv/tool\"]\n\
             hint: it is on the list of secrets; to open it all the same, write in the policy: filesystem.read = [\"/srv/tool\"]\n  \
             a note"
        );
    }

    #[test]
    fn a_run_that_succeeds_is_silent() {
        let report = report(ExitCause::Exited { code: 0 });
        assert!(lines(&report, false).is_empty());
        assert!(!lines(&report, true).is_empty(), "unless it was asked for");
    }

    #[test]
    fn a_limit_names_value_observation_mechanism_and_option() {
        let limit = ExitCause::Limit {
            limit: LimitName::Memory,
            value: 10,
            observed: 12,
            held_by: "cgroup v1 memory".to_owned(),
        };
        let text = cause(&limit).join("\n");
        for part in ["10 bytes", "12 bytes", "cgroup v1 memory", "--memory"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
