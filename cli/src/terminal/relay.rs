//! Stays with a run: hands on bytes and signals, stops when the program stops, and gathers what is to be captured.

use super::questions::Questions;
use super::raw::{self, RawTerminal};
use super::signals::{Received, Signals};
use crate::failure::{Failure, io};
use crate::report::human;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::execution::ExecutionSignal;
use cofferdam_kernel::{Command, Controller, Execution};
use nix::sys::signal::{Signal, raise};
use std::io::{IsTerminal, Read, Write};
use tokio::sync::{mpsc, watch};

/// Where the program's streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Our own are handed through.
    Inherited,
    /// The program has a terminal of its own, and ours shows it.
    Terminal,
    /// Output and error are gathered.
    Captured,
    /// Output and error are carried to ours: the plane cannot hand ours through.
    Relayed,
}

/// What was gathered.
#[derive(Default)]
pub(crate) struct Captured {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Where the run is recorded.
    pub(crate) audit_sequence: Option<u64>,
    /// Why its end is not.
    pub(crate) audit_failure: Option<BridgeError>,
}

struct Relay {
    execution: Execution,
    controller: Controller,
    mode: Mode,
    terminal: Option<RawTerminal>,
    captured: Captured,
    asked_to_end: bool,
    /// Somebody has asked us to stop, and waits for it.
    asked_to_stop: bool,
    /// Somebody sits at a terminal that we read from, whose shell tells of a stop.
    attended: bool,
    /// Whoever may be asked, and what the program printed meanwhile.
    questions: Option<Questions>,
    held: Vec<u8>,
}

/// Starts the program and stays with it to its end. `typed`: our standard input is carried to it. Nobody is asked anything.
pub(crate) async fn run(command: Command, mode: Mode, typed: bool) -> Result<(ExecutionReport, Captured), Failure> {
    run_asking(command, mode, typed, None).await
}

/// The same, with `questions` put on the terminal that the program is shown on.
pub(crate) async fn run_asking(
    command: Command,
    mode: Mode,
    typed: bool,
    questions: Option<Questions>,
) -> Result<(ExecutionReport, Captured), Failure> {
    let mut signals = Signals::take().map_err(|error| io("signals cannot be handed on", &error))?;
    let command = if mode == Mode::Terminal { command.terminal(raw::size()) } else { command };
    let execution = command.spawn().await?;
    for port in execution.published() {
        human::note(&format!("port {} of the run is at 127.0.0.1:{}", port.port, port.host_port));
    }
    let controller = execution.controller();
    let terminal = match mode {
        Mode::Terminal => {
            let raw = RawTerminal::enter().map_err(|errno| io("the terminal cannot be used", &errno.into()))?;
            // What comes from elsewhere than a terminal answers no question.
            if let Some(questions) = questions.as_ref().filter(|_| std::io::stdin().is_terminal()) {
                questions.relayed();
            }
            Some(raw)
        }
        Mode::Inherited | Mode::Captured | Mode::Relayed => None,
    };
    if typed || mode == Mode::Terminal {
        type_for(controller.clone(), questions.clone())?;
    }
    let attended = mode != Mode::Captured && nix::unistd::tcgetpgrp(std::io::stdin()).is_ok();
    let captured = Captured::default();
    let mut asking = questions.as_ref().map(Questions::asking);
    let (asked_to_end, asked_to_stop, held) = (false, false, Vec::new());
    let mut relay = Relay {
        execution,
        controller,
        mode,
        terminal,
        captured,
        asked_to_end,
        asked_to_stop,
        attended,
        questions,
        held,
    };
    loop {
        // While a question is up, nothing that the program prints may be seen.
        let up = relay.terminal.is_some() && asking.as_ref().is_some_and(|asking| *asking.borrow());
        if !up {
            relay.show(Vec::new())?;
        }
        tokio::select! {
            event = relay.execution.next_event(), if !up => match event {
                Some(event) => relay.follow(event)?,
                None => break,
            },
            () = changed(&mut asking) => {}
            received = signals.next() => relay.forward(received)?,
        }
    }
    let report = relay.execution.wait().await;
    relay.captured.audit_sequence = relay.execution.audit_sequence();
    relay.captured.audit_failure = relay.execution.audit_failure().cloned();
    Ok((report, relay.captured))
}

