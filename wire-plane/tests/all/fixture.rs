//! What these tests share: a queue that keeps events, a request, and planes that are nothing but a conversation.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, ExecutionBridge, ExecutionRef, StartExecutionRequest, StreamMode, Streams,
};
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_wire_plane::{PlaneCommand, Transport, WirePlane, serve};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// More than anything here takes, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Queue(Mutex<Sender<ExecutionEvent>>);

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

/// A profile that asks for no isolation and allows every program.
pub(crate) fn profile() -> ExecutionProfile {
    let mut profile = ExecutionProfile::closed("test");
    profile.isolation.require = Tier::None;
    profile.commands.allow = vec![CommandRule::new("/", RuleRef::new("test", None, "commands.allow \"/\""))];
    profile
}

/// A VM with a context on a plane.
pub(crate) struct Tenant<'a> {
    pub(crate) plane: &'a WirePlane,
    pub(crate) vm_id: VmId,
    pub(crate) context: ContextId,
}

/// A run and its events.
pub(crate) struct Run {
    pub(crate) execution: ExecutionRef,
    pub(crate) events: Receiver<ExecutionEvent>,
}

impl<'a> Tenant<'a> {
    pub(crate) fn new(plane: &'a WirePlane) -> Self {
        Self::under(plane, profile())
    }

    pub(crate) fn under(plane: &'a WirePlane, profile: ExecutionProfile) -> Self {
        let vm_id = VmId::new("vm");
        let request = CreateCommandContextRequest::new(vm_id.clone(), profile);
        let context = plane.create_command_context(request).unwrap().context_id;
        Self { plane, vm_id, context }
    }

    pub(crate) fn try_start(&self, name: &str, line: &str) -> Result<Run, BridgeError> {
        let (sender, events) = channel();
        let (vm, id) = (self.vm_id.clone(), ExecutionId::new(name));
        let mut request = StartExecutionRequest::new(vm.clone(), self.context.clone(), id.clone(), "/bin/sh");
        request.arguments = vec!["-c".to_owned(), line.to_owned()];
        request.streams =
            Streams::Separate { stdin: StreamMode::Piped, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
        self.plane.start_execution(request, Arc::new(Queue(Mutex::new(sender))))?;
        Ok(Run { execution: ExecutionRef::new(vm, id), events })
    }

    pub(crate) fn start(&self, name: &str, line: &str) -> Run {
        self.try_start(name, line).unwrap()
    }
}

impl Run {
    /// Output and report; the report is the last event.
    pub(crate) fn finish(self) -> (Vec<u8>, ExecutionReport) {
        let mut output = Vec::new();
        loop {
            match self.events.recv_timeout(LONG).expect("the end is told") {
                ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } => output.extend(bytes),
                ExecutionEvent::Exited(report) => {
                    assert!(self.events.try_recv().is_err(), "nothing comes after the end");
                    return (output, *report);
                }
                _ => {}
            }
        }
    }
}

/// The host plane, served in this process over a pair of sockets.
pub(crate) fn served_host_plane(encoding: Encoding) -> WirePlane {
    let (ours, its) = UnixStream::pair().unwrap();
    let plane = Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap());
    thread::spawn(move || serve(plane, None, Transport::socket(its).unwrap()));
    WirePlane::over(ours, &[encoding]).unwrap()
}

pub(crate) fn python_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/planes/python/plane.py"))
}

/// Where Python is, unless it is nowhere.
pub(crate) fn python() -> Option<String> {
    let told = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output();
    let path = told.ok().and_then(|told| String::from_utf8(told.stdout).ok()).filter(|path| path.starts_with('/'));
    if path.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {}: no python3", thread::current().name().unwrap_or_default());
    }
    path
}

pub(crate) fn python_command() -> Option<PlaneCommand> {
    Some(PlaneCommand::new(python()?).arg(python_file().to_string_lossy()))
}

/// The greeting of a plane without features, to be answered to the request `id`.
pub(crate) fn welcome(id: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocol_version":1,"encoding":"json","descriptor":{{"name":"scripted","version":"1","contract_generation":1,"tiers":["none"],"features":["commands"],"limits":[]}}}}}}"#
    ) + "\n"
}

/// A plane that greets, makes a context, starts whatever it is asked to start, and then sends `then`.
pub(crate) fn scripted(then: Vec<u8>) -> (WirePlane, JoinHandle<()>) {
    let (ours, its) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let lines = BufReader::new(its.try_clone().unwrap()).lines().map_while(Result::ok);
        let mut writer = its;
        for line in lines {
            let id = line.split("\"id\":").nth(1).and_then(|rest| rest.split([',', '}']).next()?.parse().ok());
            // Notifications have none.
            let Some(id): Option<u64> = id else { continue };
            let answer = if line.contains("session.hello") {
                welcome(id)
            } else if line.contains("plane.start_execution") {
                let mut bytes =
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"process_id\":null}}}}\n").into_bytes();
                bytes.extend(&then);
                let _ = writer.write_all(&bytes);
                continue;
            } else if line.contains("context") {
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"context_id\":\"c\"}}}}\n")
            } else {
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":null}}\n")
            };
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (WirePlane::over(ours, &[Encoding::Json]).unwrap(), thread)
}
