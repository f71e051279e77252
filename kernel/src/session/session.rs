//! A session: a VM, its declared commands, and what runs of them.

use super::attachment::Attachment;
use super::command_spec::{CommandSpec, Program};
use super::failure::RunError;
use super::follower::Follower;
use super::one_shot::{self, CommandOutput, RunOptions};
use super::persistence::StandardInput;
use super::persistent::Persistent;
use super::readiness::Readiness;
use super::spec::SessionSpec;
use super::status::{CommandState, CommandStatus};
use super::supervise::{begun, cannot_tell_ports, supervise};
use crate::command::Command;
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::vm::{Vm, VmSpec};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{StreamMode, TerminalSize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// The size of a terminal that nobody looks at yet.
const UNSEEN: (u16, u16) = (24, 80);

/// How many one-shots may run at once.
const MOST_ONE_SHOTS: u32 = 4096;

/// How long the last one-shots may take to end when the session is closed.
const LAST_ONES: Duration = Duration::from_secs(10);

/// A session. Dropping it ends everything in it at once; [`close`](Self::close) does so in order, and waits until nothing is left.
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    vm: Vm,
    spec: SessionSpec,
    host: BTreeMap<String, String>,
    persistent: BTreeMap<String, Arc<Persistent>>,
    /// One permit for each persistent command that may run; closed with the session.
    room: Arc<Semaphore>,
    /// One permit for each one-shot that may run; closed with the session.
    one_shots: Arc<Semaphore>,
    /// Raised with each start and end of a persistent command.
    changes: watch::Sender<u64>,
}

/// Tells of starts and ends of a session's persistent commands. Several that come at once may be told as one.
#[derive(Debug)]
pub struct SessionChanges(watch::Receiver<u64>);

impl SessionChanges {
    /// Waits for the next; answers whether there may be others. Dropping the future loses none.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.inner.spec.commands.keys().collect();
        f.debug_struct("Session").field("vm", &self.inner.vm).field("commands", &names).finish()
    }
}

impl Kernel {
    /// Opens a session: makes its VM, whose runs reach each other over the network unless it says otherwise. Starts nothing.
    ///
    /// # Errors
    /// `session_invalid` for a command that cannot be run, and those of [`create_vm`](Self::create_vm).
    pub fn open_session(&self, vm: VmSpec, spec: SessionSpec) -> Result<Session, KernelError> {
        spec.check()?;
        let host = vm.host_variables().clone();
        let vm = self.create_vm(vm.network_scope(spec.network))?;
        let (changes, _) = watch::channel(0);
        let persistent = spec.commands.values().filter_map(|command| {
            let kept = command.persistence.clone()?;
            Some((command.name.clone(), Arc::new(Persistent::new(command.clone(), kept, changes.clone()))))
        });
        let (persistent, room) = (persistent.collect(), Arc::new(Semaphore::new(spec.most_running)));
        let one_shots = Arc::new(Semaphore::new(MOST_ONE_SHOTS as usize));
        Ok(Session { inner: Arc::new(Inner { vm, spec, host, persistent, room, one_shots, changes }) })
    }
}

impl Session {
    /// Its VM.
    pub fn vm(&self) -> &Vm {
        &self.inner.vm
    }

    /// What it was opened with.
    pub fn spec(&self) -> &SessionSpec {
        &self.inner.spec
    }

    /// Runs a one-shot to its end.
    ///
    /// # Errors
    /// `unknown_command`, `command_not_one_shot`, what kept it from starting, or how it failed.
    pub async fn run(&self, name: &str, options: RunOptions) -> Result<CommandOutput, RunError> {
        let spec = self.inner.declared(name)?;
        if spec.is_persistent() {
            let known = self.inner.names(|spec| !spec.is_persistent());
            let message = format!("`{name}` is a persistent command: start it; one-shots are {known}");
            return Err(BridgeError::new(ErrorCode::CommandNotOneShot, message).with("command", name).into());
        }
        let _running = self.inner.one_shots.acquire().await.map_err(|_| closed())?;
        one_shot::run(self.inner.command(spec), spec, options).await
    }

