//! Placeholder page, replaced by the crate itself.
