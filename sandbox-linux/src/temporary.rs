//! Temporary storage on the host, for runs without mounts of their own.

use crate::random;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// One run's directory, with a name that nobody can guess. The guard makes and removes it; what a guard that was ended from outside
/// left is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Chooses a name in the host's directory for temporary files, links resolved. Nothing is made.
    pub(crate) fn choose() -> Result<Self, BridgeError> {
        Self::guessed_by_nobody().map_err(|error| {
            let message = format!(
                "no private temporary directory could be chosen: {error}; set TMPDIR to a directory that exists"
            );
            BridgeError::new(ErrorCode::SandboxSetupFailed, message).with("step", "temporary")
        })
    }

    fn guessed_by_nobody() -> io::Result<Self> {
        let mut name = String::from("cofferdam-");
        for byte in random::bytes::<16>()? {
            let _ = write!(name, "{byte:02x}");
        }
        Ok(Self(std::env::temp_dir().canonicalize()?.join(name)))
    }

    /// Its path on the host.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if self.0.symlink_metadata().is_ok() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_the_same_and_what_is_left_is_removed() {
        let (one, other) = (TemporaryDirectory::choose().unwrap(), TemporaryDirectory::choose().unwrap());
        assert_ne!(one.path(), other.path());
        std::fs::create_dir_all(one.path().join("inner")).unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
