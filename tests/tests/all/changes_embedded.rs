//! Changes kept apart by a host that embeds the kernel: its own store, the report, and the library that acts on the set.

use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use cofferdam_sandbox_linux::changes::{ChangeKind, ChangeStore, Side};
use cofferdam_tests::scratch::Scratch;
use std::path::Path;

#[test]
fn a_host_runs_looks_and_commits() {
    let (workspace, state) = (Scratch::new(), Scratch::new());
    workspace.write("file", "old");
    let store = ChangeStore::at(state.join("changes")).unwrap();
    let plane = LinuxPlane::new().unwrap().keep_changes_in(store.clone());
    let kernel = Kernel::builder(plane).build().unwrap();
    let policy = "version = 1\nextends = \"dev\"\n[filesystem]\nchanges = \"overlay\"\n";
    let policy = Policy::parse(policy, "test", &NoFiles).unwrap();
    let place = workspace.path().canonicalize().unwrap();
    let vm = kernel.create_vm(VmSpec::new(policy).workspace(place.to_string_lossy())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(vm.command("/bin/sh").args(["-c", "echo new > file"]).output()).unwrap();
    assert!(output.success(), "{output:?}");
    let summary = output.report.changes.unwrap();
    assert_eq!((summary.changed, summary.total()), (1, 1));
    let set = store.find(&summary.id).unwrap();
    let diff = set.diff().unwrap();
    assert_eq!(diff.changes[0].kind, ChangeKind::Changed);
    let contents = |side| set.contents(side, Path::new("file"), 100).unwrap();
    assert_eq!((contents(Side::Before), contents(Side::After)), (Some(b"old".to_vec()), Some(b"new\n".to_vec())));
    assert_eq!(set.contents(Side::Before, Path::new("../outside"), 100).unwrap_err().code.as_str(), "io_failed");
    assert_eq!(set.commit().unwrap(), diff);
    assert_eq!(std::fs::read_to_string(workspace.join("file")).unwrap(), "new\n");
    assert!(store.newest_of(&place).unwrap().is_none());
    assert_eq!(store.find(&summary.id).unwrap_err().code.as_str(), "changes_not_found");
    // A run that changes nothing has nothing to tell.
    let output = runtime.block_on(vm.command("/bin/true").output()).unwrap();
    assert_eq!(output.report.changes, None);
}
