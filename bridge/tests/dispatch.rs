//! A guest's calls, answered through the contract: what is not allowed reaches no bridge.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink, Timestamp,
};
use cofferdam_bridge::dispatch::Dispatcher;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::{ExecBridge, RunProgram, RunProgramRequest};
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::filesystem::*;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::in_memory::{ManualClock, MemoryFilesystem, MemoryPersistence, Recorder, SeededRandom};
use cofferdam_bridge::module::{ModuleBridge, ModuleFormat, ModuleFormatRequest, ResolveModuleRequest};
use cofferdam_bridge::permission::{FilesystemPermissionRequest, PermissionBridge, PermissionVerdict, Requester};
use cofferdam_bridge::persistence::*;
use cofferdam_bridge::random::{FillRandomBytesRequest, RandomBridge};
use cofferdam_bridge::telemetry::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Everything in memory. What lies in `/secret` is not for guests.
struct Host {
    files: MemoryFilesystem,
    clock: ManualClock,
    random: SeededRandom,
    recorder: Recorder,
    kept: MemoryPersistence,
}

impl BridgeTypes for Host {
    type Error = BridgeError;
}

macro_rules! by {
    ($bridge:ident, $part:ident { $($method:ident($request:ty $(, $sink:ty)?) -> $answer:ty;)* }) => {
        impl $bridge for Host {
            $(fn $method(&self, call: &CallContext, request: $request $(, sink: $sink)?) -> Result<$answer, BridgeError> {
                self.$part.$method(call, request $(, { let sink: $sink = sink; sink })?)
            })*
        }
    };
}

by!(FilesystemBridge, files {
    read_file(PathRequest) -> Vec<u8>; read_range(ReadRangeRequest) -> Vec<u8>; write_file(WriteFileRequest) -> ();
    write_range(WriteRangeRequest) -> (); append_file(WriteFileRequest) -> (); stat(PathRequest) -> FileMetadata;
    lstat(PathRequest) -> FileMetadata; read_dir(PathRequest) -> Vec<DirectoryEntry>;
    create_dir(CreateDirectoryRequest) -> (); remove_file(PathRequest) -> (); remove_dir(PathRequest) -> ();
    rename(TwoPathsRequest) -> (); copy(TwoPathsRequest) -> (); hard_link(TwoPathsRequest) -> ();
    symlink(SymlinkRequest) -> (); read_link(PathRequest) -> String; chmod(ChmodRequest) -> ();
    truncate(TruncateRequest) -> (); set_times(SetTimesRequest) -> (); canonicalize(PathRequest) -> String;
    exists(PathRequest) -> bool; unwatch(UnwatchRequest) -> (); watch(WatchRequest, Arc<dyn WatchSink>) -> u64;
});
by!(ClockBridge, clock {
    wall_clock(ClockRequest) -> Timestamp; monotonic_clock(ClockRequest) -> Duration;
    cancel_timer(CancelTimerRequest) -> bool; schedule_timer(ScheduleTimerRequest, Arc<dyn TimerSink>) -> ScheduledTimer;
});
by!(RandomBridge, random { fill_random_bytes(FillRandomBytesRequest) -> Vec<u8>; });
by!(EventBridge, recorder {
    emit_structured_event(StructuredEvent) -> (); emit_diagnostic(Diagnostic) -> (); emit_log(LogRecord) -> ();
    emit_lifecycle(LifecycleEvent) -> ();
});
by!(PersistenceBridge, kept {
    load_filesystem_state(LoadFilesystemStateRequest) -> Option<FilesystemSnapshot>;
    flush_filesystem_state(FlushFilesystemStateRequest) -> ();
});

impl ExecBridge for Host {
    /// Answers what it is asked.
    fn run_program(&self, _: &CallContext, request: RunProgramRequest) -> Result<Value, BridgeError> {
        assert_eq!(request.vm_id, VmId::new("vm"));
        RunProgram::from_value(request.request).map(|request| request.stdin_json)
    }
}

impl ModuleBridge for Host {
    fn resolve_module(&self, call: &CallContext, request: ResolveModuleRequest) -> Result<String, BridgeError> {
        self.files
            .canonicalize(call, PathRequest::new(request.vm_id, format!("{}/{}", request.from_dir, request.specifier)))
    }
    fn load_file(&self, call: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        Ok(String::from_utf8_lossy(&self.files.read_file(call, request)?).into_owned())
    }
    fn module_format(
        &self,
        _: &CallContext,
        request: ModuleFormatRequest,
    ) -> Result<Option<ModuleFormat>, BridgeError> {
        Ok(request.filename.ends_with(".mjs").then_some(ModuleFormat::Module))
    }
}

