//! A right plane with one fault.

use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    StartExecutionRequest, StartedExecution, TerminalSize,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::limits::{LimitName, Limits};
use cofferdam_bridge::profile::{
    CallProfile, Changes, ExecutionProfile, NetworkMode, PathEffect, PathPattern, PathRule,
};
use cofferdam_bridge::verdict::RuleRef;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

pub(crate) type Plane = Arc<dyn ExecutionBridge<Error = BridgeError>>;

/// What is wrong with it; the name says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NamesItselfNothing,
    ShoutsItsName,
    HasNoVersion,
    SpeaksAnotherGeneration,
    ChangesItsDescriptor,
    ListsAFeatureTwice,
    ListsALimitTwice,
    ListsTiersBackwards,
    RunsNothing,
    ClaimsRulesWithoutATier,
    AcceptsOverlays,
    AcceptsCallProfiles,
    AcceptsEveryTier,
    TellsNoShortfall,
    AnswersInTurns,
    MakesContextsForWhatItRefuses,
    ReportsAMechanismTwice,
    KnowsEveryContext,
    SharesContexts,
    KeepsForgottenContexts,
    GivesOneContextId,
    ForgetsWithoutEnding,
    EndsOthersWhenForgetting,
    ExitsWithZero,
    CutsExitCodes,
    TellsSignalsAsExits,
    DropsTheLastArgument,
    SplitsArguments,
    TrimsVariables,
    LeaksAVariable,
    StartsInTheRoot,
    ReplacesPath,
    CallsEveryErrorIo,
    MeasuresNoTime,
    MiscountsBytes,
    ClaimsNoTier,
    SwapsStreams,
    LosesTheLastOutput,
    EndsTwice,
    EndsBeforeItsOutput,
    SendsEmptyOutput,
    HoldsOutputBack,
    LosesWhatHasNoRoom,
    ReadsOutputAsText,
    GoesOnUnread,
    CutsInput,
    ReversesInput,
    RefusesToCloseTwice,
    WritesToTheDead,
    NeverClosesInput,
    KillsForEverySignal,
    IgnoresSignals,
    MixesSignalsUp,
    TellsKillAsSignal,
    ObjectsToTheDead,
    IgnoresLimits,
    TellsAnotherLimit,
    TellsNoLimit,
    HandsOverPastTheLimit,
    ShowsTheHost,
    OpensTheHost,
    DropsDenials,
    DropsProtection,
    ConnectsEverything,
}

pub(crate) struct Mutant {
    inner: Plane,
    fault: Fault,
    calls: AtomicU32,
    /// The contexts that were made, the first first.
    made: Mutex<Vec<(VmId, ContextId)>>,
}

impl Mutant {
    pub(crate) fn around(inner: Plane, fault: Fault) -> Plane {
        Arc::new(Self { inner, fault, calls: AtomicU32::new(0), made: Mutex::default() })
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn odd(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst) % 2 == 1
    }

    /// The profile as the faulty plane holds it.
    fn held(&self, mut profile: ExecutionProfile) -> ExecutionProfile {
        let work = profile.filesystem.workspace.clone().unwrap_or_default();
        let secret = std::path::Path::new(&work).with_file_name("secret").to_string_lossy().into_owned();
        let mut open = |effect, path: &str| {
            let rule = RuleRef::new("mutant", None, "open");
            profile.filesystem.rules.push(PathRule::new(effect, PathPattern::Literal(path.to_owned()), rule));
        };
        match self.fault {
            Fault::ShowsTheHost => open(PathEffect::Read, &secret),
            Fault::OpensTheHost => open(PathEffect::Write, &secret),
            Fault::DropsDenials => profile.filesystem.rules.retain(|rule| rule.effect != PathEffect::Deny),
            Fault::DropsProtection => profile.filesystem.rules.retain(|rule| rule.effect != PathEffect::Protect),
            Fault::ConnectsEverything => profile.network.mode = NetworkMode::Inherit,
            Fault::IgnoresLimits => profile.limits = Limits::default(),
            Fault::HandsOverPastTheLimit => {
                profile.limits.stdout_bytes = profile.limits.stdout_bytes.map(|most| most + 1);
                profile.limits.stderr_bytes = profile.limits.stderr_bytes.map(|most| most + 1);
            }
            Fault::AcceptsOverlays | Fault::MakesContextsForWhatItRefuses => {
                profile.filesystem.changes = Changes::Direct;
                profile.isolation.require = Tier::None;
            }
            Fault::AcceptsCallProfiles => profile.commands.calls = CallProfile::Usual,
            Fault::AcceptsEveryTier => profile.isolation.require = Tier::None,
            _ => {}
        }
        profile
    }
}

impl BridgeTypes for Mutant {
    type Error = BridgeError;
}

