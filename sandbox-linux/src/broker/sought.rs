//! From a call's number and arguments to the names it looks for.

use super::attempts::Want;
use super::call::{AttributeCall, Call, PathArgument, Target, argument, here, int, unsigned};
use super::notify::Notification;
use nix::fcntl::OFlag;

/// What a call looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// Names of files.
    Names([Option<(Want, PathArgument)>; 2]),
    /// An address of a socket. `binds`: it becomes the caller's own.
    Address { address: u64, length: u32, binds: bool },
    /// The address in a `struct msghdr`.
    Message { header: u64 },
    /// Nothing that could be told.
    Nothing,
}

impl Looks {
    /// What the call of `notification` looks for.
    pub(super) fn of(notification: &Notification) -> Self {
        match Call::of(notification) {
            Some(call) => brokered(call),
            None => others(notification.number, &notification.arguments),
        }
    }
}

fn one(want: Want, path: PathArgument) -> Looks {
    Looks::Names([Some((want, path)), None])
}

fn brokered(call: Call) -> Looks {
    match call {
        Call::Open { path, flags, .. } => one(wish(flags), path),
        Call::MakeDirectory { path, .. } | Call::MakeNode { path, .. } | Call::SymbolicLink { path, .. } => {
            one(Want::Make, path)
        }
        Call::Rename { from, to, .. } => Looks::Names([Some((Want::Remove, from)), Some((Want::Make, to))]),
        Call::Link { from, to, .. } => Looks::Names([Some((Want::LookAtLink, from)), Some((Want::Make, to))]),
        Call::Remove { path, .. } => one(Want::Remove, path),
        Call::Truncate { path, .. } | Call::ChangeMode { path, .. } | Call::ChangeTimes { path, .. } => {
            one(Want::Change, path)
        }
        Call::Bind { address, length, .. } => Looks::Address { address, length, binds: true },
        Call::Connect { address, length, .. } => Looks::Address { address, length, binds: false },
        Call::Look { path, flags, .. } | Call::LookClosely { path, flags, .. } | Call::Access { path, flags, .. } => {
            one(look(flags), path)
        }
        Call::ReadLink { path, .. } => one(Want::LookAtLink, path),
        Call::FileSystem { path, .. } | Call::Watch { path, .. } => one(Want::Look, path),
        Call::Attribute { target: Target::Path { path, flags }, call } => match call {
            AttributeCall::Get { .. } | AttributeCall::List { .. } => one(look(flags), path),
            AttributeCall::Set { .. } | AttributeCall::Remove { .. } => one(Want::Change, path),
        },
        Call::ChangeOwner { target: Target::Path { path, .. }, .. } => one(Want::Change, path),
        // What a descriptor names was found before.
        Call::Listen { .. } | Call::ChangeDescriptorMode { .. } | Call::Attribute { .. } | Call::ChangeOwner { .. } => {
            Looks::Nothing
        }
    }
}

/// What looking wants, by its flags.
fn look(flags: i32) -> Want {
    if flags & libc::AT_SYMLINK_NOFOLLOW == 0 { Want::Look } else { Want::LookAtLink }
}

/// What an open wants, by its flags.
fn wish(flags: i32) -> Want {
    let flags = OFlag::from_bits_retain(flags);
    let writes = flags & OFlag::O_ACCMODE != OFlag::O_RDONLY || flags.contains(OFlag::O_TRUNC);
    if flags.contains(OFlag::O_PATH) {
        if flags.contains(OFlag::O_NOFOLLOW) { Want::LookAtLink } else { Want::Look }
    } else if flags.contains(OFlag::O_CREAT) {
        Want::Create
    } else if writes {
        Want::Change
    } else {
        Want::Read
    }
}

/// Calls that the broker never answers itself.
fn others(number: i64, arguments: &[u64; 6]) -> Looks {
    match number {
        libc::SYS_chdir => one(Want::Look, here(arguments, 0)),
        libc::SYS_execve => one(Want::Execute, here(arguments, 0)),
        libc::SYS_execveat => {
            one(Want::Execute, PathArgument { directory: int(arguments, 0), address: argument(arguments, 1) })
        }
        libc::SYS_sendto => {
            Looks::Address { address: argument(arguments, 4), length: unsigned(arguments, 5), binds: false }
        }
        // Of several messages the first is looked at: `struct mmsghdr` begins with its header.
        libc::SYS_sendmsg | libc::SYS_sendmmsg => Looks::Message { header: argument(arguments, 1) },
        other => older(other, arguments),
    }
}

/// The forms without a directory argument, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
fn older(number: i64, arguments: &[u64; 6]) -> Looks {
    match number {
        libc::SYS_utime | libc::SYS_utimes => one(Want::Change, here(arguments, 0)),
        libc::SYS_futimesat => {
            one(Want::Change, PathArgument { directory: int(arguments, 0), address: argument(arguments, 1) })
        }
        _ => Looks::Nothing,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn older(_: i64, _: &[u64; 6]) -> Looks {
    Looks::Nothing
}
