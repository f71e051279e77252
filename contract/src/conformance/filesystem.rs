//! Files behind the bridge: each operation, its errors, and that nothing leads out.

use super::check::{Found, Group, Suite};
use super::files::{Done, Files};
use super::filesystem_links;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::{FileKind, FilesystemBridge};

const GROUP: Group = Group::Filesystem;

/// What a check of operations finds: an error of the bridge fails it, too.
pub(super) enum Why {
    Error(BridgeError),
    Not(String),
}

impl From<BridgeError> for Why {
    fn from(error: BridgeError) -> Self {
        Self::Error(error)
    }
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Self::Not(why)
    }
}

pub(super) fn is<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Why> {
    if found == expected { Ok(()) } else { Err(Why::Not(format!("expected {expected:?}, found {found:?}"))) }
}

pub(super) fn fails<T>(done: Done<T>, codes: &[ErrorCode]) -> Result<(), Why> {
    match done {
        Err(error) if codes.contains(&error.code) => Ok(()),
        Err(error) => Err(Why::Not(format!("the code is {}, expected {}", error.code, codes[0]))),
        Ok(_) => Err(Why::Not(format!("it succeeded, where {} was expected", codes[0]))),
    }
}

pub(super) fn check<F: FilesystemBridge>(suite: &mut Suite, bridge: &F) {
    let files = Files::new(bridge);
    contents(suite, &files);
    names(suite, &files);
    filesystem_links::links(suite, &files);
    directories(suite, &files);
    filesystem_links::edges(suite, &files);
}

/// A check, in a folder of its own.
pub(super) type Body<F> = fn(&Files<'_, F>, &str) -> Result<(), Why>;

pub(super) fn each<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>, rows: &[(&str, &str, Body<F>)]) {
    for (name, title, body) in rows {
        suite.check(GROUP, *name, title, || -> Found {
            let folder = files.folder()?;
            body(files, &folder).map_err(|why| match why {
                Why::Error(error) => super::stage::told(&error),
                Why::Not(why) => why,
            })
        });
    }
}

