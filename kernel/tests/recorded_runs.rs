//! R1, R3, R4, R5: what is recorded of runs, and that nothing runs before it is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod staged_plane;

use cofferdam_bridge::audit::{AuditStore, FigureSource};
use cofferdam_bridge::enforcement::Mechanism;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::StartExecutionRequest;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::guard::{MachineFigures, MachineSource};
use cofferdam_bridge::in_memory::{DiskFault, ManualClock, MemoryAudit};
use cofferdam_bridge::verdict::{Denial, Verdict};
use cofferdam_kernel::audit::{ArgumentRecording, AuditSettings, Event, Reader, Record, Recorder, Verifier};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{GuardLimits, Kernel, KernelBuilder, Vm, VmSpec};
use staged_plane::{Course, StagedPlane};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A plane that runs nothing, and looks at the log when it is asked to start something.
#[derive(Clone)]
struct Witness {
    plane: StagedPlane,
    store: MemoryAudit,
    /// What would be left of the log if the power failed at the moment of each start.
    seen: Arc<Mutex<Vec<String>>>,
}

fn report(cause: ExitCause) -> ExecutionReport {
    let mut report = staged_plane::bare_report(cause);
    report.usage.tasks = Some(3);
    report.denials.push(Denial::new("filesystem.write", "/srv/secret"));
    report
}

impl Default for Witness {
    fn default() -> Self {
        let (store, seen) = (MemoryAudit::new(), Arc::new(Mutex::new(Vec::new())));
        let (own, told) = (store.clone(), seen.clone());
        let stage = move |request: &StartExecutionRequest, _: &_| {
            // What is not made sure of by now was written too late.
            own.lose_power();
            told.lock().unwrap().push(String::from_utf8(own.contents().into_values().flatten().collect()).unwrap());
            match request.program.as_str() {
                "missing" => Err(BridgeError::new(ErrorCode::ProgramNotFound, "there is no such program")),
                "endless" => Ok(Course::Runs),
                _ => Ok(Course::Ends(ExitCause::Exited { code: 3 })),
            }
        };
        Self { plane: StagedPlane::new(stage).reporting(report), store, seen }
    }
}

fn recorder(store: &MemoryAudit, arguments: ArgumentRecording) -> Recorder {
    Recorder::open(store.clone(), ManualClock::default(), AuditSettings::new().arguments(arguments))
}

fn kernel(plane: &Witness) -> KernelBuilder {
    Kernel::builder(plane.plane.clone()).audit(recorder(&plane.store, ArgumentRecording::Counted))
}

fn vm(kernel: KernelBuilder) -> Vm {
    let policy =
        Policy::parse("version = 1\n[commands]\nallow = [\"/usr\"]\n[limits]\nwall = \"5s\"\n", "test", &NoFiles);
    kernel.build().unwrap().create_vm(VmSpec::new(policy.unwrap())).unwrap()
}

fn records(store: &MemoryAudit) -> Vec<Record> {
    let mut reader = Reader::new(store);
    let mut all = Vec::new();
    loop {
        match reader.more().unwrap() {
            some if some.is_empty() => break,
            some => all.extend(some.into_iter().map(|read| read.record.unwrap())),
        }
    }
    assert_eq!(faults(store), [0; 0]);
    all
}

/// The numbers of records that are wrong.
fn faults(store: &MemoryAudit) -> Vec<u64> {
    let mut verifier = Verifier::new();
    store.contents().iter().for_each(|(first, bytes)| verifier.segment(*first, bytes));
    verifier.finish().faults.iter().map(|fault| fault.seq).collect()
}

fn kinds(store: &MemoryAudit) -> Vec<&'static str> {
    records(store).iter().map(|record| record.event.kind()).collect()
}

struct Fixed;

impl FigureSource for Fixed {
    fn figures(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("memory_available_bytes".to_owned(), 7)])
    }
}

#[tokio::test]
async fn r1_r4_r5_a_run_is_on_disk_before_it_starts_and_its_end_is_recorded() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane).figures(Fixed));
    let output = vm
        .command("/usr/bin/tool")
        .args(["--token", "S3CRETCANARY"])
        .env("KEY", "S3CRETCANARY")
        .output()
        .await
        .unwrap();
    let seen = plane.seen.lock().unwrap()[0].clone();
    assert!(
        seen.contains("\"kind\":\"started\"") && seen.contains("/usr/bin/tool"),
        "made sure of at the start: {seen}"
    );
    assert_eq!(kinds(&plane.store), ["segment_begin", "started", "decision", "completed"]);
    let records = records(&plane.store);
    let Event::Started(started) = &records[1].event else { unreachable!() };
    assert_eq!(output.audit_sequence, Some(records[1].seq), "the result says where");
    assert_eq!((started.verdict, started.arguments.count, started.timeout_ms), (Verdict::Allow, 2, Some(5000)));
    assert!(started.rule.as_ref().unwrap().text.contains("/usr"), "{:?}", started.rule);
    assert!(started.enforcement.mechanisms.iter().any(|one| one.mechanism == Mechanism::Seccomp && one.held));
    assert_eq!((started.telemetry["memory_available_bytes"], started.telemetry["running"]), (7, 0));
    assert_eq!(records[1].execution.as_ref().unwrap().as_str(), "vm-1-run-1");
    let Event::Completed(ended) = &records[3].event else { unreachable!() };
    assert_eq!((ended.started, ended.usage.tasks, ended.denials), (records[1].seq, Some(3), 1));
    assert_eq!(ended.cause, ExitCause::Exited { code: 3 });
    let Event::Decision(decided) = &records[2].event else { unreachable!() };
    assert_eq!((decided.verdict, decided.subject.as_str()), (Verdict::Deny, "/srv/secret"));
    let text = format!("{:?}", plane.store.contents().into_values().flatten().map(char::from).collect::<String>());
    assert!(!text.contains("S3CRET"), "neither arguments nor environment are there");
}

