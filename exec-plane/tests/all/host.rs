//! A host for tests: one VM on the host plane, and a queue that keeps every event.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, ExecutionBridge, ExecutionRef, StartExecutionRequest, StreamMode, Streams,
};
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_exec_plane::{HostPlane, danger};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

/// More than anything here takes, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Held by tests whose processes count as the user's all together: one bomb would strike another's limit.
pub(crate) static BOMBS: Mutex<()> = Mutex::new(());

struct Queue(Mutex<Sender<ExecutionEvent>>);

impl ExecutionEventSink for Queue {
    fn push(&self, event: ExecutionEvent) -> bool {
        self.0.lock().unwrap().send(event).is_ok()
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        Ok(self.push(event))
    }

    fn wake_when_room(&self, waker: &Waker) {
        waker.wake_by_ref();
    }
}

pub(crate) struct Host {
    pub(crate) plane: HostPlane,
    pub(crate) vm_id: VmId,
    pub(crate) context: ContextId,
}

/// A run, its events, and what was printed so far.
pub(crate) struct Run {
    pub(crate) execution: ExecutionRef,
    events: Receiver<ExecutionEvent>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// A profile that asks for no isolation and allows every program.
pub(crate) fn profile() -> ExecutionProfile {
    let mut profile = ExecutionProfile::closed("test");
    profile.isolation.require = Tier::None;
    profile.commands.allow = vec![CommandRule::new("/", RuleRef::new("test", None, "commands.allow \"/\""))];
    profile
}

impl Host {
    pub(crate) fn new(profile: ExecutionProfile) -> Self {
        let plane = HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap();
        let vm_id = VmId::new("vm");
        let request = CreateCommandContextRequest::new(vm_id.clone(), profile);
        let context = plane.create_command_context(request).unwrap().context_id;
        Self { plane, vm_id, context }
    }

    pub(crate) fn request(&self, program: &str, arguments: &[&str]) -> StartExecutionRequest {
        let (vm, context) = (self.vm_id.clone(), self.context.clone());
        let mut request = StartExecutionRequest::new(vm, context, ExecutionId::new("run"), program);
        request.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        request.streams =
            Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
        request
    }

    pub(crate) fn start(&self, request: StartExecutionRequest) -> Result<Run, BridgeError> {
        let (sender, events) = channel();
        let execution = ExecutionRef::new(self.vm_id.clone(), request.execution_id.clone());
        self.plane.start_execution(request, Arc::new(Queue(Mutex::new(sender))))?;
        Ok(Run { execution, events, stdout: Vec::new(), stderr: Vec::new() })
    }

    pub(crate) fn shell(&self, line: &str) -> Run {
        self.start(self.request("/bin/sh", &["-c", line])).unwrap()
    }
}

impl Run {
    fn next(&mut self) -> Option<ExecutionReport> {
        match self.events.recv_timeout(LONG).unwrap() {
            ExecutionEvent::Stdout { bytes } => self.stdout.extend(bytes),
            ExecutionEvent::Stderr { bytes } => self.stderr.extend(bytes),
            ExecutionEvent::Exited(report) => return Some(*report),
            _ => {}
        }
        None
    }

    /// Waits for the end, after which nothing more may come.
    pub(crate) fn end(&mut self) -> ExecutionReport {
        loop {
            if let Some(report) = self.next() {
                assert!(self.events.recv_timeout(LONG).is_err(), "something came after the end");
                return report;
            }
        }
    }

    /// The next whole line of standard output.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.stdout.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.stdout.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            assert!(self.next().is_none(), "the run ended before its line came");
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

/// Whether a process of that id is there and not merely waiting to be reaped.
pub(crate) fn alive(pid: &str) -> bool {
    assert!(pid.parse::<u32>().is_ok(), "`{pid}` is no process id");
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) else { return false };
    stat.rsplit_once(')').is_none_or(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Waits until `done` holds, at most `most`.
pub(crate) fn within(most: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + most;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}
