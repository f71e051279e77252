//! Random bytes.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::request::requests;

/// Most bytes of one call, as the web's `getRandomValues` has it.
pub const MOST_RANDOM_BYTES: u32 = 65_536;

requests! {
    /// Asks for random bytes.
    FillRandomBytesRequest {
        /// How many, at most [`MOST_RANDOM_BYTES`].
        length: u32,
    }
}

/// A source of random bytes.
pub trait RandomBridge: BridgeTypes {
    /// So many bytes that nobody can foretell, unless the implementation is deterministic on purpose.
    ///
    /// # Errors
    /// `request_invalid` for too many, `io_failed` where the source fails.
    fn fill_random_bytes(&self, call: &CallContext, request: FillRandomBytesRequest) -> Result<Vec<u8>, Self::Error>;
}
