//! Stays with a persistent command: takes what it prints, finds it ready, tells its end, starts it again.

use super::persistent::{Persistent, State};
use super::readiness::{LineWatch, Readiness};
use super::status::CommandState;
use crate::command::Command;
use crate::execution::{Controller, Execution};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at a port that nobody listens at yet. The operating system tells nobody when that changes.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// How long somebody who is attached may take to take what the terminal shows, before they are let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Begins a run: what is known is that of a new one.
pub(super) fn begun(command: &Persistent, execution: &Execution) {
    let pid = execution.process_id();
    let controller = execution.controller();
    let published = execution.published().to_vec();
    command.change(|state| {
        state.phase = CommandState::Running;
        state.pid = pid;
        state.published = published;
        state.ready = command.kept.readiness.is_none();
        state.began = Some(Instant::now());
        state.controller = Some(controller);
    });
}

/// Stays until it has ended for good. `again` makes the command for another start.
pub(super) async fn supervise<G>(command: Arc<Persistent>, execution: Execution, again: G)
where
    G: Fn() -> Command + Send,
{
    let mut next = Some(execution);
    let mut in_a_row = 0;
    loop {
        let cause = match next.take() {
            Some(execution) => tend(&command, execution).await.cause,
            None => match again().spawn().await {
                Ok(execution) => {
                    begun(&command, &execution);
                    if command.lock().stopping {
                        // It was asked for while the start was under way.
                        execution.kill();
                    }
                    next = Some(execution);
                    continue;
                }
                Err(error) => ExitCause::PlaneFault { error: error.error().clone() },
            },
        };
        let policy = command.kept.restart;
        let ran = command.lock().ran;
        in_a_row = if ran > policy.longest { 0 } else { in_a_row };
        let pause = policy.pause(&cause, in_a_row);
        let pause = command.change(|state| end(state, cause, pause));
        let Some(pause) = pause else { return };
        in_a_row = in_a_row.saturating_add(1);
        let stopped = command.until(|state| state.stopping.then_some(()));
        tokio::select! {
            () = sleep(pause) => {}
            () = stopped => return command.change(ended_for_good),
        }
        if command.change(|state| {
            state.restarts = state.restarts.saturating_add(1);
            state.stopping
        }) {
            return command.change(ended_for_good);
        }
    }
}

/// Notes the end of a run; answers the pause before the next, unless there is none.
fn end(state: &mut State, cause: ExitCause, pause: Option<Duration>) -> Option<Duration> {
    let pause = pause.filter(|_| !state.stopping);
    state.cause = Some(cause);
    (state.pid, state.ready, state.controller) = (None, false, None);
    state.published.clear();
    match pause {
        Some(_) => state.phase = CommandState::Restarting,
        None => ended_for_good(state),
    }
    pause
}

fn ended_for_good(state: &mut State) {
    state.phase = CommandState::Ended;
    state.attached = None;
}

/// Takes what a run prints until it has ended.
async fn tend(command: &Persistent, mut execution: Execution) -> ExecutionReport {
    let readiness = command.kept.readiness.as_ref();
    let pattern = match readiness {
        Some(Readiness::Line(pattern)) => Some(pattern),
        _ => None,
    };
    let mut lines = pattern.map(|pattern| [LineWatch::new(pattern.clone()), LineWatch::new(pattern.clone())]);
    let port = match readiness {
        Some(Readiness::Port(port)) => Some(*port),
        _ => None,
    };
    let listening = until_listening(execution.controller(), port);
    tokio::pin!(listening);
    let mut looking = port.is_some();
    loop {
        let event = tokio::select! {
            event = execution.next_event() => event,
            () = &mut listening, if looking => {
                looking = false;
                command.change(|state| state.ready = true);
                continue;
            }
        };
        let (bytes, stream) = match event {
            Some(ExecutionEvent::Stdout { bytes }) => (bytes, 0),
            Some(ExecutionEvent::Stderr { bytes }) => (bytes, 1),
            Some(_) => continue,
            None => break,
        };
        let seen = lines.as_mut().and_then(|lines| lines.get_mut(stream)).is_some_and(|line| line.take(&bytes));
        if seen {
            lines = None;
        }
        let attached = command.change(|state| {
            let ring = if stream == 0 { &mut state.stdout } else { &mut state.stderr };
            ring.push(&bytes);
            state.ready |= seen;
            state.attached.clone()
        });
        if let Some(attached) = attached
            && attached.send_timeout(bytes, PATIENCE).await.is_err()
        {
            // They may have been followed by somebody else meanwhile.
            command.change(|state| {
                if state.attached.as_ref().is_some_and(|now| now.same_channel(&attached)) {
                    state.attached = None;
                }
            });
        }
    }
    let report = execution.wait().await;
    command.change(|state| state.ran = state.began.map_or(Duration::ZERO, |began| began.elapsed()));
    report
}

/// Comes back when a program of the run listens at `port`; never for a run that has ended, or a plane that cannot tell.
async fn until_listening(controller: Controller, port: Option<u16>) {
    let mut pause = FIRST_LOOK;
    while let Some(port) = port {
        match controller.is_listening(port).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => break,
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
    std::future::pending::<()>().await;
}

/// What is refused before a start: a plane that cannot tell at which ports a run listens.
pub(super) fn cannot_tell_ports(name: &str) -> BridgeError {
    let message = format!(
        "`{name}` is to be ready by a port, and this plane cannot tell at which ports a run listens; name a line of its output instead"
    );
    BridgeError::new(cofferdam_bridge::error_code::ErrorCode::UnsupportedBackendFeature, message)
}
