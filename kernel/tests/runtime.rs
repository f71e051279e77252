//! The kernel's part in a run, on a plane that only pretends: timers, queues, drops, forgetting, polling.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, Feature, PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    StartExecutionRequest, StartedExecution, StreamMode,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::usage::Usage;
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Sinks of what runs.
    running: HashMap<ExecutionId, Arc<dyn ExecutionEventSink>>,
    /// For a polled plane: what is to be told.
    told: HashMap<ExecutionId, VecDeque<ExecutionEvent>>,
    signals: Vec<ExecutionSignal>,
    written: Vec<u8>,
    contexts: usize,
    forgotten: Vec<VmId>,
    environments: Vec<Vec<String>>,
}

/// A plane that runs nothing. Its program `quick` ends at once; every other runs until it is killed.
#[derive(Clone, Default)]
struct Pretender {
    state: Arc<Mutex<State>>,
    features: Vec<Feature>,
    generation: Option<u32>,
    refuses: bool,
    /// A polled plane that fails when it is asked.
    breaks: bool,
}

fn report(cause: ExitCause) -> ExecutionEvent {
    ExecutionEvent::Exited(Box::new(ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full))))
}

impl Pretender {
    fn polled(&self) -> bool {
        self.features.contains(&Feature::PolledEvents)
    }

    fn end(&self, id: &ExecutionId, cause: ExitCause) {
        let mut state = self.state.lock().unwrap();
        let Some(sink) = state.running.remove(id) else { return };
        if self.polled() {
            state.told.entry(id.clone()).or_default().push_back(report(cause));
            return;
        }
        drop(state);
        sink.push(report(cause));
    }

    fn sink(&self) -> Arc<dyn ExecutionEventSink> {
        self.state.lock().unwrap().running.values().next().unwrap().clone()
    }
}

impl BridgeTypes for Pretender {
    type Error = BridgeError;
}

impl ExecutionBridge for Pretender {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("pretender", "0");
        descriptor.contract_generation = self.generation.unwrap_or(CONTRACT_GENERATION);
        descriptor.features = [&[Feature::Commands, Feature::CommandRules], self.features.as_slice()].concat();
        descriptor
    }
    fn preflight(&self, _: &ExecutionProfile) -> Preflight {
        let mut preflight = Preflight::new(Enforcement::new(Tier::Full));
        if self.refuses {
            preflight.shortfalls.push(Shortfall::blocking(None, "the moon is down", Some("wait for night".to_owned())));
        }
        preflight
    }
    fn create_command_context(&self, _: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        self.state.lock().unwrap().contexts += 1;
        Ok(CreatedContext::new(ContextId::new("context")))
    }
    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        let id = request.execution_id;
        let mut state = self.state.lock().unwrap();
        state.environments.push(request.environment.keys().cloned().collect());
        state.running.insert(id.clone(), events);
        if self.polled() {
            let words = ["one", "two"].map(|word| ExecutionEvent::Stdout { bytes: word.into() });
            state.told.insert(id.clone(), words.into());
        }
        drop(state);
        if request.program == "quick" {
            self.end(&id, ExitCause::Exited { code: 0 });
        }
        Ok(StartedExecution::new(None))
    }
    fn write_stdin(&self, _: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        self.state.lock().unwrap().written.extend(bytes);
        Ok(())
    }
    fn close_stdin(&self, _: &ExecutionRef) -> Result<(), BridgeError> {
        Ok(())
    }
    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        self.state.lock().unwrap().signals.push(signal);
        if signal == ExecutionSignal::Kill {
            self.end(&execution.execution_id, ExitCause::Killed);
        }
        Ok(())
    }
    fn poll_execution_event(&self, execution: &ExecutionRef) -> Result<Option<ExecutionEvent>, BridgeError> {
        if self.breaks {
            return Err(BridgeError::new(ErrorCode::PlaneFault, "it broke"));
        }
        let mut state = self.state.lock().unwrap();
        Ok(state.told.get_mut(&execution.execution_id).and_then(VecDeque::pop_front))
    }
    fn forget_vm(&self, vm_id: &VmId) {
        let ids: Vec<_> = self.state.lock().unwrap().running.keys().cloned().collect();
        for id in ids {
            self.end(&id, ExitCause::Killed);
        }
        self.state.lock().unwrap().forgotten.push(vm_id.clone());
    }
}

