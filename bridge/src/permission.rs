//! Asking whether something may be done, before it is.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::ids::{ExecutionId, VmId};
use crate::verdict::{RuleRef, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FilesystemAccess {
    /// Its contents read.
    Read,
    /// Its contents changed, or it made.
    Write,
    /// Its metadata read.
    Stat,
    /// Its entries read.
    ReadDir,
    /// It made as a directory.
    CreateDir,
    /// It removed.
    Remove,
    /// It moved, or something moved there.
    Rename,
    /// It made as a link.
    Symlink,
    /// Where it points to read.
    ReadLink,
    /// Its metadata changed.
    Chmod,
    /// Its length changed.
    Truncate,
}

/// What is to be done on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkAccess {
    /// A connection of any protocol.
    Fetch,
    /// An HTTP request.
    Http,
    /// A name looked up.
    Dns,
    /// A port listened on.
    Listen,
}

/// What is to be done with an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnvironmentAccess {
    /// Its value read.
    Read,
    /// Its value set.
    Write,
}

/// Who asks, so that a prompt or a record can say so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Requester {
    /// The tenant.
    pub vm_id: VmId,
    /// The run that asks.
    pub execution_id: ExecutionId,
    /// The process in it, as the run numbers it, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// The program or module, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

impl Requester {
    /// A run as a whole.
    pub fn new(vm_id: VmId, execution_id: ExecutionId) -> Self {
        Self { vm_id, execution_id, process: None, program: None }
    }
}

macro_rules! permission_requests {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            /// Who asks.
            pub requester: Requester,
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// A question.
            pub fn new(requester: Requester, $($field: impl Into<$kind>),*) -> Self {
                Self { requester, $($field: $field.into()),* }
            }
        }
    )* };
}

permission_requests! {
    /// May this be done with that path?
    FilesystemPermissionRequest {
        /// What.
        access: FilesystemAccess,
        /// Absolute, with `.`, `..` and links resolved.
        path: String,
    }
    /// May this be done with that host?
    NetworkPermissionRequest {
        /// What.
        access: NetworkAccess,
        /// A name or an address.
        host: String,
        /// The port; none for looking a name up.
        port: Option<u16>,
    }
    /// May this program be executed?
    CommandPermissionRequest {
        /// Its canonical path.
        program: String,
        /// Absolute path.
        working_directory: String,
    }
    /// May this be done with that variable?
    EnvironmentPermissionRequest {
        /// What.
        access: EnvironmentAccess,
        /// Its name. Values are never part of a question.
        name: String,
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PermissionVerdict {
    /// The decision.
    pub verdict: Verdict,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
}

impl PermissionVerdict {
    /// It may be.
    pub fn allow() -> Self {
        Self { verdict: Verdict::Allow, reason: None, rule: None }
    }

    /// It may not.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deny, reason: Some(reason.into()), rule: None }
    }

    /// The host must be asked.
    pub fn prompt(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Prompt, reason: Some(reason.into()), rule: None }
    }

    /// Whether the thing may be done now. Neither a prompt nor a verdict of a kind that is not known yet is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allow)
    }
}

fn nobody_answers() -> PermissionVerdict {
    PermissionVerdict::deny("nobody here answers this kind of question, so it is refused")
}

/// Decides. What an implementation leaves out is denied.
pub trait PermissionBridge: BridgeTypes {
    /// Files.
    fn check_filesystem_access(
        &self,
        call: &CallContext,
        request: FilesystemPermissionRequest,
    ) -> Result<PermissionVerdict, Self::Error> {
        let _ = (call, request);
        Ok(nobody_answers())
    }

    /// The network.
    fn check_network_access(
        &self,
        call: &CallContext,
        request: NetworkPermissionRequest,
    ) -> Result<PermissionVerdict, Self::Error> {
        let _ = (call, request);
        Ok(nobody_answers())
    }

    /// Programs.
    fn check_command_execution(
        &self,
        call: &CallContext,
        request: CommandPermissionRequest,
    ) -> Result<PermissionVerdict, Self::Error> {
        let _ = (call, request);
        Ok(nobody_answers())
    }

    /// Variables.
    fn check_environment_access(
        &self,
        call: &CallContext,
        request: EnvironmentPermissionRequest,
    ) -> Result<PermissionVerdict, Self::Error> {
        let _ = (call, request);
        Ok(nobody_answers())
    }
}
