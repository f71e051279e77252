//! The policy: what a person writes, validated, compiled to a profile, and asked for decisions.
//!
//! The order of safety is in the types: text → [`Policy`] (validated) → [`CompiledPolicy`] (placeholders filled in) →
//! profile → execution. Everything that a policy does not allow is refused.

mod builtin;
mod compile;
mod decide;
pub(crate) mod document;
mod entry;
mod http_rule;
mod lesson;
mod lint;
mod listen_rule;
mod network_rule;
mod overwritten;
pub(crate) mod quantity;
mod schema;
pub(crate) mod tree;
mod validated;

pub use compile::CompiledPolicy;
pub use decide::{Access, Decision};
pub use entry::Placeholders;
pub use lesson::{Lesson, Told};
pub use schema::schema;
pub use validated::{NoFiles, Policy, PolicySource};
