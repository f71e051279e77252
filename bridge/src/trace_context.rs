//! Which trace something belongs to, so that what is recorded and what is traced can be put side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of a trace, by the ids of W3C Trace Context (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TraceContext {
    /// The trace: 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// The span: 16 lower-case hexadecimal digits.
    pub span_id: String,
}

impl TraceContext {
    /// Names a span by both ids.
    pub fn new(trace_id: impl Into<String>, span_id: impl Into<String>) -> Self {
        Self { trace_id: trace_id.into(), span_id: span_id.into() }
    }
}

/// Knows the span that the code which asks runs in: where the host traces, its tracer.
pub trait TraceSource: Send + Sync {
    /// The span now, on this thread; none where nothing is traced.
    fn current(&self) -> Option<TraceContext>;
}
