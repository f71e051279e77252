//! A command to run: reads like `std::process::Command`.

use crate::error::KernelError;
use crate::execution::Execution;
use crate::poller;
use crate::prompt::Gate;
use crate::queue::EventQueue;
use crate::recording::Starting;
use crate::telemetry;
use crate::vm::SharedVm;
use crate::wall_timer::WallTimer;
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::{
    ExecutionRef, ProgramFile, StartExecutionRequest, StreamMode, Streams, TerminalSize,
};
use cofferdam_bridge::ids::{ContextId, ExecutionId};
use cofferdam_bridge::policy_line::path_line;
use cofferdam_bridge::prompt::{PromptAccess, PromptQuestion};
use cofferdam_bridge::verdict::{Denial, RuleRef, Verdict};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::policy::Access;

/// A program, its arguments and its surroundings.
#[must_use]
pub struct Command {
    pub(crate) vm: Arc<SharedVm>,
    program: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    working_directory: Option<String>,
    stdin: StreamMode,
    stdout: StreamMode,
    stderr: StreamMode,
    terminal: Option<TerminalSize>,
    timeout: Option<Duration>,
    program_file: ProgramFile,
    output_wait: Duration,
}

/// Arguments and values stay out of logs.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("argument_count", &self.arguments.len())
            .finish_non_exhaustive()
    }
}

/// What a run printed, and how it ended.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Why it ended, what it used, what held.
    pub report: ExecutionReport,
    /// The sequence number of its start in the audit log, where it is recorded.
    pub audit_sequence: Option<u64>,
    /// Why its start or its end could not be recorded, where the host lets it run all the same.
    pub audit_failure: Option<BridgeError>,
}

/// What a guest prints stays out of logs.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, err) = (self.stdout.len(), self.stderr.len());
        f.debug_struct("Output")
            .field("stdout_bytes", &out)
            .field("stderr_bytes", &err)
            .field("report", &self.report)
            .finish()
    }
}

impl Output {
    pub(crate) fn new(stdout: Vec<u8>, stderr: Vec<u8>, report: ExecutionReport) -> Self {
        Self { stdout, stderr, report, audit_sequence: None, audit_failure: None }
    }

    /// Whether the program ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.report.cause.success()
    }
}

