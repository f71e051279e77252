//! Which records somebody asks for.

use super::event::Event;
use super::record::Record;
use cofferdam_bridge::verdict::Verdict;

/// Conditions that a record must all meet. Those that are not set are met by every record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// About this VM.
    pub vm: Option<String>,
    /// About this run.
    pub execution: Option<String>,
    /// Of this trace.
    pub trace: Option<String>,
    /// Within this session.
    pub session: Option<String>,
    /// Written by this writer.
    pub writer: Option<String>,
    /// Of one of these kinds; empty for all.
    pub kinds: Vec<String>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// About this path or something beneath it, or about just this host or name.
    pub path: Option<String>,
    /// Not before this time, in RFC 3339.
    pub since: Option<String>,
    /// Before this time, in RFC 3339.
    pub until: Option<String>,
}

impl Filter {
    /// Whether `record` is asked for.
    pub fn matches(&self, record: &Record) -> bool {
        let is =
            |wanted: &Option<String>, own: Option<&str>| wanted.as_deref().is_none_or(|wanted| own == Some(wanted));
        is(&self.vm, record.vm.as_ref().map(|id| id.as_str()))
            && is(&self.execution, record.execution.as_ref().map(|id| id.as_str()))
            && is(&self.trace, record.trace_id.as_deref())
            && is(&self.session, record.session.as_deref())
            && is(&self.writer, Some(&record.writer))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == record.event.kind()))
            && self.verdict.is_none_or(|verdict| record.event.verdict() == Some(verdict))
            // Times are written so that they sort as texts.
            && self.since.as_ref().is_none_or(|since| record.time >= *since)
            && self.until.as_ref().is_none_or(|until| record.time < *until)
            && self.path.as_ref().is_none_or(|path| record.event.subjects().iter().any(|one| beneath(one, path)))
    }
}

/// Whether `subject` is `path` or lies beneath it.
fn beneath(subject: &str, path: &str) -> bool {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let rest = subject.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || path == "/")
}

impl Event {
    /// The verdict that it tells, where it tells one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Started(started) => Some(started.verdict),
            Self::Decision(decided) => Some(decided.verdict),
            Self::Refused(_) => Some(Verdict::Deny),
            Self::Prompted(_) => Some(Verdict::Prompt),
            Self::Answered(answered) => Some(answered.verdict),
            Self::Granted(_) | Self::GrantUsed(_) => Some(Verdict::Allow),
            _ => None,
        }
    }

    /// The paths, hosts and names that it is about.
    pub fn subjects(&self) -> Vec<&str> {
        match self {
            Self::ActionStarted(begun) => vec![&begun.action],
            Self::ActionCompleted(ended) | Self::ActionFailed(ended) => vec![&ended.action],
            Self::Started(started) => vec![&started.program, &started.working_directory],
            Self::Decision(decided) => vec![&decided.subject],
            Self::Refused(refused) => {
                let denied = refused.denial.as_ref().map(|denial| denial.subject.as_str());
                std::iter::once(refused.subject.as_str()).chain(denied).collect()
            }
            Self::Prompted(prompted) => vec![&prompted.subject],
            Self::Answered(answered) => vec![&answered.subject],
            Self::Granted(granted) => vec![&granted.subject],
            Self::GrantUsed(used) => vec![&used.subject],
            Self::Revoked(revoked) => vec![&revoked.subject],
            Self::ChangesCommitting(touched) | Self::ChangesCommitted(touched) | Self::ChangesDiscarded(touched) => {
                vec![&touched.workspace]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::beneath;

    #[test]
    fn a_path_covers_what_is_beneath_it_by_components() {
        assert!(beneath("/srv/a", "/srv/a") && beneath("/srv/a/b", "/srv/a/") && beneath("/srv", "/"));
        assert!(!beneath("/srv/ab", "/srv/a") && !beneath("/srv", "/srv/a"));
        assert!(beneath("example.org", "example.org") && !beneath("example.org.evil", "example.org"));
    }
}
