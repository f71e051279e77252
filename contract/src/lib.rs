//! The bridge contract on disk: JSON Schemas of everything that crosses, generated from the types of the bridge.
//!
//! `contract/v1/schema` holds what [`schemas`] makes; `cargo xtask contract check` fails when the two differ, and
//! `cargo xtask contract generate` writes the folder anew. The operations themselves are in
//! [`BridgeContract`].

#![forbid(unsafe_code)]

pub mod compatibility;
pub mod conformance;
pub mod reference;
pub mod vectors;
pub mod wire;

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
use schemars::{JsonSchema, schema_for};
use serde_json::Value;
use std::collections::BTreeMap;

/// The generation whose schemas these are.
pub const GENERATION: u32 = cofferdam_bridge::descriptor::CONTRACT_GENERATION;

/// Every schema, by its path beneath `contract/v1/schema`.
///
/// ```
/// let schemas = cofferdam_contract::schemas();
/// assert!(schemas.contains_key("execution_profile.json"));
/// assert!(schemas.contains_key("operation/filesystem.read_file.json"));
/// ```
pub fn schemas() -> BTreeMap<String, Value> {
    let mut schemas = BTreeMap::new();
    add::<BridgeContract>(&mut schemas, "bridge_contract");
    add::<BridgeError>(&mut schemas, "bridge_error");
    add::<CreateCommandContextRequest>(&mut schemas, "create_command_context_request");
    add::<CreateGuestContextRequest>(&mut schemas, "create_guest_context_request");
    add::<CreatedContext>(&mut schemas, "created_context");
    add::<ExecutionEvent>(&mut schemas, "execution_event");
    add::<ExecutionProfile>(&mut schemas, "execution_profile");
    add::<ExecutionRef>(&mut schemas, "execution_ref");
    add::<ExecutionSignal>(&mut schemas, "execution_signal");
    add::<GuestReply>(&mut schemas, "guest_reply");
    add::<PlaneDescriptor>(&mut schemas, "plane_descriptor");
    add::<Preflight>(&mut schemas, "preflight");
    add::<Rehearsal>(&mut schemas, "rehearsal");
    add::<StartExecutionRequest>(&mut schemas, "start_execution_request");
    add::<StartedExecution>(&mut schemas, "started_execution");
    add::<TerminalSize>(&mut schemas, "terminal_size");
    add::<wire::hello::Hello>(&mut schemas, "wire_hello");
    add::<wire::hello::Welcome>(&mut schemas, "wire_welcome");
    for (operation, both) in cofferdam_bridge::dispatch::schemas() {
        let value = serde_json::json!({ "request": both.request, "answer": both.answer });
        schemas.insert(format!("operation/{operation}.json"), value);
    }
    schemas
}

fn add<T: JsonSchema>(schemas: &mut BTreeMap<String, Value>, name: &str) {
    schemas.insert(format!("{name}.json"), schema_for!(T).to_value());
}
