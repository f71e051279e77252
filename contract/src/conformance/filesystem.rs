//! Files behind the bridge: each operation, its errors, and that nothing leads out.

use super::check::{Found, Group, Suite};
use cofferdam_bridge::call::{CallContext, CancelFlag};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::{
    ChmodRequest, CreateDirectoryRequest, FileKind, FileMetadata, FilesystemBridge, PathRequest, ReadRangeRequest,
    SymlinkRequest, TruncateRequest, TwoPathsRequest, WriteFileRequest, WriteRangeRequest,
};
use cofferdam_bridge::ids::VmId;
use std::cell::Cell;

const GROUP: Group = Group::Filesystem;

/// The operations, written short.
struct Files<'a, F> {
    bridge: &'a F,
    vm_id: VmId,
    next: Cell<u32>,
}

type Done<T> = Result<T, BridgeError>;

impl<F: FilesystemBridge> Files<'_, F> {
    fn call<T>(&self, done: Result<T, F::Error>) -> Done<T> {
        done.map_err(Into::into)
    }

    /// A folder of its own for a check.
    fn folder(&self) -> Result<String, String> {
        self.next.set(self.next.get() + 1);
        let path = format!("/conformance-{}", self.next.get());
        self.mkdir(&path).map_err(|error| error.message)?;
        Ok(path)
    }

    fn path(&self, path: &str) -> PathRequest {
        PathRequest::new(self.vm_id.clone(), path)
    }

    fn two(&self, from: &str, to: &str) -> TwoPathsRequest {
        TwoPathsRequest::new(self.vm_id.clone(), from, to)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Done<()> {
        self.call(
            self.bridge.write_file(&CallContext::unbounded(), WriteFileRequest::new(self.vm_id.clone(), path, bytes)),
        )
    }

    fn append(&self, path: &str, bytes: &[u8]) -> Done<()> {
        self.call(
            self.bridge.append_file(&CallContext::unbounded(), WriteFileRequest::new(self.vm_id.clone(), path, bytes)),
        )
    }

    fn read(&self, path: &str) -> Done<Vec<u8>> {
        self.call(self.bridge.read_file(&CallContext::unbounded(), self.path(path)))
    }

    fn range(&self, path: &str, offset: u64, length: u64) -> Done<Vec<u8>> {
        let request = ReadRangeRequest::new(self.vm_id.clone(), path, offset, length);
        self.call(self.bridge.read_range(&CallContext::unbounded(), request))
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> Done<()> {
        let request = WriteRangeRequest::new(self.vm_id.clone(), path, offset, bytes);
        self.call(self.bridge.write_range(&CallContext::unbounded(), request))
    }

    fn mkdir(&self, path: &str) -> Done<()> {
        let request = CreateDirectoryRequest::new(self.vm_id.clone(), path, false);
        self.call(self.bridge.create_dir(&CallContext::unbounded(), request))
    }

    fn mkdirs(&self, path: &str) -> Done<()> {
        let request = CreateDirectoryRequest::new(self.vm_id.clone(), path, true);
        self.call(self.bridge.create_dir(&CallContext::unbounded(), request))
    }

    fn stat(&self, path: &str) -> Done<FileMetadata> {
        self.call(self.bridge.stat(&CallContext::unbounded(), self.path(path)))
    }

    fn lstat(&self, path: &str) -> Done<FileMetadata> {
        self.call(self.bridge.lstat(&CallContext::unbounded(), self.path(path)))
    }

    fn names(&self, path: &str) -> Done<Vec<String>> {
        let entries = self.call(self.bridge.read_dir(&CallContext::unbounded(), self.path(path)))?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &str) -> Done<()> {
        self.call(self.bridge.remove_file(&CallContext::unbounded(), self.path(path)))
    }

    fn rmdir(&self, path: &str) -> Done<()> {
        self.call(self.bridge.remove_dir(&CallContext::unbounded(), self.path(path)))
    }

    fn rename(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.rename(&CallContext::unbounded(), self.two(from, to)))
    }

    fn copy(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.copy(&CallContext::unbounded(), self.two(from, to)))
    }

    fn link(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.hard_link(&CallContext::unbounded(), self.two(from, to)))
    }

    fn symlink(&self, target: &str, path: &str) -> Done<()> {
        let request = SymlinkRequest::new(self.vm_id.clone(), target, path);
        self.call(self.bridge.symlink(&CallContext::unbounded(), request))
    }

    fn target(&self, path: &str) -> Done<String> {
        self.call(self.bridge.read_link(&CallContext::unbounded(), self.path(path)))
    }

    fn chmod(&self, path: &str, mode: u32) -> Done<()> {
        self.call(self.bridge.chmod(&CallContext::unbounded(), ChmodRequest::new(self.vm_id.clone(), path, mode)))
    }

    fn truncate(&self, path: &str, length: u64) -> Done<()> {
        let request = TruncateRequest::new(self.vm_id.clone(), path, length);
        self.call(self.bridge.truncate(&CallContext::unbounded(), request))
    }

    fn canonical(&self, path: &str) -> Done<String> {
        self.call(self.bridge.canonicalize(&CallContext::unbounded(), self.path(path)))
    }

    fn exists(&self, path: &str) -> Done<bool> {
        self.call(self.bridge.exists(&CallContext::unbounded(), self.path(path)))
    }
}

