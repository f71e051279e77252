//! Older kernels: what each version of Landlock leaves open is held by something else, and told.

use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, KernelError, Output, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::path::Path;

/// Runs a line where Landlock is of version `abi` at most.
fn run(abi: u32, workspace: &Path, lines: &str, line: &str) -> Result<Output, KernelError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plane = LinuxPlane::new().unwrap().with_landlock_at_most(abi);
    let kernel = Kernel::builder(plane).build().unwrap();
    let policy = Policy::parse(&format!("version = 1\nextends = \"dev\"\n{lines}"), "test", &NoFiles).unwrap();
    let vm = kernel.create_vm(VmSpec::new(policy).workspace(workspace.to_string_lossy().into_owned()))?;
    runtime.block_on(vm.command("/bin/sh").args(["-c", line]).output())
}

#[test]
fn under_every_version_programs_work_and_the_same_is_refused() {
    for abi in 1..=7 {
        let (scratch, other) = (Scratch::new(), Scratch::new());
        let canary = other.write("canary", "SECRET");
        scratch.write(".git/hooks/post-commit", "old");
        let line = format!(
            "mkdir -p a/b && echo words > a/b/c && : > a/b/empty && mv a/b/c a/b/d && cat a/b/d && ls /usr > /dev/null && \
             (cat {0}; echo x > {0}; : > {0}; mv {0} .; echo evil > .git/hooks/post-commit; truncate -s 0 .git/hooks/post-commit) 2> /dev/null; \
             test ! -e {0} && kill -0 -- -1 2> /dev/null; echo end",
            canary.display()
        );
        let output = run(abi, scratch.path(), "", &line).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "words\nend\n", "version {abi}: {output:?}");
        assert_eq!(fs::read_to_string(&canary).unwrap(), "SECRET", "version {abi}");
        assert_eq!(fs::read_to_string(scratch.join(".git/hooks/post-commit")).unwrap(), "old", "version {abi}");
        let report = serde_json::to_value(&output.report.enforcement).unwrap();
        let landlock =
            report["mechanisms"].as_array().unwrap().iter().find(|one| one["mechanism"] == "landlock").unwrap();
        let (by, gaps) = (landlock["by"].as_str().unwrap(), landlock["why_not"].as_str().unwrap_or_default());
        if by == format!("ABI {abi}") {
            assert_eq!(gaps.contains("truncating: mounts hold it"), abi < 3, "version {abi}: {gaps}");
            assert_eq!(gaps.contains("signals and abstract sockets"), abi < 6, "version {abi}: {gaps}");
        } else {
            skip::skipped(&format!("this kernel's Landlock is older than version {abi}"));
        }
    }
}

#[test]
fn without_namespaces_a_version_that_keeps_no_signals_within_is_refused() {
    // The policy would do with less, and this machine must refuse namespaces for that to be tried.
    let scratch = Scratch::new();
    let lines = "[isolation]\nrequire = \"landlock\"\n";
    if fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|most| most.trim() == "0") {
        for abi in 1..=5 {
            let error = run(abi, scratch.path(), lines, "touch made").unwrap_err();
            assert!(error.to_string().contains("namespaces"), "{error}");
        }
        assert!(run(6, scratch.path(), lines, "touch made").unwrap().success());
        assert!(scratch.join("made").exists());
        return;
    }
    // The same test once more, where they are refused.
    let own = std::env::current_exe().unwrap();
    let name = "landlock_versions::without_namespaces_a_version_that_keeps_no_signals_within_is_refused";
    let refuse = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77; exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";
    let output = std::process::Command::new("unshare")
        .args(["--map-current-user", "--keep-caps", "sh", "-c", refuse, "sh"])
        .arg(own)
        .args(["--exact", name])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{output:?}");
}
