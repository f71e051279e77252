//! The network by name in namespaces: which ports are listened on inside, what the run's name files say, and the thread that answers.
//!
//! Inside, every address of the world is loopback's, and on each port that the policy names a socket of ours listens. What arrives
//! there is decided and carried outside, by `cofferdam_plane_kit::network`. Nothing else leaves.
//!
//! Without namespaces a run has a proxy of plane-kit's instead (`proxied`), and Landlock, seccomp and the broker let it connect to
//! nothing but that.

mod asker;
mod carried;
mod datagrams;
pub(crate) mod name_files;
mod one;
mod outside;
mod packets;
mod ports;
mod proxied;
mod published;
mod serve;
mod unreachable;

pub(crate) use one::{OneNetwork, bound};
pub(crate) use outside::Outside;
pub(crate) use ports::{Ports, listen, ports};
pub(crate) use proxied::Proxied;
pub(crate) use published::{Bound, Published};
pub(crate) use serve::{Network, Sockets};
