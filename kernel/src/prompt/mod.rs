//! Prompts: what the policy says to ask, put to the host while nothing but the request waits, and answers that are remembered.

mod book;
#[cfg(test)]
mod counted;
mod desk;
mod gate;
mod session_grants;
#[cfg(test)]
mod tests;
mod uses;

pub(crate) use desk::{Asker, PromptDesk};
pub(crate) use gate::Gate;
