//! The plane that an option names: one of this command, or a program that speaks the wire protocol.

use crate::compose::{PlaneName, absolute};
use crate::failure::{Failure, io};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_kernel::Kernel;
use cofferdam_kernel::policy::Policy;
use cofferdam_wire_plane::{PlaneCommand, WirePlane};
use std::path::Path;
use std::sync::Arc;

/// A plane of this command by itself, for a kernel in another process; none for one that is a process of its own. Nobody has said there
/// that a policy which requires isolation may do without: the host plane refuses those.
pub(crate) fn plane(plane: &PlaneName) -> Result<Option<Arc<dyn ExecutionBridge<Error = BridgeError>>>, Failure> {
    Ok(match plane {
        PlaneName::Own => Some(Arc::new(own_plane()?)),
        PlaneName::Host => Some(Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated())?)),
        PlaneName::Process(_) => None,
    })
}

/// This machine's own sandbox.
#[cfg(target_os = "linux")]
pub(crate) type OwnPlane = cofferdam_sandbox_linux::LinuxPlane;
/// This machine's own sandbox.
#[cfg(not(target_os = "linux"))]
pub(crate) type OwnPlane = cofferdam_sandbox_macos::MacosPlane;

/// Makes it.
pub(crate) fn own_plane() -> Result<OwnPlane, Failure> {
    Ok(OwnPlane::new()?)
}

/// Nobody comes here but by an option, which is the user's own word on this very run.
pub(crate) fn host_plane() -> Result<HostPlane, Failure> {
    Ok(HostPlane::new(danger::i_know_programs_run_unisolated().even_under_policies_that_require_isolation())?)
}

/// Variables that a plane's process gets: what it needs to find its interpreter and its own files.
const PLANE_VARIABLES: [&str; 8] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"];

/// Starts the program of a plane.
pub(crate) fn process(path: &Path, arguments: &[String]) -> Result<WirePlane, Failure> {
    let program = absolute(path)?;
    let directory = std::env::current_dir().map_err(|error| io("the current directory cannot be used", &error))?;
    let mut command = PlaneCommand::new(program).args(arguments.iter().cloned()).current_dir(directory);
    for name in PLANE_VARIABLES {
        if let Ok(value) = std::env::var(name) {
            command = command.env(name, value);
        }
    }
    Ok(WirePlane::start(command)?)
}

/// Whether `plane`, which `kernel` was made with, has no isolation to offer at all.
pub(crate) fn isolates_nothing(kernel: &Kernel, plane: &PlaneName) -> bool {
    *plane != PlaneName::Own && kernel.descriptors().iter().all(|own| own.tiers.iter().all(|tier| *tier == Tier::None))
}

/// The policy as it is used on `plane`: where the user has named a plane's program that has no isolation to offer, none is required.
pub(crate) fn fitting(policy: Policy, kernel: &Kernel, plane: &PlaneName) -> Result<Policy, Failure> {
    if !matches!(plane, PlaneName::Process(_)) || !isolates_nothing(kernel, plane) {
        return Ok(policy);
    }
    // Nobody comes here but by the option, which is the user's own word on this very run.
    Ok(policy.with_lines(r#"{"version": 1, "isolation": {"require": "none"}}"#, "command line")?)
}
