//! Waits until the program that a keeper was told to start runs, or tells why it does not.

use crate::keeper::{Kept, command_to, receive};
use crate::keeper_format::{command, message, step};
use crate::keeper_line::Line;
use crate::keeper_plan::ProgramPlan;
use crate::process::{Process, signal};
use crate::start_mark::StartMark;
use crate::wakeup::readable;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long a program may take to be executed: files on a network may be slow.
const START: Duration = Duration::from_secs(10);

/// Between two looks at a keeper that should have told something.
const LOOK: Duration = Duration::from_millis(100);

/// How long one whose start has failed is waited for.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Why a keeper that knows its plan runs nothing.
pub(crate) enum NotBegun {
    /// The keeper was killed before its program was about to be executed. The program never is.
    Gone,
    Failed {
        step: u32,
        errno: i32,
    },
}

impl NotBegun {
    pub(crate) fn tell(self, plan: &ProgramPlan) -> BridgeError {
        match self {
            Self::Gone => not_started(plan, step::PREPARE, libc::EPIPE),
            Self::Failed { step, errno } => not_started(plan, step, errno),
        }
    }
}

/// Waits until the program runs.
pub(crate) fn begun((keeper, Line { control, mark }): (Process, Line)) -> Result<Kept, NotBegun> {
    match first_word(keeper.as_fd(), control.as_fd(), &mark) {
        Ok(program_id) => Ok(Kept::new(keeper, control, program_id)),
        Err(failed) => {
            // It has failed and ends, or it hangs: then it hears of this as soon as it can hear, and until then nothing runs.
            command_to(keeper.as_fd(), control.as_fd(), command::KILL, 0);
            if readable(keeper.as_fd(), Some(LAST_LOOK)).unwrap_or(false) {
                let _ = keeper.reap();
            }
            Err(failed)
        }
    }
}

/// The program's process id, or why there is none.
fn first_word(keeper: BorrowedFd<'_>, control: BorrowedFd<'_>, mark: &StartMark) -> Result<u32, NotBegun> {
    let hangs = || NotBegun::Failed { step: step::EXECUTE, errno: libc::ETIMEDOUT };
    let begun = Instant::now();
    while begun.elapsed() < START {
        if !readable(control, Some(LOOK)).unwrap_or(false) {
            // The program may be quick and have stopped the keeper already.
            let _ = signal(keeper, libc::SIGCONT);
            continue;
        }
        match receive(control).map(|word| word.map(|word| word.words)) {
            Ok(Some([message::STARTED, program, ..])) => return Ok(program),
            Ok(Some([message::FAILED, _, errno, step])) => {
                return Err(NotBegun::Failed { step, errno: errno.cast_signed() });
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            _ => {
                // It was killed, and what it had forked is killed with it; only after that the mark says the last there is to say. Perhaps
                // the program itself did that: it ran then, and who waits for word of it is told that the keeper is gone.
                let ended = readable(keeper, Some(START)).unwrap_or(false);
                return mark.program_id().ok_or_else(|| if ended { NotBegun::Gone } else { hangs() });
            }
        }
    }
    mark.program_id().ok_or_else(hangs)
}

fn not_started(plan: &ProgramPlan, failed: u32, errno: i32) -> BridgeError {
    let (program, directory) = (plan.program.display().to_string(), plan.directory.display().to_string());
    let why = io::Error::from_raw_os_error(errno);
    let (code, message) = match (failed, errno) {
        (step::EXECUTE, libc::ENOENT) => {
            (ErrorCode::ProgramNotFound, format!("there is no program `{program}`, or the interpreter that it names"))
        }
        (step::EXECUTE, libc::EACCES | libc::ENOEXEC) => (
            ErrorCode::ProgramNotExecutable,
            format!("`{program}` cannot be executed: {why}; `chmod +x` mends a file that is none, another build one for another machine"),
        ),
        (step::DIRECTORY, _) => {
            (ErrorCode::RequestInvalid, format!("the working directory `{directory}` cannot be used: {why}; name another"))
        }
        (step::CHILDREN, _) => (
            ErrorCode::SandboxSetupFailed,
            "what a program starts cannot be found, so it is not started: /proc must be mounted, by a kernel with CONFIG_PROC_CHILDREN"
                .to_owned(),
        ),
        _ => (ErrorCode::SpawnFailed, format!("`{program}` was not started: {why}; details name the step")),
    };
    BridgeError::new(code, message).with("path", program).with("step", name_of(failed)).with("errno", errno)
}

fn name_of(failed: u32) -> &'static str {
    match failed {
        step::PREPARE => "prepare",
        step::PLAN => "plan",
        step::CHILDREN => "children",
        step::SESSION => "session",
        step::PROCESS => "process",
        step::DIRECTORY => "directory",
        step::LIMIT => "limit",
        step::GROUP => "group",
        _ => "execute",
    }
}
