//! The promises of the bridge, one test each, named by the row of the behaviours they come from.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::call::{CallContext, CancelFlag};
use cofferdam_bridge::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink, Timestamp,
};
use cofferdam_bridge::contract::{BridgeContract, Caller, Convention};
use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::dispatch::{implemented, schemas};
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, ExecutionBridge, ExecutionRef, ExecutionSignal, GuestOutcome, GuestReply,
    StartExecutionRequest, StartedExecution,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{CallId, ContextId, ExecutionId, VmId};
use cofferdam_bridge::in_memory::{DenyEverything, ManualClock, MemoryPersistence, Recorded, Recorder, SeededRandom};
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::permission::{
    CommandPermissionRequest, EnvironmentAccess, EnvironmentPermissionRequest, FilesystemAccess,
    FilesystemPermissionRequest, NetworkAccess, NetworkPermissionRequest, PermissionBridge, PermissionVerdict,
    Requester,
};
use cofferdam_bridge::persistence::{
    FilesystemSnapshot, FlushFilesystemStateRequest, LoadFilesystemStateRequest, PersistenceBridge,
};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::random::{FillRandomBytesRequest, RandomBridge};
use cofferdam_bridge::telemetry::{EventBridge, LogLevel, LogRecord};
use cofferdam_bridge::usage::Usage;
use cofferdam_bridge::verdict::Verdict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn vm() -> VmId {
    VmId::new("vm-1")
}

fn call() -> CallContext {
    CallContext::unbounded()
}

#[track_caller]
fn survives_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
}

#[test]
fn b1_requests_and_answers_survive_json_and_refuse_what_they_do_not_know() {
    survives_json(&FilesystemPermissionRequest::new(requester(), FilesystemAccess::Write, "/w/x"));
    survives_json(&NetworkPermissionRequest::new(requester(), NetworkAccess::Dns, "example.org", None));
    survives_json(&EnvironmentPermissionRequest::new(requester(), EnvironmentAccess::Read, "LANG"));
    survives_json(&CommandPermissionRequest::new(requester(), "/usr/bin/git", "/w"));
    survives_json(&PermissionVerdict::deny("no"));
    survives_json(&FilesystemSnapshot::new("tar", vec![1, 2, 3]));
    survives_json(&ScheduleTimerRequest::new(vm(), 5_u64));
    let unknown = r#"{"vm_id":"v","delay_nanoseconds":5,"surprise":1}"#;
    assert!(serde_json::from_str::<ScheduleTimerRequest>(unknown).is_err());
}

#[test]
fn b1_every_request_and_answer_has_a_schema() {
    for (operation, schema) in schemas() {
        for part in [&schema.request, &schema.answer] {
            assert!(part.get("$schema").is_some(), "{operation}");
        }
        assert!(schema.request.get("description").is_some(), "{operation} is not described");
    }
}

