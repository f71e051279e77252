//! Where the workspace is, what files it has, and how tools are called in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// The path of something that cargo built.
pub(crate) fn built(name: &str) -> String {
    target().join(name).to_string_lossy().into_owned()
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A tool, called in the root folder.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a tool and fails with its name when it fails.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<(), String> {
    say(&format!("$ {name} {}", arguments.join(" ")));
    let status = tool(name, arguments).stdin(Stdio::null()).status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name} {}` failed", arguments.join(" "))) }
}

/// What a tool prints.
pub(crate) fn output(name: &str, arguments: &[&str]) -> Result<Output, String> {
    tool(name, arguments).stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))
}

/// A new folder of our own below the system's temporary one, which everybody may read and only we may change.
///
/// It must not be there yet: a name that another user has put there, a link above all, is refused and not followed.
pub(crate) fn fresh_folder(name: &str) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("cofferdam-{name}-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir(&folder).map_err(failed)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(folder)
}

/// Every file that git knows and that is there, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>, String> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(text.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_somebody_else_has_put_there_is_refused() {
        let name = "planted";
        let place = std::env::temp_dir().join(format!("cofferdam-{name}-{}", std::process::id()));
        let target = fresh_folder("target").unwrap();
        std::os::unix::fs::symlink(&target, &place).unwrap();
        let refused = fresh_folder(name);
        std::fs::remove_file(&place).unwrap();
        std::fs::remove_dir(&target).unwrap();
        assert!(refused.is_err(), "{refused:?}");
    }
}
