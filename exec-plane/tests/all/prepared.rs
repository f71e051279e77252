//! A plane that holds a keeper ready.

use crate::host::{Host, profile};
use std::process::Command;

const ALONE: &str = "COFFERDAM_TEST_ALONE";

/// The children of this process, by the kernel's lists.
fn children() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn c9_each_run_has_a_keeper_of_its_own_and_a_dropped_plane_leaves_none() {
    // Other tests of this process have children, too: it is done in one of its own.
    if std::env::var_os(ALONE).is_none() {
        let name = "prepared::c9_each_run_has_a_keeper_of_its_own_and_a_dropped_plane_leaves_none";
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own).args([name, "--exact"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let Host { plane, vm_id, context } = Host::new(profile());
    let host = Host { plane: plane.prepared(), vm_id, context };
    let mut keepers = Vec::new();
    for round in 0..20 {
        let ready = children();
        let mut run = host.shell("cut -d' ' -f4 /proc/$$/stat; setsid sleep 1000 & exit 3");
        let keeper = run.line();
        if round == 0 {
            assert_eq!(ready, [keeper.as_str()], "the keeper that was ready is the one that keeps");
        }
        let report = run.end();
        assert!(format!("{:?}", report.cause).contains("Exited"), "{:?}", report.cause);
        assert!(!keepers.contains(&keeper), "a keeper was used twice");
        keepers.push(keeper);
    }
    let mut running = host.shell("echo $$; sleep 1000");
    running.line();
    drop(host);
    assert_eq!(children(), Vec::<String>::new());
}
