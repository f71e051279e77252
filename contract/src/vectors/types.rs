//! The types that have vectors, and whether one of them takes a value.

use crate::wire::hello::{Hello, Welcome};
use cofferdam_bridge::contract::BridgeContract;
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, CreateGuestContextRequest, CreatedContext, ExecutionRef, ExecutionSignal, GuestReply,
    StartExecutionRequest, StartedExecution, TerminalSize,
};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::rehearsal::Rehearsal;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn reads<T: DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

type Reads = fn(&Value) -> bool;

const TYPES: [(&str, Reads); 18] = [
    ("bridge_contract", reads::<BridgeContract>),
    ("bridge_error", reads::<BridgeError>),
    ("create_command_context_request", reads::<CreateCommandContextRequest>),
    ("create_guest_context_request", reads::<CreateGuestContextRequest>),
    ("created_context", reads::<CreatedContext>),
    ("execution_event", reads::<ExecutionEvent>),
    ("execution_profile", reads::<ExecutionProfile>),
    ("execution_ref", reads::<ExecutionRef>),
    ("execution_signal", reads::<ExecutionSignal>),
    ("guest_reply", reads::<GuestReply>),
    ("plane_descriptor", reads::<PlaneDescriptor>),
    ("preflight", reads::<Preflight>),
    ("rehearsal", reads::<Rehearsal>),
    ("start_execution_request", reads::<StartExecutionRequest>),
    ("started_execution", reads::<StartedExecution>),
    ("terminal_size", reads::<TerminalSize>),
    ("wire_hello", reads::<Hello>),
    ("wire_welcome", reads::<Welcome>),
];

macro_rules! requests {
    ($($bridge:path, $group:literal {
        $($method:ident($request:ty) -> $answer:ty;)*
    } with { $($sinking:ident($sink_request:ty, $sink:ty) -> $sink_answer:ty;)* })*) => {
        /// The requests of the small operations, by operation.
        const OPERATIONS: &[(&str, Reads)] = &[
            $($((concat!($group, ".", stringify!($method)), reads::<$request>),)*
            $((concat!($group, ".", stringify!($sinking)), reads::<$sink_request>),)*)*
        ];
    };
}
cofferdam_bridge::bridge_operations!(requests);

/// Every type that has vectors.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().chain(OPERATIONS).map(|(name, _)| *name)
}

/// Whether a type, or the request of an operation, takes `value`. What is not known takes nothing.
pub fn accepts(name: &str, value: &Value) -> bool {
    TYPES.iter().chain(OPERATIONS).find(|(own, _)| *own == name).is_some_and(|(_, reads)| reads(value))
}
