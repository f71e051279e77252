//! Starts plain programs under a keeper, a small process of its own that ends everything a program started.
//!
//! macOS has no subreaper, so the keeper follows who descends from its program (`descendants.rs`), and ends all of them when the program
//! ends, when asked to, and when the host is gone, whatever killed it. Its program is the host's own, which must offer that
//! ([`keeper_program::serve_if_asked`](crate::keeper_program::serve_if_asked)).
//!
//! Ways out stay where nothing is isolated: a program may kill the keeper itself, may ask a service of the machine to start something for it, and
//! may have a process made by one that came and went between two looks, outside of every group of its run.

use crate::keeper_failure::not_spawned;
use crate::keeper_format::{command, message, step};
pub use crate::keeper_plan::{ProgramPlan, ResourceLimit};
use crate::keeper_program::{ASKED, is_offered};
use crate::process::{Process, Resources};
use crate::wakeup::readable;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a program may take to be executed: files on a network may be slow.
const START: Duration = Duration::from_secs(10);

/// What is left between SIGTERM and SIGKILL when something is stopped.
pub const GRACE: Duration = Duration::from_secs(2);

/// The keeper's program: this one.
#[derive(Debug)]
pub struct Keeper {
    program: CString,
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
    control: UnixStream,
    /// A message as far as it has arrived.
    arrived: Mutex<Vec<u8>>,
    program_id: u32,
}

/// Acts on what runs under a keeper, from any thread. Safe after its end, when it does nothing.
#[derive(Debug)]
pub struct KeptControl {
    control: UnixStream,
}

impl Keeper {
    /// Finds the keeper's program. Starts nothing.
    ///
    /// # Errors
    /// `sandbox_backend_unavailable` where this program has not offered itself, or is nowhere to be found.
    pub fn new() -> Result<Self, BridgeError> {
        let unavailable = |message: &str| BridgeError::new(ErrorCode::SandboxBackendUnavailable, message);
        if !is_offered() {
            return Err(unavailable(
                "this program has not offered itself as keeper; call cofferdam_plane_kit::keeper_program::serve_if_asked() first in its main",
            ));
        }
        let program = std::env::current_exe().ok().and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
        let program = program.ok_or_else(|| unavailable("this program cannot be found; start it by its path"))?;
        Ok(Self { program })
    }

    /// Nothing is made ahead here: a keeper is the host's own program.
    pub fn prepare(&self) {}

    /// None is prepared.
    pub fn prepared_id(&self) -> Option<i32> {
        None
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
        let (ours, its) = UnixStream::pair().map_err(|error| not_spawned(&error))?;
        let keeper = self.spawn(streams, its.as_fd()).map_err(|error| not_spawned(&error))?;
        drop(its);
        let mut kept = Kept { keeper: Some(keeper), control: ours, arrived: Mutex::default(), program_id: 0 };
        // Dropping it ends a keeper that could not be told, or that tells of a failure.
        kept.hand_over(&bytes).map_err(|error| not_spawned(&error))?;
        kept.program_id = kept.first_word().map_err(|(step, errno)| not_started(plan, step, errno))?;
        kept.control.set_nonblocking(true).map_err(|error| not_spawned(&error))?;
        Ok(kept)
    }

    fn spawn(&self, streams: [BorrowedFd<'_>; 3], control: BorrowedFd<'_>) -> io::Result<Process> {
        let handed = [streams[0], streams[1], streams[2], control];
        // Out of the way first, so that none lies where another goes.
        let aside: Vec<_> = handed.iter().map(|one| one.try_clone_to_owned()).collect::<io::Result<_>>()?;
        let mut actions = PosixSpawnFileActions::init()?;
        for (place, descriptor) in (0..).zip(&aside) {
            actions.add_dup2(descriptor.as_raw_fd(), place)?;
        }
        let mut how = PosixSpawnAttr::init()?;
        // Nothing but what is named crosses (posix_spawnattr_setflags(3) of macOS).
        let closed = i16::try_from(libc::POSIX_SPAWN_CLOEXEC_DEFAULT).map_err(|_| io::ErrorKind::InvalidInput)?;
        how.set_flags(PosixSpawnFlags::from_bits_retain(closed.into()))?;
        let name = CString::new(ASKED)?;
        let pid = posix_spawn(self.program.as_c_str(), &actions, &how, &[name], &[] as &[CString])?;
        Ok(Process::new(pid.as_raw()))
    }
}

impl Kept {
    /// The program's process id, for display only.
    pub fn program_id(&self) -> u32 {
        self.program_id
    }

    /// The keeper's process id. Valid until it is reaped.
    pub fn keeper_id(&self) -> i32 {
        self.keeper.as_ref().map_or(0, Process::pid)
    }

    /// A handle that acts on it.
    ///
    /// # Errors
    /// Where the kernel gives no descriptors.
    pub fn control(&self) -> io::Result<KeptControl> {
        Ok(KeptControl { control: self.control.try_clone()? })
    }

