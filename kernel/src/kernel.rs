//! The kernel: planes, and the VMs that run on them.

use crate::audit::Recorder;
use crate::error::KernelError;
use crate::guard::{Guard, GuardLimits};
use crate::prompt::PromptDesk;
use crate::recording::{Recording, Unrecorded};
use crate::telemetry::Listeners;
use crate::vm::{Vm, VmSpec};
use cofferdam_bridge::audit::FigureSource;
use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, Feature, PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::Mechanism;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::guard::MachineSource;
use cofferdam_bridge::ids::{KernelId, PromptId, VmId};
use cofferdam_bridge::metric::MetricSink;
use cofferdam_bridge::profile::{CallProfile, ExecutionProfile, NetworkMode, PublishRule};
use cofferdam_bridge::prompt::{GrantStore, Prompt, PromptAnswer, Prompter};
use cofferdam_bridge::sandbox_event::SandboxEvent;
use cofferdam_bridge::trace_context::TraceSource;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A plane as the kernel holds it.
pub(crate) type Plane = Arc<dyn ExecutionBridge<Error = BridgeError>>;

/// Makes VMs and runs things in them, on the planes it was built with.
#[derive(Clone)]
pub struct Kernel {
    planes: Arc<[Plane]>,
    next_vm: Arc<AtomicU64>,
    desk: Arc<PromptDesk>,
    recording: Recording,
    guard: Guard,
    id: Option<KernelId>,
    listeners: Listeners,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("planes", &self.descriptors()).finish_non_exhaustive()
    }
}

/// Builds a [`Kernel`].
pub struct KernelBuilder {
    planes: Vec<Plane>,
    prompter: Option<Arc<dyn Prompter>>,
    grants: Option<Arc<dyn GrantStore>>,
    prompt_limit: Duration,
    recording: Recording,
    limits: GuardLimits,
    machine: Option<Arc<dyn MachineSource>>,
    id: Option<KernelId>,
    listeners: Listeners,
}

/// What of a kernel its VMs have.
pub(crate) struct KernelParts {
    pub(crate) recording: Recording,
    pub(crate) desk: Arc<PromptDesk>,
    pub(crate) guard: Guard,
    pub(crate) listeners: Listeners,
}

/// How long the host is waited for unless it says otherwise.
const PROMPT_LIMIT: Duration = Duration::from_secs(120);

impl fmt::Debug for KernelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelBuilder").field("planes", &self.planes.len()).finish()
    }
}

impl Kernel {
    /// Begins a kernel that runs on `plane`.
    #[must_use]
    pub fn builder(plane: impl ExecutionBridge<Error = BridgeError> + 'static) -> KernelBuilder {
        KernelBuilder {
            planes: vec![Arc::new(plane)],
            prompter: None,
            grants: None,
            prompt_limit: PROMPT_LIMIT,
            recording: Recording::default(),
            limits: GuardLimits::default(),
            machine: None,
            id: None,
            listeners: Listeners::default(),
        }
    }

    /// Makes a VM: a tenant with a policy, a workspace and an environment of its own.
    ///
    /// # Errors
    /// `policy_invalid` where the policy does not fit the spec; `sandbox_backend_unavailable` or
    /// `unsupported_backend_feature` where no plane can enforce it here, with what is missing and what mends it.
    pub fn create_vm(&self, spec: VmSpec) -> Result<Vm, KernelError> {
        let number = self.next_vm.fetch_add(1, Ordering::Relaxed);
        let mut compiled = spec.compile()?;
        self.recording.keep_out(&mut compiled)?;
        let plane = self.choose(&compiled.profile, spec.has_shared_network())?;
        let parts = KernelParts {
            recording: self.recording.clone(),
            desk: self.desk.clone(),
            guard: self.guard.clone(),
            listeners: self.listeners.clone(),
        };
        let kernel = self.id.as_ref().map(|id| format!("{id}-")).unwrap_or_default();
        Vm::new(VmId::new(format!("{kernel}vm-{number}")), plane, compiled, spec, parts)
    }

