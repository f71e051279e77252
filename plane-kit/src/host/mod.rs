//! The small bridges on a real operating system: what an embedder has who brings none of its own.

mod audit;
mod audit_directory;
mod audit_key;
mod clock;
#[cfg(target_os = "linux")]
mod directory_watch;
#[cfg(not(target_os = "linux"))]
#[path = "apple/directory_watch.rs"]
mod directory_watch;
mod figures;
mod filesystem;
mod grants;
mod log;
mod machine;
mod random;

pub use audit::HostAudit;
pub use audit_key::{HostSigner, audit_key_bytes};
pub use clock::HostClock;
pub use figures::HostFigures;
pub use filesystem::HostFilesystem;
pub use grants::HostGrants;
pub use log::HostLog;
pub use machine::HostMachine;
pub use random::HostRandom;
