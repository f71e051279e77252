//! The broker: holds what mounts cannot, by answering the guest's calls that make, move or change names.
//!
//! Such calls come as notifications of the seccomp filter. The broker reads their arguments once, resolves paths to
//! descriptors in the guest's root, judges canonical paths, and does the operation itself, on those descriptors and with no more
//! rights than the guest has. It never lets a call go on after looking at memory that the guest can change.

mod attempts;
mod attributes;
mod automounts;
mod call;
mod caller;
mod explain;
mod findings;
mod guest_memory;
mod guest_path;
mod judge;
mod known;
mod listening;
mod look;
mod made;
mod names;
mod notify;
mod observe;
mod open;
mod outside;
mod overlay_rename;
mod own_places;
mod own_ports;
mod own_terminals;
mod permits;
mod proxy_only;
mod put_aside;
mod raw_attribute;
mod raw_call;
mod remedy;
mod rename;
mod serve;
mod sockets;
mod sought;

use crate::plan::brokered::Brokered;
use attempts::Attempts;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::exit_cause::ExitCause;
use findings::Findings;
use guest_path::GuestFiles;
use nix::errno::Errno;
use notify::Listener;
use put_aside::PutAside;
use serve::Server;
use sockets::OwnSockets;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub(crate) use judge::{Judge, rules};
pub(crate) use observe::Watch;
pub(crate) use own_places::{OwnPlaces, ways};
pub(crate) use proxy_only::Walls;

/// Room for a walk through as many levels of directories as are looked at. What is not touched costs nothing.
const STACK: usize = 2 << 20;

/// How long the broker has to end once nothing is left that could call it.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// What is around one execution.
pub(crate) struct Surroundings {
    /// It has no network namespace of its own.
    pub(crate) shares_network: bool,
    /// All that it reaches of the network, where that is not left to the kernel.
    pub(crate) walls: Option<Walls>,
    /// More is asked about, so that it can be explained.
    pub(crate) watch: Option<Watch>,
    /// By which the host is asked.
    pub(crate) host: Arc<dyn ExecutionEventSink>,
}

/// The broker of one execution, at work.
#[derive(Debug)]
pub(crate) struct Broker {
    /// What its thread found comes this way when that ends.
    findings: Receiver<Findings>,
    /// Closing it ends the thread.
    stop: OwnedFd,
}

impl Broker {
    /// Begins to answer the calls that arrive at `listener` from the sandbox whose root directory is `root`.
    pub(crate) fn start(
        listener: OwnedFd,
        root: OwnedFd,
        judge: Judge,
        brokered: Brokered,
        surroundings: Surroundings,
    ) -> Result<Self, BridgeError> {
        let Surroundings { shares_network, walls, watch, host } = surroundings;
        let server = Server {
            files: GuestFiles::new(root),
            judge,
            judges_reads: brokered.reads,
            moves: brokered.moves,
            watch,
            attempts: Attempts::default(),
            sockets: OwnSockets::new(shares_network, walls),
        };
        let aside = PutAside::new(host).map_err(|errno| failed("no descriptor", errno))?;
        let (theirs, stop) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| failed("no pipe", errno))?;
        let listener = Listener::new(listener);
        let (tell, findings) = mpsc::channel();
        thread::Builder::new()
            .name("cofferdam-broker".to_owned())
            .stack_size(STACK)
            .spawn(move || tell.send(serve::run(server, listener, &theirs, aside)))
            .map_err(|error| failed("no thread", Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN))))?;
        Ok(Self { findings, stop })
    }

    /// Ends it and tells what it found. The sandbox has ended, so no call is left unanswered.
    ///
    /// A guest may leave a connection to it that it closes last, and that takes as long to close as the other side wants (SO_LINGER,
    /// socket(7)): it is not waited for without end.
    pub(crate) fn finish(self, report: &mut ExecutionReport) {
        drop(self.stop);
        let message = match self.findings.recv_timeout(LAST_LOOK) {
            Ok(findings) => {
                report.denials = findings.denials;
                report.executable_later = findings.executable_later.into_iter().collect();
                return;
            }
            // Its calls were refused from then on, but what it had seen is lost.
            Err(RecvTimeoutError::Disconnected) => "the broker ended too early; please report this",
            Err(RecvTimeoutError::Timeout) => {
                "the program left a call or a connection that does not end, so what was refused to it is not known; everything of it has ended"
            }
        };
        report.cause = ExitCause::PlaneFault { error: BridgeError::new(ErrorCode::PlaneFault, message) };
    }
}

fn failed(what: &str, errno: Errno) -> BridgeError {
    BridgeError::new(
        ErrorCode::SandboxSetupFailed,
        format!("the broker could not be started: {what}: {}; the host may be at its limit", errno.desc()),
    )
    .with("step", "broker")
    .with("errno", errno as i32)
}
