//! The guard's part in a run: turns that last until the end, and refusals before anything starts.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

mod staged_plane;

use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::guard::{MachineFigures, MachineSource};
use cofferdam_bridge::in_memory::MemoryMetrics;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{GuardLimits, Kernel, VmSpec};
use staged_plane::{Course, StagedPlane};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A plane whose runs end when the test says so, and by no signal.
fn plane() -> StagedPlane {
    StagedPlane::new(|_, _| Ok(Course::Runs)).with(&[Feature::CommandRules, Feature::CallProfiles]).deaf()
}

/// A machine of which a test says how busy it is.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<MachineFigures>>);

impl MachineSource for Machine {
    fn measure(&self) -> MachineFigures {
        *self.0.lock().unwrap()
    }
}

fn spec() -> VmSpec {
    VmSpec::new(Policy::strict())
}

#[tokio::test(start_paused = true)]
async fn r2_a_run_has_its_turn_until_it_has_ended() {
    let plane = plane();
    let limits = GuardLimits::default().most_running(1).longest_wait(Duration::from_secs(5));
    let kernel = Kernel::builder(plane.clone()).guard(limits).build().unwrap();
    let vm = kernel.create_vm(spec()).unwrap();
    let first = vm.command("one").spawn().await.unwrap();
    let error = vm.command("two").spawn().await.unwrap_err();
    assert_eq!((error.code().as_str(), plane.started()), ("deadline_exceeded", 1));
    // Whoever drops a run has it killed; its turn ends with the run and not before.
    drop(first);
    assert!(vm.command("two").spawn().await.is_err());
    plane.end_oldest(ExitCause::Exited { code: 0 });
    vm.command("two").spawn().await.unwrap();
    assert_eq!(plane.started(), 2);
}

#[tokio::test]
async fn r2_a_busy_machine_starts_nothing_and_says_which_figure() {
    let (plane, machine) = (plane(), Machine::default());
    let builder = Kernel::builder(plane.clone()).guard(GuardLimits::for_service()).machine(machine.clone());
    let vm = builder.build().unwrap().create_vm(spec()).unwrap();
    vm.command("one").spawn().await.unwrap();
    machine.0.lock().unwrap().memory_percent = Some(93);
    let error = vm.command("two").spawn().await.unwrap_err();
    assert_eq!((error.code().as_str(), plane.started()), ("resource_limit_exceeded", 1));
    let error = error.error();
    assert!(
        error.retryable && error.message.contains("93 % of memory") && error.message.contains("limit is 80"),
        "{error:?}"
    );
    // By default a busy machine is only slow.
    let plain = Kernel::builder(plane).machine(machine).build().unwrap();
    plain.create_vm(spec()).unwrap().command("three").spawn().await.unwrap();
}

#[tokio::test]
async fn r3_arguments_above_a_mebibyte_are_refused_before_anything_starts() {
    let plane = plane();
    let vm = Kernel::builder(plane.clone()).build().unwrap().create_vm(spec()).unwrap();
    let error = vm.command("one").arg("x".repeat(1 << 20)).spawn().await.unwrap_err();
    assert_eq!((error.code().as_str(), plane.started()), ("resource_limit_exceeded", 0));
    assert_eq!(error.error().details["limit"], 1 << 20);
    assert!(!error.error().retryable);
    vm.command("one").arg("x".repeat((1 << 20) - 8)).spawn().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r2_whoever_waits_for_a_turn_is_counted_and_timed() {
    let (plane, metrics) = (plane(), MemoryMetrics::new());
    let limits = GuardLimits::default().most_running(1).longest_wait(Duration::from_secs(5));
    let kernel = Kernel::builder(plane).guard(limits).metrics(metrics.clone()).build().unwrap();
    let vm = kernel.create_vm(spec()).unwrap();
    let _first = vm.command("one").spawn().await.unwrap();
    assert_eq!(metrics.most("cofferdam.guard.queue.length"), 0, "nobody was before it");
    let gave_up = tokio::spawn(vm.command("two").spawn());
    let late = tokio::spawn(vm.command("three").spawn());
    while metrics.sum("cofferdam.guard.queue.length") < 2 {
        tokio::task::yield_now().await;
    }
    gave_up.abort();
    assert!(gave_up.await.is_err());
    assert_eq!(metrics.sum("cofferdam.guard.queue.length"), 1, "who gives up waits no longer");
    assert_eq!(late.await.unwrap().unwrap_err().code().as_str(), "deadline_exceeded");
    assert_eq!(metrics.sum("cofferdam.guard.queue.length"), 0);
    let waited =
        |outcome: &str| metrics.values(&format!("cofferdam.guard.queue.duration{{cofferdam.outcome={outcome}}}"));
    // The clock stands still but for the wait.
    assert_eq!((waited("admitted"), waited("deadline_exceeded")), (vec![0.0], vec![5.0]));
}
