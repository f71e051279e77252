//! The bridge contract as data: every operation that a guest or a plane may ask for, with its types, bounds, errors and permissions.
//!
//! It is read from `bridge-contract.json`, which is part of this crate. Tests hold it against the traits: what one has and the other
//! lacks fails them. The schemas of the types that it names are in `contract/v1/schema`.

use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::permission::FilesystemAccess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// The contract's text.
pub const BRIDGE_CONTRACT_JSON: &str = include_str!("../bridge-contract.json");

/// How an operation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Convention {
    /// Before the call returns.
    Sync,
    /// By a promise.
    Async,
    /// By a promise under its own name, and before the call returns under the name that ends with `Sync`.
    SyncPromise,
}

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Caller {
    /// Guests, and the kernel for them.
    Guest,
    /// The kernel alone: a guest that asks is refused.
    Kernel,
}

/// A permission that an operation needs for one of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArgumentPermission {
    /// The argument that holds the path.
    pub argument: String,
    /// What is done there.
    pub access: FilesystemAccess,
    /// Whether a symbolic link in the last place is followed.
    #[serde(default)]
    pub follow: bool,
}

/// Operations of one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct OperationGroup {
    /// The operation across the bridge, as `group.method`.
    pub operation: String,
    /// How it answers.
    pub convention: Convention,
    /// Arguments as a guest writes them, in TypeScript's notation.
    pub argument_types: Vec<String>,
    /// The answer, in TypeScript's notation.
    pub return_type: String,
    /// The names that guests call it by.
    pub names: Vec<String>,
    /// Who may ask.
    pub caller: Caller,
    /// The type of the request across the bridge; its schema has this name.
    pub request: String,
    /// Most bytes of the arguments as JSON.
    pub max_argument_bytes: u64,
    /// Most bytes of the answer as JSON.
    pub max_result_bytes: u64,
    /// What is checked before it happens. An operation that touches no file has none.
    #[serde(default)]
    pub permissions: Vec<ArgumentPermission>,
    /// The errors of its own; beside them each may answer `denied_by_policy`, `request_invalid`, `cancelled`, `deadline_exceeded`,
    /// `queue_full` and `plane_fault`.
    #[serde(default)]
    pub errors: Vec<ErrorCode>,
}

/// The whole contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BridgeContract {
    /// The generation.
    pub version: u32,
    /// Its operations.
    pub groups: Vec<OperationGroup>,
}

impl BridgeContract {
    /// Reads a contract.
    ///
    /// # Errors
    /// `contract_invalid` for what is no contract, and for one in which a name stands twice.
    pub fn parse(text: &str) -> Result<Self, BridgeError> {
        let invalid =
            |why: String| BridgeError::new(ErrorCode::ContractInvalid, format!("the contract is unusable: {why}"));
        let contract: Self = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut seen = std::collections::BTreeSet::new();
        for name in contract.groups.iter().flat_map(|group| &group.names) {
            if !seen.insert(name) {
                return Err(invalid(format!("`{name}` stands twice in it")));
            }
        }
        Ok(contract)
    }

    /// The contract of this crate.
    ///
    /// # Errors
    /// `contract_invalid` for a crate that was built with an unusable file; a test holds that it was not.
    pub fn embedded() -> Result<&'static Self, BridgeError> {
        static EMBEDDED: OnceLock<Result<BridgeContract, BridgeError>> = OnceLock::new();
        EMBEDDED.get_or_init(|| Self::parse(BRIDGE_CONTRACT_JSON)).as_ref().map_err(Clone::clone)
    }

    /// The operation that guests call `name`.
    ///
    /// # Errors
    /// `unknown_operation`.
    pub fn find(&self, name: &str) -> Result<&OperationGroup, BridgeError> {
        let found = self.groups.iter().find(|group| group.names.iter().any(|own| own == name));
        found.ok_or_else(|| {
            let message = "the contract has no such operation; guest and kernel may be of different releases";
            BridgeError::new(ErrorCode::UnknownOperation, message).with("operation", name)
        })
    }
}
