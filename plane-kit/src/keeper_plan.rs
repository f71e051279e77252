//! What a keeper is told to start, and how that is written down for it.

use crate::held_program::HeldProgram;
use crate::keeper_format::{SCRIPT_FD, flag};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A resource limit of each process by itself, as setrlimit(2) holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceLimit {
    /// Processor time, in seconds; SIGXCPU at the limit.
    CpuSeconds(u64),
    /// Private writable memory, in bytes.
    DataBytes(u64),
    /// Length of a file that is written, in bytes; SIGXFSZ past it.
    FileBytes(u64),
    /// Open descriptors.
    OpenFiles(u64),
    /// Processes and threads of the user, counted together; root is not bound.
    UserTasks(u64),
}

impl ResourceLimit {
    /// The kernel's number (asm-generic/resource.h; libcs differ in its type) and the value.
    fn words(self) -> (u32, u64) {
        match self {
            Self::CpuSeconds(value) => (0, value),
            Self::FileBytes(value) => (1, value),
            Self::DataBytes(value) => (2, value),
            Self::UserTasks(value) => (6, value),
            Self::OpenFiles(value) => (7, value),
        }
    }
}

/// A program to start. Paths and texts hold no NUL byte.
pub struct ProgramPlan {
    /// What is executed: an absolute path.
    pub program: PathBuf,
    /// The same as it was opened and checked; then no path is looked up any more.
    pub held: Option<HeldProgram>,
    /// Its arguments, its own name first.
    pub arguments: Vec<String>,
    /// Its environment: `NAME=VALUE`.
    pub variables: Vec<String>,
    /// Where it starts: an absolute path.
    pub directory: PathBuf,
    /// Whether its streams are a terminal.
    pub terminal: bool,
    /// What each of its processes may use.
    pub limits: Vec<ResourceLimit>,
    /// Whether what it started may go on after its end, which is told then ([`Told::Left`](crate::keeper::Told::Left)).
    pub output_wait: bool,
    /// The entrance of a cgroup that it is to run in ([`TaskGroup::entrance`](crate::task_groups::TaskGroup::entrance)).
    pub task_group: Option<OwnedFd>,
}

/// Arguments and values stay out of logs.
impl std::fmt::Debug for ProgramPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgramPlan")
            .field("program", &self.program)
            .field("argument_count", &self.arguments.len())
            .field("directory", &self.directory)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ProgramPlan {
    /// The arguments with which `held` is executed for a request of `name` with `arguments`.
    pub fn held_arguments(held: &HeldProgram, name: String, arguments: Vec<String>) -> Vec<String> {
        held.arguments(name, arguments, SCRIPT_FD)
    }

    /// The plan as `keeper/src/format.rs` tells; `None` when a text holds a NUL byte or is too long.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut flags = if self.terminal { flag::TERMINAL } else { 0 };
        if self.output_wait {
            flags |= flag::OUTPUT_WAIT;
        }
        if self.task_group.is_some() {
            flags |= flag::GROUP;
        }
        if let Some(held) = &self.held {
            let scripts = u32::try_from(held.scripts().count()).ok()?;
            flags |= flag::HELD | scripts << flag::SCRIPTS_SHIFT;
        }
        bytes.extend(flags.to_le_bytes());
        bytes.extend(std::process::id().to_le_bytes());
        bytes.extend(u32::try_from(self.limits.len()).ok()?.to_le_bytes());
        for (resource, value) in self.limits.iter().map(|limit| limit.words()) {
            bytes.extend(resource.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        text(&mut bytes, self.directory.as_os_str())?;
        text(&mut bytes, self.program.as_os_str())?;
        for texts in [&self.arguments, &self.variables] {
            bytes.extend(u32::try_from(texts.len()).ok()?.to_le_bytes());
            for entry in texts {
                text(&mut bytes, OsStr::new(entry))?;
            }
        }
        Some(bytes)
    }
}

fn text(bytes: &mut Vec<u8>, text: &OsStr) -> Option<()> {
    let text = text.as_bytes();
    if text.contains(&0) {
        return None;
    }
    bytes.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
    bytes.extend(text);
    bytes.push(0);
    Some(())
}
