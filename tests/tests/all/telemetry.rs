//! What the command sends to an OpenTelemetry collector: what really happened, no secret, and nothing that was not asked for; and that
//! no collector holds it up.

use cofferdam_tests::audit::{Recorded, assert_whole};
use cofferdam_tests::collector::{self, Collector, Manner, Span};
use cofferdam_tests::command::text;
use cofferdam_tests::skip;
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// Words that stand for secrets.
const SECRET: &str = "hush-hush-8243";

fn run(own: &Recorded, endpoint: &str, options: &[&str], program: &[&str]) -> Command {
    let mut command = own.command(&[&["run", "--workspace", "."], options, &["--"], program].concat());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command
}

fn span(spans: &[Span], name: &str) -> Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0].clone()
}

fn warnings(output: &Output) -> Vec<String> {
    text(&output.stderr).lines().filter(|line| line.contains("telemetry")).map(str::to_owned).collect()
}

#[test]
fn a_run_is_one_trace_with_its_figures_and_the_log_names_it() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    let output = run(&own, &collector.endpoint(), &[], &["sh", "-c", "exit 0"]).output().unwrap();
    assert!(output.status.success() && warnings(&output).is_empty(), "{output:?}");
    let spans = collector.spans();
    let (whole, start) = (span(&spans, "cofferdam.execution"), span(&spans, "cofferdam.execution.start"));
    let commit = span(&spans, "cofferdam.audit.commit");
    assert_eq!([&start.ids[0], &start.ids[2]], [&whole.ids[0], &whole.ids[1]], "the start is within the run");
    assert_eq!([&commit.ids[0], &commit.ids[2]], [&whole.ids[0], &start.ids[1]], "the log is waited for within it");
    let of = |span: &Span, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    assert_eq!([of(&whole, "policy"), of(&whole, "plane")], ["dev", "linux_native"]);
    assert_eq!([of(&whole, "cause"), of(&start, "outcome")], ["exited", "started"]);
    assert!(!whole.failed && !start.failed);
    assert!(whole.events.contains(&"cofferdam.execution.ended".to_owned()), "{whole:?}");
    let plane = [("cofferdam.plane.name", "linux_native"), ("cofferdam.outcome", "started")];
    assert_eq!(collector.count("cofferdam.execution.starts", &plane), 1);
    assert_eq!(collector.count("cofferdam.execution.start.duration", &plane), 1);
    assert_eq!(collector.count("cofferdam.execution.duration", &[("cofferdam.cause", "exited")]), 1);
    assert_eq!(collector.count("cofferdam.guard.queue.duration", &[("cofferdam.outcome", "admitted")]), 1);
    assert_eq!(collector.count("cofferdam.audit.commit.duration", &[("cofferdam.outcome", "recorded")]), 1);
    assert!(collector.series().iter().any(|one| one.name == "cofferdam.execution.active" && one.count == 0));
    assert!(collector.series().iter().all(|one| one.unit == "s" || one.unit.starts_with('{')));
    for record in own.records("started").iter().chain(&own.records("completed")) {
        assert_eq!(record["execution"], of(&whole, "execution"), "log and trace name the same run");
        assert_eq!(
            [record["trace_id"].as_str(), record["span_id"].as_str()],
            [Some(&*start.ids[0]), Some(&*start.ids[1])]
        );
    }
    let instance = &collector.resources()[0];
    assert_eq!(instance["service.name"], "cofferdam");
    assert!(of(&whole, "execution").starts_with(&format!("{}-vm-1-run-", instance["service.instance.id"])));
    assert_whole(&own);
}

