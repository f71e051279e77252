//! What of a sandbox that runs the host holds: its process, its control socket, its input, a view of its processes.

use crate::execution::{End, Shared};
use crate::start::Running;
use crate::tree_usage;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_plane_kit::guest_input::GuestInput;
use cofferdam_plane_kit::process_tree::ProcessTree;
use std::os::fd::AsFd;

/// The handles of a sandbox in `tier` that host threads act by.
pub(crate) fn share(running: &Running, input: GuestInput, tier: Tier) -> std::io::Result<Shared> {
    let end = if tier == Tier::Full { End::Kill } else { End::HangUp };
    let processes = processes(tier, running.process.pid());
    Ok(Shared::new(running.process.as_fd().try_clone_to_owned()?, running.control.try_clone()?, input, end, processes))
}

/// The processes of a sandbox whose first is `pid`: all of its pid namespace, or all beneath its guard.
fn processes(tier: Tier, pid: i32) -> ProcessTree {
    match tier {
        Tier::Full => ProcessTree::of_namespace(format!("/proc/{pid}/root/proc")),
        _ => ProcessTree::beneath(pid, tree_usage::OVERSEERS),
    }
}
