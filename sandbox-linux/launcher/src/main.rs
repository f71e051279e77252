//! The launcher: a freestanding static program that builds a sandbox around itself and is its first process.
//!
//! The supervisor starts it in fresh namespaces with a control socket as descriptor 3 and nothing else. It reads a
//! plan (see `format`), executes the plan's operations in order, reports the first that fails, and once the program
//! runs it reaps, forwards signals and waits for the end. It ends when the control socket closes, and with it,
//! as pid 1, everything in the sandbox. Where there are no namespaces, a guard (see `guard`) stands in for pid 1.
//!
//! It has no libc, since starting one costs more than all namespaces together; it allocates nothing; it decides nothing:
//! what to mount and what to forbid was worked out by the supervisor, where it can be tested.

#![no_std]
#![no_main]
#![no_builtins]

mod execute;
mod format;
mod guard;
mod init;
mod plan_reader;
#[path = "../../../plane-kit/freestanding/raw_call.rs"]
#[expect(dead_code, reason = "shared with another freestanding program, which uses other parts of it")]
mod raw_call;
mod report;
#[path = "../../../plane-kit/freestanding/signal_scope.rs"]
mod signal_scope;
mod state;
mod step;

use state::State;

/// Where the kernel's entry point jumps to.
extern "C" fn main() -> ! {
    execute::run(&mut State::new())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    report::fail(u32::MAX, 0, step::ENOTRECOVERABLE, 1, 0)
}
