//! Sessions of an embedding host: persistent commands on each plane, and what they share.

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::session::{
    CommandSpec, CommandState, FollowEvent, LinePattern, Persistence, Readiness, RestartPolicy, RestartWhen,
    RunOptions, Session, SessionSpec,
};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::session::{PLANES, Plane, open, under_dev, within_runtime};
use cofferdam_tests::skip;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn stays(name: &str, line: &str) -> CommandSpec {
    CommandSpec::shell(name, line).persistent(Persistence::default())
}

fn ready_by_line(name: &str, line: &str, pattern: &str) -> CommandSpec {
    let readiness = Readiness::Line(LinePattern::new(pattern).unwrap());
    CommandSpec::shell(name, line).persistent(Persistence::default().ready_when(readiness))
}

fn mark(number: u32) -> String {
    format!("6{:05}{number:03}", std::process::id() % 100_000)
}

/// Waits until the command has ended, and answers how.
async fn ended(session: &Session, name: &str) -> cofferdam_kernel::session::CommandStatus {
    let mut follower = session.follow(name).unwrap();
    loop {
        match timeout(SOON, follower.next()).await.unwrap() {
            Some(FollowEvent::Ended(status)) => return *status,
            Some(_) => {}
            None => panic!("the end was not told"),
        }
    }
}

const SERVER: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'hello from ' + self.path.encode())
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

const CLIENT: &str = "
import sys, urllib.request
print(urllib.request.urlopen('http://127.0.0.1:' + sys.argv[1] + '/path', timeout=5).read().decode())
";

fn web(python: &str, port: u16) -> SessionSpec {
    let port_text = port.to_string();
    let server = Persistence::default().ready_when(Readiness::Port(port));
    SessionSpec::default()
        .command(CommandSpec::argv("web", python, ["-c", SERVER, &port_text]).persistent(server))
        .command(CommandSpec::argv("ask", python, ["-c", CLIENT, &port_text]))
}

