//! The `cofferdam` command: reads arguments, composes kernel and plane, and tells people what happened.

#![forbid(unsafe_code)]

mod arguments;
mod base64;
mod command;
mod compose;
mod escape;
mod exit_code;
mod failure;
mod policy_file;
mod report;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too. When they cannot be printed, nobody reads them.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit_code::REFUSED } else { 0 });
        }
    };
    match command::dispatch(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}
