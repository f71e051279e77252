//! Whether an action may do what it says it will do, asked before any of it is done: of the policy, and of the host where the policy says so.

use super::step::{Runs, Step, StepEnd};
use crate::error::KernelError;
use crate::policy::{Access, Decision};
use crate::telemetry;
use crate::vm::Vm;
use cofferdam_bridge::action::WorkerRequest;
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::prompt::{PromptOutcome, PromptQuestion};
use cofferdam_bridge::sandbox_event::SandboxEvent;
use cofferdam_bridge::verdict::{Denial, Verdict};
use tokio::time::Instant;

/// What is known of one access before anything is done.
pub(super) enum Beforehand {
    /// The policy allows it.
    Allowed,
    /// The plane sees better than anybody outside what it comes to (where links lead), and asks the host itself, about the object that it holds.
    LeftToPlane,
    /// The host is to be asked.
    Asked(PromptQuestion),
    /// The policy refuses it.
    Refused(BridgeError),
}

/// What the policy says to `access`.
///
/// # Errors
/// `path_invalid` for a path that is not absolute and normalised.
pub(super) fn beforehand(vm: &Vm, access: &Access) -> Result<Beforehand, KernelError> {
    let decision = vm.decide(access)?;
    let plane = vm.plane();
    let on_file = matches!(access, Access::Read(_) | Access::Write(_)) && plane.has(Feature::FilesystemRules);
    let left_to_plane = on_file
        && match decision.verdict {
            Verdict::Allow => false,
            Verdict::Prompt => plane.has(Feature::Prompts),
            _ => decision.rule.is_none(),
        };
    if left_to_plane {
        return Ok(Beforehand::LeftToPlane);
    }
    telemetry::decided(&vm.shared().listeners, access, &decision);
    Ok(match decision.verdict {
        Verdict::Allow => Beforehand::Allowed,
        Verdict::Prompt => match access.question(&decision) {
            Some(question) => Beforehand::Asked(question),
            None => Beforehand::Refused(refused(vm, access, decision, None)),
        },
        _ => Beforehand::Refused(refused(vm, access, decision, None)),
    })
}

/// Asks about all `accesses`, and returns when all may be. What waits for the host is this action alone, for as long as it may take.
///
/// # Errors
/// The first refusal. Nobody is asked anything where the policy refuses a part of it.
pub(super) async fn obtain(vm: &Vm, accesses: &[Access], deadline: Instant) -> Result<(), BridgeError> {
    let mut questions = Vec::new();
    for access in accesses {
        match beforehand(vm, access).map_err(|error| error.error().clone())? {
            Beforehand::Allowed | Beforehand::LeftToPlane => {}
            Beforehand::Asked(question) => questions.push((access, question)),
            Beforehand::Refused(error) => return Err(error),
        }
    }
    for (access, question) in questions {
        // Whoever waits no longer takes the question back with it.
        let outcome = match tokio::time::timeout_at(deadline, vm.shared().ask(None, question)).await {
            Ok(outcome) => outcome?,
            Err(_) => PromptOutcome::TimedOut,
        };
        if !outcome.is_allowed() {
            let decision = vm.decide(access).map_err(|error| error.error().clone())?;
            return Err(refused(vm, access, decision, Some(outcome)));
        }
    }
    Ok(())
}

/// Has files that the host is asked about written in place: a file beside each would be another question, about a name that nobody knows.
pub(super) fn ask_once(vm: &Vm, steps: &mut [Step]) {
    for step in steps {
        let Runs::Worker(request) = &mut step.runs else { continue };
        let WorkerRequest::FileWrite(write) = request.as_mut() else { continue };
        let decision = vm.decide(&Access::Write(write.path.clone()));
        write.in_place |= decision.is_ok_and(|decision| decision.verdict == Verdict::Prompt);
    }
}

/// `error`, with the refusal where the sandbox hides or holds what the action asked for, or the host said no to it there.
pub(super) fn explained(vm: &Vm, accesses: &[Access], ends: &[StepEnd], error: BridgeError) -> BridgeError {
    if !matches!(error.code, ErrorCode::NotFound | ErrorCode::IoFailed) {
        return error;
    }
    let told = ends.iter().flat_map(|end| &end.report.denials);
    let told = told.filter(|denial| denial.note.is_some()).find(|denial| {
        accesses.iter().any(|access| {
            let (name, subject) = access.told();
            denial.access == name && denial.subject == subject
        })
    });
    if let Some(denial) = told {
        return BridgeError::denied(denial);
    }
    let denied = accesses.iter().find_map(|access| {
        let decision = vm.decide(access).ok()?;
        // What the host was asked about was refused by it, which the run tells, or by nobody.
        (!matches!(decision.verdict, Verdict::Allow | Verdict::Prompt)).then(|| refused(vm, access, decision, None))
    });
    denied.unwrap_or(error)
}

/// A refusal, by the policy or, where `asked` came to it, by the host.
fn refused(vm: &Vm, access: &Access, decision: Decision, asked: Option<PromptOutcome>) -> BridgeError {
    let (name, subject) = access.told();
    let mut denial = Denial::new(name, subject);
    (denial.rule, denial.remedy) = (decision.rule, decision.remedy);
    denial.note = asked.map(|outcome| outcome.why().to_owned());
    let (error, profile) = (BridgeError::denied(&denial), vm.profile());
    match SandboxEvent::of_denial(&profile.name, &vm.plane().name, profile.network.mode, &denial) {
        Some(event) => event.told_by(error),
        None => error,
    }
}
