//! Requests inside TLS, for hosts that rules name with `https`: the run's TLS ends here, by a certificate of an authority that the
//! policy names ([`Authority`]), the host's begins here, by the trust of this machine (`trust`), and what goes between is read as plain
//! HTTP is (`super::http`). Connections to all other hosts are carried as they are.
//!
//! The authority's key is in this process alone: no message, file of the sandbox, error or `Debug` holds it.

mod authority;
mod carry;
mod ending;
mod key_file;
mod leaf;
mod not_ended;
mod pass;
mod trust;

pub use authority::Authority;
pub use ending::Ending;
pub use pass::pass;
