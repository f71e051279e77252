//! The plane itself: contexts, executions, and the way from a request to a program under a profile.

use crate::facts::Facts;
use crate::launch::{self, Place, SANDBOX_EXEC};
use crate::name_proxy::{NameProxy, Outside};
use crate::preflight;
use crate::private_folder::PrivateFolder;
use crate::profile::HostNames;
use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    ProgramFile, StartExecutionRequest, StartedExecution, Streams, TerminalSize,
};
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::profile::{ExecutionProfile, NetworkMode, Temporary};
use cofferdam_bridge::rehearsal::Rehearsal;
use cofferdam_plane_kit::environment::Environment;
use cofferdam_plane_kit::keeper::ProgramPlan;
use cofferdam_plane_kit::kept_run::{KeptRuns, KeptStart, no_resources, program, resource_limits};
use cofferdam_plane_kit::network::resolver::Resolve;
use cofferdam_plane_kit::network::upstream::Upstream;
use cofferdam_plane_kit::standard_streams::StandardStreams;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Runs programs under Seatbelt profiles, by `/usr/bin/sandbox-exec`. Elsewhere than on macOS it accepts no policy.
///
/// Dropping the plane ends everything it started, and waits until that is so.
#[derive(Debug)]
pub struct MacosPlane {
    facts: Facts,
    /// What applies the profile: another program in tests alone.
    launcher: PathBuf,
    runs: KeptRuns,
    outside: Outside,
    contexts: Mutex<HashMap<ContextId, Arc<Context>>>,
    next_context: AtomicU64,
}

#[derive(Debug)]
struct Context {
    vm_id: VmId,
    profile: ExecutionProfile,
}

impl MacosPlane {
    /// Makes the plane. Starts nothing.
    ///
    /// # Errors
    /// `sandbox_backend_unavailable` where the host's program does not offer itself as keeper
    /// ([`serve_if_asked`](cofferdam_plane_kit::keeper_program::serve_if_asked)).
    pub fn new() -> Result<Self, BridgeError> {
        Self::with(Facts::here(), SANDBOX_EXEC.into())
    }

    fn with(facts: Facts, launcher: PathBuf) -> Result<Self, BridgeError> {
        let (runs, next_context) = (KeptRuns::new()?, AtomicU64::new(1));
        let outside = Outside::default();
        Ok(Self { facts, launcher, runs, outside, contexts: Mutex::default(), next_context })
    }

    /// Looks names up by `resolver`, not by this machine's own means.
    #[must_use]
    pub fn resolve_names_by(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.outside.resolver = resolver;
        self
    }

    /// Reaches hosts through `upstream`, where it takes them.
    #[must_use]
    pub fn reach_hosts_through(mut self, upstream: Upstream) -> Self {
        self.outside.upstream = Some(upstream);
        self
    }

    fn context_of(&self, request: &StartExecutionRequest) -> Result<Arc<Context>, BridgeError> {
        let context = lock(&self.contexts).get(&request.context_id).cloned();
        context
            .filter(|context| context.vm_id == request.vm_id)
            .ok_or_else(|| BridgeError::new(ErrorCode::UnknownContext, "this VM has no such context; create it first"))
    }

