//! State that outlives a VM.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::request::requests;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file system as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FilesystemSnapshot {
    /// What the bytes are; only who wrote them reads them.
    pub format: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl FilesystemSnapshot {
    /// A snapshot.
    pub fn new(format: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { format: format.into(), bytes }
    }
}

requests! {
    /// Asks for the snapshot that was flushed last.
    LoadFilesystemStateRequest {}
    /// Asks for a snapshot to be kept.
    FlushFilesystemStateRequest {
        /// The snapshot.
        snapshot: FilesystemSnapshot,
    }
}

/// Keeps snapshots.
///
/// A flush that was answered survives a crash; one that failed has left the snapshot before it in place.
pub trait PersistenceBridge: BridgeTypes {
    /// The last snapshot; none when there never was one.
    fn load_filesystem_state(
        &self,
        call: &CallContext,
        request: LoadFilesystemStateRequest,
    ) -> Result<Option<FilesystemSnapshot>, Self::Error>;

    /// Keeps a snapshot in place of the last.
    fn flush_filesystem_state(
        &self,
        call: &CallContext,
        request: FlushFilesystemStateRequest,
    ) -> Result<(), Self::Error>;
}
