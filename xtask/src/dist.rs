//! The command as it is installed: statically linked, since a dynamic start costs a third more than a static one.

use crate::workspace::{built, run as tool, say, target};
use std::path::Path;
use std::process::Command;

/// Builds it and tells where it is.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    say(&build()?);
    Ok(())
}

/// Builds the command and answers its path.
pub(crate) fn build() -> Result<String, String> {
    let package = ["rustc", "--quiet", "--release", "--package", "cofferdam-cli", "--bin", "cofferdam"];
    let flags: &[&str] = if has_static_libc() {
        &["--", "-C", "target-feature=+crt-static"]
    } else {
        say("note: no static libc (libc.a) here, so the command is linked dynamically and starts a little slower");
        &[]
    };
    tool("cargo", &[&package, flags].concat())?;
    let place = target().join("dist");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let path = place.join("cofferdam").to_string_lossy().into_owned();
    tool("install", &["-m", "755", &built("release/cofferdam"), &path])?;
    Ok(path)
}

fn has_static_libc() -> bool {
    let told = Command::new("cc").arg("-print-file-name=libc.a").output();
    // A compiler that finds none answers the name alone.
    told.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_absolute())
}
