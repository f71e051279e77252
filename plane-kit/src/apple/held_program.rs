//! A program that is executed by its descriptor: macOS has no such call, so none is held, and planes on it say that they cannot.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Most scripts that run each other, as on Linux.
pub const MOST_SCRIPTS: usize = 4;

/// Whether programs can be held here.
pub const HOLDS_PROGRAMS: bool = false;

/// A file that is held. There is none here.
#[derive(Debug)]
pub struct HeldFile {
    file: OwnedFd,
    /// Where it lies.
    pub path: PathBuf,
    /// The device that it lies on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

impl AsFd for HeldFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A program that is held. There is none here.
#[derive(Debug)]
pub struct HeldProgram {
    /// What is executed.
    pub binary: HeldFile,
}

impl HeldProgram {
    /// Refuses.
    ///
    /// # Errors
    /// `unsupported_backend_feature`, always.
    pub fn open(path: &Path, _judge: &dyn Fn(&Path) -> Result<(), BridgeError>) -> Result<Self, BridgeError> {
        let message = "macOS executes no program by its descriptor, so none can be held; start it by its path";
        Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("path", path.to_string_lossy()))
    }

    /// The scripts on the way to the binary.
    pub fn scripts(&self) -> impl Iterator<Item = &HeldFile> {
        std::iter::empty()
    }

    /// The arguments with which the binary is executed.
    pub fn arguments(&self, name: String, arguments: Vec<String>, _first: i32) -> Vec<String> {
        [vec![name], arguments].concat()
    }
}
