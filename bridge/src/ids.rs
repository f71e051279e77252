//! Names of tenants, contexts and executions. Newtypes, so that one is never passed for another.

use crate::call::CallContext;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::random::{FillRandomBytesRequest, RandomBridge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name. Any non-empty text will do; the kernel makes its own unique.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One kernel, among all that ever ran: the beginning of the ids that it gives out.
    KernelId
}
id! {
    /// A tenant of the kernel. Never a hardware virtual machine.
    VmId
}
id! {
    /// One run of one program or guest inside a VM.
    ExecutionId
}
id! {
    /// A prepared place to run things in: a profile that a plane has compiled for one VM.
    ContextId
}
id! {
    /// One question to the host.
    PromptId
}
id! {
    /// One answer of the host's that is remembered.
    GrantId
}
id! {
    /// One call of a guest to the kernel, or of the kernel to a plane.
    CallId
}

impl KernelId {
    /// Bytes that are drawn: as many as a span's id has, so that two kernels of one host never have the same.
    const BYTES: u32 = 8;

    /// Draws an id of 16 hexadecimal digits.
    ///
    /// # Errors
    /// What keeps `source` from giving random bytes; `io_failed` where it gives too few.
    pub fn random(source: &impl RandomBridge<Error = BridgeError>) -> Result<Self, BridgeError> {
        let request = FillRandomBytesRequest::new(VmId::new("kernel"), Self::BYTES);
        let bytes = source.fill_random_bytes(&CallContext::unbounded(), request)?;
        if bytes.len() < Self::BYTES as usize {
            let message = "the source of random bytes gave too few for an id; build the kernel with another";
            return Err(BridgeError::new(ErrorCode::IoFailed, message));
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::KernelId;
    use crate::in_memory::SeededRandom;

    #[test]
    fn two_draws_differ_and_have_sixteen_digits() {
        let source = SeededRandom::new(7);
        let (one, other) = (KernelId::random(&source).unwrap(), KernelId::random(&source).unwrap());
        assert_ne!(one, other);
        assert!(one.as_str().len() == 16 && one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }
}
