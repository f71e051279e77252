//! The file rules once more, as a Landlock ruleset (landlock(7)).

use crate::format::op;
use crate::plan::encode::Plan;
use crate::plan::landlock_rights::{
    CONNECT_TCP, EXECUTE, IOCTL_DEV, READ_DIR, READ_FILE, Rights, TRUNCATE, WRITE_FILE,
};
use crate::plan::view::{Access, Node, View};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const READ: u64 = READ_FILE | READ_DIR;
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// Where Landlock stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall<'a> {
    /// Behind mounts, which hold the same rules.
    Second,
    /// Alone, with the broker.
    Only {
        /// Where private temporary storage is on the host.
        temporary: &'a Path,
        /// What of TCP, which no network namespace holds.
        tcp: Tcp,
    },
}

/// Which ports of TCP may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tcp {
    /// All, and all may be listened on.
    Any,
    /// None, and none may be listened on.
    None,
    /// This one, and none may be listened on.
    To(u16),
}

/// Adds the ruleset for `view` to `plan`.
pub(crate) fn build(plan: &mut Plan, view: &View, rights: Rights, wall: Wall<'_>) {
    let tcp = if let Wall::Only { tcp, .. } = wall { tcp } else { Tcp::Any };
    plan.add(op::LANDLOCK_BEGIN, "landlock").text(rights.attributes(tcp != Tcp::Any));
    if let Tcp::To(port) = tcp {
        plan.add(op::LANDLOCK_PORT, "landlock").u64(CONNECT_TCP).u64(u64::from(port));
    }
    let mut allow = |access: u64, path: &Path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        plan.add(op::LANDLOCK_PATH, path.to_string_lossy()).u64(access & rights.handled()).text(bytes);
    };
    for (path, node) in &view.nodes {
        let path = match (node, wall) {
            (Node::Temporary { .. }, Wall::Only { temporary, .. }) => temporary,
            _ => path.as_path(),
        };
        let (mut access, executable, directory) = match node {
            Node::Bind { access: Access::Read, executable, directory, .. } => (READ, *executable, *directory),
            Node::Bind { access: Access::Write, executable, directory, .. } => {
                (rights.write(), *executable, *directory)
            }
            Node::Temporary { executable } => (rights.write(), *executable, true),
            Node::Planted { .. } => (READ, false, false),
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
    if matches!(wall, Wall::Second) {
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

/// What Landlock cannot hold and no broker can: that a program is not executed in a place where others may be. A sentence each.
pub(crate) fn beyond(view: &View) -> Vec<String> {
    let may_execute = |node: &Node| match node {
        Node::Bind { executable, .. } | Node::Temporary { executable } => *executable,
        Node::Mask { .. } | Node::Hollow | Node::Planted { .. } => false,
    };
    let beneath_executable = |path: &Path| {
        let above = path.parent().and_then(|parent| view.covering(parent));
        above.is_some_and(|(_, node)| may_execute(node))
    };
    let taken_away = view.nodes.iter().filter(|(path, node)| !may_execute(node) && beneath_executable(path));
    taken_away
        .filter(|(path, _)| holds_programs(path))
        .map(|(path, _)| {
            format!(
                "`{}` may not be executed while what is around it may: only a mount can hold that; allow programs in narrower places",
                path.display()
            )
        })
        .collect()
}

/// Whether something there could be executed if the policy let it.
fn holds_programs(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() || metadata.mode() & 0o111 != 0)
}
