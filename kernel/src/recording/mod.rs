//! What a kernel records about the runs of its VMs, in which order: nothing runs before its `started` is on disk.

mod action;
mod argument;
mod guard;
mod question;
mod reach;
mod run;

pub(crate) use question::{Asking, Settled};
pub(crate) use run::RunRecord;

use crate::audit::{
    About, ArgumentRecording, Durability, Event, Figures, RecordedArguments, Recorder, Refused, Started,
};
use crate::error::KernelError;
use crate::policy::CompiledPolicy;
use crate::telemetry::{self, Listeners};
use crate::vm::SharedVm;
use cofferdam_bridge::audit::FigureSource;
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::StartExecutionRequest;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_bridge::verdict::{RuleRef, Verdict};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens to a run that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unrecorded {
    /// It is refused.
    #[default]
    Refused,
    /// It runs all the same: the host's own words.
    Runs,
}

/// Where a kernel records, and how strictly.
#[derive(Clone, Default)]
pub(crate) struct Recording {
    pub(crate) recorder: Option<Recorder>,
    pub(crate) unrecorded: Unrecorded,
    pub(crate) figures: Option<Arc<dyn FigureSource>>,
    pub(crate) listeners: Listeners,
    running: Arc<AtomicU64>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("recorder", &self.recorder).field("unrecorded", &self.unrecorded).finish()
    }
}

/// What is the same in the `started` of every run of a VM.
#[derive(Clone, Debug)]
pub(crate) struct VmFacts {
    plane: String,
    profile_sha256: String,
    enforcement: Enforcement,
}

/// A run that is about to start.
pub(crate) struct Starting<'a> {
    pub(crate) vm: &'a SharedVm,
    pub(crate) request: &'a StartExecutionRequest,
    /// The rule that allowed the program, where the kernel decided.
    pub(crate) rule: Option<RuleRef>,
    pub(crate) timeout: Option<Duration>,
}

impl Recording {
    /// What all runs under `compiled` have in common; nothing where nothing is recorded.
    pub(crate) fn facts(&self, plane: &str, compiled: &CompiledPolicy, enforcement: Enforcement) -> Option<VmFacts> {
        self.recorder.as_ref()?;
        let profile = serde_json::to_vec(&compiled.profile).unwrap_or_default();
        let profile_sha256 = Sha256::digest(&profile).iter().map(|byte| format!("{byte:02x}")).collect();
        Some(VmFacts { plane: plane.to_owned(), profile_sha256, enforcement })
    }

    /// Keeps the log out of reach of what runs under `compiled`.
    ///
    /// # Errors
    /// `policy_invalid` where the policy opens the log itself.
    pub(crate) fn keep_out(&self, compiled: &mut CompiledPolicy) -> Result<(), BridgeError> {
        match self.recorder.as_ref().and_then(Recorder::place) {
            Some(place) => reach::keep_out(&place, compiled),
            None => Ok(()),
        }
    }

    /// Records that something was refused before it started, and answers the refusal with the number of its record. Where that cannot be
    /// written it is refused all the same.
    pub(crate) async fn refused(
        &self,
        vm: &SharedVm,
        execution: &ExecutionId,
        subject: &str,
        error: KernelError,
    ) -> KernelError {
        let Some(recorder) = &self.recorder else { return error };
        let refused = Refused {
            subject: subject.to_owned(),
            code: error.code(),
            message: error.error().message.clone(),
            denial: error.denial().cloned(),
        };
        let event = Event::Refused(Box::new(refused));
        match recorder.record(about(vm, execution), event, Durability::Written).await {
            Ok(sequence) => numbered(error.error().clone(), sequence).into(),
            Err(_) => error,
        }
    }

    /// Records that a run is about to start, and returns when that is on disk.
    ///
    /// # Errors
    /// `audit_unavailable` or `audit_damaged`, unless the host lets it run all the same.
    pub(crate) async fn start(&self, starting: Starting<'_>) -> Result<Option<RunRecord>, BridgeError> {
        let Some(recorder) = &self.recorder else { return Ok(None) };
        let about = about(starting.vm, &starting.request.execution_id);
        let Some(started) = self.started(starting) else { return Ok(None) };
        let event = Event::Started(Box::new(started));
        let recorded = recorder.record(about.clone(), event, Durability::Synced);
        match telemetry::committing(&self.listeners, recorded).await {
            Ok(sequence) => Ok(Some(RunRecord::new(self.clone(), recorder.clone(), about, sequence))),
            Err(error) => match self.unrecorded {
                Unrecorded::Refused => Err(error),
                Unrecorded::Runs => Ok(Some(RunRecord::failed(self.clone(), recorder.clone(), about, error))),
            },
        }
    }

    fn started(&self, starting: Starting<'_>) -> Option<Started> {
        let Starting { vm, request, rule, timeout } = starting;
        let facts = vm.facts.as_ref()?;
        let redacted = match self.recorder.as_ref()?.arguments() {
            ArgumentRecording::Counted => None,
            ArgumentRecording::Redacted => Some(argument::redacted(&request.arguments)),
        };
        Some(Started {
            program: request.program.clone(),
            arguments: RecordedArguments { count: request.arguments.len() as u64, redacted },
            working_directory: request.working_directory.clone(),
            plane: facts.plane.clone(),
            policy: vm.compiled.profile.name.clone(),
            profile_sha256: facts.profile_sha256.clone(),
            verdict: Verdict::Allow,
            rule,
            enforcement: facts.enforcement.clone(),
            limits: vm.compiled.profile.limits.clone(),
            timeout_ms: timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            telemetry: self.figures(),
        })
    }

    /// Figures now: those of the host, and how many runs of this kernel are under way.
    fn figures(&self) -> Figures {
        let mut figures = self.figures.as_ref().map(|source| source.figures()).unwrap_or_default();
        figures.insert("running".to_owned(), self.running.load(Ordering::Relaxed));
        figures
    }
}

/// A run of a VM.
fn about(vm: &SharedVm, execution: &ExecutionId) -> About {
    let about = About::vm(&vm.id).execution(execution).trace(vm.listeners.trace());
    match &vm.session {
        Some(session) => about.session(session),
        None => about,
    }
}

/// An error, with the number of the record that tells of it.
pub(crate) fn numbered(error: BridgeError, sequence: u64) -> BridgeError {
    error.with("audit_sequence", sequence)
}