#[test]
fn b2_contract_and_traits_name_the_same_operations_and_types() {
    let contract = BridgeContract::embedded().unwrap();
    assert_eq!(contract.version, CONTRACT_GENERATION);
    let mut named: Vec<_> =
        contract.groups.iter().map(|group| (group.operation.clone(), group.request.clone())).collect();
    let mut there: Vec<_> = implemented().into_iter().map(|(name, request)| (name.to_owned(), request)).collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn b2_each_convention_occurs_and_module_loading_is_there() {
    let contract = BridgeContract::embedded().unwrap();
    for convention in [Convention::Sync, Convention::Async, Convention::SyncPromise] {
        assert!(contract.groups.iter().any(|group| group.convention == convention), "{convention:?}");
    }
    for (name, types) in [
        ("_resolveModule", &["specifier: string", "fromDir: string", "mode?: \"require\" | \"import\""][..]),
        ("_resolveModuleSync", &["specifier: string", "fromDir: string", "mode?: \"require\" | \"import\""]),
        ("_loadFile", &["path: string"]),
        ("_loadFileSync", &["path: string"]),
        ("_moduleFormat", &["filename: string"]),
    ] {
        let group = contract.find(name).unwrap();
        assert_eq!(
            (group.convention, group.argument_types.as_slice()),
            (Convention::SyncPromise, strings(types).as_slice())
        );
    }
    let module_format = contract.find("_moduleFormat").unwrap();
    assert_eq!(module_format.return_type, "\"module\" | \"commonjs\" | \"json\" | null");
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn b2_a_name_that_stands_twice_is_no_contract() {
    let text = cofferdam_bridge::contract::BRIDGE_CONTRACT_JSON.replacen("_loadFileSync", "_loadFile", 1);
    assert_eq!(BridgeContract::parse(&text).unwrap_err().code, ErrorCode::ContractInvalid);
    assert_eq!(BridgeContract::parse("{").unwrap_err().code, ErrorCode::ContractInvalid);
}

/// A plane with nothing but what it must have.
struct Least;

impl BridgeTypes for Least {
    type Error = BridgeError;
}

impl ExecutionBridge for Least {
    fn describe(&self) -> PlaneDescriptor {
        PlaneDescriptor::new("least", "0.0.1")
    }
    fn preflight(&self, _: &ExecutionProfile) -> Preflight {
        Preflight::new(Enforcement::new(Tier::None))
    }
    fn start_execution(
        &self,
        _: StartExecutionRequest,
        _: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        Ok(StartedExecution::new(None))
    }
    fn write_stdin(&self, _: &ExecutionRef, _: &[u8]) -> Result<(), BridgeError> {
        Ok(())
    }
    fn close_stdin(&self, _: &ExecutionRef) -> Result<(), BridgeError> {
        Ok(())
    }
    fn kill_execution(&self, _: &ExecutionRef, _: ExecutionSignal) -> Result<(), BridgeError> {
        Ok(())
    }
    fn forget_vm(&self, _: &VmId) {}
}

#[test]
fn b3_native_programs_are_a_runtime_of_their_own_and_refused_where_a_plane_has_none() {
    let request = CreateCommandContextRequest::new(vm(), ExecutionProfile::closed("test"));
    survives_json(&request);
    assert_eq!(Least.create_command_context(request).unwrap_err().code, ErrorCode::UnsupportedOperation);
}

#[test]
fn b4_a_guest_s_call_is_answered_by_its_id() {
    let execution = ExecutionRef::new(vm(), ExecutionId::new("run-1"));
    let asked = ExecutionEvent::GuestRequest {
        call_id: CallId::new("7"),
        operation: "_loadFile".to_owned(),
        payload: serde_json::json!({"path": "/x"}),
    };
    survives_json(&asked);
    for outcome in [
        GuestOutcome::Value(serde_json::json!("text")),
        GuestOutcome::Error(BridgeError::new(ErrorCode::Cancelled, "cancelled")),
    ] {
        let reply = GuestReply::new(execution.clone(), CallId::new("7"), outcome);
        survives_json(&reply);
        assert_eq!(Least.reply_to_guest(reply).unwrap_err().code, ErrorCode::UnsupportedOperation);
    }
}

#[test]
fn b5_a_plane_says_what_it_is() {
    let mut descriptor = Least.describe();
    descriptor.features = vec![Feature::Commands];
    descriptor.limits = vec![LimitName::Memory];
    descriptor.tiers = vec![Tier::Landlock, Tier::Full];
    assert_eq!(descriptor.contract_generation, CONTRACT_GENERATION);
    survives_json(&descriptor);
}

/// Remembers which timers fired.
#[derive(Default)]
struct Fired(Mutex<Vec<(VmId, u64)>>);

impl TimerSink for Fired {
    fn timer_fired(&self, vm_id: &VmId, timer: ScheduledTimer) {
        self.0.lock().unwrap().push((vm_id.clone(), timer.timer_id));
    }
}

#[test]
fn b9_timers_fire_as_events_in_their_order_unless_they_are_cancelled() {
    let (clock, fired) =
        (ManualClock::new(Timestamp { seconds: 100, nanoseconds: 999_999_999 }), Arc::new(Fired::default()));
    let timer = |delay: u64| {
        clock.schedule_timer(&call(), ScheduleTimerRequest::new(vm(), delay), fired.clone()).unwrap().timer_id
    };
    let (late, early, never) = (timer(20), timer(10), timer(15));
    let cancel = |vm_id: VmId| clock.cancel_timer(&call(), CancelTimerRequest::new(vm_id, never)).unwrap();
    assert!(!cancel(VmId::new("another")), "a VM cancels its own timers only");
    assert!(cancel(vm()) && !cancel(vm()));
    clock.advance(Duration::from_nanos(10));
    assert_eq!(*fired.0.lock().unwrap(), [(vm(), early)]);
    clock.advance(Duration::from_nanos(100));
    assert_eq!(*fired.0.lock().unwrap(), [(vm(), early), (vm(), late)]);
    let now = clock.wall_clock(&call(), ClockRequest::new(vm())).unwrap();
    assert_eq!(now, Timestamp { seconds: 101, nanoseconds: 109 });
}

fn requester() -> Requester {
    let mut requester = Requester::new(vm(), ExecutionId::new("run-1"));
    requester.process = Some(12);
    requester.program = Some("git".to_owned());
    requester
}

#[test]
fn b10_a_permission_request_says_who_asks() {
    let request = FilesystemPermissionRequest::new(requester(), FilesystemAccess::Read, "/x");
    let json = serde_json::to_value(&request).unwrap();
    let expected = serde_json::json!({"vm_id": "vm-1", "execution_id": "run-1", "process": 12, "program": "git"});
    assert_eq!(json["requester"], expected);
}

#[test]
fn b11_a_call_ends_with_its_deadline_or_when_it_is_cancelled() {
    let flag = CancelFlag::new();
    let call = CallContext::unbounded().until(Duration::from_secs(2)).cancelled_by(flag.clone());
    assert!(call.check(Duration::from_secs(1)).is_ok());
    let late = call.check(Duration::from_secs(2)).unwrap_err();
    assert_eq!((late.code, late.retryable), (ErrorCode::DeadlineExceeded, true));
    flag.cancel();
    assert_eq!(call.check(Duration::ZERO).unwrap_err().code, ErrorCode::Cancelled);
}

#[test]
fn b11_a_full_queue_says_so_and_loses_nothing() {
    let recorder = Recorder::new(2);
    let emit = |text: &str| recorder.emit_log(&call(), LogRecord::new(vm(), LogLevel::Info, text));
    emit("one").unwrap();
    emit("two").unwrap();
    let full = emit("three").unwrap_err();
    assert_eq!((full.code, full.retryable), (ErrorCode::QueueFull, true));
    assert!(matches!(recorder.take().as_slice(), [Recorded::Log(one), Recorded::Log(_)] if one.message == "one"));
    emit("three").unwrap();
}

#[test]
fn b12_what_a_permission_bridge_leaves_out_is_denied() {
    let bridge = DenyEverything;
    let verdicts = [
        bridge.check_filesystem_access(
            &call(),
            FilesystemPermissionRequest::new(requester(), FilesystemAccess::Stat, "/"),
        ),
        bridge.check_network_access(
            &call(),
            NetworkPermissionRequest::new(requester(), NetworkAccess::Fetch, "x", Some(1)),
        ),
        bridge.check_command_execution(&call(), CommandPermissionRequest::new(requester(), "/bin/sh", "/")),
        bridge.check_environment_access(
            &call(),
            EnvironmentPermissionRequest::new(requester(), EnvironmentAccess::Read, "X"),
        ),
    ];
    for verdict in verdicts {
        assert!(!verdict.unwrap().is_allowed());
    }
    assert!(!PermissionVerdict::prompt("ask").is_allowed(), "a prompt is no yes");
}

#[test]
fn b12_every_operation_has_bounds_and_names_what_it_touches() {
    for group in &BridgeContract::embedded().unwrap().groups {
        assert!(group.max_argument_bytes > 0 && group.max_result_bytes > 0, "{}", group.operation);
        let schema = &schemas()[&group.operation].request;
        for permission in &group.permissions {
            let argument = &schema["properties"][&permission.argument];
            assert_eq!(argument["type"], "string", "{}: {}", group.operation, permission.argument);
        }
        let touches = group.operation.starts_with("filesystem.") || group.operation.starts_with("module.");
        let free = group.operation == "filesystem.unwatch" || group.caller == Caller::Kernel;
        assert_eq!(group.permissions.is_empty(), !touches || free, "{}", group.operation);
    }
}

#[test]
fn b13_an_end_tells_its_cause_and_what_was_used() {
    for cause in [
        ExitCause::Exited { code: 3 },
        ExitCause::Signalled { signal: 9, core_dumped: false },
        ExitCause::TimedOut { limit_ms: 10 },
        ExitCause::Limit { limit: LimitName::Memory, value: 1, observed: 2, held_by: "cgroup v2".to_owned() },
        ExitCause::PlaneFault { error: BridgeError::new(ErrorCode::PlaneFault, "x") },
    ] {
        survives_json(&ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full)));
    }
}

