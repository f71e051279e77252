//! The `cofferdam` command: reads arguments, composes kernel and plane, and tells people what happened.

#![forbid(unsafe_code)]

mod arguments;
mod audit_log;
mod base64;
mod command;
mod compose;
mod escape;
mod exit_code;
mod failure;
mod fixed_name;
mod guest_text;
mod job_files;
#[cfg(target_os = "linux")]
mod kept_changes;
#[cfg(not(target_os = "linux"))]
#[path = "kept_changes_elsewhere.rs"]
mod kept_changes;
mod kernel_parts;
mod plane_choice;
mod policy_file;
mod report;
mod session;
mod telemetry;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cofferdam_plane_kit::keeper_program::serve_if_asked();
    // Inside a sandbox this same program does what actions on files and over HTTP ask for.
    if cofferdam_action_worker::is_asked(std::env::args_os()) {
        return ExitCode::from(u8::from(cofferdam_action_worker::serve() != 0));
    }
    raise_descriptor_limit();
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too. When they cannot be printed, nobody reads them.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit_code::REFUSED } else { 0 });
        }
    };
    let code = command::dispatch(arguments).unwrap_or_else(|failure| {
        failure.print();
        failure.exit_code()
    });
    telemetry::end();
    ExitCode::from(code)
}

/// Lets this process have as many descriptors as it may: it needs some for each run, and passes some to launchers, which the kernel
/// refuses once the user's processes, guests among them, have more in flight than this limit (unix(7), ETOOMANYREFS). Each guest has a
/// limit of its own.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it cannot be raised, things are as they were.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