impl ExecutionBridge for Mutant {
    fn describe(&self) -> PlaneDescriptor {
        let mut own = self.inner.describe();
        match self.fault {
            Fault::NamesItselfNothing => own.name.clear(),
            Fault::ShoutsItsName => own.name = own.name.to_uppercase(),
            Fault::HasNoVersion => own.version.clear(),
            Fault::SpeaksAnotherGeneration => own.contract_generation += 1,
            Fault::ChangesItsDescriptor if self.odd() => own.version.push('x'),
            Fault::ListsAFeatureTwice => own.features.push(own.features[0]),
            Fault::ListsALimitTwice => own.limits.push(own.limits[0]),
            Fault::ListsTiersBackwards => own.tiers = vec![Tier::Full, Tier::None],
            Fault::RunsNothing => own.features.retain(|feature| *feature != Feature::Commands),
            Fault::ClaimsRulesWithoutATier => {
                own.features.push(Feature::FilesystemRules);
                own.tiers = vec![Tier::None];
            }
            _ => {}
        }
        own
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        let mut answer = self.inner.preflight(&self.held(profile.clone()));
        match self.fault {
            Fault::MakesContextsForWhatItRefuses => answer = self.inner.preflight(profile),
            Fault::TellsNoShortfall => answer.shortfalls.retain(|shortfall| shortfall.blocking),
            Fault::AnswersInTurns if self.odd() => answer.shortfalls.clear(),
            Fault::ReportsAMechanismTwice => {
                let first = answer.enforcement.mechanisms[0].clone();
                answer.enforcement.mechanisms.push(first);
            }
            Fault::ClaimsNoTier => answer.enforcement.tier = Tier::Full,
            _ => {}
        }
        answer
    }

    fn create_command_context(&self, mut request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        request.profile = self.held(request.profile);
        let vm_id = request.vm_id.clone();
        let mut created = self.inner.create_command_context(request)?;
        let mut made = self.made.lock().unwrap();
        made.push((vm_id, created.context_id.clone()));
        if self.is(Fault::GivesOneContextId) {
            created.context_id = ContextId::new("the-one");
        }
        Ok(created)
    }

    fn start_execution(
        &self,
        mut request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        let made = self.made.lock().unwrap();
        let owner = made.iter().find(|(_, context)| *context == request.context_id).map(|(vm, _)| vm.clone());
        let (first, last) = (made.first().cloned(), made.last().cloned());
        drop(made);
        let asked_vm = request.vm_id.clone();
        match self.fault {
            Fault::KnowsEveryContext => {
                let (vm, context) = first.unwrap();
                (request.vm_id, request.context_id) = (vm, context);
            }
            Fault::SharesContexts => request.vm_id = owner.unwrap_or(asked_vm),
            Fault::GivesOneContextId => request.context_id = last.unwrap().1,
            Fault::DropsTheLastArgument => drop(request.arguments.pop()),
            Fault::SplitsArguments => {
                let tail = request.arguments.split_off(request.arguments.len().min(2));
                let words = tail.iter().flat_map(|argument| argument.split_whitespace()).map(str::to_owned);
                request.arguments.extend(words);
            }
            Fault::TrimsVariables => {
                request.environment.values_mut().for_each(|value| *value = value.split_whitespace().collect());
            }
            Fault::LeaksAVariable => drop(request.environment.insert("LEAKED".to_owned(), "1".to_owned())),
            Fault::StartsInTheRoot => request.working_directory = "/".to_owned(),
            Fault::ReplacesPath => drop(request.environment.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned())),
            _ => {}
        }
        let sink = Arc::new(Twisted { inner: events, fault: self.fault, state: Mutex::default() });
        let started = self.inner.start_execution(request, sink);
        started.map_err(|error| if self.is(Fault::CallsEveryErrorIo) { io() } else { error })
    }

    fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        match self.fault {
            Fault::CutsInput => self.inner.write_stdin(execution, &bytes[..bytes.len().min(65_536)]),
            Fault::ReversesInput => self.inner.write_stdin(execution, &bytes.iter().rev().copied().collect::<Vec<_>>()),
            Fault::WritesToTheDead => self.inner.write_stdin(execution, bytes).or(Ok(())),
            _ => self.inner.write_stdin(execution, bytes),
        }
    }

    fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), BridgeError> {
        match self.fault {
            Fault::RefusesToCloseTwice if self.odd() => Err(io()),
            Fault::NeverClosesInput => Ok(()),
            _ => self.inner.close_stdin(execution),
        }
    }

    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        let signal = match (self.fault, signal) {
            (Fault::IgnoresSignals, signal) if signal != ExecutionSignal::Kill => return Ok(()),
            (Fault::KillsForEverySignal, _) => ExecutionSignal::Kill,
            (Fault::MixesSignalsUp, ExecutionSignal::User1) => ExecutionSignal::User2,
            (Fault::MixesSignalsUp, ExecutionSignal::User2) => ExecutionSignal::User1,
            (Fault::ObjectsToTheDead, ExecutionSignal::Terminate)
                if self.inner.write_stdin(execution, b"").is_err() =>
            {
                return Err(io());
            }
            (_, signal) => signal,
        };
        self.inner.kill_execution(execution, signal)
    }

    fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), BridgeError> {
        self.inner.resize_terminal(execution, size)
    }

    fn forget_vm(&self, vm_id: &VmId) {
        match self.fault {
            Fault::ForgetsWithoutEnding | Fault::KeepsForgottenContexts => {}
            Fault::EndsOthersWhenForgetting => {
                let made = self.made.lock().unwrap().clone();
                made.iter().for_each(|(vm, _)| self.inner.forget_vm(vm));
            }
            _ => self.inner.forget_vm(vm_id),
        }
    }
}

