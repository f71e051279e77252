//! The plane itself: contexts, executions, and the way from a request to a program under supervision.

use crate::danger::{HostAccess, Policies};
use crate::preflight;
use crate::user_tasks::UserTasks;
use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    ProgramFile, StartExecutionRequest, StartedExecution, Streams, TerminalSize,
};
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::rehearsal::Rehearsal;
use cofferdam_plane_kit::environment::Environment;
use cofferdam_plane_kit::held_program::HOLDS_PROGRAMS;
use cofferdam_plane_kit::keeper::ProgramPlan;
use cofferdam_plane_kit::kept_run::{KeptRuns, KeptStart, no_resources, program, resource_limits};
use cofferdam_plane_kit::process_tree::ProcessTree;
use cofferdam_plane_kit::standard_streams::StandardStreams;
use cofferdam_plane_kit::task_groups::{TaskGroup, TaskGroups};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Runs programs as plain processes of the host, without isolation.
///
/// Dropping the plane ends everything it started, and waits until that is so.
#[derive(Debug)]
pub struct HostPlane {
    policies: Policies,
    runs: KeptRuns,
    /// Cgroups for runs whose processes are limited.
    groups: TaskGroups,
    /// The user's tasks, which a resource limit counts where there are no cgroups.
    user_tasks: UserTasks,
    contexts: Mutex<HashMap<ContextId, Arc<Context>>>,
    next_context: AtomicU64,
}

#[derive(Debug)]
struct Context {
    vm_id: VmId,
    profile: ExecutionProfile,
}

impl HostPlane {
    /// Makes the plane. Starts nothing.
    ///
    /// # Errors
    /// `sandbox_setup_failed` where the kernel gives no memory file for the keeper.
    pub fn new(access: HostAccess) -> Result<Self, BridgeError> {
        Ok(Self {
            policies: access.policies,
            runs: KeptRuns::new()?,
            groups: TaskGroups::default(),
            user_tasks: UserTasks::default(),
            contexts: Mutex::default(),
            next_context: AtomicU64::new(1),
        })
    }

    /// Holds a keeper ready from here on, a process of a few pages that waits: a run that finds one starts sooner by what it takes to make one,
    /// and the next is made when the run has ended. For hosts that start many programs, one after the other.
    ///
    /// A program inherits resource limits, cgroup, file mode mask, namespaces and Landlock's rules then as the host had them when its keeper was
    /// made: a host that confines itself does so before. One made under other users, groups, capabilities or filters of system calls than the
    /// host's at the start is not used. The keeper that waits ends with the plane, or with the host.
    #[must_use]
    pub fn prepared(mut self) -> Self {
        self.runs.prepare();
        self
    }

    /// As where no cgroup can be made, so that what holds there can be tested.
    #[doc(hidden)]
    #[must_use]
    pub fn without_cgroups(mut self) -> Self {
        self.groups = TaskGroups::none();
        self
    }

    /// The context that a start is to happen in.
    fn context_of(&self, request: &StartExecutionRequest) -> Result<Arc<Context>, BridgeError> {
        let context = lock(&self.contexts).get(&request.context_id).cloned();
        context
            .filter(|context| context.vm_id == request.vm_id)
            .ok_or_else(|| BridgeError::new(ErrorCode::UnknownContext, "this VM has no such context; create it first"))
    }

    fn launch(
        &self,
        profile: &ExecutionProfile,
        request: StartExecutionRequest,
        sink: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        let execution = ExecutionRef::new(request.vm_id.clone(), request.execution_id.clone());
        let (streams, output_wait_ms) = (request.streams, request.output_wait_ms);
        let group = profile.limits.processes.and_then(|most| self.groups.take(most));
        let entrance = group.as_ref().map(TaskGroup::entrance).transpose().map_err(|error| no_resources(&error))?;
        let others = if group.is_none() && profile.limits.processes.is_some() { self.user_tasks.count() } else { None };
        let tasks_by = group.as_ref().map_or(preflight::BY_LOOKING, TaskGroup::label);
        let mut plan = plan(profile, request, others)?;
        plan.task_group = entrance;
        let start = KeptStart {
            execution,
            plan,
            streams: StandardStreams::open(streams, &profile.limits).map_err(|error| no_resources(&error))?,
            limits: profile.limits.clone(),
            output_wait_ms,
            enforcement: preflight::enforcement(profile, tasks_by),
            group,
            bound: others.is_some(),
            finish: Box::new(|_| {}),
        };
        self.runs.start(start, sink)
    }
}

impl BridgeTypes for HostPlane {
    type Error = BridgeError;
}

