//! A program whose file was opened, checked, and is executed by its descriptor: nothing that happens to its path meanwhile changes what runs.
//!
//! The kernel itself would look an interpreter up by its path when a script is executed (execve(2), "Interpreter scripts"), so scripts are
//! resolved here: the interpreter is held and judged as the program is, and gets the script as `/dev/fd/N`, as fexecve(3) does it.

mod destination;
mod interpreter_line;

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use interpreter_line::InterpreterLine;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlink};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, access, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Whether programs can be held here.
pub const HOLDS_PROGRAMS: bool = true;

/// Most scripts that may be each other's interpreters, as in the kernel (`exec_binprm`).
pub const MOST_SCRIPTS: usize = 4;

/// A file that was opened to be executed, and judged.
#[derive(Debug)]
pub struct HeldFile {
    file: OwnedFd,
    /// Where it lay when it was opened: absolute and without links.
    pub path: PathBuf,
    /// The device that it lies on.
    pub device: u64,
    /// Its number there. It is no other file's as long as this one is held.
    pub inode: u64,
}

impl AsFd for HeldFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A program to be executed by its descriptor.
#[derive(Debug)]
pub struct HeldProgram {
    /// What is executed: never a script.
    pub binary: HeldFile,
    /// The scripts that it runs, the one that was asked for first.
    scripts: Vec<(HeldFile, InterpreterLine)>,
}

impl HeldProgram {
    /// Opens the program at `path` (absolute), and the interpreters that it names. `judge` is asked about each by where its path leads, before
    /// anything is said about whether it is there.
    ///
    /// # Errors
    /// What `judge` answers; `program_not_found`; `program_not_executable`.
    pub fn open(path: &Path, judge: &dyn Fn(&Path) -> Result<(), BridgeError>) -> Result<Self, BridgeError> {
        let mut file = hold(path, judge)?;
        let mut scripts = Vec::new();
        while let Some(line) = interpreter_line::read(&head(&file, path)?).map_err(|_| no_interpreter(path))? {
            if scripts.len() == MOST_SCRIPTS {
                return Err(no_interpreter(path));
            }
            // A relative one would be looked up from wherever the run starts, which is no place to find interpreters in.
            let interpreter = PathBuf::from(&line.interpreter);
            if !interpreter.is_absolute() {
                return Err(no_interpreter(path));
            }
            let next = hold(&interpreter, judge)?;
            scripts.push((std::mem::replace(&mut file, next), line));
        }
        Ok(Self { binary: file, scripts })
    }

    /// The scripts, in the order of their descriptors.
    pub fn scripts(&self) -> impl Iterator<Item = &HeldFile> {
        self.scripts.iter().map(|(file, _)| file)
    }

    /// What the program gets for arguments, its own name first, when `name` was asked for with `arguments` and the scripts are at the
    /// descriptors from `first` on.
    pub fn arguments(&self, name: String, arguments: Vec<String>, first: i32) -> Vec<String> {
        let mut all = vec![name];
        all.extend(arguments);
        for ((_, line), descriptor) in self.scripts.iter().zip(first..) {
            let before = [Some(line.interpreter.clone()), line.argument.clone(), Some(format!("/dev/fd/{descriptor}"))];
            // Its own name is gone, as with execve(2): a script is known by its path.
            all.splice(..1, before.into_iter().flatten());
        }
        all
    }
}

/// Opens one file without doing anything to it, judges it by where it is, and looks whether it can be executed.
fn hold(path: &Path, judge: &dyn Fn(&Path) -> Result<(), BridgeError>) -> Result<HeldFile, BridgeError> {
    let file = match open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => {
            judge(&destination::of(path))?;
            return Err(not_opened(path, errno));
        }
    };
    let itself = by_descriptor(&file);
    let place = readlink(itself.as_str()).map_err(|errno| not_opened(path, errno))?;
    let place = PathBuf::from(place);
    judge(&place)?;
    let status = fstat(&file).map_err(|errno| not_opened(path, errno))?;
    let is_file = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    if !is_file || access(itself.as_str(), AccessFlags::X_OK).is_err() {
        let message = format!("`{}` is no executable file; `chmod +x` makes it one", path.display());
        return Err(BridgeError::new(ErrorCode::ProgramNotExecutable, message).with("path", path.to_string_lossy()));
    }
    Ok(HeldFile { file, path: place, device: status.st_dev, inode: status.st_ino })
}

/// The beginning of a file; nothing of one that may be executed and not read.
fn head(file: &HeldFile, path: &Path) -> Result<Vec<u8>, BridgeError> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let source = match open(by_descriptor(&file.file).as_str(), flags, Mode::empty()) {
        Ok(source) => source,
        Err(Errno::EACCES) => return Ok(Vec::new()),
        Err(errno) => return Err(not_opened(path, errno)),
    };
    let mut bytes = vec![0; interpreter_line::MOST_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read(&source, rest) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(not_opened(path, errno)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A path that leads to just this object (proc_pid_fd(5)).
fn by_descriptor(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn not_opened(path: &Path, errno: Errno) -> BridgeError {
    let shown = path.display();
    let (code, message) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG => {
            (ErrorCode::ProgramNotFound, format!("there is no program `{shown}`; name one that is there"))
        }
        Errno::EACCES => (
            ErrorCode::ProgramNotExecutable,
            format!("`{shown}` cannot be reached: {}; let this user into its directory", errno.desc()),
        ),
        _ => (ErrorCode::SpawnFailed, format!("`{shown}` cannot be opened: {}", errno.desc())),
    };
    BridgeError::new(code, message).with("path", path.to_string_lossy()).with("errno", errno as i32)
}

fn no_interpreter(path: &Path) -> BridgeError {
    let message = format!(
        "the `#!` line of `{}` names no interpreter by its absolute path, or too many scripts that run each other",
        path.display()
    );
    BridgeError::new(ErrorCode::ProgramNotExecutable, message).with("path", path.to_string_lossy())
}

#[cfg(test)]
mod tests;
