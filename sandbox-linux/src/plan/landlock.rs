//! The file rules once more, as a Landlock ruleset (landlock(7)).

use crate::format::op;
use crate::plan::encode::Plan;
use crate::plan::view::{Access, Node, View};
use std::path::Path;

// Rights of `landlock_ruleset_attr.handled_access_fs`, with the ABI version that brought them.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13; // ABI 2
const TRUNCATE: u64 = 1 << 14; // ABI 3
const IOCTL_DEV: u64 = 1 << 15; // ABI 5

const READ: u64 = READ_FILE | READ_DIR;
const WRITE: u64 = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO;
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

const NET_BIND_TCP: u64 = 1 << 0; // ABI 4
const NET_CONNECT_TCP: u64 = 1 << 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0; // ABI 6
const SCOPE_SIGNAL: u64 = 1 << 1;

/// What this kernel's Landlock can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    abi: u32,
}

impl Rights {
    /// The rights of Landlock version `abi`, which is at least 1.
    pub(crate) fn of(abi: u32) -> Self {
        Self { abi }
    }

    /// The version itself.
    pub(crate) fn abi(self) -> u32 {
        self.abi
    }

    fn handled(self) -> u64 {
        let mut rights = EXECUTE | WRITE | MAKE_CHAR | MAKE_BLOCK | MAKE_SYM;
        if self.abi >= 2 {
            rights |= REFER;
        }
        if self.abi >= 3 {
            rights |= TRUNCATE;
        }
        if self.abi >= 5 {
            rights |= IOCTL_DEV;
        }
        rights
    }

    /// `struct landlock_ruleset_attr`, as long as this version knows it.
    fn attributes(self, deny_tcp: bool) -> Vec<u8> {
        let mut bytes = self.handled().to_le_bytes().to_vec();
        if self.abi >= 4 {
            let net = if deny_tcp { NET_BIND_TCP | NET_CONNECT_TCP } else { 0 };
            bytes.extend_from_slice(&net.to_le_bytes());
        }
        if self.abi >= 6 {
            bytes.extend_from_slice(&(SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL).to_le_bytes());
        }
        bytes
    }

    fn write(self) -> u64 {
        (WRITE | MAKE_SYM | REFER | TRUNCATE) & self.handled()
    }
}

/// Adds the ruleset for `view` to `plan`. `deny_tcp`: where no network namespace does it.
pub(crate) fn build(plan: &mut Plan, view: &View, rights: Rights, deny_tcp: bool, namespaces: bool) {
    plan.add(op::LANDLOCK_BEGIN, "landlock").text(rights.attributes(deny_tcp));
    let mut allow = |access: u64, path: &Path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        plan.add(op::LANDLOCK_PATH, path.to_string_lossy()).u64(access & rights.handled()).text(bytes);
    };
    for (path, node) in &view.nodes {
        let (mut access, executable, directory) = match node {
            Node::Bind { access: Access::Read, executable, directory, .. } => (READ, *executable, *directory),
            Node::Bind { access: Access::Write, executable, directory, .. } => {
                (rights.write(), *executable, *directory)
            }
            Node::Temporary { executable } => (rights.write(), *executable, true),
            Node::Bind { access: Access::None, .. } | Node::Mask { .. } | Node::Hollow => continue,
        };
        if executable {
            access |= EXECUTE;
        }
        if path.starts_with("/dev") {
            access |= IOCTL_DEV;
        }
        allow(if directory { access } else { access & FILE_RIGHTS }, path);
    }
    if namespaces {
        // The skeleton holds nothing but directories and links to what is mounted.
        allow(READ_DIR, Path::new("/"));
        allow(READ, Path::new("/proc"));
        allow(READ | WRITE_FILE | TRUNCATE | IOCTL_DEV, Path::new("/dev"));
    } else {
        for device in ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"] {
            allow(READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV, Path::new(device));
        }
    }
    plan.add(op::LANDLOCK_ENFORCE, "landlock");
}
