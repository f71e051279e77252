//! An OpenTelemetry collector for tests: takes what is sent by OTLP over HTTP, and shows it.
//!
//! What it reads is the protocol's own schema (<https://opentelemetry.io/docs/specs/otlp/>), by code that is generated from it.

use crate::command::{cofferdam, text};
use crate::host::Host;
use crate::skip;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

/// Whether the command under test sends anything at all, or a skip of the test that needs it: it says so of a protocol that it does not
/// speak.
///
/// # Panics
/// When the command cannot be started.
#[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
pub fn is_built_in() -> bool {
    static SAID: LazyLock<bool> = LazyLock::new(|| {
        let mut command = cofferdam();
        command.args(["run", "--no-audit", "--dry-run", "--", "true"]).env("OTEL_EXPORTER_OTLP_PROTOCOL", "none-such");
        let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").output();
        text(&output.expect("cofferdam starts").stderr).contains("telemetry")
    });
    if !*SAID {
        skip::skipped("the command is built without the feature `otlp`");
    }
    *SAID
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path that it was posted to.
    pub path: String,
    /// Its headers, in lower case, a line each.
    pub headers: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// Attributes by name, with their values as text.
pub type Named = BTreeMap<String, String>;

/// A span, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its trace, itself, and the span above it or nothing, in hexadecimal.
    pub ids: [String; 3],
    /// Its attributes.
    pub attributes: Named,
    /// Whether it is marked as failed.
    pub failed: bool,
    /// The names of its events.
    pub events: Vec<String>,
}

/// A series of a metric: its sum, or how many values it has and their sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The instrument's name and unit.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// Its attributes.
    pub attributes: Named,
    /// A sum, or how many values there are.
    pub count: u64,
}

/// How a collector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes everything.
    Usual,
    /// It takes everything and never answers, until the other side goes.
    Silent,
    /// It wants nothing.
    Refusing,
}

/// A collector on loopback. It ends with the test.
#[derive(Debug)]
pub struct Collector {
    host: Host,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new(Manner::Usual)
    }
}

impl Collector {
    /// A collector that answers in this manner.
    ///
    /// # Panics
    /// Where there is no port to listen on.
    pub fn new(manner: Manner) -> Self {
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let own = received.clone();
        let host = Host::new(move |stream| serve(&stream, manner, &own));
        Self { host, received }
    }

    /// What to set `OTEL_EXPORTER_OTLP_ENDPOINT` to.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.host.port())
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there were, whether or not anything came over them.
    pub fn connections(&self) -> usize {
        self.host.arrived()
    }

    fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        self.received().into_iter().filter(|one| one.path == path).map(|one| one.body).collect()
    }

    /// All spans so far.
    ///
    /// # Panics
    /// When what came is no such request.
    #[expect(clippy::expect_used, reason = "a test that cannot read what came must fail loudly")]
    pub fn spans(&self) -> Vec<Span> {
        let requests = self
            .bodies("/v1/traces")
            .into_iter()
            .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).expect("traces as the protocol has them"));
        let scopes = requests.flat_map(|one| one.resource_spans).flat_map(|one| one.scope_spans);
        scopes
            .flat_map(|one| one.spans)
            .map(|span| Span {
                name: span.name,
                ids: [hexadecimal(&span.trace_id), hexadecimal(&span.span_id), hexadecimal(&span.parent_span_id)],
                attributes: named(span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
                events: span.events.into_iter().map(|event| event.name).collect(),
            })
            .collect()
    }

    /// What is known of whoever sent traces.
    ///
    /// # Panics
    /// When what came is no such request.
    #[expect(clippy::expect_used, reason = "a test that cannot read what came must fail loudly")]
    pub fn resources(&self) -> Vec<Named> {
        let requests = self
            .bodies("/v1/traces")
            .into_iter()
            .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).expect("traces as the protocol has them"));
        requests
            .flat_map(|one| one.resource_spans)
            .filter_map(|one| one.resource)
            .map(|one| named(one.attributes))
            .collect()
    }

    /// All series of metrics so far.
    ///
    /// # Panics
    /// When what came is no such request.
    #[expect(clippy::expect_used, reason = "a test that cannot read what came must fail loudly")]
    pub fn series(&self) -> Vec<Series> {
        let requests = self.bodies("/v1/metrics").into_iter().map(|body| {
            ExportMetricsServiceRequest::decode(body.as_slice()).expect("metrics as the protocol has them")
        });
        let scopes = requests.flat_map(|one| one.resource_metrics).flat_map(|one| one.scope_metrics);
        let mut all = Vec::new();
        for metric in scopes.flat_map(|one| one.metrics) {
            let points: Vec<(Vec<KeyValue>, u64)> = match metric.data {
                Some(metric::Data::Sum(sum)) => {
                    sum.data_points.into_iter().map(|point| (point.attributes, number(point.value))).collect()
                }
                Some(metric::Data::Histogram(histogram)) => {
                    histogram.data_points.into_iter().map(|point| (point.attributes, point.count)).collect()
                }
                _ => Vec::new(),
            };
            let series = |(attributes, count)| Series {
                name: metric.name.clone(),
                unit: metric.unit.clone(),
                attributes: named(attributes),
                count,
            };
            all.extend(points.into_iter().map(series));
        }
        all
    }

    /// The count of the one series of `name` that has all of `attributes`; 0 where there is none.
    pub fn count(&self, name: &str, attributes: &[(&str, &str)]) -> u64 {
        let has = |series: &Series| {
            attributes.iter().all(|(key, value)| series.attributes.get(*key).is_some_and(|own| own == value))
        };
        self.series().iter().filter(|series| series.name == name && has(series)).map(|series| series.count).sum()
    }
}

fn number(value: Option<number_data_point::Value>) -> u64 {
    match value {
        Some(number_data_point::Value::AsInt(number)) => u64::try_from(number).unwrap_or(0),
        _ => 0,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named(attributes: Vec<KeyValue>) -> Named {
    attributes.into_iter().map(|one| (one.key, one.value.map(told).unwrap_or_default())).collect()
}

fn told(value: AnyValue) -> String {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(said)) => said.to_string(),
        other => format!("{other:?}"),
    }
}

/// What gzip packed, unpacked by it.
fn unpacked(body: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    let writer = thread::spawn(move || input.map(|mut input| input.write_all(&body)));
    let output = child.wait_with_output()?;
    drop(writer.join());
    Ok(output.stdout)
}

/// Takes request after request of one connection.
fn serve(stream: &TcpStream, manner: Manner, received: &Mutex<Vec<Received>>) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut answers = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut words = head.split_whitespace();
        let path = words.nth(1).unwrap_or_default().to_owned();
        let headers = head.to_lowercase();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        lines.read_exact(&mut body)?;
        if headers.lines().any(|line| line == "content-encoding: gzip") {
            body = unpacked(body)?;
        }
        received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { path, headers, body });
        match manner {
            Manner::Usual => answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?,
            Manner::Refusing => answers.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")?,
            // Comes back when the other side is gone.
            Manner::Silent => drop(lines.read(&mut [0])?),
        }
    }
}
