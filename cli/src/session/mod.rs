//! Session hosts: a process that owns a session, the socket it listens at, what it leaves on disk, and who speaks to it.

pub(crate) mod attach;
pub(crate) mod client;
pub(crate) mod host;
mod inheritance;
mod peer;
mod place;
mod protocol;
mod remembered;
mod serve;

pub(crate) use place::{Place, Places, SessionName};
pub(crate) use protocol::{Answer, Bytes, CommandReport, Request};
