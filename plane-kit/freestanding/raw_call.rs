//! System calls and the two things a program without libc must bring itself: memory routines and an entry point. Shared by the
//! freestanding programs, the keeper and the launcher of the Linux plane, each of which uses a part of it.
//!
//! The only module with assembly. Every wrapper returns what the kernel returned: a negative value is `-errno`.

use core::arch::{asm, global_asm};

/// Makes a system call.
///
/// # Safety
/// The arguments must be what the call's manual page asks for; pointers must be valid for the call.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call6(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the registers are those of the x86-64 system call convention; the caller vouches for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Makes a system call.
///
/// # Safety
/// The arguments must be what the call's manual page asks for; pointers must be valid for the call.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call6(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the registers are those of the AArch64 system call convention; the caller vouches for the arguments.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c,
             in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    result
}

macro_rules! call {
    ($number:expr) => { $crate::raw_call::call6($number, [0; 6]) };
    ($number:expr, $a:expr) => { $crate::raw_call::call6($number, [$a as usize, 0, 0, 0, 0, 0]) };
    ($number:expr, $a:expr, $b:expr) => { $crate::raw_call::call6($number, [$a as usize, $b as usize, 0, 0, 0, 0]) };
    ($number:expr, $a:expr, $b:expr, $c:expr) => {
        $crate::raw_call::call6($number, [$a as usize, $b as usize, $c as usize, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::raw_call::call6($number, [$a as usize, $b as usize, $c as usize, $d as usize, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::raw_call::call6($number, [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0])
    };
}
pub(crate) use call;

/// Numbers of the calls used, from the kernel's `unistd` tables.
#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const SOCKET: usize = 41;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const SETSOCKOPT: usize = 54;
    pub const SENDMSG: usize = 46;
    pub const RECVMSG: usize = 47;
    pub const EXECVE: usize = 59;
    pub const FCNTL: usize = 72;
    pub const EXECVEAT: usize = 322;
    pub const EXIT_GROUP: usize = 231;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const CHDIR: usize = 80;
    pub const UMASK: usize = 95;
    pub const SETPGID: usize = 109;
    pub const SETSID: usize = 112;
    pub const CAPGET: usize = 125;
    pub const CAPSET: usize = 126;
    pub const PIVOT_ROOT: usize = 155;
    pub const PRCTL: usize = 157;
    pub const MOUNT: usize = 165;
    pub const UMOUNT2: usize = 166;
    pub const SETHOSTNAME: usize = 170;
    pub const OPENAT: usize = 257;
    pub const MKDIRAT: usize = 258;
    pub const NEWFSTATAT: usize = 262;
    pub const UNLINKAT: usize = 263;
    pub const SYMLINKAT: usize = 266;
    pub const PPOLL: usize = 271;
    pub const SIGNALFD4: usize = 289;
    pub const DUP3: usize = 292;
    pub const PRLIMIT64: usize = 302;
    pub const SECCOMP: usize = 317;
    pub const CLOSE_RANGE: usize = 436;
    pub const OPEN_TREE: usize = 428;
    pub const OPENAT2: usize = 437;
    pub const MOVE_MOUNT: usize = 429;
    pub const MOUNT_SETATTR: usize = 442;
    pub const LANDLOCK_CREATE_RULESET: usize = 444;
    pub const LANDLOCK_ADD_RULE: usize = 445;
    pub const LANDLOCK_RESTRICT_SELF: usize = 446;
    pub const GETPID: usize = 39;
    pub const LSEEK: usize = 8;
    pub const MUNMAP: usize = 11;
    pub const PREAD64: usize = 17;
    pub const CLOCK_GETTIME: usize = 228;
    pub const GETPPID: usize = 110;
    pub const CLONE: usize = 56;
    pub const GETDENTS64: usize = 217;
    pub const FCHDIR: usize = 81;
    pub const FCHMODAT: usize = 268;
    pub const GETRUSAGE: usize = 98;
    pub const SCHED_YIELD: usize = 24;
}

/// Numbers of the calls used, from the kernel's `unistd` tables.
#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const MMAP: usize = 222;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const IOCTL: usize = 29;
    pub const SOCKET: usize = 198;
    pub const BIND: usize = 200;
    pub const LISTEN: usize = 201;
    pub const SETSOCKOPT: usize = 208;
    pub const SENDMSG: usize = 211;
    pub const RECVMSG: usize = 212;
    pub const EXECVE: usize = 221;
    pub const FCNTL: usize = 25;
    pub const EXECVEAT: usize = 281;
    pub const EXIT_GROUP: usize = 94;
    pub const WAIT4: usize = 260;
    pub const KILL: usize = 129;
    pub const CHDIR: usize = 49;
    pub const UMASK: usize = 166;
    pub const SETPGID: usize = 154;
    pub const SETSID: usize = 157;
    pub const CAPGET: usize = 90;
    pub const CAPSET: usize = 91;
    pub const PIVOT_ROOT: usize = 41;
    pub const PRCTL: usize = 167;
    pub const MOUNT: usize = 40;
    pub const UMOUNT2: usize = 39;
    pub const SETHOSTNAME: usize = 161;
    pub const OPENAT: usize = 56;
    pub const MKDIRAT: usize = 34;
    pub const NEWFSTATAT: usize = 79;
    pub const UNLINKAT: usize = 35;
    pub const SYMLINKAT: usize = 36;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const DUP3: usize = 24;
    pub const PRLIMIT64: usize = 261;
    pub const SECCOMP: usize = 277;
    pub const CLOSE_RANGE: usize = 436;
    pub const OPEN_TREE: usize = 428;
    pub const OPENAT2: usize = 437;
    pub const MOVE_MOUNT: usize = 429;
    pub const MOUNT_SETATTR: usize = 442;
    pub const LANDLOCK_CREATE_RULESET: usize = 444;
    pub const LANDLOCK_ADD_RULE: usize = 445;
    pub const LANDLOCK_RESTRICT_SELF: usize = 446;
    pub const GETPID: usize = 172;
    pub const LSEEK: usize = 62;
    pub const MUNMAP: usize = 215;
    pub const PREAD64: usize = 67;
    pub const CLOCK_GETTIME: usize = 113;
    pub const GETPPID: usize = 173;
    pub const CLONE: usize = 220;
    pub const GETDENTS64: usize = 61;
    pub const FCHDIR: usize = 50;
    pub const FCHMODAT: usize = 53;
    pub const GETRUSAGE: usize = 165;
    pub const SCHED_YIELD: usize = 124;
}

// The kernel enters with the stack pointer at argc; Rust wants it aligned as after a call. These
// programs take no arguments and no environment: what they have to do comes over a socket.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2",
    main = sym crate::main
);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {main}", "brk #1", main = sym crate::main);

// vfork on a stack of its own: clone(2) returns twice on two stacks; the child calls its function and never returns.
// start_child(flags, top of stack, function, argument) -> pid or -errno
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl start_child",
    "start_child:",
    "mov [rsi - 8], rdx",
    "mov [rsi - 16], rcx",
    "sub rsi, 16",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jz 1f",
    "ret",
    "1:",
    "xor ebp, ebp",
    "pop rdi",
    "pop rax",
    "and rsp, -16",
    "call rax",
    "ud2",
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl start_child",
    "start_child:",
    "stp x2, x3, [x1, #-16]!",
    "mov x2, #0",
    "mov x3, #0",
    "mov x4, #0",
    "mov x8, #220",
    "svc 0",
    "cbz x0, 1f",
    "ret",
    "1:",
    "mov x29, #0",
    "ldp x1, x0, [sp], #16",
    "blr x1",
    "brk #1",
);

