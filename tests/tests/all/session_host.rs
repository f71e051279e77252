//! The process that owns a session: reached over its socket, gone with everything when killed, and told of by the next.

use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn mark(number: u32) -> String {
    format!("5{:05}{number:03}", std::process::id() % 100_000)
}

fn web(port: u16) -> String {
    format!(
        "[commands.web]\nargv = [\"python3\", \"-u\", \"-m\", \"http.server\", \"{port}\", \"--bind\", \"127.0.0.1\"]\n\
         persistent = true\nready = {{ port = {port} }}\n\
         [commands.ask]\nargv = [\"python3\", \"-c\", \"import urllib.request; \
         print(urllib.request.urlopen('http://127.0.0.1:{port}/told.txt').read().decode())\"]\n"
    )
}

/// Processes and how they may be left: in the group, in a session of their own, without a parent.
fn leaves(marker: &str) -> String {
    format!(
        "[commands.stays]\nshell = \"sleep {marker} & setsid sleep {marker} & (setsid sh -c 'sleep {marker} & exit' &); echo up; wait\"\n\
         persistent = true\nready = {{ line = \"up\" }}\n"
    )
}

fn id(value: &Value) -> Pid {
    Pid::from_raw(i32::try_from(value["pid"].as_i64().unwrap()).unwrap())
}

