//! What the kernel tells through `tracing`: the documented names, with figures, and never a secret.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    StartExecutionRequest, StartedExecution, StreamMode,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, KernelId, VmId};
use cofferdam_bridge::in_memory::{ManualClock, MemoryAudit, MemoryMetrics};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::trace_context::{TraceContext, TraceSource};
use cofferdam_bridge::usage::Usage;
use cofferdam_kernel::action::{Action, ActionOptions, Actions, Place, Plan, Step, StepEnd};
use cofferdam_kernel::audit::{AuditSettings, Filter, Reader, Record, Recorder};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, Vm, VmSpec, instruments};
use serde_json::json;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

/// Words that stand for secrets, in every place where one may be.
const SECRET: &str = "hush-hush-8243";

/// Runs nothing: each program prints a secret and ends; `limited` is ended by its time.
struct Plane;

impl BridgeTypes for Plane {
    type Error = BridgeError;
}

impl ExecutionBridge for Plane {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("pretender", "0");
        descriptor.features = vec![Feature::Commands];
        descriptor
    }
    fn preflight(&self, _: &ExecutionProfile) -> Preflight {
        Preflight::new(Enforcement::new(Tier::Full))
    }
    fn create_command_context(&self, _: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        Ok(CreatedContext::new(ContextId::new("context")))
    }
    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        for bytes in [SECRET.as_bytes().to_vec(), vec![0; 5 << 20], vec![0]] {
            let _ = events.try_push(ExecutionEvent::Stdout { bytes });
        }
        let limited = request.program == "limited";
        let cause = if limited { ExitCause::TimedOut { limit_ms: 5 } } else { ExitCause::Exited { code: 0 } };
        let report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full));
        events.push(ExecutionEvent::Exited(Box::new(report)));
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

/// Writes down whatever is told, names and fields alike.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Listener {
    fn add(&self, name: &str, visit: impl FnOnce(&mut Line<'_>)) {
        let mut text = self.0.lock().unwrap();
        text.push_str(name);
        visit(&mut Line(&mut text));
        text.push('\n');
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(span.metadata().name(), |line| span.record(line));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &tracing::span::Record<'_>) {
        self.add("record", |line| values.record(line));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.add(event.metadata().name(), |line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An action whose arguments hold a secret.
struct Secretive;

impl Action for Secretive {
    type Arguments = std::collections::BTreeMap<String, String>;
    type Output = std::collections::BTreeMap<String, String>;
    fn name(&self) -> &str {
        "secretive"
    }
    fn summary(&self) -> &str {
        "Holds a secret."
    }
    fn plan(&self, asked: &Self::Arguments, place: &Place) -> Result<Plan, BridgeError> {
        let secret = asked.get("secret").cloned().unwrap_or_default();
        Ok(Plan::of(Step::program("quick").args([&secret]).stdin(secret.clone().into_bytes()))
            .reads(place.resolve(&secret)?))
    }
    fn conclude(&self, asked: &Self::Arguments, _: &[StepEnd]) -> Result<Self::Output, BridgeError> {
        Ok(asked.clone())
    }
}

fn vm(metrics: &MemoryMetrics) -> Vm {
    let lines = "version = 1\n[filesystem]\nread = [\"{workspace}\"]\n[commands]\nallow = [\"/usr\"]\n";
    let policy = Policy::parse(lines, "test", &NoFiles).unwrap();
    let spec = VmSpec::new(policy).workspace(format!("/w/{SECRET}"));
    Kernel::builder(Plane).id(KernelId::new("k")).metrics(metrics.clone()).build().unwrap().create_vm(spec).unwrap()
}

/// Whose turn it is. `tracing` remembers for each place that tells whether anybody listens, and a place that two threads reach for the
/// first time, one of them without a listener, may be remembered as unheard.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn every_start_end_verdict_limit_and_action_is_told_by_its_name_and_no_secret_is() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = Listener::default();
    let (told, metrics) = (listener.0.clone(), MemoryMetrics::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(listener, || {
        runtime.block_on(async {
            let vm = vm(&metrics);
            let command = |program: &str| {
                vm.command(program).arg(SECRET).env("TOKEN", SECRET).current_dir(format!("/w/{SECRET}"))
            };
            let output = command("quick").output().await.unwrap();
            assert!(!output.stdout.is_empty());
            let mut piped = command("quick").stdin(StreamMode::Piped).spawn().await.unwrap();
            piped.controller().write_stdin(SECRET.into()).await.unwrap();
            piped.wait().await;
            command("limited").output().await.unwrap();
            command(&format!("/opt/{SECRET}")).output().await.unwrap_err();
            let actions = Actions::empty().register(Secretive).unwrap();
            for secret in [SECRET, "../x"] {
                actions.run(&vm, "secretive", &json!({ "secret": secret }), &ActionOptions::new()).await.unwrap();
            }
        });
    });
    let told = told.lock().unwrap().clone();
    for part in [
        "cofferdam.execution vm=k-vm-1 policy=test execution=k-vm-1-run-1",
        "cofferdam.execution.start vm=k-vm-1 policy=test execution=k-vm-1-run-1",
        "cofferdam.guard.queue",
        "plane=\"pretender\" outcome=\"started\"",
        "outcome=\"denied_by_policy\"",
        "record error.type=\"denied_by_policy\"",
        "record otel.status_code=\"ERROR\"",
        "record cause=\"exited\"",
        "cofferdam.execution.ended execution=k-vm-1-run-1 cause=\"exited\"",
        "cofferdam.limit limit=\"wall_time_exceeded\"",
        "cofferdam.decision access=\"filesystem.read\" verdict=\"allow\"",
        "cofferdam.decision access=\"command.execute\" verdict=\"deny\"",
        "cofferdam.queue.full",
        "cofferdam.action.run action=\"secretive\"",
        "cofferdam.action.ended action=\"secretive\" outcome=\"path_invalid\"",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains(SECRET), "{told}");
    assert_figures(&metrics);
}

/// What was told to the sink of what that test did.
#[track_caller]
fn assert_figures(metrics: &MemoryMetrics) {
    let started = "cofferdam.plane.name=pretender,cofferdam.outcome=started";
    let starts = metrics.sum(&format!("cofferdam.execution.starts{{{started}}}"));
    assert!(starts >= 3, "{starts}");
    assert_eq!(metrics.values(&format!("cofferdam.execution.start.duration{{{started}}}")).len() as i64, starts);
    let refused = "cofferdam.plane.name=pretender,cofferdam.outcome=denied_by_policy";
    assert_eq!(metrics.sum(&format!("cofferdam.execution.starts{{{refused}}}")), 1);
    let denied = "cofferdam.decisions{cofferdam.access=command.execute,cofferdam.verdict=deny}";
    assert_eq!((metrics.sum(denied), metrics.sum("cofferdam.execution.active")), (1, 0));
    assert_eq!(metrics.most("cofferdam.execution.active"), 1);
    assert_eq!(metrics.sum("cofferdam.execution.limits{cofferdam.limit=wall_time_exceeded}"), 1);
    assert!(metrics.sum("cofferdam.output.waits") > 0);
    let action = "cofferdam.action.duration{cofferdam.action.name=secretive,cofferdam.outcome=done}";
    assert_eq!(metrics.values(action).len(), 1);
    let series = metrics.series();
    assert!(!series.iter().any(|one| one.contains(SECRET)), "{series:?}");
}

#[test]
fn every_name_that_is_told_is_documented() {
    let page = include_str!("../../docs/telemetry.md");
    let sources = [
        include_str!("../src/telemetry/run.rs"),
        include_str!("../src/telemetry/spans.rs"),
        include_str!("../src/telemetry/waits.rs"),
        include_str!("../src/telemetry/questions.rs"),
    ];
    let words = sources.iter().flat_map(|source| source.split(['"', ' ', '\n']));
    let names: Vec<&str> = words.filter(|word| word.starts_with("cofferdam.")).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for instrument in instruments::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", instrument.name)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", instrument.name));
        assert!(row.contains(&format!("`{}`", instrument.unit)), "{row}");
    }
}