unsafe extern "C" {
    /// clone(2) with `flags` onto the stack whose top is `stack`; the child runs `function(argument)`.
    pub fn start_child(flags: usize, stack: *mut u8, function: extern "C" fn(*mut u8) -> !, argument: *mut u8)
    -> isize;
}

/// What the compiler calls for copies.
///
/// # Safety
/// As memcpy(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller promises `length` readable and writable bytes.
        unsafe { core::ptr::write_volatile(to.add(at), core::ptr::read(from.add(at))) };
        at += 1;
    }
    to
}

/// What the compiler calls for overlapping copies.
///
/// # Safety
/// As memmove(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if (to as usize) <= from as usize {
        // SAFETY: copying forward is right when the target lies before the source.
        return unsafe { memcpy(to, from, length) };
    }
    let mut at = length;
    while at > 0 {
        at -= 1;
        // SAFETY: the caller promises `length` readable and writable bytes.
        unsafe { core::ptr::write_volatile(to.add(at), core::ptr::read(from.add(at))) };
    }
    to
}

/// What the compiler calls to fill memory.
///
/// # Safety
/// As memset(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller promises `length` writable bytes.
        unsafe { core::ptr::write_volatile(to.add(at), value as u8) };
        at += 1;
    }
    to
}

/// What the compiler calls to compare memory.
///
/// # Safety
/// As memcmp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller promises `length` readable bytes in both.
        let (left, right) = unsafe { (core::ptr::read_volatile(one.add(at)), core::ptr::read_volatile(other.add(at))) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        at += 1;
    }
    0
}

/// What the compiler calls to compare memory for equality.
///
/// # Safety
/// As bcmp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(one, other, length) }
}