impl Command {
    /// No arguments, the policy's environment, the VM's directory; input null, output and error piped.
    pub(crate) fn new(vm: Arc<SharedVm>, program: String) -> Self {
        Self {
            vm,
            program,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            working_directory: None,
            stdin: StreamMode::Null,
            stdout: StreamMode::Piped,
            stderr: StreamMode::Piped,
            terminal: None,
            timeout: None,
            program_file: ProgramFile::ByPath,
            output_wait: Duration::ZERO,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable. This is the host's own act: it is not asked of the policy.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Starts in another directory: an absolute path inside.
    pub fn current_dir(mut self, path: impl Into<String>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// Where standard input comes from; null unless set.
    pub fn stdin(mut self, mode: StreamMode) -> Self {
        self.stdin = mode;
        self
    }

    /// Where standard output goes; piped unless set.
    pub fn stdout(mut self, mode: StreamMode) -> Self {
        self.stdout = mode;
        self
    }

    /// Where standard error goes; piped unless set.
    pub fn stderr(mut self, mode: StreamMode) -> Self {
        self.stderr = mode;
        self
    }

    /// Gives the program a terminal of its own in place of the three streams.
    pub fn terminal(mut self, size: TerminalSize) -> Self {
        self.terminal = Some(size);
        self
    }

    /// Ends the run after this time, if the policy's wall limit does not end it before.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Executes the very file that was checked, whatever its path leads to by then; the interpreter of a script is checked and held, too.
    /// A script so gets its own path as a descriptor's, such as `/dev/fd/5`. Refused by planes without `Feature::HeldPrograms`.
    pub fn held(mut self) -> Self {
        self.program_file = ProgramFile::Held;
        self
    }

    /// Waits, when the program has ended, for what it started and what holds its output open, but no longer than this; the end is told after
    /// that. Unless set, all of it ends with the program. Limits, the time limit too, hold meanwhile as before. Refused by planes without
    /// `Feature::OutputWait`.
    pub fn wait_for_output(mut self, most: Duration) -> Self {
        self.output_wait = most;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// A refusal of the policy, `program_not_found`, what kept the plane from starting it, or `audit_unavailable` where the kernel records
    /// and cannot.
    pub async fn spawn(self) -> Result<Execution, KernelError> {
        let (vm, began) = (self.vm.clone(), Instant::now());
        let id = vm.next_execution();
        let mut run = telemetry::Run::new(&vm, &id);
        let start = run.start(&vm);
        let outcome = self.begin(id.clone()).instrument(start.clone()).await;
        run.started(&start, &vm, outcome.as_ref().map(drop), began.elapsed());
        if outcome.is_err() {
            // What it was refused is remembered for a run that there will never be.
            vm.desk.end(&id);
        }
        Ok(outcome?.told_by(run))
    }

    async fn begin(self, id: ExecutionId) -> Result<Execution, KernelError> {
        let runtime = Handle::try_current().map_err(|_| no_runtime())?;
        let rule = match self.check() {
            Ok(rule) => rule,
            Err(error) => return Err(self.vm.recording.refused(&self.vm, &id, &self.program, error).await),
        };
        let execution = ExecutionRef::new(self.vm.id.clone(), id.clone());
        let (vm, timeout) = (self.vm.clone(), self.timeout);
        let mut request = self.into_request(id.clone());
        let most = vm.compiled.profile.limits.wall_ms.map(Duration::from_millis);
        let timeout = [timeout, most].into_iter().flatten().min();
        if let Some(context) = ask_about(&vm, &request).await? {
            request.context_id = context;
        }
        let argument_bytes = request.arguments.iter().fold(request.program.len(), |sum, one| sum + one.len() + 1);
        let turn = vm.guard.admit(&vm.id, argument_bytes as u64);
        let turn = match telemetry::queueing(&vm.listeners, turn).await {
            Ok(turn) => turn,
            Err(error) => return Err(vm.recording.refused(&vm, &id, &request.program, error.into()).await),
        };
        let record = vm.recording.start(Starting { vm: &vm, request: &request, rule, timeout }).await?;
        let gate = Gate::new(vm.desk.clone(), vm.asker(Some(id.clone())), runtime.clone());
        let queue = EventQueue::of(record, gate, turn, vm.listeners.clone());
        // A start takes about a millisecond, less than handing it to another thread and back would add to a busy
        // runtime's latency, so it is done here.
        let started = match vm.plane.start_execution(request, queue.clone()) {
            Ok(started) => started,
            Err(error) => {
                telemetry::refused_by_plane(&vm.listeners, &error);
                return Err(match queue.record() {
                    Some(record) => record.not_started(error).await,
                    None => error,
                }
                .into());
            }
        };
        let timer = timeout.map(|limit| WallTimer::start(&runtime, Arc::downgrade(&vm), execution.clone(), limit));
        if let (Some(timer), Some(record)) = (&timer, queue.record()) {
            record.limited_by(timer.watch());
        }
        if vm.plane.describe().has(Feature::PolledEvents) {
            poller::start(&runtime, vm.plane.clone(), execution.clone(), queue.clone());
        }
        Ok(Execution::new(vm, execution, queue, timer).started(started))
    }

    /// What the kernel itself refuses, before a plane is asked; answers the rule that allows the program, where the kernel decided.
    pub(crate) fn check(&self) -> Result<Option<RuleRef>, KernelError> {
        if !self.output_wait.is_zero() && !self.vm.plane.describe().has(Feature::OutputWait) {
            return Err(cannot_wait().into());
        }
        let rule = decide(&self.vm, &self.program, self.program_file)?;
        check_texts(&self.arguments, &self.environment).map(|()| rule)
    }

    /// What its plane is asked for.
    pub(crate) fn into_request(self, id: ExecutionId) -> StartExecutionRequest {
        let Self {
            vm, program, arguments, environment, working_directory, terminal, program_file, output_wait, ..
        } = self;
        let mut request = StartExecutionRequest::new(vm.id.clone(), vm.context.clone(), id, program);
        request.arguments = arguments;
        request.program_file = program_file;
        request.output_wait_ms = milliseconds(output_wait);
        request.environment.clone_from(&vm.compiled.environment);
        request.environment.extend(environment);
        request.working_directory = working_directory.unwrap_or_else(|| vm.start_directory.clone());
        request.streams = match terminal {
            Some(size) => Streams::Terminal { size },
            None => Streams::Separate { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr },
        };
        request
    }

    /// Runs it to its end and gathers what it printed.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn). A program that fails is no error: see [`Output::success`].
    pub async fn output(self) -> Result<Output, KernelError> {
        Ok(self.spawn().await?.gather().await)
    }
}

/// Asks the policy about a program that is named by its path, and answers the rule that allows it; a bare name is looked up, and decided,
/// by the plane.
fn decide(vm: &SharedVm, program: &str, file: ProgramFile) -> Result<Option<RuleRef>, KernelError> {
    if file == ProgramFile::Held {
        // Decided by the plane, about the file that it holds.
        return if vm.plane.describe().has(Feature::HeldPrograms) { Ok(None) } else { Err(cannot_hold().into()) };
    }
    if !program.starts_with('/') {
        return Ok(None);
    }
    // A path with links in it is decided by where it leads, which only a plane that holds command rules can see; without
    // such a plane, what no rule allows as written is refused here.
    let access = Access::Execute(program.to_owned());
    let decision = vm.compiled.decide(&access)?;
    let held_by_plane = vm.plane.describe().has(Feature::CommandRules);
    let left_to_plane = held_by_plane && (decision.rule.is_none() || decision.verdict == Verdict::Prompt);
    if !left_to_plane {
        telemetry::decided(&vm.listeners, &access, &decision);
    }
    if decision.verdict == Verdict::Allow || left_to_plane {
        return Ok(decision.rule);
    }
    let mut denial = Denial::new("command.execute", program);
    denial.rule = decision.rule;
    denial.remedy = decision.remedy;
    Err(BridgeError::denied(&denial).into())
}

/// Asks the host about a program that the policy says to ask about; answers the context in which it may be started then, and nothing where
/// there is nothing to ask. Only the plane knows which program a name or a path through links means, so it is asked beforehand.
///
/// # Errors
/// The refusal, recorded, where the host says no, with what it came to.
async fn ask_about(vm: &SharedVm, request: &StartExecutionRequest) -> Result<Option<ContextId>, KernelError> {
    if vm.compiled.profile.prompts.commands.is_empty() {
        return Ok(None);
    }
    // Whatever else is wrong the start itself tells.
    let Err(refusal) = vm.plane.rehearse_execution(request) else { return Ok(None) };
    let denial = refusal.denial().filter(|denial| denial.access == PromptAccess::Execute.as_str());
    let rule = denial.as_ref().and_then(|denial| denial.rule.clone()).filter(|rule| vm.compiled.asks_about(rule));
    let (Some(mut denial), Some(rule)) = (denial, rule) else { return Ok(None) };
    let question = PromptQuestion::new(PromptAccess::Execute, &*denial.subject, rule);
    let id = &request.execution_id;
    let outcome = vm.ask(Some(id.clone()), question).await?;
    if outcome.is_allowed() {
        return Ok(Some(vm.context_with(&denial.subject)?));
    }
    denial.note = Some(outcome.why().to_owned());
    denial.remedy = path_line("commands.allow", &denial.subject);
    let error = BridgeError::denied(&denial).into();
    Err(vm.recording.refused(vm, id, &denial.subject, error).await)
}

fn cannot_hold() -> BridgeError {
    let message = "this plane cannot execute the very file that it has checked; run the program on one that can";
    BridgeError::new(ErrorCode::UnsupportedBackendFeature, message)
}

fn cannot_wait() -> BridgeError {
    let message = "this plane cannot wait for what holds a program's output after its end; run it on one that can, or do not ask for it";
    BridgeError::new(ErrorCode::UnsupportedBackendFeature, message)
}

/// Whole milliseconds, rounded up: less than one is still a wait.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

pub(crate) fn no_runtime() -> BridgeError {
    let message = "programs are started from within a tokio runtime, which holds their time limit; there is none here";
    BridgeError::new(ErrorCode::InvalidState, message)
}

fn check_texts(arguments: &[String], environment: &BTreeMap<String, String>) -> Result<(), KernelError> {
    let names = environment.keys().any(|name| name.is_empty() || name.contains(['=', '\0']));
    let nul = arguments.iter().chain(environment.values()).any(|text| text.contains('\0'));
    if names || nul {
        let message = "an argument or a variable holds a NUL byte, or a variable's name is empty or holds `=`";
        return Err(BridgeError::new(ErrorCode::RequestInvalid, message).into());
    }
    Ok(())
}
