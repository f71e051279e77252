//! Turns the launcher's report of a failed step into an error that names step, path and errno, and says what to do.

use crate::format::op;
use crate::plan::encode::{Plan, step_name};
use crate::start::{Message, is_program};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use std::io;

/// The detail with which the launcher marks the execve(2) itself.
const EXECUTE: u64 = 6;

/// The error for a step that failed inside; `plans` in the order in which the launcher got them.
pub(crate) fn explain(message: &Message, plans: &[Plan]) -> BridgeError {
    let errno = Errno::from_raw(message.errno);
    let subject = plans.get(message.plan()).and_then(|plan| plan.subject(message.index)).unwrap_or_default();
    if message.code == op::HOLD && matches!(errno, Errno::ESTALE | Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) {
        return exchanged(errno, subject);
    }
    if is_program(message.code) && message.value() == EXECUTE {
        return program(errno, subject);
    }
    let step = step_name(message.code);
    let about = if subject.is_empty() { String::new() } else { format!(" `{subject}`") };
    let text = format!("building the sandbox failed at step {step}{about}: {}; {}", errno.desc(), advice(step, errno));
    BridgeError::new(code(step, errno), text)
        .with("step", step)
        .with("path", subject)
        .with("errno", message.errno)
        .with("part", message.value())
}

/// The error for a launcher that ended and did not say why.
pub(crate) fn silent() -> BridgeError {
    BridgeError::new(
        ErrorCode::SandboxSetupFailed,
        "the launcher ended without a word; a security module or an out-of-memory kill may have ended it, see the kernel's log",
    )
    .with("step", "launcher")
}

/// The error for a launcher that could not be started at all.
pub(crate) fn spawn_failed(error: &io::Error) -> BridgeError {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let (code, advice) = match errno {
        Errno::EPERM | Errno::ENOSPC | Errno::EUSERS | Errno::EACCES => (
            ErrorCode::SandboxBackendUnavailable,
            "this machine refuses new namespaces to this user; `cofferdam doctor` names the layer and the command that mends it",
        ),
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => (
            ErrorCode::SpawnFailed,
            "the host is at its limit of processes, memory or descriptors; try again with fewer at once",
        ),
        _ => (ErrorCode::SpawnFailed, "`cofferdam doctor` examines what the kernel offers"),
    };
    let error =
        BridgeError::new(code, format!("the sandbox's first process could not be started: {}; {advice}", errno.desc()))
            .with("step", "namespaces")
            .with("errno", errno as i32);
    if code == ErrorCode::SpawnFailed && matches!(errno, Errno::EAGAIN | Errno::ENOMEM) {
        error.retryable()
    } else {
        error
    }
}

/// What was checked is not there any more.
fn exchanged(errno: Errno, program: &str) -> BridgeError {
    let message = format!("`{program}` was exchanged or removed after it was checked; nothing was run, so try again");
    BridgeError::new(ErrorCode::ProgramNotFound, message)
        .with("step", "hold")
        .with("path", program)
        .with("errno", errno as i32)
        .retryable()
}

fn program(errno: Errno, program: &str) -> BridgeError {
    let (code, text) = match errno {
        Errno::ENOENT => (
            ErrorCode::ProgramNotFound,
            format!(
                "`{program}` or the interpreter it names is not there inside the sandbox; a `read` rule for it may be missing"
            ),
        ),
        Errno::EACCES => (
            ErrorCode::ProgramNotExecutable,
            format!(
                "`{program}` may not be executed: it lacks the execute bit, or no `commands.allow` prefix covers it or its interpreter"
            ),
        ),
        Errno::ENOEXEC => (
            ErrorCode::ProgramNotExecutable,
            format!("`{program}` is no program and has no `#!` line; name its interpreter"),
        ),
        Errno::E2BIG => (ErrorCode::SpawnFailed, "arguments and environment are too large for execve(2)".to_owned()),
        _ => (ErrorCode::SpawnFailed, format!("`{program}` could not be executed: {}", errno.desc())),
    };
    BridgeError::new(code, text).with("step", "execute").with("path", program).with("errno", errno as i32)
}

fn code(step: &str, errno: Errno) -> ErrorCode {
    match (step, errno) {
        ("id_map" | "new_root" | "loopback" | "mount", Errno::EPERM | Errno::EACCES) => {
            ErrorCode::SandboxBackendUnavailable
        }
        ("overlay", errno) if errno != Errno::ESTALE => ErrorCode::ChangesStoreUnsuitable,
        _ => ErrorCode::SandboxSetupFailed,
    }
}

fn advice(step: &str, errno: Errno) -> &'static str {
    match (step, errno) {
        ("bind", Errno::ESTALE) => "the path was exchanged while the sandbox was built; nothing was run",
        ("overlay", Errno::ESTALE) => "a directory was exchanged while the sandbox was built; nothing was run",
        ("overlay", Errno::ENODEV) => "the kernel has no overlayfs; load it: modprobe overlay",
        ("overlay", _) => {
            "changes can be kept apart where the kernel mounts overlayfs in a user namespace (Linux 5.11), on a file system with user extended attributes, and nothing else is mounted in the workspace"
        }
        ("working_directory", _) => "the working directory is not visible inside; give one that a rule allows",
        ("id_map" | "new_root" | "loopback", Errno::EPERM | Errno::EACCES) => {
            "user namespaces are restricted here (often by AppArmor, or by a sandbox around this one); `cofferdam doctor` names the command that mends it"
        }
        ("mount", Errno::EPERM) => {
            "this place hides parts of /proc, as containers do, so no new /proc may be mounted; `cofferdam doctor` tells more"
        }
        ("guard" | "landlock", Errno::E2BIG) => {
            "Landlock takes at most 16 layers (landlock(7)), and there are as many around this process already: nest fewer sandboxes"
        }
        _ => "`cofferdam doctor` examines what this machine offers",
    }
}
