//! A plane that another process is.

use crate::backoff::Backoff;
use crate::connection::{Connection, PATIENCE};
use crate::contexts::{Context, Contexts};
use crate::outlet::WINDOW;
use crate::plane_command::PlaneCommand;
use crate::remote::{Key, Listener};
use crate::source::Source;
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreateGuestContextRequest, CreatedContext, ExecutionBridge, ExecutionRef,
    ExecutionSignal, GuestReply, StartExecutionRequest, StartedExecution, StreamMode, Streams, TerminalSize,
};
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::rehearsal::Rehearsal;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_contract::wire::method::{self, MOST_CHUNK};
use cofferdam_contract::wire::typed::{from_data, preflight_from_data, to_data, with_bytes};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a plane may take to start a program or to make a context: tools on a network may be slow.
const START: Duration = Duration::from_secs(60);

/// A plane behind the wire protocol. Used by a kernel exactly like one in Rust.
///
/// Dropping it ends its process and everything that the process started, and waits until that is so. A plane that is reached by a
/// socket is a process of somebody else's: it hears that the connection is closed, and has to end what it started for us.
#[derive(Debug)]
pub struct WirePlane {
    source: Source,
    encodings: Vec<Encoding>,
    descriptor: PlaneDescriptor,
    groups: Vec<String>,
    link: Mutex<Link>,
    contexts: Contexts,
}

#[derive(Debug)]
struct Link {
    connection: Arc<Connection>,
    /// Counts the processes.
    generation: u64,
    /// The end of this connection is in the reckoning already.
    mourned: bool,
    backoff: Backoff,
}

impl WirePlane {
    /// Starts a plane's process and greets it.
    ///
    /// # Errors
    /// What kept it from starting, or a `plane_fault` with the breach of the protocol under `wire_fault`.
    pub fn start(command: PlaneCommand) -> Result<Self, BridgeError> {
        Self::open(Source::Command(command), &[Encoding::Cbor, Encoding::Json])
    }

    /// Connects to a plane that listens on a Unix socket.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn connect(path: impl Into<PathBuf>) -> Result<Self, BridgeError> {
        Self::open(Source::Socket(path.into()), &[Encoding::Cbor, Encoding::Json])
    }

    /// Uses a connection that was made already. When it is over, there is no other.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn over(stream: UnixStream, encodings: &[Encoding]) -> Result<Self, BridgeError> {
        Self::open(Source::Given(Mutex::new(Some(stream))), encodings)
    }

    /// The groups of small operations that the plane answers besides.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    fn open(source: Source, encodings: &[Encoding]) -> Result<Self, BridgeError> {
        let (stream, process) = source.open()?;
        let (connection, welcome) = Connection::open(stream, process, encodings)?;
        let link = Link { connection, generation: 1, mourned: false, backoff: Backoff::default() };
        let (descriptor, groups) = (welcome.descriptor, welcome.groups);
        let (encodings, link) = (encodings.to_vec(), Mutex::new(link));
        Ok(Self { source, encodings, descriptor, groups, link, contexts: Contexts::default() })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present connection, or a new one where the last has failed and the pause after it is over.
    fn connection(&self) -> Result<(u64, Arc<Connection>), BridgeError> {
        let mut link = self.link();
        if link.connection.is_open() {
            return Ok((link.generation, link.connection.clone()));
        }
        let now = Instant::now();
        if !link.mourned {
            let lived = link.connection.age();
            (link.mourned, _) = (true, link.backoff.failed(now, lived));
        }
        if let Some(left) = link.backoff.left(now) {
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            let message = "the plane's process has failed, and is started again when a pause is over";
            return Err(BridgeError::new(ErrorCode::PlaneFault, message).with("retry_after_ms", left).retryable());
        }
        let opened =
            self.source.open().and_then(|(stream, process)| Connection::open(stream, process, &self.encodings));
        let opened = opened.and_then(|(connection, welcome)| {
            if welcome.descriptor == self.descriptor {
                return Ok(connection);
            }
            connection.close();
            let message = "the plane describes itself otherwise than before; a new kernel is needed for a new plane";
            Err(BridgeError::new(ErrorCode::PlaneFault, message))
        });
        match opened {
            Ok(connection) => {
                (link.connection, link.mourned) = (connection, false);
                link.generation += 1;
                Ok((link.generation, link.connection.clone()))
            }
            Err(error) => {
                link.backoff.failed(Instant::now(), Duration::ZERO);
                Err(error)
            }
        }
    }

    /// The connection on which this execution runs; none when it has ended.
    fn connection_of(&self, execution: &ExecutionRef) -> Option<Arc<Connection>> {
        let connection = self.link().connection.clone();
        connection.has(&execution.execution_id).then_some(connection)
    }

    fn create(&self, vm_id: VmId, method: &'static str, params: Data) -> Result<CreatedContext, BridgeError> {
        let (generation, connection) = self.connection()?;
        let made = make_context(&connection, method, params.clone())?;
        Ok(CreatedContext::new(self.contexts.add(vm_id, method, params, generation, made)))
    }

    /// Makes a small call of a group that the plane answers besides.
    ///
    /// # Errors
    /// What the plane answers, or what became of it.
    pub fn call(&self, operation: &str, params: Data) -> Result<Data, BridgeError> {
        self.connection()?.1.call(operation, params, Some(PATIENCE))
    }

    /// As [`call`](Self::call), where the answer names what is listened to from then on.
    pub(crate) fn call_and_listen<T>(
        &self,
        operation: &str,
        params: Data,
        named: impl FnOnce(Data) -> Result<(Key, Listener, T), BridgeError>,
    ) -> Result<T, BridgeError> {
        let connection = self.connection()?.1;
        connection.listeners.expect();
        let answer = connection.call(operation, params, Some(PATIENCE)).and_then(named);
        match answer {
            Ok((key, listener, told)) => {
                connection.listeners.listen(&key, listener);
                Ok(told)
            }
            Err(error) => {
                connection.listeners.give_up();
                Err(error)
            }
        }
    }

    /// Whoever listens to this hears nothing more.
    pub(crate) fn stop_listening(&self, key: &Key) {
        self.link().connection.listeners.forget(key);
    }
}