#[test]
fn c7_a_web_server_is_started_queried_followed_and_stopped_through_its_host() {
    if skip::python().is_none() {
        return;
    }
    let session = HostedSession::open(&web(8200), &[]);
    session.workspace.write("told.txt", "from the workspace");
    assert!(session.told(&["start", "s", "web", "--wait"]).contains("is ready"));
    assert_eq!(session.told(&["run", "s", "ask"]), "from the workspace\n");
    let mut follow =
        session.command(&["follow", "s", "web"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(follow.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("GET /told.txt"), "{line}");
    let status = session.status("web");
    assert_eq!((&status["running"], &status["ready"]), (&json!(true), &json!(true)), "{status}");
    assert!(session.told(&["stop", "s", "web"]).contains("ended by signal 15"));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("web  ended by signal 15"), "whoever follows is told: {rest}");
    assert!(follow.wait().unwrap().success());
    assert_ne!(session.ask(&["run", "s", "ask"]).status.code(), Some(0));
}

#[test]
fn a_session_outlives_whoever_opened_it_and_a_second_open_is_refused() {
    let marker = mark(1);
    let session = HostedSession::open(&leaves(&marker), &[]);
    session.told(&["start", "s", "stays", "--wait"]);
    let first = session.status("stays")["pid"].clone();
    session.told(&["start", "s", "stays"]);
    assert_eq!(session.status("stays")["pid"], first);
    let again = session.ask(&["open", "s"]);
    assert_eq!(again.status.code(), Some(125));
    assert!(text(&again.stderr).contains("is open already"), "{again:?}");
    assert!(session.told(&["list"]).starts_with("s  process "));
    session.told(&["close", "s"]);
    assert!(processes_with(&marker).is_empty(), "closed means empty");
    assert_eq!(session.told(&["list"]), "");
    let gone = session.ask(&["list", "s"]);
    assert!(text(&gone.stderr).contains("no session `s` is open"), "{gone:?}");
}

#[test]
fn c8_errors_name_what_there_is_and_a_failure_ends_with_the_commands_code() {
    let session = HostedSession::open("[commands.fails]\nshell = \"echo '\\u001b[31mlast words' >&2; exit 9\"\n", &[]);
    let output = session.ask(&["run", "s", "fails"]);
    assert_eq!(output.status.code(), Some(9));
    let told = text(&output.stderr);
    assert!(told.contains("fails says: ") && told.contains("last words") && !told.contains('\u{1b}'), "{told}");
    let unknown = text(&session.ask(&["run", "s", "nope"]).stderr);
    assert!(unknown.contains("no command `nope`; it has fails"), "{unknown}");
    let wrong = text(&session.ask(&["start", "s", "fails"]).stderr);
    assert!(wrong.contains("is a one-shot: run it"), "{wrong}");
    let json: Value = serde_json::from_slice(&session.ask(&["run", "s", "fails", "--json"]).stdout).unwrap();
    assert_eq!(json["failed"]["failure"]["exit_code"], 9, "{json}");
    assert!(!json["failed"]["error"].to_string().contains("last words"), "the error itself quotes nobody: {json}");
}

#[test]
fn c9_killing_the_host_ends_everything_in_it_on_each_plane() {
    for (plane, number) in [("linux", 10), ("host", 11)] {
        let marker = mark(number);
        let once = format!("{}[commands.once]\nshell = \"sleep {marker}\"\n", leaves(&marker));
        let session = HostedSession::declared(&once);
        let host = id(&session.opened(&["--plane", plane]));
        session.told(&["start", "s", "stays", "--wait"]);
        let mut run = session.command(&["run", "s", "once"]).stderr(Stdio::null()).spawn().unwrap();
        assert!(within(SOON, || processes_with(&marker).len() >= 5), "the control: {plane}");
        kill(host, Signal::SIGKILL).unwrap();
        assert!(within(SOON, || processes_with(&marker).is_empty()), "{plane}: {:?}", processes_with(&marker));
        assert_eq!(run.wait().unwrap().code(), Some(125));
        let gone = session.ask(&["status", "s", "stays"]);
        assert!(text(&gone.stderr).contains("no session `s` is open"), "{gone:?}");
    }
}

#[test]
fn c10_a_host_tells_what_the_killed_one_before_had_and_begins_anew() {
    let marker = mark(20);
    let session = HostedSession::declared(&format!(
        "{}[commands.ended]\nshell = \"exit 4\"\npersistent = true\n[commands.idle]\nshell = \"true\"\npersistent = true\n",
        leaves(&marker)
    ));
    let first = session.opened(&[]);
    assert_eq!(first["before"], Value::Null);
    session.told(&["start", "s", "stays", "--wait"]);
    session.told(&["start", "s", "ended"]);
    assert!(within(SOON, || session.status("ended")["state"] == "ended"));
    let pid = session.status("stays")["pid"].clone();
    let written = || std::fs::read_to_string(session.state.join("cofferdam/sessions/s.json")).unwrap_or_default();
    assert!(within(SOON, || written().contains("\"exit_code\":4")), "{}", written());
    kill(id(&first), Signal::SIGKILL).unwrap();
    assert!(within(SOON, || text(&session.ask(&["list", "s"]).stderr).contains("no session")));
    let second = session.opened(&[]);
    let before = &second["before"];
    assert_eq!(before["host_pid"], first["pid"]);
    let had =
        |name: &str| before["commands"].as_array().unwrap().iter().find(|own| own["name"] == name).unwrap().clone();
    assert_eq!((&had("stays")["state"], &had("stays")["pid"]), (&json!("running"), &pid), "{before}");
    assert_eq!((&had("ended")["state"], &had("ended")["exit_code"]), (&json!("ended"), &json!(4)));
    assert_eq!(had("idle")["state"], "never_started");
    assert!(processes_with(&marker).is_empty());
    assert_eq!(session.status("stays")["state"], "never_started", "nothing is started by itself");
    session.told(&["close", "s"]);
    assert_eq!(session.opened(&[])["before"], Value::Null, "a session that was closed leaves nothing to tell");
}

#[test]
fn c10_what_the_killed_host_s_keepers_could_not_end_is_found_and_ended() {
    let marker = mark(21);
    let session = HostedSession::declared(&leaves(&marker));
    let first = session.opened(&["--plane", "host"]);
    session.told(&["start", "s", "stays", "--wait"]);
    let pid = i32::try_from(session.status("stays")["pid"].as_i64().unwrap()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let keeper: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    // The program dies with its keeper; a child of the host's that is stopped is all that stands for one that would not.
    kill(Pid::from_raw(keeper), Signal::SIGSTOP).unwrap();
    kill(id(&first), Signal::SIGKILL).unwrap();
    assert!(within(SOON, || text(&session.ask(&["list", "s"]).stderr).contains("no session")));
    assert!(!processes_with(&marker).is_empty(), "the control: a stopped keeper ends nothing");
    let second = session.opened(&["--plane", "host"]);
    assert!(second["before"]["ended"].as_u64().unwrap() >= 1, "{second}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}/cwd")).exists(), "the program was ended");
    kill(Pid::from_raw(keeper), Signal::SIGCONT).unwrap();
    assert!(within(SOON, || processes_with(&marker).is_empty()));
}

