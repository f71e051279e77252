//! Traces and metrics of this command, sent to a collector where the environment names one.
//!
//! Built without the feature `otlp` the command sends nothing, whatever the environment says.

#[cfg(feature = "otlp")]
mod exporter;
#[cfg(feature = "otlp")]
mod figures;
#[cfg(feature = "otlp")]
mod sender;
#[cfg(feature = "otlp")]
mod settings;
#[cfg(feature = "otlp")]
mod trace;

#[cfg(feature = "otlp")]
pub(crate) use exporter::{attach, end};

/// Hands on the kernel as it is.
#[cfg(not(feature = "otlp"))]
pub(crate) fn attach(
    builder: cofferdam_kernel::KernelBuilder,
    _: &cofferdam_bridge::ids::KernelId,
) -> cofferdam_kernel::KernelBuilder {
    builder
}

/// Nothing was collected.
#[cfg(not(feature = "otlp"))]
pub(crate) fn end() {}