impl PermissionBridge for Host {
    fn check_filesystem_access(
        &self,
        _: &CallContext,
        request: FilesystemPermissionRequest,
    ) -> Result<PermissionVerdict, BridgeError> {
        assert_eq!(request.requester.execution_id, ExecutionId::new("run"));
        let secret = request.path == "/secret" || request.path.starts_with("/secret/");
        Ok(if secret { PermissionVerdict::deny("secret") } else { PermissionVerdict::allow() })
    }
}

struct Nobody;

impl WatchSink for Nobody {
    fn changed(&self, _: u64, _: &str, _: FileChange) -> bool {
        false
    }
}

impl TimerSink for Nobody {
    fn timer_fired(&self, _: &VmId, _: ScheduledTimer) {}
}

fn dispatcher() -> Dispatcher<Arc<Host>> {
    let files = MemoryFilesystem::default();
    let (call, vm) = (CallContext::unbounded(), || VmId::new("vm"));
    for place in ["/secret", "/open"] {
        files.create_dir(&call, CreateDirectoryRequest::new(vm(), place, false)).unwrap();
        files.write_file(&call, WriteFileRequest::new(vm(), format!("{place}/f.mjs"), *b"text")).unwrap();
    }
    let host = Host {
        files,
        clock: ManualClock::default(),
        random: SeededRandom::new(1),
        recorder: Recorder::new(10),
        kept: MemoryPersistence::new(),
    };
    Dispatcher::new(Arc::new(host), Arc::new(Nobody), Arc::new(Nobody))
}

fn ask(dispatcher: &Dispatcher<Arc<Host>>, name: &str, arguments: Value) -> Result<Value, ErrorCode> {
    let requester = Requester::new(VmId::new("vm"), ExecutionId::new("run"));
    dispatcher.call(&CallContext::unbounded(), &requester, name, arguments).map_err(|error| error.code)
}

#[test]
fn what_is_allowed_is_answered() {
    let guest = dispatcher();
    let ask = |name, arguments| ask(&guest, name, arguments);
    assert_eq!(ask("_loadFile", json!({"path": "/open/f.mjs"})), Ok(json!("text")));
    assert_eq!(ask("_loadFileSync", json!({"path": "/open/../open/f.mjs"})), Ok(json!("text")));
    assert_eq!(ask("_moduleFormat", json!({"filename": "/open/f.mjs"})), Ok(json!("module")));
    let resolve = json!({"specifier": "./f.mjs", "from_dir": "/open", "mode": "import"});
    assert_eq!(ask("_resolveModule", resolve), Ok(json!("/open/f.mjs")));
    assert_eq!(ask("_filesystemAppendFile", json!({"path": "/open/f.mjs", "contents": [33]})), Ok(Value::Null));
    assert_eq!(ask("_filesystemStatSync", json!({"path": "/open/f.mjs"})).unwrap()["size"], 5);
    assert_eq!(ask("_clockMonotonicClock", Value::Null), Ok(json!({"secs": 0, "nanos": 0})));
    assert_eq!(ask("_clockScheduleTimer", json!({"delay_nanoseconds": 5})).unwrap()["timer_id"], 1);
    assert_eq!(ask("_filesystemWatch", json!({"path": "/open", "recursive": true})), Ok(json!(1)));
    assert_eq!(ask("_randomFillRandomBytes", json!({"length": 4})).unwrap().as_array().map(Vec::len), Some(4));
    assert_eq!(ask("_eventEmitLog", json!({"level": "info", "message": "hello"})), Ok(Value::Null));
}

