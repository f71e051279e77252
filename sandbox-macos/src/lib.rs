//! The macOS plane: a policy becomes a Seatbelt profile, which the kernel of macOS enforces.
//!
//! - [`profile`]: from an execution profile to the text of a Seatbelt profile. Pure, so that it is tested anywhere.
//! - [`model`]: reads such texts and answers what they allow, as far as the language is publicly known. Profiles are checked
//!   by evaluating them, not by reading them.
//!
//! What was verified without a Mac, and what only a Mac can verify, stands in `docs/macos.md`.

#![deny(unsafe_code)]

pub mod model;
pub mod profile;
