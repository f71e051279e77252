//! The plane itself: contexts, executions, and the way from a request to a sandbox under supervision.

mod offered;
mod options;

use crate::broker::{Broker, Judge, OwnPlaces, Surroundings};
use crate::cgroup::Cgroups;
use crate::changes::{ChangeStore, Recording};
use crate::context::{Context, Own};
use crate::counting::Counting;
use crate::disk_watch::DiskWatch;
use crate::execution::Shared;
use crate::given_streams;
use crate::handles::share;
use crate::inner_sockets::Door;
use crate::launcher::Launcher;
use crate::limit_watch::LimitWatch;
use crate::network::{HostPorts, Known, OneNetwork, Outside, OwnLoopback, Proxied};
use crate::parked::{Ahead, Parked};
use crate::pool::Pool;
use crate::preflight::Offer;
use crate::prepared::LastPrepared;
use crate::program::Program;
use crate::shared_network::SharedNetwork;
use crate::start::{Callbacks, NotStarted, Running, start};
use crate::supervise::Supervision;
use crate::terminal_streams::{ends, separate};
use crate::tree_usage::TreeProbe;
use crate::underway::Underway;
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal, Explain,
    StartExecutionRequest, StartedExecution, Streams, TerminalSize,
};
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::network_scope::NetworkScope;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::rehearsal::Rehearsal;
use cofferdam_plane_kit::captured_output::CapturedOutput;
use cofferdam_plane_kit::guest_input::GuestInput;
use cofferdam_plane_kit::output_wait::OutputWait;
use cofferdam_plane_kit::standard_streams::StandardStreams;
use offered::offered;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A supervisor's thread needs little: it waits, reads into the heap, and sums up.
const SUPERVISOR_STACK: usize = 256 * 1024;

/// How long the end of the plane waits for what it has ended.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// Where changes are kept apart it looks at trees that a guest has made as deep as it liked. What is not touched costs nothing.
const STACK_FOR_TREES: usize = 16 << 20;

/// A program that was started, and what goes with it.
struct Begun {
    running: Running,
    counting: Counting,
    broker: Option<Broker>,
    recording: Option<Recording>,
    proxy: Option<Proxied>,
    known: Known,
    /// The way into its network, where ports of it are published.
    door: Option<Door>,
}

/// What runs, by id, with the VM that it belongs to.
type Executions = Arc<Mutex<HashMap<ExecutionId, (VmId, Arc<Shared>)>>>;

/// Runs programs in sandboxes of their own on Linux, without root.
///
/// Dropping the plane ends everything it started, and waits until that has gone, for two seconds at most.
#[derive(Debug)]
pub struct LinuxPlane {
    launcher: Arc<Launcher>,
    cgroups: Cgroups,
    pool: Option<Pool>,
    ahead: Ahead,
    offer: Offer,
    prepared: LastPrepared,
    contexts: Mutex<HashMap<ContextId, Arc<Context>>>,
    executions: Executions,
    underway: Underway,
    ends_with_its_run: bool,
    next_context: AtomicU64,
    /// None: the user's own.
    changes: Option<ChangeStore>,
    outside: Outside,
}

impl LinuxPlane {
    /// Makes the plane. Starts nothing.
    ///
    /// # Errors
    /// `sandbox_setup_failed` where the kernel gives no memory file for the launcher.
    pub fn new() -> Result<Self, BridgeError> {
        Ok(Self {
            launcher: Arc::new(Launcher::new()?),
            cgroups: Cgroups::default(),
            pool: None,
            ahead: Ahead::default(),
            offer: Offer::new(),
            prepared: LastPrepared::default(),
            contexts: Mutex::default(),
            executions: Arc::default(),
            underway: Underway::default(),
            ends_with_its_run: false,
            next_context: AtomicU64::new(1),
            changes: None,
            outside: Outside::default(),
        })
    }

