//! A plane in Rust that does no more than it must: it starts plain programs, hands on what they print, and tells how they end.
//!
//! It claims `commands` and nothing else, so that is all that the conformance kit asks of it. What a program leaves behind is
//! ended by the keeper of `plane-kit`.

#![forbid(unsafe_code)]

mod run;

use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    StartExecutionRequest, StartedExecution,
};
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile};
use cofferdam_plane_kit::keeper::Keeper;
use run::Running;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The plane.
#[derive(Debug)]
pub struct MinimalPlane {
    keeper: Keeper,
    state: Arc<Mutex<State>>,
}

/// What it remembers.
#[derive(Debug, Default)]
struct State {
    contexts: HashMap<ContextId, VmId>,
    made: u64,
    running: HashMap<ExecutionRef, Arc<Running>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MinimalPlane {
    /// Makes the plane. Starts nothing.
    ///
    /// # Errors
    /// Where the kernel gives no memory file for the keeper.
    pub fn new() -> Result<Self, BridgeError> {
        Ok(Self { keeper: Keeper::new()?, state: Arc::default() })
    }
}

impl BridgeTypes for MinimalPlane {
    type Error = BridgeError;
}

impl ExecutionBridge for MinimalPlane {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("rust_minimal", env!("CARGO_PKG_VERSION"));
        descriptor.tiers = vec![Tier::None];
        descriptor.features = vec![Feature::Commands];
        descriptor
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        let mut preflight = Preflight::new(enforcement());
        // What would do something else than the policy says is refused …
        let beyond = [
            (profile.isolation.require > Tier::None, "isolation", "isolation.require = \"none\""),
            (profile.filesystem.changes != Changes::Direct, "changes kept apart", "filesystem.changes = \"direct\""),
            (profile.commands.calls != CallProfile::Usual, "profiles of system calls", "commands.calls = \"usual\""),
        ];
        for (_, what, fix) in beyond.into_iter().filter(|(asked, ..)| *asked) {
            let message = format!("this plane has no {what}");
            preflight.shortfalls.push(Shortfall::blocking(None, message, Some(fix.to_owned())));
        }
        // … and what is merely missing is told.
        let message = "nothing else of the policy is held: a program does what its user may";
        preflight.shortfalls.push(Shortfall::tolerated(None, message, None));
        preflight
    }

    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        if let Some(shortfall) = self.preflight(&request.profile).shortfalls.iter().find(|one| one.blocking) {
            return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, shortfall.message.as_str()));
        }
        let mut state = lock(&self.state);
        state.made += 1;
        let id = ContextId::new(format!("minimal-{}", state.made));
        state.contexts.insert(id.clone(), request.vm_id);
        Ok(CreatedContext::new(id))
    }

    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        if lock(&self.state).contexts.get(&request.context_id) != Some(&request.vm_id) {
            return Err(BridgeError::new(ErrorCode::UnknownContext, "this VM has no such context; create it first"));
        }
        let execution = ExecutionRef::new(request.vm_id.clone(), request.execution_id.clone());
        let state = self.state.clone();
        let own = execution.clone();
        let running = run::start(&self.keeper, request, events, enforcement(), move || {
            lock(&state).running.remove(&own);
        })?;
        let process_id = running.process_id();
        running.add_to(|running| drop(lock(&self.state).running.insert(execution, running)));
        Ok(StartedExecution::new(Some(process_id)))
    }

    fn write_stdin(&self, _: &ExecutionRef, _: &[u8]) -> Result<(), BridgeError> {
        Err(BridgeError::new(ErrorCode::UnsupportedOperation, "this plane gives programs no input"))
    }

    fn close_stdin(&self, _: &ExecutionRef) -> Result<(), BridgeError> {
        Ok(())
    }

    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        let running = lock(&self.state).running.get(execution).cloned();
        match (running, signal) {
            (Some(running), ExecutionSignal::Kill) => running.kill(),
            // What has ended is no error.
            (None, _) => {}
            _ => {
                return Err(BridgeError::new(
                    ErrorCode::UnsupportedOperation,
                    "this plane delivers no signal but kill",
                ));
            }
        }
        Ok(())
    }

    fn forget_vm(&self, vm_id: &VmId) {
        let mut state = lock(&self.state);
        state.contexts.retain(|_, owner| owner != vm_id);
        let own = state.running.iter().filter(|(execution, _)| execution.vm_id == *vm_id);
        own.for_each(|(_, running)| running.kill());
    }
}

/// What holds in every run.
fn enforcement() -> Enforcement {
    let mut enforcement = Enforcement::new(Tier::None);
    enforcement.mechanisms.push(MechanismReport::held(Mechanism::Containment).by("subreaper"));
    enforcement
}
