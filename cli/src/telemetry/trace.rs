//! Spans, and the trace that they belong to.

use cofferdam_bridge::trace_context::{TraceContext, TraceSource};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// The target of what the kernel tells. What libraries tell is theirs, and nobody has looked at it for secrets.
const TARGET: &str = "cofferdam";

/// Makes `provider` hear what the kernel tells. Somebody who listens already stays the only one.
pub(super) fn listen(provider: &SdkTracerProvider) {
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(TARGET))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false);
    let own = filter_fn(|told| told.target() == TARGET).with_max_level_hint(LevelFilter::DEBUG);
    // Nobody listens in this command before.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(own)));
}

/// Continues the trace of whoever started this command, where `TRACEPARENT` names one
/// (<https://opentelemetry.io/docs/specs/otel/context/env-carriers/>), for as long as this thread lives.
pub(super) fn continue_from(variable: impl Fn(&str) -> Option<String>) {
    struct Carrier([(&'static str, Option<String>); 2]);
    impl Extractor for Carrier {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.as_deref())
        }
        fn keys(&self) -> Vec<&str> {
            self.0.iter().map(|(name, _)| *name).collect()
        }
    }
    let carrier = Carrier([("traceparent", variable("TRACEPARENT")), ("tracestate", variable("TRACESTATE"))]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    if context.span().span_context().is_valid() {
        // It would end the context; this one has no end.
        std::mem::forget(context.attach());
    }
}

/// Knows the span of this thread.
pub(super) struct Current;

impl TraceSource for Current {
    fn current(&self) -> Option<TraceContext> {
        let context = Context::current();
        let span = context.span().span_context().clone();
        span.is_valid().then(|| TraceContext::new(span.trace_id().to_string(), span.span_id().to_string()))
    }
}
