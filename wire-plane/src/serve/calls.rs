//! From a call on the wire to the plane that does it.

use super::server::Server;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, CreateGuestContextRequest, ExecutionRef, ExecutionSignal, GuestReply,
    StartExecutionRequest, TerminalSize,
};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::method;
use cofferdam_contract::wire::typed::{field, from_data, take_bytes, to_data};
use std::sync::Arc;
use std::thread;

type Answer = Result<Data, BridgeError>;

/// What waits for something gets a thread, so that the next frame is read meanwhile. How many there are is bounded by the calls that
/// may be pending.
pub(crate) fn call(server: &Arc<Server>, id: u64, method: &str, params: Data) {
    let done = match method {
        method::PREFLIGHT => preflight(server, params),
        method::CREATE_COMMAND_CONTEXT => from_data::<CreateCommandContextRequest>(params).map(|request| {
            server.remember(request.vm_id.clone());
            later(server, id, move |server| server.plane.create_command_context(request).map(|made| to_data(&made)))
        }),
        method::CREATE_JAVASCRIPT_CONTEXT | method::CREATE_WASM_CONTEXT => guest_context(server, id, method, params),
        method::START_EXECUTION => start(server, id, params),
        method::REHEARSE_EXECUTION => rehearse(server, id, params),
        method::WRITE_STDIN => write(server, id, params),
        method::FORGET_VM => forget(server, id, params),
        method::CLOSE_STDIN => {
            execution(params).map(|(execution, _)| Some(server.plane.close_stdin(&execution).map(|()| Data::Null)))
        }
        method::KILL_EXECUTION => signal(server, params),
        method::RESIZE_TERMINAL => resize(server, params),
        method::REPLY_TO_GUEST => {
            from_data::<GuestReply>(params).map(|reply| Some(server.plane.reply_to_guest(reply).map(|()| Data::Null)))
        }
        operation => match &server.operations {
            Some(operations) => Ok(Some(operations.perform(operation, params, server.clone()))),
            None => Err(WireFault::UnknownMethod),
        },
    };
    match done {
        Ok(Some(outcome)) => server.reply(id, outcome),
        Ok(None) => {}
        Err(fault) => server.reject(id, fault),
    }
}

/// Nothing now: it is answered from a thread.
fn later(server: &Arc<Server>, id: u64, work: impl FnOnce(&Arc<Server>) -> Answer + Send + 'static) -> Option<Answer> {
    let inner = server.clone();
    let spawned = thread::Builder::new().name("cofferdam-serve-call".to_owned()).spawn(move || {
        let outcome = work(&inner);
        inner.reply(id, outcome);
    });
    spawned.err().map(|_| {
        let message = "the plane's process has no thread for the call; it may be at its limit";
        Err(BridgeError::new(ErrorCode::QueueFull, message))
    })
}

fn execution(mut params: Data) -> Result<(ExecutionRef, Data), WireFault> {
    Ok((field(&mut params, "execution")?, params))
}

fn preflight(server: &Arc<Server>, mut params: Data) -> Result<Option<Answer>, WireFault> {
    let profile: ExecutionProfile = field(&mut params, "profile")?;
    Ok(Some(Ok(to_data(&server.plane.preflight(&profile)))))
}

fn guest_context(server: &Arc<Server>, id: u64, method: &str, mut params: Data) -> Result<Option<Answer>, WireFault> {
    let module = take_bytes(&mut params, "module")?;
    let mut request: CreateGuestContextRequest = from_data(params)?;
    request.module = module;
    server.remember(request.vm_id.clone());
    let script = method == method::CREATE_JAVASCRIPT_CONTEXT;
    Ok(later(server, id, move |server| {
        let plane = &server.plane;
        let made = if script { plane.create_javascript_context(request) } else { plane.create_wasm_context(request) };
        made.map(|made| to_data(&made))
    }))
}

fn start(server: &Arc<Server>, id: u64, mut params: Data) -> Result<Option<Answer>, WireFault> {
    let request: StartExecutionRequest = field(&mut params, "request")?;
    let credit: u64 = field(&mut params, "credit")?;
    let execution = ExecutionRef::new(request.vm_id.clone(), request.execution_id.clone());
    server.remember(request.vm_id.clone());
    let outgoing = server.expect(&execution, credit);
    Ok(later(server, id, move |server| match server.plane.start_execution(request, outgoing.clone()) {
        Ok(started) => {
            server.poll(execution, outgoing);
            Ok(to_data(&started))
        }
        Err(error) => {
            server.no_execution(&execution.execution_id);
            Err(error)
        }
    }))
}

fn rehearse(server: &Arc<Server>, id: u64, mut params: Data) -> Result<Option<Answer>, WireFault> {
    let request: StartExecutionRequest = field(&mut params, "request")?;
    Ok(later(server, id, move |server| server.plane.rehearse_execution(&request).map(|told| to_data(&told))))
}

fn write(server: &Arc<Server>, id: u64, params: Data) -> Result<Option<Answer>, WireFault> {
    let (execution, mut params) = execution(params)?;
    let bytes = take_bytes(&mut params, "bytes")?;
    Ok(later(server, id, move |server| server.plane.write_stdin(&execution, &bytes).map(|()| Data::Null)))
}

fn forget(server: &Arc<Server>, id: u64, mut params: Data) -> Result<Option<Answer>, WireFault> {
    let vm_id: VmId = field(&mut params, "vm_id")?;
    Ok(later(server, id, move |server| {
        server.plane.forget_vm(&vm_id);
        server.forget(&vm_id);
        Ok(Data::Null)
    }))
}

fn signal(server: &Arc<Server>, params: Data) -> Result<Option<Answer>, WireFault> {
    let (execution, mut params) = execution(params)?;
    let signal: ExecutionSignal = field(&mut params, "signal")?;
    Ok(Some(server.plane.kill_execution(&execution, signal).map(|()| Data::Null)))
}

fn resize(server: &Arc<Server>, params: Data) -> Result<Option<Answer>, WireFault> {
    let (execution, mut params) = execution(params)?;
    let size: TerminalSize = field(&mut params, "size")?;
    Ok(Some(server.plane.resize_terminal(&execution, size).map(|()| Data::Null)))
}
