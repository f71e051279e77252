//! The macOS plane: a policy becomes a Seatbelt profile, which the kernel of macOS enforces.
//!
//! - [`profile`]: from an execution profile to the text of a Seatbelt profile. Pure, so that it is tested anywhere.
//! - [`MacosPlane`]: starts programs under such profiles by `sandbox-exec`, with the process machinery of plane-kit.
//! - [`model`]: reads such texts and answers what they allow, as far as the language is publicly known. Profiles are checked
//!   by evaluating them, not by reading them.
//!
//! What was verified without a Mac, and what only a Mac can verify, stands in `docs/macos.md`.

#![forbid(unsafe_code)]

mod facts;
mod launch;
pub mod model;
mod name_proxy;
mod plane;
mod preflight;
mod private_folder;
pub mod profile;

pub use facts::Facts;
pub use plane::MacosPlane;