#[test]
fn c7_a_python_web_server_is_ready_by_port_queried_by_another_command_followed_and_stopped() {
    let Some(python) = skip::python() else { return };
    let opened = open(Plane::Linux, web(&python, 8123));
    let session = &opened.session;
    within_runtime(async {
        let pid = session.start("web").await.unwrap();
        assert!(pid.is_some());
        assert_eq!(session.start("web").await.unwrap(), pid, "a second start does nothing");
        session.wait_ready("web").await.unwrap();
        let status = session.status("web").unwrap();
        assert!(status.running() && status.ready, "{status:?}");
        let answer = session.run("ask", RunOptions::default()).await.unwrap();
        assert_eq!(answer.value, json!("hello from /path"));
        let mut follower = session.follow("web").unwrap();
        let mut log = Vec::new();
        while !String::from_utf8_lossy(&log).contains("GET /path") {
            match timeout(SOON, follower.next()).await.unwrap() {
                Some(FollowEvent::Output { bytes, .. }) => log.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        let status = session.stop("web").await.unwrap();
        assert_eq!((status.state, status.pid), (CommandState::Ended, None));
        assert_eq!(status.exit_signal, Some(15), "SIGTERM was enough: {status:?}");
        assert!(String::from_utf8_lossy(&status.stderr).contains("GET /path"));
        let error = session.run("ask", RunOptions::default()).await.unwrap_err();
        assert_eq!(error.error().code, ErrorCode::CommandFailed, "nobody listens any more");
    });
}

#[test]
fn two_sessions_and_runs_outside_of_one_reach_neither_each_other_nor_the_host() {
    let Some(python) = skip::python() else { return };
    let (one, other) = (open(Plane::Linux, web(&python, 8124)), open(Plane::Linux, web(&python, 8124)));
    let on_host = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = on_host.local_addr().unwrap().port().to_string();
    within_runtime(async {
        one.session.start("web").await.unwrap();
        one.session.wait_ready("web").await.unwrap();
        assert!(one.session.run("ask", RunOptions::default()).await.is_ok(), "the control");
        let error = other.session.run("ask", RunOptions::default()).await.unwrap_err();
        assert_eq!(error.error().code, ErrorCode::CommandFailed);
        assert!(error.failure().unwrap().stderr_tail.as_str().contains("refused"), "{error:?}");
        // The same port is free there.
        other.session.start("web").await.unwrap();
        other.session.wait_ready("web").await.unwrap();
        // A run in the session's own VM meets; one in a VM of its own does not.
        let ask = |vm: &cofferdam_kernel::Vm, port: &str| vm.command(&python).args(["-c", CLIENT, port]).output();
        assert!(ask(one.session.vm(), "8124").await.unwrap().success());
        assert!(!ask(one.session.vm(), &port).await.unwrap().success(), "the host's own port");
        let spec = under_dev(one.workspace.path()).unwrap();
        let vm = Plane::Linux.kernel().unwrap().create_vm(spec).unwrap();
        let alone = ask(&vm, "8124").await.unwrap();
        assert!(!alone.success() && String::from_utf8_lossy(&alone.stderr).contains("refused"));
    });
    assert!(std::net::TcpStream::connect(("127.0.0.1", 8124)).is_err(), "the host does not reach it either");
    assert!(on_host.set_nonblocking(true).is_ok() && on_host.accept().is_err());
}

#[test]
fn commands_of_a_session_share_the_network_and_nothing_else() {
    let look = "ls /tmp; ls /dev/shm; ls /proc | grep -c '^[0-9]'; cat /proc/net/dev | grep -c :";
    let spec = SessionSpec::default()
        .command(ready_by_line("one", "touch /tmp/mine /dev/shm/mine; echo up; exec sleep 1000", "up"))
        .command(CommandSpec::shell("look", look))
        .command(CommandSpec::shell(
            "capabilities",
            "grep -E 'CapEff|CapBnd' /proc/self/status; ip link set lo down 2>&1",
        ))
        .command(CommandSpec::shell("unshare", "unshare -n true 2>&1 || nsenter --net=/proc/1/ns/net true 2>&1"));
    let opened = open(Plane::Linux, spec);
    within_runtime(async {
        opened.session.start("one").await.unwrap();
        opened.session.wait_ready("one").await.unwrap();
        let seen = opened.session.run("look", RunOptions::default()).await.unwrap().value;
        let seen = seen.as_str().unwrap();
        assert!(!seen.contains("mine"), "{seen}");
        let last: Vec<&str> = seen.lines().rev().take(2).collect();
        assert_eq!(last[0], "1", "loopback is all there is: {seen}");
        assert!(last[1].parse::<u32>().unwrap() < 8, "processes of its own only: {seen}");
        let error = opened.session.run("capabilities", RunOptions::default()).await;
        let told = error.map(|output| output.value.to_string()).unwrap_or_default();
        assert!(told.is_empty() || told.contains("0000000000000000"), "{told}");
        assert!(opened.session.run("unshare", RunOptions::default()).await.is_err());
    });
}

#[test]
fn c7_status_tells_name_pid_running_exit_uptime_and_the_last_64_kib() {
    for plane in PLANES {
        let spec = SessionSpec::default()
            .command(stays(
                "loud",
                "head -c 100000 /dev/zero | tr '\\0' o; head -c 70000 /dev/zero | tr '\\0' e >&2; exit 5",
            ))
            .command(stays("killed", "kill -USR1 $$"));
        let opened = open(plane, spec);
        within_runtime(async {
            let before = opened.session.status("loud").unwrap();
            assert_eq!((before.state, before.pid, before.uptime_ms), (CommandState::NeverStarted, None, 0));
            opened.session.start("loud").await.unwrap();
            let status = ended(&opened.session, "loud").await;
            assert_eq!(
                (status.name.as_str(), status.running(), status.exit_code),
                ("loud", false, Some(5)),
                "{plane:?}"
            );
            assert_eq!((status.stdout.len(), status.stderr.len()), (65_536, 65_536));
            assert!(status.stdout.iter().all(|byte| *byte == b'o') && status.stderr.iter().all(|byte| *byte == b'e'));
            opened.session.start("killed").await.unwrap();
            let status = ended(&opened.session, "killed").await;
            assert_eq!((status.exit_code, status.exit_signal), (None, Some(10)), "{plane:?}");
        });
    }
}

#[test]
fn c7_a_server_may_print_more_than_a_one_shot_and_a_slow_follower_holds_nobody_up() {
    for plane in PLANES {
        let spec = SessionSpec::default().command(stays("loud", "head -c 20000000 /dev/zero; echo end >&2"));
        let opened = open(plane, spec);
        within_runtime(async {
            opened.session.start("loud").await.unwrap();
            let mut follower = opened.session.follow("loud").unwrap();
            let status = ended(&opened.session, "loud").await;
            assert_eq!(status.exit_code, Some(0), "{plane:?}: {status:?}");
            let Some(FollowEvent::Output { lost, bytes, .. }) = follower.next().await else { panic!("nothing") };
            assert_eq!(lost + bytes.len() as u64, 20_000_000, "what was missed is told");
        });
    }
}

#[test]
fn c7_input_is_written_to_and_closed() {
    for plane in PLANES {
        let cat = CommandSpec::argv("cat", "cat", [""; 0]).persistent(Persistence::default().open_stdin());
        let spec = SessionSpec::default().command(cat).command(stays("deaf", "exec sleep 1000"));
        let opened = open(plane, spec);
        within_runtime(async {
            let session = &opened.session;
            assert_eq!(session.write("cat", b"x".to_vec()).await.unwrap_err().code(), ErrorCode::CommandNotRunning);
            session.start("cat").await.unwrap();
            session.write("cat", b"one ".to_vec()).await.unwrap();
            session.write("cat", b"two".to_vec()).await.unwrap();
            session.close_stdin("cat").await.unwrap();
            let status = ended(session, "cat").await;
            assert_eq!((status.stdout.as_slice(), status.exit_code), (b"one two".as_slice(), Some(0)), "{plane:?}");
            session.start("deaf").await.unwrap();
            assert_eq!(session.write("deaf", b"x".to_vec()).await.unwrap_err().code(), ErrorCode::InvalidState);
        });
    }
}

#[test]
fn c7_at_most_sixteen_run_at_once_unless_it_says_otherwise() {
    let declare = |spec: SessionSpec, count: usize| {
        (0..count).fold(spec, |spec, at| {
            spec.command(CommandSpec::argv(format!("c{at:02}"), "sleep", ["1000"]).persistent(Persistence::default()))
        })
    };
    let opened = open(Plane::Host, declare(SessionSpec::default(), 17));
    within_runtime(async {
        for at in 0..16 {
            opened.session.start(&format!("c{at:02}")).await.unwrap();
        }
        let error = opened.session.start("c16").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooManyCommands);
        assert!(error.to_string().contains("c00, c01"), "{error}");
        opened.session.stop("c03").await.unwrap();
        opened.session.start("c16").await.unwrap();
    });
    let opened = open(Plane::Host, declare(SessionSpec::default().most_running(1), 2));
    within_runtime(async {
        opened.session.start("c00").await.unwrap();
        assert_eq!(opened.session.start("c01").await.unwrap_err().code(), ErrorCode::TooManyCommands);
    });
}

#[test]
fn c7_one_that_ends_before_it_is_ready_or_takes_too_long_is_told() {
    for plane in PLANES {
        let quick = Persistence::default()
            .ready_when(Readiness::Line(LinePattern::new("never said").unwrap()))
            .ready_within(Duration::from_millis(80));
        let spec = SessionSpec::default()
            .command(ready_by_line("ends", "echo something else; exit 4", "never said"))
            .command(CommandSpec::shell("slow", "echo not yet; exec sleep 1000").persistent(quick));
        let opened = open(plane, spec);
        within_runtime(async {
            let error = opened.session.wait_ready("ends").await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::CommandNotRunning, "it was not started yet");
            for name in ["ends", "slow"] {
                opened.session.start(name).await.unwrap();
                let error = opened.session.wait_ready(name).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::CommandNotReady, "{plane:?} {name}: {error}");
            }
        });
    }
}

