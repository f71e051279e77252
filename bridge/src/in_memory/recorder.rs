//! Keeps what was told, up to a bound.

use super::lock;
use crate::call::CallContext;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::execution::BridgeTypes;
use crate::telemetry::{Diagnostic, EventBridge, LifecycleEvent, LogRecord, StructuredEvent};
use std::sync::Mutex;

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// An event.
    Event(StructuredEvent),
    /// A diagnostic.
    Diagnostic(Diagnostic),
    /// A log line.
    Log(LogRecord),
    /// A change of state.
    Lifecycle(LifecycleEvent),
}

/// Keeps what it is told until somebody takes it. When it is full it says so, and keeps what it has.
#[derive(Debug)]
pub struct Recorder {
    most: usize,
    kept: Mutex<Vec<Recorded>>,
}

impl Recorder {
    /// A recorder for at most `most` things.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// Hands out what there is, and has room again.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut lock(&self.kept))
    }

    fn keep(&self, one: Recorded) -> Result<(), BridgeError> {
        let mut kept = lock(&self.kept);
        if kept.len() >= self.most {
            let message = "the recorder is full; take what it holds, then tell it again";
            return Err(BridgeError::new(ErrorCode::QueueFull, message).with("limit", self.most));
        }
        kept.push(one);
        Ok(())
    }
}

impl BridgeTypes for Recorder {
    type Error = BridgeError;
}

impl EventBridge for Recorder {
    fn emit_structured_event(&self, _: &CallContext, event: StructuredEvent) -> Result<(), BridgeError> {
        self.keep(Recorded::Event(event))
    }

    fn emit_diagnostic(&self, _: &CallContext, event: Diagnostic) -> Result<(), BridgeError> {
        self.keep(Recorded::Diagnostic(event))
    }

    fn emit_log(&self, _: &CallContext, event: LogRecord) -> Result<(), BridgeError> {
        self.keep(Recorded::Log(event))
    }

    fn emit_lifecycle(&self, _: &CallContext, event: LifecycleEvent) -> Result<(), BridgeError> {
        self.keep(Recorded::Lifecycle(event))
    }
}