#[test]
fn b12_what_is_not_allowed_reaches_no_bridge_by_whatever_way() {
    let guest = dispatcher();
    let ask = |name, arguments| ask(&guest, name, arguments);
    ask("_filesystemSymlink", json!({"target": "../secret", "path": "/open/link"})).unwrap();
    ask("_filesystemSymlink", json!({"target": "/secret/f.mjs", "path": "/open/file"})).unwrap();
    let denied = Err(ErrorCode::DeniedByPolicy);
    for path in ["/secret/f.mjs", "/open/../secret/f.mjs", "/open/link/f.mjs", "/open/file", "//secret/./f.mjs"] {
        for name in ["_loadFile", "_filesystemReadFileSync", "_filesystemStat", "_filesystemExists", "_filesystemChmod"]
        {
            let mut arguments = json!({ "path": path });
            if name.ends_with("Chmod") {
                arguments["mode"] = json!(0o777);
            }
            assert_eq!(ask(name, arguments), denied, "{name} {path}");
        }
        assert_eq!(ask("_filesystemWriteFile", json!({"path": path, "contents": []})), denied, "{path}");
        assert_eq!(ask("_filesystemCopy", json!({"from": path, "to": "/open/copy"})), denied, "{path}");
        assert_eq!(ask("_filesystemCopy", json!({"from": "/open/f.mjs", "to": path})), denied, "{path}");
    }
    // A link itself may be looked at and removed; what it leads to stays.
    assert!(ask("_filesystemReadLink", json!({"path": "/open/file"})).is_ok());
    assert!(ask("_filesystemRemoveFile", json!({"path": "/open/file"})).is_ok());
    assert_eq!(ask("_filesystemRename", json!({"from": "/open/link/f.mjs", "to": "/open/x"})), denied);
    assert_eq!(ask("_filesystemHardLink", json!({"from": "/secret/f.mjs", "to": "/open/x"})), denied);
    assert_eq!(ask("_filesystemWriteFile", json!({"path": "/open/link/new", "contents": [1]})), denied);
    assert_eq!(ask("_filesystemCreateDir", json!({"path": "/secret/new", "recursive": true})), denied);
}

#[test]
fn b12_what_does_not_fit_the_contract_is_refused() {
    let guest = dispatcher();
    let ask = |name, arguments| ask(&guest, name, arguments);
    let invalid = Err(ErrorCode::RequestInvalid);
    assert_eq!(ask("_nothing", json!({})), Err(ErrorCode::UnknownOperation));
    assert_eq!(ask("filesystem.read_file", json!({"path": "/open/f.mjs"})), Err(ErrorCode::UnknownOperation));
    assert_eq!(ask("_persistenceLoadFilesystemState", json!({})), Err(ErrorCode::DeniedByPolicy), "the kernel's alone");
    assert_eq!(ask("_loadFile", json!({"path": "/open/f.mjs", "vm_id": "other"})), invalid);
    assert_eq!(ask("_loadFile", json!({"path": 5})), invalid);
    assert_eq!(ask("_loadFile", json!({})), invalid);
    assert_eq!(ask("_loadFile", json!(["/open/f.mjs"])), invalid);
    assert_eq!(ask("_loadFile", json!({"path": "/open/f.mjs", "more": 1})), invalid);
    assert_eq!(ask("_loadFile", json!({"path": "open/f.mjs"})), Err(ErrorCode::PathInvalid));
    assert_eq!(ask("_loadFile", json!({"path": "/x\0"})), Err(ErrorCode::PathInvalid));
    assert_eq!(ask("_loadFile", json!({"path": "/".repeat(10_000)})), invalid, "too large");
    assert_eq!(ask("_clockCancelTimer", json!({"timer_id": -1})), invalid);
}

#[test]
fn b11_a_call_whose_time_is_over_is_not_begun() {
    let guest = dispatcher();
    let requester = Requester::new(VmId::new("vm"), ExecutionId::new("run"));
    let late = CallContext::unbounded().until(Duration::ZERO);
    let arguments = json!({"path": "/open/new", "contents": [1]});
    let refused = guest.call(&late, &requester, "_filesystemWriteFile", arguments).unwrap_err();
    assert_eq!(refused.code, ErrorCode::DeadlineExceeded);
    assert_eq!(ask(&guest, "_filesystemExists", json!({"path": "/open/new"})), Ok(json!(false)));
}

#[test]
fn a_payload_stands_in_no_error() {
    let guest = dispatcher();
    let requester = Requester::new(VmId::new("vm"), ExecutionId::new("run"));
    let arguments = json!({"path": "/open/f.mjs", "contents": "SECRET-PAYLOAD"});
    let error = guest.call(&CallContext::unbounded(), &requester, "_filesystemWriteFile", arguments).unwrap_err();
    assert!(!format!("{error:?}").contains("SECRET-PAYLOAD"), "{error:?}");
}

#[test]
fn a_program_is_run_for_a_guest_in_its_own_vm() {
    let guest = dispatcher();
    let request = json!({"kind": "run_program_v1", "program_path": "/bin/x", "stdin_json": {"a": 1}});
    assert_eq!(ask(&guest, "_execRunProgram", json!({ "request": request })), Ok(json!({"a": 1})));
    assert_eq!(ask(&guest, "_execRunProgram", json!({ "request": {} })), Err(ErrorCode::ExecRequestInvalid));
    let other = json!({ "request": request, "vm_id": "other" });
    assert_eq!(ask(&guest, "_execRunProgram", other), Err(ErrorCode::RequestInvalid));
}
