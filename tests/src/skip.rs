//! Tests that cannot run here say so, loudly and countably.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// The path of `program`, or a skip of the test that needs it: said on standard error, and counted by `cargo xtask test`.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        skipped(&format!("{name} is not installed"));
    }
    found
}

/// The Python that runs in the end: what is found by name may be a script that looks for it and executes it.
pub fn python() -> Option<String> {
    program("python3")?;
    let told = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output().ok()?;
    let path = String::from_utf8(told.stdout).ok().filter(|path| path.starts_with('/'));
    if path.is_none() {
        skipped("python3 does not tell where it is");
    }
    path
}

/// Says that a test was skipped, and why.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(log) = std::env::var_os("COFFERDAM_SKIP_LOG") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
