//! A look from outside: what the host itself sees, not what a guest says.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Processes whose command line holds `marker`.
pub fn processes_with(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != std::process::id() && String::from_utf8_lossy(&line).contains(marker) {
            found.push(pid);
        }
    }
    found
}

/// Waits until `done` holds, at most `most`; answers whether it came to hold.
pub fn within(most: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + most;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    done()
}

/// Cgroups that a process of ours has made and that are still there.
pub fn cgroups_of(pid: u32) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&format!("cofferdam-{pid}-")) {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}