impl Context {
    /// The context's id in the process of that generation, which is told of it where it does not know it yet.
    fn on(&self, generation: u64, connection: &Connection) -> Result<ContextId, BridgeError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.0 != generation {
            *made = (generation, make_context(connection, self.method, self.params.clone())?);
        }
        Ok(made.1.clone())
    }
}

fn make_context(connection: &Connection, method: &str, params: Data) -> Result<ContextId, BridgeError> {
    let answer = connection.call(method, params, Some(START))?;
    let created: CreatedContext = from_data(answer).map_err(|_| WireFault::InvalidResult.as_plane_fault())?;
    Ok(created.context_id)
}

fn no_execution() -> BridgeError {
    BridgeError::new(ErrorCode::UnknownExecution, "this execution was never started here, or its end was already told")
}

fn about(execution: &ExecutionRef, name: &'static str, value: Data) -> Data {
    Data::map([("execution", to_data(execution)), (name, value)])
}

impl BridgeTypes for WirePlane {
    type Error = BridgeError;
}

impl ExecutionBridge for WirePlane {
    fn describe(&self) -> PlaneDescriptor {
        self.descriptor.clone()
    }

    fn preflight(&self, profile: &ExecutionProfile) -> Preflight {
        let asked = self.connection().and_then(|(_, connection)| {
            let params = Data::map([("profile", to_data(profile))]);
            let answer = connection.call(method::PREFLIGHT, params, Some(START))?;
            preflight_from_data(answer).map_err(|_| WireFault::InvalidResult.as_plane_fault())
        });
        asked.unwrap_or_else(|error| {
            let mut preflight = Preflight::new(Enforcement::new(Tier::None));
            preflight.shortfalls.push(Shortfall::blocking(None, error.message, None));
            preflight
        })
    }

    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        self.create(request.vm_id.clone(), method::CREATE_COMMAND_CONTEXT, to_data(&request))
    }

    fn create_javascript_context(&self, request: CreateGuestContextRequest) -> Result<CreatedContext, BridgeError> {
        self.create(request.vm_id.clone(), method::CREATE_JAVASCRIPT_CONTEXT, guest_context(request))
    }

    fn create_wasm_context(&self, request: CreateGuestContextRequest) -> Result<CreatedContext, BridgeError> {
        self.create(request.vm_id.clone(), method::CREATE_WASM_CONTEXT, guest_context(request))
    }

    fn start_execution(
        &self,
        mut request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, BridgeError> {
        if let Streams::Separate { stdin, stdout, stderr } = request.streams
            && [stdin, stdout, stderr].contains(&StreamMode::Inherit)
        {
            let message = "a plane in another process cannot use this process's own streams; have them piped";
            return Err(BridgeError::new(ErrorCode::UnsupportedOperation, message));
        }
        let context = self.contexts.find(&request.context_id, &request.vm_id)?;
        let (generation, connection) = self.connection()?;
        request.context_id = context.on(generation, &connection)?;
        let id = request.execution_id.clone();
        connection.expect(&ExecutionRef::new(request.vm_id.clone(), id.clone()), events);
        let params = Data::map([("request", to_data(&request)), ("credit", Data::Unsigned(WINDOW))]);
        let answer = connection.call(method::START_EXECUTION, params, Some(START));
        let started = answer.and_then(|data| from_data(data).map_err(|_| WireFault::InvalidResult.as_plane_fault()));
        started.inspect_err(|_| connection.forget(&id))
    }

    fn rehearse_execution(&self, request: &StartExecutionRequest) -> Result<Rehearsal, BridgeError> {
        let mut request = request.clone();
        let context = self.contexts.find(&request.context_id, &request.vm_id)?;
        let (generation, connection) = self.connection()?;
        request.context_id = context.on(generation, &connection)?;
        let params = Data::map([("request", to_data(&request))]);
        let answer = connection.call(method::REHEARSE_EXECUTION, params, Some(START))?;
        from_data(answer).map_err(|_| WireFault::InvalidResult.as_plane_fault())
    }

    fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        let connection = self.connection_of(execution).ok_or_else(no_execution)?;
        for chunk in bytes.chunks(MOST_CHUNK) {
            let params = about(execution, "bytes", Data::Bytes(chunk.to_vec()));
            connection.call(method::WRITE_STDIN, params, None)?;
        }
        Ok(())
    }

    fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), BridgeError> {
        let Some(connection) = self.connection_of(execution) else { return Ok(()) };
        let params = Data::map([("execution", to_data(execution))]);
        connection.call(method::CLOSE_STDIN, params, Some(PATIENCE)).map(|_| ())
    }

    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), BridgeError> {
        let Some(connection) = self.connection_of(execution) else { return Ok(()) };
        let params = about(execution, "signal", to_data(&signal));
        connection.call(method::KILL_EXECUTION, params, Some(PATIENCE)).map(|_| ())
    }

    fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), BridgeError> {
        let connection = self.connection_of(execution).ok_or_else(no_execution)?;
        let params = about(execution, "size", to_data(&size));
        connection.call(method::RESIZE_TERMINAL, params, Some(PATIENCE)).map(|_| ())
    }

    fn reply_to_guest(&self, reply: GuestReply) -> Result<(), BridgeError> {
        let connection = self.connection_of(&reply.execution).ok_or_else(no_execution)?;
        connection.call(method::REPLY_TO_GUEST, to_data(&reply), Some(PATIENCE)).map(|_| ())
    }

    fn forget_vm(&self, vm_id: &VmId) {
        self.contexts.forget(vm_id);
        let connection = self.link().connection.clone();
        let params = Data::map([("vm_id", Data::text(vm_id.as_str()))]);
        // A plane that cannot be asked is ended, and holds nothing then.
        let _ = connection.call(method::FORGET_VM, params, Some(PATIENCE));
    }
}

impl Drop for WirePlane {
    fn drop(&mut self) {
        let connection = self.link().connection.clone();
        connection.close();
    }
}

/// The module crosses as bytes, not as a list of numbers.
fn guest_context(mut request: CreateGuestContextRequest) -> Data {
    let module = std::mem::take(&mut request.module);
    with_bytes(&request, "module", module)
}