    /// The questions to the host that wait for an answer, the oldest first.
    pub fn prompts(&self) -> Vec<Prompt> {
        self.desk.prompts()
    }

    /// Answers a question, from wherever it became known: by [`Prompter::ask`], as an event, or by [`prompts`](Self::prompts).
    ///
    /// # Errors
    /// `invalid_state` when it waits no longer; what kept a yes from being remembered, which then holds for this once.
    pub fn answer(&self, id: &PromptId, answer: PromptAnswer) -> Result<(), KernelError> {
        Ok(self.desk.take(id, answer, "host")?)
    }

    /// What each plane that runs programs says to `spec`, whether or not it accepts it. Changes nothing.
    ///
    /// # Errors
    /// `policy_invalid` where the policy does not fit the spec.
    pub fn preflight(&self, spec: &VmSpec) -> Result<Vec<(PlaneDescriptor, Preflight)>, KernelError> {
        let profile = spec.compile()?.profile;
        Ok(self
            .candidates(&profile, spec.has_shared_network())
            .map(|(_, descriptor, preflight)| (descriptor, preflight))
            .collect())
    }

    /// The planes that run programs, each with what it says to `profile`; `meet`: and to runs that are to reach each other.
    fn candidates(
        &self,
        profile: &ExecutionProfile,
        meet: bool,
    ) -> impl Iterator<Item = (&Plane, PlaneDescriptor, Preflight)> {
        self.planes.iter().filter_map(move |plane| {
            let descriptor = plane.describe();
            if !descriptor.has(Feature::Commands) || descriptor.contract_generation != CONTRACT_GENERATION {
                return None;
            }
            let mut preflight = plane.preflight(profile);
            preflight.shortfalls.extend(beyond_plane(profile, &descriptor));
            preflight.shortfalls.extend(meeting(&descriptor).filter(|_| meet));
            Some((plane, descriptor, preflight))
        })
    }

    /// The planes, in the order in which they are tried.
    pub fn descriptors(&self) -> Vec<PlaneDescriptor> {
        self.planes.iter().map(|plane| plane.describe()).collect()
    }

    /// The recorder that this kernel was built with, for what its host does itself.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recording.recorder.as_ref()
    }

    /// The first plane that runs programs and can enforce the whole profile, and what it says to it. Nothing is ever dropped in silence.
    fn choose(&self, profile: &ExecutionProfile, meet: bool) -> Result<(Plane, Preflight), KernelError> {
        let mut refusals = Vec::new();
        for (plane, descriptor, preflight) in self.candidates(profile, meet) {
            if preflight.accepted() {
                return Ok((plane.clone(), preflight));
            }
            refusals.push((descriptor.name, preflight));
        }
        Err(refused(profile, &refusals).into())
    }
}

impl KernelBuilder {
    /// Adds a plane that is tried after those before it.
    #[must_use]
    pub fn plane(mut self, plane: impl ExecutionBridge<Error = BridgeError> + 'static) -> Self {
        self.planes.push(Arc::new(plane));
        self
    }