    fn plan(
        &self,
        profile: &ExecutionProfile,
        request: StartExecutionRequest,
        place: &Place<'_>,
    ) -> Result<(PathBuf, ProgramPlan), BridgeError> {
        let directory = PathBuf::from(&request.working_directory);
        if !directory.is_absolute() {
            let message = "the working directory is no absolute path; name it from the root";
            return Err(BridgeError::new(ErrorCode::PathInvalid, message));
        }
        if request.program_file != ProgramFile::ByPath {
            let message = "macOS executes no program by its descriptor; start it by its path";
            return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message));
        }
        let environment = Environment::set(launch::environment(profile, request.environment, place.private_folder));
        let found = program::find(&request.program, environment.search_path(), &directory, &profile.commands)?;
        let plan = ProgramPlan {
            program: self.launcher.clone(),
            held: None,
            arguments: launch::arguments(profile, place, &found, request.arguments)?,
            variables: environment.entries().collect(),
            directory,
            terminal: matches!(request.streams, Streams::Terminal { .. }),
            limits: resource_limits::of(&profile.limits, None),
            task_group: None,
            output_wait: request.output_wait_ms > 0,
        };
        Ok((found, plan))
    }

    fn launch(
        &self,
        profile: &ExecutionProfile,
        mut request: StartExecutionRequest,
        sink: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        let execution = ExecutionRef::new(request.vm_id.clone(), request.execution_id.clone());
        let folder = (profile.filesystem.temporary == Temporary::Private).then(PrivateFolder::make);
        let folder = folder.transpose().map_err(|error| no_folder(&error))?;
        let output_wait_ms = request.output_wait_ms;
        let own_terminal = matches!(request.streams, Streams::Terminal { .. });
        let streams = StandardStreams::open(request.streams, &profile.limits).map_err(|error| no_resources(&error))?;
        // Its own alone: what the host's has is the host's.
        let terminal = own_terminal.then(|| streams.terminal_name()).flatten();
        let proxy = NameProxy::start(&profile.network, &self.outside)?;
        let mut place = Place::new(&HostNames);
        place.private_folder = folder.as_ref().map(PrivateFolder::real);
        place.terminal = terminal.as_deref();
        place.proxy_port = proxy.as_ref().map(NameProxy::port);
        if let Some(proxy) = &proxy {
            proxy.name_in(&mut request.environment);
        }
        let (_, plan) = self.plan(profile, request, &place)?;
        let (limits, enforcement) = (profile.limits.clone(), preflight::enforcement(profile, &self.facts));
        let finish = Box::new(move |report: &mut ExecutionReport| {
            if let Some(proxy) = proxy {
                proxy.tell(report);
            }
            drop(folder);
        });
        self.runs.start(
            KeptStart {
                execution,
                plan,
                streams,
                limits,
                output_wait_ms,
                group: None,
                bound: false,
                enforcement,
                finish,
            },
            sink,
        )
    }
}

impl BridgeTypes for MacosPlane {
    type Error = BridgeError;
}

impl ExecutionBridge for MacosPlane {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("macos", env!("CARGO_PKG_VERSION"));
        descriptor.tiers = vec![Tier::Landlock];
        descriptor.features = vec![
            Feature::Commands,
            Feature::Stdin,
            Feature::Signals,
            Feature::Terminal,
            Feature::InheritedStreams,
            Feature::FilesystemRules,
            Feature::NetworkDeny,
            Feature::NetworkAllowlist,
            Feature::CommandRules,
            Feature::OutputWait,
        ];
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
        // Where the private folder will be does not matter to what can be said; its like is what is asked about.
        let folder =
            (profile.filesystem.temporary == Temporary::Private).then(|| std::env::temp_dir().join("cofferdam-"));
        let folder = folder.as_ref().and_then(|folder| folder.to_str());
        let mut place = Place::new(&HostNames);
        place.private_folder = folder;
        // Nor which port the proxy will have.
        place.proxy_port = (profile.network.mode == NetworkMode::Allowlist).then_some(u16::MAX);
        preflight::preflight(profile, &self.facts, &place)
    }

    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        let preflight = self.preflight(&request.profile);
        if let Some(shortfall) = preflight.shortfalls.iter().find(|shortfall| shortfall.blocking) {
            let fix = shortfall.fix.as_ref().map(|fix| format!("; to mend it: {fix}")).unwrap_or_default();
            let message = format!("{}{fix}", shortfall.message);
            return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message));
        }
        let number = self.next_context.fetch_add(1, Ordering::Relaxed);
        let id = ContextId::new(format!("macos-{number}"));
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
        let context = self.context_of(request)?;
        let profile = &context.profile;
        let mut place = Place::new(&HostNames);
        place.proxy_port = (profile.network.mode == NetworkMode::Allowlist).then_some(u16::MAX);
        let (found, _) = self.plan(profile, request.clone(), &place)?;
        Ok(Rehearsal::new(found.to_string_lossy()))
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

    fn forget_vm(&self, vm_id: &VmId) {
        lock(&self.contexts).retain(|_, context| context.vm_id != *vm_id);
        self.runs.stop_vm(vm_id);
    }
}

fn no_folder(error: &std::io::Error) -> BridgeError {
    let message = format!("the run's private temporary folder could not be made: {error}; TMPDIR names where");
    BridgeError::new(ErrorCode::SandboxSetupFailed, message).with("step", "private folder")
}

/// A panicking thread leaves nothing half-done behind this lock, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// On a Mac a test's program offers itself as no keeper; there `scripts/verify-macos-plane.sh` runs programs on the plane itself.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
