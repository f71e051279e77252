//! What kernel and guests tell the host about themselves: events, diagnostics, log lines, states.
//!
//! Nothing here holds output, environment values or secrets.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::ids::ExecutionId;
use crate::request::requests;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What is usual.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// Where a VM or a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LifecycleState {
    /// Being made.
    Starting,
    /// Waits for work.
    Ready,
    /// Works.
    Busy,
    /// Gone.
    Terminated,
}

requests! {
    /// Something happened, for machines.
    StructuredEvent {
        /// What, as `dotted.snake_case`.
        name: String,
        /// Facts by name.
        fields: BTreeMap<String, serde_json::Value>,
    }
    /// Something is wrong or unusual, for people.
    Diagnostic {
        /// What kind, as `snake_case`.
        code: String,
        /// One or two sentences.
        message: String,
    }
    /// A log line.
    LogRecord {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
    }
    /// A change of state.
    LifecycleEvent {
        /// The run, where not the whole VM is meant.
        execution_id: Option<ExecutionId>,
        /// The state now.
        state: LifecycleState,
    }
}

/// Takes what is told. Must not block for long; may drop, and then says so by `queue_full`.
pub trait EventBridge: BridgeTypes {
    /// An event.
    fn emit_structured_event(&self, call: &CallContext, event: StructuredEvent) -> Result<(), Self::Error>;
    /// A diagnostic.
    fn emit_diagnostic(&self, call: &CallContext, event: Diagnostic) -> Result<(), Self::Error>;
    /// A log line.
    fn emit_log(&self, call: &CallContext, event: LogRecord) -> Result<(), Self::Error>;
    /// A change of state.
    fn emit_lifecycle(&self, call: &CallContext, event: LifecycleEvent) -> Result<(), Self::Error>;
}
