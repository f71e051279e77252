//! The plan that comes first: what is the same for every run, so that it can be done before the policy is read.

use crate::format::op;
use crate::network;
use crate::plan::encode::Plan;
use crate::plan::root;
use std::path::Path;

/// The host name inside.
const HOST_NAME: &str = "cofferdam";

/// What a launcher in the namespaces of `flags` (`CLONE_NEW…`) does before it reads the next plan.
pub(crate) fn in_namespaces(flags: i32) -> Plan {
    let mut plan = trial(flags);
    plan.add(op::NEXT_PLAN, "");
    plan
}

/// The same without the next plan: whether this machine lets it happen.
pub(crate) fn trial(flags: i32) -> Plan {
    let mut plan = Plan::default();
    plan.add(op::UMASK, "umask").u32(0);
    identity(&mut plan);
    if flags & libc::CLONE_NEWNET != 0 {
        plan.add(op::LOOPBACK_UP, "lo");
    }
    plan.add(op::HOST_NAME, HOST_NAME).text(HOST_NAME);
    root::begin(&mut plan);
    plan
}

/// What a launcher does that only sets up the network of the namespaces in `flags`, listening on `ports` where there are some, says so, and waits for its end.
pub(crate) fn network(flags: i32, ports: &network::Ports) -> Plan {
    let mut plan = Plan::default();
    identity(&mut plan);
    if flags & libc::CLONE_NEWNET != 0 {
        plan.add(op::LOOPBACK_UP, "lo");
    }
    if !ports.is_empty() {
        network::listen(&mut plan, ports);
    }
    plan.add(op::READY, "ready");
    plan.add(op::NEXT_PLAN, "");
    plan
}

/// What a launcher without namespaces does before it reads the next plan. `temporary` is made, and removed at the end.
pub(crate) fn guarded(temporary: Option<&Path>) -> Plan {
    let mut plan = Plan::default();
    plan.add(op::UMASK, "umask").u32(0);
    let directory = temporary.unwrap_or(Path::new(""));
    plan.add(op::GUARD, directory.to_string_lossy()).text(directory.as_os_str().as_encoded_bytes());
    for (inner, mode) in root::TEMPORARY_DIRECTORIES.iter().filter(|_| temporary.is_some()) {
        let place = directory.join(inner);
        plan.add(op::DIRECTORY, place.to_string_lossy()).text(place.as_os_str().as_encoded_bytes()).u32(*mode);
    }
    plan.add(op::NEXT_PLAN, "");
    plan
}

/// Inside, the user is who it was outside: files keep their owners, and no other id exists.
fn identity(plan: &mut Plan) {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    plan.add(op::WRITE_FILE, "/proc/self/setgroups").text("/proc/self/setgroups").text("deny");
    plan.add(op::WRITE_FILE, "/proc/self/uid_map").text("/proc/self/uid_map").text(format!("{user} {user} 1\n"));
    plan.add(op::WRITE_FILE, "/proc/self/gid_map").text("/proc/self/gid_map").text(format!("{group} {group} 1\n"));
}
