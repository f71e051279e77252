//! Collects what the kernel tells, sends it on threads of its own, and comes to an end with the command, in bounded time.

use super::figures::Figures;
use super::sender::{LastFailure, Sender};
use super::settings::Settings;
use super::trace::{self, Current};
use crate::report::human;
use cofferdam_bridge::ids::KernelId;
use cofferdam_kernel::KernelBuilder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, RetryPolicy, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender as Channel};
use std::thread;
use std::time::{Duration, Instant};

/// At its end the command waits no longer for a collector.
const LONGEST_END: Duration = Duration::from_secs(2);

/// The threads that the libraries start, and cannot do without; one for each signal, and one each to end it.
const THREADS: usize = 4;

/// What collects, once for all kernels of this process.
static EXPORTER: OnceLock<Option<Exporter>> = OnceLock::new();

struct Exporter {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    last: LastFailure,
    end: Duration,
}

/// Makes a kernel tell the collector that the environment names, if it names one. What is wrong with it is told, and the kernel goes on
/// without.
pub(crate) fn attach(builder: KernelBuilder, id: &KernelId) -> KernelBuilder {
    let exporter = EXPORTER.get_or_init(|| {
        begin(id).unwrap_or_else(|why| {
            human::warn(&format!("telemetry is not sent: {why}"));
            None
        })
    });
    let Some(exporter) = exporter else { return builder };
    let builder = match &exporter.metrics {
        Some(provider) => builder.metrics(Figures::new(provider.meter("cofferdam"))),
        None => builder,
    };
    if exporter.traces.is_some() { builder.traces(Current) } else { builder }
}

fn begin(id: &KernelId) -> Result<Option<Exporter>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(settings) = Settings::of(variable)? else { return Ok(None) };
    // The libraries panic where they get none.
    if !has_threads() {
        return Err("this process may have no more threads".to_owned());
    }
    let (resource, last) = (resource(id), LastFailure::default());
    let traces = settings.traces.map(|timeout| traces(timeout, &last, &resource)).transpose()?;
    let metrics = settings.metrics.map(|timeout| metrics(timeout, &last, &resource)).transpose()?;
    if let Some(provider) = &traces {
        trace::listen(provider);
        trace::continue_from(variable);
    }
    let end = [settings.traces, settings.metrics].into_iter().flatten().max().unwrap_or(LONGEST_END).min(LONGEST_END);
    Ok(Some(Exporter { traces, metrics, last, end }))
}

// Nothing is tried twice: a collector that is away would hold up every short command until its time is up, and the next figures hold
// these.

fn traces(timeout: Duration, last: &LastFailure, resource: &Resource) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder().with_http().with_http_client(Sender::new(timeout, last.clone()));
    let exporter = exporter.with_retry_policy(RetryPolicy::disabled()).build().map_err(unusable)?;
    Ok(SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build())
}

fn metrics(timeout: Duration, last: &LastFailure, resource: &Resource) -> Result<SdkMeterProvider, String> {
    let exporter = MetricExporter::builder().with_http().with_http_client(Sender::new(timeout, last.clone()));
    let exporter = exporter.with_retry_policy(RetryPolicy::disabled()).build().map_err(unusable)?;
    Ok(SdkMeterProvider::builder().with_resource(resource.clone()).with_periodic_exporter(exporter).build())
}

/// What the libraries say of it may hold the address, and that a password.
fn unusable(_: ExporterBuildError) -> String {
    "OTEL_EXPORTER_OTLP_ENDPOINT, or that of a signal, is no address such as http://localhost:4318".to_owned()
}

/// Who sends. Nothing of the command line, of the user or of the machine is told unless OTEL_RESOURCE_ATTRIBUTES has it.
fn resource(id: &KernelId) -> Resource {
    let own = [
        KeyValue::new("service.name", "cofferdam"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", id.to_string()),
    ];
    let given = Resource::builder_empty()
        .with_attributes(own)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty()) {
        Some(name) => given.with_service_name(name).build(),
        None => given.build(),
    }
}

/// Whether so many threads can be had at once.
fn has_threads() -> bool {
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let one = || {
        let held = held.clone();
        // Each waits until the other end is dropped.
        thread::Builder::new().spawn(move || held.lock().map(|held| held.recv().is_ok()).unwrap_or(false))
    };
    let threads: Vec<_> = (0..THREADS).map(|_| one()).collect();
    drop(hold);
    let all = threads.iter().all(Result::is_ok);
    threads.into_iter().flatten().for_each(|thread| drop(thread.join()));
    all
}

/// Sends what is left and waits for that no longer than [`LONGEST_END`], or the time that the environment allows for a request if that is
/// less. What did not arrive is told, once.
pub(crate) fn end() {
    let Some(Some(exporter)) = EXPORTER.get() else { return };
    let (done, ended) = mpsc::channel();
    let deadline = Instant::now() + exporter.end;
    let mut waiting = 0;
    if let Some(provider) = exporter.traces.clone() {
        waiting += usize::from(in_time(&done, move || drop(provider.shutdown_with_timeout(LONGEST_END))));
    }
    if let Some(provider) = exporter.metrics.clone() {
        waiting += usize::from(in_time(&done, move || drop(provider.shutdown_with_timeout(LONGEST_END))));
    }
    drop(done);
    let mut late = false;
    for _ in 0..waiting {
        late |= ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err();
    }
    let why = exporter.last.told().or_else(|| late.then(|| "no answer in time".to_owned()));
    if let Some(why) = why {
        human::warn(&format!("not all telemetry arrived: {why}"));
    }
}

/// Does `what` on a thread that ends with this process, wherever it is then; answers whether there is one.
fn in_time(done: &Channel<()>, what: impl FnOnce() + Send + 'static) -> bool {
    let done = done.clone();
    let ends = move || {
        what();
        // Nobody hears an end that comes too late.
        let _ = done.send(());
    };
    thread::Builder::new().spawn(ends).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sends_says_who_it_is_and_nothing_of_where() {
        let resource = resource(&KernelId::new("0123456789abcdef"));
        let name = resource.get(&"service.name".into()).map(|name| name.to_string());
        assert_eq!(name.as_deref(), Some("cofferdam"));
        let known = ["service.", "telemetry.sdk."];
        for (key, _) in resource.iter() {
            assert!(known.iter().any(|start| key.as_str().starts_with(start)), "{key}");
        }
    }

    #[test]
    fn threads_that_are_tried_are_given_back() {
        assert!(has_threads());
    }
}
