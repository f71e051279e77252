//! Random bytes that are the same for the same seed.

use super::lock;
use crate::call::CallContext;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::execution::BridgeTypes;
use crate::random::{FillRandomBytesRequest, MOST_RANDOM_BYTES, RandomBridge};
use std::sync::Mutex;

/// Bytes out of a seed, by SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). For runs that must
/// come out the same each time; never where somebody could gain by foretelling them.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// A source that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl BridgeTypes for SeededRandom {
    type Error = BridgeError;
}

impl RandomBridge for SeededRandom {
    fn fill_random_bytes(&self, _: &CallContext, request: FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError> {
        if request.length > MOST_RANDOM_BYTES {
            let message = "too many random bytes are asked for at once; ask several times";
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message).with("limit_bytes", MOST_RANDOM_BYTES));
        }
        let length = usize::try_from(request.length).unwrap_or(0);
        let mut state = lock(&self.0);
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&next(&mut state).to_le_bytes());
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}
