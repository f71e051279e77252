//! The files of an authority, as they lie on the host. A key that another user could read is no secret, and none is taken from such a file.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::unistd::getuid;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes.
const LONGEST: u64 = 256 << 10;
/// The bits by which a group or others have any right (inode(7)).
const OTHERS: u32 = 0o077;

/// The text of a file that anybody may read.
pub(super) fn certificate(path: &Path) -> Result<String, BridgeError> {
    let (file, _) = open(path)?;
    text(file, path)
}

/// The text of a private key, and where it lies once links are followed.
///
/// # Errors
/// `policy_invalid` where it is no plain file, another user has a right to it or owns it, or it has a second name that could show it.
pub(super) fn key(path: &Path) -> Result<(String, PathBuf), BridgeError> {
    let (file, place) = open(path)?;
    // Of what was opened: what the name leads to may be another file by now.
    let metadata = file.metadata().map_err(|_| unreadable(path))?;
    let owner = metadata.uid();
    if metadata.mode() & OTHERS != 0 || (owner != getuid().as_raw() && owner != 0) {
        let why = "may be read or changed by other users; give it to this user alone and write `chmod 600` for it, and make a new key if others were not meant to have it";
        return Err(fault(path, why));
    }
    if metadata.nlink() != 1 {
        return Err(fault(
            path,
            "has more than one name, by any of which a program could be shown it; copy it to a file of its own",
        ));
    }
    Ok((text(file, path)?, place))
}

fn open(path: &Path) -> Result<(File, PathBuf), BridgeError> {
    let place = path.canonicalize().map_err(|_| unreadable(path))?;
    // Nothing to wait for, as there would be at a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&place).map_err(|_| unreadable(path))?;
    let metadata = file.metadata().map_err(|_| unreadable(path))?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(fault(path, "is no plain file of a certificate or key"));
    }
    Ok((file, place))
}

fn text(file: File, path: &Path) -> Result<String, BridgeError> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(|_| unreadable(path))?;
    Ok(text)
}

fn unreadable(path: &Path) -> BridgeError {
    fault(path, "cannot be read; name a file that is there and that this user may read")
}

/// Never tells what stands in the file.
pub(super) fn fault(path: &Path, why: &str) -> BridgeError {
    let message = format!("`{}`, which network.http_authority names, {why}", path.display());
    BridgeError::new(ErrorCode::PolicyInvalid, message).with("path", &*path.to_string_lossy())
}
