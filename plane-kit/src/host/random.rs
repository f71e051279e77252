//! Random bytes of the operating system.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::random::{FillRandomBytesRequest, MOST_RANDOM_BYTES, RandomBridge};

/// Asks getrandom(2), or what stands for it elsewhere.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HostRandom;

impl HostRandom {
    /// The source.
    pub fn new() -> Self {
        Self
    }
}

impl BridgeTypes for HostRandom {
    type Error = BridgeError;
}

impl RandomBridge for HostRandom {
    fn fill_random_bytes(&self, _: &CallContext, request: FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError> {
        if request.length > MOST_RANDOM_BYTES {
            let message = "too many random bytes are asked for at once; ask several times";
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message).with("limit_bytes", MOST_RANDOM_BYTES));
        }
        let mut bytes = vec![0; usize::try_from(request.length).unwrap_or(0)];
        getrandom::fill(&mut bytes).map_err(|error| {
            BridgeError::new(ErrorCode::IoFailed, format!("the system gives no random bytes: {error}"))
        })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::ids::VmId;

    #[test]
    fn two_draws_differ_and_none_is_longer_than_asked() {
        let draw = |length: u32| {
            let request = FillRandomBytesRequest::new(VmId::new("v"), length);
            HostRandom::new().fill_random_bytes(&CallContext::unbounded(), request)
        };
        assert_ne!(draw(32).unwrap(), draw(32).unwrap());
        assert_eq!(draw(5).unwrap().len(), 5);
        assert_eq!(draw(MOST_RANDOM_BYTES + 1).unwrap_err().code, ErrorCode::RequestInvalid);
    }
}
