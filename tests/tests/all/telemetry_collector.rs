//! What the command sends, through a real collector: a process of its own that reads it, and sends on what it has understood.

use cofferdam_tests::audit::Recorded;
use cofferdam_tests::collector::{self, Collector};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Far more than it takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A collector's process, which ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A collector that sends on to `next`, and where it listens for OTLP over HTTP.
fn real(folder: &Scratch, next: &Collector) -> Option<(Process, SocketAddr)> {
    // It packs what it sends on.
    skip::program("gzip")?;
    let program = skip::program("rotel-agent")?;
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [http, grpc] = sockets.map(|socket| socket.local_addr().unwrap());
    let mut command = Command::new(program);
    command.args(["start", "--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()]);
    command.args(["--exporter", "otlp", "--otlp-exporter-endpoint", &next.endpoint()]);
    command.args([
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-compression",
        "none",
        "--batch-timeout",
        "20ms",
    ]);
    command.arg("--pid-file").arg(folder.join("pid")).arg("--log-file").arg(folder.join("log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    let ready = || TcpStream::connect(http).is_ok() || process.0.try_wait().unwrap().is_some();
    assert!(within(LONG, ready), "the collector does not listen");
    Some((process, http))
}

#[test]
fn a_real_collector_understands_what_is_sent() {
    if !collector::is_built_in() {
        return;
    }
    let (own, folder, last) = (Recorded::new(), Scratch::new(), Collector::default());
    let Some((_process, place)) = real(&folder, &last) else { return };
    let run = |options: &[&str], program: &[&str]| {
        let mut command = own.command(&[&["run", "--workspace", "."], options, &["--"], program].concat());
        let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{place}")).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("telemetry"), "{output:?}");
        output.status.code()
    };
    assert_eq!(run(&[], &["true"]), Some(0));
    assert_eq!(run(&["--policy", "strict"], &["/opt/nothing"]), Some(125));
    run(&["--timeout", "200ms"], &["sleep", "60"]);
    let causes = |collector: &Collector| {
        let spans = collector.spans().into_iter().filter(|span| span.name == "cofferdam.execution");
        let mut causes: Vec<_> = spans
            .filter_map(|span| span.attributes.get("error.type").or_else(|| span.attributes.get("cause")).cloned())
            .collect();
        causes.sort();
        causes
    };
    let all = ["denied_by_policy", "exited", "wall_time_exceeded"];
    assert!(within(LONG, || causes(&last) == all), "{:?}", causes(&last));
    let outcome = |outcome| last.count("cofferdam.execution.starts", &[("cofferdam.outcome", outcome)]);
    assert!(within(LONG, || (outcome("started"), outcome("denied_by_policy")) == (2, 1)), "{:?}", last.series());
    let limits = || last.count("cofferdam.execution.limits", &[("cofferdam.limit", "wall_time_exceeded")]);
    assert!(within(LONG, || limits() == 1), "{:?}", last.series());
}