/// A host that traces: everything happens in one span.
struct Traced;

impl TraceSource for Traced {
    fn current(&self) -> Option<TraceContext> {
        Some(TraceContext::new("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
    }
}

#[test]
fn r5_records_name_a_kernel_of_their_own_and_the_trace_and_the_log_s_time_is_told() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(records());
}

async fn records() {
    let (store, metrics) = (MemoryAudit::new(), MemoryMetrics::new());
    for id in ["k1", "k2"] {
        let recorder = Recorder::open(store.clone(), ManualClock::default(), AuditSettings::new());
        let kernel =
            Kernel::builder(Plane).id(KernelId::new(id)).metrics(metrics.clone()).traces(Traced).audit(recorder);
        let vm = kernel.build().unwrap().create_vm(VmSpec::new(Policy::strict())).unwrap();
        vm.command("quick").output().await.unwrap();
    }
    let read = Reader::new(&store).more().unwrap();
    let about = read.into_iter().filter_map(|read| read.record).filter(|record| record.execution.is_some());
    let about: Vec<Record> = about.collect();
    let id = |record: &Record| record.execution.as_ref().map(|id| id.as_str().to_owned()).unwrap();
    let ids: Vec<String> = about.iter().map(id).collect();
    let expected = ["k1-vm-1-run-1", "k2-vm-1-run-1"].map(|id| [id; 2]).concat();
    assert_eq!(ids, expected, "each run has two records");
    for record in &about {
        assert_eq!(record.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(record.span_id.as_deref(), Some("b7ad6b7169203331"));
        let mut filter = Filter::default();
        filter.trace = record.trace_id.clone();
        filter.execution = Some("k2-vm-1-run-1".to_owned());
        assert_eq!(filter.matches(record), id(record) == "k2-vm-1-run-1");
    }
    let commits = metrics.values("cofferdam.audit.commit.duration{cofferdam.outcome=recorded}");
    assert_eq!(commits.len(), 2);
}