fn vm_on(plane: &Pretender, lines: &str) -> Vm {
    let policy = Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles).unwrap();
    Kernel::builder(plane.clone()).build().unwrap().create_vm(VmSpec::new(policy)).unwrap()
}

/// Time stands still but for the waits of the test, so that nothing here depends on how fast the machine is.
#[tokio::test(start_paused = true)]
async fn the_wall_limit_ends_a_run_that_nobody_reads() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "[limits]\nwall = \"5s\"\n");
    let mut run = vm.command("endless").spawn().await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_999)).await;
    assert!(plane.state.lock().unwrap().signals.is_empty());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(plane.state.lock().unwrap().signals, [ExecutionSignal::Kill], "it acts without a reader");
    assert_eq!(run.wait().await.cause, ExitCause::TimedOut { limit_ms: 5_000 });
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_policy_and_command_is_the_limit() {
    for (of_command, expected) in [(1, 1_000), (60, 5_000)] {
        let plane = Pretender::default();
        let vm = vm_on(&plane, "[limits]\nwall = \"5s\"\n");
        let run = vm.command("endless").timeout(Duration::from_secs(of_command)).output().await.unwrap();
        assert_eq!(run.report.cause, ExitCause::TimedOut { limit_ms: expected });
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_by_itself_is_left_alone_by_its_timer() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "[limits]\nwall = \"5s\"\n");
    let output = vm.command("quick").output().await.unwrap();
    assert_eq!(output.report.cause, ExitCause::Exited { code: 0 });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(plane.state.lock().unwrap().signals.is_empty());
}

#[tokio::test]
async fn dropping_a_run_ends_it_and_a_late_event_finds_nobody() {
    let plane = Pretender::default();
    let run = vm_on(&plane, "").command("endless").spawn().await.unwrap();
    let sink = plane.sink();
    drop(run);
    assert_eq!(plane.state.lock().unwrap().signals, [ExecutionSignal::Kill]);
    assert!(!sink.push(ExecutionEvent::Stdout { bytes: vec![1] }));
}

#[tokio::test]
async fn b14_the_last_owner_of_a_vm_forgets_it_and_a_controller_is_none() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "");
    let mut run = vm.command("endless").spawn().await.unwrap();
    let controller = run.controller();
    let id = vm.id().clone();
    drop(vm);
    assert!(plane.state.lock().unwrap().forgotten.is_empty(), "its run keeps it");
    run.kill();
    assert_eq!(run.wait().await.cause, ExitCause::Killed);
    drop(run);
    assert_eq!(plane.state.lock().unwrap().forgotten, [id]);
    assert!(controller.signal(ExecutionSignal::Terminate).is_ok(), "a run that is gone is no error");
    assert_eq!(controller.write_stdin(vec![1]).await.unwrap_err().code(), ErrorCode::IoFailed);
}

#[tokio::test]
async fn b14_forgetting_a_vm_ends_its_runs_at_once() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "");
    let mut run = vm.command("endless").spawn().await.unwrap();
    vm.forget();
    assert_eq!(run.wait().await.cause, ExitCause::Killed);
    assert!(plane.state.lock().unwrap().running.is_empty());
}

#[tokio::test]
async fn b11_a_full_queue_says_so_has_room_again_and_always_takes_the_end() {
    let plane = Pretender::default();
    let mut run = vm_on(&plane, "").command("endless").spawn().await.unwrap();
    let sink = plane.sink();
    let chunk = || ExecutionEvent::Stdout { bytes: vec![0; 1 << 20] };
    let mut taken = 0;
    while sink.try_push(chunk()).is_ok() {
        taken += 1;
    }
    assert!((1..100).contains(&taken), "the queue is bounded in bytes: {taken}");
    assert!(sink.push(report(ExitCause::Killed)), "the end finds room");
    let mut seen = 0;
    while let Some(event) = run.next_event().await {
        seen += usize::from(matches!(event, ExecutionEvent::Stdout { .. }));
    }
    assert_eq!(seen, taken, "nothing of what was taken is lost");
    assert_eq!(run.wait().await.cause, ExitCause::Killed);
    assert!(run.next_event().await.is_none());
}