#[test]
fn a_session_that_nobody_asks_anything_of_ends_by_itself() {
    let marker = mark(30);
    let session = HostedSession::declared(&format!("idle = \"400ms\"\n{}", leaves(&marker)));
    let host = id(&session.opened(&[]));
    session.told(&["start", "s", "stays", "--wait"]);
    // Whoever follows keeps it open.
    let mut follow =
        session.command(&["follow", "s", "stays"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(!within(Duration::from_millis(900), || kill(host, None).is_err()), "somebody follows");
    follow.kill().unwrap();
    follow.wait().unwrap();
    // Asking whether it is open would keep it open.
    assert!(within(SOON, || processes_with(&marker).is_empty()));
    assert!(within(SOON, || text(&session.ask(&["list"]).stdout).is_empty()));
}

#[test]
fn the_socket_is_the_user_s_alone_and_what_is_no_request_is_told_so() {
    let session = HostedSession::open("[commands.x]\nshell = \"true\"\n", &[]);
    let folder = session.state.join("cofferdam/sessions");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("s.sock")), mode(&folder.join("s.json"))), (0o700, 0o600, 0o600));
    for request in ["nonsense\n", "{\"verb\": \"run\"}\n", "{\"verb\": \"close\", \"more\": 1}\n", "[]\n"] {
        let mut stream = UnixStream::connect(folder.join("s.sock")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"request_invalid\""), "{request}: {answer}");
    }
    assert!(session.told(&["list"]).contains("s  process"), "it goes on");
    // A directory that others may enter is not used.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = session.ask(&["list"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused.stderr).contains("not a directory of yours alone"), "{refused:?}");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn another_user_who_reaches_the_socket_all_the_same_is_not_answered() {
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten();
    let (true, Some(nobody)) = (nix::unistd::geteuid().is_root(), nobody) else {
        return skip::skipped("only root can act as another user");
    };
    let Some(python) = skip::python() else { return };
    let session = HostedSession::open("[commands.x]\nshell = \"true\"\n", &[]);
    let folder = session.state.join("cofferdam/sessions");
    let ask = |uid: u32| {
        let line = format!(
            "import socket, os\nstream = socket.socket(socket.AF_UNIX)\nos.setgid({uid}); os.setuid({uid})\nos.chdir('/')\n\
             stream.connect({:?})\nstream.sendall(b'{{\"verb\": \"hello\"}}\\n')\nprint(stream.recv(1000))",
            folder.join("s.sock").display().to_string()
        );
        let output = std::process::Command::new(&python).args(["-c", &line]).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    assert!(ask(0).contains("\"hello\""), "the control");
    assert!(ask(nobody.uid.as_raw()).contains("PermissionError"));
    // As if somebody had opened all of it up.
    for path in
        [session.state.path().to_owned(), session.state.join("cofferdam"), folder.clone(), folder.join("s.sock")]
    {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let answer = ask(nobody.uid.as_raw());
    assert!(
        !answer.contains("hello\"")
            && (answer.contains("b''") || answer.contains("Reset") || answer.contains("BrokenPipe")),
        "{answer}"
    );
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn mistakes_in_a_session_file_are_told_with_line_and_column() {
    let table = [
        ("[commands.x]\nshel = \"true\"\n", "session.toml:3:1: the key `shel` is not known; did you mean `shell`?"),
        ("[commands.x]\nargv = []\n", "session.toml:3:8: `argv` is empty"),
        (
            "[commands.x]\nshell = \"true\"\nready = { port = 1 }\n",
            "session.toml:4:1: `ready` is for persistent commands",
        ),
        ("[commands.x]\nshell = \"true\"\npass = [\"LD_PRELOAD\"]\n", "session.toml:4:"),
        ("[commands.x]\nshell = \"true\"\ntimeout = \"soon\"\n", "session.toml:4:"),
        ("[commands.x]\nshell = \"a\"\nargv = [\"b\"]\n", "session.toml:3:1: a command has either"),
        ("[commands.\"a b\"]\nshell = \"true\"\n", "is no name for a command"),
        ("{\"version\": 1, \"commands\": {\"x\": {\"shell\": true}}}", "a text in quotes is needed here"),
    ];
    for (commands, told) in table {
        let session = HostedSession::declared(commands);
        if commands.starts_with('{') {
            session.workspace.write("session.toml", commands);
        }
        let output = session.ask(&["open", "s"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(text(&output.stderr).contains(told), "{commands}: {}", text(&output.stderr));
        assert_eq!(session.told(&["list"]), "", "nothing is left open");
    }
}

#[test]
fn c2_variables_are_handed_on_by_name_from_whoever_opened_it() {
    let session =
        HostedSession::declared("[commands.env]\nshell = \"env\"\npass = [\"WANTED\"]\nset = { OWN = \"said\" }\n");
    let mut open = session.command(&["open", "s"]);
    assert!(open.env("WANTED", "here").env("SECRET", "hush").status().unwrap().success());
    let told = session.told(&["run", "s", "env"]);
    assert!(told.contains("WANTED=here") && told.contains("OWN=said") && !told.contains("hush"), "{told}");
    let files = std::fs::read_dir(session.state.join("cofferdam/sessions")).unwrap().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().ends_with(".json")) {
        let kept = std::fs::read_to_string(file.path()).unwrap();
        assert!(!kept.contains("here") && !kept.contains("said"), "{kept}");
    }
}

#[test]
fn input_is_handed_to_one_shots_and_written_to_persistent_commands() {
    let session = HostedSession::open(
        "[commands.count]\nargv = [\"wc\", \"-c\"]\noutput = \"json\"\n\
         [commands.cat]\nargv = [\"cat\"]\npersistent = true\nstdin = \"open\"\n",
        &[],
    );
    let feed = |arguments: &[&str], bytes: &[u8]| {
        let mut child = session.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        text(&child.wait_with_output().unwrap().stdout)
    };
    assert_eq!(feed(&["run", "s", "count", "--stdin"], &[b'x'; 100_000]), "100000\n");
    session.told(&["start", "s", "cat"]);
    feed(&["write", "s", "cat"], b"one ");
    feed(&["write", "s", "cat", "--close"], b"two");
    assert!(within(SOON, || session.status("cat")["exit_code"] == 0));
    assert!(session.told(&["status", "s", "cat"]).contains("one two"));
}

#[test]
fn commands_under_a_policy_that_names_hosts_reach_those_and_each_other() {
    if skip::program("curl").is_none() || skip::program("python3").is_none() {
        return;
    }
    let (host, other) = (Host::http(), Host::http());
    let (port, closed) = (host.port(), other.port());
    let policy =
        format!("version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"localhost:{port}\"]\n");
    let commands = format!(
        "[commands.ask]\nshell = \"curl -sS http://localhost:{port}/\"\n\
         [commands.other]\nshell = \"curl -sS http://localhost:{closed}/; echo $?\"\n\
         [commands.web]\nargv = [\"python3\", \"-m\", \"http.server\", \"8000\", \"--bind\", \"127.0.0.1\"]\npersistent = true\n\
         ready = {{ port = 8000 }}\n[commands.meet]\nshell = \"curl -sSf http://127.0.0.1:8000/ > met && echo met\"\n"
    );
    for (network, meets) in [("shared", "met\n"), ("separate", "")] {
        let before = host.arrived();
        let session =
            HostedSession::declared(&format!("policy = \"policy.toml\"\nnetwork = \"{network}\"\n{commands}"));
        session.workspace.write("policy.toml", &policy);
        session.opened(&[]);
        assert_eq!(session.told(&["run", "s", "ask"]), format!("hello localhost:{port}\n"), "{network}");
        assert_eq!(session.told(&["run", "s", "ask"]), format!("hello localhost:{port}\n"), "{network}, again");
        assert_eq!(session.told(&["run", "s", "other"]), "7\n", "{network}");
        assert_eq!((host.arrived() - before, other.arrived()), (2, 0), "{network}");
        session.told(&["start", "s", "web", "--wait"]);
        assert_eq!(text(&session.ask(&["run", "s", "meet"]).stdout), meets, "{network}");
    }
}

#[test]
fn where_sessions_and_grants_are_kept_no_command_of_a_session_writes() {
    let session = HostedSession::declared(
        "[commands.forge]\nshell = \"for f in state/cofferdam/grants.json state/cofferdam/sessions/x; do echo forged > $f; done; mv state gone; true\"\n",
    );
    let inside = session.workspace.join("state");
    std::fs::create_dir_all(inside.join("cofferdam/sessions")).unwrap();
    let command = |arguments: &[&str]| session.command(arguments).env("XDG_STATE_HOME", &inside).output().unwrap();
    let opened = command(&["open", "s"]);
    if opened.status.success() {
        command(&["run", "s", "forge"]);
        command(&["close", "s"]);
    }
    assert!(!inside.join("cofferdam/grants.json").exists() && !inside.join("cofferdam/sessions/x").exists());
    assert!(inside.exists(), "{opened:?}");
}
