//! Starts plain programs under a keeper, a small process of its own that ends everything a program started.
//!
//! The keeper is the subreaper of all that it starts (prctl(2), `PR_SET_CHILD_SUBREAPER`), so a daemon that left its group and
//! session is still its descendant. It ends all of them when the program ends, when asked to, and when the host is
//! gone, whatever killed it. The host itself is never made a subreaper: its other children are its own affair.
//!
//! Two ways out stay, since nothing is isolated: a program may kill the keeper itself (the program then dies with it, what it
//! started may not), and may ask a service of the machine to start something for it.

use crate::keeper_ahead::Ahead;
use crate::keeper_begin::{NotBegun, begun};
use crate::keeper_failure::not_spawned;
use crate::keeper_format::{MOST_SENT, command, message};
use crate::keeper_line::Line;
pub use crate::keeper_plan::{ProgramPlan, ResourceLimit};
use crate::keeper_spawn::spawn;
use crate::process::{Process, Resources, signal};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{MsgFlags, recv, send};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keeper"));

/// What is left between SIGTERM and SIGKILL when something is stopped.
pub const GRACE: Duration = Duration::from_secs(2);

/// The keeper's program, held as a sealed file in memory.
#[derive(Debug)]
pub struct Keeper {
    file: OwnedFd,
    ahead: Mutex<Option<Ahead>>,
}

/// What a keeper tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// The program was stopped by this signal.
    Stopped(i32),
    /// The program goes on.
    Continued,
    /// The program has ended, and what it started goes on (`ProgramPlan::output_wait`) until it is killed or has ended, too.
    Left,
    /// The program ended with this wait status, and nothing of what it started is left.
    Ended(i32),
    /// The keeper was killed, and tells nothing any more. What the program started may be left.
    Gone,
}

/// A program that runs under a keeper. Dropping it ends everything that the program started, and waits until that is so.
#[derive(Debug)]
pub struct Kept {
    keeper: Option<Process>,
    control: OwnedFd,
    program_id: u32,
    used: OnceLock<Resources>,
}

/// Acts on what runs under a keeper, from any thread. Safe after its end, when it does nothing.
#[derive(Debug)]
pub struct KeptControl {
    keeper: OwnedFd,
    control: OwnedFd,
}

impl Keeper {
    /// Puts the keeper into memory and seals it. Starts nothing.
    ///
    /// # Errors
    /// `sandbox_backend_unavailable` for a build without keeper, `sandbox_setup_failed` where the kernel gives no memory file.
    pub fn new() -> Result<Self, BridgeError> {
        if BYTES.is_empty() {
            return Err(BridgeError::new(
                ErrorCode::SandboxBackendUnavailable,
                "this build has no keeper (COFFERDAM_TYPE_CHECK_ONLY was set); build again without it",
            ));
        }
        let file = in_memory(c"cofferdam-keeper", BYTES).map_err(|error| {
            BridgeError::new(
                ErrorCode::SandboxSetupFailed,
                "the keeper could not be put into memory; a sandboxed host needs memfd_create(2)",
            )
            .with("step", "keeper")
            .with("io_error", error.kind().to_string())
        })?;
        Ok(Self { file, ahead: Mutex::default() })
    }

    /// Prepares the process that keeps the next program, unless one is prepared already. What a program inherits from its host (resource limits,
    /// cgroup, file mode mask, namespaces, Landlock's rules) is then what the host had now, but for its users, groups, capabilities and filters
    /// of system calls: when those have changed, what was prepared is not used. It ends with this, or with the host. Where none can be had, the
    /// next start makes its own, and tells why not.
    pub fn prepare(&self) {
        let mut ahead = self.ahead();
        if ahead.is_none() {
            *ahead = Ahead::start(self.file.as_fd()).ok();
        }
    }

    /// The process id of the keeper that is prepared, for /proc.
    pub fn prepared_id(&self) -> Option<i32> {
        self.ahead().as_ref().and_then(Ahead::pid)
    }

    /// A panicking thread leaves nothing half-done behind this lock, so a poisoned one is as good.
    fn ahead(&self) -> MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program with `streams` as its descriptors 0 to 2, and nothing else of the host's.
    ///
    /// # Errors
    /// `program_not_found`, `program_not_executable`, or `spawn_failed` with step and errno. Nothing runs then.
    pub fn start(&self, plan: &ProgramPlan, streams: [BorrowedFd<'_>; 3]) -> Result<Kept, BridgeError> {
        let Some(bytes) = plan.bytes() else {
            let message = "the program's path, directory, an argument or a variable holds a NUL byte, or is too long";
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message));
        };
        let held: Vec<BorrowedFd<'_>> = plan
            .held
            .iter()
            .flat_map(|held| [held.binary.as_fd()].into_iter().chain(held.scripts().map(AsFd::as_fd)))
            .chain(plan.task_group.as_ref().map(AsFd::as_fd))
            .collect();
        if let Some(told) = self.tell(&bytes, streams, &held) {
            match begun(told) {
                // Somebody killed it while it waited, which costs no run.
                Err(NotBegun::Gone) => {}
                other => return other.map_err(|failed| failed.tell(plan)),
            }
        }
        let new = self.spawn(&bytes, streams, &held).map_err(|error| not_spawned(&error))?;
        begun(new).map_err(|failed| failed.tell(plan))
    }

    /// Tells the keeper that is prepared what to start, where there is one that may.
    fn tell(&self, plan: &[u8], streams: [BorrowedFd<'_>; 3], held: &[BorrowedFd<'_>]) -> Option<(Process, Line)> {
        // A longer plan is not sent, and what is prepared waits for the next.
        let ahead = if plan.len() <= MOST_SENT { self.ahead().take() } else { None };
        ahead?.go(streams, plan, held)
    }

    /// A keeper that is started for this plan.
    fn spawn(&self, plan: &[u8], streams: [BorrowedFd<'_>; 3], held: &[BorrowedFd<'_>]) -> io::Result<(Process, Line)> {
        let plan = in_memory(c"cofferdam-plan", plan)?;
        let (line, its) = Line::new()?;
        let ends = [its.as_fd(), line.mark.as_fd()];
        Ok((spawn(self.file.as_fd(), streams, ends, Some(plan.as_fd()), held)?, line))
    }
}

