//! The embedded launcher, held as a sealed file in memory.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// The launcher as a descriptor that can be executed and that nobody can change any more.
#[derive(Debug)]
pub(crate) struct Launcher {
    file: OwnedFd,
}

impl Launcher {
    /// Puts the launcher into memory and seals it.
    pub(crate) fn new() -> Result<Self, BridgeError> {
        if BYTES.is_empty() {
            return Err(BridgeError::new(
                ErrorCode::SandboxBackendUnavailable,
                "this build has no launcher (COFFERDAM_TYPE_CHECK_ONLY was set); build again without it",
            ));
        }
        Self::sealed().map_err(|error| {
            BridgeError::new(
                ErrorCode::SandboxSetupFailed,
                "the launcher could not be put into memory; a sandboxed host needs memfd_create(2)",
            )
            .with("step", "launcher")
            .with("io_error", error.kind().to_string())
        })
    }

    fn sealed() -> std::io::Result<Self> {
        let file = memfd_create(c"cofferdam-init", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;

        let mut file = File::from(file);
        file.write_all(BYTES)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self { file: file.into() })
    }
}

impl AsFd for Launcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