    /// When nothing more is started, and how many run at once; the default bounds arguments alone.
    #[must_use]
    pub fn guard(mut self, limits: GuardLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the guard has its figures of the machine from. Without it, limits on them hold nothing up.
    #[must_use]
    pub fn machine(mut self, source: impl MachineSource + 'static) -> Self {
        self.machine = Some(Arc::new(source));
        self
    }

    /// What the ids of its VMs begin with, and so those of all their runs: `ID-vm-1`, `ID-vm-1-run-1`. Without it they are unique among
    /// those of this kernel alone, and several kernels that write to one log, or to one collector of traces, cannot be told apart by them.
    #[must_use]
    pub fn id(mut self, id: KernelId) -> Self {
        self.id = Some(id);
        self
    }

    /// Who is told figures, by [`instruments`](crate::instruments).
    #[must_use]
    pub fn metrics(mut self, sink: impl MetricSink + 'static) -> Self {
        self.listeners.metrics = Some(Arc::new(sink));
        self
    }

    /// Who knows which span the kernel runs in. Records of the audit log then name trace and span.
    #[must_use]
    pub fn traces(mut self, source: impl TraceSource + 'static) -> Self {
        self.listeners.traces = Some(Arc::new(source));
        self
    }

    /// Whom the kernel asks what policies say to ask. Without anybody each such question is a no.
    #[must_use]
    pub fn prompter(mut self, prompter: impl Prompter + 'static) -> Self {
        self.prompter = Some(Arc::new(prompter));
        self
    }

    /// How long an answer is waited for, after which it is a no; two minutes unless set.
    #[must_use]
    pub fn prompt_limit(mut self, limit: Duration) -> Self {
        self.prompt_limit = limit;
        self
    }

    /// Where answers are kept that hold for always. Without it none does.
    #[must_use]
    pub fn grants(mut self, store: impl GrantStore + 'static) -> Self {
        self.grants = Some(Arc::new(store));
        self
    }

    /// Records in `recorder` whatever is decided, started and done. A run that cannot be recorded is refused with `audit_unavailable`, and
    /// no guest reaches the log.
    #[must_use]
    pub fn audit(mut self, recorder: Recorder) -> Self {
        self.recording.recorder = Some(recorder);
        self
    }

    /// Lets programs run although nothing will tell that they did. What could not be recorded is told with each result.
    #[must_use]
    pub fn run_even_what_cannot_be_recorded(mut self) -> Self {
        self.recording.unrecorded = Unrecorded::Runs;
        self
    }

    /// Asks `source` for figures before and after each run, for its records.
    #[must_use]
    pub fn figures(mut self, source: impl FigureSource + 'static) -> Self {
        self.recording.figures = Some(Arc::new(source));
        self
    }

    /// Builds the kernel.
    ///
    /// # Errors
    /// `invalid_state` when no plane speaks this kernel's contract generation.
    pub fn build(self) -> Result<Kernel, KernelError> {
        if !self.planes.iter().any(|plane| plane.describe().contract_generation == CONTRACT_GENERATION) {
            let message = format!(
                "no plane speaks generation {CONTRACT_GENERATION} of the contract; build planes and kernel from one release"
            );
            return Err(BridgeError::new(ErrorCode::InvalidState, message).into());
        }
        let (mut recording, listeners) = (self.recording, self.listeners);
        recording.listeners = listeners.clone();
        let desk = PromptDesk::new(self.prompter, self.grants, self.prompt_limit, recording.clone());
        let (planes, next_vm) = (self.planes.into(), Arc::new(AtomicU64::new(1)));
        let guard = Guard::new(self.limits, self.machine, recording.clone());
        Ok(Kernel { planes, next_vm, desk, guard, recording, id: self.id, listeners })
    }
}

/// What a plane may not even know that it cannot hold.
fn beyond_plane(profile: &ExecutionProfile, descriptor: &PlaneDescriptor) -> Vec<Shortfall> {
    let asks = (profile.asks_about_files() && !descriptor.has(Feature::Prompts)).then(|| {
        let message = "this plane cannot ask about files while a program runs (prompt.filesystem)";
        let fix = "run on a plane that can, such as linux_native, or take prompt.filesystem out of the policy: what it names is refused then unless another rule allows it";
        Shortfall::blocking(None, message, Some(fix.to_owned()))
    });
    // Nothing passes unasked, and of actions the kernel asks by itself; so this is told, and no reason to run nothing.
    let unasked = descriptor.has(Feature::NetworkAllowlist) && !descriptor.has(Feature::Prompts);
    let asks_hosts = (!profile.prompts.network.is_empty() && unasked).then(|| {
        let message = "this plane cannot ask about connections while a program runs: what prompt.network names is refused to programs, and asked about for actions alone";
        let fix = "run on a plane that can, such as linux_native";
        let mut shortfall = Shortfall::blocking(None, message, Some(fix.to_owned()));
        shortfall.blocking = false;
        shortfall
    });
    let calls = profile.commands.calls;
    let calls = (calls != CallProfile::Usual && !descriptor.has(Feature::CallProfiles)).then(|| {
        let message = format!("this plane holds no profile of system calls (commands.calls = \"{}\")", calls.name());
        let fix = "run on a plane that does, such as linux_native, or write in the policy: commands.calls = \"usual\"";
        Shortfall::blocking(Some(Mechanism::Seccomp), message, Some(fix.to_owned()))
    });
    let http = (!profile.network.http.is_empty() && !descriptor.has(Feature::HttpRules)).then(|| {
        let message = "this plane does not look at requests of HTTP (network.http)";
        let fix = "run on a plane that does, such as linux_native, or take network.http out of the policy";
        Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, Some(fix.to_owned()))
    });
    let inside_tls = !profile.network.hosts_inside_tls().is_empty() && !descriptor.has(Feature::HttpsRules);
    let https = inside_tls.then(|| {
        let message = "this plane does not look at requests inside TLS (network.http with https)";
        let fix = "run on a plane that does, such as linux_native, or take entries with https out of network.http";
        Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, Some(fix.to_owned()))
    });
    let more = [datagrams(profile, descriptor), publishing(profile, descriptor)];
    [asks, asks_hosts, calls, http, https].into_iter().chain(more).flatten().collect()
}

