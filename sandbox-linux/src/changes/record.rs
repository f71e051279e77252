//! What is written down about a change set: whose workspace, when, and how far it has come.

use super::entry::file;
use super::fault;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ChangeSummary;
use cofferdam_plane_kit::proc_text;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The name of the record in a change set.
pub(crate) const RECORD: &CStr = c"record.json";

/// Largest file of notes that is read.
const LARGEST: u64 = 1 << 30;

/// The record of one change set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The version of this format: 1.
    pub(crate) version: u32,
    /// The workspace: its canonical path, and which directory that was.
    pub(crate) workspace: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// When the run began, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// The program that ran, without its arguments.
    pub(crate) program: String,
    /// The sandbox's first process, which outlives all others in it: its number, and when it began in ticks of the system.
    pub(crate) process: Option<(i32, u64)>,
    /// Whether the run's end was seen.
    pub(crate) finished: bool,
    /// How much it changed, once its end was seen.
    pub(crate) summary: Option<ChangeSummary>,
}

impl Record {
    /// Whether something of the run may still be alive: its end was not seen, and its first process is there. It is so while others in
    /// its pid namespace are (pid_namespaces(7)).
    pub(crate) fn is_alive(&self) -> bool {
        !self.finished && self.process.is_some_and(|(number, began)| begin_of(number) == Some(began))
    }
}

/// When a process began that has not ended, by the 22nd field of proc_pid_stat(5).
pub(crate) fn begin_of(process: i32) -> Option<u64> {
    let stat = proc_text::read(format!("/proc/{process}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // One that has ended and waits to be reaped has outlived its namespace.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

/// Reads a note of `folder`, which `place` names in errors; none when it is not there.
pub(crate) fn read<T: DeserializeOwned>(
    folder: impl AsFd,
    name: &CStr,
    place: &Path,
) -> Result<Option<T>, BridgeError> {
    let wrong = |errno| fault::io("cannot read the notes of the change set", place, errno);
    let note = match file(folder, name) {
        Ok(note) => note,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(wrong(errno)),
    };
    let mut bytes = Vec::new();
    let read = File::from(note).take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| wrong(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))))?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(fault::damaged("its notes cannot be read", &place.join(super::entry::as_path(name)))),
    }
}

/// How sure a note must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// On disk before the call returns: it survives a loss of power.
    Yes,
    /// Whole or not at all, whoever is killed.
    No,
}

/// Writes a note: the old one stays until the new one is whole.
pub(crate) fn write<T: Serialize>(folder: impl AsFd, name: &CStr, value: &T, durable: Durable) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(value).map_err(|_| Errno::EINVAL)?;
    write_bytes(folder, name, &bytes, durable)
}

/// As [`write`], of bytes.
pub(crate) fn write_bytes(folder: impl AsFd, name: &CStr, bytes: &[u8], durable: Durable) -> Result<(), Errno> {
    let new = CString::new([name.to_bytes(), b".new"].concat()).map_err(|_| Errno::EINVAL)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(&folder, new.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    file.write_all(bytes).map_err(errno)?;
    if durable == Durable::Yes {
        file.sync_all().map_err(errno)?;
    }
    renameat(&folder, new.as_c_str(), &folder, name)?;
    if durable == Durable::Yes {
        sync_directory(folder)?;
    }
    Ok(())
}

/// Brings the names of a directory to disk.
pub(crate) fn sync_directory(directory: impl AsFd) -> Result<(), Errno> {
    nix::unistd::fsync(super::entry::directory(directory, c".")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_when_it_began_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let began = begin_of(number).unwrap();
        assert!(began > 0 && begin_of(number) == Some(began));
        child.kill().unwrap();
        while begin_of(number).is_some() {
            std::thread::yield_now();
        }
        assert!(Path::new(&format!("/proc/{number}/stat")).exists(), "it is not reaped yet");
        child.wait().unwrap();
    }
}
