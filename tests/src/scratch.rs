//! Throw-away folders.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A folder of a test's own, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder below the system's temporary one.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        Self::beneath(&std::env::temp_dir())
    }

    /// A new folder in another one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[expect(clippy::expect_used, reason = "a test without its folder must fail loudly")]
    pub fn beneath(folder: &Path) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("cofferdam-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, with the folders on the way.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(clippy::expect_used, reason = "a test without its file must fail loudly")]
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder for the file");
        }
        std::fs::write(&path, text).expect("a file for the test");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.path).is_err() {
            // A guest may have taken its own permissions away.
            let _ = std::process::Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.path).status();
            // It may be deeper than there are descriptors, too, which the standard library takes one of for each level.
            let _ = std::process::Command::new("rm").arg("-rf").arg(&self.path).status();
        }
    }
}