/// Datagrams are carried by a plane that knows their rules alone; to another they would mean nothing, in silence.
fn datagrams(profile: &ExecutionProfile, descriptor: &PlaneDescriptor) -> Option<Shortfall> {
    (!profile.network.datagrams.is_empty() && !descriptor.has(Feature::DatagramRules)).then(|| {
        let message = "this plane carries no datagrams by name (network.allow with udp://)";
        let fix =
            "run on a plane that does, such as linux_native, or take the entries with udp:// out of network.allow";
        Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, Some(fix.to_owned()))
    })
}

/// Ports of a run lie on the host's loopback by themselves only where the network is the host's, or nothing is isolated.
fn publishing(profile: &ExecutionProfile, descriptor: &PlaneDescriptor) -> Option<Shortfall> {
    let hosts = profile.network.mode == NetworkMode::Inherit || !descriptor.has(Feature::NetworkDeny);
    let by_itself = |rule: &PublishRule| hosts && rule.host_port == Some(rule.port);
    let rule = profile.network.publish.iter().find(|rule| !by_itself(rule))?;
    (!descriptor.has(Feature::PublishedPorts)).then(|| {
        let message = format!("this plane cannot publish port {} of a run on the host (network.listen)", rule.port);
        let fix = "run on a plane that can, such as linux_native, or take it out of network.listen";
        Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, Some(fix.to_owned()))
    })
}

/// Runs that are to reach each other need a plane that knows of it.
fn meeting(descriptor: &PlaneDescriptor) -> Option<Shortfall> {
    (!descriptor.has(Feature::SharedNetwork)).then(|| {
        let message = "on this plane the commands of a session cannot reach each other over the network";
        let fix = "run on a plane that has shared_network, such as linux_native";
        Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, Some(fix.to_owned()))
    })
}

fn refused(profile: &ExecutionProfile, refusals: &[(String, Preflight)]) -> BridgeError {
    let mut message = format!("no plane here can enforce the policy `{}`", profile.name);
    let mut code = ErrorCode::UnsupportedBackendFeature;
    for (plane, preflight) in refusals {
        if preflight.enforcement.tier < profile.isolation.require {
            code = ErrorCode::SandboxBackendUnavailable;
        }
        for shortfall in preflight.shortfalls.iter().filter(|shortfall| shortfall.blocking) {
            message.push_str(&format!("\n  {plane}: {}", shortfall.message));
            if let Some(fix) = &shortfall.fix {
                message.push_str(&format!("; to mend it: {fix}"));
            }
        }
    }
    let error = BridgeError::new(code, message).with("policy", profile.name.as_str());
    let backends: Vec<&str> = refusals.iter().map(|(plane, _)| plane.as_str()).collect();
    match SandboxEvent::of_code(&profile.name, &backends.join(", "), code) {
        Some(event) => event.told_by(error),
        None => error,
    }
}
