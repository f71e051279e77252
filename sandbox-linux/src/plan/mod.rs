//! What the launcher will do, worked out beforehand: the profile resolved to a view, the view to operations.

pub(crate) mod beforehand;
pub(crate) mod brokered;
pub(crate) mod encode;
pub(crate) mod folding;
pub(crate) mod landlock;
pub(crate) mod landlock_rights;
pub(crate) mod limits;
mod meant;
pub(crate) mod planted;
pub(crate) mod resolve;
pub(crate) mod root;
pub(crate) mod view;
