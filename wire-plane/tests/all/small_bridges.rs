//! The small bridges behind the wire do what they do in this process, and the kit finds what is wrong with them there, too.

use crate::fixture::LONG;
use cofferdam_bridge::call::{CallContext, CancelFlag};
use cofferdam_bridge::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink, Timestamp,
};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::{ExecBridge, RunProgramRequest};
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::filesystem::*;
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::in_memory::{
    DenyEverything, ManualClock, MemoryFilesystem, MemoryPersistence, Recorder, SeededRandom,
};
use cofferdam_bridge::module::{ModuleBridge, ModuleFormat, ModuleFormatRequest, ResolveModuleRequest};
use cofferdam_bridge::permission::{
    CommandPermissionRequest, EnvironmentPermissionRequest, FilesystemPermissionRequest, NetworkPermissionRequest,
    PermissionBridge, PermissionVerdict,
};
use cofferdam_bridge::persistence::*;
use cofferdam_bridge::random::{FillRandomBytesRequest, RandomBridge};
use cofferdam_bridge::telemetry::*;
use cofferdam_contract::conformance::Kit;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_wire_plane::{Notices, Operations, RemoteBridges, SmallBridges, Transport, WirePlane, serve};
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Everything in memory.
struct Host {
    files: MemoryFilesystem,
    clock: Arc<ManualClock>,
    random: SeededRandom,
    recorder: Recorder,
    kept: MemoryPersistence,
    policy: DenyEverything,
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
by!(PermissionBridge, policy {
    check_filesystem_access(FilesystemPermissionRequest) -> PermissionVerdict;
    check_network_access(NetworkPermissionRequest) -> PermissionVerdict;
    check_command_execution(CommandPermissionRequest) -> PermissionVerdict;
    check_environment_access(EnvironmentPermissionRequest) -> PermissionVerdict;
});

impl ExecBridge for Host {
    /// Answers what it is asked.
    fn run_program(&self, _: &CallContext, request: RunProgramRequest) -> Result<Value, BridgeError> {
        Ok(request.request)
    }
}

impl ModuleBridge for Host {
    fn resolve_module(&self, _: &CallContext, request: ResolveModuleRequest) -> Result<String, BridgeError> {
        Ok(format!("{}/{}", request.from_dir, request.specifier))
    }
    fn load_file(&self, call: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        Ok(String::from_utf8_lossy(&self.files.read_file(call, request)?).into_owned())
    }
    fn module_format(&self, _: &CallContext, _: ModuleFormatRequest) -> Result<Option<ModuleFormat>, BridgeError> {
        Ok(None)
    }
}

fn served(operations: Option<Arc<dyn Operations>>, encoding: Encoding) -> RemoteBridges {
    let (ours, its) = UnixStream::pair().unwrap();
    let plane = Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap());
    thread::spawn(move || serve(plane, operations, Transport::socket(its).unwrap()));
    RemoteBridges::new(Arc::new(WirePlane::over(ours, &[encoding]).unwrap()))
}

fn host(encoding: Encoding) -> (RemoteBridges, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let host = Host {
        files: MemoryFilesystem::default(),
        clock: clock.clone(),
        random: SeededRandom::new(7),
        recorder: Recorder::new(100),
        kept: MemoryPersistence::default(),
        policy: DenyEverything,
    };
    (served(Some(Arc::new(SmallBridges::new(host))), encoding), clock)
}

fn all_of(bridges: &RemoteBridges) -> Kit {
    Kit::new("remote")
        .filesystem(bridges.clone())
        .clock(bridges.clone())
        .random(bridges.clone())
        .permission(bridges.clone())
        .persistence(bridges.clone())
        .events(bridges.clone())
}

#[test]
fn b6_the_small_bridges_behind_the_wire_pass_the_kit() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let report = all_of(&host(encoding).0).run();
        assert!(report.passed() && report.count().0 >= 100, "{encoding:?}: {}", report.text());
    }
}