    /// A launcher for a start in `context`, as far as one can be without knowing the program.
    fn park(&self, context: &Arc<Context>, streams: Streams) -> Result<Parked, BridgeError> {
        let can_be_pooled = context.can_be_pooled() && !matches!(streams, Streams::Terminal { .. });
        if let Some(pool) = self.pool.as_ref().filter(|_| can_be_pooled)
            && let Some(parked) = pool.take(context)
        {
            return Ok(parked);
        }
        // One that was started ahead has a network of its own, and so never the flags of a context whose runs share one.
        match self.ahead.take(context.namespaces) {
            Some(parked) => Ok(parked),
            None => context.park(&self.launcher),
        }
    }

    fn tier(&self, profile: &ExecutionProfile) -> Tier {
        self.offer.tier(profile, || Parked::try_namespaces(&self.launcher, self.offer.all_namespaces()))
    }

    fn find(&self, execution: &ExecutionRef) -> Result<Arc<Shared>, BridgeError> {
        let executions = lock(&self.executions);
        match executions.get(&execution.execution_id) {
            Some((vm_id, shared)) if *vm_id == execution.vm_id => Ok(shared.clone()),
            _ => Err(BridgeError::new(
                ErrorCode::UnknownExecution,
                "there is no such execution in this VM; it was never started or has ended",
            )),
        }
    }

    /// The context that a start is to happen in.
    fn context_of(&self, request: &StartExecutionRequest) -> Result<Arc<Context>, BridgeError> {
        let context = lock(&self.contexts).get(&request.context_id).cloned();
        match context {
            Some(context) if context.vm_id == request.vm_id => self.current(&request.context_id, context),
            _ => Err(BridgeError::new(ErrorCode::UnknownContext, "this VM has no such context; create it first")),
        }
    }

    /// The context, worked out anew where the host's objects are others by now.
    fn current(&self, id: &ContextId, context: Arc<Context>) -> Result<Arc<Context>, BridgeError> {
        if context.view.is_current() {
            return Ok(context);
        }
        let context = Arc::new(context.anew(&self.offer)?);
        lock(&self.contexts).insert(id.clone(), context.clone());
        Ok(context)
    }