#[tokio::test]
async fn small_events_are_bounded_in_number() {
    let plane = Pretender::default();
    let _run = vm_on(&plane, "").command("endless").spawn().await.unwrap();
    let sink = plane.sink();
    let taken = (0..1_000_000).take_while(|_| sink.try_push(ExecutionEvent::Continued).is_ok()).count();
    assert!((1..100_000).contains(&taken), "{taken}");
}

#[tokio::test]
async fn input_past_its_limit_does_not_reach_the_plane() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "[limits]\nstdin = \"4B\"\n");
    let run = vm.command("endless").stdin(StreamMode::Piped).spawn().await.unwrap();
    let controller = run.controller();
    controller.write_stdin(b"abc".to_vec()).await.unwrap();
    let refused = controller.clone().write_stdin(b"de".to_vec()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InputLimitExceeded);
    assert_eq!(plane.state.lock().unwrap().written, b"abc");
}

#[tokio::test]
async fn a_polled_plane_is_asked_until_the_end() {
    let plane = Pretender { features: vec![Feature::PolledEvents], ..Pretender::default() };
    let output = vm_on(&plane, "").command("quick").output().await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.report.cause), (&b"onetwo"[..], ExitCause::Exited { code: 0 }));
    let mut endless = vm_on(&plane, "").command("endless").spawn().await.unwrap();
    assert!(matches!(endless.next_event().await, Some(ExecutionEvent::Stdout { .. })));
    endless.kill();
    assert_eq!(endless.wait().await.cause, ExitCause::Killed);
}

#[tokio::test]
async fn a_polled_plane_that_fails_ends_the_run_with_its_error() {
    let plane = Pretender { features: vec![Feature::PolledEvents], breaks: true, ..Pretender::default() };
    let output = vm_on(&plane, "").command("endless").output().await.unwrap();
    assert!(matches!(output.report.cause, ExitCause::PlaneFault { error } if error.code == ErrorCode::PlaneFault));
    assert_eq!(plane.state.lock().unwrap().signals, [ExecutionSignal::Kill]);
}

#[tokio::test]
async fn a_plane_that_cannot_enforce_the_policy_is_passed_over_and_told_of() {
    let (refusing, able) = (Pretender { refuses: true, ..Pretender::default() }, Pretender::default());
    let kernel = Kernel::builder(refusing.clone()).plane(able.clone()).build().unwrap();
    let _vm = kernel.create_vm(VmSpec::default()).unwrap();
    assert_eq!((refusing.state.lock().unwrap().contexts, able.state.lock().unwrap().contexts), (0, 1));
    let refused = Kernel::builder(refusing).build().unwrap().create_vm(VmSpec::default()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UnsupportedBackendFeature);
    assert!(refused.to_string().contains("the moon is down; to mend it: wait for night"), "{refused}");
}

#[test]
fn b5_a_plane_of_another_generation_is_not_used() {
    let foreign = Pretender { generation: Some(CONTRACT_GENERATION + 1), ..Pretender::default() };
    assert_eq!(Kernel::builder(foreign).build().unwrap_err().code(), ErrorCode::InvalidState);
}

#[tokio::test]
async fn c2_nothing_of_the_host_s_environment_crosses_that_the_policy_does_not_name() {
    let plane = Pretender::default();
    let lines = "version = 1\n[environment]\npass = [\"LANG\", \"MY_*\"]\nset = { CI = \"1\" }\n";
    let policy = Policy::parse(lines, "test", &NoFiles).unwrap();
    let host = ["LANG", "MY_VAR", "SECRET_TOKEN", "LD_PRELOAD"].map(|name| (name.to_owned(), "x".to_owned()));
    let spec = VmSpec::new(policy).host_environment(host);
    let vm = Kernel::builder(plane.clone()).build().unwrap().create_vm(spec).unwrap();
    vm.command("quick").env("OWN", "1").output().await.unwrap();
    assert_eq!(plane.state.lock().unwrap().environments, [["CI", "LANG", "MY_VAR", "OWN"]]);
    assert!(!format!("{vm:?}").contains("\"x\""), "values stay out of logs");
}