#[test]
fn c7_a_port_that_another_command_listens_at_makes_none_ready() {
    let Some(python) = skip::python() else { return };
    for plane in PLANES {
        let port = if plane == Plane::Linux { 8125 } else { 18_125 };
        let idle = Persistence::default().ready_when(Readiness::Port(port)).ready_within(Duration::from_millis(300));
        let spec = web(&python, port).command(CommandSpec::argv("idle", "sleep", ["1000"]).persistent(idle));
        let opened = open(plane, spec);
        within_runtime(async {
            opened.session.start("web").await.unwrap();
            opened.session.wait_ready("web").await.unwrap();
            opened.session.start("idle").await.unwrap();
            let error = opened.session.wait_ready("idle").await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::CommandNotReady, "{plane:?}");
        });
    }
}

#[test]
fn c7_a_command_that_fails_is_started_again_with_a_pause_and_given_up_after_so_many() {
    for plane in PLANES {
        let brief = Duration::from_millis(10);
        let policy = RestartPolicy::new(RestartWhen::OnFailure).pauses(brief, Duration::from_secs(60)).most(3);
        let spec = SessionSpec::default()
            .command(CommandSpec::shell("fails", "echo try; exit 1").persistent(Persistence::default().restart(policy)))
            .command(CommandSpec::shell("works", "exit 0").persistent(Persistence::default().restart(policy)));
        let opened = open(plane, spec);
        within_runtime(async {
            opened.session.start("fails").await.unwrap();
            let status = ended(&opened.session, "fails").await;
            assert_eq!((status.restarts, status.exit_code), (3, Some(1)), "{plane:?}");
            assert_eq!(status.stdout, b"try\n".repeat(4));
            opened.session.start("works").await.unwrap();
            assert_eq!(ended(&opened.session, "works").await.restarts, 0);
        });
    }
}

