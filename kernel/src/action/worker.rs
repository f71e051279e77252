//! The program that works inside a sandbox for the actions on files and over HTTP.

use crate::policy::{Access, Policy};
use crate::vm::Vm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::verdict::Verdict;
use serde_json::json;

/// Where the worker lies on the host, and so inside, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    path: String,
    arguments: Vec<String>,
}

impl Worker {
    /// The program at `path`, which is absolute and canonical, with `arguments` by which it knows what it is to be.
    ///
    /// # Errors
    /// `path_invalid` for a path that is not absolute.
    pub fn new<T: Into<String>>(
        path: impl Into<String>,
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, BridgeError> {
        let path = path.into();
        if !path.starts_with('/') || path.contains('\0') {
            return Err(BridgeError::new(
                ErrorCode::PathInvalid,
                "the worker's path is not absolute; name it from the root",
            ));
        }
        Ok(Self { path, arguments: arguments.into_iter().map(Into::into).collect() })
    }

    /// `policy`, with which this one file can be read and executed too. Nothing else is opened, and the file's contents cannot be changed
    /// from inside.
    ///
    /// # Errors
    /// `policy_invalid` for a path that no policy can name.
    pub fn admitted(&self, policy: Policy) -> Result<Policy, BridgeError> {
        let file = format!("literal:{}", self.path);
        let lines = json!({
            "version": 1,
            "filesystem": { "read": [file] },
            "commands": { "allow": [file] },
        });
        policy.with_lines(&lines.to_string(), "action worker")
    }

    /// Refuses to work where guests can put another file in this one's place, by changing the directory that it lies in: their results would
    /// pass for ours. A private temporary folder above it is gone with each run.
    pub(super) fn check_place(&self, vm: &Vm) -> Result<(), BridgeError> {
        let (folder, _) = self.path.rsplit_once('/').unwrap_or_default();
        let folder = if folder.is_empty() { "/" } else { folder };
        let decision = vm.decide(&Access::Write(folder.to_owned())).map_err(|error| error.error().clone())?;
        if decision.verdict == Verdict::Deny || decision.rule.is_none() {
            return Ok(());
        }
        let message = "the worker's file lies in a place that guests may change, where they could put another in its place; \
                       install it elsewhere";
        Err(BridgeError::new(ErrorCode::InvalidState, message).with("path", self.path.as_str()))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}
