//! The commands, one file each.

pub(crate) mod action;
mod action_jobs;
mod action_list;
mod action_run;
mod action_show;
pub(crate) mod audit;
mod audit_follow;
mod audit_key;
mod audit_query;
mod audit_schema;
mod audit_show;
mod audit_verify;
#[cfg(target_os = "linux")]
pub(crate) mod changes;
#[cfg(target_os = "linux")]
mod changes_commit;
#[cfg(target_os = "linux")]
mod changes_discard;
#[cfg(target_os = "linux")]
mod changes_list;
#[cfg(target_os = "linux")]
mod changes_recorded;
#[cfg(target_os = "linux")]
mod changes_show;
pub(crate) mod completions;
pub(crate) mod conformance;
#[cfg(target_os = "linux")]
pub(crate) mod doctor;
#[cfg(not(target_os = "linux"))]
#[path = "doctor_macos.rs"]
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod grants;
mod grants_list;
mod grants_revoke;
pub(crate) mod plane;
mod plane_serve;
pub(crate) mod policy;
mod policy_check;
mod policy_explain;
mod policy_init;
mod policy_learn;
mod policy_schema;
mod policy_show;
pub(crate) mod run;
pub(crate) mod session;
mod session_open;
mod session_print;
mod session_streams;
mod session_verbs;

use crate::arguments::{Arguments, Commands};
use crate::failure::{Failure, io};
use std::io::{ErrorKind, Write};

/// Does what the command line asks and answers the exit code.
pub(crate) fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Commands::Run(run) => run.execute(),
        Commands::Action(action) => action.execute(),
        Commands::Exec(exec) => exec.execute(),
        #[cfg(target_os = "linux")]
        Commands::Changes(changes) => changes.execute(),
        Commands::Session(session) => session.execute(),
        Commands::Audit(audit) => audit.execute(),
        Commands::Doctor(doctor) => doctor.execute(),
        Commands::Grants(grants) => grants.execute(),
        Commands::Policy(policy) => policy.execute(),
        Commands::Plane(plane) => plane.execute(),
        Commands::Conformance(conformance) => conformance.execute(),
        Commands::Completions(completions) => completions.execute(),
    }
}

/// Prints a result. A reader that has gone away has read enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io("the result cannot be printed", &error)),
        _ => Ok(()),
    }
}