#[tokio::test]
async fn r7_records_of_a_session_s_runs_name_it() {
    let plane = Witness::default();
    let kernel = kernel(&plane).build().unwrap();
    let vm = kernel.create_vm(VmSpec::default().session("build")).unwrap();
    vm.command("tool").output().await.unwrap();
    drop((vm, kernel));
    let named = records(&plane.store).into_iter().filter(|record| record.session.as_deref() == Some("build")).count();
    assert_eq!(named, 3, "start, decision and end");
}

#[tokio::test]
async fn r3_a_refusal_before_the_start_is_recorded_and_nothing_was_started() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    let error = vm.command("/opt/other").output().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeniedByPolicy);
    assert_eq!(error.error().details["audit_sequence"], 2);
    vm.command("/usr/bin/tool").arg("nul\0").output().await.unwrap_err();
    drop(vm);
    assert_eq!(kinds(&plane.store), ["segment_begin", "refused", "refused"]);
    let Event::Refused(refused) = &records(&plane.store)[1].event else { unreachable!() };
    assert_eq!((refused.code, refused.subject.as_str()), (ErrorCode::DeniedByPolicy, "/opt/other"));
    assert!(refused.denial.is_some());
    assert!(plane.seen.lock().unwrap().is_empty());
}

/// A machine of which a test says how busy it is.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<MachineFigures>>);

impl MachineSource for Machine {
    fn measure(&self) -> MachineFigures {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn r2_a_figure_that_passes_its_limit_is_recorded_once_each_way_and_each_refusal_besides() {
    let (plane, machine) = (Witness::default(), Machine::default());
    let limits = GuardLimits::default().most_memory_percent(80);
    let vm = vm(kernel(&plane).guard(limits).machine(machine.clone()));
    // Refused above the limit, and until it has become clearly less.
    for (percent, starts) in [(79, true), (93, false), (90, false), (79, false), (60, true), (61, true)] {
        machine.0.lock().unwrap().memory_percent = Some(percent);
        assert_eq!(vm.command("/usr/bin/tool").output().await.is_ok(), starts, "{percent}");
    }
    drop(vm);
    let told: Vec<_> = records(&plane.store)
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Guard(guard) => Some((guard.figure, guard.observed, guard.limit, guard.outcome)),
            _ => None,
        })
        .collect();
    let expected = [("memory", 93, 80, "refused"), ("memory", 60, 80, "resumed")];
    assert_eq!(
        told,
        expected.map(|(figure, observed, limit, outcome)| (figure.to_owned(), observed, limit, outcome.to_owned()))
    );
    assert_eq!(kinds(&plane.store).iter().filter(|kind| **kind == "refused").count(), 3);
}

#[tokio::test]
async fn r11_what_cannot_be_recorded_does_not_run() {
    for fault in [DiskFault::Room(0), DiskFault::Room(300), DiskFault::ReadOnly, DiskFault::SyncFails] {
        let plane = Witness::default();
        let vm = vm(kernel(&plane));
        vm.command("/usr/bin/tool").output().await.unwrap();
        plane.store.fault(fault);
        let error = vm.command("/usr/bin/tool").output().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::AuditUnavailable, "{fault:?}");
        assert_eq!(plane.seen.lock().unwrap().len(), 1, "{fault:?}: the plane was not asked");
        plane.store.fault(DiskFault::None);
        vm.command("/usr/bin/tool").output().await.unwrap();
        drop(vm);
        // What a disk failed to make sure of is lost with the power, which fails at each start here, and is missed.
        let missed = if fault == DiskFault::SyncFails { vec![3] } else { Vec::new() };
        assert_eq!(faults(&plane.store), missed, "{fault:?}");
    }
}

#[tokio::test]
async fn r11_the_host_may_choose_otherwise_in_so_many_words_and_each_result_says_so() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane).run_even_what_cannot_be_recorded());
    plane.store.fault(DiskFault::ReadOnly);
    let output = vm.command("/usr/bin/tool").output().await.unwrap();
    assert_eq!(output.audit_sequence, None);
    assert_eq!(output.audit_failure.unwrap().code, ErrorCode::AuditUnavailable);
}