fn contents<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const NOT_FOUND: &[ErrorCode] = &[ErrorCode::NotFound];
    each(
        suite,
        files,
        &[
            ("write_read", "what was written is read", |f, d| {
                f.write(&format!("{d}/a"), b"hello")?;
                is(f.read(&format!("{d}/a"))?, b"hello".to_vec())
            }),
            ("empty", "an empty file is read as such", |f, d| {
                f.write(&format!("{d}/a"), b"")?;
                is(f.read(&format!("{d}/a"))?, Vec::new())
            }),
            ("every_byte", "each byte is kept as it is", |f, d| {
                let all: Vec<u8> = (0..=255).collect();
                f.write(&format!("{d}/a"), &all)?;
                is(f.read(&format!("{d}/a"))?, all)
            }),
            ("large", "a megabyte is kept", |f, d| {
                let large: Vec<u8> = (0..1_048_576_u32).map(|number| number.to_le_bytes()[1]).collect();
                f.write(&format!("{d}/a"), &large)?;
                is(f.read(&format!("{d}/a"))? == large, true)
            }),
            ("overwrite", "a shorter write leaves nothing of the longer", |f, d| {
                f.write(&format!("{d}/a"), b"long contents")?;
                f.write(&format!("{d}/a"), b"x")?;
                is(f.read(&format!("{d}/a"))?, b"x".to_vec())
            }),
            ("append", "what is appended stands at the end", |f, d| {
                f.write(&format!("{d}/a"), b"one")?;
                f.append(&format!("{d}/a"), b"two")?;
                is(f.read(&format!("{d}/a"))?, b"onetwo".to_vec())
            }),
            ("append_new", "appending makes a file", |f, d| {
                f.append(&format!("{d}/a"), b"new")?;
                is(f.read(&format!("{d}/a"))?, b"new".to_vec())
            }),
            ("range", "a part is read", |f, d| {
                f.write(&format!("{d}/a"), b"0123456789")?;
                is(f.range(&format!("{d}/a"), 3, 4)?, b"3456".to_vec())
            }),
            ("range_past_end", "a part past the end is shorter", |f, d| {
                f.write(&format!("{d}/a"), b"01234")?;
                is(f.range(&format!("{d}/a"), 3, 100)?, b"34".to_vec())
            }),
            ("range_beyond", "a part beyond the end is empty", |f, d| {
                f.write(&format!("{d}/a"), b"01234")?;
                is(f.range(&format!("{d}/a"), 100, 5)?, Vec::new())
            }),
            ("range_empty", "a part of no length is empty", |f, d| {
                f.write(&format!("{d}/a"), b"01234")?;
                is(f.range(&format!("{d}/a"), 1, 0)?, Vec::new())
            }),
            ("write_range", "a part is written in place", |f, d| {
                f.write(&format!("{d}/a"), b"0123456789")?;
                f.write_at(&format!("{d}/a"), 3, b"xy")?;
                is(f.read(&format!("{d}/a"))?, b"012xy56789".to_vec())
            }),
            ("write_range_gap", "a gap is zeros", |f, d| {
                f.write(&format!("{d}/a"), b"01")?;
                f.write_at(&format!("{d}/a"), 4, b"x")?;
                is(f.read(&format!("{d}/a"))?, b"01\0\0x".to_vec())
            }),
            ("truncate_shorter", "a file is cut", |f, d| {
                f.write(&format!("{d}/a"), b"0123456789")?;
                f.truncate(&format!("{d}/a"), 4)?;
                is(f.read(&format!("{d}/a"))?, b"0123".to_vec())
            }),
            ("truncate_longer", "a file is lengthened by zeros", |f, d| {
                f.write(&format!("{d}/a"), b"01")?;
                f.truncate(&format!("{d}/a"), 4)?;
                is(f.read(&format!("{d}/a"))?, b"01\0\0".to_vec())
            }),
            ("read_missing", "what is not there is not found", |f, d| fails(f.read(&format!("{d}/no")), NOT_FOUND)),
            ("range_missing", "nor a part of it", |f, d| fails(f.range(&format!("{d}/no"), 0, 1), NOT_FOUND)),
            ("truncate_missing", "nor is it cut", |f, d| fails(f.truncate(&format!("{d}/no"), 0), NOT_FOUND)),
            ("write_no_parent", "a file is not made where there is no directory", |f, d| {
                fails(f.write(&format!("{d}/no/a"), b"x"), NOT_FOUND)
            }),
            ("read_directory", "a directory is read as no file", |f, d| fails(f.read(d), &[ErrorCode::IsADirectory])),
            ("write_directory", "nor written as one", |f, d| fails(f.write(d, b"x"), &[ErrorCode::IsADirectory])),
            ("file_as_directory", "a file is no directory on the way", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                fails(f.read(&format!("{d}/a/b")), &[ErrorCode::NotADirectory])
            }),
        ],
    );
}

fn names<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const NOT_FOUND: &[ErrorCode] = &[ErrorCode::NotFound];
    each(
        suite,
        files,
        &[
            ("exists", "what is there exists, and what is not does not", |f, d| {
                f.write(&format!("{d}/a"), b"")?;
                is((f.exists(&format!("{d}/a"))?, f.exists(&format!("{d}/b"))?), (true, false))
            }),
            ("stat_file", "a file's kind and size are told", |f, d| {
                f.write(&format!("{d}/a"), b"12345")?;
                let metadata = f.stat(&format!("{d}/a"))?;
                is((metadata.kind, metadata.size), (FileKind::File, 5))
            }),
            ("stat_directory", "a directory's kind is told", |f, d| is(f.stat(d)?.kind, FileKind::Directory)),
            ("stat_missing", "nothing is told of what is not there", |f, d| {
                fails(f.stat(&format!("{d}/no")), NOT_FOUND)
            }),
            ("rename", "a file has its new name and not its old", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.rename(&format!("{d}/a"), &format!("{d}/b"))?;
                is(f.names(d)?, vec!["b".to_owned()])
            }),
            ("rename_over", "a rename replaces a file", |f, d| {
                f.write(&format!("{d}/a"), b"new")?;
                f.write(&format!("{d}/b"), b"old")?;
                f.rename(&format!("{d}/a"), &format!("{d}/b"))?;
                is(f.read(&format!("{d}/b"))?, b"new".to_vec())
            }),
            ("rename_missing", "what is not there is not renamed", |f, d| {
                fails(f.rename(&format!("{d}/no"), &format!("{d}/b")), NOT_FOUND)
            }),
            ("rename_directory", "a directory is renamed with what is in it", |f, d| {
                f.mkdirs(&format!("{d}/a/b"))?;
                f.write(&format!("{d}/a/b/c"), b"x")?;
                f.rename(&format!("{d}/a"), &format!("{d}/z"))?;
                is(f.read(&format!("{d}/z/b/c"))?, b"x".to_vec())
            }),
            ("rename_into_itself", "a directory is not put into itself", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                is(f.rename(&format!("{d}/a"), &format!("{d}/a/b")).is_err(), true)?;
                is(f.exists(&format!("{d}/a"))?, true)
            }),
            ("copy", "a copy is a file of its own", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.copy(&format!("{d}/a"), &format!("{d}/b"))?;
                f.write(&format!("{d}/a"), b"changed")?;
                is(f.read(&format!("{d}/b"))?, b"x".to_vec())
            }),
            ("copy_missing", "what is not there is not copied", |f, d| {
                fails(f.copy(&format!("{d}/no"), &format!("{d}/b")), NOT_FOUND)
            }),
            ("remove", "what is removed is gone", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.remove(&format!("{d}/a"))?;
                is(f.exists(&format!("{d}/a"))?, false)
            }),
            ("remove_missing", "what is not there is not removed", |f, d| {
                fails(f.remove(&format!("{d}/no")), NOT_FOUND)
            }),
            ("remove_directory_as_file", "a directory is not removed as a file", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                is(f.remove(&format!("{d}/a")).is_err(), true)?;
                is(f.exists(&format!("{d}/a"))?, true)
            }),
            ("chmod", "a mode is kept", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.chmod(&format!("{d}/a"), 0o640)?;
                is(f.stat(&format!("{d}/a"))?.mode & 0o777, 0o640)
            }),
            ("unicode", "names are any text", |f, d| {
                f.write(&format!("{d}/ä ☃\n'"), b"x")?;
                is(f.names(d)?, vec!["ä ☃\n'".to_owned()])
            }),
            ("long_name", "a name of 255 bytes is one", |f, d| {
                let name = "n".repeat(255);
                f.write(&format!("{d}/{name}"), b"x")?;
                is(f.names(d)?, vec![name])
            }),
        ],
    );
}

