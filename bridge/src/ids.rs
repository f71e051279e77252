//! Names of tenants, contexts and executions. Newtypes, so that one is never passed for another.

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
