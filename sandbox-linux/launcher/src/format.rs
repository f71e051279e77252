//! The plan's format: what the supervisor writes and the launcher executes.
//!
//! Both sides include this one file, so that a number means the same to both. A plan is a header, then
//! operations in the order in which they are to happen. All integers are little-endian; a text is its length
//! (`u32`, without the final NUL), its bytes and a NUL, so that the launcher can hand it to the kernel where it lies.
//!
//! ```text
//! header     magic u32 · length of the operations u32 · number of operations u32 · reserved u32
//! operation  code u32 · length of the body u32 · body
//! ```

/// First word of a plan; changes with the format.
pub const MAGIC: u32 = 0x3144_4643;

/// Bytes in the header.
pub const HEADER_LENGTH: usize = 16;

/// Largest plan that is read, in bytes.
pub const MAX_PLAN: usize = 64 << 20;

/// The descriptor on which the launcher finds its end of the control socket.
pub const CONTROL_FD: i32 = 3;

/// The standard streams arrive with the header of the plan that runs the program, in this order: input, output, error.
pub const STREAM_COUNT: usize = 3;

/// What to do. Each constant's comment lists its body.
pub mod op {
    /// path text, contents text: writes a file that exists.
    pub const WRITE_FILE: u32 = 1;
    /// Brings the loopback interface up.
    pub const LOOPBACK_UP: u32 = 2;
    /// name text: sets the host name.
    pub const HOST_NAME: u32 = 3;
    /// path text: makes every mount private, mounts an empty tmpfs on path and works in it from here on.
    pub const NEW_ROOT: u32 = 4;
    /// path text, mode u32: makes a directory.
    pub const DIRECTORY: u32 = 5;
    /// path text: makes an empty file, as a place to mount on.
    pub const FILE: u32 = 6;
    /// target text, path text.
    pub const SYMLINK: u32 = 7;
    /// flags u32, device u64, inode u64, source text, path text: see `bind`.
    pub const BIND: u32 = 8;
    /// flags u32, type text, options text, path text: mounts a file system; flags are those of mount(2).
    pub const MOUNT: u32 = 9;
    /// path text: removes an empty directory or a file of the new root that has done its work.
    pub const REMOVE: u32 = 10;
    /// flags u32: makes the new root read-only and the root of everything.
    pub const ENTER_ROOT: u32 = 11;
    /// path text.
    pub const CHANGE_DIRECTORY: u32 = 12;
    /// resource u32, limit u64: soft and hard.
    pub const RLIMIT: u32 = 13;
    /// attributes text (the bytes of `landlock_ruleset_attr`).
    pub const LANDLOCK_BEGIN: u32 = 14;
    /// access u64, path text; a path that is not there is passed over.
    pub const LANDLOCK_PATH: u32 = 15;
    /// access u64, port u64: of TCP.
    pub const LANDLOCK_PORT: u32 = 40;
    /// Enforces the ruleset.
    pub const LANDLOCK_ENFORCE: u32 = 16;
    /// Empties all capability sets, locks them so, sets no_new_privs.
    pub const DROP_PRIVILEGES: u32 = 17;
    /// flags u32, instructions text: see `seccomp`.
    pub const SECCOMP: u32 = 18;
    /// rows u16, columns u16: opens a terminal in the new root's devpts and sends its master end.
    pub const TERMINAL: u32 = 19;
    /// flags u32, program text, argument count u32, arguments, variable count u32, variables: see `run`.
    pub const RUN: u32 = 20;
    /// path text: for tiers without a pid namespace: makes the directory (none for an empty text), then leaves a guard behind, which
    /// ends every process of the run and removes the directory when the launcher has ended; see `guard`.
    pub const GUARD: u32 = 21;
    /// flags u32: reads back what must hold by now and refuses to go on if it does not; see `proof`.
    pub const PROVE: u32 = 22;
    /// mask u32: sets the file mode mask.
    pub const UMASK: u32 = 23;
    /// count u32, path texts: waits for the end of the control socket, then removes these directories as soon as they
    /// are empty. For cgroups, which the death of a supervisor would leave behind.
    pub const REMOVE_AFTERWARDS: u32 = 24;
    /// Reads another plan and executes it: what is the same for every run is done before the rest is known.
    pub const NEXT_PLAN: u32 = 25;
    /// Receives one byte with descriptors of cgroup files, and joins each cgroup by writing to it; none may come, too.
    pub const JOIN_CGROUPS: u32 = 26;
    /// flags u32: opens the kernel's accounts of what the run uses, see `account`.
    pub const ACCOUNT: u32 = 27;
    /// Tells that everything before it is done.
    pub const READY: u32 = 28;
    /// secret u64 twice, instructions text: a second filter, which the program alone gets, just before it is executed. It knows the
    /// call that executes the program by the secret, which stands in arguments that execve(2) does not use.
    pub const PROGRAM_FILTER: u32 = 30;
    /// flags u32, device u64, inode u64, path text: opens a file that is to be executed, or a script that it runs, and holds it: the
    /// program first, then the scripts; see `hold`.
    pub const HOLD: u32 = 34;
    /// flags u32 (those of mount(2)), then for lower, upper and working directory each device u64, inode u64, source text; at last path
    /// text: mounts an overlay of them on a path of the new root.
    pub const OVERLAY: u32 = 31;
    /// count u32, port u16 for each, count u32, port u16 for each: opens a socket for each version of IP with TCP and with UDP that sees
    /// the guest's packets, makes every address local to this network namespace, listens on port 53 for datagrams, on the first ports for
    /// connections and on the others for datagrams. Sends the sockets, those that refuse datagrams last; see `socket`.
    pub const NETWORK: u32 = 32;
    /// path text, contents text: makes a file that everybody may read.
    pub const CONTENTS: u32 = 33;
}

