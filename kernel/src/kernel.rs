//! The kernel: planes, and the VMs that run on them.

use crate::audit::Recorder;
use crate::error::KernelError;
use crate::recording::{Recording, Unrecorded};
use crate::vm::{Vm, VmSpec};
use cofferdam_bridge::audit::FigureSource;
use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, Feature, PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::Mechanism;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::profile::{CallProfile, ExecutionProfile};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A plane as the kernel holds it.
pub(crate) type Plane = Arc<dyn ExecutionBridge<Error = BridgeError>>;

/// Makes VMs and runs things in them, on the planes it was built with.
#[derive(Clone)]
pub struct Kernel {
    planes: Arc<[Plane]>,
    next_vm: Arc<AtomicU64>,
    recording: Recording,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("planes", &self.descriptors()).finish_non_exhaustive()
    }
}

/// Builds a [`Kernel`].
pub struct KernelBuilder {
    planes: Vec<Plane>,
    recording: Recording,
}

impl fmt::Debug for KernelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelBuilder").field("planes", &self.planes.len()).finish()
    }
}

impl Kernel {
    /// Begins a kernel that runs on `plane`.
    #[must_use]
    pub fn builder(plane: impl ExecutionBridge<Error = BridgeError> + 'static) -> KernelBuilder {
        KernelBuilder { planes: vec![Arc::new(plane)], recording: Recording::default() }
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
        Vm::new(VmId::new(format!("vm-{number}")), plane, compiled, spec, self.recording.clone())
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
        let (planes, next_vm) = (self.planes.into(), Arc::new(AtomicU64::new(1)));
        Ok(Kernel { planes, next_vm, recording: self.recording })
    }
}

/// What a plane may not even know that it cannot hold.
fn beyond_plane(profile: &ExecutionProfile, descriptor: &PlaneDescriptor) -> Option<Shortfall> {
    let calls = profile.commands.calls;
    (calls != CallProfile::Usual && !descriptor.has(Feature::CallProfiles)).then(|| {
        let message = format!("this plane holds no profile of system calls (commands.calls = \"{}\")", calls.name());
        let fix = "run on a plane that does, such as linux_native, or write in the policy: commands.calls = \"usual\"";
        Shortfall::blocking(Some(Mechanism::Seccomp), message, Some(fix.to_owned()))
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
    BridgeError::new(code, message).with("policy", profile.name.as_str())
}