fn io() -> BridgeError {
    BridgeError::new(ErrorCode::IoFailed, "an error that says nothing")
}

/// Hands events on with the plane's fault.
struct Twisted {
    inner: Arc<dyn ExecutionEventSink>,
    fault: Fault,
    state: Mutex<(Vec<ExecutionEvent>, bool)>,
}

impl Twisted {
    fn twist(&self, event: ExecutionEvent) -> Vec<ExecutionEvent> {
        let mut state = self.state.lock().unwrap();
        let last = matches!(event, ExecutionEvent::Exited(_));
        match (self.fault, event) {
            (Fault::SwapsStreams, ExecutionEvent::Stdout { bytes }) => vec![ExecutionEvent::Stderr { bytes }],
            (Fault::SwapsStreams, ExecutionEvent::Stderr { bytes }) => vec![ExecutionEvent::Stdout { bytes }],
            (Fault::ReadsOutputAsText, ExecutionEvent::Stdout { bytes }) => {
                vec![ExecutionEvent::Stdout { bytes: String::from_utf8_lossy(&bytes).into_owned().into_bytes() }]
            }
            (Fault::SendsEmptyOutput, ExecutionEvent::Stdout { bytes }) => {
                vec![ExecutionEvent::Stdout { bytes: Vec::new() }, ExecutionEvent::Stdout { bytes }]
            }
            (Fault::HoldsOutputBack | Fault::LosesTheLastOutput, event) if !last => {
                state.0.push(event);
                Vec::new()
            }
            (Fault::HoldsOutputBack, event) => state.0.drain(..).chain([event]).collect(),
            (Fault::LosesTheLastOutput, event) => {
                state.0.pop();
                state.0.drain(..).chain([event]).collect()
            }
            (Fault::EndsBeforeItsOutput, event) if !last => {
                state.0.push(event);
                Vec::new()
            }
            (Fault::EndsBeforeItsOutput, event) => [event].into_iter().chain(state.0.drain(..)).collect(),
            (Fault::EndsTwice, event) if last => vec![event.clone(), event],
            (_, ExecutionEvent::Exited(report)) => vec![ExecutionEvent::Exited(Box::new(self.report(*report)))],
            (_, event) => vec![event],
        }
    }

    fn report(&self, mut report: ExecutionReport) -> ExecutionReport {
        match self.fault {
            Fault::ExitsWithZero => report.cause = ExitCause::Exited { code: 0 },
            Fault::CutsExitCodes => {
                if let ExitCause::Exited { code } = &mut report.cause {
                    *code &= 0x7f;
                }
            }
            Fault::TellsSignalsAsExits => {
                if let ExitCause::Signalled { signal, .. } = report.cause {
                    report.cause = ExitCause::Exited { code: 128 + signal };
                }
            }
            Fault::MeasuresNoTime => report.usage.wall_us = 0,
            Fault::MiscountsBytes => report.usage.stdout_bytes += 1,
            Fault::TellsKillAsSignal if report.cause == ExitCause::Killed => {
                report.cause = ExitCause::Signalled { signal: 9, core_dumped: false };
            }
            Fault::TellsAnotherLimit => {
                if let ExitCause::Limit { value, .. } | ExitCause::TimedOut { limit_ms: value } = &mut report.cause {
                    *value += 1;
                }
            }
            Fault::TellsNoLimit if matches!(report.cause, ExitCause::Limit { limit: LimitName::Stdout, .. }) => {
                report.cause = ExitCause::Killed;
            }
            _ => {}
        }
        report
    }
}

impl ExecutionEventSink for Twisted {
    fn push(&self, event: ExecutionEvent) -> bool {
        let pushed: Vec<bool> = self.twist(event).into_iter().map(|event| self.inner.push(event)).collect();
        self.fault == Fault::GoesOnUnread || pushed.into_iter().all(|pushed| pushed)
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        let mut open = true;
        let last = matches!(event, ExecutionEvent::Exited(_));
        let twisted = self.twist(event.clone());
        let whole = twisted.len() == 1;
        for changed in twisted {
            match self.inner.try_push(changed) {
                Ok(more) => open &= more,
                Err(_) if self.fault == Fault::LosesWhatHasNoRoom => {}
                // What was changed is not undone: one that has to wait is pushed, or handed back where it was not changed.
                Err(waiting) if !whole || last => open &= self.inner.push(*waiting),
                Err(_) => return Err(Box::new(event)),
            }
        }
        Ok(self.fault == Fault::GoesOnUnread || open)
    }

    fn wake_when_room(&self, waker: &Waker) {
        self.inner.wake_when_room(waker);
    }
}