/// Flags of `op::ACCOUNT`.
pub mod account {
    /// Process numbers are those of a pid namespace of the run's own.
    pub const OWN_NUMBERS: u32 = 1;
}

/// Flags of `op::BIND`.
pub mod bind {
    /// Read-only.
    pub const READ_ONLY: u32 = 1;
    /// Nothing in it can be executed.
    pub const NO_EXEC: u32 = 2;
    /// Keeps device nodes usable.
    pub const DEVICES: u32 = 4;
    /// With everything mounted beneath.
    pub const RECURSIVE: u32 = 8;
    /// Do not compare device and inode.
    pub const ANY_OBJECT: u32 = 16;
    /// The source lies in the new root, and no link on the way to it is followed.
    pub const INSIDE: u32 = 32;
}

/// Flags of `op::HOLD`, and where what is held goes.
pub mod hold {
    /// The file lies in an overlay, which has a device of its own and keeps the inode's number.
    pub const ANY_DEVICE: u32 = 1;
    /// The program sees the scripts that it runs at the descriptors from here on.
    pub const SCRIPT_FD: i32 = 4;
    /// Most scripts.
    pub const MOST_SCRIPTS: usize = 4;
}

/// Flags of `op::SECCOMP`.
pub mod seccomp {
    /// Makes a notification listener and sends it to the supervisor.
    pub const LISTENER: u32 = 1;
}

/// Flags of `op::RUN`.
pub mod run {
    /// The standard streams are the terminal that `op::TERMINAL` opened.
    pub const TERMINAL: u32 = 1;
    /// There is no pid namespace: keep the program's signals from the launcher and its guard.
    pub const NO_PID_NAMESPACE: u32 = 2;
    /// What `op::HOLD` holds is executed, whatever the path leads to.
    pub const HELD: u32 = 4;
    /// What the program started may go on when the program has ended, until `command::FINISH`, or until it has ended, too.
    pub const OUTPUT_WAIT: u32 = 8;
}

