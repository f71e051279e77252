//! Grants in a file of the user's.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::GrantId;
use cofferdam_bridge::prompt::{Grant, GrantStore};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// As much as the file may hold; more is no list that this store wrote.
const MOST_BYTES: u64 = 4 << 20;

/// As many grants as are kept.
const MOST_GRANTS: usize = 4096;

const FILE: &str = "grants.json";
const LOCK: &str = "grants.lock";

/// Keeps grants as `grants.json` in a directory, both for their user alone. Each change replaces the file as a whole, is on disk before it is
/// told, and waits for its turn among processes, so that none is lost. What was not left there by its user holds nothing.
#[derive(Clone, Debug)]
pub struct HostGrants {
    directory: PathBuf,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    grants: Vec<Grant>,
}

impl HostGrants {
    /// A store in an absolute directory, which is made when it is first needed.
    ///
    /// # Errors
    /// `path_invalid` for a path that is not absolute.
    pub fn at(directory: impl Into<PathBuf>) -> Result<Self, BridgeError> {
        let directory = directory.into();
        if !directory.is_absolute() {
            let message = format!("the directory `{}` of the grants is not absolute", directory.display());
            return Err(BridgeError::new(ErrorCode::PathInvalid, message));
        }
        Ok(Self { directory })
    }

    /// The user's own: `cofferdam` in `$XDG_STATE_HOME`, or in `~/.local/state` (XDG Base Directory Specification).
    ///
    /// # Errors
    /// `not_found` where neither is set.
    pub fn of_user() -> Result<Self, BridgeError> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let message = "neither XDG_STATE_HOME nor HOME says where grants may be kept; set one of them";
        Self::at(state.ok_or_else(|| BridgeError::new(ErrorCode::NotFound, message))?.join("cofferdam"))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Those that are in the file and have not expired.
    fn read(&self) -> Result<Vec<Grant>, BridgeError> {
        let path = self.directory.join(FILE);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read", &error)),
        };
        self.check_owner(&self.directory.metadata().map_err(|error| self.failed("read", &error))?, "directory")?;
        let facts = file.metadata().map_err(|error| self.failed("read", &error))?;
        self.check_owner(&facts, "file")?;
        if !facts.is_file() || facts.len() > MOST_BYTES {
            return Err(self.damaged("it is no file, or too long for one"));
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| self.failed("read", &error))?;
        let kept: Kept = serde_json::from_str(&text).map_err(|error| self.damaged(&error.to_string()))?;
        if kept.version != 1 {
            return Err(self.damaged("it is of a version that this release does not know"));
        }
        let now = now();
        Ok(kept.grants.into_iter().filter(|grant| grant.expires_at.is_none_or(|end| now < end)).collect())
    }

    /// Whoever else could write here could grant.
    fn check_owner(&self, facts: &std::fs::Metadata, what: &str) -> Result<(), BridgeError> {
        if facts.uid() == nix::unistd::geteuid().as_raw() && facts.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(self.damaged(&format!("its {what} belongs to somebody else, or others may write to it")))
    }

    /// Reads, lets `change` change the list, and writes it if that says so.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Grant>) -> Result<(bool, T), BridgeError>,
    ) -> Result<T, BridgeError> {
        let failed = |error: &std::io::Error| self.failed("changed", error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(|error| failed(&error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.directory.join(LOCK))
            .map_err(|error| failed(&error))?;
        // Held until the end of this function.
        let _turn = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| failed(&errno.into()))?;
        self.check_owner(&self.directory.metadata().map_err(|error| failed(&error))?, "directory")?;
        let mut grants = self.read()?;
        let (write, told) = change(&mut grants)?;
        if write {
            self.write(grants).map_err(|error| failed(&error))?;
        }
        Ok(told)
    }

    fn write(&self, grants: Vec<Grant>) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(&Kept { version: 1, grants })?;
        // Whoever has the turn is alone with this name; what a crash left there goes.
        let beside = self.directory.join(format!("{FILE}.new"));
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> BridgeError {
        let message = format!("the grants in `{}` cannot be {what}: {error}", self.directory.display());
        BridgeError::new(ErrorCode::IoFailed, message).with("kind", error.kind().to_string())
    }

    fn damaged(&self, why: &str) -> BridgeError {
        let path = self.directory.join(FILE);
        let message = format!(
            "the grants in `{}` are not as they were left: {why}; none holds. Look at the file, then mend or remove it",
            path.display()
        );
        BridgeError::new(ErrorCode::GrantsDamaged, message)
    }
}

impl GrantStore for HostGrants {
    fn grants(&self) -> Result<Vec<Grant>, BridgeError> {
        self.read()
    }

    fn add(&self, mut grant: Grant, expires_ms: Option<u64>) -> Result<Grant, BridgeError> {
        let now = now();
        grant.id = GrantId::new(format!("g-{:016x}", random()?));
        grant.granted_at = Some(now);
        grant.expires_at = expires_ms.map(|time| now.saturating_add(time.div_ceil(1000)));
        self.change(|grants| {
            // The same once more takes the place of what was there.
            let same = |one: &Grant| {
                (one.access, &one.subject, &one.workspace) == (grant.access, &grant.subject, &grant.workspace)
            };
            grants.retain(|one| !same(one));
            if grants.len() >= MOST_GRANTS {
                let message = format!("{MOST_GRANTS} grants are kept already; revoke some: cofferdam grants list");
                return Err(BridgeError::new(ErrorCode::QueueFull, message));
            }
            grants.push(grant.clone());
            Ok((true, grant))
        })
    }

    fn revoke(&self, id: &GrantId) -> Result<bool, BridgeError> {
        self.change(|grants| {
            let before = grants.len();
            grants.retain(|grant| grant.id != *id);
            let found = grants.len() < before;
            Ok((found, found))
        })
    }
}

/// Seconds since 1970. A clock from before that makes everything that expires expired.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |time| time.as_secs())
}

fn random() -> Result<u64, BridgeError> {
    getrandom::u64().map_err(|error| {
        BridgeError::new(ErrorCode::IoFailed, format!("the operating system gives no random bytes: {error}"))
    })
}
