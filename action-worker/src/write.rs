//! Writes a file: beside it, then in its place, so that nobody sees half of it.

use crate::{fault, place};
use cofferdam_bridge::action::{FileWrite, FileWritten, WriteWhen};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a file gets that had no mode before.
const USUAL_MODE: u32 = 0o644;

/// Names for the file beside that are tried.
const TRIES: u32 = 64;

pub(crate) fn write(asked: &FileWrite) -> Result<FileWritten, BridgeError> {
    let failed = |error| fault::of("writing", &asked.path, &error);
    let bytes = asked.contents.decode().ok_or_else(|| fault::invalid("`contents.base64` is no base64 with padding"))?;
    let mode = asked.permission_bits().ok_or_else(|| {
        fault::invalid(
            "`mode` is no number of at most 0777 in octal digits, such as \"0644\"; set-id bits are not given",
        )
    })?;
    let path = Path::new(&asked.path);
    if asked.parents
        && let Some(folder) = path.parent()
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let (target, before) = target(path, asked.when).map_err(failed)?;
    if before.as_ref().is_some_and(|facts| !facts.is_file()) {
        let message = format!("`{}` is no regular file; only such are written", asked.path);
        return Err(BridgeError::new(ErrorCode::IoFailed, message).with("path", asked.path.as_str()));
    }
    let kept = before.as_ref().map(|facts| place::mode(facts) & 0o777);
    let mode = mode.or(kept).unwrap_or(USUAL_MODE);
    if asked.in_place {
        in_place(&target, asked.when, mode, &bytes)
    } else {
        beside(&target, asked.when, mode, &bytes)
    }
    .map_err(failed)?;
    Ok(FileWritten::new(bytes.len() as u64, before.is_none(), mode))
}

/// The file that is meant, where links have been followed, and what is known of it. A link that leads nowhere is no place for a file.
fn target(path: &Path, when: WriteWhen) -> io::Result<(PathBuf, Option<Metadata>)> {
    match fs::symlink_metadata(path) {
        Ok(_) if when == WriteWhen::Absent => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {
            let target = fs::canonicalize(path)?;
            let facts = fs::metadata(&target)?;
            Ok((target, Some(facts)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && when != WriteWhen::Present => {
            Ok((path.to_owned(), None))
        }
        Err(error) => Err(error),
    }
}

fn in_place(target: &Path, when: WriteWhen, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match when {
        WriteWhen::Absent => options.create_new(true),
        WriteWhen::Present => options.truncate(true),
        _ => options.create(true).truncate(true),
    };
    let mut file = options.open(target)?;
    file.write_all(bytes)?;
    // Where the host is asked about the file, a change of its mode is a question of its own.
    if file.metadata()?.permissions().mode() & 0o7777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.sync_all()
}

fn beside(target: &Path, when: WriteWhen, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (mut file, other) = temporary(folder)?;
    let done = (|| {
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        if when == WriteWhen::Absent {
            // link(2) refuses a name that has come into being meanwhile, which rename(2) would replace.
            fs::hard_link(&other, target)?;
            return fs::remove_file(&other);
        }
        fs::rename(&other, target)
    })();
    if done.is_err() {
        // What is wrong is told already; a file that cannot be removed either is the lesser evil.
        let _ = fs::remove_file(&other);
    }
    done?;
    // Some file systems do not sync directories.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// A new file of a name that nobody else has.
fn temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    for number in 0..TRIES {
        let path = folder.join(format!(".cofferdam-{}-{number}.part", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok((other?, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cofferdam-write-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn asked(path: &Path, text: &str) -> FileWrite {
        FileWrite::new(path.to_str().unwrap(), text.into())
    }

    #[test]
    fn a_file_is_replaced_whole_keeps_its_mode_and_leaves_nothing_beside() {
        let folder = folder("mode");
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let written = write(&asked(&link, "new")).unwrap();
        assert_eq!((written.created, written.mode.as_str(), written.size), (false, "0750", 3));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink(), "a link keeps leading to it");
        assert_eq!(place::mode(&file.metadata().unwrap()), 0o750);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn whether_it_may_be_there_is_obeyed() {
        let folder = folder("when");
        let mut one = asked(&folder.join("deep/file"), "x");
        one.when = WriteWhen::Present;
        assert_eq!(write(&one).unwrap_err().code, ErrorCode::NotFound);
        (one.when, one.parents) = (WriteWhen::Absent, true);
        assert!(write(&one).unwrap().created);
        assert_eq!(write(&one).unwrap_err().code, ErrorCode::AlreadyExists);
        (one.when, one.in_place, one.mode) = (WriteWhen::Present, true, Some("0600".to_owned()));
        assert_eq!(write(&one).unwrap().mode, "0600");
        for mode in ["4755", "9", "", "-1"] {
            one.mode = Some(mode.to_owned());
            assert_eq!(write(&one).unwrap_err().code, ErrorCode::RequestInvalid, "{mode}");
        }
        std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
        assert_eq!(write(&asked(&folder.join("dangling"), "x")).unwrap_err().code, ErrorCode::NotFound);
        assert!(!folder.join("nowhere").exists());
        assert!(write(&asked(&folder, "x")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