/// Answers as `SmallBridges` does, but one operation wrongly.
struct Wrong(SmallBridges<Host>, &'static str);

impl Operations for Wrong {
    fn groups(&self) -> Vec<String> {
        self.0.groups()
    }

    fn perform(&self, operation: &str, params: Data, notices: Arc<dyn Notices>) -> Result<Data, BridgeError> {
        let answer = self.0.perform(operation, params, notices)?;
        Ok(if operation == self.1 { Data::Null } else { answer })
    }
}

#[test]
fn b7_the_kit_finds_an_operation_that_is_answered_wrongly_behind_the_wire() {
    for operation in
        ["filesystem.stat", "clock.monotonic_clock", "random.fill_random_bytes", "permission.check_network_access"]
    {
        let host = Host {
            files: MemoryFilesystem::default(),
            clock: Arc::new(ManualClock::default()),
            random: SeededRandom::new(7),
            recorder: Recorder::new(100),
            kept: MemoryPersistence::default(),
            policy: DenyEverything,
        };
        let bridges = served(Some(Arc::new(Wrong(SmallBridges::new(host), operation))), Encoding::Cbor);
        let report = all_of(&bridges).run();
        assert!(!report.passed(), "{operation}");
    }
}

#[test]
fn b6_what_a_plane_does_not_announce_is_not_asked_of_it() {
    let bridges = served(None, Encoding::Cbor);
    let error = bridges.wall_clock(&CallContext::unbounded(), ClockRequest::new(VmId::new("vm"))).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnsupportedOperation);
}

#[test]
fn b11_a_call_that_is_not_wanted_any_more_is_not_made() {
    let (bridges, _) = host(Encoding::Cbor);
    let flag = CancelFlag::new();
    flag.cancel();
    let call = CallContext::unbounded().cancelled_by(flag);
    let error = bridges.wall_clock(&call, ClockRequest::new(VmId::new("vm"))).unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
}

struct Fired(Mutex<Sender<(VmId, u64)>>);

impl TimerSink for Fired {
    fn timer_fired(&self, vm_id: &VmId, timer: ScheduledTimer) {
        let _ = self.0.lock().unwrap().send((vm_id.clone(), timer.timer_id));
    }
}

#[test]
fn b9_timers_fire_over_the_wire_once_and_cancelled_ones_do_not() {
    let (bridges, clock) = host(Encoding::Cbor);
    let (sender, fired) = channel();
    let sink = Arc::new(Fired(Mutex::new(sender)));
    let (vm, call) = (VmId::new("vm"), CallContext::unbounded());
    let schedule = |nanoseconds: u64| {
        bridges.schedule_timer(&call, ScheduleTimerRequest::new(vm.clone(), nanoseconds), sink.clone()).unwrap()
    };
    let (first, second, third) = (schedule(1000), schedule(1000), schedule(1000));
    let cancel = |timer: ScheduledTimer| {
        bridges.cancel_timer(&call, CancelTimerRequest::new(vm.clone(), timer.timer_id)).unwrap()
    };
    assert!(cancel(second) && !cancel(second));
    clock.advance(Duration::from_micros(1));
    let mut seen = [fired.recv_timeout(LONG).unwrap(), fired.recv_timeout(LONG).unwrap()];
    seen.sort_by_key(|(_, id)| *id);
    assert_eq!(seen, [(vm.clone(), first.timer_id), (vm.clone(), third.timer_id)]);
    assert!(!cancel(first), "it has fired");
    // Whatever else would have been told has been told before this answer.
    clock.advance(Duration::from_secs(1));
    bridges.wall_clock(&call, ClockRequest::new(vm.clone())).unwrap();
    assert!(fired.try_recv().is_err());
}

struct Seen(Mutex<Sender<(u64, String)>>);

impl WatchSink for Seen {
    fn changed(&self, watch_id: u64, path: &str, _: FileChange) -> bool {
        self.0.lock().unwrap().send((watch_id, path.to_owned())).is_ok()
    }
}

#[test]
fn b8_watches_see_over_the_wire_until_they_are_taken_back() {
    let (bridges, _) = host(Encoding::Json);
    let (sender, seen) = channel();
    let (vm, call) = (VmId::new("vm"), CallContext::unbounded());
    bridges.create_dir(&call, CreateDirectoryRequest::new(vm.clone(), "/a", true)).unwrap();
    let watch = WatchRequest::new(vm.clone(), "/a", true);
    let id = bridges.watch(&call, watch, Arc::new(Seen(Mutex::new(sender)))).unwrap();
    let write = || bridges.write_file(&call, WriteFileRequest::new(vm.clone(), "/a/file", vec![0, 255])).unwrap();
    write();
    assert_eq!(seen.recv_timeout(LONG).unwrap(), (id, "/a/file".to_owned()));
    bridges.unwatch(&call, UnwatchRequest::new(vm.clone(), id)).unwrap();
    while seen.try_recv().is_ok() {}
    write();
    assert!(seen.try_recv().is_err(), "a watch that was taken back still sees");
}
