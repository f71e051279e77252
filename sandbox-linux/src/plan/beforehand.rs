//! The plan that comes first: what is the same for every run, so that it can be done before the policy is read.

use crate::format::op;
use crate::plan::encode::Plan;
use crate::plan::root;

/// The host name inside.
const HOST_NAME: &str = "cofferdam";

/// What a launcher in the namespaces of `flags` (`CLONE_NEW…`) does before it reads the next plan.
pub(crate) fn plan(flags: i32) -> Plan {
    let mut plan = Plan::default();
    plan.add(op::UMASK, "umask").u32(0);
    if flags & libc::CLONE_NEWUSER == 0 {
        plan.add(op::SUBREAPER, "subreaper");
    } else {
        identity(&mut plan);
        if flags & libc::CLONE_NEWNET != 0 {
            plan.add(op::LOOPBACK_UP, "lo");
        }
        plan.add(op::HOST_NAME, HOST_NAME).text(HOST_NAME);
        root::begin(&mut plan);
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