#[test]
fn c7_a_stop_during_the_pause_is_the_end_of_it() {
    let policy = RestartPolicy::new(RestartWhen::Always).pauses(Duration::from_secs(600), Duration::from_secs(600));
    let spec = SessionSpec::default()
        .command(CommandSpec::shell("x", "exit 1").persistent(Persistence::default().restart(policy)));
    let opened = open(Plane::Host, spec);
    within_runtime(async {
        opened.session.start("x").await.unwrap();
        let paused = async {
            while opened.session.status("x").unwrap().state != CommandState::Restarting {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, paused).await.unwrap();
        let status = timeout(SOON, opened.session.stop("x")).await.unwrap().unwrap();
        assert_eq!((status.state, status.restarts), (CommandState::Ended, 0));
        opened.session.start("x").await.unwrap();
    });
}

#[test]
fn c9_stopping_is_a_term_a_grace_and_a_kill_confirmed_empty() {
    for (plane, number) in [(Plane::Linux, 1), (Plane::Host, 2)] {
        let (marker, grace) = (mark(number), Duration::from_millis(300));
        let stubborn = format!("trap 'echo asked' TERM; setsid sleep {marker} & echo up; while :; do sleep 0.05; done");
        let readiness = Readiness::Line(LinePattern::new("up").unwrap());
        let kept = Persistence::default().ready_when(readiness).grace(grace);
        let spec = SessionSpec::default().command(CommandSpec::shell("stubborn", stubborn).persistent(kept));
        let opened = open(plane, spec);
        within_runtime(async {
            opened.session.start("stubborn").await.unwrap();
            opened.session.wait_ready("stubborn").await.unwrap();
            assert!(!processes_with(&marker).is_empty(), "the control");
            let status = opened.session.stop("stubborn").await.unwrap();
            assert!(processes_with(&marker).is_empty(), "{plane:?}: nothing is left when it is told");
            assert_eq!((status.exit_signal, status.state), (Some(9), CommandState::Ended));
            assert!(String::from_utf8_lossy(&status.stdout).contains("asked"), "it was asked before: {plane:?}");
        });
    }
}

#[test]
fn c9_dropping_and_closing_a_session_end_everything_in_it() {
    for (plane, number) in [(Plane::Linux, 3), (Plane::Host, 5)] {
        for closes in [true, false] {
            let marker = mark(number + u32::from(closes));
            let line = format!("setsid sleep {marker} & (sleep {marker} &); echo up; wait");
            let spec = SessionSpec::default()
                .command(ready_by_line("stays", &line, "up"))
                .command(CommandSpec::shell("once", line.clone()));
            let opened = open(plane, spec);
            within_runtime(async {
                opened.session.start("stays").await.unwrap();
                opened.session.wait_ready("stays").await.unwrap();
                let once = opened.session.run("once", RunOptions::default());
                let act = async {
                    // Four sleeps: both commands are under way.
                    while processes_with(&marker).len() < 4 {
                        tokio::task::yield_now().await;
                    }
                    if closes {
                        opened.session.close().await;
                        assert!(processes_with(&marker).is_empty(), "{plane:?}: closed means empty");
                    }
                };
                if closes {
                    let (outcome, ()) = timeout(SOON, async { tokio::join!(once, act) }).await.unwrap();
                    assert!(outcome.is_err());
                    let error = opened.session.start("stays").await.unwrap_err();
                    assert_eq!(error.code(), ErrorCode::SessionClosed);
                } else {
                    tokio::select! {
                        _ = once => panic!("it runs for ever"),
                        () = act => {}
                    }
                }
            });
            drop(opened);
            assert!(
                within(Duration::from_secs(5), || processes_with(&marker).is_empty()),
                "{plane:?} closes: {closes}"
            );
        }
    }
}