    /// Starts the program. A launcher of the pool that turns out to be gone makes room for another: it had not read what to run.
    fn begin(
        &self,
        context: &Arc<Context>,
        request: &StartExecutionRequest,
        program: &Program,
        streams: [BorrowedFd<'_>; 3],
        (host, loopback): (&Arc<dyn ExecutionEventSink>, Option<Arc<OwnLoopback>>),
    ) -> Result<Begun, BridgeError> {
        let proxy = context.proxy(&self.outside).map_err(|error| no_streams(&error))?;
        loop {
            let parked = self.park(context, request.streams)?;
            let confined = parked.is_confined();
            // Now: a program may have ended before anybody looks.
            let door = parked.pid().filter(|_| context.publishes_alone()).map(Door::of_process).transpose();
            let door = door.map_err(|error| no_streams(&error))?;
            let recording = self.record(context, &request.program, parked.pid())?;
            let plan = match parked.temporary() {
                _ if confined => context.rest(request, program),
                temporary => {
                    let overlay = recording.as_ref().map(Recording::place);
                    context.plan(request, program, Own { temporary, overlay, proxy: proxy.as_ref() })?
                }
            };
            let mut own = (context.tier != Tier::Full)
                .then(|| OwnPlaces::new(parked.temporary().map(Path::to_owned), context.ways.clone()));
            let mut broker = None;
            let callbacks = Callbacks {
                count: &mut |control| Counting::begin(&self.cgroups, &context.profile.limits, &self.launcher, control),
                listen: &mut |root, listener| {
                    if let Some(rules) = context.rules.clone() {
                        let judge = Judge::new(rules, own.take());
                        let (shares_network, watch) = (context.shares_network(), context.watch.clone());
                        let walls = context.walls(proxy.as_ref(), loopback.clone());
                        let surroundings = Surroundings { shares_network, walls, watch, host: host.clone() };
                        broker = Some(Broker::start(listener, root, judge, context.brokered, surroundings)?);
                    }
                    Ok(())
                },
            };
            let known = Known::of(context, proxy.as_ref(), parked.pid().unwrap_or(0), host);
            let outcome = start(parked, plan, streams, callbacks);
            self.pool.iter().for_each(Pool::started);
            match outcome {
                Ok((running, counting)) => {
                    return Ok(Begun { running, counting, broker, recording, proxy, known, door });
                }
                Err(NotStarted { unread: true, .. }) if confined => {}
                Err(NotStarted { error, .. }) => return Err(error),
            }
        }
    }

    /// Makes a change set for a run of `program` in the sandbox of `process`, where changes are kept apart.
    fn record(&self, context: &Context, program: &str, process: Option<i32>) -> Result<Option<Recording>, BridgeError> {
        let Some(workspace) = context.profile.filesystem.workspace.as_ref().filter(|_| context.keeps_changes_apart())
        else {
            return Ok(None);
        };
        let store = match &self.changes {
            Some(store) => store.clone(),
            None => ChangeStore::of_user()?,
        };
        Recording::begin(&store, Path::new(workspace), &context.view, program, process).map(Some)
    }

    fn launch(
        &self,
        context: &Arc<Context>,
        request: &StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        let program = Program::of(request, &context.view, &context.profile.commands)?;
        let streams = StandardStreams::open(separate(request.streams), &context.profile.limits)
            .map_err(|error| no_streams(&error))?;
        given_streams::check(streams.guest(), &context.profile.network)?;
        let ports = HostPorts::of(context)?;
        let loopback = ports.loopback();
        let started = Instant::now();
        let limit = context.profile.limits.disk_bytes;
        let disk = limit.map(|limit| DiskWatch::new(limit, context.writable())).unwrap_or_default();
        let Begun { mut running, counting, broker, recording, proxy, known, door } =
            self.begin(context, request, &program, streams.guest(), (&events, loopback.clone()))?;
        let process_id = u32::try_from(running.process.pid()).ok();
        // Whatever the program has asked for by now waits in its sockets.
        let sockets = std::mem::take(&mut running.sockets);
        let network = OneNetwork::of(context, (ports, door), sockets, &self.outside, (known, proxy));
        let network = network.map_err(|error| no_streams(&error))?;
        let mut answer = StartedExecution::new(process_id);
        answer.published = network.ports();
        let (mut input, mut outputs) = streams.into_ours();
        if let (Streams::Terminal { .. }, Some(terminal)) = (request.streams, &running.terminal) {
            let (typed, shown) = ends(terminal).map_err(|error| no_streams(&error))?;
            input = GuestInput::terminal(typed);
            // Somebody watches a terminal, so what it shows is bounded only where the policy says so.
            let limit = context.profile.limits.stdout_bytes.unwrap_or(u64::MAX);
            outputs.push(CapturedOutput::new(shown, LimitName::Stdout, limit));
        }
        let shared = share(&running, input, context.tier).map_err(|error| no_streams(&error))?;
        let shared = Arc::new(shared.listening_at(loopback));
        let probe = match context.tier {
            Tier::Full => TreeProbe::of_namespace(running.process.pid()).ok(),
            _ => Some(TreeProbe::of_descendants(running.process.pid())),
        };
        let (counter, reports) = counting.into_parts(&context.profile.limits, context.tier, recording.is_some());
        let mut enforcement = context.enforcement.clone();
        enforcement.mechanisms.extend(reports);
        let stack = if recording.is_some() { STACK_FOR_TREES } else { SUPERVISOR_STACK };
        let layer = recording.as_ref().and_then(Recording::disk_use);
        let alone = context.tier == Tier::Full && recording.is_none();
        let limits = LimitWatch::new(context.profile.limits.clone(), counter, probe, disk, layer, started);
        lock(&self.executions).insert(request.execution_id.clone(), (request.vm_id.clone(), shared.clone()));
        let (executions, id) = (self.executions.clone(), request.execution_id.clone());
        let supervision = Supervision {
            running,
            outputs,
            sink: events,
            shared: shared.clone(),
            limits,
            enforcement,
            started,
            network,
            finish: Box::new(move |report, network| {
                if let Some(broker) = broker {
                    broker.finish(report);
                }
                network.finish(report);
                if let Some(recording) = recording {
                    recording.finish(report);
                }
                lock(&executions).remove(&id);
            }),
            alone,
            output_wait: OutputWait::new(request.output_wait_ms),
            account: None,
        };
        let thread = thread::Builder::new().name("cofferdam-supervisor".to_owned()).stack_size(stack);
        let token = self.underway.begin();
        let supervise = move || {
            supervision.run();
            drop(token);
        };
        if let Err(error) = thread.spawn(supervise) {
            shared.kill();
            lock(&self.executions).remove(&request.execution_id);
            return Err(no_streams(&error));
        }
        Ok(answer)
    }
}

impl BridgeTypes for LinuxPlane {
    type Error = BridgeError;
}

impl ExecutionBridge for LinuxPlane {
    fn describe(&self) -> PlaneDescriptor {
        offered()
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        self.offer.preflight(profile, &self.prepared.prepare(profile), self.tier(profile))
    }

    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        let prepared = self.prepared.take(&request.profile)?;
        let explains = request.explain == Explain::Everything && self.offer.broker;
        let tier = self.tier(&request.profile);
        // Who asks without a preflight is told the same.
        let answer = self.offer.preflight(&request.profile, &Ok(prepared.needs(&request.profile)), tier);
        if let Some(missing) = answer.shortfalls.into_iter().find(|one| one.blocking) {
            return Err(BridgeError::new(ErrorCode::SandboxBackendUnavailable, missing.message));
        }
        let mut context = Context::new(request.vm_id, request.profile, prepared, &self.offer, tier, explains)?;
        if request.network_scope == NetworkScope::Context && context.has_own_network() {
            let (rules, ports) = (&context.profile, &context.ports);
            let network =
                SharedNetwork::new(&self.launcher, rules, ports, &self.outside.ending_tls_by(&context.authority))?;
            context = context.meeting_in(Arc::new(network));
        } else if request.network_scope == NetworkScope::Context && context.publishes_on_loopback() {
            context = context.visited_together();
        }
        let context = Arc::new(context);
        if let Some(pool) = self.pool.as_ref().filter(|_| context.can_be_pooled()) {
            pool.announce(&context);
        }
        let number = self.next_context.fetch_add(1, Ordering::Relaxed);
        let id = ContextId::new(format!("linux-{number}"));
        lock(&self.contexts).insert(id.clone(), context);
        Ok(CreatedContext::new(id))
    }

    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        self.launch(&self.context_of(&request)?, &request, events)
    }

    fn rehearse_execution(&self, request: &StartExecutionRequest) -> Result<Rehearsal, BridgeError> {
        let context = self.context_of(request)?;
        let program = Program::of(request, &context.view, &context.profile.commands)?;
        Ok(Rehearsal::new(program.path().to_string_lossy()))
    }

    fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        self.find(execution)?.input().write(bytes)
    }

    fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), BridgeError> {
        // An execution that has ended has its input closed.
        self.find(execution).map_or(Ok(()), |shared| shared.input().close())
    }

    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        self.find(execution).map_or(Ok(()), |shared| shared.deliver(signal))
    }

    fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), BridgeError> {
        self.find(execution)?.input().resize(size)
    }

    fn is_listening(&self, execution: &ExecutionRef, port: u16) -> Result<bool, BridgeError> {
        Ok(self.find(execution)?.is_listening(port))
    }

    fn forget_vm(&self, vm_id: &VmId) {
        lock(&self.contexts).retain(|_, context| context.vm_id != *vm_id);
        for (owner, shared) in lock(&self.executions).values() {
            if owner == vm_id {
                shared.kill_for_host();
            }
        }
    }
}

impl Drop for LinuxPlane {
    fn drop(&mut self) {
        for (_, shared) in lock(&self.executions).values() {
            shared.kill_for_host();
        }
        // A host that goes on has nobody else to reap its children. One that ends leaves that to whoever adopts them, as other sandboxes
        // do: they end within a moment, and waiting would cost each run a tenth of its start.
        if !self.ends_with_its_run {
            self.underway.wait(LAST_MOMENT);
        }
    }
}

fn no_streams(error: &std::io::Error) -> BridgeError {
    BridgeError::new(
        ErrorCode::SpawnFailed,
        format!("descriptors or threads for the run could not be had: {error}; the host may be at its limit"),
    )
    .with("errno", error.raw_os_error().unwrap_or(0))
    .retryable()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
