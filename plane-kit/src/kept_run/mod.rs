//! Programs that run under a keeper, each from its start to its last event: what planes of plain processes share.
//!
//! A plane finds the program ([`program`]), says what each process may use ([`resource_limits`]) and what of the policy holds, and hands
//! that over; streams, limits of the whole tree, signals, the end and its cause are seen to here.

mod execution;
mod limit_watch;
pub mod program;
pub mod resource_limits;
mod running;
mod supervise;

use crate::deadline::Deadline;
use crate::keeper::{Keeper, ProgramPlan};
use crate::output_wait::OutputWait;
use crate::process_tree::ProcessTree;
use crate::standard_streams::StandardStreams;
use crate::task_groups::TaskGroup;
use crate::wakeup::Wakeup;
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal, StartedExecution, TerminalSize};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::limits::Limits;
use execution::Shared;
use limit_watch::LimitWatch;
use running::{Place, Running};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use supervise::Supervision;

/// A supervisor's thread needs little: it waits, reads into the heap, and sums up.
const SUPERVISOR_STACK: usize = 256 * 1024;

/// How long who is dropped waits until nothing is left of what it started.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// All programs that one plane has running. Dropping it ends them, and waits until that is so.
#[derive(Debug)]
pub struct KeptRuns {
    keeper: Arc<Keeper>,
    /// Whether a keeper is held ready for the next run.
    prepares: bool,
    running: Arc<Running>,
}

/// What a plane does at the end of a run.
pub type Finish = Box<dyn FnOnce(&mut ExecutionReport) + Send>;

/// What is to be started.
pub struct KeptStart {
    /// Which execution it becomes.
    pub execution: ExecutionRef,
    /// The program.
    pub plan: ProgramPlan,
    /// Its streams.
    pub streams: StandardStreams,
    /// What all of its processes together may use.
    pub limits: Limits,
    /// How long what holds its output open may go on after its end, in milliseconds.
    pub output_wait_ms: u64,
    /// The cgroup that holds the limit on processes, where there is one; its entrance is in `plan`.
    pub group: Option<TaskGroup>,
    /// Whether a resource limit holds it.
    pub bound: bool,
    /// What of its policy holds.
    pub enforcement: Enforcement,
    /// Called when nothing of it is left, with what is about to be told of its end; dropped uncalled where it did not start.
    pub finish: Finish,
}

impl std::fmt::Debug for KeptStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptStart")
            .field("execution", &self.execution)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl KeptRuns {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// As [`Keeper::new`].
    pub fn new() -> Result<Self, BridgeError> {
        Ok(Self { keeper: Arc::new(Keeper::new()?), prepares: false, running: Arc::default() })
    }

    /// Holds a keeper ready from here on, where the system has keepers of their own ([`Keeper::prepare`]).
    pub fn prepare(&mut self) {
        self.keeper.prepare();
        self.prepares = true;
    }

    /// Starts a program and a thread that stays with it.
    ///
    /// # Errors
    /// As [`Keeper::start`]; `spawn_failed` where descriptors or threads cannot be had.
    pub fn start(&self, start: KeptStart, sink: Arc<dyn ExecutionEventSink>) -> Result<StartedExecution, BridgeError> {
        let KeptStart { execution, plan, streams, limits, output_wait_ms, group, bound, enforcement, finish } = start;
        let begun = Instant::now();
        let wakeup = Wakeup::new().map_err(|error| no_resources(&error))?;
        let kept = self.keeper.start(&plan, streams.guest())?;
        let control = kept.control().map_err(|error| no_resources(&error))?;
        let (input, outputs) = streams.into_ours();
        let tree = ProcessTree::beneath(kept.keeper_id(), 1);
        let shared = Arc::new(Shared::new(control, input, tree.clone()));
        let process_id = kept.program_id();
        let watch = LimitWatch::new(limits.clone(), tree, begun, group, bound);
        let ExecutionRef { vm_id, execution_id, .. } = execution;
        self.running.add(execution_id.clone(), vm_id, shared.clone());
        let supervision = Supervision {
            kept,
            outputs,
            sink,
            shared: shared.clone(),
            deadline: Deadline::new(begun, limits.wall_ms),
            output_wait: OutputWait::new(output_wait_ms),
            limits: watch,
            enforcement,
            started: begun,
            wakeup,
            finish,
            place: Place { running: self.running.clone(), id: execution_id.clone() },
            next: self.prepares.then(|| self.keeper.clone()),
        };
        let thread = thread::Builder::new().name("cofferdam-supervisor".to_owned()).stack_size(SUPERVISOR_STACK);
        if let Err(error) = thread.spawn(move || supervision.run()) {
            shared.kill();
            self.running.remove(&execution_id);
            self.running.gone();
            return Err(no_resources(&error));
        }
        Ok(StartedExecution::new(Some(process_id)))
    }

    /// Writes to a program's standard input.
    ///
    /// # Errors
    /// `unknown_execution`, or as [`GuestInput::write`](crate::guest_input::GuestInput::write).
    pub fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        self.running.find(execution)?.input.write(bytes)
    }

    /// Closes it. An execution that has ended has its input closed.
    ///
    /// # Errors
    /// As [`GuestInput::close`](crate::guest_input::GuestInput::close).
    pub fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), BridgeError> {
        self.running.find(execution).map_or(Ok(()), |shared| shared.input.close())
    }

    /// Delivers a signal; nothing happens to one that has ended.
    ///
    /// # Errors
    /// `unsupported_operation` for a signal that is not known.
    pub fn signal(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        self.running.find(execution).map_or(Ok(()), |shared| shared.deliver(signal))
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// `unknown_execution`, or as [`GuestInput::resize`](crate::guest_input::GuestInput::resize).
    pub fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), BridgeError> {
        self.running.find(execution)?.input.resize(size)
    }

    /// Whether one of its processes accepts connections at `port`.
    ///
    /// # Errors
    /// `unknown_execution`; `unsupported_operation` where the system does not tell ([`ProcessTree::TELLS_PORTS`]).
    pub fn is_listening(&self, execution: &ExecutionRef, port: u16) -> Result<bool, BridgeError> {
        let running = self.running.find(execution)?;
        if ProcessTree::TELLS_PORTS {
            return Ok(running.tree.is_listening(port));
        }
        let message = "this system does not tell at which ports a run listens; connect to the port to find out";
        Err(BridgeError::new(ErrorCode::UnsupportedOperation, message))
    }

    /// Stops those of a VM: TERM, a grace, KILL. Does not wait.
    pub fn stop_vm(&self, vm_id: &VmId) {
        self.running.stop_vm(vm_id);
    }
}

impl Drop for KeptRuns {
    fn drop(&mut self) {
        self.running.kill_all(LAST_LOOK);
    }
}

/// The error for descriptors or threads that cannot be had.
pub fn no_resources(error: &io::Error) -> BridgeError {
    BridgeError::new(
        ErrorCode::SpawnFailed,
        format!("descriptors or threads for the run could not be had: {error}; the host may be at its limit"),
    )
    .with("errno", error.raw_os_error().unwrap_or(0))
    .retryable()
}