impl ExecutionBridge for HostPlane {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("host", env!("CARGO_PKG_VERSION"));
        // What the system lets nobody do is not offered.
        let further = [(ProcessTree::TELLS_PORTS, Feature::ListeningPorts), (HOLDS_PROGRAMS, Feature::HeldPrograms)];
        descriptor.tiers = vec![Tier::None];
        descriptor.features = vec![
            Feature::Commands,
            Feature::Stdin,
            Feature::Signals,
            Feature::Terminal,
            Feature::InheritedStreams,
            // All that runs here has the host's.
            Feature::SharedNetwork,
            Feature::OutputWait,
        ];
        descriptor.features.extend(further.into_iter().filter(|(can, _)| *can).map(|(_, feature)| feature));
        descriptor.limits = vec![
            LimitName::Wall,
            LimitName::Cpu,
            LimitName::Memory,
            LimitName::Processes,
            LimitName::OpenFiles,
            LimitName::Stdout,
            LimitName::Stderr,
        ];
        descriptor
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        let tasks_by = profile.limits.processes.and_then(|_| self.groups.holder()).unwrap_or(preflight::BY_LOOKING);
        preflight::preflight(profile, self.policies, tasks_by)
    }

    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        let preflight = self.preflight(&request.profile);
        if let Some(shortfall) = preflight.shortfalls.iter().find(|shortfall| shortfall.blocking) {
            let fix = shortfall.fix.as_ref().map(|fix| format!("; to mend it: {fix}")).unwrap_or_default();
            let message = format!("{}{fix}", shortfall.message);
            return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message));
        }
        let number = self.next_context.fetch_add(1, Ordering::Relaxed);
        let id = ContextId::new(format!("host-{number}"));
        let context = Context { vm_id: request.vm_id, profile: request.profile };
        lock(&self.contexts).insert(id.clone(), Arc::new(context));
        Ok(CreatedContext::new(id))
    }

    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        self.launch(&self.context_of(&request)?.profile, request, events)
    }

    fn rehearse_execution(&self, request: &StartExecutionRequest) -> Result<Rehearsal, BridgeError> {
        let plan = plan(&self.context_of(request)?.profile, request.clone(), None)?;
        Ok(Rehearsal::new(plan.program.to_string_lossy()))
    }

    fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        self.runs.write_stdin(execution, bytes)
    }

    fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), BridgeError> {
        self.runs.close_stdin(execution)
    }

    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        self.runs.signal(execution, signal)
    }

    fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), BridgeError> {
        self.runs.resize_terminal(execution, size)
    }

    fn is_listening(&self, execution: &ExecutionRef, port: u16) -> Result<bool, BridgeError> {
        self.runs.is_listening(execution, port)
    }

    fn forget_vm(&self, vm_id: &VmId) {
        lock(&self.contexts).retain(|_, context| context.vm_id != *vm_id);
        self.runs.stop_vm(vm_id);
    }
}

/// What the keeper is told. `others`: the user's tasks, where their number is limited.
fn plan(
    profile: &ExecutionProfile,
    request: StartExecutionRequest,
    others: Option<u64>,
) -> Result<ProgramPlan, BridgeError> {
    let directory = PathBuf::from(&request.working_directory);
    if !directory.is_absolute() {
        let message = "the working directory is no absolute path; name it from the root";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    }
    let environment = Environment::set(request.environment);
    let commands = &profile.commands;
    let (program, held, arguments) = match request.program_file {
        ProgramFile::ByPath => {
            let program = program::find(&request.program, environment.search_path(), &directory, commands)?;
            (program, None, [vec![request.program], request.arguments].concat())
        }
        ProgramFile::Held => {
            let held = program::hold(&request.program, &directory, commands)?;
            let arguments = ProgramPlan::held_arguments(&held, request.program, request.arguments);
            (held.binary.path.clone(), Some(held), arguments)
        }
        // What is not known here is not run as something else.
        _ => return Err(unknown_program_file()),
    };
    Ok(ProgramPlan {
        program,
        held,
        arguments,
        variables: environment.entries().collect(),
        directory,
        terminal: matches!(request.streams, Streams::Terminal { .. }),
        limits: resource_limits::of(&profile.limits, others),
        task_group: None,
        output_wait: request.output_wait_ms > 0,
    })
}

fn unknown_program_file() -> BridgeError {
    let message =
        "this plane does not know how the program's file is to be found; use planes and kernel of one release";
    BridgeError::new(ErrorCode::UnsupportedBackendFeature, message)
}

/// A panicking thread leaves nothing half-done behind this lock, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