/// What a check of operations finds: an error of the bridge fails it, too.
enum Why {
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

fn is<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Why> {
    if found == expected { Ok(()) } else { Err(Why::Not(format!("expected {expected:?}, found {found:?}"))) }
}

fn fails<T>(done: Done<T>, codes: &[ErrorCode]) -> Result<(), Why> {
    match done {
        Err(error) if codes.contains(&error.code) => Ok(()),
        Err(error) => Err(Why::Not(format!("the code is {}, expected {}", error.code, codes[0]))),
        Ok(_) => Err(Why::Not(format!("it succeeded, where {} was expected", codes[0]))),
    }
}

pub(super) fn check<F: FilesystemBridge>(suite: &mut Suite, bridge: &F) {
    let files = Files { bridge, vm_id: VmId::new("conformance"), next: Cell::new(0) };
    contents(suite, &files);
    names(suite, &files);
    links(suite, &files);
    directories(suite, &files);
    edges(suite, &files);
}

type Body<F> = fn(&Files<'_, F>, &str) -> Result<(), Why>;

fn each<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>, rows: &[(&str, &str, Body<F>)]) {
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

fn links<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const LOOP: &[ErrorCode] = &[ErrorCode::TooManySymbolicLinks];
    each(
        suite,
        files,
        &[
            ("symlink_read", "a symbolic link is followed", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("a", &format!("{d}/l"))?;
                is(f.read(&format!("{d}/l"))?, b"x".to_vec())
            }),
            ("symlink_lstat", "and told of as itself", |f, d| {
                f.symlink("nowhere", &format!("{d}/l"))?;
                is(f.lstat(&format!("{d}/l"))?.kind, FileKind::SymbolicLink)
            }),
            ("symlink_target", "its target is as it was written", |f, d| {
                f.symlink("../some//where", &format!("{d}/l"))?;
                is(f.target(&format!("{d}/l"))?, "../some//where".to_owned())
            }),
            ("symlink_dangling", "one that leads nowhere is not there for readers", |f, d| {
                f.symlink("nowhere", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), &[ErrorCode::NotFound])?;
                is(f.exists(&format!("{d}/l"))?, false)
            }),
            ("symlink_loop", "links that lead to each other are given up", |f, d| {
                f.symlink("b", &format!("{d}/a"))?;
                f.symlink("a", &format!("{d}/b"))?;
                fails(f.read(&format!("{d}/a")), LOOP)
            }),
            ("symlink_long_chain", "so are more than forty in a row", |f, d| {
                f.write(&format!("{d}/l0"), b"x")?;
                for number in 0..41 {
                    f.symlink(&format!("l{number}"), &format!("{d}/l{}", number + 1))?;
                }
                is(f.read(&format!("{d}/l8"))?, b"x".to_vec())?;
                fails(f.read(&format!("{d}/l41")), LOOP)
            }),
            ("symlink_over", "a link does not replace what is there", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                fails(f.symlink("b", &format!("{d}/a")), &[ErrorCode::AlreadyExists])
            }),
            ("symlink_remove", "removing a link leaves its target", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("a", &format!("{d}/l"))?;
                f.remove(&format!("{d}/l"))?;
                is(f.read(&format!("{d}/a"))?, b"x".to_vec())
            }),
            ("read_link_of_file", "a file is no link", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                is(f.target(&format!("{d}/a")).is_err(), true)
            }),
            ("hard_link", "a hard link is the same file", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.link(&format!("{d}/a"), &format!("{d}/b"))?;
                f.append(&format!("{d}/a"), b"y")?;
                is((f.read(&format!("{d}/b"))?, f.stat(&format!("{d}/b"))?.links), (b"xy".to_vec(), 2))
            }),
            ("hard_link_over", "it does not replace what is there", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.write(&format!("{d}/b"), b"y")?;
                fails(f.link(&format!("{d}/a"), &format!("{d}/b")), &[ErrorCode::AlreadyExists])
            }),
            ("canonical", "links and dots are gone from the canonical path", |f, d| {
                f.mkdir(&format!("{d}/a"))?;
                f.symlink("a", &format!("{d}/l"))?;
                is(f.canonical(&format!("{d}/./l/../l"))?, format!("{d}/a"))
            }),
            ("canonical_missing", "what is not there is kept as it is", |f, d| {
                f.symlink(d, &format!("{d}/l"))?;
                is(f.canonical(&format!("{d}/l/no/more"))?, format!("{d}/no/more"))
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

fn edges<F: FilesystemBridge>(suite: &mut Suite, files: &Files<'_, F>) {
    const OUT: &[ErrorCode] =
        &[ErrorCode::NotFound, ErrorCode::PathInvalid, ErrorCode::DeniedByPolicy, ErrorCode::NotADirectory];
    each(
        suite,
        files,
        &[
            ("relative", "a path that is not absolute leads nowhere outside", |f, _| {
                fails(f.read("../../../../../../../etc/hostname"), OUT)
            }),
            ("nul", "so is one with a NUL byte", |f, d| {
                fails(f.read(&format!("{d}/a\0b")), &[ErrorCode::PathInvalid, ErrorCode::RequestInvalid])
            }),
            ("empty_path", "and an empty one", |f, _| {
                fails(f.read(""), &[ErrorCode::PathInvalid, ErrorCode::RequestInvalid])
            }),
            ("above_the_root", "above the root is the root", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                is(f.read(&format!("/../../..{d}/a"))?, b"x".to_vec())
            }),
            ("out_by_dots", "`..` leads nowhere outside", |f, d| {
                fails(f.read(&format!("{d}/../../../../../../../etc/hostname")), OUT)
            }),
            ("out_by_symlink", "an absolute link leads nowhere outside", |f, d| {
                f.symlink("/etc/hostname", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), OUT)
            }),
            ("out_by_relative_symlink", "nor does a relative one", |f, d| {
                f.symlink("../../../../../../../../etc/hostname", &format!("{d}/l"))?;
                fails(f.read(&format!("{d}/l")), OUT)
            }),
            ("out_by_rename", "nor a link that is renamed over what was read", |f, d| {
                f.write(&format!("{d}/a"), b"x")?;
                f.symlink("/etc/hostname", &format!("{d}/l"))?;
                f.rename(&format!("{d}/l"), &format!("{d}/a"))?;
                fails(f.read(&format!("{d}/a")), OUT)
            }),
            ("cancelled", "a call that is not wanted any more is given up, or answered right", |f, d| {
                let flag = CancelFlag::new();
                flag.cancel();
                let call = CallContext::unbounded().cancelled_by(flag);
                f.write(&format!("{d}/a"), b"x")?;
                match f.call(f.bridge.read_file(&call, f.path(&format!("{d}/a")))) {
                    // What is done at once may be answered.
                    Ok(bytes) => is(bytes, b"x".to_vec()),
                    refused => fails(refused, &[ErrorCode::Cancelled]),
                }
            }),
            ("error_words", "an error says what to do in words, and holds no contents", |f, d| {
                f.write(&format!("{d}/a"), b"secret contents")?;
                match f.read(&format!("{d}/a/b")) {
                    Err(error) if error.message.len() > 10 && !error.message.contains("secret contents") => Ok(()),
                    Err(error) => Err(Why::Not(format!("it says {:?}", error.message))),
                    Ok(_) => Err(Why::Not("it succeeded".to_owned())),
                }
            }),
        ],
    );
}
