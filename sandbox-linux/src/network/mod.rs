//! The network by name in namespaces: which ports are listened on inside, what the run's name files say, and the thread that answers.
//!
//! Inside, every address of the world is loopback's, and on each port that the policy names a socket of ours listens. With the first
//! thing that arrives there the thread begins that serves them: most runs never ask for anything. What arrives is decided and carried
//! outside, by `cofferdam_plane_kit::network`. Nothing else leaves.
//!
//! Without namespaces a run has a proxy of plane-kit's instead (`proxied`), and Landlock, seccomp and the broker let it connect to
//! nothing but that. What it listens on has places of its own on the host's loopback (`own_loopback`), which the broker binds it to.

mod asker;
mod carried;
mod datagrams;
mod known;
pub(crate) mod name_files;
mod one;
mod outside;
mod own_loopback;
mod packets;
mod ports;
mod proxied;
mod published;
mod quiet;
mod serve;
pub(crate) mod trust_files;
mod unreachable;
mod visited;

pub(crate) use known::Known;
pub(crate) use one::OneNetwork;
pub(crate) use outside::Outside;
pub(crate) use own_loopback::OwnLoopback;
pub(crate) use ports::{Ports, listen, ports};
pub(crate) use proxied::Proxied;
pub(crate) use published::{Bound, Published, Way};
pub(crate) use serve::{Network, Sockets};
pub(crate) use visited::{HostPorts, SharedPorts, Visited};