fn directories<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const EXISTS: &[ErrorCode] = &[ErrorCode::AlreadyExists];
    each(
        suite,
        files,
        &[
            ("read_dir", "a directory lists what is in it", |f, d| {
                f.write(&format!("{d}/a"), b"")?;
                f.mkdir(&format!("{d}/b"))?;
                is(f.names(d)?, vec!["a".to_owned(), "b".to_owned()])
            }),
            ("read_dir_empty", "an empty one lists nothing, not even itself", |f, d| is(f.names(d)?, Vec::new())),
            ("read_dir_file", "a file lists nothing", |f, d| {
                f.write(&format!("{d}/a"), b"")?;
                fails(f.names(&format!("{d}/a")), &[ErrorCode::NotADirectory])
            }),
            ("read_dir_missing", "nor does what is not there", |f, d| {
                fails(f.names(&format!("{d}/no")), &[ErrorCode::NotFound])
            }),
            ("mkdir_twice", "a directory is not made twice", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                fails(f.mkdir(&format!("{d}/a")), EXISTS)
            }),
            ("mkdir_no_parent", "nor without one above it", |f, d| {
                fails(f.mkdir(&format!("{d}/a/b")), &[ErrorCode::NotFound])
            }),
            ("mkdir_recursive", "unless all of them are asked for", |f, d| {
                f.mkdirs(&format!("{d}/a/b/c"))?;
                f.mkdirs(&format!("{d}/a/b/c"))?;
                is(f.stat(&format!("{d}/a/b/c"))?.kind, FileKind::Directory)
            }),
            ("mkdir_over_file", "a directory does not replace a file", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                is(f.mkdir(&format!("{d}/a")).is_err(), true)?;
                is(f.read(&format!("{d}/a"))?, b"x".to_vec())
            }),
            ("rmdir", "an empty directory is removed", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                f.rmdir(&format!("{d}/a"))?;
                is(f.exists(&format!("{d}/a"))?, false)
            }),
            ("rmdir_full", "one that holds something is not", |f, d| {
                f.mkdirs(&format!("{d}/a/b"))?;
                fails(f.rmdir(&format!("{d}/a")), &[ErrorCode::DirectoryNotEmpty])
            }),
            ("rmdir_file", "nor is a file, as a directory", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                fails(f.rmdir(&format!("{d}/a")), &[ErrorCode::NotADirectory])
            }),
            ("many", "a thousand entries are listed", |f, d| {
                for number in 0..1000 {
                    f.write(&format!("{d}/{number}"), b"")?;
                }
                is(f.names(d)?.len(), 1000)
            }),
        ],
    );
}
