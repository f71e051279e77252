//! Where the sockets and the files of session hosts lie: in directories that are the user's alone.

use crate::failure::{Failure, io};
use cofferdam_bridge::error_code::ErrorCode;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest name of a session.
const LONGEST: usize = 64;

/// O_DIRECTORY and O_NOFOLLOW of open(2), and O_PATH where there is such a flag.
const ONLY_NAMED: i32 = nix::fcntl::OFlag::O_DIRECTORY.bits() | nix::fcntl::OFlag::O_NOFOLLOW.bits() | PATH_ALONE;
#[cfg(target_os = "linux")]
const PATH_ALONE: i32 = nix::fcntl::OFlag::O_PATH.bits();
#[cfg(not(target_os = "linux"))]
const PATH_ALONE: i32 = 0;

/// The name of a session: what it is, and nothing that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionName(String);

impl SessionName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if text.is_empty() || text.len() > LONGEST || !text.chars().all(plain) || text.starts_with(['-', '.']) {
            return Err(format!("a session's name is up to {LONGEST} letters, digits, `.`, `_` and `-`"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The two directories: one for sockets, one for what must survive a host.
#[derive(Debug)]
pub(crate) struct Places {
    sockets: PathBuf,
    state: PathBuf,
}

/// The places of one session.
#[derive(Debug)]
pub(crate) struct Place {
    name: SessionName,
    sockets: PathBuf,
    state: PathBuf,
    /// The directory of sockets, held: what is bound and connected to lies in it, whatever becomes of its path, and however long that is.
    held: File,
}

impl Places {
    /// Those of the user: `cofferdam` in `$XDG_RUNTIME_DIR` for sockets, `cofferdam/sessions` in `$XDG_STATE_HOME` or `~/.local/state` for
    /// the rest, and for sockets as well where there is no run-time directory (XDG Base Directory Specification).
    pub(crate) fn of_user() -> Result<Self, Failure> {
        let places = Self::named()?;
        private(&places.state)?;
        private(&places.sockets)?;
        Ok(places)
    }

    /// The same, whether they are there or not.
    fn named() -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state"))).ok_or_else(|| {
            Failure::new(ErrorCode::IoFailed, "neither XDG_STATE_HOME nor HOME says where sessions may be kept")
                .hint("set one of them")
        })?;
        let state = state.join("cofferdam/sessions");
        let runtime = set("XDG_RUNTIME_DIR").filter(|path| path.is_dir());
        let sockets = runtime.map_or_else(|| state.clone(), |runtime| runtime.join("cofferdam"));
        Ok(Self { sockets, state })
    }

    /// Those that the environment has put where a policy does not expect them.
    pub(crate) fn elsewhere() -> Vec<PathBuf> {
        let set = |name: &str| std::env::var_os(name).is_some();
        let Ok(Self { sockets, state }) = Self::named() else { return Vec::new() };
        let by_state = set("XDG_STATE_HOME").then_some(state);
        let by_runtime = set("XDG_RUNTIME_DIR").then_some(sockets);
        by_state.into_iter().chain(by_runtime).collect()
    }

    /// The places of the session `name`.
    pub(crate) fn of(&self, name: &SessionName) -> Result<Place, Failure> {
        let mut how = OpenOptions::new();
        let held = how.read(true).custom_flags(ONLY_NAMED).open(&self.sockets);
        let held = held.map_err(|error| io("the directory of session sockets cannot be used", &error))?;
        Ok(Place { name: name.clone(), sockets: self.sockets.clone(), state: self.state.clone(), held })
    }

    /// The names of all sessions that have a file here, open or not.
    pub(crate) fn names(&self) -> Vec<SessionName> {
        let entries = std::fs::read_dir(&self.state).into_iter().flatten().flatten();
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".lock")?.parse().ok();
        let mut names: Vec<SessionName> = entries.filter_map(name).collect();
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names
    }
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The socket as it is bound and connected to: by the held directory, so that a long path does not matter (unix(7): 108 bytes).
    pub(crate) fn socket(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        if !cfg!(target_os = "linux") {
            // No path leads through a descriptor elsewhere. The directory is the user's alone.
            return self.shown_socket();
        }
        PathBuf::from(format!("/proc/self/fd/{}/{}.sock", self.held.as_raw_fd(), self.name.as_str()))
    }

    /// The socket as people see it.
    pub(crate) fn shown_socket(&self) -> PathBuf {
        self.sockets.join(format!("{}.sock", self.name.as_str()))
    }

    /// The file that tells what the host has.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state.join(format!("{}.json", self.name.as_str()))
    }

    /// The directories, as they are when all links are followed.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        [&self.sockets, &self.state].into_iter().filter_map(|path| path.canonicalize().ok()).collect()
    }

    /// Takes the session's lock, which ends with the process that has it; none where another has it.
    pub(crate) fn lock(&self) -> Result<Option<File>, Failure> {
        let path = self.state.join(format!("{}.lock", self.name.as_str()));
        let mut how = OpenOptions::new();
        let how = how.write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        let file = how.open(&path).map_err(|error| io("the session's lock cannot be opened", &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io("the session cannot be locked", &error)),
        }
    }
}

/// Makes a directory that is the user's alone, or makes sure that one that is there is.
fn private(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| io(&format!("the directory `{}` cannot be made", path.display()), &error))?;
    let facts =
        std::fs::symlink_metadata(path).map_err(|error| io("the directory of sessions cannot be used", &error))?;
    if !facts.is_dir() || facts.uid() != nix::unistd::geteuid().as_raw() || facts.mode() & 0o077 != 0 {
        let sentence = format!("`{}` is not a directory of yours alone, so no session is kept there", path.display());
        return Err(Failure::new(ErrorCode::SessionUnreachable, sentence).hint(format!("chmod 700 {}", path.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["", ".", "..", "a/b", "../x", "a b", "-x", "a\0", &"x".repeat(65)] {
            assert!(name.parse::<SessionName>().is_err(), "{name:?}");
        }
        assert_eq!("my-app.2".parse::<SessionName>().unwrap().as_str(), "my-app.2");
    }
}