    /// What can be read when the keeper has something to tell.
    pub fn waits_on(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// What the keeper tells, if it tells anything now.
    pub fn told(&self) -> Option<Told> {
        match self.words() {
            Ok(Some([message::STOPPED, signal, ..])) => Some(Told::Stopped(signal.cast_signed())),
            Ok(Some([message::CONTINUED, ..])) => Some(Told::Continued),
            Ok(Some([message::LEFT, ..])) => Some(Told::Left),
            Ok(Some([message::ENDED, status, ..])) => Some(Told::Ended(status.cast_signed())),
            Ok(Some(_)) => None,
            Ok(None) => Some(Told::Gone),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            Err(_) => Some(Told::Gone),
        }
    }

    /// What all together used is known when the keeper has been reaped.
    pub fn used(&self) -> Option<Resources> {
        None
    }

    /// Ends what is left, waits for that, and answers what all together used.
    pub fn reap(mut self) -> Resources {
        self.end()
    }

    fn end(&mut self) -> Resources {
        let Some(keeper) = self.keeper.take() else { return Resources::default() };
        command_to(&self.control, command::KILL, 0);
        keeper.reap().unwrap_or_default()
    }

    fn hand_over(&mut self, plan: &[u8]) -> io::Result<()> {
        let length = u32::try_from(plan.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.control.write_all(&length.to_le_bytes())?;
        self.control.write_all(plan)
    }

    /// One message, once it is there whole; `Ok(None)` at the end.
    fn words(&self) -> io::Result<Option<[u32; 4]>> {
        let mut arrived = self.arrived.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bytes = [0; message::LENGTH];
        while let Some(room) = bytes.get_mut(arrived.len()..).filter(|room| !room.is_empty()) {
            match (&self.control).read(room)? {
                0 => return Ok(None),
                count => arrived.extend(room.iter().take(count).copied().collect::<Vec<_>>()),
            }
        }
        let whole = std::mem::take(&mut *arrived);
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(whole.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(Some(words))
    }

    /// The program's process id, or where its start failed and with which error.
    fn first_word(&self) -> Result<u32, (u32, i32)> {
        let begun = Instant::now();
        while let Some(left) = START.checked_sub(begun.elapsed()) {
            if !readable(self.control.as_fd(), Some(left)).unwrap_or(false) {
                continue;
            }
            match self.words() {
                Ok(Some([message::STARTED, program, ..])) => return Ok(program),
                Ok(Some([message::FAILED, _, errno, step])) => return Err((step, errno.cast_signed())),
                _ => return Err((step::PREPARE, libc::EPIPE)),
            }
        }
        Err((step::EXECUTE, libc::ETIMEDOUT))
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
        command_to(&self.control, command::SIGNAL_PROGRAM, signal.cast_unsigned());
    }

    /// Sends `signal` to the program's group, or to its terminal's foreground group.
    pub fn signal_foreground(&self, signal: i32) {
        command_to(&self.control, command::SIGNAL_FOREGROUND, signal.cast_unsigned());
    }

    /// SIGTERM to all, and SIGKILL to what is left after `grace`. [`Told::Ended`] confirms that nothing is.
    pub fn stop(&self, grace: Duration) {
        command_to(&self.control, command::STOP, u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
    }

    /// SIGKILL to all. [`Told::Ended`] confirms that nothing is left.
    pub fn kill(&self) {
        command_to(&self.control, command::KILL, 0);
    }
}

/// A host of Rust ignores SIGPIPE, so a keeper that has ended is an error here, which is none.
fn command_to(mut control: &UnixStream, kind: u32, value: u32) {
    let words = [kind, value].map(u32::to_le_bytes).concat();
    if kind == command::KILL {
        // What must not be lost: at its end of the socket a keeper ends everything, too.
        let sent = control.write_all(&words);
        if sent.is_err() {
            let _ = control.shutdown(std::net::Shutdown::Write);
        }
        return;
    }
    let _ = control.write_all(&words);
}

fn not_started(plan: &ProgramPlan, failed: u32, errno: i32) -> BridgeError {
    let (program, directory) = (plan.program.display().to_string(), plan.directory.display().to_string());
    let why = io::Error::from_raw_os_error(errno);
    let (code, message) = match (failed, errno) {
        (step::EXECUTE, libc::ENOENT) => {
            (ErrorCode::ProgramNotFound, format!("there is no program `{program}`, or the interpreter that it names"))
        }
        (step::EXECUTE, libc::EACCES | libc::ENOEXEC) => {
            (ErrorCode::ProgramNotExecutable, format!("`{program}` cannot be executed: {why}; `chmod +x` may mend it"))
        }
        (step::DIRECTORY, _) => (
            ErrorCode::RequestInvalid,
            format!("the working directory `{directory}` cannot be used: {why}; name another"),
        ),
        _ => (ErrorCode::SpawnFailed, format!("`{program}` was not started: {why}; details name the step")),
    };
    BridgeError::new(code, message).with("path", program).with("step", i64::from(failed)).with("errno", errno)
}