#[tokio::test]
async fn a_denied_program_is_not_handed_to_the_plane() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "[commands]\nallow = [\"/usr\"]\ndeny = [\"/usr/bin/sudo\"]\n");
    let refused = vm.command("/usr/bin/sudo").spawn().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeniedByPolicy);
    assert!(refused.denial().is_some());
    assert!(plane.state.lock().unwrap().environments.is_empty());
}

#[tokio::test]
async fn what_no_execve_can_carry_is_refused() {
    let vm = vm_on(&Pretender::default(), "");
    for command in [
        vm.command("quick").arg("a\0b"),
        vm.command("quick").env("A=B", "x"),
        vm.command("quick").env("", "x"),
        vm.command("quick").env("A", "\0"),
    ] {
        assert_eq!(command.spawn().await.unwrap_err().code(), ErrorCode::RequestInvalid);
    }
}

#[test]
fn without_a_runtime_a_start_is_refused_and_not_a_panic() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "");
    let mut starting = std::pin::pin!(vm.command("quick").spawn());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = starting.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::InvalidState);
    assert!(plane.state.lock().unwrap().running.is_empty());
}

#[test]
fn a_plane_that_knows_no_profiles_of_system_calls_is_refused_them_whatever_it_answers() {
    let calls = |plane: &Pretender, word: &str| {
        let policy =
            Policy::parse(&format!("version = 1\n[commands]\ncalls = \"{word}\"\n"), "test", &NoFiles).unwrap();
        Kernel::builder(plane.clone()).build().unwrap().create_vm(VmSpec::new(policy)).map(drop)
    };
    let plain = Pretender::default();
    assert!(calls(&plain, "usual").is_ok());
    for word in ["no-exec", "compute"] {
        let error = calls(&plain, word).unwrap_err();
        assert!(error.to_string().contains(&format!("commands.calls = \"{word}\"")), "{error}");
        assert!(calls(&Pretender { features: vec![Feature::CallProfiles], ..Pretender::default() }, word).is_ok());
    }
}

#[test]
fn r6_what_an_overlay_would_not_keep_apart_is_named() {
    let plane = Pretender::default();
    let told = |lines: &str| {
        let policy = Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles).unwrap();
        let kernel = Kernel::builder(plane.clone()).build().unwrap();
        let vm = kernel.create_vm(VmSpec::new(policy).workspace("/w")).unwrap();
        vm.keeps_everything_apart().map_err(|error| error.error().message.clone())
    };
    let apart = "[filesystem]\nwrite = [\"{workspace}\", \"{tmp}\"]\nchanges = \"overlay\"\n";
    told(apart).unwrap();
    assert!(told("").unwrap_err().contains("the workspace"));
    assert!(told(&format!("{apart}[network]\nmode = \"inherit\"\n")).unwrap_err().contains("network"));
    let beside = apart.replace("{tmp}", "/srv/beside");
    assert!(told(&beside).unwrap_err().contains("/srv/beside"));
    let pattern = apart.replace("{tmp}", "/srv/*/x");
    assert!(told(&pattern).unwrap_err().contains("/srv/*/x"));
}

#[test]
fn r6_a_dry_run_asks_the_plane_to_start_nothing_and_needs_no_runtime() {
    let plane = Pretender::default();
    let vm = vm_on(&plane, "[commands]\nallow = [\"/usr\"]\ndeny = [\"/usr/bin/x\"]\n");
    let told = vm.command("/usr/bin/true").env("NAME", "a-secret").dry_run(&[]).unwrap();
    assert!(told.would_start && told.environment.contains(&"NAME".to_owned()), "{told:?}");
    assert!(!serde_json::to_string(&told).unwrap().contains("a-secret"));
    let refused = vm.command("/usr/bin/x").dry_run(&[]).unwrap();
    assert!(!refused.would_start && refused.refusal.is_some());
}
