//! Terminals of sessions: attached to from a real one, left, attached to again.

use cofferdam_tests::command::binary;
use cofferdam_tests::pseudo_terminal::drive;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use std::path::PathBuf;

fn attach<'a>(state: &'a str, binary: &'a str, command: &'a str) -> Vec<&'a str> {
    vec!["/usr/bin/env", "-u", "XDG_RUNTIME_DIR", state, binary, "session", "attach", "s", command]
}

fn places(session: &HostedSession) -> (String, String) {
    (format!("XDG_STATE_HOME={}", session.state.path().display()), binary().display().to_string())
}

#[test]
fn c7_a_node_repl_is_attached_to_resized_left_and_attached_to_again() {
    if skip::program("node").is_none() {
        return;
    }
    let session =
        HostedSession::open("[commands.repl]\nargv = [\"node\", \"-i\"]\npersistent = true\nterminal = true\n", &[]);
    let (state, binary) = places(&session);
    session.told(&["start", "s", "repl"]);
    let steps = r"[
        (b'> ', b'6 * 7\r'), (b'42', b'process.stdout.columns + 1000\r'), (b'1077', (40, 99)),
        (b'> ', b'var kept = 5\r'), (b'undefined', b'process.stdout.columns + 1000\r'), (b'1099', b'\x1d'),
    ]";
    let Some(told) = drive(&session.workspace, steps, &attach(&state, &binary, "repl")) else { return };
    assert_eq!(told.trim(), "finished 0");
    assert_eq!(session.status("repl")["running"], true, "it goes on");
    let steps = r"[(b'1099', b'kept * 100 + 11\r'), (b'511', b'.exit\r')]";
    let Some(told) = drive(&session.workspace, steps, &attach(&state, &binary, "repl")) else { return };
    assert_eq!(told.trim(), "finished 0", "the screen is shown again, and its end ends the attachment");
    assert_eq!(session.status("repl")["exit_code"], 0);
}

#[test]
fn the_terminal_is_as_it_was_however_an_attachment_ends() {
    let session = HostedSession::open(
        "[commands.shell]\nshell = \"PS1='$ ' exec sh -i\"\npersistent = true\nterminal = true\n",
        &[],
    );
    let (state, binary) = places(&session);
    let here: PathBuf = session.workspace.path().to_owned();
    let script = "stty -g > before; \"$@\"; echo code $?; stty -g > after";
    // Left by the key; ended by the command.
    for (steps, code) in
        [(r"[(b'$ ', b'\x1d'), (b'code 0', b'')]", "left"), (r"[(b'$ ', b'exit 3\r'), (b'code 3', b'')]", "ended")]
    {
        session.told(&["start", "s", "shell"]);
        let command = [vec!["/bin/sh", "-c", script, "sh"], attach(&state, &binary, "shell")].concat();
        let Some(told) = drive(&session.workspace, steps, &command) else { return };
        assert_eq!(told.trim(), "finished 0", "{code}");
        let read = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
        assert_eq!(read("before"), read("after"), "{code}");
        assert!(!read("before").is_empty());
    }
}

#[test]
fn one_without_a_terminal_cannot_be_attached_to_and_ctrl_c_reaches_one_with() {
    let session = HostedSession::open(
        "[commands.plain]\nargv = [\"sleep\", \"1000\"]\npersistent = true\n\
         [commands.trap]\nshell = \"trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.05; done\"\npersistent = true\nterminal = true\n",
        &["--plane", "host"],
    );
    session.told(&["start", "s", "plain"]);
    let refused = session.ask(&["attach", "s", "plain"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("terminal = true"), "{refused:?}");
    session.told(&["start", "s", "trap"]);
    let (state, binary) = places(&session);
    let Some(told) =
        drive(&session.workspace, r"[(b'up', b'\x03'), (b'caught', b'')]", &attach(&state, &binary, "trap"))
    else {
        return;
    };
    assert_eq!(told.trim(), "finished 5");
}
