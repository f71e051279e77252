//! A persistent command: what is known of it, and who waits for it to change.

use super::command_spec::CommandSpec;
use super::one_shot::exit_of;
use super::persistence::Persistence;
use super::ring::Ring;
use super::status::{CommandState, CommandStatus};
use crate::execution::Controller;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionSignal;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::published_port::PublishedPort;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// How long the end of what was killed may take to be told.
const LAST_WORD: Duration = Duration::from_secs(10);

/// A persistent command of a session.
#[derive(Debug)]
pub(super) struct Persistent {
    pub(super) spec: CommandSpec,
    pub(super) kept: Persistence,
    state: Mutex<State>,
    /// Raised with each change.
    version: watch::Sender<u64>,
    /// Raised with each start and end of any command of the session.
    session: watch::Sender<u64>,
    /// Starting and stopping are done one at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: CommandState,
    pub(super) pid: Option<u32>,
    pub(super) ready: bool,
    pub(super) published: Vec<PublishedPort>,
    pub(super) began: Option<Instant>,
    pub(super) ran: Duration,
    pub(super) cause: Option<ExitCause>,
    pub(super) restarts: u32,
    pub(super) stdout: Ring,
    pub(super) stderr: Ring,
    pub(super) controller: Option<Controller>,
    /// Somebody wants it to end for good.
    pub(super) stopping: bool,
    /// The terminal of whoever is attached.
    pub(super) attached: Option<mpsc::Sender<Vec<u8>>>,
}

impl State {
    /// Whether it runs or will run again by itself.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, CommandState::Running | CommandState::Restarting)
    }
}

impl Persistent {
    pub(super) fn new(spec: CommandSpec, kept: Persistence, session: watch::Sender<u64>) -> Self {
        let (version, _) = watch::channel(0);
        Self { spec, kept, state: Mutex::default(), version, session, turn: tokio::sync::Mutex::default() }
    }

    /// A panicking task leaves nothing half-done behind this lock, so a poisoned one is as good.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known and tells whoever waits.
    pub(super) fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let raise = |version: &mut u64| *version = version.wrapping_add(1);
        let mut state = self.lock();
        let before = (state.phase, state.pid);
        let answer = act(&mut state);
        let after = (state.phase, state.pid);
        drop(state);
        self.version.send_modify(raise);
        if before != after {
            self.session.send_modify(raise);
        }
        answer
    }

    /// Hears of changes from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits until `found` finds something in what is known.
    pub(super) async fn until<T>(&self, mut found: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.watch();
        loop {
            changes.borrow_and_update();
            let answer = found(&self.lock());
            if let Some(answer) = answer {
                return answer;
            }
            if changes.changed().await.is_err() {
                // The sender is ours and lives as long as we do.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn status(&self) -> CommandStatus {
        let state = self.lock();
        let (exit_code, exit_signal) = state.cause.as_ref().map_or((None, None), exit_of);
        let ended_by = state.cause.as_ref().and_then(ExitCause::code).map(|code| code.as_str().to_owned());
        let running = state.phase == CommandState::Running;
        let uptime = state.began.filter(|_| running).map_or(state.ran, |began| began.elapsed());
        CommandStatus {
            name: self.spec.name.clone(),
            state: state.phase,
            pid: state.pid,
            ready: state.ready,
            published: state.published.clone(),
            exit_code: exit_code.filter(|_| !running),
            exit_signal: exit_signal.filter(|_| !running),
            ended_by: ended_by.filter(|_| !running),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            restarts: state.restarts,
            stdout: state.stdout.tail(),
            stderr: state.stderr.tail(),
        }
    }

    /// What acts on its run.
    pub(super) fn controller(&self) -> Result<Controller, BridgeError> {
        let state = self.lock();
        state.controller.clone().filter(|_| state.phase == CommandState::Running).ok_or_else(|| self.not_running())
    }

    pub(super) fn not_running(&self) -> BridgeError {
        let name = &self.spec.name;
        let message = format!("`{name}` does not run now; start it first");
        BridgeError::new(ErrorCode::CommandNotRunning, message).with("command", name.as_str())
    }

    /// TERM, a grace, KILL; comes back when nothing of it is left. One that does not run is no error.
    pub(super) async fn stop(&self) -> Result<(), BridgeError> {
        let controller = self.change(|state| {
            state.stopping = state.is_alive();
            state.controller.clone().filter(|_| state.phase == CommandState::Running)
        });
        let ended = |state: &State| (!state.is_alive()).then_some(());
        if let Some(controller) = controller {
            if self.kept.terminal {
                // Shells pass SIGTERM by; what ends them is that their terminal goes.
                let _ = controller.signal(ExecutionSignal::Hangup);
            }
            let _ = controller.signal(ExecutionSignal::Terminate);
            // A program that was stopped hears nothing before it goes on.
            let _ = controller.signal(ExecutionSignal::Continue);
            if timeout(self.kept.grace, self.until(ended)).await.is_ok() {
                return Ok(());
            }
            let _ = controller.signal(ExecutionSignal::Kill);
        }
        timeout(LAST_WORD, self.until(ended)).await.map_err(|_| {
            let name = &self.spec.name;
            let message = format!("`{name}` was killed, but its plane does not tell that nothing of it is left");
            BridgeError::new(ErrorCode::PlaneFault, message).with("command", name.as_str())
        })
    }

    /// Waits until it is ready.
    pub(super) async fn wait_ready(&self, within: Duration) -> Result<(), BridgeError> {
        let ready = self.until(|state| match (state.ready, state.is_alive()) {
            (true, true) => Some(true),
            (_, false) => Some(false),
            _ => None,
        });
        let name = &self.spec.name;
        let message = match timeout(within, ready).await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("`{name}` ended before it was ready; its status tells how, and what it printed"),
            Err(_) => {
                format!("`{name}` was not ready within {} ms; its status tells what it printed", within.as_millis())
            }
        };
        Err(BridgeError::new(ErrorCode::CommandNotReady, message).with("command", name.as_str()))
    }
}