    /// Starts a persistent command, unless it runs; answers the host's number of its first process, where the plane tells one.
    ///
    /// # Errors
    /// `unknown_command`, `command_not_persistent`, `too_many_commands`, `session_closed`, or what kept it from starting.
    pub async fn start(&self, name: &str) -> Result<Option<u32>, KernelError> {
        let command = self.inner.persistent(name)?;
        let _turn = command.turn.lock().await;
        {
            let state = command.lock();
            if state.is_alive() {
                return Ok(state.pid);
            }
        }
        let room = self.inner.room()?;
        let by_port = matches!(command.kept.readiness, Some(Readiness::Port(_)));
        if by_port && !self.inner.vm.plane().has(Feature::ListeningPorts) {
            return Err(cannot_tell_ports(name).into());
        }
        let execution = self.inner.command(&command.spec).spawn().await?;
        let pid = execution.process_id();
        command.change(|state| {
            (state.restarts, state.stopping, state.cause) = (0, false, None);
            state.stdout.clear();
            state.stderr.clear();
        });
        begun(command, &execution);
        // The task holds no session: dropping that ends the run, and with it the task.
        let (inner, spec) = (self.inner.clone(), command.spec.clone());
        let again = move || inner.command(&spec);
        let command = command.clone();
        tokio::spawn(async move {
            supervise(command, execution, again).await;
            drop::<OwnedSemaphorePermit>(room);
        });
        Ok(pid)
    }

    /// Waits until a persistent command is ready, as long as its declaration gives it.
    ///
    /// # Errors
    /// `command_not_ready` when it ended before or took too long; `command_not_running` when it was not started.
    pub async fn wait_ready(&self, name: &str) -> Result<(), KernelError> {
        let command = self.inner.persistent(name)?;
        if command.lock().phase == CommandState::NeverStarted {
            return Err(command.not_running().into());
        }
        Ok(command.wait_ready(command.kept.ready_within).await?)
    }

    /// How a persistent command fares.
    ///
    /// # Errors
    /// `unknown_command`, `command_not_persistent`.
    pub fn status(&self, name: &str) -> Result<CommandStatus, KernelError> {
        Ok(self.inner.persistent(name)?.status())
    }

    /// How all persistent commands fare.
    pub fn statuses(&self) -> Vec<CommandStatus> {
        self.inner.persistent.values().map(|command| command.status()).collect()
    }

    /// Tells of starts and ends of persistent commands from now on.
    pub fn changes(&self) -> SessionChanges {
        SessionChanges(self.inner.changes.subscribe())
    }

    /// Follows what a persistent command prints, from what is kept of it on.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn follow(&self, name: &str) -> Result<Follower, KernelError> {
        Ok(Follower::new(self.inner.persistent(name)?.clone()))
    }

    /// Writes to a persistent command's standard input, or types on its terminal; waits while it does not read.
    ///
    /// # Errors
    /// `command_not_running`, `invalid_state` where its input is not open, `io_failed` when it does not read any more.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), KernelError> {
        let command = self.inner.persistent(name)?;
        check_input(command)?;
        command.controller()?.write_stdin(bytes).await
    }

    /// Closes a persistent command's standard input.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn close_stdin(&self, name: &str) -> Result<(), KernelError> {
        let command = self.inner.persistent(name)?;
        check_input(command)?;
        command.controller()?.close_stdin().await
    }

    /// Sits down at a persistent command's terminal.
    ///
    /// # Errors
    /// `command_not_running`; `invalid_state` for one without a terminal.
    pub fn attach(&self, name: &str) -> Result<Attachment, KernelError> {
        let command = self.inner.persistent(name)?;
        if !command.kept.terminal {
            let message = format!("`{name}` has no terminal; declare it with `terminal = true`, or follow its output");
            return Err(BridgeError::new(ErrorCode::InvalidState, message).with("command", name).into());
        }
        Attachment::begin(command)
    }

    /// Stops a persistent command: SIGTERM, its grace, SIGKILL; comes back when nothing of it is left. One that does not run is
    /// no error.
    ///
    /// # Errors
    /// `unknown_command`, `command_not_persistent`, `plane_fault` when its end is not told.
    pub async fn stop(&self, name: &str) -> Result<CommandStatus, KernelError> {
        let command = self.inner.persistent(name)?;
        let _turn = command.turn.lock().await;
        command.stop().await?;
        Ok(command.status())
    }

    /// Stops everything, each with its own grace, ends one-shots, and comes back when nothing is left. Nothing can be started afterwards.
    pub async fn close(&self) {
        // Whoever waits for a place hears of it, and nobody gets one any more.
        self.inner.room.close();
        let stops = self.inner.persistent.values().cloned().map(|command| {
            tokio::spawn(async move {
                let _turn = command.turn.lock().await;
                // A plane that does not tell the end has been told to kill; the VM's end is all that is left to ask for.
                let _ = command.stop().await;
            })
        });
        for stop in stops.collect::<Vec<_>>() {
            let _ = stop.await;
        }
        self.inner.vm.forget();
        // All permits are there again when the last one-shot has ended.
        let _ = timeout(LAST_ONES, self.inner.one_shots.acquire_many(MOST_ONE_SHOTS)).await;
        self.inner.one_shots.close();
    }
}

