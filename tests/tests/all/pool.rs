//! Launchers held ready: what they run is as apart as ever, each serves once, and none is left behind.

use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::{LinuxPlane, PoolOptions};
use cofferdam_tests::observe::{cgroups_of, within};
use cofferdam_tests::scratch::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SECONDS: Duration = Duration::from_secs(5);

/// The tests here look at the children of the whole test process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Children of this process that are the first of a pid namespace: launchers.
fn launchers() -> Vec<i32> {
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let parent = format!("PPid:\t{}\n", std::process::id());
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &i32| {
            let is_child = fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&parent));
            // What may not be looked at has a user namespace of its own, too.
            is_child && fs::read_link(format!("/proc/{pid}/ns/pid")).map_or(true, |namespace| namespace != own)
        })
        .collect()
}

fn run(vm: &Vm, line: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(vm.command("/bin/sh").args(["-c", line]).output()).unwrap();
    assert!(output.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pooled(options: PoolOptions) -> (Kernel, Vm) {
    let kernel = Kernel::builder(LinuxPlane::new().unwrap().pooled(options).unwrap()).build().unwrap();
    let vm = kernel.create_vm(VmSpec::new(Policy::strict())).unwrap();
    (kernel, vm)
}

#[test]
fn each_execution_has_a_launcher_of_its_own_and_the_stock_is_made_up() {
    let _alone = alone();
    let (_kernel, vm) = pooled(PoolOptions::new(3));
    assert!(within(SECONDS, || launchers().len() == 3), "{:?}", launchers());
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(run(
            &vm,
            "readlink /proc/self/ns/net; ls -A /tmp | grep -v '^[.]' | wc -l; touch /tmp/left; echo $$",
        ));
        assert!(within(SECONDS, || launchers().len() == 3), "{:?}", launchers());
    }
    assert!(seen.iter().all(|text| text.ends_with("\n0\n2\n")), "what one left, another saw: {seen:?}");
    drop((vm, _kernel));
    assert!(within(SECONDS, || launchers().is_empty()), "left behind: {:?}", launchers());
    assert!(within(SECONDS, || cgroups_of(std::process::id()).is_empty()));
}

#[test]
fn one_that_was_killed_is_replaced_and_no_start_fails() {
    let _alone = alone();
    let (_kernel, vm) = pooled(PoolOptions::new(2));
    assert!(within(SECONDS, || launchers().len() == 2));
    let before = launchers();
    before.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
    assert_eq!(run(&vm, "echo well"), "well\n");
    assert!(within(SECONDS, || launchers().len() == 2 && launchers().iter().all(|pid| !before.contains(pid))));
}

#[test]
fn a_pool_that_nobody_uses_is_drained_and_fills_again() {
    let _alone = alone();
    let (_kernel, vm) = pooled(PoolOptions::new(2).idle_after(Duration::from_millis(300)));
    assert!(within(SECONDS, || launchers().len() == 2));
    assert!(within(SECONDS, || launchers().is_empty()), "{:?}", launchers());
    assert_eq!(run(&vm, "echo well"), "well\n");
    assert!(within(SECONDS, || launchers().len() == 2));
}

#[test]
fn fs_06_a_workspace_that_was_replaced_meanwhile_is_looked_at_anew() {
    let _alone = alone();
    let scratch = Scratch::new();
    let (place, old) = (scratch.join("place"), scratch.join("old"));
    fs::create_dir(&place).unwrap();
    fs::write(place.join("which"), "first").unwrap();
    let kernel = Kernel::builder(LinuxPlane::new().unwrap().pooled(PoolOptions::new(2)).unwrap()).build().unwrap();
    let vm = VmSpec::new(Policy::builtin("dev").unwrap()).workspace(place.to_string_lossy().into_owned());
    let vm = kernel.create_vm(vm).unwrap();
    assert!(within(SECONDS, || launchers().len() == 2));
    assert_eq!(run(&vm, "cat which"), "first");
    fs::rename(&place, &old).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("which"), "second").unwrap();
    assert_eq!(run(&vm, "cat which; echo written > new"), "second");
    assert!(place.join("new").exists() && !old.join("new").exists());
}

#[test]
fn signals_limits_and_refusals_are_those_of_any_start() {
    let _alone = alone();
    let (_kernel, vm) = pooled(PoolOptions::new(2));
    assert!(within(SECONDS, || launchers().len() == 2));
    let told = run(&vm, "grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status; cat /etc/shadow 2>&1 | tail -c 10");
    assert!(
        told.contains("NoNewPrivs:\t1") && told.contains("Seccomp:\t2") && told.contains("CapEff:\t0000000000000000")
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(vm.command("/bin/sh").args(["-c", "kill -9 $$"]).output()).unwrap();
    assert!(format!("{:?}", output.report.cause).contains("Signalled"), "{:?}", output.report.cause);
    let output = runtime.block_on(vm.command("/no/such/program").output());
    assert!(output.is_err());
}
