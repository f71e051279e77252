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
    // Node misses a new size that comes between its look at the first one and its waiting for others.
    let session = HostedSession::open(
        "[commands.repl]\nargv = [\"node\", \"-i\"]\npersistent = true\nterminal = true\nready = { line = \"Welcome\" }\n",
        &[],
    );
    let (state, binary) = places(&session);
    session.told(&["start", "s", "repl", "--wait"]);
    // It looks at what is typed before it looks at signals, and draws its line anew when it has seen a new size.
    let steps = r"[
        (b'> ', b'6 * 7\r'), (b'42', b'process.stdout.columns + 1000\r'), (b'1077', b''), (b'\x1b[3G', (40, 99)),
        (b'\x1b[3G', b'var kept = 5\r'), (b'undefined', b'process.stdout.columns + 1000\r'), (b'1099', b'\x1d'),
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

/// Runs an attachment with its process number in `pid` and what the terminal was before and after in files; told is how it ended.
const WATCHED: &str = "stty -g > before; sh -c 'echo $$ > pid; exec \"$@\"' sh \"$@\"; echo code $?; stty -g > after";

#[test]
fn a_signal_that_ends_an_attachment_leaves_the_terminal_as_it_was_and_takes_back_what_the_guest_switched_on() {
    let session = HostedSession::open(
        "[commands.screen]\nshell = \"printf '\\\\033[?1049h\\\\033[?1003h\\\\033[?2004h'; exec sleep 1000\"\npersistent = true\nterminal = true\n\
         [commands.flood]\nshell = \"exec yes\"\npersistent = true\nterminal = true\n",
        &[],
    );
    let (state, binary) = places(&session);
    let here: PathBuf = session.workspace.path().to_owned();
    let drive_of = |command: &str, steps: &str| {
        session.told(&["start", "s", command]);
        let line = [vec!["/bin/sh", "-c", WATCHED, "sh"], attach(&state, &binary, command)].concat();
        let told = drive(&session.workspace, steps, &line)?;
        assert_eq!(told.trim(), "finished 0", "{command}: {steps}");
        let read = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
        assert_eq!(read("before"), read("after"), "{command}: {steps}");
        assert!(!read("before").is_empty());
        assert_eq!(session.status(command)["running"], true, "the command goes on");
        Some(())
    };
    for signal in [15, 1] {
        let steps = format!(
            r"[(b'\x1b[?1003h', {{'signal': {signal}, 'of': 'pid'}}), (b'\x1b[?1049l', b''), (b'\x1b[?1003l', b''), (b'\x1b[?2004l', b''), (b'code 0', b'')]"
        );
        if drive_of("screen", &steps).is_none() {
            return;
        }
    }
    // Left by the key it is the same.
    drive_of("screen", r"[(b'\x1b[?1003h', b'\x1d'), (b'\x1b[?1003l', b''), (b'code 0', b'')]");
    // A terminal that nobody reads keeps no attachment from its end.
    drive_of("flood", r"[(b'y', {'signal': 15, 'of': 'pid', 'unread': True}), (b'code 0', b'')]");
}

#[test]
fn what_a_command_prints_steers_the_terminal_of_no_follower_unless_asked() {
    let session = HostedSession::open(
        "[commands.evil]\nshell = \"printf '\\\\033]0;evil\\\\007 seen\\\\n'\"\npersistent = true\n\
         [commands.once]\nshell = \"printf '\\\\033]0;evil\\\\007 seen\\\\n'\"\n",
        &[],
    );
    let (state, binary) = places(&session);
    session.told(&["start", "s", "evil"]);
    let line = |verb: &'static str, command: &'static str, raw: &'static str| -> Vec<String> {
        let mut line: Vec<String> = attach(&state, &binary, command).into_iter().map(str::to_owned).collect();
        line.iter_mut().filter(|word| *word == "attach").for_each(|word| *word = verb.to_owned());
        line.extend((!raw.is_empty()).then(|| raw.to_owned()));
        line
    };
    let (shown, bare) = (r"[(b'\\u{1b}]0;evil\\u{7} seen', b'')]", r"[(b'\x1b]0;evil\x07 seen', b'')]");
    for (verb, command) in [("follow", "evil"), ("run", "once")] {
        for (raw, steps) in [("", shown), ("--raw", bare)] {
            let line = line(verb, command, raw);
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let Some(told) = drive(&session.workspace, steps, &line) else { return };
            assert_eq!(told.trim(), "finished 0", "{verb} {raw}");
        }
    }
    let line = line("status", "evil", "");
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let Some(told) = drive(&session.workspace, shown, &line) else { return };
    assert_eq!(told.trim(), "finished 0");
}