impl Relay {
    fn follow(&mut self, event: ExecutionEvent) -> Result<(), Failure> {
        match event {
            ExecutionEvent::Stdout { bytes } if self.terminal.is_some() => self.show(bytes)?,
            ExecutionEvent::Stdout { bytes } if self.mode == Mode::Relayed => {
                self.relay(&bytes, std::io::stdout().lock())?;
            }
            ExecutionEvent::Stderr { bytes } if self.mode == Mode::Relayed => {
                self.relay(&bytes, std::io::stderr().lock())?;
            }
            ExecutionEvent::Stdout { bytes } => self.captured.stdout.extend(bytes),
            ExecutionEvent::Stderr { bytes } => self.captured.stderr.extend(bytes),
            ExecutionEvent::Stopped { .. } => self.stop()?,
            _ => {}
        }
        Ok(())
    }

    /// Shows what was held back and `bytes`, unless a question is up: then all is held back.
    fn show(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.held.extend(bytes);
        if self.held.is_empty() {
            return Ok(());
        }
        let screen = self.questions.as_ref().map(Questions::screen);
        if matches!(screen, Some(None)) {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&std::mem::take(&mut self.held)).and_then(|()| stdout.flush()).is_err() {
            // Nobody sees the terminal any more: the program hears what it would hear from a real one.
            self.controller.signal(ExecutionSignal::Hangup)?;
        }
        Ok(())
    }

    /// Carries output to ours. A reader that has gone away ends the program, as a broken pipe would.
    fn relay(&self, bytes: &[u8], mut to: impl Write) -> Result<(), Failure> {
        match to.write_all(bytes).and_then(|()| to.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Ok(self.controller.signal(ExecutionSignal::Kill)?)
            }
            Err(error) => Err(io("what the program prints cannot be carried on", &error)),
            Ok(()) => Ok(()),
        }
    }

    /// Stops with the program, so that the shell has its terminal back, and goes on with it.
    ///
    /// While we are stopped nobody holds the run's limits. So it takes somebody who asked, or who sees it: a program that stops itself
    /// where nobody would wake us stays stopped alone, until a limit ends it.
    fn stop(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.asked_to_stop) && !self.attended {
            return Ok(());
        }
        let failed = |errno: nix::errno::Errno| io("the terminal cannot be used", &errno.into());
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
        raise(Signal::SIGSTOP).map_err(failed)?;
        if let Some(terminal) = &self.terminal {
            terminal.again().map_err(failed)?;
            self.controller.resize(raw::size())?;
        }
        Ok(self.controller.signal(ExecutionSignal::Continue)?)
    }

    fn forward(&mut self, received: Received) -> Result<(), Failure> {
        let signal = match received {
            Received::Resized if self.terminal.is_some() => return Ok(self.controller.resize(raw::size())?),
            Received::Resized => return Ok(()),
            Received::Forward(signal) => signal,
        };
        let ends = matches!(signal, ExecutionSignal::Interrupt | ExecutionSignal::Terminate);
        let signal = if ends && self.asked_to_end { ExecutionSignal::Kill } else { signal };
        self.asked_to_end |= ends;
        self.asked_to_stop |= signal == ExecutionSignal::Stop;
        Ok(self.controller.signal(signal)?)
    }
}

/// Waits until a question comes up or is settled; without anybody to ask that never is.
async fn changed(asking: &mut Option<watch::Receiver<bool>>) {
    let told = match asking {
        Some(asking) => asking.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// Types on the program's terminal what comes on standard input. Reading waits, so it has a thread of its own, which
/// ends with the process.
fn type_for(controller: Controller, questions: Option<Questions>) -> Result<(), Failure> {
    let (sender, mut typed) = mpsc::channel::<Vec<u8>>(4);
    std::thread::Builder::new()
        .name("cofferdam-typing".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if questions.as_ref().is_some_and(|questions| questions.takes(&bytes)) {
                    continue;
                }
                if sender.blocking_send(bytes).is_err() {
                    break;
                }
            }
        })
        .map_err(|error| io("standard input cannot be read", &error))?;
    tokio::spawn(async move {
        while let Some(bytes) = typed.recv().await {
            if controller.write_stdin(bytes).await.is_err() {
                return;
            }
        }
        // A run that has ended has its input closed.
        let _ = controller.close_stdin().await;
    });
    Ok(())
}