#[test]
fn runs_of_several_commands_have_ids_of_their_own_and_are_found_by_them() {
    let own = Recorded::new();
    for _ in 0..3 {
        assert!(own.shell("true").status.success());
    }
    let started = own.records("started");
    let ids: Vec<&str> = started.iter().map(|record| record["execution"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    for id in &ids {
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{ids:?}");
        let found = own.audit(&["query", "--json", "--run", id]);
        let found = text(&found.stdout);
        assert!(found.lines().count() == 2 && found.lines().all(|line| line.contains(id)), "{found}");
    }
}

#[test]
fn what_is_refused_and_what_a_limit_ends_are_told_as_such() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    let refused = run(&own, &collector.endpoint(), &["--policy", "strict"], &["/opt/nothing"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    let spans = collector.spans();
    let whole = span(&spans, "cofferdam.execution");
    assert!(whole.failed && whole.attributes["error.type"] == "denied_by_policy", "{whole:?}");
    let denied = [("cofferdam.access", "command.execute"), ("cofferdam.verdict", "deny")];
    assert_eq!(collector.count("cofferdam.decisions", &denied), 1);
    assert_eq!(collector.count("cofferdam.execution.starts", &[("cofferdam.outcome", "denied_by_policy")]), 1);
    assert_eq!(collector.count("cofferdam.execution.limits", &[]), 0);
    let limited = run(&own, &collector.endpoint(), &["--timeout", "200ms"], &["sleep", "60"]).output().unwrap();
    assert!(!limited.status.success());
    let ended = collector.spans().into_iter().find(|span| span.attributes.get("cause").is_some());
    let ended = ended.unwrap();
    assert_eq!((&*ended.attributes["cause"], &*ended.attributes["error.type"]), ("timed_out", "wall_time_exceeded"));
    assert!(ended.failed);
    assert_eq!(collector.count("cofferdam.execution.limits", &[("cofferdam.limit", "wall_time_exceeded")]), 1);
    // What a program is refused while it runs is told by kind.
    let file = own.workspace.write(".git/config", "kept");
    run(&own, &collector.endpoint(), &[], &["sh", "-c", "echo evil > .git/config"]).output().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
    let denied = [("cofferdam.access", "filesystem.write"), ("cofferdam.verdict", "deny")];
    assert!(collector.count("cofferdam.decisions", &denied) >= 1, "{:?}", collector.series());
}

#[test]
fn no_secret_is_sent_and_headers_are() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    own.workspace.write(&format!("{SECRET}.txt"), SECRET);
    let script =
        format!("cat; echo {SECRET}; echo {SECRET} >&2; cat {SECRET}.txt; cat /etc/{SECRET}; echo > /{SECRET}");
    let mut command = run(
        &own,
        &collector.endpoint(),
        &["--env", &format!("TOKEN={SECRET}"), "--env", "INHERITED", "--json"],
        &["sh", "-c", &script, SECRET],
    );
    command.env("INHERITED", SECRET).env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20let-me-in");
    command.env("OTEL_SERVICE_NAME", "mine").env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(SECRET.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).matches(SECRET).count() >= 3, "the program had them all: {output:?}");
    let refused =
        run(&own, &collector.endpoint(), &["--policy", "strict"], &[&format!("/opt/{SECRET}")]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    let received = collector.received();
    assert!(received.len() >= 4, "traces and metrics of two runs");
    for one in &received {
        let body = text(&one.body);
        assert!(!body.contains(SECRET) && !one.headers.contains(SECRET), "{body:?}");
        assert!(!body.contains("let-me-in"), "{body:?}");
    }
    let with = received.iter().filter(|one| one.headers.contains("authorization: bearer let-me-in")).count();
    assert!(with >= 2, "{received:?}");
    let sender = &collector.resources()[0];
    assert_eq!((&*sender["service.name"], &*sender["deployment.environment.name"]), ("mine", "test"));
}

#[test]
fn a_trace_of_whoever_starts_the_command_goes_on() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let mut command = run(&own, &collector.endpoint(), &[], &["true"]);
    assert!(command.env("TRACEPARENT", format!("00-{trace}-{parent}-01")).output().unwrap().status.success());
    let whole = span(&collector.spans(), "cofferdam.execution");
    assert_eq!([&*whole.ids[0], &*whole.ids[2]], [trace, parent]);
    let found = own.audit(&["query", "--json", "--trace", trace]);
    assert_eq!(text(&found.stdout).lines().count(), 2, "{found:?}");
    // What is no trace is no reason to fail.
    let mut command = run(&own, &collector.endpoint(), &[], &["true"]);
    assert!(command.env("TRACEPARENT", "00-nonsense").output().unwrap().status.success());
}

#[test]
fn nothing_is_sent_where_nothing_is_configured_or_it_is_switched_off() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")] {
        let output = run(&own, &collector.endpoint(), &[], &["true"]).env(name, value).output().unwrap();
        assert!(output.status.success() && warnings(&output).is_empty(), "{output:?}");
    }
    let mut command = run(&own, &collector.endpoint(), &[], &["true"]);
    command.env("OTEL_TRACES_EXPORTER", "none").env("OTEL_METRICS_EXPORTER", "none");
    assert!(command.output().unwrap().status.success());
    assert_eq!(collector.connections(), 0);
    // Where collectors are by default, one that listens hears nothing either.
    let Ok(usual) = TcpListener::bind("127.0.0.1:4318") else { return skip::skipped("somebody listens at 4318") };
    usual.set_nonblocking(true).unwrap();
    assert!(own.shell("true").status.success());
    assert_eq!(usual.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_collector_that_is_away_or_refuses_or_never_answers_fails_nothing_and_is_told_once() {
    if !collector::is_built_in() {
        return;
    }
    let own = Recorded::new();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (silent, refusing) = (Collector::new(Manner::Silent), Collector::new(Manner::Refusing));
    let endpoints = [format!("http://me:{SECRET}@{away}"), silent.endpoint(), refusing.endpoint()];
    for endpoint in &endpoints {
        let mut command = run(&own, endpoint, &["--json"], &["sh", "-c", "echo out; exit 7"]);
        // Whatever a request may take: the command ends while this collector still has not answered.
        let output = command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "86400000").output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["stdout"], "out\n", "{result}");
        let told = warnings(&output);
        assert!(told.len() == 1 && told[0].contains("127.0.0.1:") | told[0].contains("no answer"), "{told:?}");
        assert!(!text(&output.stderr).contains(SECRET), "{told:?}");
    }
    assert!(silent.connections() > 0 && refusing.connections() > 0);
    assert_whole(&own);
}

#[test]
fn settings_that_cannot_be_followed_are_told_once_and_fail_nothing() {
    if !collector::is_built_in() {
        return;
    }
    let (own, collector) = (Recorded::new(), Collector::default());
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "no address hush-hush-8243"),
    ] {
        let output = run(&own, &collector.endpoint(), &[], &["true"]).env(name, value).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = warnings(&output);
        assert!(told.len() == 1 && told[0].contains(name) && !told[0].contains(SECRET), "{told:?}");
    }
    assert_eq!(collector.connections(), 0);
}