#[test]
fn b14_what_is_kept_for_a_vm_is_gone_when_it_is_forgotten() {
    let kept = MemoryPersistence::new();
    let snapshot = FilesystemSnapshot::new("test", vec![1; 1000]);
    kept.flush_filesystem_state(&call(), FlushFilesystemStateRequest::new(vm(), snapshot.clone())).unwrap();
    let load = || kept.load_filesystem_state(&call(), LoadFilesystemStateRequest::new(vm())).unwrap();
    assert_eq!(load(), Some(snapshot));
    kept.forget_vm(&vm());
    assert_eq!(load(), None);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_no_more_than_asked() {
    let bytes = |seed, length: u32| {
        SeededRandom::new(seed).fill_random_bytes(&call(), FillRandomBytesRequest::new(vm(), length))
    };
    assert_eq!(bytes(1, 100).unwrap(), bytes(1, 100).unwrap());
    assert_ne!(bytes(1, 100).unwrap(), bytes(2, 100).unwrap());
    assert_eq!(bytes(1, 13).unwrap().len(), 13);
    assert_eq!(bytes(1, 65_537).unwrap_err().code, ErrorCode::RequestInvalid);
    // The first output for seed 0, as the paper's reference has it.
    assert_eq!(bytes(0, 8).unwrap(), 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
}

#[test]
fn a_verdict_is_allow_deny_or_prompt() {
    let words: Vec<_> =
        [Verdict::Allow, Verdict::Deny, Verdict::Prompt].iter().map(|v| serde_json::to_value(v).unwrap()).collect();
    assert_eq!(words, ["allow", "deny", "prompt"]);
    let _ = ContextId::new("x");
}
