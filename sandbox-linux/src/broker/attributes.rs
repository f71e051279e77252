//! Extended attributes and owners, on behalf of a guest that no mounts hold: those of what it may change, and of nothing else.

use super::call::{AttributeCall, PathArgument, Target};
use super::caller::Caller;
use super::guest_memory;
use super::guest_path::{own_path, path_of};
use super::names::Meant;
use super::raw_attribute::{attribute, attribute_names, change_owner, remove_attribute, set_attribute};
use super::serve::{Answer, Server};
use nix::errno::Errno;
use std::os::unix::ffi::OsStrExt;

/// Longest value and longest list of names, `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of linux/limits.h.
const LONGEST: usize = 65_536;

impl Server {
    /// getxattr(2), listxattr(2), setxattr(2), removexattr(2) and their kind.
    pub(super) fn attribute(&mut self, thread: i32, target: Target, call: AttributeCall) -> Result<Answer, Errno> {
        let meant = self.target(thread, target)?;
        let object = own_path(&meant.descriptor());
        let answer = |to: u64, size: u64, bytes: Vec<u8>| {
            let value = i64::try_from(bytes.len()).map_err(|_| Errno::E2BIG)?;
            match usize::try_from(size).unwrap_or(usize::MAX) {
                // Only how long it is was asked.
                0 => Ok(Answer::Memory { to, bytes: Vec::new(), value }),
                room if room < bytes.len() => Err(Errno::ERANGE),
                _ => Ok(Answer::Memory { to, bytes, value }),
            }
        };
        match call {
            AttributeCall::Get { name, to, size } => {
                let name = guest_memory::path(thread, name)?;
                answer(to, size, attribute(&object, &name)?)
            }
            AttributeCall::List { to, size } => answer(to, size, attribute_names(&object)?),
            AttributeCall::Set { name, from, size, flags } => {
                let name = guest_memory::path(thread, name)?;
                let size = usize::try_from(size).ok().filter(|size| *size <= LONGEST).ok_or(Errno::E2BIG)?;
                let mut value = vec![0; size];
                if size > 0 {
                    guest_memory::read(thread, from, &mut value)?;
                }
                self.judge_meant(thread, &meant)?;
                set_attribute(&object, &name, &value, flags).map(|()| Answer::Done)
            }
            AttributeCall::Remove { name } => {
                let name = guest_memory::path(thread, name)?;
                self.judge_meant(thread, &meant)?;
                remove_attribute(&object, &name).map(|()| Answer::Done)
            }
        }
    }

    /// chown(2), lchown(2), fchown(2), fchownat(2): without capabilities, to another of one's own groups.
    pub(super) fn change_owner(&mut self, thread: i32, target: Target, user: u32, group: u32) -> Result<(), Errno> {
        let meant = self.target(thread, target)?;
        self.judge_meant(thread, &meant)?;
        change_owner(meant.descriptor(), user, group)
    }

    fn target(&self, thread: i32, target: Target) -> Result<Meant, Errno> {
        match target {
            Target::Descriptor(number) => {
                Ok(Meant::Descriptor(self.descriptor_of(Caller::of(thread)?.process, number)?))
            }
            Target::Path { path, flags } => {
                if flags & libc::AT_EMPTY_PATH != 0 && self.is_empty(thread, path)? {
                    let PathArgument { directory, .. } = path;
                    return Ok(Meant::Descriptor(self.descriptor_of(Caller::of(thread)?.process, directory)?));
                }
                self.meant(thread, path, flags & libc::AT_SYMLINK_NOFOLLOW == 0)
            }
        }
    }

    /// May what is meant be changed? What has no path was made by the guest.
    fn judge_meant(&mut self, thread: i32, meant: &Meant) -> Result<(), Errno> {
        let path = path_of(&meant.descriptor())?;
        if path.as_os_str().as_bytes().starts_with(b"/") { self.judge_object(thread, &path) } else { Ok(()) }
    }
}
