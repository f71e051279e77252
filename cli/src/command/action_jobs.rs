//! `cofferdam action jobs`.

use crate::failure::Failure;
use crate::job_files::JobFile;
use clap::Args;

/// Lists the jobs of a session, whether they succeeded or not, a JSON object for each.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cofferdam action jobs review-7 | jq -c 'select(.success | not)'")]
pub(crate) struct Jobs {
    /// The session.
    session: String,
}

impl Jobs {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let jobs = JobFile::of_session(&self.session)?.jobs()?;
        let lines: String =
            jobs.iter().map(|job| format!("{}\n", serde_json::to_string(job).unwrap_or_default())).collect();
        super::print(&crate::escape::json(&lines))?;
        Ok(0)
    }
}
