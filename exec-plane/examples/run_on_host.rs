//! Runs one program on the host plane and prints what it prints: `run_on_host PROGRAM [ARGUMENTS]...`.
//!
//! Kill this host with SIGKILL, and nothing of what the program started is left.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, ExecutionBridge, StartExecutionRequest, StreamMode, Streams,
};
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_exec_plane::{HostPlane, danger};
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::Waker;

/// Events go through a channel; a full one holds the program up.
struct Channel(SyncSender<ExecutionEvent>);

impl ExecutionEventSink for Channel {
    fn push(&self, event: ExecutionEvent) -> bool {
        self.0.send(event).is_ok()
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        match self.0.try_send(event) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(event)) => Err(Box::new(event)),
            Err(TrySendError::Disconnected(_)) => Ok(false),
        }
    }

    fn wake_when_room(&self, waker: &Waker) {
        // A standard channel does not tell when it has room, so the supervisor looks again at once.
        waker.wake_by_ref();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("usage: run_on_host PROGRAM [ARGUMENTS]...")?;
    let plane = HostPlane::new(danger::i_know_programs_run_unisolated())?;
    let (sender, events) = sync_channel(16);
    start(&plane, program, arguments.collect(), Arc::new(Channel(sender)))?;
    print(&events)
}

fn start(plane: &HostPlane, program: String, arguments: Vec<String>, sink: Arc<Channel>) -> Result<(), BridgeError> {
    let mut profile = ExecutionProfile::closed("example");
    profile.isolation.require = Tier::None;
    profile.commands.allow = vec![CommandRule::new("/", RuleRef::new("example", None, "commands.allow \"/\""))];
    let vm_id = VmId::new("vm");
    let context = plane.create_command_context(CreateCommandContextRequest::new(vm_id.clone(), profile))?;
    let mut request = StartExecutionRequest::new(vm_id, context.context_id, ExecutionId::new("run"), program);
    request.arguments = arguments;
    request.streams =
        Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
    plane.start_execution(request, sink).map(drop)
}

fn print(events: &Receiver<ExecutionEvent>) -> Result<(), Box<dyn std::error::Error>> {
    for event in events {
        match event {
            ExecutionEvent::Stdout { bytes } => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()?;
            }
            ExecutionEvent::Stderr { bytes } => std::io::stderr().write_all(&bytes)?,
            ExecutionEvent::Exited(report) => {
                writeln!(std::io::stderr(), "{:?}", report.cause)?;
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}
