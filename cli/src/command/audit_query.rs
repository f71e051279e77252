//! `cofferdam audit query`.

use super::audit::Which;
use crate::compose::absolute;
use crate::failure::Failure;
use crate::report::audit::{self, Form};
use clap::{Args, ValueEnum};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::audit::{Filter, Reader};
use std::path::Path;

/// Shows the records that meet all conditions.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0    there are some\n  1    there is none\n  125  the log cannot be read\n\n\
    Examples:\n  cofferdam audit query --verdict deny --path /etc\n  cofferdam audit query --kind started --since 2026-01-31T08:00\n  \
    cofferdam audit query --json --kind failed | jq .event.cause")]
pub(crate) struct Query {
    /// About this VM, such as `4f9c2e7ab1d06358-vm-1`: the kernel's id and the VM's number.
    #[arg(long, value_name = "ID")]
    vm: Option<String>,
    /// About this run, such as `4f9c2e7ab1d06358-vm-1-run-1`.
    #[arg(long, visible_alias = "run", value_name = "ID")]
    execution: Option<String>,
    /// Of this trace: its 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Within this session.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Written by this process, as the records name it.
    #[arg(long, value_name = "WRITER")]
    writer: Option<String>,
    /// Of this kind, such as `started`, `completed`, `failed`, `refused` or `decision`. May be given several times.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// With this verdict.
    #[arg(long, value_enum)]
    verdict: Option<Said>,
    /// About this path or something beneath it, or about just this host or name.
    #[arg(long, value_name = "PATH|NAME")]
    path: Option<String>,
    /// From this time on: RFC 3339 in UTC, or a part of it, such as 2026-01-31 or 2026-01-31T08:00.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time, which itself is left out.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Print each record as it stands in the log, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Said {
    Allow,
    Deny,
    Prompt,
}

impl Query {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let filter = self.filter()?;
        let log = self.which.open()?;
        let form = Form::new(self.json);
        let mut reader = Reader::new(&log);
        let mut found = false;
        loop {
            let records = reader.more()?;
            if records.is_empty() {
                return Ok(u8::from(!found));
            }
            let wanted = |read: &&_| matches(&filter, read);
            let wanted: Vec<_> = records.iter().filter(wanted).collect();
            if wanted.is_empty() {
                continue;
            }
            let rows = wanted.into_iter();
            super::print(&if found { audit::rows(rows, form) } else { audit::table(rows, form) })?;
            found = true;
        }
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let mut filter = Filter::default();
        (filter.vm, filter.execution, filter.trace) = (self.vm.clone(), self.execution.clone(), self.trace.clone());
        (filter.session, filter.writer) = (self.session.clone(), self.writer.clone());
        filter.kinds.clone_from(&self.kind);
        filter.verdict = self.verdict.map(|said| match said {
            Said::Allow => Verdict::Allow,
            Said::Deny => Verdict::Deny,
            Said::Prompt => Verdict::Prompt,
        });
        // What looks like a path is one; anything else is a name.
        filter.path = match &self.path {
            Some(path) if path.starts_with(['/', '.']) => Some(absolute(Path::new(path))?),
            other => other.clone(),
        };
        filter.since = self.since.as_deref().map(time).transpose()?;
        filter.until = self.until.as_deref().map(time).transpose()?;
        Ok(filter)
    }
}

/// A line that is no record meets no condition; `audit verify` tells of it.
fn matches(filter: &Filter, read: &cofferdam_kernel::audit::ReadRecord) -> bool {
    read.record.as_ref().is_some_and(|record| filter.matches(record))
}

/// The beginning of a time as the log writes times, which sort as texts do.
fn time(text: &str) -> Result<String, Failure> {
    const FORM: &str = "0000-00-00T00:00:00.000000000Z";
    let text = text.replacen(' ', "T", 1);
    let fits = |(own, form): (char, char)| if form == '0' { own.is_ascii_digit() } else { own == form };
    let whole = text.ends_with('Z') || [4, 7, 10, 13, 16, 19].contains(&text.len()) || text.len() > 20;
    let stem = text.trim_end_matches('Z');
    if whole && stem.len() >= 4 && stem.len() < FORM.len() && stem.chars().zip(FORM.chars()).all(fits) {
        return Ok(stem.to_owned());
    }
    let sentence = format!("`{text}` is no time in UTC");
    Err(Failure::new(ErrorCode::RequestInvalid, sentence)
        .hint("write it as 2026-01-31, 2026-01-31T08:00 or 2026-01-31T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_may_be_given_in_part() {
        for text in [
            "2026",
            "2026-01",
            "2026-01-31",
            "2026-01-31T08",
            "2026-01-31T08:00",
            "2026-01-31 08:00:01",
            "2026-01-31T08:00:01.5",
        ] {
            assert_eq!(time(text).unwrap(), text.replace(' ', "T"));
        }
        assert_eq!(time("2026-01-31T08:00:01Z").unwrap(), "2026-01-31T08:00:01");
        for text in ["", "26", "2026-1-31", "2026-01-31T08:00:01+02:00", "yesterday", "2026-01-3"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
