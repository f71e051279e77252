//! The keeper: a freestanding static program that starts one program and ends everything that it started.
//!
//! A host executes it with the program's streams as descriptors 0 to 2, a control socket and a plan (see `format`). It is
//! the *subreaper* of the program: whatever loses its parent becomes its child, a daemon that left group and
//! session too, and only children that it has not reaped are ever signalled, so that no signal can meet a stranger. When the
//! program ends, when the host asks, or when the host is gone, it kills until the kernel says that no child is left.
//!
//! It is no part of the host, since a subreaper adopts every orphan beneath it: the host may have children of its own. It has no
//! libc, so that it is small and ready at once; it decides nothing.

#![no_std]
#![no_main]
#![no_builtins]

mod account;
mod ahead;
mod format;
mod plan_reader;
#[path = "../../freestanding/raw_call.rs"]
#[expect(dead_code, reason = "shared with another freestanding program, which uses other parts of it")]
mod raw_call;
#[path = "../../freestanding/signal_scope.rs"]
mod signal_scope;
mod report;
mod start;
mod sweep;
mod watch;

use report::Failure;

/// Where the kernel's entry point jumps to.
extern "C" fn main() -> ! {
    match start::start() {
        Ok(started) => watch::watch(&started),
        Err(failure) => report::fail(&failure),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    const ENOTRECOVERABLE: i32 = 131;
    report::fail(&Failure { step: format::step::PREPARE, errno: ENOTRECOVERABLE })
}