impl Kept {
    pub(crate) fn new(keeper: Process, control: OwnedFd, program_id: u32) -> Self {
        Self { keeper: Some(keeper), control, program_id, used: OnceLock::new() }
    }

    /// The program's process id, for display only.
    pub fn program_id(&self) -> u32 {
        self.program_id
    }

    /// The keeper's process id, for /proc. Valid until it is reaped.
    pub fn keeper_id(&self) -> i32 {
        self.keeper.as_ref().map_or(0, Process::pid)
    }

    /// A handle that acts on it.
    ///
    /// # Errors
    /// Where the kernel gives no descriptors.
    pub fn control(&self) -> io::Result<KeptControl> {
        let keeper = self.keeper.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(KeptControl { keeper: keeper.as_fd().try_clone_to_owned()?, control: self.control.try_clone()? })
    }

    /// What can be read when the keeper has something to tell.
    pub fn waits_on(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// What the keeper tells, if it tells anything now.
    pub fn told(&self) -> Option<Told> {
        let word = match receive(self.control.as_fd()) {
            Ok(word) => word,
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Err(_) => return Some(Told::Gone),
        };
        let Some(Word { words, used }) = word else { return Some(Told::Gone) };
        match words {
            [message::STOPPED, signal, ..] => Some(Told::Stopped(signal.cast_signed())),
            [message::CONTINUED, ..] => Some(Told::Continued),
            [message::LEFT, ..] => Some(Told::Left),
            [message::ENDED, status, ..] => {
                let _ = self.used.set(used);
                Some(Told::Ended(status.cast_signed()))
            }
            // A start that took too long and failed after all is no run, and the keeper is about to end.
            _ => None,
        }
    }

    /// What all together used, once [`Told::Ended`] was told. The keeper itself may take a moment more, which [`Self::reap`] waits for.
    pub fn used(&self) -> Option<Resources> {
        self.used.get().copied()
    }

    /// Ends what is left, waits for that, and answers what all together used.
    pub fn reap(mut self) -> Resources {
        self.end()
    }

    fn end(&mut self) -> Resources {
        let Some(keeper) = self.keeper.take() else { return Resources::default() };
        command_to(keeper.as_fd(), self.control.as_fd(), command::KILL, 0);
        keeper.reap().unwrap_or_default()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}

impl KeptControl {
    /// Sends `signal` to the program, as long as it has not ended.
    pub fn signal_program(&self, signal: i32) {
        self.command(command::SIGNAL_PROGRAM, signal.cast_unsigned());
    }

    /// Sends `signal` to the program's group, or to its terminal's foreground group.
    pub fn signal_foreground(&self, signal: i32) {
        self.command(command::SIGNAL_FOREGROUND, signal.cast_unsigned());
    }

    /// SIGTERM to all, and SIGKILL to what is left after `grace`. [`Told::Ended`] confirms that nothing is.
    pub fn stop(&self, grace: Duration) {
        self.command(command::STOP, u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
    }

    /// SIGKILL to all. [`Told::Ended`] confirms that nothing is left.
    pub fn kill(&self) {
        self.command(command::KILL, 0);
    }

    fn command(&self, kind: u32, value: u32) {
        command_to(self.keeper.as_fd(), self.control.as_fd(), kind, value);
    }
}

pub(crate) fn command_to(keeper: BorrowedFd<'_>, control: BorrowedFd<'_>, kind: u32, value: u32) {
    let mut bytes = [0; command::LENGTH];
    let (head, tail) = bytes.split_at_mut(4);
    head.copy_from_slice(&kind.to_le_bytes());
    tail.copy_from_slice(&value.to_le_bytes());
    // Its end is told by the socket, and after it there is nobody to signal. A keeper that falls behind by hundreds of
    // commands makes no host wait, except with the one that must not be lost.
    let flags = if kind == command::KILL { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    // A keeper that the program has stopped goes on.
    let _ = signal(keeper, libc::SIGCONT);
    let _ = send(control.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL | flags);
}

/// A file in memory that cannot be changed any more.
fn in_memory(name: &std::ffi::CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// What a keeper sends.
pub(crate) struct Word {
    pub(crate) words: [u32; 4],
    used: Resources,
}

/// One message, if one is there; `Ok(None)` at the end.
pub(crate) fn receive(control: BorrowedFd<'_>) -> nix::Result<Option<Word>> {
    let mut bytes = [0; message::LENGTH];
    let got = match recv(control.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
        // A keeper that ended with a command unread: the kernel says so once, before the words that it had sent (unix(7)).
        Err(Errno::ECONNRESET) => recv(control.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)?,
        other => other?,
    };
    if got < message::LENGTH {
        return Ok(None);
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    let [user_us, system_us, peak_bytes] = [16, 24, 32].map(|at| {
        let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u64::from_le_bytes(*word))
    });
    Ok(Some(Word { words, used: Resources { user_us, system_us, peak_bytes } }))
}
