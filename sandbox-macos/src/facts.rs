//! What is known of the machine before anything is started on it.

use crate::launch::SANDBOX_EXEC;
use std::path::Path;

/// What decides whether profiles can be applied here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Whether this is macOS.
    pub is_macos: bool,
    /// Whether `/usr/bin/sandbox-exec` is there.
    pub has_sandbox_exec: bool,
    /// Whether this process runs under a Seatbelt profile itself: then it can apply no other (sandbox(7): once only).
    pub is_sandboxed: bool,
}

impl Facts {
    /// Those of this machine. Starts nothing.
    pub fn here() -> Self {
        Self {
            is_macos: cfg!(target_os = "macos"),
            has_sandbox_exec: Path::new(SANDBOX_EXEC).is_file(),
            // Set for every application in the App Sandbox (Apple, "App Sandbox in depth"); what sandbox-exec starts has it not, and
            // then the first start tells.
            is_sandboxed: std::env::var_os("APP_SANDBOX_CONTAINER_ID").is_some(),
        }
    }

    /// What keeps any profile from being applied here, in a sentence, and what mends it.
    pub fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        if !self.is_macos {
            return Some((
                "Seatbelt is the kernel's of macOS, and this is another system",
                "run on this system's own plane",
            ));
        }
        if !self.has_sandbox_exec {
            return Some((
                "there is no /usr/bin/sandbox-exec, by which profiles are applied",
                "run on a macOS that has it",
            ));
        }
        if self.is_sandboxed {
            let why = "this process runs in a sandbox of its own, in which no other profile can be applied";
            return Some((why, "start it outside of that sandbox"));
        }
        None
    }
}
