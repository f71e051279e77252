//! Jobs: what is kept of each action that was run, whether it succeeded or not.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A job that is about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StartedJob {
    /// Its id.
    pub job_id: String,
    /// The action's name.
    pub action: String,
    /// The VM that it runs in.
    pub vm: String,
    /// The session that it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How long its arguments are, as JSON, in bytes. What they are is not kept.
    pub arguments_bytes: u64,
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JobRecord {
    /// What it was.
    #[serde(flatten)]
    pub job: StartedJob,
    /// Whether it did what it was asked.
    pub success: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// From beginning to end, in milliseconds.
    pub elapsed_ms: u64,
    /// The number of the record that tells of its beginning, where there is a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_sequence: Option<u64>,
}

/// Keeps what is told of jobs. Every job is told twice, before anything of it runs and when it has ended, however it ended.
pub trait JobKeeper: Send + Sync {
    /// A job is about to begin.
    ///
    /// # Errors
    /// What keeps it from being kept; the job is not begun then.
    fn started(&self, job: &StartedJob) -> Result<(), BridgeError>;

    /// A job has ended.
    ///
    /// # Errors
    /// What keeps it from being kept; whoever asked for the job is told.
    fn ended(&self, record: &JobRecord) -> Result<(), BridgeError>;
}

/// Keeps the latest jobs in memory.
#[derive(Debug)]
pub struct JobsInMemory {
    most: usize,
    jobs: Mutex<VecDeque<JobRecord>>,
}

impl JobsInMemory {
    /// Keeps at most `most`; older ones go.
    pub fn new(most: usize) -> Self {
        Self { most, jobs: Mutex::default() }
    }

    /// The jobs of `session`, or of none, the oldest first.
    pub fn of_session(&self, session: Option<&str>) -> Vec<JobRecord> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().filter(|record| record.job.session.as_deref() == session).cloned().collect()
    }
}

impl JobKeeper for JobsInMemory {
    fn started(&self, _: &StartedJob) -> Result<(), BridgeError> {
        Ok(())
    }

    fn ended(&self, record: &JobRecord) -> Result<(), BridgeError> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push_back(record.clone());
        while jobs.len() > self.most {
            jobs.pop_front();
        }
        Ok(())
    }
}