/// What runs is ended before any lock of the session's own is taken: it holds in whatever state those are.
impl Drop for Session {
    fn drop(&mut self) {
        self.inner.room.close();
        self.inner.one_shots.close();
        self.inner.vm.forget();
        // What was about to be started again is not.
        for command in self.inner.persistent.values() {
            command.change(|state| state.stopping = state.is_alive());
        }
    }
}

impl Inner {
    fn declared(&self, name: &str) -> Result<&CommandSpec, BridgeError> {
        self.spec.commands.get(name).ok_or_else(|| {
            let known: Vec<_> = self.spec.commands.keys().cloned().collect();
            let message =
                format!("this session has no command `{}`; it has {}", name.escape_default(), self.names(|_| true));
            BridgeError::new(ErrorCode::UnknownCommand, message).with("known", known)
        })
    }

    fn persistent(&self, name: &str) -> Result<&Arc<Persistent>, BridgeError> {
        self.declared(name)?;
        self.persistent.get(name).ok_or_else(|| {
            let known = self.names(CommandSpec::is_persistent);
            let message = format!("`{name}` is a one-shot: run it; persistent commands are {known}");
            BridgeError::new(ErrorCode::CommandNotPersistent, message).with("command", name)
        })
    }

    fn names(&self, which: impl Fn(&CommandSpec) -> bool) -> String {
        let names: Vec<_> =
            self.spec.commands.values().filter(|spec| which(spec)).map(|spec| spec.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// A place for one more persistent command.
    fn room(&self) -> Result<OwnedSemaphorePermit, BridgeError> {
        let most = self.spec.most_running;
        self.room.clone().try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => closed(),
            tokio::sync::TryAcquireError::NoPermits => {
                let running = self.persistent.values().filter(|command| command.lock().is_alive());
                let names: Vec<_> = running.map(|command| command.spec.name.as_str()).collect();
                let message = format!(
                    "{most} persistent commands run, as many as this session may have ({}); stop one first, or raise `most_running`",
                    names.join(", ")
                );
                BridgeError::new(ErrorCode::TooManyCommands, message).with("limit", most)
            }
        })
    }

    /// What runs when `spec` is run.
    fn command(&self, spec: &CommandSpec) -> Command {
        let mut command = match &spec.program {
            Program::Shell(line) => self.vm.command(&self.spec.shell).args(["-c", line]),
            Program::Argv { program, arguments } => self.vm.command(program).args(arguments.iter().cloned()),
        };
        for name in &spec.pass {
            if let Some(value) = self.host.get(name) {
                command = command.env(name, value);
            }
        }
        for (name, value) in &spec.set {
            command = command.env(name, value);
        }
        if let Some(directory) = &spec.directory {
            command = command.current_dir(beneath(self.vm.start_directory(), directory));
        }
        let Some(kept) = &spec.persistence else { return command };
        if let Some(time) = spec.timeout {
            command = command.timeout(time);
        }
        if kept.terminal {
            return command.terminal(TerminalSize::new(UNSEEN.0, UNSEEN.1));
        }
        let stdin = if kept.stdin == StandardInput::Open { StreamMode::Piped } else { StreamMode::Null };
        command.stdin(stdin).stdout(StreamMode::Followed).stderr(StreamMode::Followed)
    }
}

fn check_input(command: &Persistent) -> Result<(), BridgeError> {
    if command.kept.terminal || command.kept.stdin == StandardInput::Open {
        return Ok(());
    }
    let name = &command.spec.name;
    let message = format!("the standard input of `{name}` is null; declare it with `stdin = \"open\"`");
    Err(BridgeError::new(ErrorCode::InvalidState, message).with("command", name.as_str()))
}

/// `directory` as it is meant where commands start in `start`.
fn beneath(start: &str, directory: &str) -> String {
    if directory.starts_with('/') {
        directory.to_owned()
    } else {
        format!("{}/{directory}", start.trim_end_matches('/'))
    }
}

fn closed() -> BridgeError {
    BridgeError::new(ErrorCode::SessionClosed, "this session is closed; open one anew")
}
