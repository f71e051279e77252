//! Where sessions are kept, when the environment has put that into a workspace: nobody in a sandbox sees it.

use cofferdam_tests::command::{run, run_without_namespaces, text};
use cofferdam_tests::session_host::HostedSession;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Tells each name of a session that can be seen, and whether the socket is there for who knows its name.
const LOOK: &str = "ls -aR . 2> /dev/null | grep -E 'sock$|lock$' ; test -e runtime/cofferdam/s.sock && echo THERE; \
                    test -e state/cofferdam/sessions/s.lock && echo THERE; echo looked";

#[test]
fn no_command_sees_the_sockets_and_files_of_sessions_that_lie_in_its_workspace() {
    let session = HostedSession::declared(&format!("[commands.look]\nshell = \"\"\"{LOOK}\"\"\"\n"));
    let place = session.workspace.path().canonicalize().unwrap();
    let (runtime, state) = (place.join("runtime"), place.join("state"));
    for folder in [&runtime, &state] {
        std::fs::create_dir(folder).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let here =
        |mut command: Command| command.env("XDG_STATE_HOME", &state).env("XDG_RUNTIME_DIR", &runtime).output().unwrap();
    let opened = here(session.command(&["open", "s"]));
    assert!(opened.status.success(), "{opened:?}");
    assert!(
        runtime.join("cofferdam/s.sock").exists() && state.join("cofferdam/sessions/s.lock").exists(),
        "the control"
    );
    let by_session = here(session.command(&["run", "s", "look"]));
    let full = here(run(&place, &[], &["sh", "-c", LOOK]));
    let landlock = here(run_without_namespaces(&place, &["--isolation", "landlock"], &["sh", "-c", LOOK]));
    let closed = here(session.command(&["close", "s"]));
    for (output, who) in [(by_session, "session"), (full, "full")] {
        assert_eq!(text(&output.stdout), "looked\n", "{who}: {output:?}");
    }
    // Only a mount can hide a place in what may be executed, so that nothing runs there.
    assert_eq!((landlock.status.code(), text(&landlock.stdout)), (Some(125), String::new()), "{landlock:?}");
    assert!(closed.status.success(), "{closed:?}");
}
