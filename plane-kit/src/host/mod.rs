//! The small bridges on a real operating system: what an embedder has who brings none of its own.

mod clock;
mod filesystem;
mod grants;
mod log;
mod random;

pub use clock::HostClock;
pub use filesystem::HostFilesystem;
pub use grants::HostGrants;
pub use log::HostLog;
pub use random::HostRandom;