/// Flags of `op::PROVE`.
pub mod proof {
    /// No capability in any set.
    pub const NO_CAPABILITIES: u32 = 1;
    /// no_new_privs is set.
    pub const NO_NEW_PRIVILEGES: u32 = 2;
    /// A seccomp filter is in force.
    pub const SECCOMP: u32 = 4;
    /// This process is pid 1 of its namespace.
    pub const PID_ONE: u32 = 8;
    /// No signal of this process reaches its parent or pid 1.
    pub const SIGNAL_SCOPE: u32 = 16;
    /// The bounding set is empty, too.
    pub const NO_BOUNDING_SET: u32 = 32;
}

/// A message of the launcher: `kind u32, index u32, code u32, errno i32, values u64 × 8`, 80 bytes.
pub mod message {
    /// Bytes in a message.
    pub const LENGTH: usize = 80;
    /// Values in a message.
    pub const VALUES: usize = 8;
    /// An operation failed. index: which; code: its code; errno; values\[0\]: detail; values\[1\]: of which plan, from 0.
    pub const FAILED: u32 = 1;
    /// The program runs. values\[0\]: its pid inside.
    pub const STARTED: u32 = 2;
    /// The program was stopped. values\[0\]: signal.
    pub const STOPPED: u32 = 3;
    /// The program goes on.
    pub const CONTINUED: u32 = 4;
    /// The program ended, and where there is a pid namespace, everything else in it, too. values\[0\]: wait status; the others as
    /// `account` has them, all bits set where one is not known.
    pub const EXITED: u32 = 5;
    /// The terminal's master end comes with this message.
    pub const TERMINAL: u32 = 6;
    /// The seccomp listener comes with this message; the root came before.
    pub const LISTENER: u32 = 7;
    /// The root directory of the sandbox comes with this message, as a descriptor that only names it.
    pub const ROOT: u32 = 8;
    /// `op::READY` was reached.
    pub const READY: u32 = 9;
    /// Sockets of the sandbox's network come with this message. values: one for each of them, as `socket` has them.
    pub const SOCKETS: u32 = 10;
    /// The program has ended, and what it started goes on (`run::OUTPUT_WAIT`); `EXITED` follows.
    pub const LEFT: u32 = 11;

    /// What a value of `SOCKETS` is put together from.
    pub mod socket {
        /// The port, or the version of IP, 4 or 6, of a raw socket.
        pub const PORT: u64 = 0xffff;
        /// Connections are taken.
        pub const CONNECTIONS: u64 = 0;
        /// Datagrams are taken.
        pub const DATAGRAMS: u64 = 1 << 16;
        /// Datagrams are refused by it: a raw one of ICMP.
        pub const REFUSALS: u64 = 2 << 16;
        /// It sees first packets of connections, which begin with the header of IPv4, or behind that of IPv6.
        pub const SEEN_CONNECTIONS: u64 = 3 << 16;
        /// It sees datagrams, likewise.
        pub const SEEN_DATAGRAMS: u64 = 4 << 16;
        /// All bits that tell what it is for.
        pub const PURPOSE: u64 = 0xff << 16;
        /// Addresses of IPv6 are local, too.
        pub const HAS_V6: u64 = 1 << 24;
    }

    /// What stands where in `EXITED`.
    pub mod account {
        /// Microseconds in user mode.
        pub const USER: usize = 1;
        /// Microseconds in the kernel.
        pub const SYSTEM: usize = 2;
        /// Peak resident memory of the largest process, in bytes.
        pub const PEAK: usize = 3;
        /// Bytes read.
        pub const READ: usize = 4;
        /// Bytes written.
        pub const WRITTEN: usize = 5;
        /// Processes and threads that were started.
        pub const TASKS: usize = 6;
        /// Bytes that were to go to storage, those that were taken back before they did not counted.
        pub const STORED: usize = 7;
    }
}

/// A message of the supervisor: `kind u32, value u32`, 8 bytes.
pub mod command {
    /// Bytes in a command.
    pub const LENGTH: usize = 8;
    /// Sends the signal `value` to the program.
    pub const SIGNAL_PROGRAM: u32 = 1;
    /// Sends the signal `value` to the terminal's foreground group, or the program's group without a terminal.
    pub const SIGNAL_FOREGROUND: u32 = 2;
    /// What goes on after the program's end is to end now.
    pub const FINISH: u32 = 3;
}
