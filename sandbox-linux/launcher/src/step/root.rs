//! The new root: an empty tmpfs, filled with mounts of what the policy names, then made the root of everything.

use super::{AT_EMPTY_PATH, AT_FDCWD, ESTALE, Failure, check, part};
use crate::format::bind as flag;
use crate::plan_reader::{Cursor, Text};
use crate::raw_call::{call, nr};

const MS_RDONLY: usize = 1;
const MS_NOSUID: usize = 2;
const MS_NODEV: usize = 4;
const MS_REMOUNT: usize = 32;
const MS_BIND: usize = 4096;
const MS_REC: usize = 16384;
const MS_PRIVATE: usize = 1 << 18;
const MNT_DETACH: usize = 2;

const OPEN_TREE_CLONE: usize = 1;
const AT_RECURSIVE: usize = 0x8000;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;

/// `struct open_how` of openat2(2): flags, mode, resolve.
type OpenHow = [u64; 3];
const RESOLVE_NO_SYMLINKS: u64 = 4;
const RESOLVE_BENEATH: u64 = 8;

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `struct stat` of newfstatat(2), as far as it is read: device and inode stand first on both architectures.
#[repr(C)]
struct Stat {
    device: u64,
    inode: u64,
    rest: [u64; 16],
}

/// Sets the host name.
pub fn host_name(name: Text) -> Result<(), Failure> {
    // SAFETY: the text lies in the plan.
    check(unsafe { call!(nr::SETHOSTNAME, name.at, name.length) })?;
    Ok(())
}

/// Makes all mounts private, so that nothing the host mounts later appears here, then mounts an empty
/// tmpfs on `place` and works in it. `place` is a directory whose contents the plan does not need.
pub fn new_root(place: Text, options: Text) -> Result<(), Failure> {
    let none = core::ptr::null::<u8>();
    // SAFETY: texts end with NUL; null is allowed for source and type of a propagation change.
    unsafe {
        part(call!(nr::MOUNT, none, c"/".as_ptr(), none, MS_REC | MS_PRIVATE, none), 1)?;
        let kind = c"tmpfs".as_ptr();
        part(call!(nr::MOUNT, kind, place.at, kind, MS_NOSUID | MS_NODEV, options.at), 2)?;
        part(call!(nr::CHDIR, place.at), 3)?;
    }
    Ok(())
}

/// Mounts a host path, or a path of the new root, on a path of the new root.
///
/// The source is opened once and its device and inode compared with what the supervisor saw, so that a
/// path exchanged meanwhile is noticed; from then on the descriptor is used.
pub fn bind(body: &mut Cursor) -> Result<(), Failure> {
    let (flags, device, inode) = (body.u32()?, body.u64()?, body.u64()?);
    let (source, path) = (body.text()?, body.text()?);
    let has = |bit: u32| flags & bit != 0;
    let recursive = if has(flag::RECURSIVE) { AT_RECURSIVE } else { 0 };
    let open = OPEN_TREE_CLONE | super::O_CLOEXEC | AT_SYMLINK_NOFOLLOW | recursive;
    let tree = if has(flag::INSIDE) {
        let place = inside(source)?;
        // SAFETY: constant text; the empty path means the descriptor itself, which is ours.
        let tree = unsafe { call!(nr::OPEN_TREE, place, c"".as_ptr(), open | AT_EMPTY_PATH) };
        // SAFETY: as above.
        unsafe { call!(nr::CLOSE, place) };
        part(tree, 1)?
    } else {
        // SAFETY: the text ends with NUL.
        part(unsafe { call!(nr::OPEN_TREE, AT_FDCWD, source.at, open) }, 1)?
    };
    if !has(flag::ANY_OBJECT) {
        compare(tree, device, inode)?;
    }
    let mut set = MOUNT_ATTR_NOSUID;
    if has(flag::READ_ONLY) {
        set |= MOUNT_ATTR_RDONLY;
    }
    if has(flag::NO_EXEC) {
        set |= MOUNT_ATTR_NOEXEC;
    }
    if !has(flag::DEVICES) {
        set |= MOUNT_ATTR_NODEV;
    }
    let attributes = MountAttributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    let (empty, size) = (c"".as_ptr(), size_of::<MountAttributes>());
    // SAFETY: `attributes` has the size told; the empty path means the descriptor itself.
    unsafe {
        let how = AT_EMPTY_PATH | recursive;
        part(call!(nr::MOUNT_SETATTR, tree, empty, how, &raw const attributes, size), 3)?;
        part(call!(nr::MOVE_MOUNT, tree, empty, AT_FDCWD, path.at, MOVE_MOUNT_F_EMPTY_PATH), 4)?;
        call!(nr::CLOSE, tree);
    }
    Ok(())
}

/// Names a place beneath the working directory, which is the new root: whoever changes what an overlay shows cannot lead out of it.
fn inside(source: Text) -> Result<usize, Failure> {
    let how: OpenHow = [super::O_PATH as u64 | super::O_CLOEXEC as u64, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS];
    // SAFETY: the text ends with NUL; the structure has the size told.
    part(unsafe { call!(nr::OPENAT2, AT_FDCWD, source.at, how.as_ptr(), size_of::<OpenHow>()) }, 5)
}

/// Whether a descriptor names the object that the supervisor saw.
pub fn compare(tree: usize, device: u64, inode: u64) -> Result<(), Failure> {
    if object(tree)? == (device, inode) { Ok(()) } else { Err(Failure { errno: ESTALE, detail: 2 }) }
}

/// Device and inode of what a descriptor names.
pub fn object(tree: usize) -> Result<(u64, u64), Failure> {
    let mut stat = Stat { device: 0, inode: 0, rest: [0; 16] };
    // SAFETY: `Stat` is as large as the kernel's structure (144 bytes; 128 on AArch64).
    part(unsafe { call!(nr::NEWFSTATAT, tree, c"".as_ptr(), &raw mut stat, AT_EMPTY_PATH) }, 2)?;
    Ok((stat.device, stat.inode))
}

/// Mounts a file system on a path of the new root.
pub fn mount(flags: u32, kind: Text, options: Text, path: Text) -> Result<(), Failure> {
    // SAFETY: texts end with NUL.
    check(unsafe { call!(nr::MOUNT, kind.at, path.at, kind.at, flags, options.at) })?;
    Ok(())
}

/// Makes the new root read-only and the root of everything; nothing of the old one stays reachable.
pub fn enter() -> Result<(), Failure> {
    let (none, here) = (core::ptr::null::<u8>(), c".".as_ptr());
    let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    // SAFETY: constant texts; pivot_root(2) names the form with two dots: the old root lies over the new one until
    // it is detached.
    unsafe {
        part(call!(nr::MOUNT, none, here, none, flags, none), 1)?;
        part(call!(nr::PIVOT_ROOT, here, here), 2)?;
        part(call!(nr::UMOUNT2, here, MNT_DETACH), 3)?;
        part(call!(nr::CHDIR, c"/".as_ptr()), 4)?;
    }
    Ok(())
}
