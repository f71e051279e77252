//! Who listens to a kernel: the host's sink for figures, and its source of trace ids.

use cofferdam_bridge::metric::{Attributes, Instrument, MetricSink};
use cofferdam_bridge::trace_context::{TraceContext, TraceSource};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whom a kernel tells figures, and who knows the spans it runs in. Nobody, unless the host says so.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    pub(crate) metrics: Option<Arc<dyn MetricSink>>,
    pub(crate) traces: Option<Arc<dyn TraceSource>>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metrics, traces) = (self.metrics.is_some(), self.traces.is_some());
        f.debug_struct("Listeners").field("metrics", &metrics).field("traces", &traces).finish()
    }
}

impl Listeners {
    /// Whether anybody wants figures.
    pub(super) fn want_figures(&self) -> bool {
        self.metrics.is_some()
    }

    /// Adds to a sum.
    pub(super) fn add(&self, instrument: &'static Instrument, amount: i64, attributes: Attributes<'_>) {
        if let Some(sink) = &self.metrics {
            sink.add(instrument, amount, attributes);
        }
    }

    /// Tells a time.
    pub(super) fn took(&self, instrument: &'static Instrument, time: Duration, attributes: Attributes<'_>) {
        if let Some(sink) = &self.metrics {
            sink.observe(instrument, time.as_secs_f64(), attributes);
        }
    }

    /// The span that this is called in, where the host traces.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.traces.as_ref()?.current()
    }
}
