//! What passes between a host and its keeper. Compiled into both.
//!
//! **Plan**, in a memory file, or in the message that a keeper waits for, little-endian: flags and host process id (u32 each); a count (u32) of resource limits, each a number
//! (u32) and a value (u64); the working directory; the program's path; a count of arguments and the arguments, the program's name
//! among them; a count of variables and the variables. A text is its length (u32), its bytes, and a NUL.

/// The keeper's end of the control socket.
pub const CONTROL_FD: i32 = 3;
/// Where the program's process writes its id when the program is about to be executed: eight bytes, an eventfd(2)'s. Told by that process, since
/// a program may stop or kill the keeper before that has a word.
pub const MARK_FD: i32 = 4;
/// The plan, unless it is in the message that a keeper waits for.
pub const PLAN_FD: i32 = 5;

/// Most bytes of a plan that is in a message.
pub const MOST_SENT: usize = 64 * 1024;

/// What is executed, where it is held by a descriptor.
pub const PROGRAM_FD: i32 = 6;
/// The first of the scripts that it runs; the others follow.
pub const SCRIPT_FD: i32 = 7;
/// Most scripts.
pub const MOST_SCRIPTS: usize = 4;

/// Most descriptors that a keeper starts with beside its socket and the mark, the plan and the streams among them: the program, its scripts, the entrance of a group.
pub const MOST_DESCRIPTORS: usize = 3 + 1 + 1 + MOST_SCRIPTS + 1;

/// Flags of a plan.
pub mod flag {
    /// Descriptors 0 to 2 are a terminal, which becomes the session's own.
    pub const TERMINAL: u32 = 1;
    /// The program is held as descriptor, and its path is not used.
    pub const HELD: u32 = 2;
    /// What the program started may go on when the program has ended, until it is killed by command or has ended, too.
    pub const OUTPUT_WAIT: u32 = 4;
    /// The last descriptor is the entrance of a cgroup, which the keeper joins before it starts the program, by writing `0` there.
    pub const GROUP: u32 = 8;
    /// How many scripts are held, in the bits from here on.
    pub const SCRIPTS_SHIFT: u32 = 8;
}

/// From keeper to host: four u32 (kind, value, error number, step), and three u64 that are zero in all but the last message (microseconds
/// in user mode and in the kernel, peak resident bytes of the largest process; the keeper and all that it reaped).
pub mod message {
    /// Bytes of a message.
    pub const LENGTH: usize = 40;
    /// The program did not start; error number and step tell why. Nothing is left.
    pub const FAILED: u32 = 1;
    /// The program runs; the value is its process id.
    pub const STARTED: u32 = 2;
    /// The program was stopped by the signal in the value.
    pub const STOPPED: u32 = 3;
    /// The program goes on.
    pub const CONTINUED: u32 = 4;
    /// Nothing is left but the keeper, which ends; the value is the program's wait status, and what all used stands behind.
    pub const ENDED: u32 = 5;
    /// The program has ended, and what it started goes on (`flag::OUTPUT_WAIT`); `ENDED` follows.
    pub const LEFT: u32 = 6;
}

/// From host to keeper: two u32 (kind, value).
pub mod command {
    /// Bytes of a command.
    pub const LENGTH: usize = 8;
    /// The signal in the value goes to the program.
    pub const SIGNAL_PROGRAM: u32 = 1;
    /// The signal in the value goes to the foreground group.
    pub const SIGNAL_FOREGROUND: u32 = 2;
    /// SIGTERM to all, and SIGKILL when as many milliseconds as the value have passed.
    pub const STOP: u32 = 3;
    /// SIGKILL to all.
    pub const KILL: u32 = 4;
}

/// Where a start failed.
pub mod step {
    /// The keeper's own preparation.
    pub const PREPARE: u32 = 1;
    /// Reading the plan.
    pub const PLAN: u32 = 2;
    /// Opening the list of children in /proc.
    pub const CHILDREN: u32 = 3;
    /// The session and its terminal.
    pub const SESSION: u32 = 4;
    /// Making the process.
    pub const PROCESS: u32 = 5;
    /// Going to the working directory.
    pub const DIRECTORY: u32 = 6;
    /// Setting a resource limit.
    pub const LIMIT: u32 = 7;
    /// Executing the program.
    pub const EXECUTE: u32 = 8;
    /// Joining the group that holds a limit.
    pub const GROUP: u32 = 9;
}
