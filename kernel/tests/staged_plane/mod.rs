//! A plane that runs nothing, for tests of the kernel: each says what comes of a start, and what was started ends when the test says so.

#![expect(dead_code, reason = "each test uses what it needs of it")]

use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    StartExecutionRequest, StartedExecution,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::usage::Usage;
use std::sync::{Arc, Mutex};

/// Where the events of a run go.
pub(crate) type Sink = Arc<dyn ExecutionEventSink>;

/// What comes of a start.
pub(crate) enum Course {
    /// It runs until the test ends it, or it is killed.
    Runs,
    /// It has ended already.
    Ends(ExitCause),
}

type Stage = dyn Fn(&StartExecutionRequest, &Sink) -> Result<Course, BridgeError> + Send + Sync;

/// The plane. Clones are the same one.
#[derive(Clone)]
pub(crate) struct StagedPlane {
    features: Vec<Feature>,
    stage: Arc<Stage>,
    report: fn(ExitCause) -> ExecutionReport,
    killed: Arc<dyn Fn() + Send + Sync>,
    deaf: bool,
    tier: Tier,
    started: Arc<Mutex<usize>>,
    running: Arc<Mutex<Vec<(ExecutionId, Sink)>>>,
}

/// A report without figures.
pub(crate) fn bare_report(cause: ExitCause) -> ExecutionReport {
    ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full))
}

impl StagedPlane {
    /// A plane that runs native programs, with `stage` for each start.
    pub(crate) fn new(
        stage: impl Fn(&StartExecutionRequest, &Sink) -> Result<Course, BridgeError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            features: vec![Feature::Commands],
            stage: Arc::new(stage),
            report: bare_report,
            killed: Arc::new(|| {}),
            deaf: false,
            tier: Tier::Full,
            started: Arc::default(),
            running: Arc::default(),
        }
    }

    /// Can `features`, too.
    pub(crate) fn with(mut self, features: &[Feature]) -> Self {
        self.features.extend(features);
        self
    }

    /// Makes its reports so.
    pub(crate) fn reporting(mut self, report: fn(ExitCause) -> ExecutionReport) -> Self {
        self.report = report;
        self
    }

    /// Calls `told` for each run that is killed.
    pub(crate) fn telling_kills(mut self, told: impl Fn() + Send + Sync + 'static) -> Self {
        self.killed = Arc::new(told);
        self
    }

    /// What it runs takes no signal.
    pub(crate) fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// Has less isolation to offer.
    pub(crate) fn with_tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// How many were started.
    pub(crate) fn started(&self) -> usize {
        *self.started.lock().unwrap()
    }

    /// Ends the oldest run.
    pub(crate) fn end_oldest(&self, cause: ExitCause) {
        let (_, sink) = self.running.lock().unwrap().remove(0);
        self.tell(&sink, cause);
    }

    /// Loses all runs without a word.
    pub(crate) fn lose_all(&self) {
        self.running.lock().unwrap().clear();
    }

    fn end(&self, of: impl Fn(&ExecutionId) -> bool, cause: &ExitCause) -> usize {
        let (ended, others) =
            std::mem::take(&mut *self.running.lock().unwrap()).into_iter().partition(|one| of(&one.0));
        *self.running.lock().unwrap() = others;
        let ended: Vec<(ExecutionId, Sink)> = ended;
        ended.iter().for_each(|(_, sink)| self.tell(sink, cause.clone()));
        ended.len()
    }

    fn tell(&self, sink: &Sink, cause: ExitCause) {
        sink.push(ExecutionEvent::Exited(Box::new((self.report)(cause))));
    }
}

impl BridgeTypes for StagedPlane {
    type Error = BridgeError;
}

impl ExecutionBridge for StagedPlane {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("staged", "0");
        descriptor.features.clone_from(&self.features);
        descriptor
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        let mut enforcement = Enforcement::new(self.tier);
        enforcement.mechanisms.push(MechanismReport::held(Mechanism::Seccomp));
        let mut preflight = Preflight::new(enforcement);
        if self.tier < profile.isolation.require {
            let fix = Some("sysctl -w user.max_user_namespaces=15000".to_owned());
            preflight.shortfalls.push(Shortfall::blocking(None, "namespaces are switched off", fix));
        }
        preflight
    }

    fn create_command_context(&self, _: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        Ok(CreatedContext::new(ContextId::new("context")))
    }

    fn start_execution(&self, request: StartExecutionRequest, events: Sink) -> Result<StartedExecution, BridgeError> {
        let course = (self.stage)(&request, &events)?;
        *self.started.lock().unwrap() += 1;
        match course {
            Course::Runs => self.running.lock().unwrap().push((request.execution_id, events)),
            Course::Ends(cause) => self.tell(&events, cause),
        }
        Ok(StartedExecution::new(None))
    }

    fn write_stdin(&self, _: &ExecutionRef, _: &[u8]) -> Result<(), BridgeError> {
        Ok(())
    }

    fn close_stdin(&self, _: &ExecutionRef) -> Result<(), BridgeError> {
        Ok(())
    }

    fn kill_execution(&self, execution: &ExecutionRef, _: ExecutionSignal) -> Result<(), BridgeError> {
        if !self.deaf && self.end(|id| *id == execution.execution_id, &ExitCause::Killed) > 0 {
            (self.killed)();
        }
        Ok(())
    }

    fn poll_execution_event(&self, _: &ExecutionRef) -> Result<Option<ExecutionEvent>, BridgeError> {
        Ok(None)
    }

    fn forget_vm(&self, _: &VmId) {
        if !self.deaf {
            self.end(|_| true, &ExitCause::Killed);
        }
    }
}
