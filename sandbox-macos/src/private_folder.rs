//! A folder that one run has to itself, and that goes with it.

use nix::unistd::mkdtemp;
use std::io;
use std::path::PathBuf;

/// A folder with mode 0700 in the user's own temporary folder. Dropping it removes it and all in it.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    real: String,
}

impl PrivateFolder {
    pub(crate) fn make() -> io::Result<Self> {
        let path = mkdtemp(&std::env::temp_dir().join("cofferdam-XXXXXX"))?;
        let mut folder = Self { path, real: String::new() };
        // The kernel judges by real paths: /var is a link on macOS.
        let real = folder.path.canonicalize()?.into_os_string().into_string();
        folder.real = real.map_err(|_| io::Error::other("the temporary folder's path is not UTF-8"))?;
        Ok(folder)
    }

    /// Its real path.
    pub(crate) fn real(&self) -> &str {
        &self.real
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Follows no link, and what cannot be removed stays the user's own.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_the_user_s_alone_and_goes_with_all_in_it() {
        let folder = PrivateFolder::make().unwrap();
        let path = PathBuf::from(folder.real());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let outside = PrivateFolder::make().unwrap();
        let kept = PathBuf::from(outside.real()).join("kept");
        std::fs::write(&kept, "x").unwrap();
        std::fs::create_dir(path.join("inner")).unwrap();
        std::os::unix::fs::symlink(outside.real(), path.join("inner/link")).unwrap();
        drop(folder);
        assert!(!path.exists() && kept.exists());
    }
}
