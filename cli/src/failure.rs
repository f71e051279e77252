//! Why the command itself did not do what it was asked, as a sentence and hints.

use crate::report::human::to_do;
use crate::{audit_log, escape, exit_code};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::KernelError;
use std::io::Write;

/// A failure for a person to read.
#[derive(Debug)]
pub(crate) struct Failure {
    error: BridgeError,
    hints: Vec<String>,
}

impl Failure {
    /// A failure of the command's own.
    pub(crate) fn new(code: ErrorCode, sentence: impl Into<String>) -> Self {
        BridgeError::new(code, sentence).into()
    }

    /// Adds what to type or write next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The error, as results carry it.
    pub(crate) fn error(&self) -> &BridgeError {
        &self.error
    }

    /// The exit code that tells of it.
    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of_error(self.error.code)
    }

    /// Prints it on standard error. When that fails there is nobody to tell.
    pub(crate) fn print(&self) {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "cofferdam: {}", escape::sentences(&self.error.message));
        for hint in &self.hints {
            let _ = writeln!(stderr, "hint: {}", escape::sentences(hint));
        }
    }
}

impl From<BridgeError> for Failure {
    fn from(error: BridgeError) -> Self {
        let remedy = error.denial().and_then(|denial| denial.remedy);
        let lines = remedy.iter().flat_map(|remedy| remedy.lines());
        let mut hints: Vec<String> = lines.map(|line| format!("to allow it, {}", to_do(line))).collect();
        if matches!(error.code, ErrorCode::AuditUnavailable | ErrorCode::AuditDamaged) {
            hints.extend(audit_log::HINTS.map(str::to_owned));
        }
        Self { error, hints }
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        error.error().clone().into()
    }
}

/// A failure of reading or writing, named by what was to be done.
pub(crate) fn io(doing: &str, error: &std::io::Error) -> Failure {
    Failure::new(ErrorCode::IoFailed, format!("{doing}: {error}"))
}
