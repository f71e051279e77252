//! Other sandboxes, where they are installed, with what they need to isolate as much as they can.

use crate::workspace::say;
use std::process::{Command, Stdio};

/// A command line that runs what follows it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) line: Vec<String>,
}

/// bubblewrap with every namespace, the system read-only, private temporary storage and no capability.
pub(super) const BUBBLEWRAP: [&str; 14] = [
    "bwrap",
    "--unshare-all",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--die-with-parent",
];

/// nsjail: every namespace is its default.
const NSJAIL: [&str; 14] = [
    "nsjail",
    "-Mo",
    "-Q",
    "--chroot",
    "/",
    "--tmpfsmount",
    "/tmp",
    "--user",
    "0",
    "--group",
    "0",
    "--disable_rlimits",
    "--keep_env",
    "--",
];

/// minijail with namespaces, a read-only system and no capability.
const MINIJAIL: [&str; 14] =
    ["minijail0", "-T", "static", "-I", "-v", "-p", "-e", "-l", "-N", "--uts", "-t", "-n", "-c", "0"];

const ISOLATE: [&str; 4] = ["isolate", "--silent", "--run", "--"];

const FIREJAIL: [&str; 10] = [
    "firejail",
    "--quiet",
    "--noprofile",
    "--net=none",
    "--private-tmp",
    "--caps.drop=all",
    "--nonewprivs",
    "--seccomp",
    "--ipc-namespace",
    "--",
];

/// Those that run `/bin/true` here. What is installed and does not is said.
pub(super) fn found() -> Vec<Peer> {
    let known: [(&str, &[&str]); 5] = [
        ("bubblewrap", &BUBBLEWRAP),
        ("nsjail", &NSJAIL),
        ("minijail", &MINIJAIL),
        ("isolate", &ISOLATE),
        ("firejail", &FIREJAIL),
    ];
    known.into_iter().filter_map(|(name, line)| works(name, line)).collect()
}

fn works(name: &'static str, line: &[&str]) -> Option<Peer> {
    let (program, options) = line.split_first()?;
    let mut command = Command::new(program);
    command.args(options).arg("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {
            Some(Peer { name, line: line.iter().map(|word| (*word).to_owned()).collect() })
        }
        Ok(status) => {
            say(&format!("{name} is installed and does not run `/bin/true` here ({status}): no comparison with it"));
            None
        }
        Err(_) if name == "bubblewrap" => {
            say("bubblewrap is not installed: no comparison with it");
            None
        }
        Err(_) => None,
    }
}