#[tokio::test]
async fn an_end_that_cannot_be_recorded_is_told_with_the_result() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    let mut run = vm.command("endless").spawn().await.unwrap();
    plane.store.fault(DiskFault::Room(0));
    run.kill();
    assert_eq!(run.wait().await.cause, ExitCause::Killed);
    assert_eq!(run.audit_failure().unwrap().code, ErrorCode::AuditUnavailable);
}

#[tokio::test]
async fn a_start_that_failed_is_recorded_as_failed_with_its_code() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    let error = vm.command("missing").output().await.unwrap_err();
    assert_eq!(error.error().details["audit_sequence"], 2, "the failure says where it is recorded");
    drop(vm);
    let records = records(&plane.store);
    let Event::Failed(ended) = &records[2].event else { unreachable!("{records:?}") };
    assert_eq!(ended.cause.code(), Some(ErrorCode::ProgramNotFound));
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_has_its_end_recorded_too() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    drop(vm.command("endless").spawn().await.unwrap());
    drop(vm);
    assert_eq!(kinds(&plane.store), ["segment_begin", "started", "decision", "failed"]);
}

#[tokio::test]
async fn a_plane_that_loses_a_run_leaves_a_record_that_says_so() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    let run = vm.command("endless").spawn().await.unwrap();
    plane.plane.lose_all();
    drop((run, vm));
    let records = records(&plane.store);
    let Event::Failed(ended) = &records[2].event else { unreachable!("{records:?}") };
    assert_eq!(ended.cause.code(), Some(ErrorCode::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_its_time_limit_ends_is_recorded_with_that_cause() {
    let plane = Witness::default();
    let vm = vm(kernel(&plane));
    let mut run = vm.command("endless").spawn().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5_001)).await;
    run.wait().await;
    drop((run, vm));
    let records = records(&plane.store);
    let Event::Failed(ended) = &records[3].event else { unreachable!("{records:?}") };
    assert_eq!(ended.cause, ExitCause::TimedOut { limit_ms: 5_000 });
}

#[tokio::test]
async fn arguments_are_shown_only_where_the_host_asks_for_it_and_redacted_then() {
    let plane = Witness::default();
    let recorder = recorder(&plane.store, ArgumentRecording::Redacted);
    let vm = vm(Kernel::builder(plane.plane.clone()).audit(recorder));
    vm.command("/usr/bin/tool").args(["build", "--token", "S3CRETCANARY"]).output().await.unwrap();
    let records = records(&plane.store);
    let Event::Started(started) = &records[1].event else { unreachable!() };
    assert_eq!(started.arguments.redacted.as_ref().unwrap(), &["build", "--token", "‹redacted›"]);
}

/// A log that says that it lies in a directory of the host.
struct Placed(MemoryAudit);

impl AuditStore for Placed {
    fn writer(&self) -> String {
        self.0.writer()
    }
    fn place(&self) -> Option<String> {
        Some("/work/state/audit".to_owned())
    }
    fn segments(&self) -> Result<Vec<cofferdam_bridge::audit::AuditSegment>, BridgeError> {
        self.0.segments()
    }
    fn read(&self, first: u64, offset: u64, length: u64) -> Result<Vec<u8>, BridgeError> {
        self.0.read(first, offset, length)
    }
    fn lock(&self) -> Result<Box<dyn cofferdam_bridge::audit::AuditAppender + '_>, BridgeError> {
        self.0.lock()
    }
    fn sync(&self, first: u64) -> Result<(), BridgeError> {
        self.0.sync(first)
    }
}

#[test]
fn br_15_the_log_is_out_of_reach_of_what_it_is_about() {
    use cofferdam_kernel::policy::Access;
    let build = |lines: &str| {
        let recorder = Recorder::open(Placed(MemoryAudit::new()), ManualClock::default(), AuditSettings::new());
        let kernel = Kernel::builder(Witness::default().plane).audit(recorder).build().unwrap();
        let policy = Policy::parse(&format!("version = 1\n[filesystem]\n{lines}\n"), "test", &NoFiles).unwrap();
        kernel.create_vm(VmSpec::new(policy))
    };
    let path = || "/work/state/audit/00000000000000000001.jsonl".to_owned();
    let vm = build("write = [\"/work\"]").unwrap();
    for access in [Access::Read(path()), Access::Write(path())] {
        assert_eq!(vm.decide(&access).unwrap().verdict, Verdict::Deny);
    }
    assert_eq!(vm.decide(&Access::Write("/work/other".to_owned())).unwrap().verdict, Verdict::Allow);
    assert!(vm.profile().filesystem.rules.iter().any(|rule| rule.rule.source == "built-in audit"));
    for lines in ["read = [\"/work/state/audit\"]", "write = [\"/work/state/audit/x\"]"] {
        assert_eq!(build(lines).unwrap_err().code(), ErrorCode::PolicyInvalid, "{lines}");
    }
    let apart = build("write = [\"/srv\"]").unwrap();
    let held = apart.profile().filesystem.rules.iter().any(|rule| rule.rule.source == "built-in audit");
    assert!(held, "a link of the host that the policy opens may lead there");
}
